"""What happens to nodes. Each function brings it about, and says to whom."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Final

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
    victim = stage.victim(fault)
    os.kill(victim.pid, signal.SIGKILL)
    stage.book.is_killed(victim, at_s=time.monotonic())
    return str(victim)


def term(stage: Stage, fault: Fault) -> str:
    """Send TERM, as a stranger may."""
    victim = stage.victim(fault)
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
