"""The lock that keeps two processes from being one node."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarm_worker.settings import ConfigError
from swarm_worker.slot import Slot, SlotHeldError, slot_key


def test_a_slot_is_supervisords_name_or_the_node_id() -> None:
    """Two groups of one program do not share slots."""
    environ = {"SUPERVISOR_GROUP_NAME": "g", "SUPERVISOR_PROCESS_NAME": "g_01"}

    assert slot_key(environ, node=1) == "g:g_01"
    assert slot_key({}, node=1) == "node-1"


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    """It waits first; the message names the pid and what to do."""
    slot = Slot.take(tmp_path / "run", "g:g_01")

    with pytest.raises(SlotHeldError, match=rf"pid {os.getpid()} .*--state-dir"):
        Slot.take(tmp_path / "run", "g:g_01", wait_s=0.2)
    Slot.take(tmp_path / "run", "g:g_02", wait_s=0.2).close()

    slot.close()
    Slot.take(tmp_path / "run", "g:g_01", wait_s=0.2).close()


def test_the_file_stays(tmp_path: Path) -> None:
    """Deleting it would let two processes lock two files of one name."""
    Slot.take(tmp_path, "g:g_01").close()

    assert [path.name for path in tmp_path.iterdir()] == ["g%3Ag_01.slot"]


def test_a_slot_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    """The kernel gives it back, whatever became of the holder."""
    code = (
        "import sys; from pathlib import Path; from swarm_worker.slot import Slot;"
        "slot = Slot.take(Path(sys.argv[1]), 's'); print('held', flush=True);"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SlotHeldError):
            Slot.take(tmp_path, "s", wait_s=0.2)
        holder.kill()

    Slot.take(tmp_path, "s", wait_s=5.0).close()


def test_a_forked_child_does_not_keep_the_slot(tmp_path: Path) -> None:
    """A handler's child that outlives the node must not lock its successor out."""
    slot = Slot.take(tmp_path, "s")
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        os.close(tell)
        os.read(told, 1)
        os._exit(0)
    slot.close()
    try:
        Slot.take(tmp_path, "s", wait_s=0.2).close()
    finally:
        os.close(tell)
        os.close(told)
        os.waitpid(child, 0)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    """A link, a pipe or a directory in its place: what and what to change."""
    (tmp_path / "target").touch()
    (tmp_path / "link.slot").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe.slot")
    (tmp_path / "folder.slot").mkdir()

    with pytest.raises(ConfigError, match="symbolic link; remove it"):
        Slot.take(tmp_path, "link")
    for key in ("pipe", "folder"):
        with pytest.raises(ConfigError, match=rf"cannot use slot .*{key}.*--state-dir"):
            Slot.take(tmp_path, key)


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    """The message names uid and setting."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"as uid \d+: .*\[worker\] state_dir"):
        Slot.take(tmp_path / "file", "s")
