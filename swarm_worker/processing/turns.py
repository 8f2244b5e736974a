"""Which lane is next: the only place that moves a lane from phase to phase.

The picture of the phases is in `swarm_worker.processing.lane`. At most one batch of a
partition is out at a time. A lane of a former assignment keeps its partition busy until
its batch has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from swarm_worker.processing.lane import Key, Lane, Phase

if TYPE_CHECKING:
    from swarm_worker.app.batch import Batch
    from swarm_worker.processing.lane_table import LaneTable

Submit = Callable[[Lane], None]


class Turns:
    """The turns of the lanes of one consumer.

    Attributes:
        busy: The lanes with something under way; they may be closed.
    """

    def __init__(self, table: LaneTable, submit: Submit) -> None:
        """Begin with no lane busy.

        ``submit`` gives a lane to a handler thread, which then calls `Lanes.take`. It
        is called with the lock held: must neither block nor call back.
        """
        self.busy: dict[Key, Lane] = {}
        self._table = table
        self._submit = submit
        self._waiting: set[Lane] = set()  # in back-off
        self._ended = threading.Condition(table.lock)  # something under way has

    # --- for the thread that polls ----------------------------------------------------

    def offer_all(self) -> None:
        """Submit what waits for no other reason than that handing out was held."""
        with self._table.lock:
            for lane in self._table.lanes.values():
                self.offer(lane)

    def release(self, lane: Lane) -> None:
        """Hand out a lane's messages: its log is known. Twice does no harm."""
        with self._table.lock:
            lane.awaits_log = False
            self.offer(lane)

    def due(self, *, now_s: float) -> list[Lane]:
        """Submit lanes whose back-off is over; return those with a dead letter.

        Each of these is to be produced now, and `Deliveries` to be told the outcome.
        """
        if not self._waiting or self._table.is_held:
            return []
        with self._table.lock:
            over = [lane for lane in self._waiting if lane.retry_at_s <= now_s]
            self._waiting.difference_update(over)
            for lane in over:
                if lane.dead_letter is None:
                    lane.phase = Phase.IDLE
                    self.offer(lane)
                else:
                    lane.phase = Phase.PRODUCING
                    self.busy[lane.key] = lane
            return [lane for lane in over if lane.dead_letter is not None]

    def idle(self) -> list[Key]:
        """Return the partitions that wait for nothing but messages."""
        if self._table.is_held:
            return []
        with self._table.lock:
            lanes = self._table.lanes.values()
            return [lane.key for lane in lanes if self._wants_messages(lane)]

    def awaiting_commit(self) -> list[Lane]:
        """Return the lanes that get no batch before Kafka has taken their commit."""
        lanes = self._table.all()
        return [lane for lane in lanes if lane.phase is Phase.AWAITING_COMMIT]

    def wait_idle(self, *, within_s: float) -> bool:
        """Wait until nothing is under way; whether that came about in time."""
        with self._ended:
            return self._ended.wait_for(lambda: not self.busy, within_s)

    # --- with the lock held -----------------------------------------------------------

    def offer(self, lane: Lane) -> None:
        """Submit a lane if it has messages and nothing keeps it."""
        if (
            lane.phase is Phase.IDLE
            and lane.backlog
            and not (lane.awaits_log or self._table.is_held)
        ):
            lane.phase = Phase.READY
            self._submit(lane)

    def accept(self, lane: Lane) -> bool:
        """Whether a handler thread that has come for a lane gets a batch of it."""
        if lane.phase is not Phase.READY:
            return False
        lane.phase = Phase.IDLE
        return bool(lane.backlog) and not (
            lane.closed or lane.key in self.busy or self._table.is_held
        )

    def run(self, lane: Lane, batch: Batch, *, now_s: float) -> None:
        """Record that a batch of a lane goes out."""
        lane.phase = Phase.RUNNING
        lane.batch = batch
        lane.moved_at_s = now_s
        self.busy[lane.key] = lane

    def await_commit(self, lane: Lane) -> None:
        """Hold a lane back until Kafka has taken a commit of it."""
        lane.phase = Phase.AWAITING_COMMIT

    def go_on(self, lane: Lane) -> None:
        """Offer a lane again: Kafka has taken the commit that it waited for."""
        lane.phase = Phase.IDLE
        self.offer(lane)

    def end(self, lane: Lane, *, now_s: float, retry_in_s: float | None = None) -> None:
        """End what a lane has under way: a batch, or a dead letter.

        Its next turn may be some seconds away. Its partition's lane of today may be
        another.
        """
        self.busy.pop(lane.key, None)
        lane.batch = None
        lane.moved_at_s = now_s
        lane.phase = Phase.IDLE
        if retry_in_s is not None and not lane.closed:
            lane.phase = Phase.WAITING
            lane.retry_at_s = now_s + retry_in_s
            self._waiting.add(lane)
        if successor := self._table.lanes.get(lane.key):
            self.offer(successor)
        self._ended.notify_all()

    def await_end(self, lanes: Sequence[Lane], *, within_s: float) -> list[Lane]:
        """Wait for what lanes have under way; return those that are busy still.

        The lock is released meanwhile.
        """
        self._ended.wait_for(lambda: not any(lane.is_busy for lane in lanes), within_s)
        return [lane for lane in lanes if lane.is_busy]

    def forget(self, lane: Lane) -> None:
        """Stop scheduling a lane; what it has under way goes on."""
        self._waiting.discard(lane)
        if lane.phase in (Phase.WAITING, Phase.AWAITING_COMMIT):
            lane.phase = Phase.IDLE

    def _wants_messages(self, lane: Lane) -> bool:
        return lane.phase is Phase.IDLE and not (
            lane.backlog or lane.paused or lane.awaits_log or lane.key in self.busy
        )
