"""The partitions that are held: their lag, and what stands still of them."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError

from swarm_worker.kafka.errors import Kind, Troubles, no_offset
from swarm_worker.kafka.monitoring import statistics
from swarm_worker.kafka.monitoring.ends import Ends
from swarm_worker.kafka.monitoring.lags import (
    LSO_BEHIND_S,
    Held,
    StableOffsets,
    lags,
)
from swarm_worker.kafka.monitoring.standstill import Stalls

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.kafka.monitoring.ends import EndAsker
    from swarm_worker.processing.lane import Key, Lane
    from swarm_worker.processing.lanes import Lanes
    from swarm_worker.reporting.progress import ConsumerProgress

# A partition that is asked for, and of which nothing is known for so long, is logged.
NO_ANSWER_S: Final = 30.0


class Partitions:
    """How what a group's client holds is doing; shown in the report, and logged.

    Attributes:
        stalls: What stands still, and of what nothing is told.
    """

    def __init__(
        self,
        lanes: Lanes,
        progress: ConsumerProgress,
        troubles: Troubles,
        end_asker: EndAsker | None,
    ) -> None:
        """Know nothing yet."""
        self.stalls = Stalls()
        self._ends = Ends()
        self._end_asker = end_asker
        self._stable_offsets = StableOffsets()
        self._figures: statistics.Figures | None = None
        self._lso_behind_since_s: Mapping[Key, float] = {}
        self._lanes = lanes
        self._progress = progress
        self._troubles = troubles

    def left(self, lanes: Iterable[Lane]) -> None:
        """Partitions are no longer held: what was wrong with them is not ours."""
        names = {lane.name for lane in lanes}
        self._troubles.end(Kind.OFFSET, having=names.__contains__)
        self._progress.blocked = self._troubles.subjects(Kind.OFFSET)

    def has_no_offset(self, message: Message, error: KafkaError) -> None:
        """Record that a partition has no offset to begin with; nothing of it is read.

        Args:
            message: What came in a message's place; names the partition.
            error: The error.
        """
        topic, partition = message.topic() or "", message.partition() or 0
        offset = message.offset()
        text = no_offset(error, topic=topic, partition=partition, offset=offset)
        name = f"{topic}/{partition}"
        self._troubles.begin(Kind.OFFSET, text, subject=name, level=logging.ERROR)
        self._progress.blocked = self._troubles.subjects(Kind.OFFSET)

    def lacks_topic(self, message: Message, error: KafkaError) -> None:
        """Record that a topic is not there, or not for us.

        Args:
            message: What came in a message's place; names the topic.
            error: The error.
        """
        topic, partition = message.topic() or "", message.partition() or 0
        text = f"{topic}: {error.str()}; waiting for it"
        self._troubles.begin(Kind.TOPIC, text, subject=topic)
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self.stalls.refused.add((topic, partition))

    def update(
        self,
        figures: statistics.Figures,
        *,
        uncommitted: Iterable[Lane],
        are_breaking_off: bool,
        now_s: float,
    ) -> None:
        """Note what statistics tell.

        Args:
            figures: The statistics.
            uncommitted: Lanes that wait for a commit, though Kafka seems to take them.
            are_breaking_off: See `Brokers`.
            now_s: When they came.
        """
        progress, idle = self._progress, self._lanes.turns.idle()
        held = self._held(idle)
        self._figures = figures
        self._lso_behind_since_s = self._stable_offsets.update(
            figures, held, now_s=now_s
        )
        wanted = self._ends.update(figures, held, now_s=now_s)
        if wanted and self._end_asker is not None:
            self._end_asker.ask_ends(wanted)
        self._show_lag(figures, held)
        blocked = set(progress.blocked)
        progress.stalled_since_s = self.stalls.update(
            figures,
            [key for key in idle if f"{key[0]}/{key[1]}" not in blocked],
            uncommitted=[lane.key for lane in uncommitted],
            breaks=are_breaking_off,
            now_s=now_s,
        )
        self._log_unanswered(now_s)
        self._log_hanging()
        self._end_topics(figures, held)

    def tend(self, *, now_s: float) -> None:
        """Take what leaders have answered meanwhile. Does not block."""
        told = self._end_asker.ends() if self._end_asker else None
        if told is not None and self._figures is not None:
            self._ends.take(told, now_s=now_s)
            self._show_lag(self._figures, self._held(self._lanes.turns.idle()))

    def _show_lag(self, figures: statistics.Figures, held: Mapping[Key, Held]) -> None:
        ends, behind_since_s = self._ends.known, self._lso_behind_since_s
        self._progress.partitions = lags(figures, held, ends, behind_since_s)

    def _held(self, idle: Iterable[Key]) -> dict[Key, Held]:
        """Return what is known here of each partition that is held."""
        wants_messages, oldest_at_ms = set(idle), self._lanes.oldest_at_ms()
        return {
            lane.key: Held(
                done=lane.position,
                is_idle=lane.key in wants_messages,
                is_fetched=not lane.paused,
                oldest_at_ms=oldest_at_ms.get(lane.key),
            )
            for lane in self._lanes.table.all()
        }

    def _end_topics(self, figures: statistics.Figures, held: Collection[Key]) -> None:
        """End the troubles of topics whose partitions all have figures again."""
        lacking = {key[0] for key in held if not figures.tells_of(key)}
        told = {topic for topic, _ in held} - lacking
        self._troubles.end(Kind.TOPIC, having=told.__contains__)

    def _log_hanging(self) -> None:
        """Log that transactions hang, a line for each partition."""
        hanging = {f"{topic}/{at}" for topic, at in self._lso_behind_since_s}
        self._troubles.end(Kind.TRANSACTION, having=lambda name: name not in hanging)
        for name in sorted(hanging):
            self._troubles.begin(
                Kind.TRANSACTION,
                f"{name}: the last stable offset has stood behind the log's end for "
                f"over {LSO_BEHIND_S:.0f} s, and what was written since is not read: a "
                "producer's transaction hangs; kafka-transactions.sh find-hanging "
                "names it, and abort ends it",
                subject=name,
            )

    def _log_unanswered(self, now_s: float) -> None:
        """Log that nothing comes of partitions, and that the reason is not known."""
        unanswered = self.stalls.unanswered
        late = [key for key, at_s in unanswered.items() if now_s - at_s > NO_ANSWER_S]
        if not unanswered:
            self._troubles.end(Kind.FETCH)
        elif late:
            names = ",".join(f"{topic}/{partition}" for topic, partition in late[:3])
            self._troubles.begin(
                Kind.FETCH,
                f"the leaders of {len(late)} partitions ({names}) refuse for "
                f"{NO_ANSWER_S:.0f} s what they are asked for, and librdkafka does not "
                'say why; [kafka] debug = "fetch,topic" does',
            )
