"""What an operator does, and what he wants from then on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from swarm_event_listener.core.model.events import OrderKind, RollOrdered
from swarm_event_listener.supervisord.operator_commands import encode, encode_roll
from swarm_worker.process import exit_codes
from tests.awaits import await_seconds
from tests.eventually import eventually
from tests.faults import settling
from tests.faults.book import Process
from tests.faults.broker_faults import frozen
from tests.faults.schedule import Fault
from tests.faults.stage import NOT_POSSIBLE, Stage
from tests.process import orders
from tests.process.swarms import GROUP, LISTENER, replace_text

TAKEN_WITHIN_S = 20.0
GUARD_WITHIN_S = 45.0  # a frozen broker: its sessions, and the limit of rule 4
GUARDED_S = 8.0  # longer than the limits of rules 1 and 2
NUMBERS = (2, 3, 4, 6)  # equal shares of the partitions


def stop(stage: Stage, fault: Fault) -> str:
    """Stop a healthy node, and leave it so."""
    return str(_stop(stage, fault))


def _stop(stage: Stage, fault: Fault) -> Process:
    return _stop_one(stage, stage.victim(fault, healthy=True))


def _stop_one(stage: Stage, victim: Process) -> Process:
    now_s = time.monotonic()
    if stage.disk.trouble and victim.slot in stage.swarm.intents():
        # A known limit: the next listener would finish the restart, and start it.
        raise ProcessLookupError("the journal cannot forget its restart")
    stage.swarm.daemon.rpc.stop(victim.slot)
    stage.book.is_told_to_end(victim, at_s=now_s)
    stage.book.excused.add(victim)
    stage.book.stopped_at_s[victim.slot] = time.monotonic()
    return victim


def stop_most(stage: Stage, fault: Fault) -> str:
    """Stop half or most, with Kafka away for the rest: nobody may touch these.

    It begins in peace, and nothing else goes on meanwhile but that the listener may
    die: whoever is ill, or comes back, would be another trouble.
    """
    half = stage.scenario.nodes // 2
    left_count, dies = fault.pick(((half, False), (half, True), (2, False), (2, True)))
    settling.await_peace(stage)
    if any(_is_frozen(node) for node in stage.swarm.status()["nodes"]):
        raise ProcessLookupError("one that is held freezes the group, for minutes")
    present = [stage.present_of(slot) for slot in stage.slots]
    free = [one for one in present if one and one.slot not in stage.book.held_at_s]
    stops = free[left_count:]
    if len(stage.book.held_at_s) > left_count or len(free) < left_count or not stops:
        raise ProcessLookupError("too few are left")
    eventually(
        lambda: all(map(stage.is_old_enough, stops)),
        within_s=TAKEN_WITHIN_S,
        describe="no node is too young for an operator",
    )
    for one in stops:
        _stop_one(stage, one)
    _await_guard(stage, dies=dies)
    for one in stops:
        _start(stage, one.slot)
    listener_dies = ", the listener died" if dies else ""
    return f"{len(stops)} stopped, {len(free) - len(stops)} left{listener_dies}"


def _is_frozen(node: dict[str, Any]) -> bool:
    return bool(node["report"]) and node["report"]["unsteady_ms"] is not None


def _await_guard(stage: Stage, *, dies: bool) -> None:
    """Have Kafka away until the outage guard has spoken, and for longer than limits."""

    def has_spoken() -> bool:
        return stage.swarm.log.count("outage_guard_holds_fire") > said

    said = stage.swarm.log.count("outage_guard_holds_fire")
    with _kafka_away(stage):
        eventually(has_spoken, within_s=GUARD_WITHIN_S, describe="the outage guard")
        if dies:
            os.kill(stage.listener(), signal.SIGKILL)
            stage.book.listener_ends += 1
        await_seconds(GUARDED_S)


@contextmanager
def _kafka_away(stage: Stage) -> Iterator[None]:
    if stage.kafka is not None:
        with frozen(stage):
            yield
        return
    path = stage.swarm.daemon.folder / "kafka_away"
    replace_text(path, str(time.monotonic()))
    try:
        yield
    finally:
        path.unlink()


def start(stage: Stage, _fault: Fault) -> str:
    """Start what he has stopped."""
    slot = min(stage.book.stopped_at_s, default=None)
    if slot is None or stage.swarm.daemon.state(slot) != "STOPPED":
        # supervisord takes the start of one that is stopping, and does nothing.
        raise ProcessLookupError("none is stopped")
    _start(stage, slot)
    return slot


def _start(stage: Stage, slot: str) -> None:
    now_s = time.monotonic()
    stage.swarm.daemon.rpc.start(slot)
    stage.book.is_up(slot, from_s=now_s)


def restart(stage: Stage, fault: Fault) -> str:
    """Stop a node, and start it once it is down and nothing else is being done."""
    victim = _stop(stage, fault)
    slot = victim.slot

    def is_started() -> bool:
        if slot in stage.book.stopped_at_s:
            with suppress(*NOT_POSSIBLE):
                if stage.swarm.daemon.state(slot) == "STOPPED":
                    _start(stage, slot)
        return slot not in stage.book.stopped_at_s

    stage.later(time.monotonic(), is_started)
    return str(victim)


def roll(stage: Stage, _fault: Fault) -> str:
    """Have all nodes restarted one after the other."""
    order = encode_roll(RollOrdered(group=GROUP, max_unavailable=2, timeout_s=10))
    stage.swarm.daemon.rpc.send_event(order.type, order.data)
    stage.book.rolls += 1
    return "asked for"


def scale(stage: Stage, fault: Fault) -> str:
    """Have more or fewer nodes run; who is missing is started, but not always.

    Whoever gave the order may be killed before that; then it is the listener's.
    """
    nodes = fault.pick(NUMBERS)
    before = stage.book.scaled[-1][1] if stage.book.scaled else stage.scenario.nodes
    if nodes == before:
        raise ProcessLookupError("so many are to run already")
    if set(stage.slots[nodes:]) & stage.book.held_at_s.keys():
        raise ProcessLookupError("an operator holds one that would go")
    stage.book.scaled.append((time.monotonic(), nodes))
    orders.order(stage.swarm.daemon.folder, nodes)
    is_killed = bool(fault.node % 2)
    if not is_killed:
        _start_missing(stage, stage.slots[:nodes])
    return f"{nodes} of {stage.scenario.nodes}{', and is killed' * is_killed}"


def _start_missing(stage: Stage, wanted: Collection[str]) -> None:
    for info in stage.swarm.daemon.rpc.processes():
        is_spare = info.state == "EXITED" and info.exit_code == exit_codes.SPARE
        if info.name in wanted and is_spare:
            with suppress(*NOT_POSSIBLE):  # the listener may be faster
                stage.swarm.daemon.rpc.start(info.name)


def hold(stage: Stage, fault: Fault) -> str:
    """Hold a healthy node; a hold that cannot be kept is not to be relied on."""
    if stage.disk.trouble:
        raise ProcessLookupError("the listener cannot keep it")
    victim = stage.victim(fault, healthy=True)
    order(stage, OrderKind.HOLD, victim.slot)
    stage.book.held_at_s.setdefault(victim.slot, time.monotonic())
    return str(victim)


def release(stage: Stage, _fault: Fault) -> str:
    """Release what the operator holds."""
    slot = min(stage.book.held_at_s, default=None)
    if slot is None or stage.disk.trouble:
        raise ProcessLookupError("none is held, or the listener cannot keep it")
    _release(stage, slot)
    return slot


def _release(stage: Stage, slot: str) -> None:
    now_s = time.monotonic()
    order(stage, OrderKind.RELEASE, slot)
    stage.book.is_released(slot, from_s=now_s)


def order(stage: Stage, kind: OrderKind, slot: str) -> None:
    """Send an order, and wait until the listener says that it has taken it.

    One that dies with the order unread takes it along, as `swarm hold` would tell: then
    the operator gives it to the next one.
    """
    daemon, told = stage.swarm.daemon, encode(kind, [slot])
    given_to: set[int] = set()

    def is_taken() -> bool:
        stage.undo(until_s=time.monotonic())
        listener = daemon.pid(LISTENER)
        if listener is not None and listener not in given_to:
            given_to.add(listener)
            daemon.rpc.send_event(told.type, told.data)
        nodes = stage.swarm.status().get("nodes", [])
        held = [node["held"] for node in nodes if node["node"] == slot]
        return held == [kind is OrderKind.HOLD]

    eventually(is_taken, within_s=TAKEN_WITHIN_S, describe=f"{slot}: {kind}")


def release_all(stage: Stage) -> None:
    """Release all. On Kafka one that is ill and held keeps all from a rebalance."""
    stage.undo()
    for slot in sorted(stage.book.held_at_s):
        _release(stage, slot)


def start_all(stage: Stage) -> None:
    """Start all that he has stopped."""
    for slot in sorted(stage.book.stopped_at_s):
        _start(stage, slot)
