"""The nodes of all watched groups, and their restarts' steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from swarm_event_listener.events import Action
from swarm_event_listener.lifecycle import Restart, Step
from swarm_event_listener.node import Node
from swarm_event_listener.policy import Policy


class Table:
    """All nodes by name, and the policy of each."""

    def __init__(self, policies: Mapping[str, Policy]) -> None:
        """Start without nodes."""
        self.policies = policies
        self.nodes: dict[str, Node] = {}

    def __iter__(self) -> Iterator[Node]:
        """Give the nodes of this moment: they may be put while one looks at them."""
        return iter(list(self.nodes.values()))

    def put(self, node: Node) -> None:
        """Keep a node as it is now."""
        self.nodes[node.name] = node

    def of(self, group: str) -> list[Node]:
        """Give the nodes of a group."""
        return [node for node in self.nodes.values() if node.group == group]

    def policy(self, node: Node) -> Policy:
        """Give the policy of a node's group."""
        return self.policies[node.group]

    def step(self, name: str, advance: Callable[[Restart], Step]) -> Iterable[Action]:
        """Let the restart of a node, if there is one, take a step."""
        node = self.nodes.get(name)
        if node is None or node.restart is None:
            return ()
        return self.take(node, advance(node.restart))

    def take(self, node: Node, step: Step) -> Iterable[Action]:
        """Keep what a restart came to; give what is to be done."""
        self.put(replace(node, restart=step.restart))
        return step.actions
