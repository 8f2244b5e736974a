"""Whose turn it is: the partitions of one consumer between poll and handler.

Messages wait in the lane of their partition until a handler thread takes a batch; at
most one batch of a partition is out at a time, in order. A partition that is assigned
anew gets a new lane: what a batch of a former assignment did is never stored under the
new one, which waits until that batch has ended.

What a KILL leaves to be done again is bounded here, too: a lane whose work Kafka does
not take the commits of gets no further batch.

Decisions only: no Kafka, no clock, no threads of its own. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from swarm_worker.app.batch import Batch
from swarm_worker.processing.backpressure import Room
from swarm_worker.processing.lane import (
    Lane,
    Letter,
    Phase,
    Verdict,
    backoff_s,
    offset_of,
    rising,
)
from swarm_worker.processing.poison import Suspect, Suspects

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.app.app import Route

COMMIT_WITHIN_S: Final = 1.0  # what the guarantee promises

_SIZE_SAMPLE: Final = 16  # len() of every message would cost 40 ns each

Key = tuple[str, int]  # topic, partition
Submit = Callable[[Lane], None]


class Lanes:
    """The lanes of one consumer.

    Attributes:
        is_held: While it is set, no batch is handed out. Plain, so that it can be set
            from a signal handler; after clearing it call `offer_all`.
    """

    def __init__(
        self,
        *,
        node: int,
        max_messages: int,
        submit: Submit,
        commit_within_s: float = COMMIT_WITHIN_S,
        suspects: Iterable[Suspect] = (),
    ) -> None:
        """Start without lanes.

        Args:
            node: Node id, for the batches.
            max_messages: Most messages in a batch whose route does not say.
            commit_within_s: How long work may be done and not committed before its
                lane gets no further batch.
            suspects: What was in flight as the last process died.
            submit: Gives a lane to a handler thread, which then calls `take`. Called
                with a lock held: must neither block nor call back.
        """
        self.is_held = False
        self._node = node
        self._max_messages = max_messages
        self._submit = submit
        self._commit_within_s = commit_within_s
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        # Apart, and told only when it is so: a thread that wakes up takes the GIL away
        # from a handler, and one that waits for room would, at each batch.
        self._has_room = threading.Condition(lock)
        self._lanes: dict[Key, Lane] = {}
        self._busy: dict[Key, Lane] = {}  # may be closed
        self._unstored: set[Lane] = set()
        self._waiting: set[Lane] = set()
        self._owing: set[Lane] = set()
        self._keeps_ids = True
        self._room = Room()
        self._suspects = Suspects(suspects)

    # --- assignment -------------------------------------------------------------------

    def open(
        self,
        topic: str,
        partition: int,
        route: Route,
        *,
        awaits_log: bool = False,
        anew_as: str | None = None,
        now_s: float,
    ) -> Lane:
        """Make and return the lane of a partition that was assigned.

        Args:
            topic: The topic.
            partition: The partition.
            route: Who handles it.
            awaits_log: Nothing of it is handed out before `log_known`.
            anew_as: The id of the topic whose log begins at its first offset: nothing
                that is known of the partition so far is of this log.
            now_s: The time.
        """
        self.close([(topic, partition)])
        with self._changed:
            lane = Lane(topic, partition, route, now_s=now_s)
            lane.awaits_log, lane.keeps_id = awaits_log, self._keeps_ids
            lane.topic_id, lane.is_anew = anew_as, anew_as is not None
            if suspect := self._suspects.among(topic, partition):
                if lane.is_anew:
                    self._suspects.passed(suspect)
                else:
                    lane.beware(suspect)
            self._lanes[topic, partition] = lane
            return lane

    def log_known(self, lane: Lane) -> None:
        """Hand out a lane's messages; it does not matter if that was so before."""
        with self._changed:
            lane.awaits_log = False
            self._offer(lane)

    def keep_no_ids(self) -> None:
        """Commit offsets without the ids of topics: Kafka refuses what has them."""
        with self._changed:
            self._keeps_ids = False
            for lane in self._lanes.values():
                lane.keeps_id = False
                if lane.next_offset >= 0:
                    self._unstored.add(lane)

    def learn_id(self, lane: Lane, topic_id: str) -> None:
        """Note the id of a lane's topic; what is committed is committed once more."""
        with self._changed:
            lane.topic_id = topic_id
            lane.kept_offset = -1

    def close(self, partitions: Iterable[Key]) -> None:
        """End the lanes of partitions: nothing of them is handed out or counted."""
        with self._changed:
            for key in partitions:
                if lane := self._lanes.pop(key, None):
                    self._forget_backlog(lane)
                    self._room.forget(lane)
                    self._unstored.discard(lane)
                    lane.closed = True

    def retire(self, partitions: Iterable[Key], *, within_s: float) -> list[Lane]:
        """Hand out nothing more of partitions and wait for what is under way.

        Blocks for at most ``within_s`` seconds. Results count as usual; `close` the
        partitions afterwards.

        Returns:
            The lanes that are still busy.
        """
        with self._changed:
            lanes = [self._lanes[key] for key in partitions if key in self._lanes]
            for lane in lanes:
                self._forget_backlog(lane)
            self._changed.wait_for(
                lambda: not any(lane.is_busy for lane in lanes), within_s
            )
            return [lane for lane in lanes if lane.is_busy]

    def wait_idle(self, *, within_s: float) -> bool:
        """Wait until nothing is under way; tell whether that came about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, within_s)

    def get(self, topic: str, partition: int) -> Lane | None:
        """Give the lane of a partition, if it is assigned."""
        return self._lanes.get((topic, partition))

    def all(self) -> list[Lane]:
        """Give the lanes of all assigned partitions."""
        with self._changed:
            return list(self._lanes.values())

    def idle(self) -> list[Key]:
        """Give the partitions that wait for nothing but messages."""
        if self.is_held:
            return []
        with self._changed:
            return [
                key
                for key, lane in self._lanes.items()
                if lane.phase is Phase.IDLE
                and not (lane.backlog or lane.paused or key in self._busy)
                and not lane.awaits_log
            ]

    def _forget_backlog(self, lane: Lane) -> None:
        self._count(lane, -lane.backlog, -lane.backlog_bytes)
        lane.chunks.clear()
        self._waiting.discard(lane)
        self._owing.discard(lane)
        lane.letter = lane.letter if lane.phase is Phase.LETTERING else None
        if lane.phase in (Phase.WAITING, Phase.OWING):
            lane.phase = Phase.IDLE

    # --- from poll to handler ---------------------------------------------------------

    def add(self, lane: Lane, messages: Sequence[Message]) -> None:
        """Take in what was polled; dropped when the lane was closed meanwhile."""
        sample = messages[::_SIZE_SAMPLE]
        size_bytes = sum(map(len, sample)) * len(messages) // len(sample)
        with self._changed:
            if not lane.closed:
                if lane.begin_offset < 0:
                    lane.begin_offset = offset_of(messages[0])
                    if lane.is_anew:  # there the next owner is to begin, too
                        lane.next_offset = lane.begin_offset
                        self._unstored.add(lane)
                lane.added_offset = offset_of(messages[-1]) + 1
                lane.end_offset = -1
                # Cut once: what a slice leaves over would be copied by the next.
                size = self._batch_size(lane)
                for run in rising(messages):
                    for start in range(0, len(run), size):
                        lane.chunks.append(run[start : start + size])
                self._count(lane, len(messages), size_bytes)
                self._offer(lane)

    def reach_end(self, lane: Lane, offset: int) -> None:
        """Take note that the log ends at an offset: all before it has been added."""
        with self._changed:
            lane.end_offset = offset

    def take(self, lane: Lane, *, now_s: float) -> Batch | None:
        """Give the next batch of a lane that was submitted; None if there is none."""
        with self._changed:
            if lane.phase is not Phase.READY:
                return None
            lane.phase = Phase.IDLE
            key = lane.topic, lane.partition
            if lane.closed or self.is_held or not lane.backlog or key in self._busy:
                return None
            if lane.debt.age_s(now_s) > self._commit_within_s:
                lane.phase = Phase.OWING
                self._owing.add(lane)
                return None
            lane.phase = Phase.RUNNING
            lane.moved_at_s = now_s
            self._busy[key] = lane
            lane.batch = Batch(
                self._cut(lane),
                topic=lane.topic,
                partition=lane.partition,
                node=self._node,
            )
            return lane.batch

    def is_wary(self, *, now_s: float) -> bool:
        """Tell whether a batch may kill the process, so that none may run beside it."""
        with self._changed:
            in_hand = any(lane.has_suspect_in_hand for lane in self._busy.values())
            return in_hand or self._suspects.are_to_come(now_s=now_s)

    def suspects(self, *, now_s: float) -> list[Suspect]:
        """Give what was in flight as the last process died and is still to come."""
        with self._changed:
            return self._suspects.ahead(now_s=now_s)

    def is_repeat(self, lane: Lane, batch: Batch) -> bool:
        """Tell whether the batch that a lane has out was tried before."""
        return offset_of(batch[0]) < lane.singly_until

    def offer_all(self) -> None:
        """Submit what waits for no other reason than that handing out was held."""
        with self._changed:
            for lane in self._lanes.values():
                self._offer(lane)

    def _offer(self, lane: Lane) -> None:
        is_free = lane.phase is Phase.IDLE and not lane.awaits_log
        if is_free and lane.backlog and not self.is_held:
            lane.phase = Phase.READY
            self._submit(lane)

    def _batch_size(self, lane: Lane) -> int:
        return lane.route.max_messages or self._max_messages

    def _cut(self, lane: Lane) -> Sequence[Message]:
        messages = lane.cut(self._batch_size(lane))
        share = lane.backlog_bytes * len(messages) // lane.backlog
        self._count(lane, -len(messages), -share)
        return messages

    def _count(self, lane: Lane, messages: int, size_bytes: int) -> None:
        self._room.count(lane, messages, size_bytes, lane_count=len(self._lanes))
        if messages < 0 and not self._room.is_full(2):
            self._has_room.notify_all()

    # --- from handler to offset -------------------------------------------------------

    def done(self, lane: Lane, batch: Batch, *, now_s: float) -> int:
        """Take note that a handler returned; tell how often its head had failed."""
        with self._changed:
            attempts, lane.attempts = lane.attempts, 0
            self._advance(lane, batch[-1], now_s=now_s)
            self._end(lane, now_s=now_s)
            return attempts

    def failed(
        self,
        lane: Lane,
        batch: Batch,
        error: BaseException,
        *,
        done_count: int,
        now_s: float,
        told: str = "",
    ) -> Verdict | None:
        """Take note that a handler raised: what is not done comes again.

        It comes one message at a time until past the end of this batch: so the one
        that fails is known, and those before it are not repeated with every retry.

        Args:
            lane: The lane.
            batch: What the handler got.
            error: What it raised.
            done_count: Messages from the front that count as done.
            now_s: Time of the failure.
            told: What it raised, as it is logged.

        Returns:
            What becomes of the first message that is not done; None if all are.
        """
        with self._changed:
            if done_count:
                self._advance(lane, batch[done_count - 1], now_s=now_s)
            rest = batch[done_count:]
            if not rest:
                lane.attempts = 0
                self._end(lane, now_s=now_s)
                return None
            verdict = lane.judge(rest, error, alone=len(batch) == 1)
            if lane.closed:
                self._end(lane, now_s=now_s)
            elif verdict.retry_in_s is None:
                lane.letter = Letter(
                    message=verdict.message,
                    error=error,
                    attempts=verdict.attempts,
                    told=told,
                )
                self._end(lane, now_s=now_s, wait_until_s=now_s)
            else:
                lane.chunks.appendleft(rest)
                self._count(lane, len(rest), sum(map(len, rest)))
                until_s = now_s + verdict.retry_in_s
                self._end(lane, now_s=now_s, wait_until_s=until_s)
            return verdict

    def unstored(self) -> list[Lane]:
        """Give the lanes whose ``next_offset`` has moved since the last call."""
        if not self._unstored:
            return []
        with self._changed:
            lanes = list(self._unstored)
            self._unstored.clear()
            return lanes

    def committed(self, offsets: Mapping[Key, int], *, now_s: float) -> None:
        """Take note of what Kafka has committed; lanes that owed it go on."""
        with self._changed:
            for key, offset in offsets.items():
                lane = self._lanes.get(key)
                # A higher one is the answer to a commit from before a reset.
                if lane is not None and offset <= lane.next_offset:
                    lane.debt.settle(offset)
                    lane.kept_offset = offset
            for lane in list(self._owing):
                if lane.debt.age_s(now_s) <= self._commit_within_s:
                    self._owing.discard(lane)
                    lane.phase = Phase.IDLE
                    self._offer(lane)

    def rest(self) -> list[Lane]:
        """Move lanes that are done to their log's end; give what is to be committed.

        Where a handler has seen everything, the next owner is to begin where this one
        stands: at the end of a log of which nothing came, or behind the marks of
        transactions, which nobody is given. Else it would begin where the log no
        longer is, or where ``auto.offset.reset`` says then. Where a log has just begun
        anew, what is to be committed is its first offset.
        """
        with self._changed:
            known = [lane for lane in self._lanes.values() if not lane.awaits_log]
            lanes = [
                lane
                for lane in known
                if lane.end_offset >= 0 and lane.next_offset == lane.added_offset
            ]
            for lane in lanes:
                if lane.next_offset != lane.end_offset:
                    lane.rest()
                    self._unstored.add(lane)
            begun = [
                lane
                for lane in known
                if lane.is_anew and lane.next_offset >= 0 > lane.kept_offset
            ]
            resting = [lane for lane in lanes if lane.kept_offset != lane.next_offset]
            return [*begun, *(lane for lane in resting if lane not in begun)]

    def owing(self) -> list[Lane]:
        """Give the lanes that get no batch before Kafka has taken a commit of them."""
        if not self._owing:
            return []
        with self._changed:
            return list(self._owing)

    def overdue(self, *, now_s: float) -> list[Lane]:
        """Give the lanes of which work is not committed in time, be there more or not.

        Those that owe are among them.
        """
        return self.uncommitted(older_than_s=self._commit_within_s, now_s=now_s)

    def uncommitted(self, *, older_than_s: float = 0.0, now_s: float) -> list[Lane]:
        """Give the lanes that have had work to commit for longer than that."""
        with self._changed:
            lanes = self._lanes.values()
            return [lane for lane in lanes if lane.debt.age_s(now_s) > older_than_s]

    def count_marks(self, *, now_s: float) -> None:
        """Let offsets move as far as batches that are out have marked messages done."""
        with self._changed:
            for lane in self._busy.values():
                if lane.batch is not None and (count := lane.batch.done_count):
                    self._advance(lane, lane.batch[count - 1], now_s=now_s)

    def _advance(self, lane: Lane, last: Message, *, now_s: float) -> None:
        offset = offset_of(last) + 1
        # Lower than before, too: messages come in order, so the log was reset.
        if not lane.closed and offset != lane.next_offset:
            if offset < lane.next_offset:
                lane.singly_until = -1
            if lane.suspect is not None and offset >= lane.suspect.trace.end:
                self._suspects.passed(lane.suspect)
                lane.suspect = None
            lane.next_offset = offset
            lane.leader_epoch = last.leader_epoch()
            lane.debt.grow(offset, now_s=now_s)
            self._unstored.add(lane)

    def _end(
        self, lane: Lane, *, now_s: float, wait_until_s: float | None = None
    ) -> None:
        """A batch or a letter of the lane is no longer under way."""
        key = lane.topic, lane.partition
        self._busy.pop(key, None)
        lane.batch = None
        lane.moved_at_s = now_s
        lane.phase = Phase.IDLE
        if wait_until_s is not None and not lane.closed:
            lane.phase = Phase.WAITING
            lane.retry_at_s = wait_until_s
            self._waiting.add(lane)
        if successor := self._lanes.get(key):
            self._offer(successor)
        self._changed.notify_all()

    # --- back-off and dead letters ----------------------------------------------------

    def due(self, *, now_s: float) -> list[Lane]:
        """Submit lanes whose back-off is over; give those with a letter to send.

        For each of these call `acknowledged` or `refused`, once.
        """
        if not self._waiting or self.is_held:
            return []
        with self._changed:
            over = [lane for lane in self._waiting if lane.retry_at_s <= now_s]
            self._waiting.difference_update(over)
            for lane in over:
                if lane.letter is None:
                    lane.phase = Phase.IDLE
                    self._offer(lane)
                else:
                    lane.phase = Phase.LETTERING
                    self._busy[lane.topic, lane.partition] = lane
            return [lane for lane in over if lane.letter is not None]

    def acknowledged(self, lane: Lane, *, now_s: float) -> None:
        """Move the offset past a message whose dead letter was acknowledged."""
        with self._changed:
            if lane.letter is not None:
                self._advance(lane, lane.letter.message, now_s=now_s)
            lane.letter = None
            lane.attempts = lane.refusals = 0
            self._end(lane, now_s=now_s)

    def refused(self, lane: Lane, *, now_s: float) -> float:
        """Keep a dead letter that could not be written; give the seconds to wait."""
        with self._changed:
            lane.refusals += 1
            retry_in_s = backoff_s(lane.refusals)
            self._end(lane, now_s=now_s, wait_until_s=now_s + retry_in_s)
            return retry_in_s

    def leave_letters(self, *, now_s: float) -> list[tuple[Lane, Letter]]:
        """Wait for no answer any more, if nothing else is under way; give what is left.

        Nothing of these messages is stored: the next owner begins with them.
        """
        with self._changed:
            left = [(lane, lane.letter) for lane in self._busy.values()]
            letters = [(lane, letter) for lane, letter in left if letter is not None]
            if len(letters) < len(left):
                return []
            for lane, _ in letters:
                lane.letter = None
                self._end(lane, now_s=now_s)
            return letters

    # --- back-pressure ----------------------------------------------------------------

    def wait_for_room(self, *, within_s: float) -> bool:
        """Wait while too much waits here; tell whether there is room.

        Returns at once when there is. Blocks for at most ``within_s`` seconds.
        """
        if not self._room.is_full():
            return True
        with self._changed:
            return self._has_room.wait_for(lambda: not self._room.is_full(2), within_s)

    def to_pause(self, *, now_s: float, make_room: bool = False) -> list[Lane]:
        """Give the lanes to pause now: call `paused` with those that are.

        These are lanes with more than their share whose batch is a slow one; all
        while handing out is held; with ``make_room`` as many of the fullest as it
        takes.
        """
        if self.is_held:
            return [lane for lane in self.all() if not lane.paused]
        if not self._room.crowded and not make_room:
            return []
        with self._changed:
            slow = {lane for lane in self._room.crowded if lane.is_slow(now_s)}
            if make_room:
                slow |= self._room.fullest(self._lanes.values())
            return list(slow)

    def paused(self, lanes: Iterable[Lane]) -> None:
        """Lanes get no more messages from now on."""
        with self._changed:
            for lane in lanes:
                self._room.pause(lane)

    def to_resume(self) -> list[Lane]:
        """Give the paused lanes that have room again: call `resumed` with them."""
        if not self._room.paused or self.is_held or self._room.is_full():
            return []
        with self._changed:
            return self._room.to_resume()

    def resumed(self, lanes: Iterable[Lane]) -> None:
        """Lanes get messages again."""
        with self._changed:
            for lane in lanes:
                self._room.resume(lane)
