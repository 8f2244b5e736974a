"""One assignment of one partition: what waits, what is out, how far it has got.

The phases of a lane; `swarm_worker.processing.turns` moves it::

    IDLE --add--> READY --take--> RUNNING --done--> READY or IDLE
                    ^                |
                    |              failed
                    |                v
                    +--- due --- WAITING      back-off, on nobody's thread
                                   |   ^
                     due, given up |   | delivery failed
                                   v   |
                                 PRODUCING    its dead letter is not acknowledged yet
                                   |
                                   +--- acknowledged --> READY or IDLE

While a message is on trial, the one that is RUNNING is the next one, which shows
whether the handler works at all. It moves no offset before its turn.

A lane that is READY while Kafka takes no commits of it is not taken: it is
AWAITING_COMMIT until Kafka has taken one, then it is READY again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from swarm_worker.processing.batches import chunks_of, cut, offset_of
from swarm_worker.processing.failures import DeadLetter, Failures, retries_of
from swarm_worker.processing.poison import ProcessDiedError, Suspect
from swarm_worker.processing.uncommitted import UncommittedWork
from swarm_worker.processing.witness import Place
from swarm_worker.reporting.trace import Trace

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.app.app import Route
    from swarm_worker.app.batch import Batch

# A batch that takes longer than this is a slow one. Pausing its partition throws
# prefetched messages away, so quick handlers are never paused for.
KEEP_ALIVE_S: Final = 0.05

Key = tuple[str, int]  # topic, partition


class Phase(Enum):
    """Where a lane is; the picture is in the module's docstring."""

    IDLE = "idle"
    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    PRODUCING = "producing"
    AWAITING_COMMIT = "awaiting_commit"


@dataclass(slots=True, eq=False)
class Lane:
    """One assignment of one partition; guarded by the lock of its `LaneTable`.

    What says which log it is, and where it ends, is the polling thread's alone.
    """

    topic: str
    partition: int
    route: Route
    key: Key = field(init=False)
    _: KW_ONLY
    # The log.
    topic_id: str | None = None  # of the log that the offsets are of, if known
    keeps_id: bool = True  # Kafka takes it with the offset
    awaits_log: bool = False  # nothing is handed out before its log is known
    is_anew: bool = False  # begins a log at its first offset, wherever another ended
    # The turn.
    phase: Phase = Phase.IDLE
    closed: bool = False
    moved_at_s: float  # a batch was taken, or came to an end
    retry_at_s: float = 0.0  # while WAITING
    batch: Batch | None = None  # while RUNNING
    on_trial: Message | None = None  # waits until the next one was tried
    # Offsets.
    next_offset: int = -1  # all lower ones are done; lower after a reset of the log
    # What of that is not committed.
    uncommitted: UncommittedWork = field(default_factory=UncommittedWork)
    leader_epoch: int | None = None  # of the last one done
    begin_offset: int = -1  # of the first message that came
    # After the last one that came: next_offset gets there once all is done.
    added_offset: int = -1
    end_offset: int = -1  # the log's end, while nothing has come after it
    kept_offset: int = -1  # the last next_offset that Kafka has committed
    # Messages that wait.
    chunks: deque[Sequence[Message]] = field(default_factory=deque)
    backlog: int = 0
    backlog_bytes: int = 0
    paused: bool = False
    resume_below: int = 0
    # What fails.
    failures: Failures = field(default_factory=Failures)
    dead_letter: DeadLetter | None = None  # given up, and not acknowledged
    # Were in flight as the last process died.
    suspects: list[Suspect] = field(default_factory=list)
    tried_for: int = -1  # the suspect for which the next message was tried
    # The last one that is done of those right behind the one that fails.
    ahead: Message | None = None

    def __post_init__(self) -> None:
        self.key = self.topic, self.partition

    @property
    def name(self) -> str:
        """``topic/partition``."""
        return f"{self.topic}/{self.partition}"

    # --- the turn ---------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """Whether something is under way whose result counts."""
        return self.phase in (Phase.RUNNING, Phase.PRODUCING)

    def is_slow(self, now_s: float) -> bool:
        """Whether something is under way that takes long."""
        has_turn = self.phase not in (Phase.IDLE, Phase.READY)
        return has_turn and now_s - self.moved_at_s > KEEP_ALIVE_S

    # --- messages that wait -----------------------------------------------------------

    def append(self, messages: Sequence[Message], *, size: int) -> None:
        """Take in what was polled, for batches of at most ``size``."""
        self.added_offset = offset_of(messages[-1]) + 1
        self.end_offset = -1
        self.chunks.extend(chunks_of(messages, size))

    def cut(self, size: int) -> Sequence[Message]:
        """Take at most ``size`` messages off the front of what waits, at least one."""
        singly_until = self.failures.singly_until
        if singly_until >= 0 and offset_of(self.chunks[0][0]) < singly_until:
            size = 1
        return cut(self.chunks, size)

    @property
    def oldest(self) -> Message | None:
        """The first message that is not done, if it is here."""
        if self.on_trial is not None:
            return self.on_trial
        if self.batch is not None and self.batch.done_count < len(self.batch):
            return self.batch[self.batch.done_count]
        if self.dead_letter is not None:
            return self.dead_letter.message
        return self.chunks[0][0] if self.chunks else None

    def drop(self) -> None:
        """Drop what waits, a dead letter that is not under way included."""
        self.chunks.clear()
        if self.phase is not Phase.PRODUCING:
            self.dead_letter = None
        if self.phase is not Phase.RUNNING:
            self.on_trial = None

    # --- offsets ----------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Where this assignment has got to; negative while nothing came."""
        return self.next_offset if self.next_offset >= 0 else self.begin_offset

    def is_repeat(self, batch: Batch) -> bool:
        """Whether a batch that goes out was tried before."""
        return offset_of(batch[0]) < self.failures.singly_until

    def learn_id(self, topic_id: str) -> None:
        """Note the id of the topic; what is committed is committed once more."""
        self.topic_id = topic_id
        self.kept_offset = -1

    def advance(self, last: Message, *, now_s: float) -> bool:
        """Record that all up to a message is done; whether the offset has moved.

        Lower than before, too: messages come in order, so the log was reset.
        """
        if self.ahead is not None and offset_of(self.ahead) > offset_of(last):
            last = self.ahead
        self.ahead = None
        offset = offset_of(last) + 1
        if self.closed or offset == self.next_offset:
            return False
        if offset < self.next_offset:
            self.failures.singly_until = -1
        self.next_offset, self.leader_epoch = offset, last.leader_epoch()
        self.uncommitted.done_up_to(offset, now_s=now_s)
        return True

    def commit(self, offset: int) -> None:
        """Record what Kafka has committed."""
        # A higher one is the answer to a commit from before a reset.
        if offset <= self.next_offset:
            self.uncommitted.committed_up_to(offset)
            self.kept_offset = offset

    @property
    def is_at_end(self) -> bool:
        """Whether all that its log has is done."""
        return self.end_offset >= 0 and self.next_offset == self.added_offset

    @property
    def is_begun_anew(self) -> bool:
        """Whether Kafka has yet to commit where its new log begins."""
        return self.is_anew and self.next_offset >= 0 > self.kept_offset

    def rest(self) -> None:
        """Move to the log's end; below the last message where the log was reset."""
        if self.end_offset < self.next_offset:
            # Of a log that is no more.
            self.uncommitted, self.failures.singly_until = UncommittedWork(), -1
        self.next_offset = self.added_offset = self.end_offset
        self.leader_epoch = None  # that of the last message may end before this offset

    # --- whether a message is at fault ------------------------------------------------

    @property
    def place(self) -> Place:
        """Where calls for the message that fails, or has not yet, are made."""
        return self.route.group, self.topic, self.partition, False

    @property
    def call(self) -> Place:
        """Where the call that is under way is made."""
        return (*self.place[:3], self.on_trial is not None)

    def has_next(self, message: Message) -> bool:
        """Whether a message, no poison message, waits behind one that does not."""
        if not self.chunks:
            return False
        following = offset_of(self.chunks[0][0])
        is_poison = self._has_poison(following, following)
        return following > offset_of(message) and not is_poison

    # --- what may kill the process ----------------------------------------------------

    def mark_suspects(self, suspects: list[Suspect]) -> None:
        """Record what was in flight here as the last process died."""
        self.suspects = suspects
        ends = [each.trace.end for each in suspects if each.is_poison]
        self.failures.singly_until = max(ends, default=-1)

    def pass_suspects(self) -> list[Suspect]:
        """Forget, and return, the suspects of which all is done."""
        passed = [each for each in self.suspects if each.trace.end <= self.next_offset]
        if passed:
            self.suspects = [each for each in self.suspects if each not in passed]
        return passed

    @property
    def has_suspect_in_hand(self) -> bool:
        """Whether the batch that is out may kill the process."""
        batch = self.batch
        return batch is not None and self._has_poison(
            offset_of(batch[0]), offset_of(batch[-1])
        )

    def _has_poison(self, first: int, last: int) -> bool:
        return any(e.is_poison and e.is_in(first, last) for e in self.suspects)

    def _suspect_among(self, first: int, last: int) -> Suspect | None:
        """Return the first suspect among messages, where its deaths are counted."""
        if self.route.dead_letter is None:
            return None
        return next((e for e in self.suspects if e.is_in(first, last)), None)

    def trace_of(self, batch: Batch) -> Trace:
        """Return what the next process is to know if this one dies with a batch."""
        first, last = offset_of(batch[0]), offset_of(batch[-1])
        suspect = self._suspect_among(first, last)
        return Trace(
            group=self.route.group,
            topic=self.topic,
            partition=self.partition,
            offset=first,
            end=last + 1,
            deaths=suspect.deaths if suspect else 0,
            is_witnessed=suspect is not None and self._is_witnessed(suspect),
            # No later than now: the machine may have been started anew.
            since_s=min(
                suspect.trace.since_s if suspect else self.moved_at_s, self.moved_at_s
            ),
        )

    def _is_witnessed(self, suspect: Suspect) -> bool:
        return suspect.trace.is_witnessed or self.failures.witness.has_worked

    def death_of(self, batch: Batch, *, now_s: float) -> ProcessDiedError | None:
        """Return the reason not to call the handler with a batch; None to call it."""
        offset = offset_of(batch[0])
        suspect = self._suspect_among(offset, offset)
        if suspect is None:
            return None
        deaths = suspect.deaths_of(offset, max_retries=retries_of(self.route))
        is_proven = suspect.trace.is_witnessed or self._is_overdue(suspect, now_s)
        return ProcessDiedError(deaths) if deaths and is_proven else None

    def _is_overdue(self, suspect: Suspect, now_s: float) -> bool:
        after_s = self.failures.dead_letter_after_s
        return now_s - suspect.trace.since_s >= after_s

    def needs_trial(self, message: Message, *, now_s: float) -> bool:
        """Whether the next message is to be tried before one that may kill again.

        Once in a process: before what may be its last try, where no call has shown
        that its handler works.
        """
        offset = offset_of(message)
        suspect = self._suspect_among(offset, offset)
        if suspect is None:
            return False
        is_last_try = (
            suspect.is_alone
            and suspect.is_poison
            and suspect.deaths >= retries_of(self.route)
            and suspect.trace.offset == offset != self.tried_for
        )
        is_known = self._is_witnessed(suspect) or self._is_overdue(suspect, now_s)
        return is_last_try and not is_known
