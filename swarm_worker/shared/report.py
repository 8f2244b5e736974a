r"""The wire format of a report: what a node says of itself on supervisord's channel.

A frame is one ``write(2)`` of ASCII::

    \n<!--XSUPERVISOR:BEGIN-->{"swarm":1,...}<!--XSUPERVISOR:END-->\n

* At least `FRAME_MIN_BYTES`: supervisord parses the events of one read recursively, so
  a burst of shorter ones ends it with a RecursionError.
* At most `FRAME_MAX_BYTES`, far below PIPE_BUF, so that no other writer can split it.
  A reader takes `FRAME_READ_MAX_BYTES`, below PIPE_BUF, too: listeners of before refuse
  more than the first, so no node may write it as long as one of them may be there.
* It ends with a newline because supervisord leaves an END token that ends its buffer
  unread until the next output.
* ``<`` is escaped, so that no value can hold a token.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

VERSION: Final = 1
FRAME_MIN_BYTES: Final = 256
FRAME_MAX_BYTES: Final = 1024
FRAME_READ_MAX_BYTES: Final = 3500
NOT_JOINED_MAX: Final = 240  # characters
NO_BROKER_MAX: Final = 120  # characters
ERROR_MAX: Final = 80  # characters
FAIL_ALIKE: Final = "all messages fail alike"  # an error: it is the world that fails
ERROR_LEAST: Final = (
    len(FAIL_ALIKE) + 3
)  # what is left of one where a frame is too long
LISTS: Final = ("in_flight", "stalled", "died_in_flight")
LIST_ITEMS_MAX: Final = 3
ITEMS_MAX: Final = {
    **dict.fromkeys((*LISTS, "failing"), LIST_ITEMS_MAX),
    "kafka_groups": 16,
}
MAX_POLL_INTERVAL_MS: Final = 300_000  # librdkafka's default

BEGIN: Final = "<!--XSUPERVISOR:BEGIN-->"
END: Final = "<!--XSUPERVISOR:END-->"


class State(StrEnum):
    """The phases of a node's life."""

    BOOTING = "booting"
    RUNNING = "running"
    QUIET = "quiet"
    STOPPING = "stopping"


# States whose ages count: a booting node has no polls yet, a stopping one no more.
JUDGED: Final = frozenset({State.RUNNING, State.QUIET})


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """A message whose handler fails again and again, while its partition waits.

    Attributes:
        at: ``topic/partition@offset``.
        error: Type and text of the last exception, cut; or why its dead letter is not
            taken; or `FAIL_ALIKE` and the exception's type.
        attempts: How often it has failed.
        for_ms: How long ago it failed first.
    """

    at: str
    error: str
    attempts: int
    for_ms: int

    def __str__(self) -> str:
        """Return what people read: place, error, how often and for how long."""
        often = f"{self.attempts} attempt{'s' * (self.attempts != 1)}"
        return f"{self.at} fails: {self.error}, {often}, for {_age(self.for_ms)}"


def _age(milliseconds: int) -> str:
    seconds = milliseconds // 1000
    for unit, length_s in (("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds // length_s} {unit}"
    return f"{seconds} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One liveness report. Ages, not times: a late delivery cannot inflate them.

    Attributes:
        node: Node id, 0-based.
        pid: The reporting process, for people; supervisord's header decides.
        state: Phase of the node's life.
        seq: Number of this report in the process's life, from 0.
        at_ms: CLOCK_MONOTONIC of the report, so that a late one is recognised.
        max_poll_interval_ms: The largest in force among the node's consumers.
        poll_age_ms: Age of the oldest last poll; None before the first.
        consume_age_ms: Age of the oldest batch in flight; None when idle.
        in_flight: Up to 3 of ``topic/partition@offset``, oldest first.
        unsteady_ms: How long a group has been frozen: neither steady nor given an
            assignment; None otherwise or when unknown.
        stalled_ms: How long the longest-standing partition that has data has not
            moved; None when all move.
        stalled: Up to 3 of ``topic/partition`` that stand still, longest first.
        assigned: Partitions held.
        messages: Messages handled since start.
        batches: Batches handled since start.
        errors: Handler failures since start.
        retries: Repeated handler calls since start.
        dead_letters: Messages given to a dead-letter topic since start.
        lag: Messages behind the end of the partitions; None when unknown.
        lag_age_ms: Age of the oldest end that ``lag`` counts to; None without one.
        lso_behind_ms: For how long the last stable offset of a partition has stood
            behind its end, the longest: a transaction hangs, and what was written since
            is not read. None unless that is more than a minute.
        throttled_ms: For how long a broker held an answer back for a quota, the last
            time; None where it has not for a minute.
        brokers_up: Brokers with a live connection; None when unknown.
        no_broker_ms: For how long a client of the node has had no broker, the one that
            lacks it for the longest; None while all have one, or when unknown.
        no_broker: Which group's that is, and why as far as known; for people.
        kafka_groups: The node's Kafka groups, a `GroupReach` each as text; those
            without a broker first. Nodes of one Kafka group share its brokers, so what
            one of them reaches the others could.
        died_in_flight: What its predecessor had in flight, like ``in_flight``, when
            that ended without putting it down; told while the node boots.
        awaits_id: Kafka still holds the node's group.instance.id for a predecessor.
        not_joined: Why a group has given no assignment, not even an empty one; empty
            when all have.
        failing: Up to 3 messages that fail, those that have for the longest first.
        failing_count: How many partitions have such a message.
        spare: Its group is to run fewer nodes than its id asks for: it ends at once.
        least_nodes: How many nodes the group needs, since the app's ``nodes=`` or
            ``partitions=`` name the last of them; 0 where they name none.
    """

    node: int
    pid: int
    state: State
    seq: int = 0
    at_ms: int | None = None
    max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS
    poll_age_ms: int | None = None
    consume_age_ms: int | None = None
    in_flight: tuple[str, ...] = ()
    unsteady_ms: int | None = None
    stalled_ms: int | None = None
    stalled: tuple[str, ...] = ()
    assigned: int = 0
    messages: int = 0
    batches: int = 0
    errors: int = 0
    retries: int = 0
    dead_letters: int = 0
    lag: int | None = None
    lag_age_ms: int | None = None
    lso_behind_ms: int | None = None
    throttled_ms: int | None = None
    brokers_up: int | None = None
    no_broker_ms: int | None = None
    no_broker: str = ""
    kafka_groups: tuple[str, ...] = ()
    awaits_id: bool = False
    not_joined: str = ""
    died_in_flight: tuple[str, ...] = ()
    failing: tuple[Failing, ...] = ()
    failing_count: int = 0
    spare: bool = False
    least_nodes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReach:
    """Whether the client of a Kafka group reaches a broker.

    Attributes:
        mark: Stands for the group's name, which may be long.
        heard_ms: How long ago a broker last said something; None without a broker,
            or where nothing is known.
        without_ms: For how long there has been none; None while there is.
    """

    mark: str
    heard_ms: int | None = None
    without_ms: int | None = None

    def __str__(self) -> str:
        """Return how it stands in a report: ``3f2a+120``, ``3f2a-41000``, ``3f2a``."""
        if self.without_ms is not None:
            return f"{self.mark}-{self.without_ms}"
        return self.mark if self.heard_ms is None else f"{self.mark}+{self.heard_ms}"

    @classmethod
    def read(cls, text: str) -> GroupReach:
        """Return what a text tells; what cannot be read tells nothing."""
        for sign, name in (("+", "heard_ms"), ("-", "without_ms")):
            mark, found, figure = text.partition(sign)
            if found and figure.isascii() and figure.isdecimal() and len(figure) < 16:
                return cls(mark=mark, **{name: int(figure)})
        return cls(mark=text)


def mark_of(group: str) -> str:
    """Return what stands for a Kafka group in a report."""
    return f"{zlib.crc32(group.encode('utf-8', 'replace')) & 0xFFFF:04x}"


@dataclass(frozen=True, slots=True)
class ForeignReport:
    """A report of another format version: proof of life, not to be judged."""

    version: int


def encode(report: Report) -> bytes:
    """Return the frame of a report, `FRAME_MIN_BYTES` to `FRAME_MAX_BYTES` long.

    A report that is too long loses the age of its lag, its list items, last first, then
    its lists, then the ends of what messages fail with, and all of these messages but
    the first; then its texts, what tells the listener about Kafka's groups, and at last
    that first message. Texts for people are cut and are plain ASCII, so that they stay
    within their size.
    """
    fields: dict[str, Any] = {"swarm": VERSION, **dataclasses.asdict(report)}
    for name, most in ITEMS_MAX.items():
        fields[name] = list(fields[name])[:most]
    for name in _LEFT_OUT:
        if fields[name] == _DEFAULTS[name]:
            del fields[name]
    fields["not_joined"] = _plain(report.not_joined)[:NOT_JOINED_MAX]
    fields["no_broker"] = _plain(report.no_broker)[:NO_BROKER_MAX]
    if not report.failing:  # as ever: what is missing is none
        del fields["failing"], fields["failing_count"]
    for each in fields.get("failing", ()):
        each["error"] = _cut(_plain(each["error"]), ERROR_MAX)
    frame = _frame(fields)
    while len(frame) > FRAME_MAX_BYTES and _shorten(fields):
        frame = _frame(fields)
    return frame


def _frame(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=True)
    text = text.replace("<", "\\u003c")
    room = FRAME_MIN_BYTES - len(BEGIN) - len(END) - 2
    return f"\n{BEGIN}{text:<{room}}{END}\n".encode("ascii")


def _plain(text: str) -> str:
    """Return a text of one byte per character, apart from ``<`` and quotes."""
    shown = "".join(each if " " <= each <= "~" else "?" for each in text)
    return shown.replace("\\", "/").replace('"', "'")


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


# Fields that listeners of before do not know: without them a frame is as it was.
_LEFT_OUT: Final = (
    *("lag_age_ms", "lso_behind_ms", "throttled_ms"),
    *("spare", "least_nodes"),
)
_DEFAULTS: Final = {each.name: each.default for each in dataclasses.fields(Report)}

_LAST: Final = ("not_joined", "no_broker", "kafka_groups", "failing")


def _shorten(fields: dict[str, Any]) -> bool:
    """Leave out a little; whether there was anything to leave out."""
    if fields.pop("lag_age_ms", None) is not None:
        return True
    if any(name in fields for name in LISTS):
        _shorten_lists(fields)
    elif not _shorten_failing(fields.get("failing", [])):
        last = next((name for name in _LAST if name in fields), None)
        return last is not None and fields.pop(last) is not None
    return True


def _shorten_failing(failing: list[dict[str, Any]]) -> bool:
    """Cut what messages fail with, the last one first, then drop that; one stays."""
    long = [each for each in failing if len(each["error"]) > ERROR_LEAST]
    if long:
        long[-1]["error"] = _cut(long[-1]["error"], ERROR_LEAST)
    elif len(failing) > 1:
        failing.pop()
    else:
        return False
    return True


def _shorten_lists(fields: dict[str, Any]) -> None:
    """Drop the last item of the longest list, or an empty one."""
    lists = [name for name in LISTS if name in fields]
    longest = max(lists, key=lambda name: len(fields[name]))
    if fields[longest]:
        fields[longest].pop()
    else:
        del fields[longest]
