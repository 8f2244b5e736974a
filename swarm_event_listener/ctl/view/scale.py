"""What an operator reads of how many nodes run, and of an order to change that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from swarm_event_listener.core.model.events import group_of
from swarm_event_listener.ctl.known.scaling import (
    Figures,
    Program,
    has_idle,
    lacks_partitions,
)
from swarm_event_listener.ctl.known.standings import Stage, Standing
from swarm_event_listener.story.text import plain
from swarm_worker.shared.scale import Scale

IDLE: Final = "there are more nodes than partitions: those without one stand by"


def told(figures: Figures) -> list[str]:
    """Return the figures of a program."""
    parts = [
        f"running {figures.running}",
        f"least {figures.least}",
        f"most {figures.most}",
        f"partitions {_known(figures.partitions)}",
    ]
    return [f"{figures.name}: {number(figures)}", f"  {', '.join(parts)}"]


def _known(partitions: int | None) -> str:
    return "not known" if partitions is None else str(partitions)


def number(figures: Figures) -> str:
    """Return how many are to run, and by whose order."""
    head = f"{figures.nodes} of {figures.most} nodes are to run"
    if not figures.by and not figures.at:
        return head
    why = f": {plain(figures.why)}" if figures.why else ""
    by = ", ".join(plain(it) for it in (figures.by, figures.at) if it)
    return f"{head} ({by}{why})"


def in_short(shown: Iterable[Figures]) -> dict[str, str]:
    """Return for each group what was ordered; nothing where all are to run."""
    said: dict[str, list[str]] = {}
    for each in shown:
        if each.by or each.nodes < each.most:
            said.setdefault(group_of(each.name), []).append(number(each))
    return {group: "; ".join(texts) for group, texts in said.items()}


def progress(
    before: Mapping[str, Standing] | None, now: Mapping[str, Standing]
) -> list[str]:
    """Return a line for each node that moved on; at first for those that have to.

    Of those that are as ordered nothing more is told: they share partitions out anew.
    """
    done = {name for name, it in (before or now).items() if it.stage is Stage.DONE}
    return [
        _line(name, it)
        for name, it in now.items()
        if it != (before or {}).get(name)
        and not (name in done and it.stage is Stage.DONE)
    ]


def _line(name: str, it: Standing) -> str:
    return (
        f"{name}: ERROR ({it.text})"
        if it.stage is Stage.FAILED
        else f"{name}: {it.text}"
    )


def ended(
    program: Program, order: Scale, found: Mapping[str, Standing], *, within_s: int
) -> Sequence[str]:
    """Return how an order ended; ``within_s`` is 0 where nobody waited."""
    missing = [name for name, it in found.items() if it.stage is not Stage.DONE]
    title, of = program.title, f"{order.nodes} of {program.most} nodes"
    if not missing:
        held = program.partitions
        return [f"{title}: {of} run{'' if held is None else f', partitions: {held}'}"]
    if not within_s:
        return [f"{title}: {of} are to run; not waited for, see swarm scale {title}"]
    late = [
        f"{name}: ERROR (not within {within_s} s: {it.text})"
        for name, it in found.items()
        if it.stage is Stage.UNDER_WAY
    ]
    count = len(missing)
    are = "node is" if count == 1 else "nodes are"
    last = (
        f"{title}: ERROR ({of} are to run, and {count} {are} not as ordered; the "
        "number holds, and the listener goes on)"
    )
    return [*late, last]


def warnings(before: Program, now: Program, order: Scale) -> list[str]:
    """Return what is remarkable where all nodes are as ordered."""
    if lacks_partitions(before, now):
        told = f"{now.partitions} partitions are held, {before.partitions} were before"
        return [f"warning: {told}: see swarm status"]
    return [f"warning: {IDLE}"] if has_idle(now, order.nodes) else []


def left(title: str, order: Scale) -> str:
    """Return what becomes of an order that nobody waits for any more."""
    return (
        f"{title}: {order.nodes} nodes are to run: the number holds, and the listener "
        f"goes on; see swarm scale {title}"
    )


def overtaken(title: str, holds: Scale | None) -> str:
    """Return that another order has come, or that this one is gone."""
    if holds is None:
        return f"{title}: ERROR (the order is gone: somebody has removed it)"
    by = plain(holds.by) or "somebody"
    return f"{title}: ERROR (overtaken: {by} has ordered {holds.nodes} nodes meanwhile)"


def as_json(
    figures: Figures,
    before: int,
    found: Mapping[str, Standing],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """Return how an order ended as plain data."""
    return {
        **figures.as_json(),
        "before": before,
        "results": [
            {"node": name, "stage": it.stage.value, "text": it.text}
            for name, it in found.items()
        ],
        "warnings": list(warnings),
    }
