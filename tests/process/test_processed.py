"""Lines that nodes append are read back whole, in order, whatever tears them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.apps.processed import BORN_AT_S, ProcessedFile, append_processed


def append(path: Path, *messages: tuple[int, int]) -> None:
    """Append a line of node 3 for partition 1 of topic t."""
    append_processed(
        path, node=3, topic="t", partition=1, messages=messages, begun_at_s=1.5
    )


def test_line_comes_back_as_one_row_for_each_message(tmp_path: Path) -> None:
    """Who, where, when and what survive the way through the file."""
    append(tmp_path / "p", (10, 7), (11, 8))

    first, second = ProcessedFile(tmp_path / "p").read()
    assert (first.offset, first.id, second.offset, second.id) == (10, 7, 11, 8)
    assert (first.topic, first.partition, first.begun_at_s) == ("t", 1, 1.5)
    assert first.begun_at_s < first.done_at_s == second.done_at_s
    assert (first.life.node, first.life.pid) == (3, os.getpid())
    assert first.life.born_at_s == BORN_AT_S
    assert str(first.life) == f"node 3 pid {os.getpid()}"


def test_rows_are_read_as_they_come(tmp_path: Path) -> None:
    """A reader follows the file, from before it exists."""
    file = ProcessedFile(tmp_path / "p")
    assert file.read() == []
    append(file.path, (0, 0))
    assert len(file.read()) == 1
    append(file.path, (1, 1))

    assert [row.offset for row in file.read()] == [0, 1]


def test_torn_line_spoils_nothing_but_itself(tmp_path: Path) -> None:
    """A writer killed in its write leaves a piece; the next line is whole."""
    file = ProcessedFile(tmp_path / "p")
    append(file.path, (0, 0))
    whole = file.path.read_bytes()
    file.path.write_bytes(whole + whole[:30])
    assert [row.offset for row in file.read()] == [0]
    append(file.path, (1, 1))

    assert [row.offset for row in file.read()] == [0, 1]
    assert file.torn_count == 1


WRITER = """
import sys
from tests.apps.processed import append_processed
for offset in range(2000):
    append_processed(sys.argv[1], node=int(sys.argv[2]), topic="t", partition=0,
                     messages=[(offset, offset)], begun_at_s=0.0)
"""


def test_many_writers_do_not_mix(tmp_path: Path) -> None:
    """Lines of processes that write at once stay whole, each writer's in order."""
    path = tmp_path / "p"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(node)])
        for node in range(3)
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0, 0]

    file = ProcessedFile(path)
    rows = file.read()
    assert file.torn_count == 0
    for node in range(3):
        own = [row.offset for row in rows if row.life.node == node]
        assert own == list(range(2000))
