"""What an operator does, and what he wants from then on."""

from __future__ import annotations

import time
from contextlib import suppress

from swarm_event_listener.core.model.events import RollOrdered, Word
from swarm_event_listener.supervisord.operator_commands import encode, encode_roll
from tests.eventually import eventually
from tests.faults.book import Process
from tests.faults.schedule import Fault
from tests.faults.stage import NOT_POSSIBLE, Stage
from tests.process.swarms import GROUP

TAKEN_WITHIN_S = 20.0


def stop(stage: Stage, fault: Fault) -> str:
    """Stop a healthy node, and leave it so."""
    return str(_stop(stage, fault))


def _stop(stage: Stage, fault: Fault) -> Process:
    victim, now_s = stage.victim(fault, healthy=True), time.monotonic()
    if stage.disk.trouble and victim.slot in stage.swarm.intents():
        # A known limit: the next listener would finish the restart, and start it.
        raise ProcessLookupError("the journal cannot forget its restart")
    stage.swarm.daemon.rpc.stop(victim.slot)
    stage.book.is_told_to_end(victim, at_s=now_s)
    stage.book.excused.add(victim)
    stage.book.stopped_at_s[victim.slot] = time.monotonic()
    return victim


def start(stage: Stage, _fault: Fault) -> str:
    """Start what he has stopped."""
    slot = min(stage.book.stopped_at_s, default=None)
    if slot is None:
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


def hold(stage: Stage, fault: Fault) -> str:
    """Hold a healthy node; a hold that cannot be kept is not to be relied on."""
    if stage.disk.trouble:
        raise ProcessLookupError("the listener cannot keep it")
    victim = stage.victim(fault, healthy=True)
    order(stage, Word.HOLD, victim.slot)
    stage.book.held_at_s.setdefault(victim.slot, time.monotonic())
    return str(victim)


def release(stage: Stage, _fault: Fault) -> str:
    """Give back what he holds."""
    slot = min(stage.book.held_at_s, default=None)
    if slot is None or stage.disk.trouble:
        raise ProcessLookupError("none is held, or the listener cannot keep it")
    _release(stage, slot)
    return slot


def _release(stage: Stage, slot: str) -> None:
    now_s = time.monotonic()
    order(stage, Word.RELEASE, slot)
    stage.book.is_released(slot, from_s=now_s)


def order(stage: Stage, word: Word, slot: str) -> None:
    """Give an order, and wait until the listener says that it has taken it."""
    told = encode(word, [slot])
    stage.swarm.daemon.rpc.send_event(told.type, told.data)

    def is_taken() -> bool:
        stage.undo(until_s=time.monotonic())
        nodes = stage.swarm.status().get("nodes", [])
        held = [node["held"] for node in nodes if node["node"] == slot]
        return held == [word is Word.HOLD]

    eventually(is_taken, within_s=TAKEN_WITHIN_S, describe=f"{slot}: {word}")


def release_all(stage: Stage) -> None:
    """Give all back. On Kafka one that is ill and held keeps all from a rebalance."""
    stage.undo()
    for slot in sorted(stage.book.held_at_s):
        _release(stage, slot)


def start_all(stage: Stage) -> None:
    """Start all that he has stopped."""
    for slot in sorted(stage.book.stopped_at_s):
        _start(stage, slot)
