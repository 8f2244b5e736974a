"""The lock that keeps two processes from being one node."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from swarm_worker.node.crash_traces import left_in
from swarm_worker.node.slot import Slot, SlotHeldError, slot_key, slot_path
from swarm_worker.reporting.trace import Trace
from swarm_worker.shared.settings import ConfigError, PassingError


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


def test_a_directory_behind_a_link_may_come(tmp_path: Path) -> None:
    """As the volume that it is on, once it is mounted; a file there is a mistake."""
    (tmp_path / "run").symlink_to(tmp_path / "volume" / "run")
    (tmp_path / "file").write_text("")

    with pytest.raises(PassingError, match=r"volume/run, which is away"):
        Slot.take(tmp_path / "run", "s")
    for place in ("file", "file/run"):
        with pytest.raises(ConfigError, match="is no directory") as refused:
            Slot.take(tmp_path / place, "s")
        assert not isinstance(refused.value, PassingError)

    (tmp_path / "volume" / "run").mkdir(parents=True)
    Slot.take(tmp_path / "run", "s").close()


def test_names_of_any_length_and_letters_have_slots_of_their_own(
    tmp_path: Path,
) -> None:
    """supervisord takes them; in a file's name a letter may take six bytes or more."""
    stems = ("x" * 150, "\u03bb" * 40, "\u03bb" * 39 + "\u03ba")
    keys = [f"{stem}:{stem}_{node:02d}" for stem in stems for node in (0, 1)]

    slots = [Slot.take(tmp_path, key, wait_s=0.2) for key in keys]
    for slot in slots:
        slot.close()

    assert len({*tmp_path.glob("*.slot")}) == len(keys)


def test_a_file_that_somebody_removed_is_made_and_held_again(tmp_path: Path) -> None:
    """The directory, too; what is in flight from then on is found as ever."""
    slot = Slot.take(tmp_path / "run", "s")
    slot.keep()
    shutil.rmtree(tmp_path / "run")
    slot.keep()

    assert slot_path(tmp_path / "run", "s").read_text("ascii") == f"{os.getpid()}\n"
    with pytest.raises(SlotHeldError):
        Slot.take(tmp_path / "run", "s", wait_s=0.2)
    slot.traces.began(1, trace("orders/0@1"), now_s=1.0)
    slot.close()
    slot.keep()  # no more of it
    assert left_in(slot_path(tmp_path / "run", "s")) == (trace("orders/0@1"),)
    Slot.take(tmp_path / "run", "s", wait_s=0.2).close()


def test_who_holds_the_new_file_is_the_node(tmp_path: Path) -> None:
    """The older process learns that it no longer is, with the exit code for that."""
    slot = Slot.take(tmp_path, "s")
    slot_path(tmp_path, "s").unlink()
    other = Slot.take(tmp_path, "s", wait_s=0.2)

    with pytest.raises(SlotHeldError) as refused:
        slot.keep()
    assert refused.value.exit_code == 4
    other.keep()
    other.close()
    slot.keep()
    slot.close()


def test_a_file_that_cannot_be_made_again_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The node goes on, and takes it as soon as it can."""
    slot = Slot.take(tmp_path / "run", "s")
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").touch()
    slot.keep()
    slot.keep()
    (tmp_path / "run").unlink()
    slot.keep()
    slot.keep()
    slot.close()

    said = [record.getMessage().split()[0] for record in caplog.records]
    assert said == ["slot_lost", "slot_taken_again"]


def test_a_slot_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    """The kernel gives it back, whatever became of the holder."""
    code = (
        "import sys; from pathlib import Path; from swarm_worker.node.slot import Slot;"
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


def test_a_file_system_that_has_turned_read_only_costs_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot that is there is held as ever; one that is not may be made later.

    Where none is, it has not turned so, and is a mistake.
    """
    Slot.take(tmp_path, "s").close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", read_only(os.open))

        slot = Slot.take(tmp_path, "s")
        slot.keep()
        with pytest.raises(SlotHeldError):
            Slot.take(tmp_path, "s", wait_s=0.2)
        with pytest.raises(OSError, match="Read-only") as refused:
            Slot.take(tmp_path, "new")
        assert not isinstance(refused.value, ConfigError)
        (tmp_path / "unused").mkdir()
        with pytest.raises(ConfigError, match="Read-only"):
            Slot.take(tmp_path / "unused", "new")
        assert left_in(slot_path(tmp_path, "s")) == ()
        slot.close()

    Slot.take(tmp_path, "new").close()


def test_a_file_that_another_process_makes_meanwhile_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the traces of whoever holds it, as ever."""
    opened = os.open

    def open_(path: Path, flags: int, mode: int = 0o777) -> int:
        if not path.exists():
            os.close(opened(path, os.O_CREAT, 0o644))
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return opened(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_)
        slot = Slot.take(tmp_path, "s")
    slot.traces.began(1, trace("orders/0@1"), now_s=1.0)
    slot.close()

    assert in_flight(tmp_path) == ("orders/0@1",)


def read_only(opened: Callable[..., int]) -> Callable[..., int]:
    """Return an ``open`` as that of a file system that is mounted read-only."""

    def open_(path: Path, flags: int, mode: int = 0o777) -> int:
        is_there = path.exists()
        if flags & os.O_EXCL and is_there:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if flags & (os.O_RDWR | os.O_WRONLY) and (is_there or flags & os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return opened(path, flags, mode)

    return open_


# --- what was in flight ---------------------------------------------------------------


def trace(position: str) -> Trace:
    """Return the trace of a message of a group whose name is odd."""
    place, _, offset = position.rpartition("@")
    topic, _, partition = place.rpartition("/")
    return Trace(
        group="a group, ü",
        topic=topic,
        partition=int(partition),
        offset=int(offset),
        end=int(offset) + 1,
        deaths=2,
        is_witnessed=True,
        since_s=12.5,
    )


def in_flight(tmp_path: Path) -> tuple[str, ...]:
    """Return what the next process of the slot would find."""
    return tuple(found.position for found in left_in(slot_path(tmp_path, "s")))


def test_what_was_in_flight_is_there_for_the_next_process(tmp_path: Path) -> None:
    """The oldest first, however many ended; the pid stays readable."""
    slot = Slot.take(tmp_path, "s")
    for key in (4, 3, 2, 1, 0):
        slot.traces.began(key, trace(f"orders/{key}@17"), now_s=10.0 + key)
    slot.traces.ended(1)
    slot.traces.ended(99)
    slot.close()

    assert left_in(slot_path(tmp_path, "s"))[0] == trace("orders/0@17")
    assert in_flight(tmp_path) == tuple(f"orders/{key}@17" for key in (0, 2, 3, 4))
    text = slot_path(tmp_path, "s").read_text("ascii")
    assert text.startswith(f"{os.getpid()}\n")

    Slot.take(tmp_path, "s").close()
    assert in_flight(tmp_path) == ()


def test_what_an_older_version_has_left_is_read(tmp_path: Path) -> None:
    """It knows neither of witnesses nor of the first death: that was this one."""
    slot = Slot.take(tmp_path, "s")
    slot.traces.began(1, trace("orders/0@17"), now_s=10.0)
    slot.close()
    path = slot_path(tmp_path, "s")
    text = path.read_text("ascii")
    assert len(text.splitlines()[1].split()) == 9, "it reads what we leave, too"
    path.write_text(text.replace("\n+1 12.500", " " * 10), "ascii")

    (found,) = left_in(path)

    assert found == replace(trace("orders/0@17"), is_witnessed=False, since_s=10.0)


def test_a_slot_that_is_closed_is_written_to_no_more(tmp_path: Path) -> None:
    """Its descriptor may be another file by now."""
    slot = Slot.take(tmp_path, "s")
    traces, fd = slot.traces, slot._fd
    slot.close()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    traces.began(1, trace("orders/0@1"), now_s=1.0)

    assert other == fd
    assert os.fstat(other).st_size == 0
    os.close(other)


def test_more_batches_than_places_and_long_names_do_no_harm(tmp_path: Path) -> None:
    """They leave no trace, and places are free again."""
    slot = Slot.take(tmp_path, "s")
    for _ in range(3):
        for key in range(20):
            slot.traces.began(key, trace("x" * 999 + "/0@1"), now_s=1.0)
        for key in range(20):
            slot.traces.ended(key)

    slot.traces.began(1, trace("x" * 999 + "/0@1"), now_s=1.0)
    slot.traces.began(2, trace("orders/0@1"), now_s=2.0)
    slot.close()
    assert in_flight(tmp_path) == ("orders/0@1",)


def test_what_a_live_process_has_in_flight_did_not_die(tmp_path: Path) -> None:
    """A second start of a node tells nothing of the first one's batches."""
    slot = Slot.take(tmp_path, "s")
    slot.traces.began(1, trace("orders/0@1"), now_s=1.0)
    assert in_flight(tmp_path) == ()

    slot.close()
    assert in_flight(tmp_path) == ("orders/0@1",)


def test_what_cannot_be_cleared_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another user's file each start would tell the same again."""
    slot = Slot.take(tmp_path, "s")
    slot.traces.began(1, trace("orders/0@1"), now_s=1.0)
    slot.close()
    slot_path(tmp_path, "s").chmod(0o444)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)  # the way there is closed to others
    own = os.geteuid()
    if own == 0:
        os.seteuid(65_534)
    try:
        assert in_flight(Path()) == ()
    finally:
        os.seteuid(own)


def test_newborn_that_is_stopped_carries_over_what_it_found(tmp_path: Path) -> None:
    """In the same order: it has taken nothing, and the next one is to tell of it."""
    Slot.take(tmp_path, "s").close()
    slot = Slot.take(tmp_path, "s")
    left = [trace(at) for at in ("orders/2@9", "orders/1@5", "orders/0@1")]
    slot.traces.carry_over(left)
    slot.close()

    assert in_flight(tmp_path) == ("orders/2@9", "orders/1@5", "orders/0@1")


@pytest.mark.parametrize(
    "text", ["", "7\n", "\0" * 999, "x" * 99 + " y\n", "\xff" * 999]
)
def test_no_file_of_a_slot_ends_a_start(tmp_path: Path, text: str) -> None:
    """Whatever somebody left there, and where nothing is."""
    assert in_flight(tmp_path) == ()
    slot_path(tmp_path, "s").write_text(text, "latin-1")
    assert len(in_flight(tmp_path)) <= 1
    slot_path(tmp_path, "s").unlink()
    os.mkfifo(slot_path(tmp_path, "s"))
    assert in_flight(tmp_path) == ()
