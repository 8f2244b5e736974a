"""What fails of one lane: how often, and what becomes of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Final

from swarm_worker.processing.batches import offset_of
from swarm_worker.processing.poison import ProcessDiedError

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.app.app import Route

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 30.0
LOGGED_EVERY_S: Final = 600.0  # while the same message fails


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
        attempts: How often its first message has failed, this time included.
        retry_in_s: Back-off before it is tried again; None when it is given up.
        is_news: Not the same failure of the same message as the last one, or that was
            last logged `LOGGED_EVERY_S` ago.
    """

    attempts: int
    retry_in_s: float | None
    is_news: bool


@dataclass(slots=True)
class Failures:
    """The failures of a lane.

    Attributes:
        attempts: How often the message that failed last has; 0 once it is done.
        offset: Its offset.
        since_s: When it failed first.
        error_text: Why it failed last, or why its dead letter was refused.
        delivery_failures: How often its dead letter could not be delivered.
        singly_until: Lower offsets are handled one at a time.
    """

    attempts: int = 0
    offset: int = -1
    since_s: float = 0.0
    error_text: str = ""
    delivery_failures: int = 0
    singly_until: int = -1
    _error_type: type[BaseException] | None = None
    _logged_at_s: float = -inf

    def record(
        self,
        rest: Sequence[Message],
        error: BaseException,
        *,
        route: Route,
        is_alone: bool,
        error_text: str = "",
        now_s: float,
    ) -> Verdict:
        """Record that the first of these messages failed; return what becomes of it.

        These are the messages of the batch that are not done. It ``is_alone`` where the
        batch had no other, so that it is certain which one fails.
        """
        offset = offset_of(rest[0])
        is_same = offset == self.offset and self.attempts > 0
        is_other = not is_same or self._error_type is not type(error)
        self.attempts = self._attempts_with(error, offset, is_same=is_same)
        self.offset, self._error_type = offset, type(error)
        self.error_text = error_text
        self.since_s = self.since_s if is_same else now_s
        self.singly_until = max(self.singly_until, offset_of(rest[-1]) + 1)
        given_up = is_alone and _is_exhausted(route, self.attempts)
        return Verdict(
            attempts=self.attempts,
            retry_in_s=None if given_up else backoff_s(self.attempts),
            is_news=self._is_news(is_other=is_other, now_s=now_s),
        )

    def _is_news(self, *, is_other: bool, now_s: float) -> bool:
        if not is_other and now_s - self._logged_at_s < LOGGED_EVERY_S:
            return False
        self._logged_at_s = now_s
        return True

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
        """Record that the message, or its dead letter, is done.

        Return how often it had failed.
        """
        attempts = self.attempts
        self.attempts = self.delivery_failures = 0
        return attempts

    def delivery_failed(self, reason: str, *, now_s: float) -> tuple[float, bool]:
        """Record that its dead letter was refused; return the back-off.

        And whether the refusal is news.
        """
        self.delivery_failures += 1
        self.error_text = f"its dead letter is refused: {reason}"
        is_news = self._is_news(is_other=self.delivery_failures == 1, now_s=now_s)
        return backoff_s(self.delivery_failures), is_news


def _is_exhausted(route: Route, attempts: int) -> bool:
    retries = route.max_retries
    return route.dead_letter is not None and retries is not None and attempts > retries


def backoff_s(attempts: int) -> float:
    """Return the seconds between failure number ``attempts`` and the next try."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(attempts - 1, 16))
