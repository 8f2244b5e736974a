"""How processes ended is looked up beside the listener, which never waits for it."""

from __future__ import annotations

import select
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import pytest

from swarm_event_listener.core.model.events import ExitRead, ReadExit
from swarm_event_listener.supervisord.exit_log import LOG_END_BYTES
from swarm_event_listener.supervisord.exit_reader import (
    TIMEOUT_S,
    TRIES,
    ExitReader,
)
from swarm_event_listener.supervisord.rpc import (
    Supervisor,
    SupervisorFault,
    SupervisorUnreachable,
)

WAIT_S = 10.0


@dataclass
class SlowSupervisor:
    """Gives the end of its log once it may, and after these errors."""

    errors: list[Exception] = field(default_factory=list)
    lets: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    asked: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    sizes: list[int] = field(default_factory=list)

    def log_end(self, size_bytes: int) -> str:
        """Return lines of two nodes that have just died."""
        self.sizes.append(size_bytes)
        self.asked.release()
        self.lets.acquire()
        if self.errors:
            raise self.errors.pop()
        at = f"{datetime.now():%Y-%m-%d %H:%M:%S},123"  # noqa: DTZ005 - as supervisord
        return (
            f"{at} WARN exited: w_00 (terminated by SIGKILL; not expected)\n"
            f"{at} WARN exited: w_01 (exit status 9; not expected)\n"
        )


def reading(supervisor: SlowSupervisor, *, takes_s: float = 0.0) -> ExitReader:
    """Return a reader at the clock's 100 s; each call takes so long."""
    return ExitReader(
        cast("Supervisor", supervisor),
        clock=lambda: 100.0 + takes_s * len(supervisor.sizes),
    )


def question(node: int) -> ReadExit:
    """Return what is asked of a node that has died a second ago."""
    return ReadExit(name=f"w:w_{node:02d}", pid=node, at_s=99.0)


def answers(reader: ExitReader) -> list[ExitRead]:
    """Wait for the next answers."""
    ready, _, _ = select.select([reader.descriptor], [], [], WAIT_S)
    assert ready
    return list(reader.take())


def test_nobody_waits_for_supervisord_and_many_deaths_are_few_calls() -> None:
    """What is asked while the log is being read is answered by the next reading."""
    supervisor = SlowSupervisor()
    reader = reading(supervisor)
    reader.ask(question(0))
    assert supervisor.asked.acquire(timeout=WAIT_S)
    for node in (1, 2):
        reader.ask(question(node))
    assert select.select([reader.descriptor], [], [], 0.0)[0] == []
    assert list(reader.take()) == []

    supervisor.lets.release()
    assert answers(reader) == [ExitRead(name="w:w_00", pid=0, signal="SIGKILL")]
    supervisor.lets.release()
    assert answers(reader) == [
        ExitRead(name="w:w_01", pid=1, exit_code=9),
        ExitRead(name="w:w_02", pid=2),
    ]
    assert supervisor.sizes == [LOG_END_BYTES] * 2


@pytest.mark.parametrize(
    ("error", "takes_s", "tries"),
    [
        (SupervisorFault(20, "NO_FILE"), 0.0, 1),
        (SupervisorUnreachable("no answer"), TIMEOUT_S, 1),
        (SupervisorUnreachable("HTTP 500"), 0.0, TRIES),
    ],
)
def test_a_log_that_cannot_be_read_is_an_answer_too(
    error: Exception, takes_s: float, tries: int
) -> None:
    """It is NONE, or syslog; supervisord hangs, or fails at once."""
    supervisor = SlowSupervisor([error] * 2 * tries)
    reader = reading(supervisor, takes_s=takes_s)
    for number in (1, 2):  # its thread lives on
        reader.ask(question(0))
        supervisor.lets.release(tries)
        assert answers(reader) == [ExitRead(name="w:w_00", pid=0)]
        assert len(supervisor.sizes) == number * tries


def test_a_log_that_begins_within_a_character_is_read_from_elsewhere() -> None:
    """supervisord answers 500 to that: a name may have other letters than ASCII's."""
    supervisor = SlowSupervisor([SupervisorUnreachable("HTTP 500")] * 2)
    reader = reading(supervisor)
    supervisor.lets.release(3)
    reader.ask(question(0))
    assert answers(reader) == [ExitRead(name="w:w_00", pid=0, signal="SIGKILL")]
    assert supervisor.sizes == [LOG_END_BYTES, 2 * LOG_END_BYTES, 3 * LOG_END_BYTES]
