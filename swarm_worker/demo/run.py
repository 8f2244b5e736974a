"""One run of the demo: a fault after the other, what becomes of each, the figures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from swarm_worker.demo.faults import FAULTS, Fault
from swarm_worker.demo.ledger import Ledger
from swarm_worker.demo.screen import Screen
from swarm_worker.demo.swarm import PARTITIONS, DemoSwarm

NODES: Final = 4  # numprocs of conf/demo/supervisord.conf
PER_SECOND: Final = 100
LOOK_S: Final = 0.1
SETTLED_S: Final = 1.5  # a node that consumed within this time consumes
CLEAR_UP_S: Final = 8.0  # what the end takes at most, of the seconds that are given
FLUSH_S: Final = 10.0

ALL_WELL: Final = "OK: each fault was found and got over, and nothing was lost."


@dataclass(slots=True)
class Outcome:
    """What became of a fault; seconds are counted from its beginning."""

    node: int
    fault: str
    pid: int  # of the process that misbehaved
    status: int | None = None
    reason: str | None = None
    found_after_s: float | None = None
    consumed_again_after_s: float | None = None


class Run:
    """One run in progress."""

    def __init__(self, swarm: DemoSwarm, screen: Screen, *, seconds: float) -> None:
        self._swarm = swarm
        self._say = screen.say
        self._show = screen.show
        self._begun_at_s = time.monotonic()
        self._give_up_at_s = self._begun_at_s + seconds - CLEAR_UP_S
        self._outcomes: list[Outcome] = []
        self._missing = dict.fromkeys(FAULTS, "its turn did not come")  # for a success
        self._ledger = Ledger(swarm.folder / "processed")
        broker = {"bootstrap.servers": swarm.bootstrap, "log_level": 0}
        self._producer = Producer(broker)
        self._is_producing = True
        self._sent_count = 0

    def run(self) -> None:
        """Go through all faults, or until the time is up."""
        self._say(
            f"A producer sends {PER_SECOND} messages a second to "
            f"{self._swarm.bootstrap}; supervisord starts {NODES} nodes."
        )
        try:
            self._wait_for(self._all_consume)
            self._say(f"All {NODES} nodes consume. Now for some trouble.")
            for fault in FAULTS:
                self._go_through(fault)
                self._wait_for(self._all_consume)
            self._say("No more faults. The producer stops; what is left is finished.")
            self._is_producing = False
            self._producer.flush(FLUSH_S)
            self._wait_for(lambda: not self._ledger.sums()["lost"])
        except TimeoutError:
            self._say("The time is up.")

    def _go_through(self, fault: Fault) -> None:
        """Have a node misbehave, and follow it until its next process consumes."""
        order = self._swarm.folder / f"{fault.node}.{fault.name}"
        order.touch()
        self._wait_for(lambda: not order.exists())
        began_at_s, pid = time.monotonic(), self._ledger.pids[fault.node]
        outcome = Outcome(fault.node, fault.name, pid)
        self._outcomes.append(outcome)
        self._missing[fault] = "was not found"
        self._say(f"Node {fault.node} {fault.story}.")

        def is_back() -> bool:
            return self._ledger.pids[fault.node] != pid

        self._wait_for(lambda: pid in self._swarm.records() or is_back())
        if record := self._swarm.records().get(pid):
            outcome.status, outcome.reason = record["status"], record["reason"]
            outcome.found_after_s = round(time.monotonic() - began_at_s, 3)
            self._missing[fault] = "did not consume again"
            what = f"status {outcome.status}, {outcome.reason}"
            self._say(f"Found: {what}. The listener restarts it.")

        self._wait_for(is_back)
        took_s = outcome.consumed_again_after_s = round(
            time.monotonic() - began_at_s, 3
        )
        if outcome.status == fault.status:
            del self._missing[fault]
        elif record:
            self._missing[fault] = f"status {outcome.status}, expected {fault.status}"
        again = f"{took_s:.1f} s after it went wrong"
        self._say(f"Node {fault.node} consumes again, {again}.")

    def _wait_for(self, is_so: Callable[[], bool]) -> None:
        """Keep everything going until something is so, or raise TimeoutError."""
        while not is_so():
            if time.monotonic() > self._give_up_at_s:
                raise TimeoutError
            self._swarm.check()
            self._produce()
            self._ledger.read()
            sums = self._ledger.sums()
            self._show(f"produced {sums['produced']}, processed {sums['processed']}")
            threading.Event().wait(LOOK_S)

    def _produce(self) -> None:
        """Send what is due, and hear of what has arrived."""
        due_count = (time.monotonic() - self._begun_at_s) * PER_SECOND
        while self._is_producing and self._sent_count < due_count:
            self._producer.produce(
                self._swarm.topic,
                str(self._sent_count),
                partition=self._sent_count % PARTITIONS,
                on_delivery=self._delivered,
            )
            self._sent_count += 1
        self._producer.poll(0)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._ledger.acknowledged.add(int(message.value() or b""))

    def _all_consume(self) -> bool:
        since_s = time.monotonic() - SETTLED_S
        fresh = [at_s for at_s in self._ledger.consumed_at_s.values() if at_s > since_s]
        return len(fresh) == NODES

    def summary(self) -> dict[str, Any]:
        """Return what it came to, as ``--json`` tells it."""
        mine = {outcome.pid for outcome in self._outcomes}
        others = [r for pid, r in self._swarm.records().items() if pid not in mine]
        for other in others:
            self._say(f"Also restarted: {other['node']}, {other['reason']}.")
        took_s = round(time.monotonic() - self._begun_at_s, 3)
        figures = {**self._ledger.sums(), "seconds": took_s}
        return summary_of(figures, self._outcomes, self._missing, len(others))


def summary_of(
    figures: dict[str, Any],
    outcomes: list[Outcome],
    missing: dict[Fault, str],
    others: int,
) -> dict[str, Any]:
    """Return what a run came to; ``missing`` says what did not happen."""
    complaints = [] if figures["processed"] else ["no message was processed"]
    if figures["lost"]:
        complaints.append(f"{figures['lost']} messages are not processed")
    for fault, what in missing.items():
        complaints.append(f"node {fault.node} ({fault.name}): {what}")
    return {
        "ok": not complaints,
        **figures,
        "faults": [asdict(outcome) for outcome in outcomes],
        "other_restarts": others,
        "complaints": complaints,
    }


def as_text(summary: dict[str, Any]) -> str:
    """Return a summary as lines of at most 80 columns; what is missing stands last."""
    head = (
        "\nproduced {produced}   processed {processed}   lost {lost}   "
        "duplicates {duplicates}   ({seconds:.0f} s)\n\n"
        "node  fault    status  found after  consumed again after"
    )
    row = (
        "{node:>4}  {fault:<8} {status:>5}  {found_after_s:>9.1f} s  "
        "{consumed_again_after_s:>18.1f} s"
    )
    over = [outcome for outcome in summary["faults"] if None not in outcome.values()]
    rows = [head.format_map(summary), *(row.format_map(outcome) for outcome in over)]
    failures = [f"FAILED: {complaint}" for complaint in summary["complaints"]]
    return "\n".join([*rows, "", *(failures or [ALL_WELL])])
