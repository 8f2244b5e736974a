"""A token callback that hangs or gives nothing is named: nobody else can tell."""

from __future__ import annotations

import pytest

from swarm_worker.app.token import HANGS_S, TokenCallback, advice
from tests.clock import FakeClock


def test_a_callback_that_does_not_return_is_told_with_its_age() -> None:
    """While it is in the call, and no longer."""
    clock = FakeClock()
    told: list[str] = []

    def hang(_: object) -> tuple[str, float]:
        told.append(token.trouble(now_s=clock.now_s + HANGS_S))
        told.append(token.trouble(now_s=clock.now_s + 40))
        return "secret", 1.0

    token = TokenCallback(hang, clock)
    token("config")

    assert told == ["", "oauth_cb has not returned for 40 s"]
    assert token.trouble(now_s=clock.now_s + 40) == ""
    assert "time limit" in advice(told[1])


@pytest.mark.parametrize(
    ("returned", "what"),
    [
        (None, "nothing"),
        ("a token", "a str"),
        (("", 1.0), "a tuple"),
        (("token",), "a tuple"),
    ],
)
def test_a_callback_that_gives_no_token_is_told(returned: object, what: str) -> None:
    """Until it gives one; without a look at what it gave."""
    answers = [returned, ("token", 1.0)]
    token = TokenCallback(lambda _: answers.pop(0), FakeClock())

    assert token("config") == returned
    trouble = token.trouble(now_s=2000.0)
    assert trouble == f"oauth_cb has returned {what}, not (token, expiry)"
    assert "have it raise" in advice(trouble)
    token("config")
    assert token.trouble(now_s=2000.0) == ""


def test_a_callback_that_raises_is_told_and_raises() -> None:
    """librdkafka asks again then."""
    token = TokenCallback(lambda _: 1 / 0, FakeClock())

    with pytest.raises(ZeroDivisionError):
        token("config")

    trouble = token.trouble(now_s=2000.0)
    assert trouble == "oauth_cb has raised ZeroDivisionError: division by zero"
    assert "going on trying" in advice(trouble)


def test_the_last_token_is_handed_on_without_a_call() -> None:
    """To the clients beside the consumer; the app's callback may hang in any call."""
    answers: list[object] = [("first", 1.0), None, ("second", 2.0)]
    token = TokenCallback(lambda _: answers.pop(0), FakeClock())

    with pytest.raises(LookupError, match="no token yet"):
        token.latest("config")
    handed_on = []
    while answers:
        token("config")
        handed_on.append(token.latest("config"))

    assert handed_on == [("first", 1.0), ("first", 1.0), ("second", 2.0)]
