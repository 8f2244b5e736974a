"""Which node consumes what: the routes of an app, judged together.

All decisions about routes are made here, before anything is joined. Only whether a
topic has the partitions that are assigned needs a broker, and is found out later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from swarm_worker.app.app import App, ConsumerHook, Hook, Route, RoutingError
from swarm_worker.shared.settings import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Topics and groups picked on the command line; empty means all.

    Attributes:
        include_topics: Consume these topics only.
        exclude_topics: Do not consume these.
        include_groups: Consume for these groups only.
        exclude_groups: Do not consume for these.
    """

    include_topics: frozenset[str] = frozenset()
    exclude_topics: frozenset[str] = frozenset()
    include_groups: frozenset[str] = frozenset()
    exclude_groups: frozenset[str] = frozenset()

    def takes_topic(self, topic: str) -> bool:
        """Whether a topic was picked."""
        included = not self.include_topics or topic in self.include_topics
        return included and topic not in self.exclude_topics

    def takes_group(self, group: str) -> bool:
        """Whether a group was picked."""
        included = not self.include_groups or group in self.include_groups
        return included and group not in self.exclude_groups


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPlan:
    """What one node consumes for one Kafka group: exactly one consumer's work.

    Attributes:
        group: The Kafka group.
        routes: The routes that this node takes part in, their topics as picked.
        topics: Topics to subscribe to; empty when partitions are assigned directly.
        assignments: ``(topic, partition)`` to assign; empty when subscribed.
        configure_consumer: Each gives further properties of the consumer.
        before_store: Called after a handler returned, before offsets are stored.
    """

    group: str
    routes: tuple[Route, ...]
    topics: tuple[str, ...] = ()
    assignments: tuple[tuple[str, int], ...] = ()
    configure_consumer: tuple[ConsumerHook, ...] = ()
    before_store: tuple[Hook, ...] = ()


def plan(
    app: App,
    *,
    node: int,
    nodes: int,
    start_nodes: int | None = None,
    selection: Selection | None = None,
) -> tuple[GroupPlan, ...]:
    """Return the consumers of a node, one per Kafka group, in order of declaration.

    Args:
        app: Whose routes.
        node: Whose consumers; from 0.
        nodes: Of the swarm, spares among them.
        start_nodes: How many are no spares until an order says otherwise; None: all.
        selection: What the flags pick.

    Raises:
        RoutingError: The routes cannot work; names handler, topic and what to change.
    """
    if not 0 <= node < nodes:
        raise RoutingError(
            f"node id {node} is beyond the {nodes} nodes of --nodes: ids run from 0 to "
            f"{nodes - 1}; give --node %(process_num)d --nodes %(numprocs)d and leave "
            "numprocs_start at 0"
        )
    check(app.routes, nodes=nodes)
    _check_start(app.routes, nodes if start_nodes is None else start_nodes)
    picked = list(_pick(app.routes, selection or Selection()))
    if not picked:
        raise RoutingError(
            "no handler is left by the include and exclude flags; the app has "
            + _listed(app.routes)
        )
    mine = [route for route in picked if route.runs_on(node)]
    if not mine:
        raise RoutingError(
            f"node {node} of {nodes} has no topics: no handler names it in nodes= or "
            f"partitions= ({_listed(picked)}); name it there, or lower numprocs"
        )
    return tuple(
        _group_plan(app, group, [route for route in mine if route.group == group], node)
        for group in _unique(route.group for route in mine)
    )


def _group_plan(app: App, group: str, routes: list[Route], node: int) -> GroupPlan:
    return GroupPlan(
        group=group,
        routes=tuple(routes),
        topics=tuple(
            topic
            for route in routes
            if route.partitions is None
            for topic in route.topics
        ),
        assignments=tuple(
            (topic, partition)
            for route in routes
            if route.partitions is not None
            for topic in route.topics
            for partition in route.partitions[node]
        ),
        configure_consumer=tuple(app.hooks.configure_consumer),
        before_store=tuple(app.hooks.before_store),
    )


# --- what cannot work on any node -----------------------------------------------------


def check(routes: Collection[Route], *, nodes: int) -> None:
    """Refuse routes that cannot work on any node.

    Raises:
        RoutingError: Names handler, topic and what to change.
    """
    if not routes:
        raise RoutingError(
            'the app has no handlers; add one: @app.topic("orders", group="billing")'
        )
    for route in routes:
        _check_alone(route, nodes)
    _check_topics_have_one_handler(routes)
    _check_groups_are_of_one_kind(routes)


def least_nodes(routes: Iterable[Route]) -> int:
    """Return how many nodes have to run so that each that is named does; 0 for any."""
    return max((node + 1 for route in routes for node in _named(route)), default=0)


def _named(route: Route) -> Collection[int]:
    """Return the nodes that a route names."""
    return route.partitions if route.partitions is not None else route.nodes or ()


def _check_start(routes: Collection[Route], start_nodes: int) -> None:
    for route in routes:
        if (least := least_nodes([route])) > start_nodes:
            raise RoutingError(
                f"handler {route.name} of {', '.join(route.topics)}: node {least - 1} "
                f"would be a spare, since [worker] start_nodes is {start_nodes}; "
                f"raise that to {least} or name other nodes"
            )


def _check_alone(route: Route, nodes: int) -> None:
    where = f"handler {route.name} of {', '.join(route.topics)}"
    if route.nodes is not None and route.partitions is not None:
        raise RoutingError(
            f"{where}: nodes= and partitions= exclude each other; "
            "partitions= names the nodes already"
        )
    for node in sorted(_named(route)):
        if node >= nodes:
            raise RoutingError(
                f"{where}: node {node} is beyond the {nodes} nodes of --nodes "
                f"(0 to {nodes - 1}); raise numprocs or name other nodes"
            )
    if route.dead_letter in route.topics:
        raise RoutingError(
            f"{where}: dead_letter {route.dead_letter!r} is a topic that it consumes "
            "itself; name another"
        )
    _check_partitions_have_one_node(where, route)


def _check_partitions_have_one_node(where: str, route: Route) -> None:
    owners: dict[int, int] = {}
    for node, partitions in sorted((route.partitions or {}).items()):
        for partition in partitions:
            if partition in owners:
                raise RoutingError(
                    f"{where}: partition {partition} is claimed twice, by node "
                    f"{owners[partition]} and by node {node}; leave it to one"
                )
            owners[partition] = node


def _check_topics_have_one_handler(routes: Iterable[Route]) -> None:
    owners: dict[tuple[str, str], Route] = {}
    for route in routes:
        for topic in route.topics:
            owner = owners.setdefault((route.group, topic), route)
            if owner is not route:
                raise RoutingError(
                    f"topic {topic!r} has two handlers in group {route.group!r}: "
                    f"{owner.name} and {route.name}; use one, or another group"
                )


def _check_groups_are_of_one_kind(routes: Iterable[Route]) -> None:
    kinds: dict[str, Route] = {}
    for route in routes:
        first = kinds.setdefault(route.group, route)
        if (first.partitions is None) != (route.partitions is None):
            raise RoutingError(
                f"group {route.group!r} is both balanced (handler "
                f"{(first if first.partitions is None else route).name}) and assigned "
                "directly by partitions= (handler "
                f"{(route if first.partitions is None else first).name}); "
                "a consumer can do one of them: use two groups"
            )


# --- what the flags pick --------------------------------------------------------------


def _pick(routes: Collection[Route], selection: Selection) -> Iterator[Route]:
    topics = _unique(topic for route in routes for topic in route.topics)
    groups = _unique(route.group for route in routes)
    _check_known("--include-topics", selection.include_topics, topics)
    _check_known("--exclude-topics", selection.exclude_topics, topics)
    _check_known("--include-groups", selection.include_groups, groups)
    _check_known("--exclude-groups", selection.exclude_groups, groups)
    for route in routes:
        left = tuple(filter(selection.takes_topic, route.topics))
        if left and selection.takes_group(route.group):
            yield replace(route, topics=left)


def _check_known(flag: str, names: Iterable[str], known: Collection[str]) -> None:
    for name in sorted(names):
        if name not in known:
            raise RoutingError(
                f"{flag}: no handler has {name!r}{nearest(name, known)}; "
                f"known are {', '.join(known)}"
            )


def _listed(routes: Iterable[Route]) -> str:
    return ", ".join(f"{route.name} of {'+'.join(route.topics)}" for route in routes)


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
