"""Whose turn it is: the only place that moves a lane from phase to phase.

The picture of the phases is in `swarm_worker.processing.lane`. At most one batch of a
partition is out at a time. A lane of a former assignment keeps its partition busy until
its batch has ended. Pure; guarded by the lock of `Lanes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from swarm_worker.processing.lane import Key, Lane, Phase

if TYPE_CHECKING:
    from swarm_worker.app.batch import Batch

Submit = Callable[[Lane], None]


class Turns:
    """The lanes that are not idle.

    Attributes:
        busy: Those with something under way; they may be closed.
        waiting: Those in back-off.
        awaiting_commit: Those that get no batch before Kafka has taken their commit.
    """

    def __init__(self, submit: Submit) -> None:
        """Begin with none.

        Args:
            submit: Gives a lane to a handler thread.
        """
        self.busy: dict[Key, Lane] = {}
        self.waiting: set[Lane] = set()
        self.awaiting_commit: set[Lane] = set()
        self._submit = submit

    def wants_messages(self, lane: Lane) -> bool:
        """Whether a lane waits for nothing but messages."""
        return (
            lane.phase is Phase.IDLE
            and not (lane.backlog or lane.paused or lane.key in self.busy)
            and not lane.awaits_log
        )

    def offer(self, lane: Lane) -> None:
        """Submit a lane if it has messages and nothing keeps it."""
        if lane.phase is Phase.IDLE and not lane.awaits_log and lane.backlog:
            lane.phase = Phase.READY
            self._submit(lane)

    def accept(self, lane: Lane) -> bool:
        """A handler thread has come for a lane; whether there is a batch for it."""
        if lane.phase is not Phase.READY:
            return False
        lane.phase = Phase.IDLE
        return bool(lane.backlog) and not lane.closed and lane.key not in self.busy

    def run(self, lane: Lane, batch: Batch, *, now_s: float) -> None:
        """A batch of a lane goes out."""
        lane.phase = Phase.RUNNING
        lane.batch = batch
        lane.moved_at_s = now_s
        self.busy[lane.key] = lane

    def await_commit(self, lane: Lane) -> None:
        """A lane gets no batch before Kafka has taken a commit of it."""
        lane.phase = Phase.AWAITING_COMMIT
        self.awaiting_commit.add(lane)

    def end_wait_for_commit(self, lane: Lane) -> None:
        """Kafka has taken one."""
        self.awaiting_commit.discard(lane)
        lane.phase = Phase.IDLE

    def end(self, lane: Lane, *, now_s: float) -> None:
        """A batch or a dead letter of a lane is no longer under way."""
        self.busy.pop(lane.key, None)
        lane.batch = None
        lane.moved_at_s = now_s
        lane.phase = Phase.IDLE

    def back_off(self, lane: Lane, *, until_s: float) -> None:
        """A lane that has ended its turn gets the next one later."""
        if not lane.closed:
            lane.phase = Phase.WAITING
            lane.retry_at_s = until_s
            self.waiting.add(lane)

    def end_back_off(self, *, now_s: float) -> list[Lane]:
        """End the back-offs that are over; return their lanes.

        A lane with a dead letter is busy from now on: the dead letter is on its way.
        """
        over = [lane for lane in self.waiting if lane.retry_at_s <= now_s]
        self.waiting.difference_update(over)
        for lane in over:
            lane.phase = Phase.IDLE
            if lane.dead_letter is not None:
                lane.phase = Phase.PRODUCING
                self.busy[lane.key] = lane
        return over

    def forget(self, lane: Lane) -> None:
        """A lane gets no more turns; what it has under way goes on."""
        self.waiting.discard(lane)
        self.awaiting_commit.discard(lane)
        if lane.phase in (Phase.WAITING, Phase.AWAITING_COMMIT):
            lane.phase = Phase.IDLE
