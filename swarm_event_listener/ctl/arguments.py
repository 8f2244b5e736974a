"""The arguments that each command of ``supervisorctl swarm`` takes."""

from __future__ import annotations

import argparse
from contextlib import suppress
from datetime import timedelta
from typing import Final, NoReturn

from swarm_event_listener.core.model.events import ROLL_TIMEOUT_S
from swarm_event_listener.ctl.known.scaling import REASON_MAX, change
from swarm_event_listener.story.partitions import WORST
from swarm_worker.shared import admin_arguments
from swarm_worker.shared.command_line import argument
from swarm_worker.shared.parsers import count, duration_ms

STORIES: Final = 3  # of the last restarts, unless more are asked for
SCALED_WITHIN_S: Final = 120  # twice the default shutdown_timeout
NAMES: Final = "a group, group:*, group:name, or the name of a node alone"


class ArgumentsError(Exception):
    """A command that cannot be understood; says what to write."""


class HelpAsked(Exception):  # noqa: N818 - nothing is wrong
    """Help was asked for; the text is the message."""


class Parser(argparse.ArgumentParser):
    """Ends nothing and prints nothing: supervisorctl's shell goes on."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            ArgumentsError: Always.
        """
        raise ArgumentsError(f"{message}; see help swarm")

    def print_help(self, file: object = None) -> NoReturn:  # noqa: ARG002 - argparse's
        """Print the help for whoever asked.

        Raises:
            HelpAsked: Always; the text is the message.
        """
        raise HelpAsked(self.format_help().rstrip())


def since(text: str) -> timedelta:
    """Return how far to look back, such as ``1h``.

    Raises:
        ValueError: It is no such text.
    """
    # A number alone is one of milliseconds in a file: hardly meant here.
    with suppress(ValueError, OverflowError):
        if not text.strip().isdecimal():
            return timedelta(milliseconds=duration_ms(text))
    raise ValueError(f"expected a duration such as 90s, 30m, 1h or 2d, got {text!r}")


def any_names(parser: argparse.ArgumentParser) -> None:
    """Take names, or none for all nodes."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=NAMES)


def status(parser: argparse.ArgumentParser) -> None:
    """Take names and what is shown of them, and tell what the exit status says."""
    any_names(parser)
    parser.add_argument(
        "--partitions",
        action="store_true",
        help="how far behind each of their partitions is, the largest lag first: the "
        "messages from what is done to the end of the log (LAG), the age of the oldest "
        "of them (OLDEST), for how long the last stable offset has stood behind that "
        "end where it is over a minute: a transaction hangs (LSO BEHIND), and when the "
        f"node wrote that (AS OF); the {WORST} worst of each Kafka group, --json has "
        "all, ages in ms",
    )
    parser.epilog = (
        "Exit 0 when all nodes are healthy, 3 when one is not, 4 when it is not known "
        "how one is: no such node, no listener, or none that has written for 10 s. "
        "1 when all are at work, but messages of some fail again and again. With "
        "--partitions it is 4, too, where those of a node that runs are not known."
    )


def some_names(parser: argparse.ArgumentParser) -> None:
    """Take names, one at least."""
    parser.add_argument("names", nargs="+", metavar="NAME", help=NAMES)


def one_node(parser: argparse.ArgumentParser) -> None:
    """Take the name of one node."""
    parser.add_argument("names", nargs=1, metavar="NODE", help="group:name, or name")


def why(parser: argparse.ArgumentParser) -> None:
    """Take a node, and how many of its restarts are shown."""
    one_node(parser)
    parser.add_argument(
        "-n",
        "--last",
        type=argument(count(1)),
        default=STORIES,
        metavar="N",
        help=f"so many of the last restarts ({STORIES})",
    )


def history(parser: argparse.ArgumentParser) -> None:
    """Take names, and how far to look back."""
    any_names(parser)
    parser.add_argument(
        "--since", type=argument(since), metavar="1h", help="90s, 30m, 1h or 2d (all)"
    )


def roll(parser: argparse.ArgumentParser) -> None:
    """Take a group, and how it is rolled."""
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


def scale(parser: argparse.ArgumentParser) -> None:
    """Take a group, how many of its nodes are to run, and how long to wait for it."""
    parser.add_argument(
        "group",
        metavar="GROUP[:PROGRAM]",
        help="a group; with a program where the group has several",
    )
    parser.add_argument(
        "change",
        nargs="?",
        type=argument(change),
        metavar="N|+n|-n|auto",
        help="how many nodes are to run, or how many more or less, or auto: as the "
        "load asks (without it: how many run now, are to run, and could)",
    )
    parser.add_argument(
        "--timeout",
        type=argument(count(1)),
        default=SCALED_WITHIN_S,
        metavar="S",
        help=f"seconds to wait until that is so ({SCALED_WITHIN_S}); the number holds "
        "all the same",
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="order it, and do not wait"
    )
    parser.add_argument(
        "--why",
        nargs="+",  # supervisorctl takes the quotation marks of a shell away
        default=(),
        metavar="TEXT",
        help=f"a reason, kept with the order ({REASON_MAX} characters at most)",
    )
    parser.epilog = (
        "Exit 0 when so many nodes run and were offered partitions, with a warning "
        "where there are more nodes than partitions; 1 when fewer do, each named: one "
        "that an operator has stopped or holds is not touched; 2 when it is refused: "
        "while the group is rolled, above numprocs, below what the app names, or where "
        "supervisord would start again what is not needed."
    )


def dlq(parser: argparse.ArgumentParser) -> None:
    """Take what is done with a dead-letter topic, and whose Kafka it is in."""
    parser.add_argument(
        "--node",
        metavar="NODE",
        help="whose configuration, user and Kafka count, where nodes differ in that",
    )
    admin_arguments.dead_letters(parser)
    parser.epilog = (
        "swarm dlq show --help and swarm dlq replay --help tell of each. Exit 0 when "
        "all is done, 1 when not or not all of it, 2 when it is not understood."
    )


def doctor(parser: argparse.ArgumentParser) -> None:
    """Take a file, or none for that of supervisorctl."""
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help="supervisord.conf (supervisorctl's)"
    )
