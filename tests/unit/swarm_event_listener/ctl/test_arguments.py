"""The command line of ``supervisorctl swarm``."""

from __future__ import annotations

import pytest

from swarm_event_listener.ctl.arguments import ArgumentsError, HelpAsked
from swarm_event_listener.ctl.commands import COMMANDS, parse
from swarm_event_listener.ctl.session import Exit


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("statsu", "did you mean 'status'"),
        ("why", "the following arguments are required: NODE"),
        ("why a b", "unrecognized arguments: b"),
        ("status --jsno", "unrecognized arguments: --jsno"),
        ("history --since soon", "such as 90s"),
        ("roll", "required: GROUP"),
        ("roll w --max-unavailable 0", "a whole number from 1"),
        ("quiet", "required: NAME"),
        ('status "w', "No closing quotation"),
    ],
)
def test_a_mistake_is_one_line_and_ends_nothing(line: str, words: str) -> None:
    """argparse would end the shell of supervisorctl."""
    with pytest.raises(ArgumentsError, match=words) as caught:
        parse(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["", "help", "-h", "--help"])
def test_help_names_every_command(line: str) -> None:
    """In at most 80 columns."""
    with pytest.raises(HelpAsked) as caught:
        parse(line)
    lines = str(caught.value).splitlines()
    assert list(dict.fromkeys(words.split()[0] for words in lines[1:-1])) == [*COMMANDS]
    assert sum("--partitions" in words for words in lines) == 1
    assert all(len(words) <= 80 for words in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_takes_json(command: str) -> None:
    """Of its own."""
    with pytest.raises(HelpAsked, match=f"usage: swarm {command}") as caught:
        parse(f"{command} -h")
    lines = str(caught.value).splitlines()
    assert COMMANDS[command].text in lines  # its usage stands above
    assert any("--json" in line for line in lines)


def test_the_help_of_status_names_its_exit_statuses() -> None:
    """A monitoring check goes by them."""
    with pytest.raises(HelpAsked) as caught:
        parse("status -h")
    said = " ".join(str(caught.value).split())
    for code, words in (
        (Exit.OK, "when all nodes are healthy"),
        (Exit.NOT_HEALTHY, "when one is not"),
        (Exit.UNKNOWN, "when it is not known how one is"),
    ):
        assert f"{code:d} {words}" in said
