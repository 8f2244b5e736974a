"""What fails of one lane: how often, and what becomes of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Final

from swarm_worker.processing.batches import offset_of
from swarm_worker.processing.poison import ProcessDiedError
from swarm_worker.processing.witness import Place, Witness
from swarm_worker.shared.report import FAIL_ALIKE

if TYPE_CHECKING:
    from confluent_kafka import Message

    from swarm_worker.app.app import Route

BACKOFF_FIRST_S: Final = 1.0
BACKOFF_MAX_S: Final = 30.0
LOGGED_EVERY_S: Final = 600.0  # while the same message fails
_NO_OTHER: Final = "its handler has taken no other message since"


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
        offset: Of its first message.
        attempts: How often that has failed, this time included.
        retry_in_s: Back-off before it is tried again; None when it is given up.
        is_news: Not the same failure of the same message as the last one, or that was
            last logged `LOGGED_EVERY_S` ago.
        tries_next: Whether the next message is tried first.
        withheld: Why it is not given up, though it has failed too often, where that is
            news; else empty.
    """

    offset: int
    attempts: int
    retry_in_s: float | None
    is_news: bool
    tries_next: bool = False
    withheld: str = ""


@dataclass(slots=True)
class Failures:
    """The failures of a lane.

    Attributes:
        witness: That of the handler.
        dead_letter_after_s: How long it may take no message before that is no excuse.
        attempts: How often the message that failed last has; 0 once it is done.
        offset: Its offset.
        since_s: When it failed first.
        error_text: Why it failed last, or why its dead letter was refused.
        delivery_failures: How often its dead letter could not be delivered.
        singly_until: Lower offsets are handled one at a time.
        is_vouched: The next message was done since it failed last.
        is_witnessed: As its last try began, its handler was known to work.
        is_withheld: It is not given up only because that is not known.
    """

    witness: Witness = field(default_factory=Witness)
    _: KW_ONLY
    dead_letter_after_s: float = inf
    attempts: int = 0
    offset: int = -1
    since_s: float = 0.0
    error_text: str = ""
    delivery_failures: int = 0
    singly_until: int = -1
    is_vouched: bool = False
    is_witnessed: bool = False
    is_withheld: bool = False
    _error_type: type[BaseException] | None = None
    _logged_at_s: float = -inf
    _withheld_at_s: float = -inf

    def record(
        self,
        rest: Sequence[Message],
        error: BaseException,
        *,
        route: Route,
        place: Place,
        is_alone: bool,
        has_next: bool,
        error_text: str = "",
        now_s: float,
    ) -> Verdict:
        """Record that the first of these messages failed; return what becomes of it.

        These are the messages of the batch that are not done. It ``is_alone`` where the
        batch had no other, so that it is certain which one fails. Before what may be
        its last try the next one is to show whether the handler works, if it
        ``has_next``: so that try proves who is at fault.
        """
        offset = offset_of(rest[0])
        is_same = offset == self.offset and self.attempts > 0
        is_other = not is_same or self._error_type is not type(error)
        self.attempts = self._attempts_with(error, offset, is_same=is_same)
        self.offset, self._error_type = offset, type(error)
        self.error_text, self.is_vouched = error_text, False
        if not is_same:
            self.since_s, self._withheld_at_s = now_s, -inf
            self.is_witnessed = False
        self.singly_until = max(self.singly_until, offset_of(rest[-1]) + 1)
        retries = retries_of(route) if is_alone else inf
        is_proven = self._is_proven(now_s=now_s)
        is_exhausted = self.attempts > retries
        needs_witness = self.attempts >= retries and not is_proven
        verdict = Verdict(
            offset=offset,
            attempts=self.attempts,
            retry_in_s=None if is_exhausted and is_proven else backoff_s(self.attempts),
            is_news=self._is_news(is_other=is_other, now_s=now_s),
            tries_next=needs_witness and has_next and not self._works(place),
        )
        self.is_withheld = is_exhausted and not is_proven
        return verdict if verdict.tries_next else self._told(verdict, place, now_s)

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
        self.is_witnessed = self.is_withheld = self.is_vouched = False
        self._withheld_at_s = -inf
        return attempts

    # --- whether the message is at fault ----------------------------------------------

    def begin_try(self, place: Place) -> None:
        """Note, as the message that fails is tried, whether its handler works."""
        self.is_witnessed = self.is_vouched or self._works(place)

    def after_trial(self, place: Place, *, works: bool, now_s: float) -> Verdict:
        """Return what becomes of the message after the next one was tried."""
        self.is_vouched = works
        is_due = (works and self.is_withheld) or not self.attempts
        verdict = Verdict(
            offset=self.offset,
            attempts=self.attempts,
            retry_in_s=None if is_due else backoff_s(self.attempts),
            is_news=False,
        )
        return self._told(verdict, place, now_s)

    def give_up(self, place: Place) -> None:
        """Record that the message is given up.

        For its own sake, or so that others do not have to wait as long.
        """
        if self.is_witnessed:
            self.witness.blamed(place)
        elif self._error_type is not ProcessDiedError:
            self.witness.gave_up(self.witness.silent_since_s(self.since_s))

    def text(self, place: Place) -> str:
        """Return why the message fails, as far as known."""
        if self.is_withheld and self.witness.others_fail(place):
            name = self._error_type.__name__ if self._error_type else "?"
            return f"{FAIL_ALIKE} ({name})"
        return self.error_text

    def _works(self, place: Place) -> bool:
        """Whether the handler is known to work since the message has failed first."""
        return self.witness.works_since(self.since_s, apart_from=place)

    def _is_proven(self, *, now_s: float) -> bool:
        """Whether the message itself is to blame, or has to be at last.

        That is so where no call has succeeded for so long that ``max_retries`` counts
        alone.
        """
        if self.is_witnessed or self._error_type is ProcessDiedError:
            return True
        silent_s = now_s - self.witness.silent_since_s(self.since_s)
        return silent_s >= self.dead_letter_after_s

    def _told(self, verdict: Verdict, place: Place, now_s: float) -> Verdict:
        """Return a verdict with why its message is not given up, where that is news."""
        is_told = now_s - self._withheld_at_s < LOGGED_EVERY_S
        if is_told or not self.is_withheld or self.is_vouched or self._works(place):
            return verdict
        self._withheld_at_s = now_s
        is_alike = self.witness.others_fail(place)
        return replace(verdict, withheld=self.text(place) if is_alike else _NO_OTHER)

    def delivery_failed(self, reason: str, *, now_s: float) -> tuple[float, bool]:
        """Record that its dead letter was refused; return the back-off.

        And whether the refusal is news.
        """
        self.delivery_failures += 1
        self.error_text = f"its dead letter is refused: {reason}"
        is_news = self._is_news(is_other=self.delivery_failures == 1, now_s=now_s)
        return backoff_s(self.delivery_failures), is_news


def retries_of(route: Route) -> float:
    """Return after how many repeats a message may be given up."""
    if route.dead_letter is None or route.max_retries is None:
        return inf
    return route.max_retries


def backoff_s(attempts: int) -> float:
    """Return the seconds between failure number ``attempts`` and the next try."""
    return min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(attempts - 1, 16))
