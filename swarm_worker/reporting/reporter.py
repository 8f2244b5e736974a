"""The thread that reports: driven by time alone, never by polls or handlers.

It looks twice a second, and when a limit is about to be crossed.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from swarm_worker.process import exit_codes as exits
from swarm_worker.process import stacks
from swarm_worker.process.own_thread import OwnThread
from swarm_worker.process.parent_death import ParentWatch
from swarm_worker.reporting.channel import Channel, ChannelGone
from swarm_worker.reporting.clock import NodeClock
from swarm_worker.reporting.schedule import Crossings, Limits, Schedule
from swarm_worker.shared.report import Report, State, encode

# How often it looks whether supervisord is there, whether the state changed, and
# whether it was itself frozen.
_CHECK_S: Final = 0.5

# The state; of a quiet node, whether it is idle; whether its groups have let it in.
_Standing = tuple[State, bool, bool]


class Reporter(OwnThread):
    """Writes reports to supervisord and ends the process when that is gone.

    It logs nothing: a log that blocks must not delay a report.
    """

    def __init__(
        self,
        *,
        channel: Channel,
        parent: ParentWatch,
        describe: Callable[[float], Report],
        interval_s: float,
        clock: NodeClock,
        limits: Limits,
        monotonic: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
        on_orphaned: Callable[[str], object] | None = None,
    ) -> None:
        """Make a reporter that has not started.

        Args:
            channel: Where reports go.
            parent: Knows whether supervisord, the parent, has exited.
            describe: Gives the report of a moment of the node's clock; called on the
                reporter's thread. ``seq`` and ``at_ms`` are filled in here.
            interval_s: Between reports.
            clock: The node's clock; told here when the node was frozen.
            limits: Ages that are reported as soon as they are crossed.
            monotonic: CLOCK_MONOTONIC, in seconds.
            cpu: CPU time of the process, in seconds.
            on_orphaned: Called with the reason when supervisord is gone; by default
                the process exits 3 at once, whatever its other threads do.
        """
        super().__init__("swarm-reporter")
        self._channel = channel
        self._parent = parent
        self._describe = describe
        self._schedule = Schedule(interval_s=interval_s)
        self._crossings = Crossings(limits)
        self._clock = clock
        self._monotonic = monotonic
        self._expected_s = monotonic()
        self._cpu = cpu
        self._cpu_s = cpu()
        self._on_orphaned = on_orphaned or _exit_orphaned
        self._seq = 0
        self._told: _Standing | None = None
        self._wake = threading.Event()
        self._stopping = False

    @property
    def dropped(self) -> int:
        """Reports that would have blocked."""
        return self._channel.dropped

    def start(self) -> None:
        """Write the first report, then start the thread."""
        self.step()
        super().start()

    def wake(self) -> None:
        """Report a changed state now, not at the next check."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread; waits for a report that is being written."""
        self._stopping = True
        self._wake.set()
        self.join(_CHECK_S)

    def tell_end(self) -> None:
        """Write one more report, however many there were just now; after `stop`."""
        self._write(self._describe(self._clock()), self._monotonic())

    def step(self) -> float:
        """Do what is due; return the seconds until the next look."""
        now_s = self._monotonic()
        cpu_s = self._cpu()
        self._clock.woke(late_s=now_s - self._expected_s, busy_s=cpu_s - self._cpu_s)
        self._cpu_s = cpu_s
        if self._parent.has_exited:
            self._on_orphaned("its parent process ended")
        elif self._channel.is_broken:
            self._on_orphaned("nobody reads its reports")
        report = self._describe(self._clock())
        has_crossed = self._crossings.look(report)
        changed = has_crossed or _standing(report) != self._told
        due_at_s = self._schedule.due_at_s(now_s=now_s, changed=changed)
        if due_at_s <= now_s:
            self._write(report, now_s)
            self._schedule.wrote(due_at_s=due_at_s, now_s=now_s)
            due_at_s = self._schedule.due_at_s(now_s=now_s, changed=False)
        crosses_in_s = self._crossings.next_in_s(report)
        wait_s = min(_CHECK_S, crosses_in_s, max(0.0, due_at_s - now_s))
        self._expected_s = now_s + wait_s
        return wait_s

    def _write(self, report: Report, now_s: float) -> None:
        frame = encode(
            dataclasses.replace(report, seq=self._seq, at_ms=round(now_s * 1000))
        )
        self._seq += 1
        try:
            if self._channel.send(frame):
                self._told = _standing(report)
                self._crossings.told(report)
        except ChannelGone as gone:
            self._on_orphaned(str(gone))

    def _run(self) -> None:
        # Signals are the main thread's: one that was delivered here would not wake it.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._stopping:
            # Who reads a dump of all stacks, a late one, too, finds whose it is.
            stacks.signed(Reporter._turn)(self)

    def _turn(self) -> None:
        wait_s = self.step()
        self._wake.wait(wait_s)
        self._wake.clear()


def _standing(report: Report) -> _Standing:
    """Return what is reported as soon as it changes.

    A roll waits for a quiet node until that has ended its work.
    """
    is_idle = report.consume_age_ms is None
    return (
        report.state,
        report.state is State.QUIET and is_idle,
        not report.not_joined,
    )


def orphaned(reason: str) -> str:
    """Return the last line of a process whose supervisord is gone."""
    return f"node_orphaned reason={reason!r}"


def _exit_orphaned(reason: str) -> None:
    exits.leave(exits.ORPHANED, orphaned(reason))
