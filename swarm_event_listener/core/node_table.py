"""The nodes of all watched groups, and their restarts' steps.

It counts while nodes are put, so that what is asked at each report, tick and turn of
the listener does not cost a look at every node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from math import inf

from swarm_event_listener.core.evidence import Evidence
from swarm_event_listener.core.model.events import Action, ProcessState
from swarm_event_listener.core.model.rules import is_shaken, troubled
from swarm_event_listener.core.node import Node, stepped
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.reach import Brokers
from swarm_event_listener.core.restart.restart import BY_OUR_HAND, Restart, Step
from swarm_worker.shared.scale import Scale, scale_of


class Group:
    """Which nodes of a group are what, by name."""

    def __init__(self, policy: Policy) -> None:
        """Start without nodes."""
        self.brokers = Brokers(policy.interval_s)
        self.names: set[str] = set()  # all that supervisord has, running or not
        self.running: set[str] = set()  # those that shares are taken of
        self.troubled: set[str] = set()  # with Kafka, as they last told
        self.shaken: set[str] = set()  # the same, or not long enough to be sure
        self.outage_at_s: float | None = None  # when there last was one
        self.by_our_hand: set[str] = set()  # in a restart that may need a place
        self.change_count = 0  # grows whenever nodes or their restarts change
        self.counted: tuple[tuple[float, int], int] | None = None  # places taken


class Table:
    """All nodes by name, the policy of each, and what counts beside them.

    Attributes:
        policies: One for each watched group.
        nodes: The nodes by name.
        evidence: Which reports count, and whether silence does.
        reporting_groups: Groups whose nodes have ever reported.
        held: Names of nodes that an operator took out of the rules, known or not: a
            hold outlives the removal of its group.
        listener_ends: Nothing is begun any more.
        supervisor_ends: The same, while supervisord says so.
        noted_count: It grows whenever something changes that is noted of a node.
        orders: How many nodes are to run, by group or ``group:program``.
        scaled_at_s: When these changed last, as far as this listener knows.
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        *,
        reporting_groups: Iterable[str] = (),
        held: Iterable[str] = (),
    ) -> None:
        """Start without nodes."""
        self.policies = policies
        self.evidence = Evidence()
        self.reporting_groups = set(reporting_groups)
        self.held = set(held)
        self.listener_ends = self.supervisor_ends = False
        self.nodes: dict[str, Node] = {}
        self.noted_count = 0
        self.orders: Mapping[str, Scale] = {}
        self.scaled_at_s = -inf
        self._groups = {group: Group(each) for group, each in policies.items()}
        self._active: set[str] = set()

    def __iter__(self) -> Iterator[Node]:
        """Return the nodes of this moment: they may be put while one looks at them."""
        return iter(list(self.nodes.values()))

    @property
    def is_closing(self) -> bool:
        """Whether nothing may be begun."""
        return self.listener_ends or self.supervisor_ends

    def put(self, node: Node) -> None:
        """Keep a node as it is now."""
        name, old = node.name, self.nodes.get(node.name)
        self.nodes[name] = node
        if old is None or _is_noted(old, node):
            self.noted_count += 1
        restart, group, runs = node.restart, self._groups[node.group], node.is_counted
        group.names.add(name)
        _keep(group.running, name, is_in=runs)
        _keep(
            self._active,
            name,
            is_in=restart is not None or node.silent_since_s is not None,
        )
        if old is None or old.restart is not restart:
            group.change_count += 1
            is_ours = restart is not None and restart.record.cause in BY_OUR_HAND
            _keep(group.by_our_hand, name, is_in=is_ours)
        if old is None or old.report is not node.report or old.state != node.state:
            self._keep_troubled(node, group)
        if old is None or old.report is not node.report:
            group.brokers.reported(node)

    def _keep_troubled(self, node: Node, group: Group) -> None:
        report = node.report if node.state is ProcessState.RUNNING else None
        policy = self.policy(node)
        if report is None:
            group.troubled.discard(node.name)
            group.shaken.discard(node.name)
            return
        is_troubled = troubled(report, policy.limits)
        is_in_doubt = is_shaken(report, interval_s=policy.interval_s)
        _keep(group.troubled, node.name, is_in=is_troubled)
        _keep(group.shaken, node.name, is_in=is_in_doubt)

    def pop(self, name: str) -> Node:
        """Forget a node; return it as it was."""
        node = self.nodes.pop(name)
        group = self._groups[node.group]
        for names in (
            self._active,
            group.names,
            group.running,
            group.troubled,
            group.shaken,
            group.by_our_hand,
        ):
            names.discard(name)
        group.change_count += 1
        return node

    def group(self, group: str) -> Group:
        """Return what counts in a group, and which of its nodes are what."""
        return self._groups[group]

    def of(self, names: AbstractSet[str]) -> list[Node]:
        """Return these nodes."""
        return [self.nodes[name] for name in names]

    def active(self) -> list[Node]:
        """Return the nodes that are in a restart or found silent."""
        return self.of(self._active)

    def alone_s(self, node: Node) -> float | None:
        """Return for how long a node has had no broker while others had; None: not."""
        return self._groups[node.group].brokers.alone_s(node)

    def policy(self, node: Node) -> Policy:
        """Return the policy of a node's group."""
        return self.policies[node.group]

    # --- how many are to run ----------------------------------------------------------

    def take_orders(self, orders: Mapping[str, Scale], *, now_s: float) -> None:
        """Take in how many nodes are to run."""
        if orders != self.orders:
            self.orders, self.scaled_at_s = orders, now_s

    def order(self, node: Node) -> Scale | None:
        """Return the order for a node's program; None where none was given."""
        return scale_of(self.orders, group=node.group, program=node.program)

    def wanted_nodes(self, node: Node) -> int | None:
        """Return how many nodes of a node's program are to run; None for all."""
        order = self.order(node)
        return self.policy(node).start_nodes if order is None else order.nodes

    def is_wanted(self, node: Node) -> bool:
        """Whether a node is among those that are to run."""
        wanted, node_id = self.wanted_nodes(node), node.node_id
        return wanted is None or node_id is None or node_id < wanted

    def is_spare(self, node: Node) -> bool:
        """Whether a node has ended since its group is to run without it."""
        has_ended = node.restart is None and node.state is ProcessState.EXITED
        return has_ended and node.ended_as_spare and not self.is_wanted(node)

    def step(self, name: str, advance: Callable[[Restart], Step]) -> Iterable[Action]:
        """Let the restart of a node, if there is one, take a step."""
        node = self.nodes.get(name)
        if node is None or node.restart is None:
            return ()
        return self.take(node, advance(node.restart))

    def take(self, node: Node, step: Step) -> Iterable[Action]:
        """Keep what a restart came to; return what is to be done."""
        node, actions = stepped(node, step)
        self.put(node)
        return actions


def _is_noted(old: Node, node: Node) -> bool:
    """Whether something changes that the next listener has to know."""
    is_same = old.failures is node.failures and old.died is node.died
    return not is_same or old.pid != node.pid


def _keep(names: set[str], name: str, *, is_in: bool) -> None:
    if is_in:
        names.add(name)
    else:
        names.discard(name)
