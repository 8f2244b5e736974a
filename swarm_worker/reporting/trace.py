"""A batch in flight, as it is noted for the reports and for the next process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A batch in flight.

    Attributes:
        group: The Kafka group whose handler has it.
        topic: Of its messages.
        partition: The same.
        offset: Of its first message.
        end: The offset after its last one.
        deaths: Processes that died before, one after the other, with it in flight.
        is_ahead: It was not in flight this time: a suspect that had not come yet.
        was_alone: Of such a one, `Suspect.is_alone`.
        is_witnessed: As it began, its handler had taken another message since the first
            of these deaths.
        since_s: When the first process that died with it had begun it.
    """

    group: str
    topic: str
    partition: int
    offset: int
    end: int
    deaths: int = 0
    is_ahead: bool = False
    was_alone: bool = False
    is_witnessed: bool = False
    since_s: float = 0.0

    @property
    def position(self) -> str:
        """``topic/partition@offset``, as in the reports."""
        return f"{self.topic}/{self.partition}@{self.offset}"
