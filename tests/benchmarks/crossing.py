"""Figure 8: how long it takes from a limit that is crossed to the decision and to TERM.

Real nodes, whose handler hangs, on Kafka, under supervisord and the listener. A node
notes when its handler began; the listener's record has when it found that out. Both
read the wall clock of one machine.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Figure, Goal
from tests.eventually import eventually
from tests.process.scenes import OUR_LISTENER, scene
from tests.process.swarms import Swarm

NODES: Final = 4
EVENTS: Final = 40
QUICK_EVENTS: Final = 4
TTL_S: Final = 1.5
INTERVAL_S: Final = 2.0
ONE_S: Final = 30.0  # the longest that one restart may take
STATUS_HANGS: Final = 2

_COMMAND: Final = (
    "{python} -m swarm_worker tests.benchmarks.hanging_app:app "
    "--config {folder}/swarm.toml --state-dir {folder}/slots "
    "--node %(process_num)d --nodes %(numprocs)d"
)
_LIMITS: Final[Mapping[str, Any]] = {
    "groups": ["w"],
    "node_report_timeout": 30_000,
    "shutdown_timeout": 500,
    "node_restart_timeout": 100,
    "max_restarts": 100_000,
    "max_unavailable": NODES,
}


class CrossingError(Exception):
    """A delay could not be measured; says why."""


@dataclass(frozen=True, slots=True)
class Delay:
    """From the moment that the limit was crossed; seconds."""

    to_intent_s: float
    to_stop_s: float


def limit_to_stop(bench: Bench) -> Iterator[Figure]:
    """Measure nodes that do not know the limit, and nodes that do."""
    events = QUICK_EVENTS if bench.quick else EVENTS
    flag = f" --consuming-ttl {round(TTL_S * 1000)}"
    unknown = _delays(bench, events, flag=flag, limits={})
    yield Figure(
        key="8a",
        what="limit crossed to the decision (intent), reports each 2 s",
        unit="s",
        values=[delay.to_intent_s for delay in unknown],
        goal=Goal("<=", INTERVAL_S + 0.1),
        stated="p95",
        note="the limit is a flag of the listener, of which the nodes do not know",
    )
    known = _delays(
        bench, events, flag="", limits={"consuming_ttl": round(TTL_S * 1000)}
    )
    yield Figure(
        key="8b",
        what="the same, of nodes that know their limits",
        unit="s",
        values=[delay.to_intent_s for delay in known],
        goal=Goal("<=", 0.25),
        stated="p95",
        note="the limit is in swarm.toml",
    )
    yield Figure(
        key="8c",
        what="the same, until TERM is sent: 0.1 s are for the stacks",
        unit="s",
        values=[delay.to_stop_s for delay in known],
        goal=Goal("<=", 0.25),
        stated="p95",
        note="TTIN first; the stacks get 0.1 s to be written",
    )


def _delays(
    bench: Bench, events: int, *, flag: str, limits: Mapping[str, Any]
) -> list[Delay]:
    """Let nodes hang until so many were restarted.

    Raises:
        CrossingError: A record does not fit to what the nodes noted.
    """
    topic = f"hang-{secrets.token_hex(4)}"
    bench.say(f"{events} handlers hang ...")
    kafka = bench.kafka
    kafka.create_topic(topic, partitions=NODES)
    for partition in range(NODES):
        _produce(kafka.bootstrap, topic, partition)

    def configure(folder: Path) -> None:
        told = {**_LIMITS, **limits}
        keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in told.items())
        (folder / "swarm.toml").write_text(
            f'[kafka]\n"bootstrap.servers" = "{kafka.bootstrap}"\n'
            '"auto.offset.reset" = "earliest"\n'
            f"[worker]\nliveness_interval = {round(INTERVAL_S * 1000)}\n"
            f"shutdown_timeout = 500\n[listener]\n{keys}\n",
            "utf-8",
        )

    environ = {
        "BENCH_TOPIC": topic,
        "BENCH_NODES": str(NODES),
        "BENCH_BEGAN": "{folder}/began",
        "BENCH_INTERVAL_S": str(INTERVAL_S),
    }
    with scene(
        nodes=NODES,
        command=_COMMAND,
        program={"environment": ",".join(f'{k}="{v}"' for k, v in environ.items())},
        listener={"command": OUR_LISTENER["command"] + flag},
        prepare=configure,
    ) as swarm:
        eventually(
            lambda: len(_hangs(swarm)) >= events,
            within_s=ONE_S * (1 + events / NODES),
            every_s=0.5,
            describe=f"{events} restarts",
        )
        began_s = _began_s(swarm)
        return [_delay(record, began_s) for record in _hangs(swarm)[:events]]


def _produce(bootstrap: str, topic: str, partition: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, b"hang", partition=partition)
    if producer.flush(20.0):
        raise CrossingError(f"Kafka did not take a message for {topic}/{partition}")


def _hangs(swarm: Swarm) -> list[dict[str, Any]]:
    return [r for r in swarm.records() if r["stopped_at"] is not None]


def _began_s(swarm: Swarm) -> dict[int, float]:
    """Return when the handler of each process began, on the wall clock."""
    rows = [line.split() for line in swarm.daemon.file("began").splitlines()]
    return {int(row[0]): float(row[1]) for row in rows}


def _delay(record: Mapping[str, Any], began_s: Mapping[int, float]) -> Delay:
    pid = record["pid"]
    if record["status"] != STATUS_HANGS or pid not in began_s:
        raise CrossingError(f"expected the record of a handler that hangs: {record}")
    detected_s = datetime.fromisoformat(record["detected_at"]).timestamp()
    to_intent_s = detected_s - (began_s[pid] + TTL_S)
    if not -0.01 < to_intent_s < ONE_S:
        raise CrossingError(f"found {to_intent_s:.3f} s after the limit: {record}")
    return Delay(to_intent_s, to_intent_s + record["seconds"]["detected_to_stop"])
