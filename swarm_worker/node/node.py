"""The life of a node: boot, work, quiet, stop.

The main thread boots the node and then does nothing but wait, for signals and for
facts from the other threads: one thread per consumer polls, others run handlers, one
reports. So a signal is answered whatever handlers do, as long as the GIL is free.
"""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from swarm_worker.node import hooks
from swarm_worker.node.boot import Boot, Booted, BootFailedError, Launch
from swarm_worker.node.consumers import LOOK_S
from swarm_worker.node.slot import SlotHeldError
from swarm_worker.node.spare import Orders
from swarm_worker.process import exit_codes as exits
from swarm_worker.process.shutdown_deadline import Deadline
from swarm_worker.process.signals import STOP, StopAsked
from swarm_worker.reporting.clock import NodeClock
from swarm_worker.reporting.lifecycle import Lifecycle
from swarm_worker.reporting.progress import Progress
from swarm_worker.shared.report import Report, State

if TYPE_CHECKING:
    from swarm_worker.reporting.reporter import Reporter

# What in-flight batches get when the node ends for a reason that is not a stop: it
# bounds the duplicates, yet a fenced node must be gone soon.
_FAILING_S: Final = 5.0

_RETIRES: Final = "its partitions go to other nodes when it stops; CONT takes it back"
_IS_SPARE: Final = "its group is to run without it"
_RETIRED_EARLY: Final = (
    "it stopped before it had joined; partitions of an earlier life of it wait until "
    "that one's session ends"
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a node ends.

    Attributes:
        code: The exit code, unless something fails on the way.
        within_s: What batches in flight get.
    """

    code: int
    within_s: float


class Node:
    """One node, from boot to exit code."""

    def __init__(self, launch: Launch) -> None:
        """Make a node that has done nothing yet."""
        self._settings = launch.invocation.settings
        self._orders = Orders(self._settings, launch.environ)
        self._app_path = launch.invocation.app
        self._inbox = launch.inbox
        self._last_act = launch.last_act
        self._lifecycle = Lifecycle()
        self._progress = Progress(
            node=self._settings.node,
            pid=os.getpid(),
            max_poll_interval_ms=self._settings.max_poll_interval_ms,
        )
        self.clock = NodeClock()
        self._boot = Boot(launch, self._progress, self.clock)
        self._carry_over = self._boot.carry_over
        self._reporter: Reporter | None = None

    def describe(self, now_s: float) -> Report:
        """Return the report of a moment of the node's clock."""
        state = self._lifecycle.state(joined=self._progress.has_joined())
        died = self._carry_over.died_in_flight if state is State.BOOTING else ()
        return self._progress.report(state, died_in_flight=died, now_s=now_s)

    def run(self, reporter: Reporter | None) -> int:
        """Boot, work and stop; return the exit code.

        Args:
            reporter: Reports what `describe` gives; None outside supervisord.

        Raises:
            ConfigError: The app, its routes or the settings cannot work.
        """
        self._reporter = reporter
        if reporter:
            reporter.start()
        try:
            booted = self._boot.run()
        except StopAsked:
            self._carry_over.restore()
            return self._stop(self._as_asked, None)
        except SlotHeldError as error:
            logger.error("slot_held reason=%r", str(error))  # noqa: TRY400 - no traceback
            return exits.SLOT_HELD
        except BootFailedError as failed:
            logger.error("%s", failed, exc_info=failed.__cause__)  # noqa: TRY400 - cause
            return exits.CRASHED
        self._start(booted)
        return self._stop(self._work(booted), booted)

    # --- work -------------------------------------------------------------------------

    def _start(self, booted: Booted) -> None:
        booted.consumers.start()
        self._lifecycle.started = True
        logger.info(
            "node_started node=%s nodes=%s pid=%s app=%s",
            self._settings.node,
            self._settings.nodes,
            os.getpid(),
            self._app_path,
        )

    def _work(self, booted: Booted) -> Ending:
        """Wait until the node has to end; return how."""
        while True:
            self._keep(booted)
            self._carry_over.keep(booted.consumers.suspects)
            if self._orders.make_spare():
                return self._leave_as_spare()
            booted.consumers.start_handlers()
            # Looked at first: a thread that gives a reason does so before it ends.
            dead = self._dead_thread(booted)
            for fact in self._inbox.wait(0.0 if dead else LOOK_S):
                if (ending := self._ending_by(fact)) is not None:
                    return ending
                self._obey(fact, booted)
            if dead:
                logger.error("node_crashed reason='the %s is dead'", dead)
                return Ending(code=exits.CRASHED, within_s=_FAILING_S)

    def _ending_by(self, fact: Exception | signal.Signals) -> Ending | None:
        """Return how the node ends for a fact; None if it does not."""
        if isinstance(fact, Exception):
            code = _exit_code(fact)
            logger.error("node_failed exit_code=%s reason=%r", code, str(fact))
            return Ending(code=code, within_s=_FAILING_S)
        if fact in STOP:
            logger.info(
                "node_stopping signal=%s retires=%s", fact.name, self._inbox.retires
            )
            return self._as_asked
        return None

    def _obey(self, fact: Exception | signal.Signals, booted: Booted) -> None:
        """Do what a signal says that does not stop."""
        if fact is signal.SIGUSR1:
            logger.info("node_retires consequence=%r", _RETIRES)
            return
        quiet = fact is signal.SIGTSTP
        if quiet == self._lifecycle.quiet:
            return
        self._lifecycle.quiet = quiet
        if quiet:
            booted.consumers.quiet()
        else:
            booted.consumers.resume()
        self._announce()
        logger.info("node_quiet" if quiet else "node_resumed")

    def _keep(self, booted: Booted) -> None:
        try:
            booted.keep()
        except SlotHeldError as error:
            self._inbox.put(error)  # the file decides who this node is

    def _dead_thread(self, booted: Booted) -> str | None:
        """Return the name of a thread that ended without being asked to."""
        if dead := booted.consumers.dead_thread:
            return dead
        return "reporter" if self._reporter and not self._reporter.alive else None

    # --- stop -------------------------------------------------------------------------

    def _leave_as_spare(self) -> Ending:
        self._inbox.retires = True
        logger.info("node_stopping reason=%r retires=True", _IS_SPARE)
        return self._as_asked

    @property
    def _as_asked(self) -> Ending:
        within_s = self._settings.shutdown_timeout_s
        return Ending(code=exits.STOPPED, within_s=within_s)

    def _stop(self, ending: Ending, booted: Booted | None) -> int:
        """Let handlers finish, commit, leave; return the exit code.

        Order matters: consumers first, then the hooks, when no handler runs. Nothing is
        booted where a signal has ended the boot.
        """
        code = ending.code
        deadline = self._boot.deadline or self._deadline(ending, booted)
        self._inbox.interrupt_no_more()
        self._lifecycle.stopping = True
        self._progress.is_spare = self._inbox.retires and self._orders.make_spare()
        self._announce()
        if booted:
            code = self._drain(booted, code) or code
        elif self._inbox.retires:
            logger.warning("not_left reason=%r", _RETIRED_EARLY)
        if not hooks.run_on_stop(self._boot.hooks_due):
            code = exits.CRASHED
        if code == exits.STOPPED and booted:
            self._carry_over.keep(())  # a stop in order ends the count
        if code == exits.STOPPED and self._progress.is_spare:
            code = exits.SPARE
        dropped = self._end_reports(code)
        deadline.disarm()
        logger.info("node_stopped exit_code=%s dropped_reports=%s", code, dropped)
        return code

    def _end_reports(self, code: int) -> int:
        """Report no more; return how many reports were dropped."""
        if self._reporter is None:
            return 0
        self._reporter.stop()
        if code == exits.SPARE:  # unless that is known, its end is a death
            self._reporter.tell_end()
        return self._reporter.dropped

    def _deadline(self, ending: Ending, booted: Booted | None) -> Deadline:
        is_outlived = booted is not None and ending.code == exits.STOPPED
        return Deadline(
            min(ending.within_s, self._settings.shutdown_timeout_s),
            code=exits.OUTLIVED if is_outlived else ending.code,
            describe=partial(self._last_words, self.clock()),
            leave=self._last_act.leave,
        )

    def _drain(self, booted: Booted, code: int) -> int:
        """Wait for the consumers, without an end: the deadline ends the process.

        Only a node that ends as asked leaves: another one is started again.
        """

        def leaves() -> bool:  # USR1 may still come
            return code == exits.STOPPED and self._inbox.retires

        booted.consumers.stop(leaves=leaves, look=partial(self._keep, booted))
        failed = [fact for fact in self._inbox.wait(0) if isinstance(fact, Exception)]
        for fact in failed:
            logger.error("node_failed reason=%r", str(fact))
        return _exit_code(failed[0]) if failed else exits.STOPPED

    def _last_words(self, stopped_at_s: float) -> str:
        # A batch that was within its time when the stop came is a slow one: the next
        # process is not to count this end as a death of its messages.
        hangs_after_ms = self._settings.limits.consuming_ms
        hangs_after_s = inf if hangs_after_ms is None else hangs_after_ms / 1000
        self._progress.forget_begun_after(stopped_at_s - hangs_after_s)
        report = self.describe(self.clock())
        return f"shutdown_timeout_exceeded in_flight={','.join(report.in_flight)}"

    def _announce(self) -> None:
        if self._reporter:
            self._reporter.wake()


def _exit_code(error: Exception) -> int:
    code: int = getattr(error, "exit_code", exits.FATAL)
    return code
