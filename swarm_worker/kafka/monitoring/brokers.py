"""Whether the clients of a group have a broker; since when not, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from swarm_worker.kafka.errors import Kind, Troubles, breaks_connection
from swarm_worker.shared.redaction import without_secrets

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

    from swarm_worker.kafka.monitoring.statistics import Figures
    from swarm_worker.reporting.progress import ConsumerProgress

# For so long after a response that could not be taken a leader is not away: the client
# has dropped the connection, and makes a new one. Above reconnect.backoff.max.ms.
BREAKS_S: Final = 30.0

# A client that is told of no brokers while one starts forgets those it had, for good
# (librdkafka issue 5301). It has none for a moment in good order, too.
NOWHERE_S: Final = 10.0

# Without a broker for so long, the log says why, as far as that is known by then.
LACKS_LONG_S: Final = 30.0

# A broker that answers, and drops the connection over what is fetched, is not back.
BROKERS_SETTLED_S: Final = 5.0

# A quota that is used up again and again has brokers hold back an answer in each of its
# windows. Source: quota.window.size.seconds and quota.window.num, 11 s by default.
THROTTLED_RECENT_S: Final = 60.0

_FIGURES: Final = re.compile(r"\d+")


class Brokers:
    """The brokers of one group's clients; shown in the report, and logged.

    Attributes:
        are_forgotten: The client knows of none any more, and will not find one.
        connection_error: Why the last connection failed, with its broker.
    """

    def __init__(
        self,
        progress: ConsumerProgress,
        troubles: Troubles,
        properties: Mapping[str, Any],
    ) -> None:
        """Know nothing yet."""
        self.are_forgotten = False
        self.connection_error = ""
        self._progress = progress
        self._troubles = troubles
        self._properties = properties
        self._unreached_at_s = -inf  # when one was last told to be down
        self._broke_at_s = -inf  # when a response could not be taken
        self._nowhere_since_s: float | None = None
        self._throttled_at_s = -inf

    def begin(self, *, now_s: float) -> None:
        """Begin with a new client, which has none."""
        self.are_forgotten, self._nowhere_since_s = False, None
        if self._progress.no_broker_since_s is None:
            self._progress.no_broker_since_s = now_s

    def heard(self, *, now_s: float) -> None:
        """Record that one has answered."""
        self._progress.no_broker_since_s, self._progress.heard_at_s = None, now_s

    def on_error(self, kind: Kind, error: KafkaError, *, now_s: float) -> None:
        """Record what an error says of them."""
        if kind in (Kind.CONNECTION, Kind.CREDENTIALS):
            self.connection_error = error.str()
        if kind in (Kind.BROKERS, Kind.CREDENTIALS):
            self._unreached_at_s = now_s
        if breaks_connection(error):
            self._broke_at_s = now_s

    def are_breaking_off(self, *, now_s: float) -> bool:
        """Whether a leader that seems to be away is there: it is the answers' fault."""
        return now_s - self._broke_at_s < BREAKS_S

    def update(self, figures: Figures, *, token_trouble: str, now_s: float) -> None:
        """Note what statistics tell.

        Args:
            figures: The statistics.
            token_trouble: What is wrong with the app's token callback, if something is.
            now_s: When they came.
        """
        self._progress.brokers_up = figures.brokers_up
        self._note_addresses(figures, now_s)
        self._note_throttling(figures, now_s)
        if not figures.brokers_up:
            self._note_absence(token_trouble, now_s)
            return
        self._progress.no_broker_since_s, self._progress.no_broker_why = None, ""
        self.connection_error = ""
        if figures.heard_ago_s is not None:
            self._progress.heard_at_s = now_s - figures.heard_ago_s
        if now_s - self._unreached_at_s > BROKERS_SETTLED_S:
            self._troubles.end(Kind.BROKERS, Kind.CREDENTIALS)

    def _note_throttling(self, figures: Figures, now_s: float) -> None:
        """Note whether answers are held back for a quota; logged as it begins."""
        if figures.throttled_ms:
            self._throttled_at_s = now_s
            self._progress.throttled_ms = figures.throttled_ms
            self._troubles.begin(
                Kind.QUOTA,
                f"a broker has held an answer back for {figures.throttled_ms} ms: a "
                "quota of this user or client.id is used up; kafka-configs.sh "
                "--describe --entity-type clients (or users) shows it",
            )
        elif now_s - self._throttled_at_s > THROTTLED_RECENT_S:
            self._progress.throttled_ms = None
            self._troubles.end(Kind.QUOTA)

    def _note_addresses(self, figures: Figures, now_s: float) -> None:
        if figures.addresses:
            self._nowhere_since_s = None
        elif self._nowhere_since_s is None:
            self._nowhere_since_s = now_s
        elif now_s - self._nowhere_since_s >= NOWHERE_S:
            self.are_forgotten = True

    def _note_absence(self, token_trouble: str, now_s: float) -> None:
        """Note since when there is none, and why; logged when that lasts."""
        progress = self._progress
        if progress.no_broker_since_s is None:
            progress.no_broker_since_s = now_s
        why = (
            token_trouble
            or self.connection_error
            or self._troubles.text(Kind.CREDENTIALS, Kind.BROKERS)
        )
        progress.no_broker_why = without_secrets(why, self._properties)
        lacks_s = now_s - progress.no_broker_since_s
        if lacks_s > LACKS_LONG_S and self._is_news(progress.no_broker_why):
            told = f"no broker for {lacks_s:.0f} s: {progress.no_broker_why}"
            self._troubles.begin(Kind.BROKERS, told, subject="for long")

    def _is_news(self, why: str) -> bool:
        """Whether a cause was not told yet, but for its times and ports."""
        told = self._troubles.text(Kind.BROKERS, Kind.CREDENTIALS, Kind.TOKEN)
        return bool(why) and _FIGURES.sub("", why) not in _FIGURES.sub("", told)
