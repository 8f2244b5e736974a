"""What happens to nodes. Each function brings it about, and says to whom."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Final

from tests.awaits import await_seconds
from tests.faults.book import Process
from tests.faults.schedule import Fault
from tests.faults.stage import Illness, Stage
from tests.process import scenes
from tests.process.proxy import Blow

# Scripted nodes only report an illness.
REPORTED: Final[Mapping[str, Illness]] = {
    "silent": ({"silent": True}, {-1}),
    "raves": ({"raw": "<!--XSUPERVISOR:BEGIN-->" + "[" * 300}, {-1}),
    "hangs": ({"consume_age_ms": 9_000}, {2}),
    "hangs, deaf": ({"consume_age_ms": 9_000, "ignore_term": True}, {2}),
    "polls no more": ({"poll_age_ms": 9_000}, {1}),
    "exits": ({"exit": 1}, set()),
}
# Nodes on Kafka have it: what a handler can do to its node, see `ledger_app`.
REAL: Final[Mapping[str, Illness]] = {
    "silent": ({"fault": "hold_gil"}, {-1}),
    "raves": ({"fault": "forge"}, set()),
    "hangs": ({"fault": "hang"}, {2}),
    "hangs, deaf": ({"fault": "hang"}, {2}),
    "polls no more": ({"fault": "hold_gil"}, {-1}),
    "exits": ({"fault": "exit"}, set()),
}
# The tries of a message are over after 7 s, and then again each 8 to 30 s.
DEPENDENCY_AWAY_S: Final = (3.0, 12.0, 25.0)
TOLD_WITHIN_S: Final = 5.0  # one message for each node, on a busy machine
# The listener's last call for a node, and whether supervisord still gets it.
STEPS: Final = tuple(
    (method, is_made)
    for method in ("signalProcess", "stopProcess", "startProcess", "getProcessInfo")
    for is_made in (False, True)
)


def sicken(stage: Stage, fault: Fault, illness: str) -> str:
    """Have a node's present process fall ill."""
    victim = stage.victim(fault)
    script, statuses = stage.scenario.illnesses[illness]
    stage.book.explain(victim, statuses)
    name = victim.slot.partition(":")[2]
    scenes.write_script(stage.swarm.daemon.folder, name, pid=victim.pid, **script)
    return str(victim)


def sicken_and_kill_listener(stage: Stage, fault: Fault, illness: str) -> str:
    """Have the listener die at a step of the restart that follows."""
    method, is_made = fault.pick(STEPS)
    stage.proxy.arm(Blow(method, stage.victim(fault).slot, is_made))
    victim = sicken(stage, fault, illness)
    return f"{victim}, {method} {'made' if is_made else 'not made'}"


def kill(stage: Stage, fault: Fault) -> str:
    """Send KILL."""
    return _kill(stage, stage.victim(fault))


def _kill(stage: Stage, victim: Process) -> str:
    os.kill(victim.pid, signal.SIGKILL)
    stage.book.is_killed(victim, at_s=time.monotonic())
    return str(victim)


def term(stage: Stage, fault: Fault) -> str:
    """Send TERM, as a stranger may."""
    return _term(stage, stage.victim(fault))


def _term(stage: Stage, victim: Process) -> str:
    stage.book.is_told_to_end(victim, at_s=time.monotonic())
    os.kill(victim.pid, signal.SIGTERM)
    return str(victim)


def freeze(stage: Stage, fault: Fault) -> str:
    """Stop for good: silence."""
    victim = stage.victim(fault, awake=True)
    os.kill(victim.pid, signal.SIGSTOP)
    stage.asleep.add(victim.pid)
    stage.book.is_killed(victim, at_s=time.monotonic())
    stage.book.explain(victim, {-1})
    return str(victim)


def nap(stage: Stage, fault: Fault) -> str:
    """Stop, and continue before anybody may mind."""
    victim = stage.victim(fault, awake=True)
    lasts_s = min(fault.lasts_s, stage.scenario.nap_s)
    began_s = time.monotonic()
    os.kill(victim.pid, signal.SIGSTOP)
    stage.asleep.add(victim.pid)

    def wake() -> None:
        scenes.signal_if_alive(victim.pid, signal.SIGCONT)
        stage.asleep.discard(victim.pid)
        span = began_s, time.monotonic()
        stage.book.naps.setdefault(victim.pid, []).append(span)

    stage.later(began_s + lasts_s, wake)
    return f"{victim} for {lasts_s} s"


def cut_off(stage: Stage, fault: Fault) -> str:
    """Leave a node alone without a broker: nothing but a restart helps it.

    On Kafka its next process looks for the brokers where there are none.
    """
    victim = _free(stage, fault)
    if stage.kafka is not None:
        stage.flag(victim.slot, "alone").touch()
        return _kill(stage, victim)
    stage.book.explain(victim, {4})
    name = victim.slot.partition(":")[2]
    since_s = time.monotonic()
    folder = stage.swarm.daemon.folder
    scenes.write_script(folder, name, pid=victim.pid, no_broker_since_s=since_s)
    return str(victim)


def lose_token(stage: Stage, fault: Fault) -> str:
    """Have the token endpoint away as a node starts: it ends with 1, again and again.

    The others have a token, and go on.
    """
    return _turn_away(stage, fault, stage.swarm.daemon.folder / "token_away", "")


def lose_dependency(stage: Stage, fault: Fault) -> str:
    """Have what the handlers call be away: each call fails, on all nodes."""
    flag = stage.swarm.daemon.folder / "away"
    if flag.exists():
        raise FileExistsError(flag)
    flag.touch()
    away_s = fault.pick(DEPENDENCY_AWAY_S)
    stage.later(time.monotonic() + away_s, flag.unlink)
    return f"for {away_s} s"


def refuse(stage: Stage, fault: Fault) -> str:
    """Have what a node is given be one that cannot work: it ends with 78."""
    victim = _free(stage, fault)
    return _turn_away(stage, fault, stage.flag(victim.slot, "refused"), victim.slot)


def _turn_away(stage: Stage, fault: Fault, flag: Path, slot: str) -> str:
    """Have nodes that start end at once for a while, and have one start.

    Args:
        stage: The swarm.
        fault: Whose turn it is, and for how long.
        flag: What is there meanwhile.
        slot: Who is turned away; empty for all.
    """
    victim, began_s = _free(stage, fault), time.monotonic()
    if flag.exists():
        raise FileExistsError(flag)
    flag.touch()
    stage.book.turned_away[slot, began_s] = inf

    def mend() -> None:
        flag.unlink()
        stage.book.turned_away[slot, began_s] = time.monotonic()

    stage.later(began_s + fault.lasts_s, mend)
    return f"{_kill(stage, victim)} for {fault.lasts_s} s"


def _free(stage: Stage, fault: Fault) -> Process:
    """Return a healthy node that no operator holds: nobody would start it again."""
    victim = stage.victim(fault, healthy=True)
    if victim.slot in stage.book.held_at_s:
        raise ProcessLookupError("an operator holds it")
    return victim


def leave_children(stage: Stage, fault: Fault) -> str:
    """End a node, in one way or the other, whose handlers have started processes."""
    assert stage.offspring is not None
    victim = stage.victim(fault, healthy=True)
    name, how = victim.slot.partition(":")[2], fault.pick(("KILL", "TERM", "hangs"))
    folder = stage.swarm.daemon.folder
    waits = {"fault": "wait for a child" if how == "hangs" else "leave children"}
    if how == "hangs":
        stage.book.explain(victim, {2})
    scenes.write_script(folder, name, pid=victim.pid, **waits)
    until_s = time.monotonic() + TOLD_WITHIN_S
    while not stage.offspring.of(victim.pid):
        if time.monotonic() > until_s:
            raise ProcessLookupError("it has nothing to handle")
        await_seconds(0.1)
    if how != "hangs":
        (_kill if how == "KILL" else _term)(stage, victim)
    return f"{victim} {how}"
