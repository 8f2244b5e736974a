"""What fails of one lane: how often, and what becomes of it. Pure.

`Failures` records; `verdict_on` decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from swarm_worker.processing.batches import offset_of
from swarm_worker.processing.poison import ProcessDiedError

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.app.app import Route

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that is given up.

    Attributes:
        message: The original.
        error: Why its handler failed the last time.
        attempts: How often it did.
        error_text: The error as it is logged: to ask it for that may take any time.
    """

    message: Message
    error: BaseException
    attempts: int
    error_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a batch that failed.

    Attributes:
        message: The first one that is not done.
        attempts: How often it has failed, this time included.
        retry_in_s: Back-off before it is tried again; None when it is given up.
        is_news: Not the same failure of the same message as the last one.
    """

    message: Message
    attempts: int
    retry_in_s: float | None
    is_news: bool


class Failures:
    """The failures of a lane.

    Attributes:
        attempts: How often the message that failed last has; 0 once it is done.
        delivery_failures: How often its dead letter could not be delivered.
        singly_until: Lower offsets are handled one at a time.
    """

    __slots__ = (
        "_error_type",
        "_offset",
        "attempts",
        "delivery_failures",
        "singly_until",
    )

    def __init__(self) -> None:
        self.attempts = 0
        self.delivery_failures = 0
        self.singly_until = -1
        self._offset = -1
        self._error_type: type[BaseException] | None = None

    def record(self, rest: Sequence[Message], error: BaseException) -> bool:
        """Record that the first of these messages failed; whether that is news.

        Args:
            rest: The messages of the batch that are not done.
            error: What the handler raised.
        """
        offset = offset_of(rest[0])
        is_same = offset == self._offset and self.attempts > 0
        is_news = not is_same or self._error_type is not type(error)
        self.attempts = self._attempts_with(error, offset, is_same=is_same)
        self._offset, self._error_type = offset, type(error)
        self.singly_until = max(self.singly_until, offset_of(rest[-1]) + 1)
        return is_news

    def _attempts_with(
        self, error: BaseException, offset: int, *, is_same: bool
    ) -> int:
        if isinstance(error, ProcessDiedError):
            return error.deaths
        if is_same:
            return self.attempts + 1
        # In the batch that failed, each of its messages was tried once.
        return 1 + int(offset < self.singly_until)

    def end(self) -> int:
        """Record that the message is done; return how often it had failed."""
        attempts, self.attempts = self.attempts, 0
        return attempts

    def end_with_dead_letter(self) -> None:
        """Record that its dead letter was acknowledged."""
        self.attempts = self.delivery_failures = 0

    def delivery_failed(self) -> float:
        """Record that its dead letter is not delivered; return the seconds to wait."""
        self.delivery_failures += 1
        return backoff_s(self.delivery_failures)


def verdict_on(
    message: Message, route: Route, *, attempts: int, alone: bool, is_news: bool
) -> Verdict:
    """Return what becomes of a message that failed.

    Args:
        message: The first of the batch that is not done.
        route: Says how often it is tried.
        attempts: How often it has failed.
        alone: The batch had one message only, so that is the one that fails.
        is_news: For the verdict.
    """
    given_up = alone and _is_exhausted(route, attempts)
    return Verdict(
        message=message,
        attempts=attempts,
        retry_in_s=None if given_up else backoff_s(attempts),
        is_news=is_news,
    )


def _is_exhausted(route: Route, attempts: int) -> bool:
    retries = route.max_retries
    return route.dead_letter is not None and retries is not None and attempts > retries


def backoff_s(attempts: int) -> float:
    """Return the seconds between failure number ``attempts`` and the next try."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(attempts - 1, 16))
