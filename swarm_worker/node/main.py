"""The start of a node: wiring, and the one place where errors become exit codes."""

from __future__ import annotations

import gc
import logging
import select
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from swarm_worker.config import config
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.node import spare
from swarm_worker.node.boot import Launch
from swarm_worker.node.node import Node
from swarm_worker.process import exit_codes as exits
from swarm_worker.process import stacks
from swarm_worker.process.last_act import LastAct
from swarm_worker.process.parent_death import ParentWatch, is_supervised
from swarm_worker.process.shutdown_deadline import Deadline, threads_left_behind
from swarm_worker.process.signals import Inbox, StopAsked
from swarm_worker.reporting.channel import Channel
from swarm_worker.reporting.reporter import Reporter, orphaned
from swarm_worker.shared import logs, reload_signals
from swarm_worker.shared.settings import ConfigError, PassingError

LEFT_BEHIND_S: Final = 2.0
EVIDENCE_WITHIN_S: Final = 3.0  # only where memory is traced and was asked for
# supervisord starts a node again at its next turn: several a second where nobody puts
# it off, as its listener may be waiting for the same file.
START_AGAIN_S: Final = 1.0

# To the garbage collector each message is a container, and a consumer holds up to
# 16,000 of small ones between poll and handler. At the interpreter's default, 700 new
# ones, it would look through them over and over: a sixth of what a message costs.
COLLECT_AFTER: Final = 20_000

logger = logging.getLogger(__name__)


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a node; return the exit code, with which the process ends soon after."""
    inbox = Inbox()
    inbox.install()
    logs.begin()
    reload_signals.ignore()
    gc.set_threshold(COLLECT_AFTER)  # before the app's import: its own would stand
    # What is imported so far stays: to look through it at the end of the process takes
    # 15 ms, for which a restart would keep its partitions waiting.
    gc.freeze()
    last_act = LastAct()
    code = run(argv, environ, inbox, last_act)
    stacks.finish(EVIDENCE_WITHIN_S)
    inbox.ignore()
    reload_signals.ignore_at_the_end()
    # The interpreter would wait for threads that a handler left behind.
    Deadline(
        LEFT_BEHIND_S, code=code, describe=threads_left_behind, leave=last_act.leave
    )
    return code


def run(
    argv: Sequence[str],
    environ: Mapping[str, str],
    inbox: Inbox,
    last_act: LastAct,
) -> int:
    """Run a node, or check that it could run; return the exit code."""
    try:
        invocation = config.read(argv, environ)
        settings = invocation.settings
        logs.configure(level=settings.log_level, log_format=settings.log_format)
        if invocation.check_only:
            from swarm_worker.node import check  # noqa: PLC0415 - no node does

            inbox.interrupt(lambda: None)
            sys.stdout.write(check.check(invocation, environ))
            return exits.STOPPED
        supervised = is_supervised(environ)
        if supervised:
            last_act.take_group()
        channel = Channel.take_stdout() if supervised else None
        if channel and spare.is_spare(settings, environ):
            return spare.end(channel, settings)
        node = Node(
            Launch(
                invocation=invocation, environ=environ, inbox=inbox, last_act=last_act
            )
        )
        reporter = _reporter(channel, node, settings, last_act) if channel else None
        return node.run(reporter)
    except SystemExit:  # --help
        raise
    except ConfigError as error:
        return _refused(error, argv, environ)
    except StopAsked:  # in a check, whose answer is not known
        return exits.CRASHED
    except BaseException:
        logger.exception("node_crashed")
        return exits.CRASHED


def _refused(
    error: ConfigError, argv: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Say what cannot work; return the exit code: 1 for what may be over soon.

    A check does not wait for that: it refuses both.
    """
    sys.stderr.write(f"swarm-worker: {logs.one_line(str(error))}\n")
    if not isinstance(error, PassingError) or "--check" in argv:
        return exits.CONFIG
    if is_supervised(environ):
        select.select([], [], [], START_AGAIN_S)
    return exits.CRASHED


def _reporter(
    channel: Channel, node: Node, settings: WorkerSettings, last_act: LastAct
) -> Reporter:
    return Reporter(
        channel=channel,
        parent=ParentWatch(),
        describe=node.describe,
        interval_s=settings.liveness_interval_s,
        clock=node.clock,
        limits=settings.limits,
        on_orphaned=lambda why: last_act.leave(exits.ORPHANED, orphaned(why)),
    )
