"""Events as JSON: an object a line, whatever is in it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_event_listener.core.model.events import Level, Say
from swarm_event_listener.listener import actions
from swarm_worker.shared.log_json import JsonFormatter


def line(template: str, *args: object, **more: Any) -> dict[str, Any]:
    """Return what a collector reads of an event."""
    record = logging.LogRecord(
        "swarm.x", logging.WARNING, "f", 1, template, args, more.pop("exc_info", None)
    )
    vars(record).update(more)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert text.isascii()
    told: dict[str, Any] = json.loads(text)
    assert told.pop("at").endswith("+00:00")
    assert told.pop("level") == "WARNING"
    assert told.pop("logger") == "swarm.x"
    return told


def test_figures_are_members_and_numbers_stay_numbers() -> None:
    """As in the text, but without a parser."""
    told = line("a_b node=%s pid=%d s=%.1f why=%r at=x", "w:w_00", 7, 2.25, "it's\n")

    assert told == {
        "event": "a_b",
        "node": "w:w_00",
        "pid": 7,
        "s": 2.25,
        "why": "it's\n",
    }


def test_a_template_may_name_its_event_late_and_join_figures() -> None:
    """``%s_x`` and ``%s:%d`` are texts; what is cut stays cut."""
    told = line("%s_skipped address=%s:%d item=%.3r", "node", "::1", 94, "abcdef")

    assert told == {"event": "node_skipped", "address": "::1:94", "item": "'ab"}


@pytest.mark.parametrize(
    ("template", "args", "message"),
    [
        ("it is %d %% done", (5,), "it is 5 % done"),
        ("a=%s b", (1,), "a=1 b"),
        ("a b=%s", (), "a b=%s"),
        ("100% sure", (), "100% sure"),
    ],
)
def test_what_is_no_event_is_a_message(
    template: str, args: tuple[object, ...], message: str
) -> None:
    """An app logs as it likes."""
    assert line(template, *args) == {"message": message}


def test_a_traceback_is_in_the_line() -> None:
    """Not in lines of its own."""
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 // 0
    error = caught.value
    told = line("failed", exc_info=(type(error), error, error.__traceback__))

    assert "ZeroDivisionError" in told["traceback"]


def test_a_stack_is_in_the_line() -> None:
    """Where an app asks for it."""
    assert line("here", stack_info="Stack:\n  File x")["stack"] == "Stack:\n  File x"


def test_a_template_with_named_arguments_is_a_message() -> None:
    """No event of ours is written so."""
    assert line("took %(s)s", {"s": 3}) == {"message": "took 3"}


@given(st.text(), st.text())
def test_no_value_can_forge_a_line(one: str, other: str) -> None:
    """Whatever is in a topic's name or an error."""
    assert line("a x=%s y=%r", one, other) == {"event": "a", "x": one, "y": other}


def test_what_the_core_says_keeps_its_figures(caplog: pytest.LogCaptureFixture) -> None:
    """Its lines are made of them: the text is for people."""
    with caplog.at_level(logging.INFO):
        actions.say(
            Say(level=Level.INFO, event="node_x", fields={"pid": 7, "why": "a b"})
        )

    (record,) = caplog.records
    assert record.getMessage() == "node_x pid=7 why='a b'"
    told = json.loads(JsonFormatter().format(record))
    assert (told["event"], told["pid"], told["why"]) == ("node_x", 7, "a b")
