"""How a process ended, as supervisord's own log tells it: no I/O.

    2026-11-24 09:00:00,123 INFO spawned: 'w_00' with pid 4711
    2026-11-24 09:03:00,456 WARN exited: w_00 (terminated by SIGKILL; not expected)

An end is told without pid and without group, so it is the end of a process only if the
last start of that name was its own, or is no longer in the text and the time is right.
Where the start is there the time does not count: the listener may have a ``TZ`` of its
own, and supervisord's ``environment=`` gives its children one that it has not itself.
Where more than one end may be meant, none is. A supervisord tells of no process that an
earlier one has started: that one may have died without a word of their ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

LOG_END_BYTES: Final = 8_192
EARLIER: Final = timedelta(seconds=10)  # by which we may hear late of an end
LATER: Final = timedelta(seconds=2)  # the clocks' error

_LINE: Final = (
    r"^(?P<at>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ [A-Z]+ (?:"
    r"(?P<begin>supervisord started with pid \d+)|"
    r"spawned: '{name}' with pid (?P<pid>\d+)|"
    r"(?P<verb>exited|stopped): {name} \((?:exit status (?P<code>\d+)|"
    r"terminated by (?P<signal>SIG[A-Z0-9+-]+|signal \d+)(?: \(core dumped\))?)"
    r"(?:; (?:not )?expected)?\))$"
)


@dataclass(frozen=True, slots=True)
class End:
    """The end of a process.

    Attributes:
        exit_code: With which it exited; None for a signal.
        signal: What ended it; None for an exit.
    """

    exit_code: int | None
    signal: str | None


@dataclass(frozen=True, slots=True)
class _Told:
    at: datetime
    of: frozenset[int]  # whose end it may be; empty: of a process from before the text
    is_exit: bool  # not a stop that was asked for
    end: End


def end_of(log: str, *, name: str, pid: int | None, at: datetime | None) -> End | None:
    """Return how a process ended by itself; None where that cannot be told.

    Args:
        log: The end of supervisord's log.
        name: The process, without its group.
        pid: That of the life asked about; None where it was not told.
        at: When it ended, on supervisord's clock; None where it is only known that
            another process is there now.
    """
    told = list(_told(log, name))
    if f"spawned: '{name}' with pid {pid}\n" in log:
        # The last life of that number: a later one's start would be there, too.
        meant = [each for each in told if pid in each.of][-1:]
    else:
        meant = [each for each in told if pid is None or not each.of]
        if at is not None:
            meant = [each for each in meant if at - EARLIER <= each.at <= at + LATER]
    if len(meant) != 1 or not meant[0].is_exit or len(meant[0].of) > 1:
        return None
    return meant[0].end


def _told(log: str, name: str) -> Iterator[_Told]:
    alive: set[int] = set()
    for line in re.finditer(_LINE.format(name=re.escape(name)), log, re.MULTILINE):
        if line["begin"]:
            alive.clear()
            continue
        if line["pid"]:
            alive.add(int(line["pid"]))
            continue
        code = line["code"]
        yield _Told(
            at=datetime.fromisoformat(line["at"]),
            of=frozenset(alive),
            is_exit=line["verb"] == "exited",
            end=End(None if code is None else int(code), line["signal"]),
        )
        alive.clear()
