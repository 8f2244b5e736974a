"""What happens to the listener, its disk, and supervisord."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from tests.awaits import await_seconds
from tests.eventually import eventually
from tests.faults import settling
from tests.faults.book import Process
from tests.faults.schedule import Fault
from tests.faults.stage import NOT_POSSIBLE, Stage
from tests.faults.state_disk import DAMAGES
from tests.process import scenes

RELOADED_WITHIN_S: Final = 30.0


def end(stage: Stage, _fault: Fault, number: signal.Signals) -> str:
    """Send TERM or KILL to the listener."""
    pid = stage.listener()
    os.kill(pid, number)
    stage.book.listener_ends += 1
    return f"pid {pid}"


def freeze(stage: Stage, fault: Fault) -> str:
    """Stop the listener for a while."""
    pid = stage.listener()
    os.kill(pid, signal.SIGSTOP)
    wake = partial(scenes.signal_if_alive, pid, signal.SIGCONT)
    stage.later(time.monotonic() + fault.lasts_s, wake)
    return f"pid {pid} for {fault.lasts_s} s"


def damage_journal(stage: Stage, fault: Fault) -> str:
    """Damage it while the listener cannot write it anew; the next one reads it."""
    if stage.disk.trouble:
        # A known limit: the copy is gone where it could not be renewed.
        raise ProcessLookupError("nothing would be left of what an operator said")
    pid, damage = stage.listener(), fault.pick(tuple(DAMAGES))
    os.kill(pid, signal.SIGSTOP)
    try:
        records = stage.swarm.records()
        stage.disk.damage(damage)
        stage.book.kept += records
        os.kill(pid, signal.SIGKILL)
    finally:
        scenes.signal_if_alive(pid, signal.SIGCONT)
    stage.book.listener_ends += 1
    return f"{damage}, {len(records)} records in it"


def trouble_disk(stage: Stage, fault: Fault, trouble: str) -> str:
    """Have nothing written for a while: nodes are restarted by TERM then.

    Such a restart is no stop, and its record dies with the listener; so does the record
    of one that is under way.
    """
    under_way = {
        Process(slot, intent["record"]["pid"])
        for slot, intent in stage.swarm.intents().items()
    }
    (stage.disk.fill if trouble == "full" else stage.disk.lock)()
    stage.book.excused |= under_way
    since_s = time.monotonic()

    def mend() -> None:
        stage.book.excused |= stage.present(since_s=since_s)
        stage.disk.mend()

    stage.later(since_s + fault.lasts_s, mend)
    return f"for {fault.lasts_s} s"


def freeze_supervisord(stage: Stage, fault: Fault) -> str:
    """Stop supervisord for a while, and do nothing else meanwhile."""
    process = stage.swarm.daemon.process
    process.send_signal(signal.SIGSTOP)
    try:
        await_seconds(fault.lasts_s)
    finally:
        process.send_signal(signal.SIGCONT)
    return f"for {fault.lasts_s} s"


def kill_supervisord(stage: Stage, _fault: Fault) -> str:
    """Kill it, and start another one."""
    process = stage.swarm.daemon.process
    with _upheaval(stage):
        process.kill()
        process.wait()
        _excuse_all(stage)
        scenes.start_again(stage.swarm)
    return f"pid {process.pid}, now {stage.swarm.daemon.process.pid}"


def reload(stage: Stage, _fault: Fault) -> str:
    """Have it begin anew, as ``supervisorctl reload`` does."""

    def has_reloaded() -> bool:
        with suppress(*NOT_POSSIBLE):
            return bool(stage.swarm.daemon.rpc.processes())
        return False

    with _upheaval(stage):
        stage.swarm.daemon.rpc._call("supervisor.restart")
        eventually(has_reloaded, within_s=RELOADED_WITHIN_S, describe="a reload's end")
    return "done"


@contextmanager
def _upheaval(stage: Stage) -> Iterator[None]:
    began_s = time.monotonic()
    _excuse_all(stage)
    stage.book.listener_ends += 1
    yield
    # One that was started just before may have lived for too short to be sampled.
    stage.book.excused |= settling.stopped(stage.swarm)
    stage.book.upheavals.append((began_s, time.monotonic()))


def _excuse_all(stage: Stage) -> None:
    """Book that whatever is under way now ends without a record."""
    processes = settling.stopped(stage.swarm) | stage.present()
    stage.book.excuse_all(processes, now_s=time.monotonic())
