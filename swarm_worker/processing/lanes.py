"""The lanes of one consumer, shared by the thread that polls and those of handlers.

Messages wait in the lane of their partition until a handler thread takes a batch; at
most one batch of a partition is out at a time, in order. What a batch of a former
assignment did is never stored under the new one, which waits until it has ended.

`Lanes` has the lock and says what follows from what; each job is a part of its own,
which knows no other part: `LaneTable` (which lanes there are), `Turns` (whose turn it
is), `Commits` (what is done and not committed), `BackPressure` (how much waits),
`Suspects` (what may kill the process) and, in each lane, `Failures` (what becomes of a
failure).

Decisions only: no Kafka, no clock, no threads of its own. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from swarm_worker.app.batch import Batch
from swarm_worker.processing.backpressure import BackPressure
from swarm_worker.processing.batches import offset_of, size_bytes_of
from swarm_worker.processing.commits import COMMIT_WITHIN_S, Commits
from swarm_worker.processing.failures import DeadLetter, Verdict, verdict_on
from swarm_worker.processing.lane import Key, Lane
from swarm_worker.processing.lane_table import LaneTable
from swarm_worker.processing.poison import Suspect, Suspects
from swarm_worker.processing.turns import Submit, Turns

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.app.app import Route


class Lanes:
    """The lanes of one consumer.

    One lock guards all lanes and all parts: who holds it may read and change any of
    them. What is read without it, so that a poll that has nothing to do costs nothing,
    is one look at a container or a number, and is looked at again with the lock held.

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
                with the lock held: must neither block nor call back.
        """
        self.is_held = False
        self._node = node
        self._max_messages = max_messages
        lock = threading.Lock()
        self._changed = threading.Condition(lock)  # something under way has ended
        # Apart, and told only when it is so: a thread that wakes up takes the GIL away
        # from a handler, and one that waits for room would, at each batch.
        self._has_room = threading.Condition(lock)
        self._awaits_room = False  # the one thread that polls does
        self._table = LaneTable()
        self._turns = Turns(submit)
        self._commits = Commits(within_s=commit_within_s)
        self._back_pressure = BackPressure()
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
            lane.awaits_log = awaits_log
            lane.topic_id, lane.is_anew = anew_as, anew_as is not None
            self._table.open(lane)
            self._meet_suspect(lane)
            return lane

    def _meet_suspect(self, lane: Lane) -> None:
        """Let a lane know what was in flight there; no such message is in a new log."""
        if suspect := self._suspects.among(lane.topic, lane.partition):
            if lane.is_anew:
                self._suspects.passed(suspect)
            else:
                lane.mark_suspect(suspect)

    def log_known(self, lane: Lane) -> None:
        """Hand out a lane's messages; it does not matter if that was so before."""
        with self._changed:
            lane.awaits_log = False
            self._offer(lane)

    def keep_no_ids(self) -> None:
        """Commit offsets without the ids of topics: Kafka refuses what has them."""
        with self._changed:
            self._table.keep_no_ids()
            for lane in self._table.lanes.values():
                if lane.next_offset >= 0:
                    self._commits.moved(lane)

    def learn_id(self, lane: Lane, topic_id: str) -> None:
        """Note the id of a lane's topic; what is committed is committed once more."""
        with self._changed:
            lane.topic_id = topic_id
            lane.kept_offset = -1

    def close(self, partitions: Iterable[Key]) -> None:
        """End the lanes of partitions: nothing of them is handed out or counted."""
        with self._changed:
            for key in partitions:
                if lane := self._table.close(key):
                    self._drop(lane)
                    self._back_pressure.forget(lane)
                    self._commits.forget(lane)

    def retire(self, partitions: Iterable[Key], *, within_s: float) -> list[Lane]:
        """Hand out nothing more of partitions and wait for what is under way.

        Blocks for at most ``within_s`` seconds. Results count as usual; `close` the
        partitions afterwards.

        Returns:
            The lanes that are still busy.
        """
        with self._changed:
            found = [self._table.lanes.get(key) for key in partitions]
            lanes = [lane for lane in found if lane is not None]
            for lane in lanes:
                self._drop(lane)
            self._changed.wait_for(
                lambda: not any(lane.is_busy for lane in lanes), within_s
            )
            return [lane for lane in lanes if lane.is_busy]

    def wait_idle(self, *, within_s: float) -> bool:
        """Wait until nothing is under way; whether that came about in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._turns.busy, within_s)

    def get(self, topic: str, partition: int) -> Lane | None:
        """Return the lane of a partition, if it is assigned."""
        return self._table.lanes.get((topic, partition))

    def all(self) -> list[Lane]:
        """Return the lanes of all assigned partitions."""
        with self._changed:
            return list(self._table.lanes.values())

    def idle(self) -> list[Key]:
        """Return the partitions that wait for nothing but messages."""
        if self.is_held:
            return []
        with self._changed:
            wants = self._turns.wants_messages
            return [lane.key for lane in self._table.lanes.values() if wants(lane)]

    def _drop(self, lane: Lane) -> None:
        """Hand out nothing of what waits in a lane."""
        self._count(lane, -lane.backlog, -lane.backlog_bytes)
        lane.drop()
        self._turns.forget(lane)

    # --- turns ------------------------------------------------------------------------

    def add(self, lane: Lane, messages: Sequence[Message]) -> None:
        """Take in what was polled; dropped when the lane was closed meanwhile."""
        size_bytes = size_bytes_of(messages)
        with self._changed:
            if lane.closed:
                return
            if lane.begin_offset < 0:
                self._begin(lane, offset_of(messages[0]))
            lane.append(messages, size=self._batch_size(lane))
            self._count(lane, len(messages), size_bytes)
            self._offer(lane)

    def _begin(self, lane: Lane, offset: int) -> None:
        lane.begin_offset = offset
        if lane.is_anew:  # there the next owner is to begin, too
            lane.next_offset = offset
            self._commits.moved(lane)

    def reach_end(self, lane: Lane, offset: int) -> None:
        """Record that the log ends at an offset: all before it has been added."""
        with self._changed:
            lane.end_offset = offset

    def take(self, lane: Lane, *, now_s: float) -> Batch | None:
        """Return the next batch of a lane that was submitted; None if there is none."""
        with self._changed:
            if not self._turns.accept(lane) or self.is_held:
                return None
            if self._commits.is_late(lane, now_s=now_s):
                self._turns.await_commit(lane)
                return None
            batch = Batch(
                self._cut(lane),
                topic=lane.topic,
                partition=lane.partition,
                node=self._node,
            )
            self._turns.run(lane, batch, now_s=now_s)
            return batch

    def offer_all(self) -> None:
        """Submit what waits for no other reason than that handing out was held."""
        with self._changed:
            for lane in self._table.lanes.values():
                self._offer(lane)

    def _offer(self, lane: Lane) -> None:
        if not self.is_held:
            self._turns.offer(lane)

    def _batch_size(self, lane: Lane) -> int:
        return lane.route.max_messages or self._max_messages

    def _cut(self, lane: Lane) -> Sequence[Message]:
        messages = lane.cut(self._batch_size(lane))
        share = lane.backlog_bytes * len(messages) // lane.backlog
        self._count(lane, -len(messages), -share)
        return messages

    # --- how a batch ends -------------------------------------------------------------

    def done(self, lane: Lane, batch: Batch, *, now_s: float) -> int:
        """Record that a handler returned; return how often its head had failed."""
        with self._changed:
            self._advance(lane, batch[-1], now_s=now_s)
            self._end(lane, now_s=now_s)
            return lane.failures.end()

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
        """Record that a handler raised: what is not done comes again.

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
                lane.failures.end()
                self._end(lane, now_s=now_s)
                return None
            is_news = lane.failures.record(rest, error)
            verdict = verdict_on(
                rest[0],
                lane.route,
                attempts=lane.failures.attempts,
                alone=len(batch) == 1,
                is_news=is_news,
            )
            if not lane.closed:
                self._keep(lane, rest, verdict, error=error, told=told)
            self._end(lane, now_s=now_s, retry_in_s=verdict.retry_in_s or 0.0)
            return verdict

    def _keep(
        self,
        lane: Lane,
        rest: Sequence[Message],
        verdict: Verdict,
        *,
        error: BaseException,
        told: str,
    ) -> None:
        """Keep what failed for its next try, or as a dead letter."""
        if verdict.retry_in_s is None:
            lane.dead_letter = DeadLetter(
                message=verdict.message,
                error=error,
                attempts=verdict.attempts,
                told=told,
            )
        else:
            lane.chunks.appendleft(rest)
            self._count(lane, len(rest), sum(map(len, rest)))

    def _advance(self, lane: Lane, last: Message, *, now_s: float) -> None:
        """All of a lane up to a message is done."""
        if lane.advance(last, now_s=now_s):
            self._commits.moved(lane)
            if suspect := lane.pass_suspect():
                self._suspects.passed(suspect)

    def _end(
        self, lane: Lane, *, now_s: float, retry_in_s: float | None = None
    ) -> None:
        """A batch or a dead letter of a lane is no longer under way."""
        self._turns.end(lane, now_s=now_s)
        if retry_in_s is not None:
            self._turns.back_off(lane, until_s=now_s + retry_in_s)
        if successor := self._table.lanes.get(lane.key):
            self._offer(successor)
        self._changed.notify_all()

    # --- offsets ----------------------------------------------------------------------

    def count_marks(self, *, now_s: float) -> None:
        """Let offsets move as far as batches that are out have marked messages done."""
        with self._changed:
            for lane in self._turns.busy.values():
                if lane.batch is not None and (count := lane.batch.done_count):
                    self._advance(lane, lane.batch[count - 1], now_s=now_s)

    def unstored(self) -> list[Lane]:
        """Return the lanes whose ``next_offset`` has moved since the last call."""
        if not self._commits.unstored:
            return []
        with self._changed:
            return self._commits.take_unstored()

    def committed(self, offsets: Mapping[Key, int], *, now_s: float) -> None:
        """Record what Kafka has committed; lanes that waited for it go on."""
        with self._changed:
            for key, offset in offsets.items():
                if lane := self._table.lanes.get(key):
                    lane.commit(offset)
            for lane in list(self._turns.awaiting_commit):
                if not self._commits.is_late(lane, now_s=now_s):
                    self._turns.end_wait_for_commit(lane)
                    self._offer(lane)

    def rest(self) -> list[Lane]:
        """Move lanes that are done to their log's end; return what is to be committed.

        Where a handler has seen everything, the next owner is to begin where this one
        stands: at the end of a log of which nothing came, or behind the marks of
        transactions, which nobody is given. Else it would begin where the log no
        longer is, or where ``auto.offset.reset`` says then. Where a log has just begun
        anew, what is to be committed is its first offset.
        """
        with self._changed:
            return self._commits.rest(self._table.lanes.values())

    def awaiting_commit(self) -> list[Lane]:
        """Return the lanes that get no batch before Kafka has taken their commit."""
        if not self._turns.awaiting_commit:
            return []
        with self._changed:
            return list(self._turns.awaiting_commit)

    def late(self, *, now_s: float) -> list[Lane]:
        """Return the lanes of which work is not committed in time.

        Whether there is more to do or not; those that wait for a commit are among them.
        """
        with self._changed:
            return self._commits.late(self._table.lanes.values(), now_s=now_s)

    def uncommitted(self, *, now_s: float) -> list[Lane]:
        """Return the lanes that have work to commit."""
        with self._changed:
            return [
                lane
                for lane in self._table.lanes.values()
                if lane.uncommitted.age_s(now_s) > 0
            ]

    # --- back-off and dead letters ----------------------------------------------------

    def due(self, *, now_s: float) -> list[Lane]:
        """Submit lanes whose back-off is over; return those with a dead letter to send.

        For each of these call `acknowledged` or `delivery_failed`, once.
        """
        if not self._turns.waiting or self.is_held:
            return []
        with self._changed:
            over = self._turns.end_back_off(now_s=now_s)
            for lane in over:
                self._offer(lane)
            return [lane for lane in over if lane.dead_letter is not None]

    def acknowledged(self, lane: Lane, *, now_s: float) -> None:
        """Move the offset past a message whose dead letter was acknowledged."""
        with self._changed:
            if lane.dead_letter is not None:
                self._advance(lane, lane.dead_letter.message, now_s=now_s)
            lane.dead_letter = None
            lane.failures.end_with_dead_letter()
            self._end(lane, now_s=now_s)

    def delivery_failed(self, lane: Lane, *, now_s: float) -> float:
        """Keep a dead letter that could not be written; return the seconds to wait."""
        with self._changed:
            retry_in_s = lane.failures.delivery_failed()
            self._end(lane, now_s=now_s, retry_in_s=retry_in_s)
            return retry_in_s

    def abandon_dead_letters(self, *, now_s: float) -> list[tuple[Lane, DeadLetter]]:
        """Return the dead letters that wait for an answer, and wait no more for them.

        None of them while anything else is under way. Nothing of these messages is
        stored: the next owner begins with them.
        """
        with self._changed:
            busy = list(self._turns.busy.values())
            dead_letters = [
                (lane, lane.dead_letter)
                for lane in busy
                if lane.dead_letter is not None
            ]
            if len(dead_letters) < len(busy):
                return []
            for lane, _ in dead_letters:
                lane.dead_letter = None
                self._end(lane, now_s=now_s)
            return dead_letters

    # --- what may kill the process ----------------------------------------------------

    def is_isolating(self, *, now_s: float) -> bool:
        """Whether a batch may kill the process, so that none may run beside it."""
        with self._changed:
            busy = self._turns.busy.values()
            in_hand = any(lane.has_suspect_in_hand for lane in busy)
            return in_hand or self._suspects.are_to_come(now_s=now_s)

    def suspects(self, *, now_s: float) -> list[Suspect]:
        """Return what was in flight as the last process died and is still to come."""
        with self._changed:
            return self._suspects.ahead(now_s=now_s)

    def is_repeat(self, lane: Lane, batch: Batch) -> bool:
        """Whether the batch that a lane has out was tried before."""
        return offset_of(batch[0]) < lane.failures.singly_until

    # --- back-pressure ----------------------------------------------------------------

    def wait_for_room(self, *, within_s: float) -> bool:
        """Wait while too much waits here; whether there is room.

        Returns at once when there is. Blocks for at most ``within_s`` seconds.
        """
        if not self._back_pressure.is_full():
            return True
        with self._changed:
            self._awaits_room = True
            has_room = self._has_room.wait_for(
                lambda: not self._back_pressure.is_full(2), within_s
            )
            self._awaits_room = False
            return has_room

    def to_pause(self, *, now_s: float, make_room: bool = False) -> list[Lane]:
        """Return the lanes to pause now: call `paused` with those that are.

        These are lanes with more than their share whose batch is a slow one; all
        while handing out is held; with ``make_room`` as many of the largest as it
        takes.
        """
        if self.is_held:
            return [lane for lane in self.all() if not lane.paused]
        if not self._back_pressure.over_limit and not make_room:
            return []
        with self._changed:
            lanes = self._table.lanes.values()
            return self._back_pressure.to_pause(lanes, now_s=now_s, make_room=make_room)

    def paused(self, lanes: Iterable[Lane]) -> None:
        """Lanes get no more messages from now on."""
        with self._changed:
            for lane in lanes:
                self._back_pressure.pause(lane)

    def to_resume(self) -> list[Lane]:
        """Return the paused lanes that have room again: call `resumed` with them."""
        if (
            not self._back_pressure.paused
            or self.is_held
            or self._back_pressure.is_full()
        ):
            return []
        with self._changed:
            return self._back_pressure.to_resume()

    def resumed(self, lanes: Iterable[Lane]) -> None:
        """Lanes get messages again."""
        with self._changed:
            for lane in lanes:
                self._back_pressure.resume(lane)

    def _count(self, lane: Lane, messages: int, size_bytes: int) -> None:
        """Count what has come to a lane, or has left it; tell who waits for room."""
        self._back_pressure.count(
            lane, messages, size_bytes, lane_count=len(self._table.lanes)
        )
        if self._awaits_room and messages < 0 and not self._back_pressure.is_full(2):
            self._has_room.notify_all()
