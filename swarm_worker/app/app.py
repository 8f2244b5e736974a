"""What a user declares: handlers of topics, and hooks around them.

    app = App()

    @app.topic("orders", group="billing")
    def bill(batch: Batch) -> None: ...

Nothing is judged here but the shape of the arguments: whether the routes work together
is decided by `swarm_worker.app.routing`, when node id and number of nodes are known.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from swarm_worker.shared.parsers import duration_ms
from swarm_worker.shared.settings import ConfigError

if TYPE_CHECKING:
    from swarm_worker.app.batch import Batch

Handler = Callable[["Batch"], Awaitable[None] | None]
Hook = Callable[[], object]
ConsumerHook = Callable[[], Mapping[str, Any]]
H = TypeVar("H", bound=Handler)
K = TypeVar("K", bound=Hook)
C = TypeVar("C", bound=ConsumerHook)

# Source: org.apache.kafka.common.internals.Topic, LEGAL_CHARS and MAX_NAME_LENGTH.
_TOPIC: Final = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}")

RETRIES_BEFORE_DEAD_LETTER: Final = 3


class RoutingError(ConfigError):
    """Routes cannot work, alone or together; the message names handler and topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Topics of one Kafka group and the handler that gets their batches.

    Attributes:
        topics: Names of topics, at least one.
        group: The Kafka group, whose committed offsets are this handler's progress.
        handler: Called with one batch; a coroutine function is awaited.
        nodes: The node ids that subscribe; None: all.
        partitions: Partitions by node id, assigned without the group's balancing;
            None: the group balances.
        max_retries: Repeats of a failing message before its dead letter; None: no end.
        dead_letter: Topic for messages given up; None: they are never given up.
        dead_letter_after_s: How long the handler may take no message at all before
            ``max_retries`` alone counts; None: the node's setting.
        max_messages: Most messages in a batch; None: the node's setting.
    """

    topics: tuple[str, ...]
    group: str
    handler: Handler
    nodes: frozenset[int] | None = None
    partitions: Mapping[int, tuple[int, ...]] | None = None
    max_retries: int | None = None
    dead_letter: str | None = None
    dead_letter_after_s: float | None = None
    max_messages: int | None = None

    @property
    def name(self) -> str:
        """The handler's name, for messages."""
        return handler_name(self.handler)

    def runs_on(self, node: int) -> bool:
        """Whether a node id takes part in this route."""
        if self.partitions is not None:
            return bool(self.partitions.get(node))
        return self.nodes is None or node in self.nodes


@dataclass(slots=True)
class Hooks:
    """What runs around handlers and consumers, in the order of registration.

    Attributes:
        on_start: Once per node, after boot and before the first handler call.
        on_stop: Once per node, after the last handler call and before exit.
        configure_consumer: Each gives further properties of every consumer.
        before_store: After a handler returned, before its offsets are stored.
    """

    on_start: list[Hook] = field(default_factory=list)
    on_stop: list[Hook] = field(default_factory=list)
    configure_consumer: list[ConsumerHook] = field(default_factory=list)
    before_store: list[Hook] = field(default_factory=list)


class App:
    """The handlers of an application and the hooks around them."""

    def __init__(self, *, group: str | None = None) -> None:
        """Make an app without handlers.

        Args:
            group: Kafka group of the handlers that name none. There is no other
                default: offsets are committed under this name, and one that was
                derived from a module would move every consumer when it is renamed.
        """
        self.routes: list[Route] = []
        self.hooks = Hooks()
        self._group = group

    def topic(
        self,
        *topics: str,
        group: str | None = None,
        nodes: Iterable[int] | None = None,
        partitions: Mapping[int, Iterable[int]] | None = None,
        max_retries: int | None = None,
        dead_letter: str | None = None,
        dead_letter_after: int | str | bool | None = None,
        max_messages: int | None = None,
    ) -> Callable[[H], H]:
        """Register the decorated function as the handler of topics.

        Args:
            *topics: Names of topics.
            group: Kafka group; the app's when absent.
            nodes: Node ids that subscribe; all when absent.
            partitions: Partitions by node id, assigned directly: the group does not
                balance them, so they suit one machine only, and a node that is down
                leaves its partitions unread.
            max_retries: Repeats of a failing message before it becomes a dead letter;
                3 when only ``dead_letter`` is given. Without ``dead_letter`` a
                message is retried for ever.
            dead_letter: Topic for messages that failed that often, while the handler
                takes others.
            dead_letter_after: How long it may take none before ``max_retries`` alone
                counts: ms, or a text such as ``"1h"``; False: for ever; the node's
                setting when absent.
            max_messages: Most messages in a batch; the node's setting when absent.

        Raises:
            RoutingError: An argument has the wrong shape.
        """

        def register(handler: H) -> H:
            where = f"handler {handler_name(handler)}"
            retries = max_retries
            if dead_letter is not None and retries is None:
                retries = RETRIES_BEFORE_DEAD_LETTER
            self.routes.append(
                Route(
                    topics=_topic_names(where, topics),
                    group=_group_name(where, group or self._group),
                    handler=handler,
                    nodes=_node_ids(where, nodes),
                    partitions=_assignments(where, partitions),
                    max_retries=_maybe_least(where, "max_retries", retries, 0),
                    dead_letter=_maybe_topic(where, dead_letter),
                    dead_letter_after_s=_maybe_after_s(where, dead_letter_after),
                    max_messages=_maybe_least(where, "max_messages", max_messages, 1),
                )
            )
            return handler

        return register

    def on_start(self, hook: K) -> K:
        """Run ``hook()`` once per node, after boot, before the first handler call."""
        self.hooks.on_start.append(hook)
        return hook

    def on_stop(self, hook: K) -> K:
        """Run ``hook()`` once per node, after the last handler call, before exit.

        It shares ``shutdown_timeout`` with the handlers.
        """
        self.hooks.on_stop.append(hook)
        return hook

    def configure_consumer(self, hook: C) -> C:
        """Add what ``hook()`` returns to the properties of every consumer.

        For what a file cannot hold, such as ``{"oauth_cb": token}`` for OAUTHBEARER
        or MSK IAM. Dead letters are produced with the same. Called on each making of
        a client, also of one that is only tried out.
        """
        self.hooks.configure_consumer.append(hook)
        return hook

    def before_store(self, hook: K) -> K:
        """Run ``hook()`` after a handler returned and before its offsets are stored.

        For a handler's own producer: ``app.before_store(producer.flush)``. When it
        raises, the batch counts as failed. Runs on the handler's thread.
        """
        self.hooks.before_store.append(hook)
        return hook


# --- shapes of arguments --------------------------------------------------------------


def handler_name(handler: object) -> str:
    """Return the name of a handler for messages: ``module.function``."""
    name = getattr(handler, "__qualname__", None) or repr(handler)
    module = getattr(handler, "__module__", None)
    return f"{module}.{name}" if module else name


def _topic_names(where: str, topics: tuple[object, ...]) -> tuple[str, ...]:
    if not topics:
        raise RoutingError(f"{where}: expected at least one topic, got none")
    names = tuple(_topic_name(where, topic) for topic in topics)
    for name in names:
        if names.count(name) > 1:
            raise RoutingError(f"{where}: topic {name!r} stands there twice")
    return names


def _topic_name(where: str, topic: object) -> str:
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise RoutingError(
            f"{where}: expected the name of a topic (letters, digits, '.', '_', '-', "
            f"at most 249; patterns are not supported), got {topic!r}"
        )
    return topic


def _maybe_topic(where: str, topic: object) -> str | None:
    return None if topic is None else _topic_name(f"{where}, dead_letter", topic)


def _maybe_after_s(where: str, after: object) -> float | None:
    if after is None or after is False:
        return inf if after is False else None
    try:
        return duration_ms(after) / 1000
    except ValueError as error:
        raise RoutingError(f"{where}, dead_letter_after: {error}") from None


def _group_name(where: str, group: object) -> str:
    if not isinstance(group, str) or not group.strip():
        raise RoutingError(
            f"{where}: expected the name of a Kafka group, got {group!r}; "
            'write @app.topic(..., group="name"), or App(group="name") once for all'
        )
    return group


def _node_ids(where: str, nodes: object) -> frozenset[int] | None:
    return None if nodes is None else frozenset(_numbers(f"{where}, nodes=", nodes))


def _assignments(where: str, partitions: object) -> dict[int, tuple[int, ...]] | None:
    if partitions is None:
        return None
    where = f"{where}, partitions="
    if not isinstance(partitions, Mapping) or not partitions:
        raise RoutingError(
            f"{where}: expected partitions by node id such as "
            f"{{0: [0], 1: range(1, 3)}}, got {partitions!r}"
        )
    _numbers(where, list(partitions))
    return {
        node: _numbers(f"{where}{{{node}: ...}}", numbers)
        for node, numbers in partitions.items()
    }


def _numbers(where: str, numbers: object) -> tuple[int, ...]:
    if isinstance(numbers, Iterable) and not isinstance(numbers, str | bytes):
        items = tuple(numbers)
        if items and all(_is_number(item) for item in items):
            return items
    raise RoutingError(
        f"{where}: expected a list or range of whole numbers from 0, got {numbers!r}"
    )


def _is_number(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and item >= 0


def _maybe_least(where: str, name: str, value: object, least: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RoutingError(
            f"{where}: expected {name} to be a whole number from {least}, got {value!r}"
        )
    return value
