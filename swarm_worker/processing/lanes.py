"""The lanes of one consumer, shared by the thread that polls and those of handlers.

Messages wait in the lane of their partition until a handler thread takes a batch; at
most one batch of a partition is out at a time, in order. What a batch of a former
assignment did is never stored under the new one, which waits until it has ended.

`Lanes` joins what is done to several parts at once. Each job is a part of its own,
which knows the lanes and their lock, but no other part: `LaneTable` (which lanes there
are), `Turns` (which lane is next), `Commits` (what is done and not committed),
`BackPressure` (how much waits), `Suspects` (what may kill the process) and, in each
lane, `Failures` (what becomes of a failure). A caller that
needs one part calls it directly.

Decisions only: no Kafka, no clock, no threads of its own. Thread-safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from swarm_worker.app.batch import Batch
from swarm_worker.processing.backpressure import BackPressure
from swarm_worker.processing.batches import offset_of, size_bytes_of, timestamp_ms_of
from swarm_worker.processing.commits import COMMIT_WITHIN_S, Commits
from swarm_worker.processing.failures import DeadLetter, Failures, Verdict
from swarm_worker.processing.lane import Key, Lane, Phase
from swarm_worker.processing.lane_table import LaneTable
from swarm_worker.processing.poison import ProcessDiedError, Suspect, Suspects
from swarm_worker.processing.turns import Submit, Turns
from swarm_worker.processing.witness import Witnesses
from swarm_worker.reporting.progress import FailingMessage

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.app.app import Route


class Lanes:
    """The lanes of one consumer: what changes several of their parts at once.

    Attributes:
        table: Which lanes there are.
        turns: Which lane is next.
        commits: What is done and not committed.
        back_pressure: How much waits.
        suspects: What may kill the process.
    """

    def __init__(
        self,
        *,
        node: int,
        max_messages: int,
        submit: Submit,
        commit_within_s: float = COMMIT_WITHIN_S,
        suspects: Iterable[Suspect] = (),
        witnesses: Witnesses | None = None,
        dead_letter_after_s: float = inf,
    ) -> None:
        """Start without lanes.

        A batch has ``max_messages`` at most where its route does not say. A lane gets
        no further batch while work of it is not committed ``commit_within_s`` after it
        was done. The suspects were in flight as the last process died. The witnesses
        are those of the node, whose groups may share a handler. Where a route does not
        say, a handler that takes no message at all for ``dead_letter_after_s`` keeps no
        message from being given up any more.
        """
        self.table = LaneTable()
        self.turns = Turns(self.table, submit)
        self.commits = Commits(self.table, within_s=commit_within_s)
        self.back_pressure = BackPressure(self.table)
        self.suspects = Suspects(suspects, self.table.lock)
        self._witnesses = witnesses or Witnesses()
        self._after_s = dead_letter_after_s
        self._node = node
        self._max_messages = max_messages

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

        Nothing of one that ``awaits_log`` is handed out before `Turns.release`.
        ``anew_as`` is the id of a topic whose log begins at its first offset: nothing
        that is known of the partition so far is of this log.
        """
        self.close([(topic, partition)])
        with self.table.lock:
            after_s = route.dead_letter_after_s
            lane = Lane(
                topic,
                partition,
                route,
                topic_id=anew_as,
                keeps_id=self.commits.keeps_ids,
                awaits_log=awaits_log,
                is_anew=anew_as is not None,
                moved_at_s=now_s,
                failures=Failures(
                    self._witnesses.of(route.handler),
                    dead_letter_after_s=self._after_s if after_s is None else after_s,
                ),
            )
            self.table.open(lane)
            self._mark_suspects(lane)
            return lane

    def _mark_suspects(self, lane: Lane) -> None:
        """Let a lane know what was in flight there; no such message is in a new log."""
        suspects = self.suspects.among(lane.topic, lane.partition)
        if lane.is_anew:
            self.suspects.passed(suspects)
        else:
            lane.mark_suspects(suspects)

    def close(self, partitions: Iterable[Key]) -> None:
        """End the lanes of partitions: nothing of them is handed out or counted."""
        with self.table.lock:
            for key in partitions:
                if lane := self.table.close(key):
                    self._drop(lane)
                    self.back_pressure.forget(lane)
                    self.commits.forget(lane)

    def retire(self, partitions: Iterable[Key], *, within_s: float) -> list[Lane]:
        """Hand out nothing more of partitions, and wait; return the lanes still busy.

        Blocks for at most ``within_s`` seconds. Results count as usual; `close` the
        partitions afterwards.
        """
        with self.table.lock:
            found = [self.table.lanes.get(key) for key in partitions]
            lanes = [lane for lane in found if lane is not None]
            for lane in lanes:
                self._drop(lane)
            return self.turns.await_end(lanes, within_s=within_s)

    def _drop(self, lane: Lane) -> None:
        """Hand out nothing of what waits in a lane."""
        self.back_pressure.clear(lane)
        lane.drop()
        self.turns.forget(lane)

    # --- a batch ----------------------------------------------------------------------

    def add(self, lane: Lane, messages: Sequence[Message]) -> None:
        """Take in what was polled; dropped when the lane was closed meanwhile."""
        size_bytes = size_bytes_of(messages)
        with self.table.lock:
            if lane.closed:
                return
            if lane.begin_offset < 0:
                self._begin(lane, offset_of(messages[0]))
            lane.append(messages, size=self._batch_size(lane))
            self.back_pressure.add(lane, len(messages), size_bytes)
            self.turns.offer(lane)

    def _begin(self, lane: Lane, offset: int) -> None:
        lane.begin_offset = offset
        if lane.is_anew:  # there the next owner is to begin, too
            lane.next_offset = offset
            self.commits.moved(lane)

    def take(self, lane: Lane, *, now_s: float) -> Batch | None:
        """Return the next batch of a lane that was submitted; None if there is none."""
        with self.table.lock:
            if not self.turns.accept(lane):
                return None
            if self.commits.is_late(lane, now_s=now_s):
                self.turns.await_commit(lane)
                return None
            messages = self._cut(lane, now_s=now_s)
            if lane.failures.attempts:
                lane.failures.begin_try(lane.place)
            batch = Batch(
                messages, topic=lane.topic, partition=lane.partition, node=self._node
            )
            self.turns.run(lane, batch, now_s=now_s)
            return batch

    def _cut(self, lane: Lane, *, now_s: float) -> Sequence[Message]:
        """Take the next messages off a lane; the second one where the first waits."""
        if lane.on_trial is None:
            messages = lane.cut(self._batch_size(lane))
            self.back_pressure.take(lane, len(messages))
            first = messages[0]
            needs_trial = lane.needs_trial(first, now_s=now_s)
            if not (needs_trial and lane.has_next(first)):
                return messages
            lane.on_trial, lane.tried_for = first, offset_of(first)
        messages = lane.cut(1)
        self.back_pressure.take(lane, 1)
        return messages

    def _batch_size(self, lane: Lane) -> int:
        return lane.route.max_messages or self._max_messages

    def done(self, lane: Lane, batch: Batch, *, now_s: float) -> int:
        """Record that a handler returned; return how often its head had failed."""
        with self.table.lock:
            lane.failures.witness.worked(lane.moved_at_s)
            if lane.on_trial is not None:
                self._end_trial(lane, lane.on_trial, batch, works=True, now_s=now_s)
                return 0
            self.advance(lane, batch[-1], now_s=now_s)
            self.turns.end(lane, now_s=now_s)
            return lane.failures.end()

    def failed(
        self,
        lane: Lane,
        batch: Batch,
        error: BaseException,
        *,
        done_count: int,
        now_s: float,
        error_text: str = "",
    ) -> Verdict | None:
        """Record that a handler raised: what is not done comes again.

        Return what becomes of the first message that is not done; None if all are: so
        many from the front as ``done_count`` says. What is not done comes again, one
        message at a time until past the end of this batch: so the one that fails is
        known, and those before it are not repeated with every retry.
        """
        with self.table.lock:
            _tell_witness(lane, batch, error, done_count=done_count)
            if lane.on_trial is not None:
                works = done_count == len(batch)
                return self._end_trial(
                    lane, lane.on_trial, batch, works=works, now_s=now_s
                )
            if done_count:
                self.advance(lane, batch[done_count - 1], now_s=now_s)
            rest = batch[done_count:]
            if not rest:
                lane.failures.end()
                self.turns.end(lane, now_s=now_s)
                return None
            verdict = lane.failures.record(
                rest,
                error,
                route=lane.route,
                place=lane.place,
                is_alone=len(batch) == 1,
                has_next=lane.has_next(rest[0]),
                error_text=error_text,
                now_s=now_s,
            )
            if not lane.closed:
                self._keep(lane, rest, verdict, error)
            retry_in_s = None if verdict.tries_next else verdict.retry_in_s or 0.0
            self.turns.end(lane, now_s=now_s, retry_in_s=retry_in_s)
            return verdict

    def _keep(
        self,
        lane: Lane,
        rest: Sequence[Message],
        verdict: Verdict,
        error: BaseException,
    ) -> None:
        """Keep what failed for its next try, for after a trial, or as a dead letter."""
        if verdict.tries_next:
            lane.on_trial = rest[0]
        elif verdict.retry_in_s is not None:
            self._put_back(lane, rest)
        else:
            lane.failures.give_up(lane.place)
            lane.dead_letter = DeadLetter(
                message=rest[0],
                error=error,
                attempts=verdict.attempts,
                error_text=lane.failures.error_text,
            )

    def _put_back(self, lane: Lane, messages: Sequence[Message]) -> None:
        lane.chunks.appendleft(messages)
        self.back_pressure.add(lane, len(messages), sum(map(len, messages)))

    def _end_trial(
        self, lane: Lane, message: Message, batch: Batch, *, works: bool, now_s: float
    ) -> Verdict | None:
        """Go back to the message that failed, after the one behind it was tried.

        Return the verdict on it where that has failed, too.
        """
        lane.on_trial = None
        if works:
            lane.ahead = batch[-1]
        if not lane.closed:
            if not works:
                self._put_back(lane, batch[:])
            self._put_back(lane, [message])
        verdict = lane.failures.after_trial(lane.place, works=works, now_s=now_s)
        self.turns.end(lane, now_s=now_s, retry_in_s=verdict.retry_in_s)
        return verdict if verdict.attempts and not works else None

    def failing(self) -> list[FailingMessage]:
        """Return the messages that fail, or whose dead letter is not acknowledged.

        Of the partitions that are assigned: one that is revoked is another's.
        """
        with self.table.lock:
            return [
                FailingMessage(
                    at=f"{lane.name}@{lane.failures.offset}",
                    error=lane.failures.text(lane.place),
                    attempts=lane.failures.attempts,
                    since_s=lane.failures.since_s,
                )
                for lane in self.table.lanes.values()
                if lane.failures.attempts
            ]

    def oldest_at_ms(self) -> dict[Key, int | None]:
        """Return, by partition, the timestamp of its oldest message that is not done.

        None where none is here, or it has no timestamp.
        """
        with self.table.lock:
            lanes = self.table.lanes.values()
            oldest = {lane.key: lane.oldest for lane in lanes}
        return {
            key: None if message is None else timestamp_ms_of(message)
            for key, message in oldest.items()
        }

    # --- what is done -----------------------------------------------------------------

    def advance(self, lane: Lane, last: Message, *, now_s: float) -> None:
        """Record that a lane is done up to a message; the lock is held."""
        if lane.advance(last, now_s=now_s):
            self.commits.moved(lane)
            if lane.suspects:
                self.suspects.passed(lane.pass_suspects())

    def count_marks(self, *, now_s: float) -> None:
        """Let offsets move as far as batches that are out have marked messages done."""
        with self.table.lock:
            for lane in self.turns.busy.values():
                if lane.batch is None or lane.on_trial is not None:
                    continue  # what is tried counts no sooner than what is on trial
                if count := lane.batch.done_count:
                    self.advance(lane, lane.batch[count - 1], now_s=now_s)

    def committed(self, offsets: Mapping[Key, int], *, now_s: float) -> None:
        """Record what Kafka has committed; lanes that waited for it go on."""
        with self.table.lock:
            for key, offset in offsets.items():
                if lane := self.table.lanes.get(key):
                    lane.commit(offset)
            for lane in self.table.lanes.values():
                is_awaiting = lane.phase is Phase.AWAITING_COMMIT
                if is_awaiting and not self.commits.is_late(lane, now_s=now_s):
                    self.turns.go_on(lane)

    def is_isolating(self, *, now_s: float) -> bool:
        """Whether a batch may kill the process, so that none may run beside it."""
        with self.table.lock:
            busy = self.turns.busy.values()
            in_hand = any(lane.has_suspect_in_hand for lane in busy)
        return in_hand or any(s.is_poison for s in self.suspects.ahead(now_s=now_s))


def _tell_witness(
    lane: Lane, batch: Batch, error: BaseException, *, done_count: int
) -> None:
    """Let it count for the handler what it has done of a batch, and that it failed."""
    if done_count:
        lane.failures.witness.worked(lane.moved_at_s)
    if done_count < len(batch) and not isinstance(error, ProcessDiedError):
        lane.failures.witness.failed(lane.call)
