"""How a rolling restart goes and how it ended, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from swarm_event_listener.story.durations import duration
from swarm_event_listener.story.text import own_name, wrapped

Plain = Mapping[str, Any]

NAMED_MAX: Final = 3  # nodes whose turn it is, in one line

_WORDS: Final = {
    "done": "works again",
    "skipped": "not running: left alone",
    "held": "held: left alone, it runs the old code",
    "restarting": "down for a restart: the listener starts it, with the new code",
}
_ENDED: Final = {
    "done": "restarted",
    "held": "held: old code",
    "skipped": "not running",
    "restarting": "down for a restart",
    "waiting": "left as they were",
}
_HINTS: Final = {
    "held": "; swarm release, then roll again",
    "skipped": "; supervisorctl start runs the new code",
    "restarting": "; the listener starts it, with the new code",
}


def how_far(roll: Plain, *, now_s: float) -> str:
    """Return how far a roll is: what is done, whose turn it is, for how long."""
    done_count, all_count = len(roll["done"]), len(_rolled(roll))
    parts = [f"{done_count} of {all_count} done", _turns(roll, now_s=now_s)]
    if roll["is_cancelled"]:
        parts.append("cancelled: no further node")
    if roll["failure"]:
        parts.append(f"no further node: {roll['failure']}")
    return f"a roll is under way: {'; '.join(parts)}"


def _rolled(roll: Plain) -> list[str]:
    """Return the nodes that have, had or will have their turn."""
    turned = [turned["name"] for turned in roll["turned"]]
    return [*roll["done"], *turned, *roll["waiting"]]


def _turns(roll: Plain, *, now_s: float) -> str:
    turns = [
        f"{own_name(turned['name'])} ({duration(max(0.0, now_s - turned['since_s']))})"
        for turned in roll["turned"]
    ]
    if not turns:
        return f"next is {own_name(roll['waiting'][0])}"
    more = [f"{len(turns) - NAMED_MAX} more"] if len(turns) > NAMED_MAX else []
    return f"turn of {', '.join([*turns[:NAMED_MAX], *more])}"


def progress(before: Plain | None, now: Plain) -> list[str]:
    """Return a line for each node that moved on, and at first how many there are."""
    lines = []
    if before is None:
        lines.append(f"rolling {len(_rolled(now))} nodes of {now['group']}")
    known = before or {}
    for key, word in _WORDS.items():
        old = set(known.get(key, ()))
        lines += [f"{name}: {word}" for name in now[key] if name not in old]
    old = {turned["name"] for turned in known.get("turned", ())}
    lines += [
        f"{turned['name']}: its turn"
        for turned in now["turned"]
        if turned["name"] not in old
    ]
    return lines


def ended(roll: Plain, *, width: int) -> list[str]:
    """Return how it ended; where that is not as it was meant, node by node."""
    shown = {key: roll[key] for key in _ENDED if roll[key]}
    counts = ", ".join(f"{len(names)} {_ENDED[key]}" for key, names in shown.items())
    head = f"{roll['group']}: {_outcome(roll)}; {counts or 'none restarted'}"
    is_as_meant = not (roll["failure"] or roll["is_cancelled"])
    return [head] + [
        wrapped(f"{_ENDED[key]}: {_names(names)}{_HINTS.get(key, '')}", width)
        for key, names in shown.items()
        if key in _HINTS or not is_as_meant
    ]


def failing(before: Sequence[str], now: Mapping[str, str], *, width: int) -> list[str]:
    """Return what became of the messages that failed before a roll.

    Args:
        before: Their places.
        now: What fails after it: a line by place.
        width: Columns of the terminal.
    """
    lines = [now.get(at, f"{at} has not been seen to fail again") for at in before]
    lines += [line for at, line in now.items() if at not in before]
    return [wrapped(line, width) for line in lines]


def _outcome(roll: Plain) -> str:
    if roll["failure"]:
        return f"ERROR ({roll['failure']})"
    if roll["is_cancelled"]:
        return "roll ended early"
    return "roll incomplete" if roll["held"] else "roll done"


def _names(names: Sequence[str]) -> str:
    """Return names of one group without the group."""
    return ", ".join(map(own_name, names))
