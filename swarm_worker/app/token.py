"""An app's token callback, watched: one that hangs or returns nothing raises no error.

librdkafka calls it on a thread of its own. While it does not return, and after it has
returned nothing, no token is asked for again: the client stays without a broker. So one
client of a group alone calls it, the one that no rule can overlook: the consumer. The
clients beside it are given what it got.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

# Longer than a token endpoint takes as a rule; one without a time limit takes for ever.
HANGS_S: Final = 10.0


_HANGING: Final = "oauth_cb has not returned"
_RAISED: Final = "oauth_cb has raised"


class TokenCallback:
    """Calls ``oauth_cb``; any thread may ask how that goes."""

    def __init__(
        self, callback: Callable[[object], object], clock: Callable[[], float]
    ) -> None:
        self._callback = callback
        self._clock = clock
        self._began_at_s: float | None = None
        self._fault = ""
        self._latest: object = None

    def __call__(self, config: object) -> object:
        """Return what the callback returns, or raise what it raises."""
        self._began_at_s = self._clock()
        try:
            token = self._callback(config)
        except BaseException as error:
            self._fault = f"{_RAISED} {type(error).__name__}: {error!s:.60}"
            raise
        else:
            if _is_token(token):
                self._fault = ""
                self._latest = token
            else:
                self._fault = _no_token(token)
        finally:
            self._began_at_s = None
        return token

    def latest(self, _config: object) -> object:
        """Return the last token, as the ``oauth_cb`` of a client beside the consumer.

        Whether it has expired is librdkafka's to say: it refuses it, and asks again.
        The consumer asks for a new one earlier than a client that got the same later.

        Raises:
            LookupError: There is none yet; librdkafka asks again ten seconds later.
        """
        if self._latest is None:
            raise LookupError("the consumer has been given no token yet")
        return self._latest

    def trouble(self, *, now_s: float) -> str:
        """Return what is wrong with it now; empty while nothing is."""
        began_at_s = self._began_at_s
        if began_at_s is not None and now_s - began_at_s > HANGS_S:
            return f"{_HANGING} for {now_s - began_at_s:.0f} s"
        return self._fault


def _is_token(value: object) -> bool:
    """Whether it is (token, expiry, ...), without a look at the secret itself."""
    return isinstance(value, tuple) and len(value) >= 2 and bool(value[0])


def _no_token(value: object) -> str:
    what = "nothing" if value is None else f"a {type(value).__name__}"
    return f"oauth_cb has returned {what}, not (token, expiry)"


def advice(trouble: str) -> str:
    """Return what an operator can do about a trouble of the callback."""
    if trouble.startswith(_HANGING):
        return "nobody asks again meanwhile: give the call in it a time limit"
    if trouble.startswith(_RAISED):
        return "going on trying, every ten seconds"
    return "nobody asks again: have it raise where there is no token"
