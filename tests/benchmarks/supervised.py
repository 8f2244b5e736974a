"""Figure 4: nodes under a real supervisord and listener, one and two, and without."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.awaits import await_reports
from tests.benchmarks.backlog import backlog
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import (
    Contender,
    ContenderFailedError,
    Measured,
    configuration,
    orders_for,
)
from tests.benchmarks.figures import Figure, Goal, Pairs
from tests.benchmarks.moments import begins_in_s
from tests.benchmarks.usage import cpu_of
from tests.eventually import eventually
from tests.process.scenes import scene
from tests.process.swarms import GROUP, Swarm

# Steady by then: supervisord and the listener have started, which takes them a second.
WARM_S: Final = 2.5
REBALANCED_S: Final = 30.0
INTERVAL_S: Final = 5.0  # of reports, and of the listener's ticks
SHARE_S: Final = 2 * INTERVAL_S  # as many of each in every window

_COMMAND: Final = (
    "{python} -m swarm_worker tests.benchmarks.peers.swarm_side:app "
    "--config {folder}/swarm.toml --state-dir {folder}/slots "
    "--node %(process_num)d --nodes %(numprocs)d"
)
_ENVIRONMENT: Final = 'SIDE="{folder}/orders.json",SIDE_NAME="%(process_num)d"'
_LISTENER: Final = f'[listener]\ngroups = ["{GROUP}"]\n'
_SHIPPED: Final = {"partition.assignment.strategy": "cooperative-sticky"}

ALONE: Final = Contender(
    name="no supervision", environ={"SUPERVISOR_ENABLED": "0"}, extra=_SHIPPED
)


@dataclass(frozen=True, slots=True)
class Supervised:
    """What nodes did at the same time, and what their supervision took meanwhile."""

    nodes: list[Measured]
    supervision_cpu_s: float

    @property
    def rate(self) -> float:
        """Messages a second, of all nodes."""
        return sum(node.rate for node in self.nodes)

    @property
    def supervision_percent(self) -> float:
        """CPU of supervisord and listener, in percent of the nodes'."""
        return 100 * self.supervision_cpu_s / sum(node.cpu_s for node in self.nodes)


def supervised(bench: Bench) -> Iterator[Figure]:
    """Measure one node, two nodes, and one that nobody watches."""
    toil, cost = Pairs(), []
    for turn in range(bench.pairs):
        found = _in_turn(bench, [1, 2], work="toil", turn=turn)
        toil.add(found[2].rate, found[1].rate)
        cost.append(found[1].supervision_percent)
    yield _scaling("4a", "a handler of 25 µs a message", toil, Goal(">=", 1.7))
    plain, watched = Pairs(), Pairs()
    for turn in range(bench.pairs):
        found = _in_turn(bench, [0, 1, 2], work="json", turn=turn)
        plain.add(found[2].rate, found[1].rate)
        watched.add(found[1].rate, found[0].rate)
    yield _scaling("4b", "JSON", plain, None)
    yield Figure(
        key="4c",
        what="one node, JSON: supervision on against off",
        unit="x",
        values=watched.ratios,
        goal=Goal(">=", 0.99),
        sides=watched.sides("supervised", "alone", unit="msg/s"),
    )
    yield Figure(
        key="4d",
        what="CPU of supervisord and listener, of the node's",
        unit="%",
        values=cost,
        goal=Goal("<=", 1.0),
        note=f"one node, the handler of 4a; windows of {SHARE_S:.0f} s, with as many "
        "reports and ticks in each",
    )


def _scaling(key: str, handler: str, rates: Pairs, goal: Goal | None) -> Figure:
    return Figure(
        key=key,
        what=f"two supervised nodes against one: {handler}",
        unit="x",
        values=rates.ratios,
        goal=goal,
        sides=rates.sides("two nodes", "one node", unit="msg/s"),
    )


def _in_turn(
    bench: Bench, sides: Sequence[int], *, work: str, turn: int
) -> dict[int, Supervised]:
    """Measure so many nodes each, in shuffled order; 0 is one that nobody watches."""
    order = bench.rng.sample(sides, len(sides))
    found = {
        nodes: run(bench, nodes, work=work) if nodes else _alone(bench, work=work)
        for nodes in order
    }
    told = ", ".join(f"{nodes}: {found[nodes].rate:,.0f}/s" for nodes in sides)
    bench.say(f"supervised, {work}: round {turn + 1} of {bench.pairs}: {told}")
    return found


def _alone(bench: Bench, *, work: str) -> Supervised:
    shared = backlog(bench)
    node = ALONE.measure(
        bench, shared.topic, count=shared.count, work=work, warm_s=WARM_S
    )
    return Supervised([node], 0.0)


def run(bench: Bench, nodes: int, *, work: str) -> Supervised:
    """Run a swarm on the backlog for a window.

    Raises:
        ContenderFailedError: A node gave no figure, or one that would be wrong.
    """
    shared = backlog(bench)
    orders: dict[str, Any] = {}
    # The share of supervision is taken from one node that toils.
    is_aligned = nodes == 1 and work == "toil" and not bench.quick
    window_s = SHARE_S if is_aligned else bench.window_s

    def prepare(folder: Path) -> None:
        orders.update(
            orders_for(bench, shared.topic, count=shared.count, folder=folder),
            go=str(folder / "go"),
            work=work,
            window_s=window_s,
        )
        (folder / "orders.json").write_text(json.dumps(orders), encoding="utf-8")
        config = configuration(bench.kafka.bootstrap, _SHIPPED) + _LISTENER
        (folder / "swarm.toml").write_text(config, encoding="utf-8")

    with scene(
        nodes=nodes,
        command=_COMMAND,
        program={"environment": _ENVIRONMENT, "stopwaitsecs": "70"},
        prepare=prepare,
    ) as swarm:
        found = _window(swarm, nodes, window_s, is_aligned=is_aligned)
    held = [set(node.partitions) for node in found.nodes]
    if sum(map(len, held)) != len(set.union(*held)):
        raise ContenderFailedError(f"a rebalance in the window: {held}")
    if sum(node.total for node in found.nodes) > orders["most"]:
        raise ContenderFailedError(f"{nodes} nodes drained the backlog")
    return found


def _window(
    swarm: Swarm, nodes: int, window_s: float, *, is_aligned: bool
) -> Supervised:
    folder = swarm.daemon.folder
    results = [folder / f"result{node}" for node in range(nodes)]
    _await([path.with_suffix(".first") for path in results], REBALANCED_S)
    await_reports(swarm, nodes)
    supervision = (swarm.daemon.process.pid, swarm.listener_pid())
    if is_aligned:
        _await_the_middle()
    before_s = sum(map(cpu_of, supervision))
    (folder / "go").touch()
    _await(results, 10 + 3 * window_s)
    taken_s = sum(map(cpu_of, supervision)) - before_s
    told = [json.loads(path.read_text(encoding="utf-8")) for path in results]
    return Supervised([Measured(**node) for node in told], taken_s)


def _await_the_middle() -> None:
    """Wait until the middle between two reports."""
    in_s = begins_in_s(
        time.monotonic(),
        time.clock_gettime(time.CLOCK_REALTIME),
        interval_s=INTERVAL_S,
        with_minute=False,
    )
    threading.Event().wait(in_s)


def _await(paths: list[Path], within_s: float) -> None:
    """Wait for files; ``scene`` shows all logs when they do not come."""
    eventually(
        lambda: all(path.exists() for path in paths),
        within_s=within_s,
        describe=", ".join(path.name for path in paths),
    )
