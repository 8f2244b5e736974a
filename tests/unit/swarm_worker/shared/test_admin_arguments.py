"""The arguments that both sides of a command read."""

from __future__ import annotations

import argparse

import pytest

from swarm_worker.shared.admin_arguments import dead_letters, destination, rate, topic
from swarm_worker.shared.command_line import Parser
from swarm_worker.shared.settings import ConfigError


def parse(line: str) -> argparse.Namespace:
    """Return what a command says."""
    parser = Parser()
    parser.add_argument("--json", action="store_true")
    dead_letters(parser)
    return parser.parse_args(line.split())


def test_a_replay_takes_all_that_there_is() -> None:
    """As it is written."""
    line = "replay a.dlq --to a=b --error E --from-partition 3 --max 9 --rate 30/min"
    told = vars(parse(f"{line} --attempts 5 --force --dry-run --json"))

    assert told == {
        "action": "replay",
        "topic": "a.dlq",
        "to": "a=b",
        "error": "E",
        "from_partition": 3,
        "max": 9,
        "rate": 0.5,
        "attempts": 5,
        "force": True,
        "dry_run": True,
        "json": True,
    }


@pytest.mark.parametrize("line", ["--json show a", "show a --json", "show --json a"])
def test_json_may_stand_anywhere(line: str) -> None:
    """The inner parser does not undo it."""
    assert parse(line).json is True
    assert parse("show a").json is False


def test_without_flags_nothing_is_left_out() -> None:
    """But what came back three times."""
    told = parse("replay a")

    assert (told.to, told.error, told.from_partition, told.max) == (None,) * 4
    assert (told.rate, told.attempts) == (None, 3)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "show",
        "drop a",
        "show a/b",
        "replay a --to =b",
        "replay a --to a=",
        "replay a --to a=b=c",
        "replay a --error",
        "replay a --rate 0",
        "replay a --rate fast",
        "replay a --max 0",
        "replay a --from-partition -1",
        "replay a --at 3",
    ],
)
def test_what_cannot_be_meant_is_refused(line: str) -> None:
    """Where it was written, before anything is read."""
    with pytest.raises(ConfigError):
        parse(line)


def test_readers_say_what_was_expected() -> None:
    """With what came."""
    assert (topic("a.b_c-1"), destination("a"), rate("7200/h")) == ("a.b_c-1", "a", 2.0)
    with pytest.raises(ValueError, match="name of a topic, got 'a b'"):
        topic("a b")
    with pytest.raises(ValueError, match=r"such as 50/s or 30/min, got '5/d'"):
        rate("5/d")
