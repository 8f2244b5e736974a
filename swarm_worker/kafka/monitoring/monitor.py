"""Hands a client's errors and statistics to the parts that use them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from swarm_worker.app.token import advice as advice_on
from swarm_worker.kafka.errors import Kind, Troubles, advice, kind_of, subject_of
from swarm_worker.kafka.monitoring import statistics
from swarm_worker.kafka.monitoring.brokers import Brokers
from swarm_worker.kafka.monitoring.commit_answers import CommitAnswers
from swarm_worker.kafka.monitoring.member import NEEDS_OPERATOR, Member
from swarm_worker.kafka.monitoring.partitions import Partitions
from swarm_worker.kafka.monitoring.standstill import Steadiness
from swarm_worker.shared.redaction import without_secrets

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from swarm_worker.app.token import TokenCallback
    from swarm_worker.kafka.monitoring.ends import EndAsker
    from swarm_worker.processing.lanes import Lanes
    from swarm_worker.reporting.progress import ConsumerProgress

logger = logging.getLogger(__name__)

_LEVELS: Final = dict.fromkeys(NEEDS_OPERATOR, logging.ERROR)


class Monitor:
    """How one group's clients are doing, one after the other. Used by the poll thread.

    Attributes:
        is_consumer_protocol: KIP-848, not the classic protocol.
        progress: What the report is made of.
        troubles: What is wrong.
        brokers: Whether there is one.
        member: Whether the group has let the client in.
        partitions: Their lag, and what stands still.
        commits: How commits fare.
        failure: The error after which the client is of no use, if there was one.
        polls: How often the clients were polled.
    """

    def __init__(
        self,
        group: str,
        properties: Mapping[str, Any],
        *,
        progress: ConsumerProgress,
        lanes: Lanes,
        clock: Callable[[], float],
        token: TokenCallback | None = None,
        end_asker: EndAsker | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            group: The Kafka group.
            properties: Of its clients.
            progress: Where it is told.
            lanes: What the group holds.
            clock: Seconds, as in the reports.
            token: The app's token callback; None without one.
            end_asker: Asks where logs end; None if nobody does.
        """
        self.is_consumer_protocol = properties.get("group.protocol") == "consumer"
        self.progress = progress
        self.troubles = Troubles(group, logger)
        self.brokers = Brokers(progress, self.troubles, properties)
        self.member = Member(
            group,
            instance_id=properties.get("group.instance.id"),
            is_consumer_protocol=self.is_consumer_protocol,
            progress=progress,
            troubles=self.troubles,
            brokers=self.brokers,
            clock=clock,
        )
        self.partitions = Partitions(lanes, progress, self.troubles, end_asker)
        self.commits = CommitAnswers(lanes, self.troubles, clock)
        self.failure: KafkaError | None = None
        self.polls = 0
        self._properties = properties
        self._clock = clock
        self._token = token
        self._is_subscribed = True
        isolation = properties.get("isolation.level")
        self._reads_uncommitted = isolation == "read_uncommitted"
        self._steadiness = Steadiness(is_consumer_protocol=self.is_consumer_protocol)

    @property
    def callbacks(self) -> Mapping[str, Callable[..., None]]:
        """What a client is to call, by the name of the property."""
        return {
            "error_cb": self.on_error,
            "stats_cb": self.on_statistics,
            "on_commit": self.commits.on_commit,
        }

    # --- facts from the poll thread ---------------------------------------------------

    def begin(self, *, is_subscribed: bool) -> None:
        """Begin with a new client.

        Args:
            is_subscribed: The group gives it its partitions; else they are assigned
                directly.
        """
        self._is_subscribed = is_subscribed
        self.failure = None
        self.commits.rebalancing()
        self.brokers.begin(now_s=self._clock())
        self.troubles.end(Kind.CLIENT)
        self.member.begin(is_subscribed=is_subscribed)

    def lacks_client(self, why: str) -> None:
        """Record that there is no client yet: that is no poll loop that hangs.

        Args:
            why: Why it could not be made, and will be tried again; empty while it is
                being made.
        """
        if self.progress.polled_at_s is not None:
            self.progress.polled_at_s = self._clock()
        if why:
            text = f"{why}; going on trying"
            self.troubles.begin(Kind.CLIENT, text, level=logging.ERROR)
            self.member.show()

    def polled(self) -> None:
        """Record that the client was polled just now."""
        self.polls += 1
        self.progress.polled_at_s = self._clock()

    # --- errors -----------------------------------------------------------------------

    def on_error(self, error: KafkaError) -> None:
        """Record an error; the client's ``error_cb``."""
        kind = kind_of(error)
        self.brokers.on_error(kind, error, now_s=self._clock())
        if kind in (Kind.CONNECTION, Kind.BROKERS):
            self.member.lost_broker()
        if kind in (Kind.FATAL, Kind.HELD_ID):
            self.failure = error
        elif kind not in (Kind.NOTHING, Kind.CONNECTION):
            level = _LEVELS.get(kind, logging.WARNING)
            text = advice(kind, error, connection=self.brokers.connection_error)
            text = without_secrets(text, self._properties)
            self.troubles.begin(kind, text, subject=subject_of(error), level=level)
            if kind is Kind.JOIN:
                self.member.join_refused()
            self.member.show()

    def on_message_error(self, message: Message, error: KafkaError) -> None:
        """Record an error that came in a message's place."""
        kind, has_topic = kind_of(error), bool(message.topic())
        if kind is Kind.OFFSET and has_topic and message.partition() is not None:
            self.partitions.has_no_offset(message, error)
        elif kind is Kind.TOPIC and has_topic:
            self.partitions.lacks_topic(message, error)
            self.member.show()
        else:
            self.on_error(error)

    # --- statistics -------------------------------------------------------------------

    def on_statistics(self, text: str) -> None:
        """Note what statistics tell; the client's ``stats_cb``."""
        now_s = self._clock()
        if (figures := self._read(text)) is None:
            return
        token_trouble = self._token.trouble(now_s=now_s) if self._token else ""
        self._log_token_trouble(token_trouble)
        self.brokers.update(figures, token_trouble=token_trouble, now_s=now_s)
        self.member.update(figures, is_of_use=self.failure is None, now_s=now_s)
        uncommitted = self.commits.update(
            takes_commits=self._takes_commits(figures), now_s=now_s
        )
        self.partitions.update(
            figures,
            uncommitted=uncommitted,
            are_breaking_off=self.brokers.are_breaking_off(now_s=now_s),
            now_s=now_s,
        )
        self._note_steadiness(figures, now_s)

    def _read(self, text: str) -> statistics.Figures | None:
        """Return the figures; None where there are none, which is logged."""
        try:
            figures = statistics.read(text, reads_uncommitted=self._reads_uncommitted)
        except ValueError as error:
            self.troubles.begin(
                Kind.STATISTICS,
                f"librdkafka's statistics are no JSON ({error}): lag, brokers, stalls "
                "and frozen groups are not known",
            )
            return None
        self.troubles.end(Kind.STATISTICS)
        return figures

    def _log_token_trouble(self, trouble: str) -> None:
        """Log that the app's token callback hangs or gives nothing, and its end."""
        if trouble:
            text = without_secrets(trouble, self._properties)
            self.troubles.begin(
                Kind.TOKEN,
                f"{text}; the brokers refuse a node without a token; {advice_on(text)}",
                level=logging.ERROR,
            )
        else:
            self.troubles.end(Kind.TOKEN)

    def _takes_commits(self, figures: statistics.Figures) -> bool:
        # Assigned directly, there is no group to rebalance.
        is_steady = not self._is_subscribed or self._steadiness.is_steady(figures)
        return is_steady and figures.brokers_up > 0 and not figures.owes_answer

    def _note_steadiness(self, figures: statistics.Figures, now_s: float) -> None:
        self.progress.unsteady_since_s = self._steadiness.update(
            figures,
            lacks_topic=self.troubles.has(Kind.TOPIC),
            is_refused=not self._is_subscribed
            or self.troubles.has(Kind.GROUP, Kind.CREDENTIALS, Kind.HELD_ID),
            now_s=now_s,
        )
