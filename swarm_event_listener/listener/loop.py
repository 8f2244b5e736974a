"""The listener's one thread: supervisord's events, a timer, and what follows of them.

An event is acknowledged as soon as it has been read as a whole, before anything is done
about it: while the listener is busy supervisord keeps the next ones. (An earlier
acknowledgement would make supervisord write into a full pipe, which ends it.)

What the core decides is carried out in order, a little in each turn, so that a
supervisord that answers slowly does not keep its own events from being read.
"""

from __future__ import annotations

import logging
import os
import select
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from swarm_event_listener.core.model.death import OutOfMemory
from swarm_event_listener.core.model.events import (
    Action,
    Closed,
    Closing,
    Event,
    GroupAdded,
    GroupRemoved,
    Lost,
    Remember,
    Reported,
    ScaleRead,
    Signal,
    Stalled,
    StateChanged,
    Stop,
    SupervisorChanged,
    Survey,
    Surveyed,
    Thawed,
    Tick,
    group_of,
)
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.listener.actions import MARK, Actions, needs_supervisor
from swarm_event_listener.outlets.outlets import Outlets
from swarm_event_listener.outlets.status import Counters
from swarm_event_listener.outlets.systemd import HEARD_MAX_S, Watchdog
from swarm_event_listener.storage.scale_orders import ScaleOrders
from swarm_event_listener.supervisord import deafness
from swarm_event_listener.supervisord.exit_reader import ExitReader
from swarm_event_listener.supervisord.log_throttle import LogThrottle
from swarm_event_listener.supervisord.memory import MemoryReader, MemorySampler
from swarm_event_listener.supervisord.node_reports import ReportError
from swarm_event_listener.supervisord.node_reports import decode as decode_report
from swarm_event_listener.supervisord.oom_kills import OomKills
from swarm_event_listener.supervisord.operator_commands import OrderError
from swarm_event_listener.supervisord.operator_commands import decode as decode_order
from swarm_event_listener.supervisord.process_exits import Exits
from swarm_event_listener.supervisord.protocol import (
    ACKNOWLEDGED,
    READY,
    Communication,
    Envelope,
    EventStream,
    Heard,
    RemoteCommand,
    Serials,
    is_output,
)
from swarm_event_listener.supervisord.rpc import TIMEOUT_S
from swarm_worker.shared.report import Report

logger = logging.getLogger(__name__)

TICK_S: Final = 1.0
LEAST_WAIT_S: Final = 0.01  # whatever is due, the listener never spins
STALL_S: Final = 3.0  # the clock is looked at each TICK_S and after each action
CALLS_S: Final = 2 * TIMEOUT_S  # the calls of one action
WORK_S: Final = 0.5  # of a turn for what the core decided
MARK_WAIT_S: Final = 10.0
STATUS_EVERY_S: Final = 2.0
ORDERS_MAX: Final = 100
THAW_S: Final = 10.0  # without an event, and then one: supervisord stood still
SILENCE_MAX_S: Final = 20.0  # TICK_5 comes every 5 s, and up to 2 s late
CLOSING_MAX_S: Final = 8.0  # supervisord KILLs a listener after stopwaitsecs, 10 s

_LARGER: Final = "raise buffer_size in [eventlistener:x]"
_HEARS_OUTPUT: Final = (
    "leave EVENT and PROCESS_LOG out of events= in [eventlistener:x]: each line that a "
    "process prints is an event, and they fill its buffer"
)
_THAWED: Final = "what nodes reported before this is not acted on"

EXIT_OK: Final = 0
EXIT_FRESH: Final = 1  # supervisord shall start the listener afresh


class Listener:
    """Reads, lets the core decide, acts; until it is told to end."""

    def __init__(
        self,
        swarm: Swarm,
        actions: Actions,
        *,
        memory_readers: Mapping[str, MemoryReader],
        exit_reader: ExitReader,
        scale_orders: ScaleOrders,
        outlets: Outlets,
        stdin: int,
        stdout: int,
        wake: int,
        clock: Callable[[], float],
        is_ignored: Callable[[], bool] = lambda: False,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Take all that it works with; nothing is read yet.

        Args:
            swarm: The core.
            actions: What carries out its decisions.
            memory_readers: One for each watched group.
            exit_reader: What `actions` asks how a process ended.
            scale_orders: How many nodes are to run.
            outlets: Where others see how the swarm is.
            stdin: Descriptor of supervisord's events.
            stdout: Descriptor for the answers; nothing else may be written there.
            wake: Descriptor that becomes readable when the listener is to end.
            clock: CLOCK_MONOTONIC, seconds.
            is_ignored: Whether supervisord says that it sends this process no events.
            watchdog: Where systemd is told that the loop turns; None outside of it.
        """
        self._is_ignored = is_ignored
        self._watchdog = watchdog
        self._swarm = swarm
        self._actions = actions
        self._exit_reader = exit_reader
        self._scale_orders = scale_orders
        self._oom_kills = OomKills()
        self._outlets = outlets
        self._stdin, self._stdout, self._wake = stdin, stdout, wake
        self._clock = clock
        self._stream = EventStream()
        self._pending: deque[Action] = deque()
        self._orders: deque[Event] = deque(maxlen=ORDERS_MAX)  # until there are nodes
        self._counters = Counters()
        self._serials = Serials()
        self._hears_output = False
        self._throttle = LogThrottle()
        self._memory_sampler = MemorySampler(memory_readers, self._throttle)
        self._exits = Exits()
        self._looked_at_s = self._heard_at_s = clock()
        self._tick_at_s = self._status_at_s = self._looked_at_s
        self._closing_since_s: float | None = None
        self._is_seeded = False
        self._survey_due_at_s: float | None = None

    def run(self) -> int:
        """Work until supervisord or the listener ends; return the exit code.

        Raises:
            ProtocolError: The events cannot be read.
        """
        self._handle(ScaleRead(orders=self._scale_orders.orders))
        self._pending.append(Survey())
        self._work()
        self._answer(READY)
        while True:
            ready = self._wait()
            if self._stdin in ready and not self._read():
                logger.info("listener_ends why=%r", "supervisord closed the events")
                return EXIT_OK
            if self._wake in ready:
                self._begin_closing()
            if self._exits.take(ready):
                self._actions.wake_supervisor()
                self._now(waited_s=CALLS_S)
            if self._exit_reader.descriptor in ready:
                self._take_ends()
            self._work()
            self._tick()
            exit_code = self._exit_code()
            if exit_code is not None:
                return exit_code

    # --- turns ------------------------------------------------------------------------

    def _wait(self) -> list[int]:
        """Wait for events, but not beyond what is due."""
        ends = self._exit_reader.descriptor
        readers = [self._stdin, ends, *self._exits.descriptors]
        if self._closing_since_s is None:
            readers.append(self._wake)
        ready, _, _ = select.select(readers, [], [], self._wait_s())
        return ready

    def _now(self, *, waited_s: float = 0.0) -> float:
        """Look at the clock, and notice if time was lost since the last look.

        Whatever is judged after a freeze, wherever in a turn that came, is judged by
        a core that knows of it. ``waited_s`` may have been spent on an answer: not
        lost, and a supervisord that gives none must not pass for a freeze.
        """
        now_s, looked_at_s = self._clock(), self._looked_at_s
        self._looked_at_s = now_s
        if now_s - looked_at_s > STALL_S + waited_s:
            logger.warning("listener_stood_still s=%.1f", now_s - looked_at_s)
            self._counters.stalls += 1
            self._heard_at_s = now_s
            self._handle(Stalled())
            self._pending.append(Survey())
        return now_s

    def _wait_s(self) -> float:
        if self._pending:
            return 0.0
        if not self._is_seeded:
            return TICK_S
        due_at_s = self._tick_at_s
        wake_at_s = self._swarm.wake_at_s()
        if wake_at_s is not None:
            due_at_s = min(due_at_s, wake_at_s)
        return max(LEAST_WAIT_S, due_at_s - self._now())

    def _work(self) -> None:
        """Carry out what is pending, for `WORK_S` at most, one action at least."""
        give_up_at_s = self._now() + WORK_S
        while self._pending:
            action = self._pending.popleft()
            became = self._actions.carry_out(action)
            if isinstance(action, Stop | Signal):
                self._exits.await_end(action.pid)
            self._now(waited_s=CALLS_S if needs_supervisor(action) else 0.0)
            if isinstance(action, Remember):
                self._outlets.restarted(action.record)
            if isinstance(action, Survey):
                self._survey_due_at_s = self._now() + MARK_WAIT_S
            if became is not None:
                self._handle(became)
            if needs_supervisor(action) and self._now() >= give_up_at_s:
                return

    def _tick(self) -> None:
        now_s = self._now()
        if not self._is_seeded:
            self._seek_survey(now_s)
            return
        wake_at_s = self._swarm.wake_at_s()
        if now_s >= self._tick_at_s:
            self._tick_at_s = now_s + TICK_S
            self._beat(now_s)
            if self._closing_since_s is None:
                self._seek_survey(now_s)
            else:
                self._look()
            pids = [node.pid for node in self._swarm.nodes.values()]
            self._oom_kills.look(pids, now_s=now_s)
            self._look_at_orders()
            for measured in self._memory_sampler.measure(
                self._swarm.nodes, now_s=now_s
            ):
                self._handle(measured)
        elif wake_at_s is None or now_s < wake_at_s:
            return
        self._handle(Tick())
        if now_s >= self._status_at_s:
            self._status_at_s = now_s + STATUS_EVERY_S
            self._actions.keep()
            self._show(now_s)

    def _beat(self, now_s: float) -> None:
        if self._watchdog is not None and self._closing_since_s is None:
            heard_at_s = None if self._serials.last is None else self._heard_at_s
            self._watchdog.beat(now_s=now_s, heard_at_s=heard_at_s)

    def _show(self, now_s: float) -> None:
        trouble = self._trouble(now_s)
        self._outlets.show(self._swarm, self._counters, now_s=now_s, trouble=trouble)

    def _trouble(self, now_s: float) -> str:
        """Return why the listener is deaf or has no control; empty while it is well."""
        if now_s - self._heard_at_s > HEARD_MAX_S:
            return f"no event from supervisord for {now_s - self._heard_at_s:.0f} s"
        return "" if self._actions.is_reachable else "supervisord gives no answer"

    def _exit_code(self) -> int | None:
        now_s = self._now()
        if self._closing_since_s is not None:
            is_over = now_s - self._closing_since_s > CLOSING_MAX_S
            if is_over or (self._swarm.is_settled and not self._pending):
                self._close(now_s)
                return EXIT_OK
        if now_s - self._heard_at_s > SILENCE_MAX_S:
            logger.error(
                "listener_unheard s=%.0f do=%r",
                now_s - self._heard_at_s,
                f"{self._why_unheard()}; it starts afresh",
            )
            if self._serials.last is not None:
                self._actions.note_unheard(self._heard_at_s)
            return EXIT_FRESH
        return None

    def _why_unheard(self) -> str:
        return deafness.cause(
            has_heard=self._serials.last is not None,
            ignored=self._is_ignored(),
            answers=self._actions.is_reachable,
        )

    def _begin_closing(self) -> None:
        logger.info("listener_closing")
        if self._watchdog is not None:
            self._watchdog.rest()
        self._closing_since_s = self._now()
        self._handle(Closing())

    def _close(self, now_s: float) -> None:
        self._handle(Closed())
        self._work()
        self._show(now_s)
        logger.info("listener_ends why=%r", "asked to")

    # --- what comes in ----------------------------------------------------------------

    def _read(self) -> bool:
        """Take in what supervisord wrote; False when it will write no more."""
        data = os.read(self._stdin, 65_536)
        if not data:
            return False
        for envelope in self._stream.feed(data):
            self._answer(ACKNOWLEDGED + READY)
            self._hear()
            self._counters.events += 1
            self._take(envelope)
        return True

    def _hear(self) -> None:
        """Notice an event after none for so long that supervisord had stood still."""
        now_s = self._now()
        silent_s, self._heard_at_s = now_s - self._heard_at_s, now_s
        if silent_s > THAW_S and self._serials.last is not None:
            logger.warning(
                "supervisord_stood_still s=%.1f consequence=%r", silent_s, _THAWED
            )
            self._handle(Thawed(for_s=silent_s))

    def _answer(self, text: bytes) -> None:
        os.write(self._stdout, text)

    def _take(self, envelope: Envelope) -> None:
        self._hears_output = self._hears_output or is_output(envelope.event)
        lost_count = self._serials.lost(envelope.pool_serial)
        if lost_count is None:
            return
        if lost_count:
            self._counters.lost_events += lost_count
            logger.warning(
                "events_lost count=%d do=%r",
                lost_count,
                _HEARS_OUTPUT if self._hears_output else _LARGER,
            )
            self._handle(Lost())
        if isinstance(envelope.event, RemoteCommand):
            self._take_command(envelope.event)
        elif self._is_seeded or isinstance(envelope.event, SupervisorChanged):
            self._take_event(envelope.event)  # the past before a survey is in that

    def _take_event(self, heard: Heard) -> None:
        match heard:
            case StateChanged():
                logger.debug(
                    "process_state node=%s state=%s pid=%s",
                    heard.name, heard.state, heard.pid,
                )  # fmt: skip
                self._handle(heard)
            case GroupAdded() | GroupRemoved() | SupervisorChanged():
                self._handle(heard)
            case Communication():
                self._take_report(heard)
            case _:
                pass  # a beat, or nothing to us

    def _take_report(self, said: Communication) -> None:
        if group_of(said.name) not in self._swarm.policies:
            return
        logger.debug("report node=%s pid=%s text=%r", said.name, said.pid, said.text)
        try:
            report = decode_report(said.text)
        except ReportError as error:
            self._counters.bad_reports += 1
            self._throttle.warn(
                "report_rejected", said.name, said.pid, str(error), now_s=self._now()
            )
            return
        self._counters.reports += 1
        if isinstance(report, Report) and report.spare:
            self._look_at_orders()  # as that node has: its end is no death then
        reported = Reported(name=said.name, pid=said.pid, report=report)
        self._handle(reported)
        self._outlets.reported(self._swarm, reported)

    def _look_at_orders(self) -> None:
        """Take in how many nodes are to run, where that has changed."""
        news = self._scale_orders.news()
        if news is not None:
            self._handle(news)

    def _take_ends(self) -> None:
        """Take in how processes ended, and whether the kernel has ended them."""
        for read in self._exit_reader.take():
            oom = OutOfMemory.NO
            if read.signal == "SIGKILL":
                oom = self._oom_kills.claim(read.pid, now_s=self._now())
            self._handle(replace(read, out_of_memory=oom))

    def _take_command(self, command: RemoteCommand) -> None:
        if command.type == MARK:
            surveyed = self._actions.surveyed(command.data)
            if surveyed is not None:
                self._take_survey(surveyed)
            return
        try:
            orders = decode_order(command)
        except OrderError as error:
            self._counters.bad_orders += 1
            logger.warning("order_rejected type=%s why=%r", command.type, str(error))
            return
        self._orders.extend(orders)
        if self._is_seeded:
            self._give_orders()

    def _give_orders(self) -> None:
        while self._orders:
            self._handle(self._orders.popleft())

    def _take_survey(self, surveyed: Surveyed) -> None:
        self._is_seeded = True
        self._survey_due_at_s = None
        self._handle(surveyed)
        self._give_orders()

    def _seek_survey(self, now_s: float) -> None:
        """Survey without a mark where none comes: not subscribed to, or lost.

        A listener hears nothing at all for its first ``startsecs``.
        """
        due_at_s = self._survey_due_at_s
        if due_at_s is None or now_s < due_at_s or self._serials.last is None:
            return
        self._throttle.warn(
            "survey_unmarked",
            "all",
            os.getpid(),
            "REMOTE_COMMUNICATION must be among the events= of this listener",
            now_s=now_s,
        )
        self._survey_due_at_s = now_s + MARK_WAIT_S
        self._look()

    def _look(self) -> None:
        """Survey at once. While it ends, a listener is sent no events any more."""
        surveyed = self._actions.survey_now()
        self._now(waited_s=CALLS_S)
        if surveyed is not None:
            self._take_survey(surveyed)

    def _handle(self, event: Event) -> None:
        self._pending.extend(self._swarm.handle(event, now_s=self._now()))
