"""The arguments that `supervisorctl swarm` hands on to `swarm_worker.admin`.

Both read them: the one so that a mistake is refused where it was made, the other to
obey.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Final

from swarm_worker.shared.command_line import argument
from swarm_worker.shared.parsers import count, text

REPLAYS_MAX: Final = 3

_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_RATE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(?:/(s|min|h))?")
_SECONDS: Final = {None: 1, "s": 1, "min": 60, "h": 3600}

_SHOWN: Final = (
    f"REPLAYED have been sent back, STAY were so {REPLAYS_MAX} times before and failed "
    "again, WAITING is what replay takes."
)
_REPLAYED: Final = (
    "Key, value and headers are as they were, and the partition, where there still is "
    "that; a header, swarm.replays, counts. It ends where the topic ended when it "
    "began. Ctrl-C ends it after the batch in hand; the same command goes on from "
    "there. Each filter has a progress of its own, and what another one has sent is "
    "not sent again. At least once: a KILL repeats a batch at most."
)


def topic(told: object) -> str:
    """Read the name of a topic.

    Raises:
        ValueError: No topic can have that name.
    """
    if not _TOPIC.fullmatch(str(told)):
        raise ValueError(f"expected the name of a topic, got {told!r}")
    return str(told)


def destination(told: object) -> str:
    """Read ``ORIGIN`` or ``ORIGIN=TOPIC``.

    Raises:
        ValueError: It is neither.
    """
    origin, equals, other = str(told).partition("=")
    topic(origin)
    if equals:
        topic(other)
    return str(told)


def rate(told: object) -> float:
    """Read how many messages a second, such as ``50/s``, ``30/min`` or ``50``.

    Raises:
        ValueError: It is no such text, or nothing at all.
    """
    match = _RATE.fullmatch(str(told))
    per_s = float(match[1]) / _SECONDS[match[2]] if match else 0.0
    if not per_s:
        raise ValueError(f"expected a rate such as 50/s or 30/min, got {told!r}")
    return per_s


def dead_letters(parser: argparse.ArgumentParser) -> None:
    """Take what is to be done with a dead-letter topic, and how."""
    kinds = parser.add_subparsers(dest="action", required=True, metavar="show | replay")
    for name, help_text, epilog, takes in (
        ("show", "count the dead letters of a topic, by origin and error",
         _SHOWN, _nothing),
        ("replay", "send the dead letters of a topic back to where they came from",
         _REPLAYED, _replay),
    ):  # fmt: skip
        made = kinds.add_parser(
            name,
            help=help_text,
            description=help_text,
            epilog=epilog,
            allow_abbrev=False,
        )
        made.add_argument(
            "topic", metavar="TOPIC", type=argument(topic), help="with dead letters"
        )
        takes(made.add_argument)
        made.add_argument(
            "--json",
            action="store_true",
            # One that stands before the action is not undone.
            default=argparse.SUPPRESS,
            help="data in place of text",
        )


def _nothing(_add: Callable[..., object]) -> None:
    """Take nothing more."""


def _replay(add: Callable[..., object]) -> None:
    add(
        "--to",
        metavar="ORIGIN",
        type=argument(destination),
        help="those that came from this topic only; ORIGIN=TOPIC sends them to TOPIC",
    )
    add(
        "--error",
        metavar="TYPE",
        type=argument(text),
        help="those with this error only, such as ValueError",
    )
    add(
        "--from-partition",
        metavar="P",
        type=argument(count(0)),
        help="those that came from this partition of their origin only",
    )
    add("--max", metavar="N", type=argument(count(1)), help="no more than so many")
    add(
        "--rate",
        metavar="N/s",
        type=argument(rate),
        help="no more than so many a second; N/min and N/h, too (as fast as it goes)",
    )
    add(
        "--attempts",
        metavar="N",
        type=argument(count(1)),
        default=REPLAYS_MAX,
        help=f"what has come back so often stays where it is ({REPLAYS_MAX})",
    )
    add(
        "--force",
        action="store_true",
        help="also where all messages of their origin fail alike",
    )
    add("--dry-run", action="store_true", help="say what would be done, and do nothing")
