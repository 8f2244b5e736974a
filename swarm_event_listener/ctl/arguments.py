"""The command line of ``supervisorctl swarm``."""

from __future__ import annotations

import argparse
import shlex
from functools import cache
from typing import Final, NoReturn

from swarm_event_listener.core.model.events import ROLL_TIMEOUT_S
from swarm_event_listener.ctl.view.story import STORIES, since
from swarm_worker.shared.command_line import argument
from swarm_worker.shared.parsers import count
from swarm_worker.shared.settings import nearest

PROGRAM: Final = "swarm"


class ArgumentsError(Exception):
    """A command that cannot be understood; says what to write."""


class HelpAsked(Exception):  # noqa: N818 - nothing is wrong
    """Help was asked for; the text is the message."""


class _Parser(argparse.ArgumentParser):
    """Ends nothing and prints nothing: supervisorctl's shell goes on."""

    def error(self, message: str) -> NoReturn:
        raise ArgumentsError(f"{message}; see help swarm")

    def print_help(self, file: object = None) -> NoReturn:  # noqa: ARG002 - argparse's
        raise HelpAsked(self.format_help().rstrip())


NAMES: Final = "a group, group:*, group:name, or the name of a node alone"

# Name, arguments and one line on each command, in the order of the help.
COMMANDS: Final = {
    "status": "[NAME ...]  how the nodes are; exit 0 only when all are healthy",
    "top": "[NAME ...]  the same, live, until Ctrl-C",
    "why": "NODE  the last restarts of a node as a story",
    "history": "[--since 1h] [NAME ...]  all restarts on record",
    "dump": "NODE  the stacks of all threads of a node",
    "quiet": "NAME ...  no new work; finish what is in flight, stay in the group",
    "resume": "NAME ...  back to work",
    "hold": "NAME ...  no rules and no start for it, as under a debugger",
    "release": "NAME ...  rules again; a STOPPED one stays so, FATAL is tried again",
    "retire": "NAME ...  leave the Kafka group for good, then stop",
    "roll": "GROUP [--max-unavailable K] [--cancel]  restart one by one, or end it",
    "doctor": "[FILE]  what is wrong in the configuration, and the line to change",
}


def help_text() -> str:
    """Give the help of the whole."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "swarm COMMAND ...  a swarm of Kafka consumers; --json gives data",
            *lines,
            f"NAME is {NAMES}.",
        ]
    )


def parse(line: str) -> argparse.Namespace:
    """Read a command.

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
    return _parser().parse_args(words)


@cache
def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, allow_abbrev=False)
    kinds = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        description = text.partition("  ")[2]
        made = kinds.add_parser(name, description=description, allow_abbrev=False)
        made.add_argument("--json", action="store_true", help="data in place of text")
        _ARGUMENTS[name](made)
    return parser


def _any_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=NAMES)


def _some_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help=NAMES)


def _one_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs=1, metavar="NODE", help="group:name, or name")


def _why(parser: argparse.ArgumentParser) -> None:
    _one_node(parser)
    parser.add_argument(
        "-n",
        "--last",
        type=argument(count(1)),
        default=STORIES,
        metavar="N",
        help=f"so many of the last restarts ({STORIES})",
    )


def _history(parser: argparse.ArgumentParser) -> None:
    _any_names(parser)
    parser.add_argument(
        "--since", type=argument(since), metavar="1h", help="90s, 30m, 1h or 2d (all)"
    )


def _roll(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("group", metavar="GROUP", help="a group, with or without :*")
    parser.add_argument(
        "--max-unavailable",
        type=argument(count(1)),
        default=1,
        metavar="K",
        help="nodes whose turn it may be at once (1)",
    )
    parser.add_argument(
        "--timeout",
        type=argument(count(1)),
        default=round(ROLL_TIMEOUT_S),
        metavar="S",
        help=f"seconds that each node has for its turn ({ROLL_TIMEOUT_S:g})",
    )
    parser.add_argument(
        "--cancel",
        action="store_true",
        help="end the roll that is under way, whoever began it: the nodes whose turn "
        "it is come back, no further one gets its turn; exit 0 when that is so",
    )
    parser.epilog = (
        "A group has one roll at a time: a second one is refused, with the progress of "
        "the first. Exit 0 only when all nodes that run run the new code: not when one "
        "was held."
    )


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="supervisord.conf (supervisorctl's)"
    )


_ARGUMENTS: Final = {
    "status": _any_names,
    "top": _any_names,
    "why": _why,
    "history": _history,
    "dump": _one_node,
    "quiet": _some_names,
    "resume": _some_names,
    "hold": _some_names,
    "release": _some_names,
    "retire": _some_names,
    "roll": _roll,
    "doctor": _doctor,
}
