"""What the core takes, events of a swarm, and what it returns, actions.

Events come from supervisord (`protocol`, `rpc`), from the nodes' reports, from the
listener's own timer and from its operator. The core answers each with actions; what
became of an action comes back as an `Answered` or `Journaled` event.

``name`` is always supervisord's full name, ``group:process``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Final

from swarm_event_listener.core.model.death import OutOfMemory
from swarm_event_listener.core.model.record import Record
from swarm_worker.shared.report import ForeignReport, Report
from swarm_worker.shared.scale import Scale


class ProcessState(StrEnum):
    """supervisord's process states, verbatim."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"


UP: Final = frozenset({ProcessState.STARTING, ProcessState.RUNNING})
ALIVE: Final = UP | {ProcessState.STOPPING}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """One process as supervisord sees it.

    Attributes:
        name: ``group:process``.
        state: Its state now.
        pid: Its process id; None without a process.
        exit_code: The last exit code, -1 for a signal; 0 before the first exit.
        started_ago_s: Age of its last start by supervisord's wall clock, in whole
            seconds; None before the first.
        stopped_ago_s: The same of its last end.
    """

    name: str
    state: ProcessState
    pid: int | None
    exit_code: int = 0
    started_ago_s: float | None = None
    stopped_ago_s: float | None = None


def group_of(name: str) -> str:
    """Return the group part of ``group:process``."""
    return name.partition(":")[0]


# --- events ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """A process changed its state.

    Attributes:
        name: The process.
        state: Its new state.
        pid: The process id; None where supervisord does not tell (STARTING, BACKOFF,
            FATAL).
        expected: For EXITED: whether the exit code is one of ``exitcodes``.
    """

    name: str
    state: ProcessState
    pid: int | None = None
    expected: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupAdded:
    """A process group came, with ``update`` or ``add``."""

    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRemoved:
    """A process group went, with ``update`` or ``remove``."""

    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorChanged:
    """supervisord itself is RUNNING or STOPPING."""

    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A node reported; ``pid`` is from supervisord's header, not from the report."""

    name: str
    pid: int
    report: Report | ForeignReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The memory of a node's process was read."""

    name: str
    pid: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """All processes of supervisord, the answer to `Survey`."""

    processes: tuple[ProcessInfo, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRead:
    """How a process ended, as far as supervisord's log tells: answers `ReadExit`.

    Attributes:
        name: The node.
        pid: The process that was asked about.
        exit_code: With which it exited; None for a signal, or where it cannot be told.
        signal: What ended it; None for an exit, or where it cannot be told.
        out_of_memory: Whether the kernel did, as its own counters tell.
    """

    name: str
    pid: int | None
    exit_code: int | None = None
    signal: str | None = None
    out_of_memory: OutOfMemory = OutOfMemory.NO


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRead:
    """How many nodes are to run was read, since the file of it has changed.

    Attributes:
        orders: By group, or ``group:program``; empty where there are none.
    """

    orders: Mapping[str, Scale]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Events were lost: the pool's serial numbers have a gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalled:
    """The listener itself was not running: all silence deadlines start anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thawed:
    """supervisord itself stood still until now, as far as its events tell.

    Attributes:
        for_s: Since the event before that.
    """

    for_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The listener was asked to end: nothing new is begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The listener ends now: it abandons what is not finished, and logs that."""


class OrderKind(StrEnum):
    """What an operator may ask for nodes."""

    HOLD = "hold"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """An operator's order about nodes, through REMOTE_COMMUNICATION.

    Attributes:
        kind: What is asked.
        names: Full names of nodes, or ``group:*``.
    """

    kind: OrderKind
    names: tuple[str, ...]


ROLL_TIMEOUT_S: Final = 300.0  # for each node of a roll, unless told otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class RollOrdered:
    """An operator asked for a rolling restart of a group.

    Attributes:
        group: The group.
        max_unavailable: So many nodes may be in progress at once.
        timeout_s: What each node has until it works again.
        ordered_at_s: When, which tells its roll from any other; None: not told.
    """

    group: str
    max_unavailable: int = 1
    timeout_s: float = ROLL_TIMEOUT_S
    ordered_at_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollCancelled:
    """An operator wants no further node of a group rolled."""

    group: str


class Answer(StrEnum):
    """What became of a call to supervisord."""

    DONE = "done"
    OTHER_PID = "other pid"  # the process was replaced in between: nothing was done
    FAULT = "fault"
    UNREACHABLE = "unreachable"  # no answer: it may have been carried out


class FaultCode(IntEnum):
    """supervisord's faults that decide something here."""

    SHUTDOWN_STATE = 6
    BAD_NAME = 10
    ALREADY_STARTED = 60
    NOT_RUNNING = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What became of a `Stop`, `Start` or `Signal`.

    Attributes:
        action: The action that was carried out.
        answer: What supervisord said.
        fault: The fault code for FAULT; 0 otherwise.
    """

    action: Stop | Start | Signal
    answer: Answer
    fault: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Journaled:
    """Whether an intent is durable."""

    name: str
    ok: bool


Event = (
    StateChanged
    | GroupAdded
    | GroupRemoved
    | SupervisorChanged
    | Reported
    | Measured
    | Surveyed
    | ExitRead
    | ScaleRead
    | Lost
    | Stalled
    | Thawed
    | Tick
    | Closing
    | Closed
    | Ordered
    | RollOrdered
    | RollCancelled
    | Answered
    | Journaled
)


# --- actions --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Ask supervisord for all processes; answered by `Surveyed`, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intend:
    """Make the state of a restart durable; answered by `Journaled`.

    Attributes:
        name: The node.
        intent: The restart as plain data (see `restart.Restart.as_intent`).
    """

    name: str
    intent: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Drop a node's intent: the restart did not take place."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remember:
    """Drop a node's intent and keep its record: a restart has ended."""

    name: str
    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Keep facts that must survive the listener.

    Attributes:
        held: Nodes that an operator took out of the rules.
        reporting_groups: Groups whose nodes have ever reported.
        rolls: Rolling restarts under way, as plain data (see `roll.Roll.as_json`).
        failures: Per node, when it failed lately, with the message that was the oldest
            in flight; oldest first.
        deaths: Per node, the record of a death whose end is not known yet, as plain
            data.
        pids: Per node, its process: one that is another when the next listener looks
            has died meanwhile, or was stopped.
        scaled: The last changes of how many nodes are to run, as plain data.
    """

    held: tuple[str, ...]
    reporting_groups: tuple[str, ...]
    rolls: tuple[Mapping[str, Any], ...] = ()
    failures: Mapping[str, tuple[tuple[float, str | None], ...]] = field(
        default_factory=dict
    )
    deaths: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    scaled: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadExit:
    """Look up how a process ended; answered by `ExitRead`.

    Attributes:
        name: The node.
        pid: The process; None where it ended before its pid was told.
        at_s: When supervisord said so; None where it did not.
    """

    name: str
    pid: int | None
    at_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Signal a process if it still is ``pid``; ``signal`` is a name such as TTIN."""

    name: str
    pid: int
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """``stopProcess(name, wait=False)`` if the process still is ``pid``."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """``startProcess(name, wait=False)``."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Tell other listeners, as a REMOTE_COMMUNICATION event with a JSON payload."""

    type: str
    payload: Mapping[str, Any]


class Level(IntEnum):
    """The severity of a line; the numbers are those of ``logging``."""

    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Log one line: an event's name and its figures."""

    level: Level
    event: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Action = (
    Survey
    | Intend
    | Forget
    | Remember
    | Note
    | ReadExit
    | Signal
    | Stop
    | Start
    | Publish
    | Say
)
