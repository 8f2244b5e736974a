"""One run of the demo: a fault after the other, and what becomes of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from swarm_worker.demo.faults import FAULTS, Fault
from swarm_worker.demo.ledger import Ledger
from swarm_worker.demo.screen import Screen
from swarm_worker.demo.summary import Outcome, summary_of
from swarm_worker.demo.swarm import DemoSwarm
from swarm_worker.demo.traffic import PER_SECOND, Traffic

NODES: Final = 4  # numprocs of conf/demo/supervisord.conf
LOOK_S: Final = 0.1
SETTLED_S: Final = 1.5  # a node that consumed within this time consumes
CLEAR_UP_S: Final = 8.0  # what the end takes at most, of the seconds that are given


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
        self._traffic = Traffic(swarm, self._ledger)

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
            self._traffic.end()
            self._wait_for(lambda: not self._ledger.sums()["lost"])
        except TimeoutError:
            self._say("The time is up.")

    def _go_through(self, fault: Fault) -> None:
        """Have a node misbehave, and follow it until its next process consumes."""
        outcome, began_at_s = self._begin(fault)
        node, pid = fault.node, outcome.pid

        def is_back() -> bool:
            return self._ledger.pids[node] != pid

        self._wait_for(lambda: pid in self._swarm.records() or is_back())
        record = self._swarm.records().get(pid)
        if record:
            outcome.status, outcome.reason = record["status"], record["reason"]
            outcome.found_after_s = _age_s(began_at_s)
            self._missing[fault] = "did not consume again"
            what = f"status {outcome.status}, {outcome.reason}"
            self._say(f"Found: {what}. The listener restarts it.")

        self._wait_for(is_back)
        outcome.consumed_again_after_s = took_s = _age_s(began_at_s)
        if outcome.status == fault.status:
            del self._missing[fault]
        elif record:
            self._missing[fault] = f"status {outcome.status}, expected {fault.status}"
        again = f"{took_s:.1f} s after it went wrong"
        self._say(f"Node {node} consumes again, {again}.")

    def _begin(self, fault: Fault) -> tuple[Outcome, float]:
        """Order a fault; return its outcome so far, and when its node began with it."""
        order = self._swarm.folder / f"{fault.node}.{fault.name}"
        order.touch()
        self._wait_for(lambda: not order.exists())
        began_at_s, pid = time.monotonic(), self._ledger.pids[fault.node]
        outcome = Outcome(fault.node, fault.name, pid)
        self._outcomes.append(outcome)
        self._missing[fault] = "was not found"
        self._say(f"Node {fault.node} {fault.story}.")
        return outcome, began_at_s

    def _wait_for(self, is_so: Callable[[], bool]) -> None:
        """Keep everything going until something is so, or raise TimeoutError."""
        while not is_so():
            if time.monotonic() > self._give_up_at_s:
                raise TimeoutError
            self._swarm.check()
            self._traffic.send()
            self._ledger.read()
            sums = self._ledger.sums()
            self._show(f"produced {sums['produced']}, processed {sums['processed']}")
            threading.Event().wait(LOOK_S)

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
        figures = {**self._ledger.sums(), "seconds": _age_s(self._begun_at_s)}
        return summary_of(figures, self._outcomes, self._missing, len(others))


def _age_s(since_s: float) -> float:
    return round(time.monotonic() - since_s, 3)
