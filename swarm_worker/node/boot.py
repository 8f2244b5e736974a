"""The boot of a node: its slot, the app, its identity, its consumers, the app's hooks.

Meanwhile the main thread is in code that may block, much of it the user's: a signal
that stops is raised there, as `StopAsked`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarm_worker.app.loading import load_app
from swarm_worker.app.routing import least_nodes, plan
from swarm_worker.node import hooks
from swarm_worker.node.carry_over import CarryOver
from swarm_worker.node.consumers import Consumers
from swarm_worker.node.identity import Identity
from swarm_worker.node.partitions_file import PartitionsFile
from swarm_worker.node.remains import Remains
from swarm_worker.node.slot import Slot, slot_key, slot_path
from swarm_worker.process import exit_codes as exits
from swarm_worker.process.shutdown_deadline import Deadline
from swarm_worker.process.signals import Inbox, StopAsked
from swarm_worker.shared import logs
from swarm_worker.shared.settings import ConfigError
from swarm_worker.shared.state_files.partition_figures import SUFFIX

if TYPE_CHECKING:
    from swarm_worker.app.app import App, Hook
    from swarm_worker.app.routing import GroupPlan
    from swarm_worker.config.config import Invocation
    from swarm_worker.process.last_act import LastAct
    from swarm_worker.reporting.clock import NodeClock
    from swarm_worker.reporting.progress import Progress


class BootFailedError(Exception):
    """Code of the user raised during boot; the cause is what it raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What a node is started with.

    Attributes:
        invocation: Its command line and its file.
        environ: Its environment.
        inbox: Signals, and facts from its threads; installed already.
        last_act: Ends the process, and with it what it has started.
    """

    invocation: Invocation
    environ: Mapping[str, str]
    inbox: Inbox
    last_act: LastAct


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """What a node has that is ready to work."""

    slot: Slot
    identity: Identity
    consumers: Consumers
    partitions: PartitionsFile

    def keep(self) -> None:
        """Keep this process the only one that is this node, and tell of its partitions.

        Raises:
            SlotHeldError: It is not.
        """
        self.slot.keep()
        self.identity.keep(now_s=time.monotonic())
        self.partitions.keep()


class Boot:
    """One boot. What it has done so far outlives it, for the stop that ends it.

    Attributes:
        carry_over: What the slot's last process left.
        deadline: Ends the process; armed by a signal that stops.
        hooks_due: Those of the end, from when those of the start begin.
    """

    def __init__(self, launch: Launch, progress: Progress, clock: NodeClock) -> None:
        """Do nothing yet but read what the slot's last process left."""
        self._settings = launch.invocation.settings
        self._app_path = launch.invocation.app
        self._environ = launch.environ
        self._inbox = launch.inbox
        self._last_act = launch.last_act
        self._progress = progress
        self._clock = clock
        self._slot_key = slot_key(launch.environ, node=self._settings.node)
        self._slot_path = slot_path(self._settings.state_dir, self._slot_key)
        self.carry_over = CarryOver(self._slot_path)
        self.deadline: Deadline | None = None
        self.hooks_due: Sequence[Hook] = ()

    def run(self) -> Booted:
        """Boot; return what is ready, and not started.

        Raises:
            StopAsked: By a signal.
            SlotHeldError: Another process is this node.
            ConfigError: The app, its routes or the settings cannot work.
            BootFailedError: The user's code raised.
        """
        self._raise_on_stop()
        slot = self._take_slot()
        app = self._load()
        self._take_signals_back()
        plans = plan(
            app,
            node=self._settings.node,
            nodes=self._settings.nodes,
            start_nodes=self._settings.start_nodes,
            selection=self._settings.selection,
        )
        self._progress.least_nodes = least_nodes(app.routes)
        identity = Identity.take(
            self._settings,
            [each.group for each in plans],
            self._environ,
            now_s=time.monotonic(),
        )
        consumers = self._make_consumers(plans, identity)
        self._run_on_start(app)
        self._take_signals_back()
        self._inbox.interrupt_no_more()
        return Booted(
            slot=slot,
            identity=identity,
            consumers=consumers,
            partitions=PartitionsFile(
                self._slot_path.with_suffix(SUFFIX), self._progress, self._clock
            ),
        )

    # --- signals ----------------------------------------------------------------------

    def _take_signals_back(self) -> None:
        """Let signals that stop raise, also where the user's code took them away."""
        self._inbox.install()
        self._raise_on_stop()

    def _raise_on_stop(self) -> None:
        self._inbox.interrupt(self._arm_deadline)

    def _arm_deadline(self) -> None:
        """Make sure that the node ends, whatever the user's code does with the stop.

        No handler was called yet: nothing is lost, the node stopped as asked.
        """
        self.deadline = Deadline(
            self._settings.shutdown_timeout_s,
            code=exits.STOPPED,
            describe=lambda: "boot_did_not_end_when_stopped",
            leave=self._last_act.leave,
        )

    # --- steps ------------------------------------------------------------------------

    def _take_slot(self) -> Slot:
        slot = Slot.take(
            self._settings.state_dir,
            self._slot_key,
            remains=Remains(self._last_act, self._environ),
        )
        self.carry_over.begin(slot.traces)
        self._progress.crash_recorder = slot.traces
        return slot

    def _load(self) -> App:
        try:
            return load_app(self._app_path)
        except (StopAsked, ConfigError):
            raise
        except BaseException as error:
            raise BootFailedError(f"app_import_failed app={self._app_path}") from error
        finally:
            logs.hand_over()

    def _make_consumers(
        self, plans: Sequence[GroupPlan], identity: Identity
    ) -> Consumers:
        from swarm_worker.kafka.client.making import try_out  # noqa: PLC0415 - the Kafka client

        settings = replace(self._settings, instance_ids=identity.ids)
        for each in plans:
            try_out(each, settings)
        return Consumers(
            plans,
            settings,
            progress=self._progress,
            suspects=self.carry_over.suspects,
            slot_path=self._slot_path,
            clock=self._clock,
            on_fatal=self._inbox.put,
        )

    def _run_on_start(self, app: App) -> None:
        self.hooks_due = list(app.hooks.on_stop)
        try:
            for hook in app.hooks.on_start:
                hooks.run(hook)
        except StopAsked:
            raise
        except BaseException as error:
            raise BootFailedError("on_start_failed") from error
