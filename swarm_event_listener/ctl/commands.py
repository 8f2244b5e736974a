"""The commands of ``supervisorctl swarm``: the only list of them."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from swarm_event_listener.ctl import arguments as takes
from swarm_event_listener.ctl import control, dead_letters, inspect, roll, scale
from swarm_event_listener.ctl.arguments import ArgumentsError, HelpAsked, Parser
from swarm_event_listener.ctl.session import Exit, Session
from swarm_worker.shared.settings import nearest

PROGRAM: Final = "swarm"


@dataclass(frozen=True, slots=True)
class Command:
    """One of them.

    Attributes:
        usage: Its arguments, in short.
        text: What it does, in one line.
        takes: Adds its arguments to a parser.
        run: Runs it; returns its exit status.
        is_warned: Whether a warning about the listener's place is printed before it;
            others print it where it stays on the screen, or do not need the place.
        also: Arguments that make something else of it, and what.
    """

    usage: str
    text: str
    takes: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Session, argparse.Namespace], Exit]
    is_warned: bool = True
    also: tuple[str, str] | None = None


# In the order of the help.
COMMANDS: Final[Mapping[str, Command]] = {
    "status": Command(
        "[NAME ...]",
        "how the nodes are; exit 0 only when all are healthy",
        takes.status,
        inspect.status,
        is_warned=False,
        also=("--partitions [NAME ...]", "how far behind each partition is"),
    ),
    "top": Command(
        "[NAME ...]",
        "the same, live, until Ctrl-C",
        takes.any_names,
        inspect.top,
        is_warned=False,
    ),
    "why": Command(
        "NODE", "the last restarts of a node as a story", takes.why, inspect.why
    ),
    "history": Command(
        "[--since 1h] [NAME ...]",
        "all restarts on record",
        takes.history,
        inspect.history,
    ),
    "dump": Command(
        "NODE", "the stacks of all threads of a node", takes.one_node, inspect.dump
    ),
    "quiet": Command(
        "NAME ...",
        "no new work; finish what is in flight, stay in the group",
        takes.some_names,
        control.quiet,
    ),
    "resume": Command("NAME ...", "back to work", takes.some_names, control.resume),
    "hold": Command(
        "NAME ...",
        "no rules and no start for it, as under a debugger",
        takes.some_names,
        control.hold,
    ),
    "release": Command(
        "NAME ...",
        "rules again; a STOPPED one stays so, FATAL is tried again",
        takes.some_names,
        control.release,
    ),
    "retire": Command(
        "NAME ...",
        "leave the Kafka group for good, then stop",
        takes.some_names,
        control.retire,
    ),
    "roll": Command(
        "GROUP [--max-unavailable K] [--cancel]",
        "restart one by one, or end it",
        takes.roll,
        roll.roll,
    ),
    "scale": Command(
        "GROUP[:PROGRAM] [N|+n|-n|auto]",
        "how many nodes run, or another number",
        takes.scale,
        scale.scale,
    ),
    "dlq": Command(
        "show TOPIC",
        "the dead letters of a topic, counted",
        takes.dlq,
        dead_letters.dlq,
        also=("replay TOPIC [--dry-run] ...", "send them back; see swarm dlq --help"),
    ),
    "doctor": Command(
        "[FILE]",
        "what is wrong in the configuration, and the line to change",
        takes.doctor,
        inspect.doctor,
        is_warned=False,
    ),
}


def help_text() -> str:
    """Return the help of the whole."""
    width = max(map(len, COMMANDS))
    lines = [
        f"  {name:<{width}}  {usage}  {text}"
        for name, each in COMMANDS.items()
        for usage, text in filter(None, ((each.usage, each.text), each.also))
    ]
    return "\n".join(
        [
            "swarm COMMAND ...  a swarm of Kafka consumers; --json gives data",
            *lines,
            f"NAME is {takes.NAMES}.",
        ]
    )


def parse(line: str) -> argparse.Namespace:
    """Return the arguments of a command, its name as ``command``, and its ``words``.

    Raises:
        ArgumentsError: It cannot be understood.
        HelpAsked: The text is the answer.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ArgumentsError(str(error)) from None
    if not words or words[0] in {"help", "-h", "--help"}:
        raise HelpAsked(help_text())
    if words[0] not in COMMANDS:
        raise ArgumentsError(
            f"no command {words[0]!r}{nearest(words[0], COMMANDS)}; see help swarm"
        )
    return _parser().parse_args(words, argparse.Namespace(words=words))


@cache
def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, allow_abbrev=False)
    kinds = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        made = kinds.add_parser(name, description=command.text, allow_abbrev=False)
        made.add_argument("--json", action="store_true", help="data in place of text")
        command.takes(made)
    return parser


def run(session: Session, arguments: argparse.Namespace) -> Exit:
    """Run one command.

    Raises:
        StateError: What it needs is not known.
        CallRefused: supervisord refused a call.
        KeyboardInterrupt: The operator stopped it.
    """
    command = COMMANDS[arguments.command]
    if command.is_warned and not arguments.json:
        session.screen.say_lines(session.place_warnings())
    return command.run(session, arguments)
