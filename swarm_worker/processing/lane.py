"""One assignment of one partition: what waits, what is out, what failed how often.

The phases of a lane; who moves it is `swarm_worker.processing.lanes`::

    IDLE --add--> READY --take--> RUNNING --done--> READY or IDLE
                    ^                |
                    |              failed
                    |                v
                    +--- due --- WAITING      back-off, on nobody's thread
                                   |   ^
                     due, given up |   | refused
                                   v   |
                                 LETTERING    its copy is not acknowledged yet
                                   |
                                   +--- acknowledged --> READY or IDLE

A lane that is READY while Kafka takes no commits of it is not taken but OWING, until
Kafka has taken one; then it is READY again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from swarm_worker.processing.poison import ProcessDiedError, Suspect
from swarm_worker.reporting.trace import Trace

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.app.app import Route
    from swarm_worker.app.batch import Batch

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 30.0

# A batch that takes longer than this is a slow one. Pausing its partition throws
# prefetched messages away, so quick handlers are never paused for.
KEEP_ALIVE_S: Final = 0.05

DEBT_STEP_S: Final = 0.05


class Phase(Enum):
    """Where a lane is; the picture is in the module's docstring."""

    IDLE = "idle"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    LETTERING = "lettering"
    OWING = "owing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message that is given up.

    Attributes:
        message: The original.
        error: Why its handler failed the last time.
        attempts: How often it did.
        told: The error as it is logged: to ask it for that may take any time.
    """

    message: Message
    error: BaseException
    attempts: int
    told: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a batch that failed.

    Attributes:
        message: The first one that is not done.
        attempts: How often it has failed, this time included.
        retry_in_s: Back-off before it is tried again; None when it is given up.
        is_news: Not the same failure of the same message as the last one.
    """

    message: Message
    attempts: int
    retry_in_s: float | None
    is_news: bool


class Debt:
    """What is done of a lane and not committed yet, as far as Kafka has told.

    Kept in steps, so that many small batches cost no more than a few large ones; an
    age is too high by at most one step.
    """

    __slots__ = ("_steps",)

    def __init__(self) -> None:
        # Since when, up to which offset.
        self._steps: deque[tuple[float, int]] = deque()

    def grow(self, offset: int, *, now_s: float) -> None:
        """All below an offset is done by now."""
        if self._steps and self._steps[-1][1] > offset:
            self._steps.clear()  # the log was reset: nothing of before can be committed
        if self._steps and now_s - self._steps[-1][0] < DEBT_STEP_S:
            self._steps[-1] = self._steps[-1][0], offset
        else:
            self._steps.append((now_s, offset))

    def settle(self, offset: int) -> None:
        """All below an offset is committed."""
        while self._steps and self._steps[0][1] <= offset:
            self._steps.popleft()

    def age_s(self, now_s: float) -> float:
        """Give the age of the oldest work that is not committed; 0 without any."""
        return now_s - self._steps[0][0] if self._steps else 0.0


class Lane:
    """One assignment of one partition; guarded by the lock of its `Lanes`."""

    __slots__ = (
        "added_offset",
        "attempts",
        "awaits_log",
        "backlog",
        "backlog_bytes",
        "batch",
        "begin_offset",
        "chunks",
        "closed",
        "debt",
        "end_offset",
        "failed_as",
        "failed_offset",
        "is_anew",
        "keeps_id",
        "kept_offset",
        "leader_epoch",
        "letter",
        "moved_at_s",
        "next_offset",
        "partition",
        "paused",
        "phase",
        "refusals",
        "resume_below",
        "retry_at_s",
        "route",
        "singly_until",
        "suspect",
        "topic",
        "topic_id",
    )

    def __init__(
        self, topic: str, partition: int, route: Route, *, now_s: float
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.route = route
        self.topic_id: str | None = None  # of the log that the offsets are of, if known
        self.keeps_id = True  # Kafka takes it with the offset
        self.awaits_log = (
            False  # nothing is handed out before it is known which log it is
        )
        self.is_anew = False  # begins a log at its first offset, wherever another ended
        self.phase = Phase.IDLE
        self.closed = False
        self.moved_at_s = now_s  # a batch was taken, or came to an end
        self.batch: Batch | None = None  # while RUNNING
        self.next_offset = -1  # all lower ones are done; lower after a reset of the log
        self.debt = Debt()  # of these, what is not committed
        self.leader_epoch: int | None = None  # of the last one done
        self.begin_offset = -1  # of the first message that came
        # After the last one that came: next_offset gets there once all is done.
        self.added_offset = -1
        self.end_offset = -1  # the log's end, while nothing has come after it was told
        self.kept_offset = -1  # the last next_offset that Kafka has committed
        # Messages that wait.
        self.chunks: deque[Sequence[Message]] = deque()
        self.backlog = self.backlog_bytes = 0
        self.paused = False
        self.resume_below = 0
        # Failures.
        self.failed_offset = -1
        self.failed_as: type[BaseException] | None = None
        self.attempts = 0  # failures of the message at failed_offset
        self.singly_until = -1  # lower offsets are handled one at a time
        self.retry_at_s = 0.0
        self.letter: Letter | None = None
        self.refusals = 0
        self.suspect: Suspect | None = None  # was in flight as the last process died

    @property
    def name(self) -> str:
        """``topic/partition``."""
        return f"{self.topic}/{self.partition}"

    @property
    def position(self) -> int:
        """Where this assignment has got to; negative while nothing came."""
        return self.next_offset if self.next_offset >= 0 else self.begin_offset

    @property
    def is_busy(self) -> bool:
        """Something is under way whose result counts."""
        return self.phase in (Phase.RUNNING, Phase.LETTERING)

    def beware(self, suspect: Suspect) -> None:
        """Take note of what was in flight here as the last process died."""
        self.suspect = suspect
        if suspect.is_grave:
            self.singly_until = suspect.trace.end

    @property
    def has_suspect_in_hand(self) -> bool:
        """What is out may kill the process."""
        suspect, batch = self.suspect, self.batch
        if suspect is None or batch is None or not suspect.is_grave:
            return False
        return suspect.is_in(offset_of(batch[0]), offset_of(batch[-1]))

    def trace_of(self, batch: Batch) -> Trace:
        """Give what the next process is to know if this one dies with a batch."""
        first, last = offset_of(batch[0]), offset_of(batch[-1])
        suspect = self.suspect
        counts = self.route.dead_letter is not None
        is_suspected = counts and suspect is not None and suspect.is_in(first, last)
        return Trace(
            group=self.route.group,
            topic=self.topic,
            partition=self.partition,
            offset=first,
            end=last + 1,
            deaths=suspect.deaths if suspect and is_suspected else 0,
        )

    def death_of(self, batch: Batch) -> ProcessDiedError | None:
        """Give the reason not to call the handler with a batch; None to call it."""
        retries = self.route.max_retries
        if self.suspect is None or self.route.dead_letter is None or retries is None:
            return None
        offset = offset_of(batch[0])
        deaths = self.suspect.deaths_of(offset, max_retries=retries)
        return ProcessDiedError(deaths) if deaths else None

    def rest(self) -> None:
        """Stand at the log's end; below the last message where the log was reset."""
        if self.end_offset < self.next_offset:
            self.debt, self.singly_until = Debt(), -1  # of a log that is no more
        self.next_offset = self.added_offset = self.end_offset
        self.leader_epoch = None  # that of the last message may end before this offset

    def cut(self, size: int) -> Sequence[Message]:
        """Take at most ``size`` messages off the front of what waits, at least one.

        In one batch offsets rise: it ends where the log was reset.
        """
        first = self.chunks.popleft()
        if offset_of(first[0]) < self.singly_until:
            size = 1
        if len(first) > size:
            self.chunks.appendleft(first[size:])
            return first[:size]
        taken = first
        while len(taken) < size and self.chunks:
            if offset_of(self.chunks[0][0]) <= offset_of(taken[-1]):
                break
            more, room = self.chunks.popleft(), size - len(taken)
            taken = [*taken, *more[:room]]
            if len(more) > room:
                self.chunks.appendleft(more[room:])
        return taken

    def judge(
        self, rest: Sequence[Message], error: BaseException, *, alone: bool
    ) -> Verdict:
        """Decide what becomes of a failed batch, and remember it.

        Args:
            rest: The messages that are not done.
            error: What the handler raised.
            alone: It got one message only, so that is the one that fails.
        """
        offset = offset_of(rest[0])
        same = offset == self.failed_offset and self.attempts > 0
        if not same:
            # In the batch that failed, each of its messages was tried once.
            self.attempts = int(offset < self.singly_until)
        self.attempts += 1
        if isinstance(error, ProcessDiedError):
            self.attempts = error.deaths
        is_news = not same or self.failed_as is not type(error)
        self.failed_offset, self.failed_as = offset, type(error)
        self.singly_until = max(self.singly_until, offset_of(rest[-1]) + 1)
        retries = self.route.max_retries
        has_end = self.route.dead_letter is not None and retries is not None
        given_up = alone and has_end and self.attempts > (retries or 0)
        return Verdict(
            message=rest[0],
            attempts=self.attempts,
            retry_in_s=None if given_up else backoff_s(self.attempts),
            is_news=is_news,
        )

    def is_slow(self, now_s: float) -> bool:
        """Tell whether something is under way that takes long."""
        has_turn = self.phase not in (Phase.IDLE, Phase.READY)
        return has_turn and now_s - self.moved_at_s > KEEP_ALIVE_S


def rising(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut messages of one partition where offsets go back; nearly always nowhere.

    They do where librdkafka resets an offset within one assignment: the log was cut
    short, or its topic made anew. Messages in a row are told by their ends.
    """
    count = len(messages)
    if offset_of(messages[-1]) - offset_of(messages[0]) == count - 1:
        yield messages
        return
    begin, offsets = 0, [message.offset() or 0 for message in messages]
    if offsets == sorted(offsets):  # gaps only; half the cost of the loop
        yield messages
        return
    for index in range(1, count):
        if offsets[index] <= offsets[index - 1]:
            yield messages[begin:index]
            begin = index
    yield messages[begin:]


def backoff_s(attempts: int) -> float:
    """Give the seconds between failure number ``attempts`` and the next try."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(attempts - 1, 16))


def offset_of(message: Message) -> int:
    """Give the offset of a message that was consumed."""
    offset = message.offset()
    assert offset is not None  # noqa: S101 - a consumed message has one
    return offset
