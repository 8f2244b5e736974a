"""Reports for people who keep their own loop: confluent-kafka, aiokafka, kafka-python.

    with Liveness(max_poll_interval_ms=300_000) as liveness:
        while running:
            message = consumer.poll(1.0)
            liveness.polled()
            with liveness.consuming():
                handle(message)

Outside supervisord it does nothing, so the same loop runs by hand and in tests.
"""

from __future__ import annotations

import faulthandler
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from swarm_worker.process import stacks
from swarm_worker.process.parent_death import ParentWatch, is_supervised
from swarm_worker.reporting.channel import Channel
from swarm_worker.reporting.clock import NodeClock, age_ms
from swarm_worker.reporting.reporter import Reporter
from swarm_worker.reporting.schedule import INTERVAL_LEAST_MS, Limits
from swarm_worker.shared.report import (
    LIST_ITEMS_MAX,
    MAX_POLL_INTERVAL_MS,
    Report,
    State,
)
from swarm_worker.shared.settings import WORKER


class Activity:
    """What a loop has reported of itself. Thread-safe, without a clock."""

    def __init__(self, *, node: int, max_poll_interval_ms: int) -> None:
        self._node = node
        self._max_poll_interval_ms = max_poll_interval_ms
        self._lock = threading.Lock()
        self._polled_at_s: float | None = None
        self._consuming: dict[object, tuple[float, str]] = {}
        self._batches = 0
        self._errors = 0
        self._stopping = False

    def polled(self, *, now_s: float) -> None:
        """The loop called poll."""
        self._polled_at_s = now_s

    def began(self, what: str, *, now_s: float) -> object:
        """The loop has work; return a token for `ended`."""
        token = object()
        with self._lock:
            self._consuming[token] = (now_s, what)
        return token

    def ended(self, token: object, *, failed: bool) -> None:
        """That work ended."""
        with self._lock:
            del self._consuming[token]
            self._batches += not failed
            self._errors += failed

    def stopping(self) -> None:
        """The loop was left."""
        self._stopping = True

    def report(self, *, now_s: float) -> Report:
        """Return the report of a moment."""
        with self._lock:
            consuming = sorted(self._consuming.values())
            batches, errors = self._batches, self._errors
        return Report(
            node=self._node,
            pid=os.getpid(),
            state=self._state(),
            max_poll_interval_ms=self._max_poll_interval_ms,
            poll_age_ms=age_ms([self._polled_at_s], now_s=now_s),
            consume_age_ms=age_ms((at_s for at_s, _ in consuming), now_s=now_s),
            in_flight=tuple(what for _, what in consuming if what)[:LIST_ITEMS_MAX],
            batches=batches,
            errors=errors,
        )

    def _state(self) -> State:
        if self._stopping:
            return State.STOPPING
        return State.BOOTING if self._polled_at_s is None else State.RUNNING


class Liveness:
    """Reports how a loop is doing, while its ``with`` block runs.

    The rules that a listener applies are the same as for a node: `polled` and
    `consuming` are all that it needs to be told. Both may be called from any thread,
    and cost a microsecond.

    On entry stdout is taken for the reports: prints go to stderr from then on.
    Under supervisord the process ends (exit 3) when supervisord does; TTIN, and a crash
    in C, print the stacks of all threads to stderr.
    """

    def __init__(
        self,
        *,
        max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS,
        liveness_interval_ms: int = WORKER["liveness_interval"].default,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Make a reporter of one loop.

        Args:
            max_poll_interval_ms: The consumer's own ``max.poll.interval.ms``, the
                default limit of the listener's rules.
            liveness_interval_ms: Between reports; at least 500.
            environ: Where supervisord's variables are; the process's by default.

        Raises:
            ValueError: A number is out of its bounds.
        """
        if liveness_interval_ms < INTERVAL_LEAST_MS or max_poll_interval_ms < 1:
            raise ValueError(
                f"expected liveness_interval_ms of at least {INTERVAL_LEAST_MS} and "
                "max_poll_interval_ms of at least 1, got "
                f"{liveness_interval_ms} and {max_poll_interval_ms}"
            )
        self._environ = os.environ if environ is None else environ
        self._interval_s = liveness_interval_ms / 1000
        self._clock = NodeClock()
        self._limits = Limits(
            polling_ms=max_poll_interval_ms, consuming_ms=max_poll_interval_ms
        )
        self._activity = Activity(
            node=node_of(self._environ.get("SUPERVISOR_PROCESS_NAME", "")),
            max_poll_interval_ms=max_poll_interval_ms,
        )
        self._reporter: Reporter | None = None

    def __enter__(self) -> Self:
        """Begin to report.

        Raises:
            ConfigError: stdout and stderr are one pipe, or one of them is closed.
        """
        if is_supervised(self._environ):
            stacks.write_when_asked()
            if not faulthandler.is_enabled():  # a crash in C leaves them, too
                faulthandler.enable(file=2, all_threads=True)
            self._reporter = Reporter(
                channel=Channel.take_stdout(),
                parent=ParentWatch(),
                describe=lambda now_s: self._activity.report(now_s=now_s),
                interval_s=self._interval_s,
                clock=self._clock,
                limits=self._limits,
            )
            self._reporter.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Report that the end has begun, and go on until the process ends.

        What follows the loop, such as closing the consumer, may take its time; a
        silent process would be taken for a hung one.
        """
        self._activity.stopping()
        if self._reporter:
            self._reporter.wake()

    def polled(self) -> None:
        """Record that the loop called poll, whatever that returned."""
        self._activity.polled(now_s=self._clock())

    @contextmanager
    def consuming(self, what: str = "") -> Iterator[None]:
        """Record that the loop has work, until the block ends.

        Blocks may be nested and may run in several threads: the oldest counts.

        Args:
            what: For people, best as ``"topic/partition@offset"``; it is named in the
                reason of a restart.
        """
        token = self._activity.began(what, now_s=self._clock())
        failed = True
        try:
            yield
            failed = False
        finally:
            self._activity.ended(token, failed=failed)


def node_of(process_name: str) -> int:
    """Return the node id: the digits that end a process's name, or 0."""
    digits = re.search(r"\d{1,9}$", process_name, re.ASCII)
    return int(digits[0]) if digits else 0
