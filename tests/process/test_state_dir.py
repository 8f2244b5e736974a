"""A journal that cannot be read or written: supervision goes on all the same.

A swarm for each kind of damage, all at once: each has a node that falls ill.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.awaits import await_new_pid, await_said, await_state
from tests.eventually import eventually
from tests.faults.state_disk import DAMAGES
from tests.process import scenes
from tests.process.swarms import LISTENER, Swarm

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

SICK, WELL = 0, 1


def spoil(how: str, state_dir: Path) -> None:
    """Leave a journal that was damaged."""
    (state_dir / "journal.json").write_bytes(DAMAGES[how] or b"")


def symlink(state_dir: Path) -> None:
    """Have the journal's name lead to a file of somebody else."""
    (state_dir / "precious").write_text("precious")
    (state_dir / "journal.json").symlink_to(state_dir / "precious")


def foreign_intent(state_dir: Path) -> None:
    """Leave an intent against the healthy node, of no supervisord that lives."""
    (state_dir / "journal.json").write_text(
        '{"version":1,"supervisor":{"pid":1,"started_ticks":1,"boot_id":"x"},'
        '"intents":{"w:w_01":{"phase":"down","since_s":1,"record":{"node":"w:w_01",'
        '"pid":1,"cause":"rule","status":1,"reason":"r","detected_at_s":1}}},'
        '"notes":{},"history":[]}'
    )


def full(state_dir: Path) -> None:
    """Fill the disk, once the directory is made."""
    _mount(state_dir, "size=16k")
    with pytest.raises(OSError, match="No space"):
        (state_dir / "filler").write_bytes(b"x" * 2**20)


def read_only(state_dir: Path) -> None:
    """Let nothing be written."""
    _mount(state_dir, "ro")


def _mount(state_dir: Path, options: str) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", state_dir],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")


def _unmount(state_dir: Path) -> None:
    subprocess.run(["umount", "-l", state_dir], check=True)


READABLE: Final[dict[str, Callable[[Path], None]]] = {
    **{how: partial(spoil, how) for how, data in DAMAGES.items() if data is not None},
    "symlink": symlink,
    "foreign_intent": foreign_intent,
}
UNWRITABLE: Final = (full, read_only)


@contextmanager
def damaged(damage: Callable[[Path], None]) -> Iterator[Swarm]:
    """Run a swarm whose journal is damaged before the listener comes."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        state_dir = Path(name) / "run"
        state_dir.mkdir(mode=0o700)
        damage(state_dir)
        if os.path.ismount(state_dir):
            stack.callback(_unmount, state_dir)
        yield stack.enter_context(scenes.scene(limits={"state_dir": str(state_dir)}))


def await_start(swarm: Swarm) -> None:
    """Wait for the listener and the nodes; there may be no status to read."""
    await_said(swarm, "listener_started")
    for node in (SICK, WELL):
        await_state(swarm.daemon, scenes.name_of(node), "RUNNING")


def await_healed(swarm: Swarm, *, than: int) -> None:
    """Wait until the sick node is another process and works."""
    await_new_pid(swarm.daemon, scenes.name_of(SICK), than=than)
    await_said(swarm, f"node_restarted node={scenes.name_of(SICK)} pid={than}")


@pytest.fixture(scope="module")
def swarms() -> Iterator[dict[str, tuple[Swarm, int]]]:
    """Start a swarm for each damage that leaves the disk writable; have a node ill."""
    with ExitStack() as stack:
        started = {
            how: stack.enter_context(damaged(damage))
            for how, damage in READABLE.items()
        }
        for swarm in started.values():
            await_start(swarm)
        wells = {name: swarm.pid(WELL) for name, swarm in started.items()}
        yield {name: (swarm, wells[name]) for name, swarm in started.items()}


@pytest.mark.parametrize("damage", READABLE)
def test_a_damaged_journal_is_put_aside_with_one_line(
    swarms: dict[str, tuple[Swarm, int]], damage: str
) -> None:
    """A sick node is restarted, nobody else is; what was there is not lost."""
    swarm, well = swarms[damage]

    await_healed(swarm, than=swarm.tell(SICK, consume_age_ms=9_000))

    assert swarm.pid(WELL) == well
    if damage == "symlink":
        settings = tomllib.loads(swarm.daemon.file("swarm.toml"))
        state_dir = Path(settings["listener"]["state_dir"])
        assert (state_dir / "precious").read_text() == "precious"
    about = [line for line in swarm.log.splitlines() if "journal_" in line]
    assert len(about) == (0 if damage == "foreign_intent" else 1)
    assert "Traceback" not in swarm.log


def test_a_state_dir_that_somebody_removes_comes_back(tmp_path: Path) -> None:
    """While nothing else happens, with one line; the journal is as it was."""
    state_dir = tmp_path / "run"
    with scenes.scene(limits={"state_dir": str(state_dir)}) as swarm:
        await_start(swarm)
        await_healed(swarm, than=swarm.tell(SICK, consume_age_ms=9_000))
        history = (state_dir / "journal.json").read_text().splitlines()[1:]
        shutil.rmtree(state_dir)
        for name in ("journal.json", "journal.lock", "status.json"):
            eventually((state_dir / name).exists, describe=f"{name} is there again")

        assert len(history) > 1
        assert (state_dir / "journal.json").read_text().splitlines()[1:] == history
        assert swarm.log.count("state_dir_lost") == 1
        assert "Traceback" not in swarm.log


@pytest.mark.parametrize("damage", UNWRITABLE)
def test_where_nothing_can_be_written_nodes_are_restarted_by_term(
    damage: Callable[[Path], None],
) -> None:
    """supervisord itself brings them back, also when the listener dies meanwhile."""
    with damaged(damage) as swarm:
        await_start(swarm)
        well = swarm.pid(WELL)

        await_healed(swarm, than=swarm.tell(SICK, consume_age_ms=9_000))
        pid = swarm.tell(SICK, consume_age_ms=9_000, ignore_term=True)
        await_said(swarm, f"intent_not_durable node={scenes.name_of(SICK)} pid={pid}")
        old = swarm.kill_listener()
        await_new_pid(swarm.daemon, LISTENER, than=old)
        await_new_pid(swarm.daemon, scenes.name_of(SICK), than=pid)

        assert scenes.stops(swarm, SICK) == 0  # TERM, and KILL, by signal
        assert swarm.pid(WELL) == well
        assert swarm.log.count("journal_unwritable") == 2  # a line for each listener
        assert swarm.log.count("status_not_written") == 2
        told = scenes.supervisorctl(swarm, "swarm", "status")
        assert f"the listener, pid {swarm.listener_pid()}, cannot write how" in told
        found = scenes.supervisorctl(swarm, "swarm", "doctor")
        assert "swarm status cannot tell how they are" in " ".join(found.split())
        assert "Traceback" not in swarm.log
