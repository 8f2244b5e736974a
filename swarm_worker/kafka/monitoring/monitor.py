"""What a client tells of itself, in errors and statistics, turned into progress."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError

from swarm_worker.app.token import advice as advice_on
from swarm_worker.kafka import offsets
from swarm_worker.kafka.errors import (
    Kind,
    Troubles,
    advice,
    breaks_connection,
    kind_of,
    no_offset,
    subject_of,
)
from swarm_worker.kafka.monitoring import statistics
from swarm_worker.kafka.monitoring.membership import UNTOLD, Membership
from swarm_worker.kafka.monitoring.standstill import Stalls, Steadiness
from swarm_worker.shared.redaction import without_secrets

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

    from swarm_worker.app.token import TokenCallback
    from swarm_worker.processing.lane import Key, Lane
    from swarm_worker.processing.lanes import Lanes
    from swarm_worker.reporting.progress import ConsumerProgress

logger = logging.getLogger(__name__)

# The broker keeps the id of a killed member until its session ends: 45 s by default.
HELD_ID_LONG_S: Final = 120.0
# A refusal comes with the first heartbeat; without one for so long, the id is ours.
HELD_ID_SETTLED_S: Final = 5.0

# How long after a lost session Kafka may still answer to what was sent in its name. A
# request waits for a broker to come back, then for its answer: seconds.
ECHO_S: Final = 10.0

# Work that waits so long for its commit is told of. Rebalances are shorter as a rule.
OWES_LONG_S: Final = 10.0

# For so long after a response that could not be taken a leader is not away: the client
# has dropped the connection, and makes a new one. Above reconnect.backoff.max.ms.
BREAKS_S: Final = 30.0

# A client that is told of no brokers while one starts forgets those it had, for good
# (librdkafka issue 5301). It has none for a moment in good order, too.
NOWHERE_S: Final = 10.0

# Without a broker for so long, the log says why, as far as that is known by then.
LACKS_LONG_S: Final = 30.0

# Of a partition that is asked for, and of which nothing is told for so long, the log
# speaks.
UNTOLD_S: Final = 30.0

# A broker that answers, and drops the connection over what is fetched, is not back.
BROKERS_SETTLED_S: Final = 5.0

_NO_ROOM_FOR_IDS: Final = (
    "the broker's offset.metadata.max.bytes leaves no room for a topic's id (43 bytes) "
    "beside an offset: a topic that is deleted and created again while a partition "
    "changes its node is not noticed"
)

_FIGURES: Final = re.compile(r"\d+")
_GRAVE: Final = (Kind.JOIN, Kind.GROUP, Kind.CREDENTIALS)
_LEVELS: Final = dict.fromkeys(_GRAVE, logging.ERROR)

# What keeps a member from its group, the likeliest cause first; anything else may.
_KEEPS_OUT: Final = (Kind.TOKEN, *_GRAVE, Kind.BROKERS, Kind.TOPIC)
_MAY_KEEP_OUT: Final = (Kind.CLIENT, *_KEEPS_OUT, Kind.OTHER)


class Watch:
    """How one group's client is doing. Used by the poll thread.

    Attributes:
        is_consumer_protocol: KIP-848, not the classic protocol.
        troubles: What is wrong.
        failure: The error after which the client is of no use, if there was one.
        is_cut_off: The client knows of no broker any more, and will not find one.
        polls: How often the client was polled.
        refusals: How often the broker said that the instance id is still held.
        stalls: What stands still, and of what nothing is told.
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
    ) -> None:
        """Know nothing yet.

        Args:
            group: The Kafka group.
            properties: Of its clients, one after the other.
            progress: Where it is told.
            lanes: What the group holds.
            clock: Seconds, as in the reports.
            token: The app's token callback; None without one.
        """
        self.is_consumer_protocol = properties.get("group.protocol") == "consumer"
        self.troubles = Troubles(group, logger)
        self.failure: KafkaError | None = None
        self.is_cut_off = False
        self.polls = self.refusals = 0
        self._group = group
        self._properties = properties
        self._instance_id = properties.get("group.instance.id")
        self._progress = progress
        self._lanes = lanes
        self._clock = clock
        self._token = token
        self._client: Consumer | None = None
        self._born_at_s = clock()
        self._membership = Membership(now_s=self._born_at_s)
        self._unreached_at_s = -inf  # when a broker was last told to be down
        self._broke_at_s = -inf  # when a response could not be taken
        self._held_since_s: float | None = None
        self._lost_session = False
        self._nowhere_since_s: float | None = None
        self._rejoined_at_s: float | None = None
        self._refusal = ""  # of the last commit
        self._connection = ""  # why the last one failed, with its broker
        self._is_subscribed = True
        isolation = properties.get("isolation.level")
        self._reads_uncommitted = isolation == "read_uncommitted"
        self.stalls = Stalls()
        self._steadiness = Steadiness(is_consumer_protocol=self.is_consumer_protocol)
        progress.awaits_id = self.is_consumer_protocol and bool(self._instance_id)

    def begin(self, client: Consumer, *, is_subscribed: bool) -> None:
        """Watch a new client."""
        self._client = client
        self._is_subscribed = is_subscribed
        self._born_at_s = self._clock()
        self._lost_session = False
        self._rejoined_at_s = None
        self.failure = None
        self.is_cut_off, self._nowhere_since_s = False, None
        if self._progress.no_broker_since_s is None:
            self._progress.no_broker_since_s = self._born_at_s
        self.troubles.end(Kind.CLIENT)
        self._put_out()

    def lacks_client(self, why: str = "") -> None:
        """There is no client yet: that is no poll loop that hangs.

        Args:
            why: It could not be made, and will be tried again.
        """
        if self._progress.polled_at_s is not None:
            self._progress.polled_at_s = self._clock()
        if why:
            text = f"{why}; going on trying"
            self.troubles.begin(Kind.CLIENT, text, level=logging.ERROR)
            self._show_membership()

    # --- facts from the poll thread ---------------------------------------------------

    def polled(self) -> None:
        """The client was polled just now."""
        self.polls += 1
        self._progress.polled_at_s = self._clock()

    def assigned(self, count: int) -> None:
        """So many partitions are held."""
        self._progress.assigned = count

    def lost(self) -> None:
        """The session is over: partitions were taken away without a revoke."""
        self._lost_session = True
        self._rejoined_at_s = None
        self._put_out()

    def rejoined(self) -> None:
        """The group has given an assignment."""
        if self._lost_session and self._rejoined_at_s is None:
            self._rejoined_at_s = self._clock()
        self._membership.let_in()
        self._show_membership()

    def _put_out(self) -> None:
        self._membership.put_out(now_s=self._clock())
        self._show_membership()

    def _show_membership(self) -> None:
        why = "" if self._membership.is_in else self._why_out
        self._progress.not_joined = why and f"group {self._group}: {why}"

    @property
    def _why_out(self) -> str:
        return self.troubles.text(*_MAY_KEEP_OUT) or UNTOLD

    @property
    def fenced_itself(self) -> bool:
        """Whether a fencing now is an echo of a session of ours that is over.

        A client that joins anew after its session gets another member id under the same
        instance id. A commit of the old one that waited for the broker and arrives only
        then is refused as fenced, and librdkafka takes that for fatal. Seen where a
        broker was away for about as long as the session.
        """
        if not self._lost_session:
            return False
        rejoined_at_s = self._rejoined_at_s
        return rejoined_at_s is None or self._clock() - rejoined_at_s < ECHO_S

    def left(self, lanes: Iterable[Lane]) -> None:
        """Partitions are no longer held: what was wrong with them is not ours."""
        names = {lane.name for lane in lanes}
        self.troubles.end(Kind.OFFSET, having=names.__contains__)
        self._progress.blocked = self.troubles.subjects(Kind.OFFSET)

    def accepted(self) -> None:
        """The group has let us in."""
        self._progress.awaits_id = False
        if self._held_since_s is not None:
            logger.info(
                "instance_id_free group=%s waited_s=%.1f",
                self._group, self._clock() - self._held_since_s,
            )  # fmt: skip
            self._held_since_s = None
            self.troubles.end(Kind.HELD_ID)

    def refused(self) -> None:
        """The group has not let us in: our instance id is still held."""
        now_s = self._clock()
        self.refusals += 1
        self._progress.awaits_id = True
        # A broker has said so; each client lives too shortly for statistics of its own.
        self._progress.no_broker_since_s, self._progress.heard_at_s = None, now_s
        if self._held_since_s is None:
            self._held_since_s = now_s
        if now_s - self._held_since_s <= HELD_ID_LONG_S:
            self.troubles.begin(
                Kind.HELD_ID,
                f"instance id {self._instance_id} belongs to a session that still "
                "runs; waiting for its end (45 s after a kill by default)",
            )
        else:
            self.troubles.begin(
                Kind.HELD_ID,
                f"instance id {self._instance_id} is held for over "
                f"{HELD_ID_LONG_S:.0f} s: another live process has it; look for a "
                "second swarm with the same [worker] instance_prefix",
                level=logging.ERROR,
            )

    # --- errors -----------------------------------------------------------------------

    def on_error(self, error: KafkaError) -> None:
        """Take note of an error; the client's ``error_cb``."""
        kind = kind_of(error)
        if kind in (Kind.CONNECTION, Kind.CREDENTIALS):
            self._connection = error.str()
        if kind in (Kind.FATAL, Kind.HELD_ID):
            self.failure = error
        elif kind not in (Kind.NOTHING, Kind.CONNECTION):
            level = _LEVELS.get(kind, logging.WARNING)
            text = advice(kind, error, connection=self._connection)
            text = without_secrets(text, self._properties)
            self.troubles.begin(kind, text, subject=subject_of(error), level=level)
            if kind in (Kind.BROKERS, Kind.CREDENTIALS):
                self._unreached_at_s = self._clock()
            if breaks_connection(error):
                self._broke_at_s = self._clock()
            if kind is Kind.JOIN:
                self._membership.put_out(now_s=self._clock())
            self._show_membership()

    def on_message_error(self, message: Message, error: KafkaError) -> None:
        """Take note of an error that came in a message's place."""
        topic, partition = message.topic(), message.partition()
        kind = kind_of(error)
        if kind is Kind.OFFSET and topic and partition is not None:
            text = no_offset(
                error, topic=topic, partition=partition, offset=message.offset()
            )
            name = f"{topic}/{partition}"
            self.troubles.begin(kind, text, subject=name, level=logging.ERROR)
            self._progress.blocked = self.troubles.subjects(Kind.OFFSET)
        elif kind is Kind.TOPIC and topic:
            text = f"{topic}: {error.str()}; waiting for it"
            self.troubles.begin(kind, text, subject=topic)
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                self.stalls.refused.add((topic, partition or 0))
            self._show_membership()
        else:
            self.on_error(error)

    def on_commit(
        self, error: KafkaError | None, partitions: list[TopicPartition]
    ) -> None:
        """Take note of the answer to a commit; the client's ``on_commit``."""
        refusals = [e for e in (error, *(at.error for at in partitions)) if e]
        self._refusal = refusals[0].str() if refusals else ""
        if any(e.code() == KafkaError.OFFSET_METADATA_TOO_LARGE for e in refusals):
            self._lanes.commits.keep_no_ids()
            self.troubles.begin(Kind.TOPIC_IDS, _NO_ROOM_FOR_IDS, subject="commits")
        if error is None:
            taken = offsets.taken_of(partitions)
            self._lanes.committed(taken, now_s=self._clock())

    # --- statistics -------------------------------------------------------------------

    def on_statistics(self, text: str) -> None:
        """Take note of statistics; the client's ``stats_cb``."""
        now_s, lanes = self._clock(), self._lanes.table.all()
        try:
            figures = statistics.read(text, reads_uncommitted=self._reads_uncommitted)
        except ValueError as error:
            self.troubles.begin(
                Kind.STATISTICS,
                f"librdkafka's statistics are no JSON ({error}): lag, brokers, stalls "
                "and frozen groups are not known",
            )
            return
        self.troubles.end(Kind.STATISTICS)
        self._tell_of_token(now_s)
        self._note_brokers(figures, now_s)
        if figures.brokers_up:
            if now_s - self._unreached_at_s > BROKERS_SETTLED_S:
                self.troubles.end(Kind.BROKERS, Kind.CREDENTIALS)
            if now_s - self._born_at_s > HELD_ID_SETTLED_S and self.failure is None:
                self.accepted()
                self._accepted_without_word(figures)
        self._tell_membership(now_s)
        # Assigned directly, there is no group to rebalance.
        is_steady = not self._is_subscribed or self._steadiness.is_steady(figures)
        takes_commits = is_steady and figures.brokers_up > 0 and not figures.is_mute
        if takes_commits:
            self._commit_overdue(now_s)
        waiting = self._lanes.turns.awaiting_commit()
        self._tell_of_debts(waiting, now_s)
        # Where Kafka refuses, no restart would help.
        owing = waiting if takes_commits and not self._refusal else []
        self._measure(figures, lanes, owing, now_s)

    def _tell_of_token(self, now_s: float) -> None:
        """Say that the app's token callback hangs or gives nothing, and its end."""
        trouble = self._token.trouble(now_s=now_s) if self._token else ""
        if trouble:
            text = without_secrets(trouble, self._properties)
            self.troubles.begin(
                Kind.TOKEN,
                f"{text}; the brokers refuse a node without a token; {advice_on(text)}",
                level=logging.ERROR,
            )
        else:
            self.troubles.end(Kind.TOKEN)

    def _note_brokers(self, figures: statistics.Figures, now_s: float) -> None:
        """Note since when there is no broker, and when one last said something."""
        progress = self._progress
        self._note_addresses(figures, now_s)
        if figures.brokers_up:
            progress.no_broker_since_s, progress.no_broker_why = None, ""
            self._connection = ""
            if figures.heard_ago_s is not None:
                progress.heard_at_s = now_s - figures.heard_ago_s
            return
        if progress.no_broker_since_s is None:
            progress.no_broker_since_s = now_s
        why = (
            (self._token.trouble(now_s=now_s) if self._token else "")
            or self._connection
            or self.troubles.text(Kind.CREDENTIALS, Kind.BROKERS)
        )
        progress.no_broker_why = without_secrets(why, self._properties)
        lacks_s = now_s - progress.no_broker_since_s
        if lacks_s > LACKS_LONG_S and self._is_news(progress.no_broker_why):
            told = f"no broker for {lacks_s:.0f} s: {progress.no_broker_why}"
            self.troubles.begin(Kind.BROKERS, told, subject="for long")

    def _is_news(self, why: str) -> bool:
        """Tell whether a cause was not told yet, but for its times and ports."""
        told = self.troubles.text(Kind.BROKERS, Kind.CREDENTIALS, Kind.TOKEN)
        return bool(why) and _FIGURES.sub("", why) not in _FIGURES.sub("", told)

    def _note_addresses(self, figures: statistics.Figures, now_s: float) -> None:
        if figures.addresses:
            self._nowhere_since_s = None
        elif self._nowhere_since_s is None:
            self._nowhere_since_s = now_s
        elif now_s - self._nowhere_since_s >= NOWHERE_S:
            self.is_cut_off = True

    def _accepted_without_word(self, figures: statistics.Figures) -> None:
        """Take a member of the consumer protocol that gets nothing for let in.

        Nobody tells it: there is no call for an empty assignment there.
        """
        is_silent = self.is_consumer_protocol and self._is_subscribed
        if is_silent and figures.has_coordinator and not self.troubles.has(*_KEEPS_OUT):
            self._membership.let_in()

    def _tell_membership(self, now_s: float) -> None:
        """Show whether the group has let us in; now and then say that it has not."""
        self._show_membership()
        if self._progress.awaits_id:  # that has lines of its own
            return
        out_s = self._membership.to_tell_s(now_s=now_s)
        if out_s is not None:
            level = logging.ERROR if self.troubles.has(*_GRAVE) else logging.WARNING
            logger.log(
                level, "group_not_joined group=%s for_s=%.0f reason=%r",
                self._group, out_s, self._why_out,
            )  # fmt: skip

    def _commit_overdue(self, now_s: float) -> None:
        """Commit what librdkafka's timer has not committed, such as what goes back.

        Only where the group has just been told to be steady. A commit that is sent
        while a join is not answered is of a generation that is over by the time it is
        read, and librdkafka drops its whole assignment for that answer.
        """
        commits = self._lanes.commits
        due = [*commits.late(now_s=now_s), *commits.rest()]
        lanes = list(dict.fromkeys(due))  # one may be due for two reasons
        if self._client is not None and lanes:
            offsets.store(self._client, commits, group=self._group)
            offsets.commit(self._client, lanes, group=self._group, wait=False)

    def _tell_of_debts(self, waiting: Iterable[Lane], now_s: float) -> None:
        """Say that handlers wait for commits, and when that is over."""
        ages_s = [lane.uncommitted.age_s(now_s) for lane in waiting]
        if not ages_s:
            self.troubles.end(Kind.COMMITS)
        elif max(ages_s) > OWES_LONG_S and not self.troubles.has(Kind.BROKERS):
            self.troubles.begin(
                Kind.COMMITS,
                f"Kafka takes no commits ({self._refusal or 'no answer'}); handlers of "
                f"{len(ages_s)} partitions wait, to bound what a crash repeats",
            )

    def _measure(
        self,
        figures: statistics.Figures,
        lanes: Iterable[Lane],
        owing: Iterable[Lane],
        now_s: float,
    ) -> None:
        progress, idle = self._progress, self._lanes.turns.idle()
        done = {(lane.topic, lane.partition): lane.position for lane in lanes}
        progress.brokers_up = figures.brokers_up
        progress.lag = statistics.lag(figures, done, idle=idle)
        blocked = set(progress.blocked)
        movable = [key for key in idle if f"{key[0]}/{key[1]}" not in blocked]
        progress.stalled_since_s = self.stalls.update(
            figures,
            movable,
            owing=[(lane.topic, lane.partition) for lane in owing],
            breaks=now_s - self._broke_at_s < BREAKS_S,
            now_s=now_s,
        )
        self._tell_of_unanswered(now_s)
        self._end_topics(figures, done)
        progress.unsteady_since_s = self._steadiness.update(
            figures,
            lacks_topic=self.troubles.has(Kind.TOPIC),
            is_refused=not self._is_subscribed
            or self.troubles.has(Kind.GROUP, Kind.CREDENTIALS, Kind.HELD_ID),
            now_s=now_s,
        )

    def _end_topics(self, figures: statistics.Figures, held: Collection[Key]) -> None:
        """End what was told of topics of which all that is held is told of again."""
        lacking = {key[0] for key in held if not figures.tells_of(key)}
        told = {topic for topic, _ in held} - lacking
        self.troubles.end(Kind.TOPIC, having=told.__contains__)

    def _tell_of_unanswered(self, now_s: float) -> None:
        """Say that nothing comes of partitions, and why that is not told."""
        unanswered = self.stalls.unanswered
        late = [key for key, at_s in unanswered.items() if now_s - at_s > UNTOLD_S]
        if not unanswered:
            self.troubles.end(Kind.FETCH)
        elif late:
            names = ",".join(f"{topic}/{partition}" for topic, partition in late[:3])
            self.troubles.begin(
                Kind.FETCH,
                f"the leaders of {len(late)} partitions ({names}) refuse for "
                f"{UNTOLD_S:.0f} s what they are asked for, and librdkafka does not "
                'say why; [kafka] debug = "fetch,topic" does',
            )
