"""What is done to a swarm while its programs are exchanged, and what must hold.

The listener changes versions again and again, each time with something under way that
the other one left: a node in its stop, a node in its pause, an operator's words, a
roll. So each version takes over from the other, whichever was there first.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from tests.compat.mixed import (
    BATCH,
    CONSUMING_TTL_MS,
    NODE_PROGRAM,
    PER_S,
    SAMPLED_EVERY_S,
    MixedSwarm,
    Plain,
    mixed_swarm,
)
from tests.compat.versions import Version
from tests.faults.bound import charges
from tests.kafka.broker import KafkaBroker
from tests.kafka.ledgered import NODES
from tests.process.swarms import GROUP, LISTENER

ROLLED_WITHIN_S: Final = 120.0


def run(
    kafka: KafkaBroker, first: Version, other: Version, say: Callable[[str], None]
) -> tuple[str, dict[str, Plain]]:
    """Exchange a swarm of one version for the other; all must hold in the end.

    Returns:
        The ledger's figures, and what each version's listener has written, by name.

    Raises:
        AssertionError: Something does not hold.
    """
    with mixed_swarm(kafka, first, other) as mixed:
        mixed.kafka_swarm.await_settled()
        with under_load(mixed):
            for step in STEPS:
                say(f"{step.__doc__} (listener: {mixed.listener.name})")
                step(mixed)
                mixed.await_healthy()
        return end(mixed), mixed.written


@contextmanager
def under_load(mixed: MixedSwarm) -> Iterator[None]:
    """Produce at a steady rate, and sample what is committed."""
    ledger = mixed.kafka_swarm.ledger
    with ledger.sampling(every_s=SAMPLED_EVERY_S), ledger.producing(per_s=PER_S):
        yield


# --- the steps ------------------------------------------------------------------------


def killed_in_a_stop(mixed: MixedSwarm) -> None:
    """A node that hangs is being stopped; the listener is killed and exchanged."""
    pid = mixed.hang(0)
    mixed.kill_listener_while(0, phase="ready", states={"STOPPING"})
    mixed.await_brought_back(0, than=pid)
    mixed.let_go()


def killed_in_the_pause(mixed: MixedSwarm) -> None:
    """A node that hung waits for its start; the listener is killed and exchanged."""
    pid = mixed.hang(1)
    mixed.kill_listener_while(1, phase="down", states={"STOPPED"})
    mixed.await_brought_back(1, than=pid)
    mixed.let_go()


def operators_words(mixed: MixedSwarm) -> None:
    """A stop and a hold stand under the other listener, also when the node hangs."""
    stopped, held = 2, 3
    before = mixed.listener
    mixed.order(before, "stop", mixed.name(stopped))
    mixed.order(before, "swarm", "hold", mixed.name(held))
    mixed.exchange_listener(lambda: mixed.order(before, "restart", LISTENER))
    for version in mixed.versions:
        assert mixed.told(held)["held"], f"{mixed.name(held)} is held: {mixed.facts()}"
        said = mixed.ask(version, "swarm", "status", "--json")[1]
        states = {row["node"]: row["state"] for row in json.loads(said)["nodes"]}
        assert states[mixed.name(stopped)] == "STOPPED", said
    pid = mixed.hang(held)
    limit_ms = CONSUMING_TTL_MS + 2_000  # a restart begins with the first such report
    mixed.wait(
        lambda: (age_ms(mixed, held) or 0) > limit_ms,
        f"{mixed.name(held)} hangs beyond its limit",
    )
    assert mixed.swarm.pid(held) == pid, "a held node is left alone"
    assert mixed.swarm.intents() == {}, "a held node is left alone"
    mixed.let_go()
    mixed.wait(
        lambda: (age_ms(mixed, held) or 0) < CONSUMING_TTL_MS / 2,
        f"{mixed.name(held)} works again",
    )
    mixed.order(before, "swarm", "release", mixed.name(held))
    assert mixed.state(stopped) == "STOPPED", "an operator's stop is not undone"
    mixed.order(before, "start", mixed.name(stopped))
    mixed.await_back(stopped, than=None)


def tools(mixed: MixedSwarm) -> None:
    """The operator's commands of one version, with the listener of the other."""
    ctl = mixed.other(mixed.listener)
    names = [mixed.name(node) for node in range(NODES)]
    status = json.loads(mixed.order(ctl, "swarm", "status", "--json"))
    assert [row["node"] for row in status["nodes"]] == names, status
    assert status["warnings"] == [], status
    history = json.loads(mixed.order(ctl, "swarm", "history", "--json"))
    assert restarts(history) == restarts(mixed.swarm.records()), history
    name = mixed.name(0)
    for order, report in (("quiet", "quiet"), ("resume", "running")):
        mixed.order(ctl, "swarm", order, name)
        mixed.wait(
            lambda report=report: mixed.told(0)["report"]["state"] == report,  # type: ignore[misc]  # bound now
            f"{name} reports {report} after swarm {order} ({ctl.name})",
        )
    mixed.order(ctl, "swarm", "hold", name)
    mixed.order(ctl, "swarm", "release", name)


def nodes_one_by_one(mixed: MixedSwarm) -> None:
    """Nodes are exchanged one after the other: supervisorctl restart."""
    before, after = mixed.versions
    mixed.install(NODE_PROGRAM, after)
    for node in range(NODES):
        pid = mixed.swarm.pid(node)
        assert before.runs_as(pid), f"{mixed.name(node)} runs as the {before.name}"
        mixed.order(mixed.listener, "restart", mixed.name(node))
        pid = mixed.await_back(node, than=pid)
        assert after.runs_as(pid), f"{mixed.name(node)} runs as the {after.name}"


def roll(mixed: MixedSwarm) -> None:
    """A roll goes on under the other listener; its command is of that version, too."""
    ctl = mixed.other(mixed.listener)
    pids = {node: mixed.swarm.pid(node) for node in range(NODES)}
    mixed.caused += [(mixed.name(n), pid, "roll", None) for n, pid in pids.items()]
    command = mixed.supervisorctl(ctl, "swarm", "roll", GROUP)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as rolling:
        try:
            mixed.wait(
                lambda: is_half_done(mixed), "a node is done, another in its turn"
            )
            mixed.exchange_listener(mixed.swarm.kill_listener)
            mixed.wait(
                lambda: rolling.poll() is not None,
                f"swarm roll ({ctl.name}) ends",
                within_s=ROLLED_WITHIN_S,
            )
            said = rolling.communicate()[0]
        finally:
            rolling.kill()
    assert rolling.returncode == 0, f"swarm roll ({ctl.name}): {said}"


def back_to_last(mixed: MixedSwarm) -> None:
    """The listener is exchanged for the last time: supervisorctl restart."""
    mixed.exchange_listener(lambda: mixed.order(mixed.listener, "restart", LISTENER))


STEPS: Final = (
    killed_in_a_stop,
    killed_in_the_pause,
    operators_words,
    tools,
    nodes_one_by_one,
    roll,
    tools,
    back_to_last,
)


def age_ms(mixed: MixedSwarm, node: int) -> int | None:
    """Return how long a node's oldest batch takes, as the listener last told."""
    report = mixed.told(node)["report"]
    age: int | None = report["consume_age_ms"] if report else None
    return age


def is_half_done(mixed: MixedSwarm) -> bool:
    """Whether a roll has done one node and has begun with another."""
    rolls = mixed.swarm.status()["rolls"]
    return bool(rolls and rolls[0]["done"] and rolls[0]["turned"])


# --- the end --------------------------------------------------------------------------


def end(mixed: MixedSwarm) -> str:
    """Check all that must hold in the end; return the ledger's figures.

    Raises:
        AssertionError: Something does not.
    """
    last = mixed.versions[1]
    mixed.kafka_swarm.ledger.await_done()
    mixed.await_healthy()
    running = [mixed.swarm.listener_pid(), *map(mixed.swarm.pid, range(NODES))]
    assert all(map(last.runs_as, running)), f"all run as the {last.name}"
    mixed.check_understood()
    assert mixed.swarm.intents() == {}, "nothing is left under way"
    found = restarts(mixed.swarm.records())
    assert sorted(found, key=str) == sorted(mixed.caused, key=str), (
        f"expected the restarts {mixed.caused}, found {found} on record"
    )
    overlaps = mixed.kafka_swarm.lives.overlaps
    assert overlaps == [], f"two live processes of a node: {overlaps}"
    return delivered(mixed)


def restarts(records: Iterable[Plain]) -> list[tuple[object, ...]]:
    """Return whose restarts are on record, and for what cause."""
    restarted = [r for r in records if r["cause"] != "died"]
    return [(r["node"], r["pid"], r["cause"], r["status"]) for r in restarted]


def delivered(mixed: MixedSwarm) -> str:
    """Check what the ledger tells; return its figures.

    Raises:
        AssertionError: Something was lost, or repeated beyond the guarantee.
    """
    ledger = mixed.kafka_swarm.ledger
    verdict = ledger.verdict()
    assert verdict.faults() == {}, str(verdict)
    charged = charges(verdict, ledger.processed.read(), mixed.book, batch=BATCH)
    beyond = [charge for charge in charged if charge.excess]
    assert beyond == [], f"repeated beyond the guarantee: {beyond}"
    return str(verdict)


# --- what is written ------------------------------------------------------------------


def lost_fields(old: object, new: object, where: str = "") -> Iterator[str]:
    """Yield each field of the old version that the new one does not write.

    What is kept under a node's name is no field: it depends on the run.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in (name for name in old if ":" not in name):
            if name in new:
                yield from lost_fields(old[name], new[name], f"{where} {name}")
            else:
                yield f"{where} {name}".strip()
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        yield from lost_fields(old[-1], new[-1], where)
