"""Messages that may have killed their process: those in flight when it died.

A process that dies leaves a trace of each batch that it had in flight; the next one
reads them. One death may be chance. After the second in a row the messages of these
batches come one by one, and on one handler thread, so that only one message can be the
cause of a third. It is given up like one whose handler raises: after ``max_retries``,
to its ``dead_letter``, and only if its handler was known to work as it began the last
time. Without a dead-letter topic nothing is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final

from swarm_worker.reporting.trace import Trace

Lock = AbstractContextManager[bool]

DEATHS_BY_CHANCE: Final = 1  # a KILL by hand, a machine that went down
# What killed the last process comes by then, or went to another node. An instance id
# that a killed process held may take 45 s to be free.
AHEAD_S: Final = 120.0


class ProcessDiedError(Exception):
    """A message's process died each time that its handler was called."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        super().__init__(
            f"the process died in the handler, {deaths} times in a row: it was killed, "
            "or did not end when told to stop"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """What a process had in flight as it died.

    Attributes:
        trace: The batch.
        deaths: Processes that died with it in flight, one after the other.
        is_alone: It is one message, and nothing else was in flight.
    """

    trace: Trace
    deaths: int
    is_alone: bool

    @property
    def is_poison(self) -> bool:
        """Whether it is taken for a poison message: so often is hardly chance."""
        return self.deaths > DEATHS_BY_CHANCE

    @property
    def carried_over(self) -> Trace:
        """Return what the next process is to know if this one dies before it comes."""
        return replace(
            self.trace, deaths=self.deaths, is_ahead=True, was_alone=self.is_alone
        )

    def is_in(self, first: int, last: int) -> bool:
        """Whether messages, by their first and last offset, may be among it."""
        return first < self.trace.end and last >= self.trace.offset

    def deaths_of(self, offset: int, *, max_retries: float) -> int:
        """Return the deaths for which a message is to be given up; 0 if it is not."""
        if not self.is_alone or not self.is_poison or offset != self.trace.offset:
            return 0
        return self.deaths if self.deaths > max_retries else 0


class Suspects:
    """Those of one consumer that are still to come."""

    def __init__(self, suspects: Iterable[Suspect], lock: Lock) -> None:
        """Begin with those of its group, guarded by the lock of its lanes."""
        self._lock = lock
        self._ahead = sorted(suspects, key=lambda suspect: suspect.trace.offset)
        self._until_s: float | None = None

    def among(self, topic: str, partition: int) -> list[Suspect]:
        """Return those of a partition that is assigned, in order; the lock is held."""
        place = topic, partition
        return [s for s in self._ahead if (s.trace.topic, s.trace.partition) == place]

    def passed(self, suspects: Sequence[Suspect]) -> None:
        """Record that these are done, so kill nobody; the lock is held."""
        self._ahead = [each for each in self._ahead if each not in suspects]

    def ahead(self, *, now_s: float) -> list[Suspect]:
        """Return those that are to come, until `AHEAD_S` after it was asked first."""
        with self._lock:
            if self._until_s is None:
                self._until_s = now_s + AHEAD_S
            return list(self._ahead) if now_s < self._until_s else []


def suspects_of(left: Sequence[Trace]) -> tuple[Suspect, ...]:
    """Return the suspects among what the last process left, those in flight first.

    One that had not come stays what it was: else two poison messages would set each
    other's count back for ever.
    """
    died = [trace for trace in left if not trace.is_ahead]
    ahead = [
        trace
        for trace in left
        if trace.is_ahead and not any(_is_same(trace, other) for other in died)
    ]
    return tuple(
        Suspect(
            trace=trace,
            deaths=trace.deaths + 1,
            is_alone=len(died) == 1 and trace.end == trace.offset + 1,
        )
        for trace in died
    ) + tuple(
        Suspect(trace=trace, deaths=trace.deaths, is_alone=trace.was_alone)
        for trace in ahead
    )


def _is_same(trace: Trace, other: Trace) -> bool:
    """Whether two traces have a message in common."""
    places = {(each.group, each.topic, each.partition) for each in (trace, other)}
    return len(places) == 1 and trace.offset < other.end and other.offset < trace.end


def of_group(suspects: Iterable[Suspect], group: str) -> list[Suspect]:
    """Return those of one Kafka group."""
    return [suspect for suspect in suspects if suspect.trace.group == group]
