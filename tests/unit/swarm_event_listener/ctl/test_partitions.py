"""What ``status --partitions`` shows, of what nodes have written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from swarm_event_listener.ctl.session import Exit
from swarm_event_listener.story.partitions import WORST
from swarm_worker.shared.state_files.partition_figures import NodeFigures
from tests.operators import World, figures, node_status, process


def swarm(*told: NodeFigures) -> World:
    """Return nodes that report to hold what they have written."""
    world = World()
    for node, each in zip(("w:w_00", "w:w_01"), told, strict=False):
        world.figures[node] = each
        world.nodes[node]["report"]["assigned"] = len(each.partitions)
    return world


def two_nodes() -> World:
    """Return a swarm of two Kafka groups, whose nodes wrote 3 s and 1 s ago."""
    first = figures("G orders/3 7", "H clicks/0 0", oldest_ms=62_360)
    second = figures("G orders/12 6236", "G orders/4 -", pid=8, at_s=999.0)
    return swarm(first, second)


def held(world: World) -> list[dict[str, object]]:
    """Return the partitions of ``--json``."""
    world.lines.clear()
    world.run("status --partitions --json")
    found: list[dict[str, object]] = json.loads(world.text)["partitions"]
    return found


# --- the text -------------------------------------------------------------------------


def test_the_largest_lag_comes_first_with_a_sum_a_group() -> None:
    """Each with its owner and its age; what is not known is never 0."""
    world = two_nodes()

    assert world.run("status --partitions") is Exit.OK
    assert world.text == (
        "G: lag 6243 and that of 1 not known, 3 partitions, as of 3.0s ago\n"
        "PARTITION NODE  LAG OLDEST LSO BEHIND    AS OF\n"
        "orders/12 w_01 6236      -          - 1.0s ago\n"
        "orders/3  w_00    7   1m02          - 3.0s ago\n"
        "orders/4  w_01    -      -          - 1.0s ago\n"
        "\n"
        "H: lag 0, 1 partition, as of 3.0s ago\n"
        "PARTITION NODE LAG OLDEST LSO BEHIND    AS OF\n"
        "clicks/0  w_00   0   1m02          - 3.0s ago"
    )


def test_a_group_without_any_lag_that_is_known_has_no_sum() -> None:
    """0 would be a claim."""
    world = swarm(figures("G orders/0 -", lso_behind_ms=90_500))

    world.run("status --partitions w_00")

    assert world.lines[0] == "G: lag not known, 1 partition, as of 3.0s ago"
    assert world.lines[2].split() == [
        "orders/0",
        "w_00",
        "-",
        "-",
        "1m30",
        "3.0s",
        "ago",
    ]


def test_of_thousands_the_worst_are_shown() -> None:
    """And how much the others are behind, so that the sum is understood."""
    places = [f"G orders/{number} {number}" for number in range(3000)]
    world = swarm(figures(*places))

    world.run("status --partitions w_00")

    assert len(world.lines) == 1 + 1 + WORST + 1
    assert world.lines[2].startswith("orders/2999 ")
    rest = sum(range(3000 - WORST))
    assert world.lines[-1] == f"... 2980 more, lag {rest} in all; --json has them"
    assert len(held(world)) == 3000


def test_one_more_than_the_worst_is_shown() -> None:
    """Its line takes no more room than the one that says there is one more."""
    places = [f"G orders/{number} 1" for number in range(WORST + 1)]
    world = swarm(figures(*places))

    world.run("status --partitions w_00")

    assert "more" not in world.text
    assert len(world.lines) == 2 + WORST + 1


@pytest.mark.parametrize("length", [1, 40, 60, 249])
def test_80_columns_hold_a_row_and_no_name_is_cut(length: int) -> None:
    """A topic may have 249 characters: then each partition takes two lines."""
    topic = "t" * length
    world = swarm(figures(f"G {topic}/1023 1234567", oldest_ms=5_000))

    world.run("status --partitions w_00")

    rows = [line for line in world.lines[1:] if not line.startswith(topic)]
    assert all(len(line) <= 80 for line in rows)
    assert sum(line.startswith(f"{topic}/1023") for line in world.lines) == 1
    assert "1234567" in world.text
    assert "5.0s" in world.text


def test_nodes_of_two_groups_have_their_full_names() -> None:
    """Their own names may be the same."""
    world = two_nodes()
    world.processes_now.append(process("v:w_00", pid=9))
    world.nodes["v:w_00"] = node_status(node="v:w_00", pid=9, report={})
    world.watched = ("w", "v")
    world.figures["v:w_00"] = figures("G orders/12 5", pid=9)

    world.run("status --partitions")

    assert "orders/12 w:w_01 6236" in world.text
    assert "orders/12 v:w_00    5" in world.text


def test_a_name_cannot_steer_the_terminal() -> None:
    """Whoever may write the file is not whoever reads it."""
    world = swarm(figures("G\x1b[2J a\udc80\x07/0 1"))

    world.run("status --partitions w_00")

    assert world.lines[0].startswith("G?[2J: ")
    assert world.lines[2].startswith("a??/0 ")


# --- what is not known ----------------------------------------------------------------


def test_a_node_that_wrote_nothing_is_named() -> None:
    """Its partitions are not known, which is no 0, and no good end."""
    world = two_nodes()
    del world.figures["w:w_01"]

    assert world.run("status --partitions") is Exit.UNKNOWN
    assert world.lines[0] == (
        "warning: partitions of w:w_01 are not known: no w:w_01.partitions"
    )
    assert "w_01" not in "".join(world.lines[1:])
    world.lines.clear()
    assert world.run("status --partitions --json") is Exit.UNKNOWN
    assert json.loads(world.text)["not_known"] == [
        {"node": "w:w_01", "why": "no w:w_01.partitions"}
    ]


def test_what_a_former_process_wrote_is_not_shown() -> None:
    """Others hold its partitions by now."""
    world = two_nodes()
    world.figures["w:w_01"] = replace(world.figures["w:w_01"], pid=6)

    assert world.run("status --partitions") is Exit.UNKNOWN
    assert "6236" not in world.text


def test_a_node_without_a_process_holds_nothing() -> None:
    """It is not looked for: what it has left is no trouble, and not shown."""
    world = two_nodes()
    world.processes_now[1] = process("w:w_01", "STOPPED", pid=None)
    world.nodes["w:w_01"] |= {"state": "STOPPED", "pid": None, "health": "stopped"}

    assert world.run("status --partitions") is Exit.NOT_HEALTHY
    assert "not known" not in world.text
    assert "6236" not in world.text


def test_a_node_that_has_told_of_fewer_than_it_holds_is_named() -> None:
    """It has just begun: a sum without the rest looks like a lag that falls."""
    world = two_nodes()
    world.nodes["w:w_01"]["report"] |= {"assigned": 6, "brokers_up": 1}

    assert world.run("status --partitions") is Exit.UNKNOWN
    assert world.lines[0] == (
        "warning: partitions of w:w_01 are not known: it has told of 2 of its 6 yet"
    )
    assert "6236" in world.text
    world.lines.clear()
    world.nodes["w:w_01"]["report"] |= {"assigned": 1}  # the other one left just now
    assert world.run("status --partitions") is Exit.OK


def test_of_many_nodes_not_all_are_named() -> None:
    """They would fill the screen: a swarm may be of an older version as a whole."""
    world = World()
    world.processes_now = [process(f"w:w_{n:02}", pid=n + 1) for n in range(30)]
    world.processes_now.append(process("swarm:listener", pid=1000))

    assert world.run("status --partitions") is Exit.UNKNOWN
    warnings = [line for line in world.lines if line.startswith("warning: partitions")]
    assert len(warnings) == 8
    assert "warning: nor those of 22 nodes more" in world.lines
    world.lines.clear()
    world.run("status --partitions --json")
    assert len(json.loads(world.text)["not_known"]) == 30


# --- data -----------------------------------------------------------------------------


def test_data_has_all_of_it() -> None:
    """Ages are whole milliseconds; None is not known."""
    world = two_nodes()

    assert world.run("status --json --partitions") is Exit.OK
    plain = json.loads(world.text)

    assert plain["partitions"][1] == {
        "kafka_group": "G",
        "topic": "orders",
        "partition": 3,
        "node": "w:w_00",
        "lag": 7,
        "oldest_ms": 62_360,
        "lso_behind_ms": None,
        "age_ms": 3000,
    }
    assert plain["kafka_groups"][0] == {
        "kafka_group": "G",
        "partitions": 3,
        "lag": 6243,
        "lag_not_known": 1,
        "age_ms": 3000,
    }
    assert plain["not_known"] == plain["warnings"] == []


def test_a_partition_that_has_moved_counts_once() -> None:
    """As its new owner says: the file of the former one is of a moment ago."""
    former, owner = figures("G orders/0 900"), figures("G orders/0 5", at_s=998.5)
    for first, second in ((former, owner), (owner, former)):
        world = swarm(first, replace(second, pid=8))
        assert [each["lag"] for each in held(world)] == [5]


def test_two_swarms_may_have_partitions_of_the_same_name() -> None:
    """They may be those of two Kafkas."""
    world = two_nodes()
    world.processes_now.append(process("v:v_00", pid=9))
    world.nodes["v:v_00"] = node_status(node="v:v_00", pid=9, report={})
    world.watched = ("w", "v")
    world.figures["v:v_00"] = figures("G orders/12 5", pid=9)

    twice = [each for each in held(world) if each["partition"] == 12]
    assert [each["lag"] for each in twice] == [6236, 5]


def test_a_file_that_is_replaced_meanwhile_is_of_now() -> None:
    """Not of a moment to come."""
    world = swarm(figures("G orders/0 1", at_s=1000.2))

    assert [each["age_ms"] for each in held(world)] == [0]


def test_names_pick_nodes() -> None:
    """Those only: neither the partitions nor the health of others count."""
    world = two_nodes()
    world.nodes["w:w_00"]["health"] = "unhealthy"
    del world.figures["w:w_00"]

    assert world.run("status --partitions w_01") is Exit.OK
    assert "w_00" not in world.text
    assert world.run("status --partitions w:w_09") is Exit.UNKNOWN


@pytest.mark.parametrize(
    ("health", "status"),
    [
        ("quiet", Exit.NOT_HEALTHY),
        ("failing", Exit.FAILED),
        ("unknown", Exit.UNKNOWN),
    ],
)
def test_the_exit_status_is_that_of_status(health: str, status: Exit) -> None:
    """Another view of the same nodes is the same check."""
    world = two_nodes()
    world.nodes["w:w_01"]["health"] = health

    assert world.run("status --partitions") is status
    assert "orders/12" in world.text


def test_what_else_is_amiss_is_said_too() -> None:
    """As status does, and before the table."""
    world = two_nodes()
    world.place_warning = "swarm.toml is no TOML"

    assert world.run("status --partitions") is Exit.OK
    assert world.lines[0] == "warning: swarm.toml is no TOML"
    world.lines.clear()
    world.run("status --partitions --json")
    assert json.loads(world.text)["warnings"] == ["warning: swarm.toml is no TOML"]


# --- why ------------------------------------------------------------------------------


def test_why_names_the_worst_of_its_node() -> None:
    """Three, of those that are behind at all; of others it tells nothing."""
    places = ["G a/0 1", "G a/1 70", "G a/2 0", "H a/1 400", "H a/3 20", "H a/4 -"]
    world = swarm(figures(*places, oldest_ms=62_000), figures("G b/9 9999", pid=8))

    assert world.run("why w:w_00") is Exit.OK
    assert " ".join(world.lines[1].split() + world.lines[2].split()) == (
        "most behind, as of 3.0s ago: a/1 of H (lag 400, oldest 1m02), "
        "a/1 of G (lag 70, oldest 1m02), a/3 of H (lag 20, oldest 1m02)"
    )
    world.lines.clear()
    world.run("why w:w_00 --json")
    assert len(json.loads(world.text)["partitions"]) == len(places)


@pytest.mark.parametrize("told", [figures("G a/0 0", "G a/1 -"), figures(pid=6)])
def test_why_says_nothing_where_nothing_is_behind_or_known(told: NodeFigures) -> None:
    """It is about restarts; in its data it stands what is not known."""
    world = swarm(told)

    assert world.run("why w:w_00") is Exit.OK
    assert "behind" not in world.text
    assert "partitions" not in world.text
    world.lines.clear()
    world.run("why w:w_00 --json")
    assert bool(json.loads(world.text)["not_known"]) == (told.pid == 6)
