"""The table of partitions that `status --partitions` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from swarm_event_listener.story.durations import NONE, duration_ms
from swarm_event_listener.story.partitions import WORST, Partition, Partitions, Sum
from swarm_event_listener.story.text import block, fitting, own_name, plain

WORST_OF_NODE: Final = 3
NOT_KNOWN_MAX: Final = 8  # nodes of which that is said


def render(shown: Partitions, *, width: int) -> str:
    """Return the partitions as text, one Kafka group after the other.

    Args:
        shown: The partitions.
        width: Columns of the terminal: where a table is too wide, columns that are
            empty are left out; at last each partition takes two lines.
    """
    swarms = {each.node.partition(":")[0] for each in shown.all}
    return "\n\n".join(
        "\n".join(_group(sums, held, is_one_swarm=len(swarms) == 1, width=width))
        for sums, held in shown.by_group()
    )


def worst(shown: Partitions) -> str:
    """Return what is most behind, a few in a line; empty where nothing is."""
    behind = [each for each in shown.all if each.lag][:WORST_OF_NODE]
    if not behind:
        return ""
    age = duration_ms(max(each.age_ms for each in behind))
    return f"most behind, as of {age} ago: {', '.join(map(_in_short, behind))}"


def _in_short(each: Partition) -> str:
    oldest = "" if each.oldest_ms is None else f", oldest {duration_ms(each.oldest_ms)}"
    place = plain(f"{each.topic}/{each.partition} of {each.kafka_group}")
    return f"{place} (lag {each.lag}{oldest})"


def not_known(shown: Partitions) -> list[str]:
    """Return a line for each node whose partitions are not known, or a few of them."""
    lines = [
        f"warning: partitions of {node} are not known: {why}"
        for node, why in shown.not_known.items()
    ]
    if len(lines) > NOT_KNOWN_MAX + 1:
        more = len(lines) - NOT_KNOWN_MAX
        lines[NOT_KNOWN_MAX:] = [f"warning: nor those of {more} nodes more"]
    return lines


def _group(
    sums: Sum, held: Sequence[Partition], *, is_one_swarm: bool, width: int
) -> list[str]:
    shown = held if len(held) <= WORST + 1 else held[:WORST]
    cells = [_cells(each, is_one_swarm=is_one_swarm) for each in shown]
    lines = fitting(cells, width) or [line for row in cells for line in block(row)]
    return [_head(sums), *lines, *_rest(held[len(shown) :])]


def _head(sums: Sum) -> str:
    parts = f"{sums.partitions} partition{'s' * (sums.partitions != 1)}"
    lag = "lag not known" if sums.lag is None else f"lag {sums.lag}"
    unknown = sums.lag_not_known
    if unknown and sums.lag is not None:
        lag += f" and that of {unknown} not known"
    age = duration_ms(sums.age_ms)
    return f"{plain(sums.kafka_group)}: {lag}, {parts}, as of {age} ago"


def _rest(more: Sequence[Partition]) -> list[str]:
    if not more:
        return []
    lag = sum(each.lag or 0 for each in more)
    return [f"... {len(more)} more, lag {lag} in all; --json has them"]


def _cells(each: Partition, *, is_one_swarm: bool) -> dict[str, str]:
    """Return the cells of a row, by the title of their column."""
    return {
        "PARTITION": plain(f"{each.topic}/{each.partition}"),
        "NODE": own_name(each.node) if is_one_swarm else each.node,
        "LAG": NONE if each.lag is None else str(each.lag),
        "OLDEST": duration_ms(each.oldest_ms),
        "LSO BEHIND": duration_ms(each.lso_behind_ms),
        "AS OF": f"{duration_ms(each.age_ms)} ago",
    }
