"""The life of a node: boot, work, quiet, stop.

The main thread boots the node and then does nothing but wait, for signals and for
facts from the other threads: one thread per consumer polls, others run handlers, one
reports. So a signal is answered whatever handlers do, as long as the GIL is free.
"""

from __future__ import annotations

import dataclasses
import inspect
import logging
import os
import signal
import time
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from swarm_worker.app.app import App, Hook
from swarm_worker.app.loading import load_app
from swarm_worker.app.routing import plan
from swarm_worker.config.config import Invocation
from swarm_worker.node.crash_traces import left_in
from swarm_worker.node.identity import Identity
from swarm_worker.node.remains import Remains
from swarm_worker.node.slot import Slot, SlotHeldError, slot_key, slot_path
from swarm_worker.node.subscriptions import Subscriptions
from swarm_worker.process import exit_codes as exits
from swarm_worker.process.last_act import LastAct
from swarm_worker.process.shutdown_deadline import Deadline
from swarm_worker.process.signals import STOP, Inbox, StopAsked
from swarm_worker.processing.poison import Suspect, of_group, suspects_of
from swarm_worker.reporting.clock import NodeClock
from swarm_worker.reporting.lifecycle import Lifecycle
from swarm_worker.reporting.progress import LISTED_MAX, Progress, Snapshot
from swarm_worker.reporting.reporter import Reporter
from swarm_worker.shared import logs
from swarm_worker.shared.report import Report, State
from swarm_worker.shared.settings import ConfigError

if TYPE_CHECKING:
    from swarm_worker.kafka.consumer import GroupConsumer
    from swarm_worker.processing.handlers import HandlerPool

_LOOK_S: Final = 1.0  # between looks at whether all threads are alive

# What in-flight batches get when the node ends for a reason that is not a stop: it
# bounds the duplicates, yet a fenced node must be gone soon.
_FAILING_S: Final = 5.0

_RETIRES: Final = "its partitions go to other nodes when it stops; CONT takes it back"
_RETIRED_EARLY: Final = (
    "it stopped before it had joined; partitions of an earlier life of it wait until "
    "that one's session ends"
)

_REPORTED: Final = {field.name for field in dataclasses.fields(Report)}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failed:
    """A consumer cannot go on: a fatal Kafka error."""

    error: Exception


class Node:
    """One node, from boot to exit code."""

    def __init__(
        self,
        invocation: Invocation,
        environ: Mapping[str, str],
        inbox: Inbox[Failed],
        last_act: LastAct,
    ) -> None:
        """Make a node that has done nothing yet; `inbox` is installed already."""
        self._settings = invocation.settings
        self._app_path = invocation.app
        self._inbox = inbox
        self._lifecycle = Lifecycle()
        self._progress = Progress(
            max_poll_interval_ms=invocation.settings.max_poll_interval_ms
        )
        self.clock = NodeClock()
        self._reporter: Reporter | None = None
        self._slot_key = slot_key(environ, node=invocation.settings.node)
        self._slot: Slot | None = None
        self._environ = environ
        self._identity: Identity | None = None
        self._last_act = last_act
        self._remains = Remains(last_act, environ)
        path = slot_path(invocation.settings.state_dir, self._slot_key)
        self._left = left_in(path)
        self._suspects = suspects_of(self._left)
        self._died_in_flight = tuple(
            trace.position for trace in self._left if not trace.is_ahead
        )[:LISTED_MAX]
        self._handed_on: tuple[Suspect, ...] = ()
        self._consumers: list[GroupConsumer] = []
        self._pool: HandlerPool | None = None
        self._hooks_due: list[Hook] = []
        self._deadline: Deadline | None = None

    def describe(self, now_s: float) -> Report:
        """Give the report of a moment of the node's clock."""
        snapshot = self._progress.snapshot(now_s=now_s)
        state = self._lifecycle.state(joined=snapshot.joined)
        return Report(
            node=self._settings.node,
            pid=os.getpid(),
            state=state,
            died_in_flight=self._died_in_flight if state is State.BOOTING else (),
            **_reported(snapshot),
        )

    def run(self, reporter: Reporter | None) -> int:
        """Boot, work and stop; give the exit code.

        Args:
            reporter: Reports what `describe` gives; None outside supervisord.

        Raises:
            ConfigError: The app, its routes or the settings cannot work.
        """
        self._reporter = reporter
        if reporter:
            reporter.start()
        try:
            self._boot()
        except StopAsked:
            if self._slot:  # what its predecessor left: this process took nothing
                self._slot.traces.hand_on(self._left)
            return self._stop(exits.STOPPED, within_s=self._settings.shutdown_timeout_s)
        except SlotHeldError as error:
            logger.error("slot_held reason=%r", str(error))  # noqa: TRY400 - no traceback
            return exits.SLOT_HELD
        except _BootFailedError as failed:
            logger.error("%s", failed, exc_info=failed.__cause__)  # noqa: TRY400 - cause
            return exits.CRASHED
        return self._work()

    # --- boot -------------------------------------------------------------------------

    def _boot(self) -> None:
        # From here to the end of boot the main thread is in code that may block, much
        # of it the user's: a signal that stops is raised there.
        inbox = self._inbox
        inbox.interrupt(self._arm_boot_deadline)
        self._slot = Slot.take(
            self._settings.state_dir, self._slot_key, remains=self._remains
        )
        self._progress.witness = self._slot.traces
        self._hand_on(self._suspects)
        app = self._load()
        inbox.install()
        inbox.interrupt(self._arm_boot_deadline)
        self._make_consumers(app)
        self._run_on_start(app)
        inbox.install()
        inbox.interrupt(self._arm_boot_deadline)
        inbox.interrupt_no_more()
        self._start()

    def _arm_boot_deadline(self) -> None:
        """See to it that the node ends, whatever the user's code does with the stop.

        No handler was called yet: nothing is lost, the node stopped as asked.
        """
        self._deadline = Deadline(
            self._settings.shutdown_timeout_s,
            code=exits.STOPPED,
            describe=lambda: "boot_did_not_end_when_stopped",
            leave=self._last_act.leave,
        )

    def _load(self) -> App:
        try:
            app = load_app(self._app_path)
        except (StopAsked, ConfigError):
            raise
        except BaseException as error:
            raise _BootFailedError(f"app_import_failed app={self._app_path}") from error
        finally:
            logs.hand_over()
        return app

    def _make_consumers(self, app: App) -> None:
        from swarm_worker.kafka.client import try_out  # noqa: PLC0415 - the Kafka client
        from swarm_worker.kafka.consumer import GroupConsumer  # noqa: PLC0415 - the same
        from swarm_worker.kafka.topic_memory import TopicMemory  # noqa: PLC0415 - the same
        from swarm_worker.processing.handlers import HandlerPool  # noqa: PLC0415 - the same

        settings = self._settings
        plans = plan(
            app,
            node=settings.node,
            nodes=settings.nodes,
            selection=settings.selection,
        )
        self._identity = Identity.take(
            settings,
            [group.group for group in plans],
            self._environ,
            now_s=time.monotonic(),
        )
        settings = replace(settings, instance_ids=self._identity.ids)
        for group in plans:
            try_out(group, settings)
        self._pool = HandlerPool(settings.concurrency)
        slot = slot_path(settings.state_dir, self._slot_key)
        memory = TopicMemory(slot.with_suffix(".topics"))
        subscriptions = Subscriptions(slot.with_suffix(".subscribed"))
        self._consumers = [
            GroupConsumer(
                group,
                settings=settings,
                progress=self._progress,
                pool=self._pool,
                suspects=of_group(self._suspects, group.group),
                memory=memory,
                subscribed_before=subscriptions.of(group.group),
                on_subscribed=partial(subscriptions.keep, group.group),
                clock=self.clock,
                on_fatal=lambda error: self._inbox.put(Failed(error)),
            )
            for group in plans
        ]

    def _run_on_start(self, app: App) -> None:
        self._hooks_due = list(app.hooks.on_stop)
        try:
            for hook in app.hooks.on_start:
                _run_hook(hook)
        except StopAsked:
            raise
        except BaseException as error:
            raise _BootFailedError("on_start_failed") from error

    def _start(self) -> None:
        if self._pool and self._is_wary:
            self._pool.start_one()
            _say_wary(self._suspects)
        for consumer in self._consumers:
            consumer.start()
        self._lifecycle.started = True
        logger.info(
            "node_started node=%s nodes=%s pid=%s app=%s",
            self._settings.node,
            self._settings.nodes,
            os.getpid(),
            self._app_path,
        )

    # --- work -------------------------------------------------------------------------

    def _work(self) -> int:
        """Wait until the node has to end, and end it; give the exit code."""
        while True:
            self._keep_slot()
            self._hand_on([s for each in self._consumers for s in each.suspects])
            if self._pool and not self._is_wary:
                self._pool.start()
            # Looked at first: a thread that gives a reason does so before it ends.
            dead = self._dead_thread()
            for fact in self._inbox.wait(0.0 if dead else _LOOK_S):
                if isinstance(fact, Failed):
                    return self._fail(fact.error)
                if fact in STOP:
                    logger.info(
                        "node_stopping signal=%s retires=%s",
                        fact.name, self._inbox.retires,
                    )  # fmt: skip
                    return self._stop(
                        exits.STOPPED, within_s=self._settings.shutdown_timeout_s
                    )
                self._obey(fact)
            if dead:
                logger.error("node_crashed reason='the %s is dead'", dead)
                return self._stop(exits.CRASHED, within_s=_FAILING_S)

    def _hand_on(self, suspects: Sequence[Suspect]) -> None:
        """Leave the suspects that are still to come, for the next process."""
        if self._slot and tuple(suspects) != self._handed_on:
            self._handed_on = tuple(suspects)
            self._slot.traces.hand_on([suspect.handed_on for suspect in suspects])

    def _keep_slot(self) -> None:
        try:
            if self._slot:
                self._slot.keep()
            if self._identity:
                self._identity.keep(now_s=time.monotonic())
        except SlotHeldError as error:
            self._inbox.put(Failed(error))  # the file decides who this node is

    def _obey(self, number: signal.Signals) -> None:
        if number is signal.SIGUSR1:
            logger.info("node_retires consequence=%r", _RETIRES)
            return
        quiet = number is signal.SIGTSTP
        if quiet == self._lifecycle.quiet:
            return
        self._lifecycle.quiet = quiet
        for consumer in self._consumers:
            if quiet:
                consumer.quiet()
            else:
                consumer.resume()
        self._announce()
        logger.info("node_quiet" if quiet else "node_resumed")

    @property
    def _is_wary(self) -> bool:
        return any(consumer.is_wary for consumer in self._consumers)

    def _dead_thread(self) -> str | None:
        """Name a thread that ended although nobody told it to."""
        if self._pool and not self._pool.alive:
            return "handler pool"
        if not all(consumer.alive for consumer in self._consumers):
            return "poll thread"
        if self._reporter and not self._reporter.alive:
            return "reporter"
        return None

    def _fail(self, error: Exception) -> int:
        code = _exit_code(error)
        logger.error("node_failed exit_code=%s reason=%r", code, str(error))
        return self._stop(code, within_s=_FAILING_S)

    # --- stop -------------------------------------------------------------------------

    def _stop(self, code: int, *, within_s: float) -> int:
        """Let handlers finish, commit, leave; give the exit code.

        Order matters: consumers first, which keep polling while batches in flight end
        and then commit; the handlers' threads when nobody can give them work any more;
        the hooks when no handler runs.
        """
        within_s = min(within_s, self._settings.shutdown_timeout_s)
        if self._deadline is None:
            self._deadline = Deadline(
                within_s,
                code=self._code_of_deadline(code),
                describe=partial(self._last_words, self.clock()),
                leave=self._last_act.leave,
            )
        self._inbox.interrupt_no_more()
        self._lifecycle.stopping = True
        self._announce()
        if self._lifecycle.started:
            code = self._drain(code) or code
        elif self._inbox.retires:
            logger.warning("not_left reason=%r", _RETIRED_EARLY)
        code = self._run_on_stop() or code
        if code == exits.STOPPED and self._lifecycle.started:
            self._hand_on(())  # a stop in order ends the count
        if self._reporter:
            self._reporter.stop()
        self._deadline.disarm()
        logger.info("node_stopped exit_code=%s dropped_reports=%s", code, self._dropped)
        return code

    def _drain(self, code: int) -> int:
        """Wait for the consumers, without an end: the deadline ends the process.

        Only a node that ends as asked leaves: another one is started again.
        """

        def leaves() -> bool:  # USR1 may still come
            return code == exits.STOPPED and self._inbox.retires

        for consumer in self._consumers:
            consumer.stop(leave=leaves())
        for consumer in self._consumers:
            while not consumer.join(_LOOK_S):
                consumer.stop(leave=leaves())
                self._keep_slot()
        if self._pool:
            self._pool.stop()
        failed = [fact for fact in self._inbox.wait(0) if isinstance(fact, Failed)]
        for fact in failed:
            logger.error("node_failed reason=%r", str(fact.error))
        return _exit_code(failed[0].error) if failed else exits.STOPPED

    def _code_of_deadline(self, code: int) -> int:
        booted = self._lifecycle.started
        return exits.OUTLIVED if booted and code == exits.STOPPED else code

    def _last_words(self, stopped_at_s: float) -> str:
        # A batch that was within its time when the stop came is a slow one: the next
        # process is not to count this end as a death of its messages.
        hangs_after_ms = self._settings.limits.consuming_ms
        hangs_after_s = inf if hangs_after_ms is None else hangs_after_ms / 1000
        self._progress.spare(since_s=stopped_at_s - hangs_after_s)
        in_flight = self._progress.snapshot(now_s=self.clock()).in_flight
        return f"shutdown_timeout_exceeded in_flight={','.join(in_flight)}"

    def _run_on_stop(self) -> int:
        code = exits.STOPPED
        for hook in self._hooks_due:
            try:
                _run_hook(hook)
            except BaseException:  # the other hooks still run
                logger.exception("on_stop_failed")
                code = exits.CRASHED
        return code

    def _announce(self) -> None:
        if self._reporter:
            self._reporter.wake()

    @property
    def _dropped(self) -> int:
        return self._reporter.dropped if self._reporter else 0


class _BootFailedError(Exception):
    """Code of the user raised during boot; the cause is what it raised."""


def _reported(snapshot: Snapshot) -> Mapping[str, Any]:
    """Give the fields of a report that a snapshot has."""
    return {
        field.name: getattr(snapshot, field.name)
        for field in dataclasses.fields(snapshot)
        if field.name in _REPORTED
    }


def _say_wary(suspects: Iterable[Suspect]) -> None:
    grave = [suspect for suspect in suspects if suspect.is_grave]
    logger.warning(
        "node_wary at=%s deaths=%s consequence=%r",
        ",".join(suspect.trace.position for suspect in grave),
        max(suspect.deaths for suspect in grave),
        "one message at a time until that is past, for two minutes at most: the next "
        "death has one message to blame",
    )


def _exit_code(error: Exception) -> int:
    code: int = getattr(error, "exit_code", exits.FATAL)
    return code


def _run_hook(hook: Hook) -> None:
    """Call a hook; a coroutine function's is run to its end."""
    result = hook()
    if inspect.isawaitable(result):
        import asyncio  # noqa: PLC0415 - few need it, and the first report is due

        asyncio.run(_await(result))


async def _await(awaitable: Awaitable[object]) -> None:
    await awaitable
