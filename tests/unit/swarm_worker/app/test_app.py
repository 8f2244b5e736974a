"""What a user declares, and the routes of an app judged together."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_worker.app.app import App, RoutingError
from swarm_worker.app.batch import Batch
from swarm_worker.app.routing import Selection, least_nodes, plan


def handler(batch: Batch) -> None:
    """Do nothing."""


def other(batch: Batch) -> None:
    """Do nothing, under another name."""


def app_of(*routes: tuple[Callable[[Batch], None], str, Mapping[str, Any]]) -> App:
    """Return an app with these handlers, topics and arguments; the group is ``g``."""
    app = App(group="g")
    for function, topics, arguments in routes:
        app.topic(*topics.split(), **arguments)(function)
    return app


# --- a route alone --------------------------------------------------------------------


def test_a_handler_stays_what_it_was() -> None:
    """The decorators give the function back, so that a test can call it."""
    app = App()

    assert app.topic("orders", group="billing")(handler) is handler
    assert app.on_start(print) is print
    assert app.on_stop(print) is print
    assert app.before_store(print) is print
    assert app.configure_consumer(dict) is dict
    assert app.hooks.configure_consumer == [dict]
    assert (app.hooks.on_start, app.hooks.before_store) == ([print], [print])


def test_ranges_and_lists_name_nodes_and_partitions() -> None:
    """Both are taken, for node ids and for partitions."""
    app = app_of(
        (handler, "a", {"nodes": range(2)}),
        (handler, "b", {"group": "h", "partitions": {0: [0], 1: range(1, 3)}}),
    )

    assert app.routes[0].nodes == frozenset({0, 1})
    assert app.routes[1].partitions == {0: (0,), 1: (1, 2)}


def test_the_group_is_the_handlers_or_the_apps() -> None:
    """There is no derived default: offsets live under this name."""
    app = App(group="g")
    app.topic("a")(handler)
    app.topic("b", group="h")(handler)

    assert [route.group for route in app.routes] == ["g", "h"]
    with pytest.raises(RoutingError, match=r"name of a Kafka group.*group=\"name\""):
        App().topic("a")(handler)


def test_dead_letters_need_an_end_of_retries() -> None:
    """A dead-letter topic alone means the default number of retries."""
    app = app_of(
        (handler, "a", {"dead_letter": "d"}),
        (handler, "b", {"dead_letter": "d", "max_retries": 0}),
        (handler, "c", {}),
    )

    assert [route.max_retries for route in app.routes] == [3, 0, None]


def test_a_topic_says_how_long_its_handler_may_take_nothing() -> None:
    """As in the file: ms, a text, or False for ever; else the node's setting."""
    app = app_of(
        (handler, "a", {}),
        (handler, "b", {"dead_letter_after": 500}),
        (handler, "c", {"dead_letter_after": "2h"}),
        (handler, "d", {"dead_letter_after": False}),
    )

    assert [r.dead_letter_after_s for r in app.routes] == [None, 0.5, 7200.0, inf]


@pytest.mark.parametrize(
    ("topics", "arguments", "told"),
    [
        ([], {}, "at least one topic"),
        (["a", "a"], {}, "'a' stands there twice"),
        (["^a.*"], {}, "patterns are not supported"),
        ([".."], {}, "name of a topic"),
        (["a" * 250], {}, "name of a topic"),
        ([["a"]], {}, "name of a topic"),
        (["a"], {"group": " "}, "name of a Kafka group"),
        (["a"], {"nodes": []}, r"nodes=: expected a list or range"),
        (["a"], {"nodes": 3}, r"nodes=: expected a list or range"),
        (["a"], {"nodes": "01"}, r"nodes=: expected a list or range"),
        (["a"], {"nodes": [-1]}, r"nodes=: expected a list or range"),
        (["a"], {"nodes": [True]}, r"nodes=: expected a list or range"),
        (["a"], {"partitions": {}}, r"partitions=: expected partitions by node"),
        (["a"], {"partitions": [0]}, r"partitions=: expected partitions by node"),
        (["a"], {"partitions": {0: 1}}, r"partitions=\{0: ...\}: expected a list"),
        (["a"], {"partitions": {0: []}}, r"partitions=\{0: ...\}: expected a list"),
        (["a"], {"partitions": {"0": [0]}}, r"partitions=: expected a list"),
        (["a"], {"max_retries": -1}, "max_retries to be a whole number from 0"),
        (["a"], {"max_retries": 1.5}, "max_retries to be a whole number from 0"),
        (["a"], {"max_messages": 0}, "max_messages to be a whole number from 1"),
        (["a"], {"dead_letter": ""}, "dead_letter: expected the name of a topic"),
        (["a"], {"dead_letter_after": "1y"}, "dead_letter_after: expected whole milli"),
        (["a"], {"dead_letter_after": True}, "dead_letter_after: expected whole milli"),
    ],
)
def test_a_wrong_argument_is_refused_by_the_handlers_name(
    topics: list[Any], arguments: dict[str, Any], told: str
) -> None:
    """The message names handler and argument."""
    with pytest.raises(RoutingError, match=told) as raised:
        App(group="g").topic(*topics, **arguments)(handler)
    assert "handler" in str(raised.value)


# --- routes together ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "told"),
    [
        (App(), "no handlers"),
        (
            app_of((handler, "a", {"nodes": [3, 4]})),
            r"handler .*handler of a: node 4 is beyond the 4 nodes",
        ),
        (app_of((handler, "a", {"partitions": {4: [0]}})), "node 4 is beyond"),
        (
            app_of((handler, "a", {"nodes": [0], "partitions": {0: [0]}})),
            "nodes= and partitions= exclude each other",
        ),
        (
            app_of((handler, "a", {"partitions": {0: [0, 1], 3: [1]}})),
            "partition 1 is claimed twice, by node 0 and by node 3",
        ),
        (
            app_of((handler, "a", {"partitions": {0: [1, 1]}})),
            "partition 1 is claimed twice, by node 0 and by node 0",
        ),
        (
            app_of((handler, "a b", {}), (other, "b", {})),
            r"topic 'b' has two handlers in group 'g': .*handler and .*other",
        ),
        (
            app_of((handler, "a", {}), (other, "b", {"partitions": {0: [0]}})),
            r"'g' is both balanced \(handler .*handler\) and .*\(handler .*other\)",
        ),
        (
            app_of((other, "b", {"partitions": {0: [0]}}), (handler, "a", {})),
            r"'g' is both balanced \(handler .*handler\) and .*\(handler .*other\)",
        ),
        (
            app_of((handler, "a b", {"dead_letter": "b"})),
            "dead_letter 'b' is a topic that it consumes itself",
        ),
        (
            app_of((handler, "a", {"nodes": [1, 2]})),
            r"node 0 of 4 has no topics.*handler of a",
        ),
        (
            app_of((handler, "a", {"partitions": {1: [0]}})),
            r"node 0 of 4 has no topics",
        ),
    ],
)
def test_routes_that_cannot_work_are_refused_by_name(app: App, told: str) -> None:
    """Before anything is joined, with what to change."""
    with pytest.raises(RoutingError, match=told):
        plan(app, node=0, nodes=4)


@pytest.mark.parametrize("node", [4, 5, -1])
def test_a_node_id_must_be_below_the_number_of_nodes(node: int) -> None:
    """Ids run from 0 to N - 1."""
    with pytest.raises(RoutingError, match=rf"node id {node} is beyond the 4 nodes"):
        plan(app_of((handler, "a", {})), node=node, nodes=4)


@pytest.mark.parametrize(
    ("app", "least"),
    [
        (app_of((handler, "a", {})), 0),
        (app_of((handler, "a", {}), (other, "b", {"nodes": [0, 2]})), 3),
        (app_of((handler, "a", {"partitions": {0: [1], 1: [0]}})), 2),
    ],
)
def test_a_named_node_has_to_be_no_spare(app: App, least: int) -> None:
    """What it alone consumes would be nobody's."""
    assert least_nodes(app.routes) == least
    assert plan(app, node=0, nodes=4, start_nodes=least or 1)
    if least:
        told = rf"node {least - 1} would be a spare.*start_nodes is {least - 1}"
        with pytest.raises(RoutingError, match=told):
            plan(app, node=0, nodes=4, start_nodes=least - 1)


def test_one_topic_may_have_a_handler_in_each_group() -> None:
    """Groups have offsets of their own."""
    app = app_of((handler, "a", {}), (other, "a", {"group": "h"}))

    assert [group.group for group in plan(app, node=0, nodes=1)] == ["g", "h"]


def test_a_group_is_one_consumer_for_all_its_routes() -> None:
    """Topics in order of declaration, with the app's hooks."""
    app = app_of((handler, "b a", {}), (other, "c", {}))
    app.before_store(print)

    (group,) = plan(app, node=0, nodes=1)

    assert group.topics == ("b", "a", "c")
    assert group.assignments == ()
    assert [route.handler for route in group.routes] == [handler, other]
    assert group.before_store == (print,)


def test_partitions_are_assigned_without_a_subscription() -> None:
    """Each node gets its own."""
    app = app_of((handler, "a b", {"partitions": {0: [0], 1: range(1, 3)}}))

    (group,) = plan(app, node=1, nodes=2)

    assert group.topics == ()
    assert group.assignments == (("a", 1), ("a", 2), ("b", 1), ("b", 2))


@given(
    st.integers(1, 6),
    st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=4),
)
def test_every_route_runs_on_exactly_the_nodes_it_names(
    nodes: int, named: list[set[int]]
) -> None:
    """Whatever the nodes= of the handlers, no topic goes to another node."""
    named = [{node % nodes for node in ids} for ids in named]
    app = app_of(
        *((handler, f"t{number}", {"nodes": ids}) for number, ids in enumerate(named))
    )
    seen: dict[str, set[int]] = {f"t{number}": set() for number in range(len(named))}
    idle = set()
    for node in range(nodes):
        try:
            groups = plan(app, node=node, nodes=nodes)
        except RoutingError:
            idle.add(node)
            continue
        for group in groups:
            for topic in group.topics:
                seen[topic].add(node)

    assert list(seen.values()) == named
    assert idle == set(range(nodes)) - set().union(*named)


# --- flags ----------------------------------------------------------------------------


def topics_of(app: App, **selection: set[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return group and topics of the plans of a selection."""
    picked = Selection(**{name: frozenset(names) for name, names in selection.items()})
    groups = plan(app, node=0, nodes=1, selection=picked)
    return [(group.group, group.topics) for group in groups]


def test_flags_pick_topics_and_groups() -> None:
    """Exclusion wins over inclusion; absent flags pick all."""
    app = app_of((handler, "a b", {}), (other, "b c", {"group": "h"}))

    assert topics_of(app) == [("g", ("a", "b")), ("h", ("b", "c"))]
    assert topics_of(app, include_topics={"b"}) == [("g", ("b",)), ("h", ("b",))]
    assert topics_of(app, exclude_topics={"a", "b"}) == [("h", ("c",))]
    assert topics_of(app, include_groups={"h"}) == [("h", ("b", "c"))]
    assert topics_of(app, exclude_groups={"h"}) == [("g", ("a", "b"))]
    assert topics_of(
        app, include_topics={"a", "b"}, exclude_topics={"b"}, exclude_groups={"h"}
    ) == [("g", ("a",))]


def test_an_unknown_name_in_a_flag_is_refused_with_the_nearest() -> None:
    """A typing error must not leave a topic unread."""
    app = app_of((handler, "orders", {}))

    with pytest.raises(RoutingError, match=r"--include-topics: .*'ordrs'.*'orders'"):
        topics_of(app, include_topics={"ordrs"})
    with pytest.raises(RoutingError, match=r"--exclude-groups: .*'h'.*known are g"):
        topics_of(app, exclude_groups={"h"})


def test_flags_that_leave_nothing_are_refused() -> None:
    """The message lists what there is."""
    app = app_of((handler, "orders", {}))

    with pytest.raises(RoutingError, match=r"no handler is left.*handler of orders"):
        topics_of(app, exclude_topics={"orders"})
