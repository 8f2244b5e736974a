"""What becomes of dead letters: their answers, in the lanes and in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

    from swarm_worker.processing.failures import DeadLetter
    from swarm_worker.processing.lane import Lane
    from swarm_worker.processing.lanes import Lanes
    from swarm_worker.reporting.progress import Progress

logger = logging.getLogger(__name__)


class Deliveries:
    """The dead letters of one consumer, from when they are produced."""

    def __init__(
        self, lanes: Lanes, *, progress: Progress, clock: Callable[[], float]
    ) -> None:
        """Begin with none; `Turns.due` returns those that are to be produced."""
        self._lanes = lanes
        self._lock = lanes.table.lock
        self._progress = progress
        self._clock = clock

    def on_delivery(self, lane: Lane, error: KafkaError | None) -> None:
        """Record what became of a dead letter; without an error it is acknowledged."""
        dead_letter = lane.dead_letter
        if dead_letter is None:  # abandoned
            return
        at = f"{lane.name}@{dead_letter.message.offset()}"
        if error is None:
            self._acknowledged(lane, dead_letter)
            logger.warning(
                "dead_lettered at=%s topic=%s attempts=%s error=%s",
                at, lane.route.dead_letter, dead_letter.attempts,
                dead_letter.error_text,
            )  # fmt: skip
            return
        now_s = self._clock()
        with self._lock:
            retry_in_s, is_news = lane.failures.delivery_failed(
                error.str(), now_s=now_s
            )
            self._lanes.turns.end(lane, now_s=now_s, retry_in_s=retry_in_s)
        if is_news:
            logger.error(
                "dead_letter_refused at=%s topic=%s retry_in_s=%s reason=%r",
                at, lane.route.dead_letter, retry_in_s, error.str(),
            )  # fmt: skip

    def _acknowledged(self, lane: Lane, dead_letter: DeadLetter) -> None:
        """Move the offset past the message."""
        now_s = self._clock()
        with self._lock:
            self._lanes.advance(lane, dead_letter.message, now_s=now_s)
            lane.dead_letter = None
            lane.failures.end()
            self._lanes.turns.end(lane, now_s=now_s)
        self._progress.dead_lettered()

    def abandon(self) -> None:
        """Wait no longer for answers, unless something else is under way.

        Nothing of these messages is stored: the next owner begins with them.
        """
        for lane, dead_letter in self._abandoned():
            logger.warning(
                "dead_letter_left at=%s@%s topic=%s consequence=%r",
                lane.name, dead_letter.message.offset(), lane.route.dead_letter,
                "it may be written once more",
            )  # fmt: skip

    def _abandoned(self) -> list[tuple[Lane, DeadLetter]]:
        with self._lock:
            busy = list(self._lanes.turns.busy.values())
            found = [(lane, lane.dead_letter) for lane in busy]
            abandoned = [(lane, it) for lane, it in found if it is not None]
            if len(abandoned) < len(busy):
                return []
            for lane, _ in abandoned:
                lane.dead_letter = None
                self._lanes.turns.end(lane, now_s=self._clock())
            return abandoned
