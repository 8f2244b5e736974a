"""Sends dead letters back, batch by batch: sent, then acknowledged, then committed.

A process that is killed repeats the batch in hand, and no more.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from swarm_worker.admin.dead_letter import read
from swarm_worker.admin.printing import Printer, Stop
from swarm_worker.admin.refusals import RefusedError
from swarm_worker.admin.selection import Fate, Filter, Progress
from swarm_worker.admin.sender import Parcel, Place, Sender, place_of
from swarm_worker.admin.survey import Survey
from swarm_worker.admin.topic import DeadLetterTopic, Offsets

if TYPE_CHECKING:
    from confluent_kafka import Message

BATCH_MAX: Final = 500
BATCH_MAX_BYTES: Final = 16 * 1024 * 1024
PASSED_MAX: Final = 20_000  # messages that are left out, between two commits


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an operator has asked for.

    Attributes:
        filter: Which dead letters, and where they go.
        most: No more than so many; None without a bound.
        per_s: No more than so many a second; None without a bound.
        is_dry: Nothing is sent.
        failing_alike: What fails with whatever it gets, by topic; None if unknown.
    """

    filter: Filter
    most: int | None
    per_s: float | None
    is_dry: bool
    failing_alike: Callable[[], Mapping[str, str] | None]

    @property
    def batch_max(self) -> int:
        """How many are sent before the next commit: those of a second, given a rate."""
        return max(1, min(BATCH_MAX, int(self.per_s or BATCH_MAX)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a replay will do.

    Attributes:
        starts, ends: From where to where each partition is read.
        survey: What stands there, with what becomes of it.
        progress: That of other replays.
        partitions: How many each topic has that gets messages.
        has_begun: Whether one with this filter has been made before, as is on record.
        warnings: What an operator should know before.
    """

    starts: Offsets
    ends: Offsets
    survey: Survey
    progress: Progress
    partitions: Mapping[str, int]
    has_begun: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Batch:
    """What is under way between two commits.

    Attributes:
        size: Bytes of the values that are sent.
        passed: Messages that are not sent.
        next_offsets: Where to go on, by partition.
        targets: The topics to which those at these places are sent.
    """

    size: int = 0
    passed: int = 0
    next_offsets: dict[int, int] = field(default_factory=dict)
    targets: dict[Place, str] = field(default_factory=dict)

    @property
    def sent(self) -> int:
        """How many are sent."""
        return len(self.targets)

    def before(self, failed: Mapping[Place, RefusedError]) -> Offsets:
        """Return up to where all is done, given what was refused."""
        offsets = dict(self.next_offsets)
        for partition, offset in failed:
            offsets[partition] = min(offsets[partition], offset)
        return offsets


class Replay:
    """One replay, from a plan to what has become of it.

    Attributes:
        topic: The dead letters.
        sent: How many are back, by topic.
    """

    def __init__(
        self, topic: DeadLetterTopic, wanted: Wanted, stop: Stop, printer: Printer
    ) -> None:
        """Prepare; nothing is read yet."""
        self.topic = topic
        self._wanted = wanted
        self._stop = stop
        self._printer = printer
        self.sent: Counter[str] = Counter()

    # --- the plan ---------------------------------------------------------------------

    def plan(self) -> Plan:
        """Read all that is to be replayed, without replaying it.

        Raises:
            RefusedError: It cannot be read, or not be replayed.
        """
        lows, ends = self.topic.bounds()
        begun = self.topic.own_progress()
        starts = {
            each: begun[each] if low <= begun.get(each, -1) <= ends[each] else low
            for each, low in lows.items()
        }
        progress = self.topic.others_progress(ends)
        survey = survey_of(
            self.topic,
            starts,
            ends,
            progress,
            filter_=self._wanted.filter,
            stop=self._stop,
            say=lambda count: self._printer.progress(f"looked at {count}"),
        )
        if self._stop():
            raise RefusedError("ended while it was looking; nothing was sent")
        partitions, warnings = self._targets(survey, has_begun=bool(begun))
        return Plan(
            starts=starts,
            ends=ends,
            survey=survey,
            progress=progress,
            partitions=partitions,
            has_begun=bool(begun),
            warnings=tuple(warnings),
        )

    def _targets(
        self, survey: Survey, *, has_begun: bool
    ) -> tuple[dict[str, int], list[str]]:
        self._check_origin(survey, has_begun=has_begun)
        origins = [
            origin
            for (origin, _), kind in survey.kinds.items()
            if kind.fates[Fate.REPLAY]
        ]
        other = self._wanted.filter.to.partition("=")[2]
        targets = sorted({other or origin for origin in origins})
        found = {each: self._partitions(each) for each in targets}
        warnings = self._check_handlers(targets)
        warnings += [
            f"{each} is compacted: what comes back is then the newest of its key, also "
            "where a newer message has come meanwhile"
            for each in targets
            if self.topic.is_compacted(each)
        ]
        return found, warnings

    def _check_origin(self, survey: Survey, *, has_begun: bool) -> None:
        origin = self._wanted.filter.origin
        if has_begun or not origin or not survey.count or origin in survey.origins:
            return
        there = ", ".join(f"{name} ({n})" for name, n in survey.origins.items())
        one = next(iter(survey.origins))
        raise RefusedError(
            f"no dead letter of {self.topic.topic} came from {origin}; they came from "
            f"{there}. To send those of {one} to {origin}: --to {one}={origin}"
        )

    def _partitions(self, target: str) -> int:
        count = self.topic.partitions_of(target, to="WRITE")
        if count is None:
            raise RefusedError(
                f"there is no topic {target} (any more): nothing was sent. Send what "
                f"came from it elsewhere by --to {target}=TOPIC, or name another "
                "origin by --to ORIGIN"
            )
        return count

    def _check_handlers(self, targets: list[str]) -> list[str]:
        """Return a warning where it is not known whether handlers work.

        Raises:
            RefusedError: Those of a topic do not: all would come back.
        """
        failing = self._wanted.failing_alike()
        if failing is None:
            return ["whether the handlers work is not known: no listener tells of it"]
        for each in targets:
            if each in failing:
                raise RefusedError(
                    f"{each}: {failing[each]}; what is sent back now would fail, too. "
                    "Wait for that to be over (swarm status), or --force"
                )
        return []

    # --- the deed ---------------------------------------------------------------------

    def run(self, plan: Plan) -> None:
        """Send back what is planned; stops at a batch's end when it is told to.

        Raises:
            RefusedError: Kafka refuses something; what was acknowledged is committed.
        """
        sender = Sender(self.topic.kafka)
        self.topic.commit(plan.starts, is_first=True)
        batch, begun_at_s = Batch(), time.monotonic()
        for message in self.topic.messages(plan.starts, plan.ends, self._stop):
            self._take(message, plan, batch, sender)
            if self._is_full(batch):
                self._finish(batch, sender, plan)
                batch = Batch()
                if self._is_enough():
                    return
                self._check_handlers(list(plan.partitions))
                self._keep_to_the_rate(begun_at_s)
        self._finish(batch, sender, plan)

    def _take(self, message: Message, plan: Plan, batch: Batch, sender: Sender) -> None:
        letter = read(message.headers())
        partition, offset = place_of(message)
        fate = plan.progress.fate(letter, partition, offset, of=self._wanted.filter)
        batch.next_offsets[partition] = offset + 1
        if letter is None or fate is not Fate.REPLAY:
            batch.passed += 1
            return
        target = self._wanted.filter.target(letter)
        sender.send(Parcel(message, letter, target, plan.partitions.get(target, 0)))
        batch.size += len(message.value() or b"")
        batch.targets[partition, offset] = target

    def _is_full(self, batch: Batch) -> bool:
        most = self._wanted.most
        return (
            batch.sent >= self._wanted.batch_max
            or batch.size >= BATCH_MAX_BYTES
            or batch.passed >= PASSED_MAX
            or (most is not None and self.sent.total() + batch.sent >= most)
        )

    def _is_enough(self) -> bool:
        return self._wanted.most is not None and self.sent.total() >= self._wanted.most

    def _finish(self, batch: Batch, sender: Sender, plan: Plan) -> None:
        """Wait for the answers, then commit up to what is acknowledged."""
        failed = sender.settle()
        self.topic.commit(batch.before(failed))
        self.sent.update(t for place, t in batch.targets.items() if place not in failed)
        if failed:
            raise next(iter(failed.values()))
        self._printer.progress(
            f"replayed {self.sent.total()} of {plan.survey.of(Fate.REPLAY)}"
        )

    def _keep_to_the_rate(self, begun_at_s: float) -> None:
        if self._wanted.per_s:
            due_at_s = begun_at_s + self.sent.total() / self._wanted.per_s
            self._stop.wait(due_at_s)


def survey_of(
    topic: DeadLetterTopic,
    starts: Offsets,
    ends: Offsets,
    progress: Progress,
    *,
    filter_: Filter,
    stop: Stop,
    say: Callable[[int], None],
) -> Survey:
    """Return what a topic holds between offsets, and what a replay does with it.

    Args:
        topic: The dead letters.
        starts: From where each partition is read.
        ends: To where.
        progress: That of other replays.
        filter_: That of the replay.
        stop: Whether to end early.
        say: Told how many messages were read, after each.
    """
    survey = Survey()
    for message in topic.messages(starts, ends, stop):
        letter = read(message.headers())
        partition, offset = place_of(message)
        fate = progress.fate(letter, partition, offset, of=filter_)
        place = f"{topic.topic}/{partition}@{offset}"
        survey.add(letter, fate, place, message.timestamp()[1])
        say(survey.count + survey.foreign)
    return survey
