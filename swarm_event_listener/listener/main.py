"""From flags, file and supervisord's own configuration to a running listener."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, TypeVar

from swarm_event_listener.config.config import (
    ListenerSettings,
    file_of,
    read_settings,
)
from swarm_event_listener.config.fit import complaints, fit
from swarm_event_listener.core.swarm import Swarm
from swarm_event_listener.doctor.supervisord_conf import flags
from swarm_event_listener.listener.actions import Actions, wall_text
from swarm_event_listener.listener.loop import EXIT_FRESH, EXIT_OK, Listener
from swarm_event_listener.outlets.outlets import Outlets
from swarm_event_listener.outlets.systemd import Notifier, Watchdog, watchdog_from
from swarm_event_listener.storage.journal import (
    Journal,
    JournalLeftError,
    JournalTakenError,
    StatusFile,
)
from swarm_event_listener.storage.restored_state import UNHEARD_SINCE, restored
from swarm_event_listener.storage.scale_orders import ScaleOrders
from swarm_event_listener.supervisord.exit_reader import TIMEOUT_S, ExitReader
from swarm_event_listener.supervisord.memory import MemoryReader
from swarm_event_listener.supervisord.node_log import log_of
from swarm_event_listener.supervisord.protocol import ProtocolError
from swarm_event_listener.supervisord.rpc import (
    ProcessConfig,
    Supervisor,
    SupervisorFault,
    SupervisorUnreachable,
)
from swarm_worker.shared import reload_signals
from swarm_worker.shared.log_queue import LogQueue
from swarm_worker.shared.logs import LineFormatter, formatter, one_line
from swarm_worker.shared.settings import EXIT_CONFIG, ConfigError, PassingError

if TYPE_CHECKING:
    from swarm_event_listener.outlets.metrics.outlet import MetricsOutlet

logger = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS: Final = 5  # at supervisord's first answer; each takes 2 s at most
ATTEMPT_EVERY_S: Final = 1.0
# supervisord starts a listener that ends again within a second, for ever.
START_AGAIN_S: Final = 2.0
CHANGES_WITHIN_S: Final = 5.0
LOOK_EVERY_S: Final = 0.25


def start(argv: Sequence[str], environ: Mapping[str, str], *, stdout: int) -> int:
    """Run the listener, answering on ``stdout``; return its exit code."""
    _log_to_stderr()
    reload_signals.ignore(reload_signals.SIGNALS_FOR_NODES)
    notifier = Notifier.from_environment(environ)
    file = file_of(argv, cwd=Path.cwd())
    found = _signature(file)
    try:
        settings = read_settings(argv, environ, cwd=Path.cwd())
        _log_as(settings)
        supervisor = Supervisor.from_environment(environ)
        exit_reader = ExitReader(
            Supervisor.from_environment(environ, timeout_s=TIMEOUT_S)
        )
        watchdog = watchdog_from(notifier, environ) if notifier else None
        name = environ.get("SUPERVISOR_PROCESS_NAME", "")
        return _run(
            settings, supervisor, exit_reader, watchdog, stdout=stdout, name=name
        )
    except (ConfigError, JournalTakenError) as error:
        sys.stderr.write(f"swarm-event-listener: {error}\n")
        if notifier is not None:  # `systemctl start` waits for READY, and says why
            notifier.send(f"STATUS=swarm-event-listener: {one_line(str(error))}")
        if isinstance(error, PassingError | JournalLeftError):
            select.select([], [], [], START_AGAIN_S)
            return EXIT_FRESH
        # Nobody starts a listener again that ends so: a half file gets time to change.
        is_final = "SUPERVISOR_ENABLED" not in environ or not _changes(file, found)
        return EXIT_CONFIG if is_final else EXIT_FRESH
    except (SupervisorFault, SupervisorUnreachable, ProtocolError) as error:
        logger.error("listener_ends why=%r", str(error))  # noqa: TRY400 - no surprise
        return EXIT_FRESH
    except BrokenPipeError:
        logger.info("listener_ends why=%r", "supervisord closed the answers")
        return EXIT_OK
    except Exception:
        logger.exception("listener_crashed")
        return EXIT_FRESH


def _signature(file: Path) -> tuple[int, int, int] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _changes(file: Path, found: tuple[int, int, int] | None) -> bool:
    """Whether somebody writes a file, or replaces it, within `CHANGES_WITHIN_S`."""
    for _ in range(round(CHANGES_WITHIN_S / LOOK_EVERY_S)):
        if _signature(file) != found:
            return True
        select.select([], [], [], LOOK_EVERY_S)
    return False


def _log_to_stderr() -> None:
    handler = LogQueue(lambda stderr: (stderr,))
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False  # a reader that is gone is no reason to end


def _log_as(settings: ListenerSettings) -> None:
    root = logging.getLogger()
    root.setLevel(settings.log_level.upper())
    for handler in root.handlers:
        handler.setFormatter(formatter(settings.log_format))


def _run(
    settings: ListenerSettings,
    supervisor: Supervisor,
    exit_reader: ExitReader,
    watchdog: Watchdog | None,
    *,
    stdout: int,
    name: str,
) -> int:
    configs = _first_answer(supervisor.configs)
    settings = fit(settings, configs)
    orders = ScaleOrders(nodes_directories(settings, configs, cwd=Path.cwd()))
    orders.news()
    for complaint in complaints(settings, configs, orders.orders):
        logger.error("supervisord_misconfigured why=%r", complaint)
    journal = Journal(settings.state_dir)
    identity = _first_answer(supervisor.identity)
    clock = time.monotonic
    left = restored(journal.adopt(identity), journal.notes, now_s=clock())
    forget_standstill(journal)
    swarm = Swarm({n: g.policy for n, g in settings.groups.items()}, left)
    logger.info(
        "listener_started pid=%d groups=%s supervisord=%d state_dir=%s",
        os.getpid(),
        ",".join(settings.groups),
        identity.pid,
        settings.state_dir,
    )
    actions = Actions(supervisor, journal, exit_reader=exit_reader, wall=wall_text)
    listener = Listener(
        swarm,
        actions,
        memory_readers=_memory_readers(settings),
        exit_reader=exit_reader,
        scale_orders=orders,
        outlets=Outlets(
            StatusFile(settings.state_dir),
            wall=wall_text,
            metrics=_metrics(settings, journal, supervisor),
        ),
        stdin=0,
        stdout=stdout,
        wake=_wake_on_signals(),
        clock=clock,
        is_ignored=lambda: actions.is_ignored(name),
        watchdog=watchdog,
    )
    return listener.run()


def nodes_directories(
    settings: ListenerSettings, configs: Sequence[ProcessConfig], *, cwd: Path
) -> dict[str, Path]:
    """Return where the nodes of each group keep their state.

    A command may say another directory than the file. ``cwd`` is where supervisord
    works, which is where the listener does, too, unless its section says otherwise.
    """
    directories = dict.fromkeys(settings.groups, settings.nodes_state_dir)
    for config in configs:
        own = flags(config.command, ["state-dir"]).get("state-dir")
        if own is not None and config.group in directories:
            directories[config.group] = cwd / config.directory / own
    return directories


def forget_standstill(journal: Journal) -> None:
    """Take off the disk what was noted for this listener, and for none after it."""
    if UNHEARD_SINCE in journal.notes:
        journal.note({k: v for k, v in journal.notes.items() if k != UNHEARD_SINCE})


def _metrics(
    settings: ListenerSettings, journal: Journal, supervisor: Supervisor
) -> MetricsOutlet | None:
    if settings.metrics is None:
        return None
    # Here, since a listener without metrics can do without the memory.
    from swarm_event_listener.outlets.metrics.files import Files  # noqa: PLC0415
    from swarm_event_listener.outlets.metrics.outlet import (  # noqa: PLC0415
        MetricsOutlet,
        writer,
    )
    from swarm_event_listener.outlets.metrics.page import RESTARTS_MAX, Page, html  # noqa: PLC0415
    from swarm_event_listener.outlets.metrics.server import MetricsServer  # noqa: PLC0415

    files = Files(
        partial(log_of, supervisor=supervisor),
        directories=list(dict.fromkeys([settings.nodes_state_dir, settings.state_dir])),
        clock=time.monotonic,
    )
    server = MetricsServer(settings.metrics, page=html(), files=files)
    server.start()
    page = Page(journal.recent(RESTARTS_MAX), wall=wall_text)
    return MetricsOutlet(server, page, writer())


def _first_answer(ask: Callable[[], T]) -> T:
    """Ask supervisord, which may be busy with its own start, a few times."""
    for _ in range(ATTEMPTS - 1):
        try:
            return ask()
        except SupervisorUnreachable as error:
            logger.warning("supervisor_unreachable why=%r", str(error))
            select.select([], [], [], ATTEMPT_EVERY_S)
    return ask()


def _memory_readers(settings: ListenerSettings) -> dict[str, MemoryReader]:
    return {
        name: MemoryReader(
            group.memory_metric,
            with_children=group.memory_children,
            limit_bytes=group.policy.limits.memory_limit_bytes,
        )
        for name, group in settings.groups.items()
    }


def _wake_on_signals() -> int:
    """Return a descriptor that becomes readable with TERM, INT or QUIT."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def wake(_number: int, _frame: FrameType | None) -> None:
        try:
            os.write(writer, b"!")
        except BlockingIOError:
            return  # it is readable already

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, wake)
    return reader
