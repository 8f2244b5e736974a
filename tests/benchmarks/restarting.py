"""Figure 9: from the request to stop until the first message is consumed again.

A node is rolled by the listener, as an operator would have it; a bare process gets
TERM and is started again by hand as soon as it has ended. Both are static members and
import the same; both read a topic to which a message comes each few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.events import RollOrdered
from swarm_event_listener.orders import encode_roll
from tests.benchmarks import lone
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Figure, Goal
from tests.benchmarks.lone import BARE, Lone, notes
from tests.eventually import eventually
from tests.process.scenes import scene
from tests.process.swarms import Swarm

EVERY_S: Final = 0.005  # a message
GAP_S: Final = 1.0
PARTITIONS: Final = 4
PAIRS: Final = 7
WITHIN_S: Final = 60.0

_COMMAND: Final = (
    "{python} -m swarm_worker tests.benchmarks.noting_app:app "
    "--config {folder}/swarm.toml --state-dir {folder}/slots"
)
_LISTENER: Final = f"""\
[listener]
groups = ["w"]
node_restart_timeout = {round(GAP_S * 1000)}
shutdown_timeout = 4000
max_restarts = 1000
"""


class RestartError(Exception):
    """A restart did not go as it should; says how."""


def stop_to_first_message(bench: Bench) -> Iterator[Figure]:
    """Restart both in turn, again and again."""
    topic = lone.fresh_topic(bench, "restart", partitions=PARTITIONS, messages=1)
    with (
        lone.stream(bench, topic, partitions=PARTITIONS, every_s=EVERY_S),
        _node(bench, topic) as swarm,
        bench.folder("restart") as folder,
    ):
        hand = ByHand(bench, folder, topic)
        try:
            pairs = bench.measure(
                lambda: _rolled(swarm) * 1000,
                lambda: hand.restarted() * 1000,
                say="a restart",
                pairs=1 if bench.quick else PAIRS,
            )
        finally:
            hand.close()
    yield Figure(
        key="9",
        what="stop requested to first message again, less the gap, by a bare process",
        unit="x",
        values=pairs.ratios,
        goal=Goal("<=", 1.1),
        sides=pairs.sides("node", "bare", unit="ms"),
        note="bare: the same imports, TERM, started again as soon as it has ended",
    )


# --- the node -------------------------------------------------------------------------


@contextmanager
def _node(bench: Bench, topic: str) -> Iterator[Swarm]:
    def configure(folder: Path) -> None:
        text = lone.TOML.format(bootstrap=bench.kafka.bootstrap)
        (folder / "swarm.toml").write_text(f"{text}{_LISTENER}", "utf-8")

    environ = f'BENCH_TOPIC="{topic}",BENCH_GROUP="{topic}-node"'
    notes_are = ',BENCH_NOTES="{folder}/notes"'
    with scene(
        nodes=1,
        command=_COMMAND,
        program={"environment": environ + notes_are},
        prepare=configure,
    ) as swarm:
        _first_s(swarm, than=frozenset())
        eventually(
            lambda: "running" in swarm.daemon.file("run/status.json"),
            within_s=WITHIN_S,
            describe=f"the node reports\n{swarm.log}",
        )
        yield swarm


def _rolled(swarm: Swarm) -> float:
    """Roll the node; give the seconds, less the gap.

    Raises:
        RestartError: It was no plain restart.
    """
    known = frozenset(_firsts(swarm))
    count = len(swarm.records())
    order = RollOrdered(group="w", max_unavailable=1, timeout_s=WITHIN_S)
    command = encode_roll(order)
    swarm.daemon.rpc.send_event(command.type, command.data)
    first_s = _first_s(swarm, than=known)
    record = eventually(
        lambda: swarm.records()[count:],
        within_s=WITHIN_S,
        describe=f"a record of the roll\n{swarm.log}",
    )[0]
    eventually(
        lambda: all(roll["is_over"] for roll in swarm.status()["rolls"]),
        within_s=WITHIN_S,
        describe=f"the end of the roll\n{swarm.log}",
    )
    if record["killed"] or record["cause"] != "roll":
        raise RestartError(f"expected a plain turn of a roll, got {record}")
    return first_s - _stop_sent_s(record) - GAP_S


def _stop_sent_s(record: Mapping[str, Any]) -> float:
    detected_s = datetime.fromisoformat(record["detected_at"]).timestamp()
    return detected_s + float(record["seconds"]["detected_to_stop"])


def _firsts(swarm: Swarm) -> dict[int, float]:
    """Give when each process had its first message, on the wall clock."""
    return {pid: at_s for word, pid, at_s, _ in notes(swarm.daemon.folder)
            if word == "first"}  # fmt: skip


def _first_s(swarm: Swarm, *, than: frozenset[int]) -> float:
    found = eventually(
        lambda: [at_s for pid, at_s in _firsts(swarm).items() if pid not in than],
        within_s=WITHIN_S,
        describe=f"a first message\n{swarm.daemon.file('w_00.log')[-2000:]}",
    )
    return found[0]


# --- by hand --------------------------------------------------------------------------


class ByHand:
    """A bare process that is restarted by hand."""

    def __init__(self, bench: Bench, folder: Path, topic: str) -> None:
        """Start it, and wait for its first message."""
        self._arguments = [*BARE, bench.kafka.bootstrap, "--imports"]
        self._folder, self._topic = folder, topic
        self._present = self._start()

    def restarted(self) -> float:
        """Restart it; give the seconds.

        Raises:
            LoneError: It did not end well.
        """
        stopped_s = lone.wall_s()
        self.close()
        self._present = self._start()
        return self._present.noted_at_s("first") - stopped_s

    def close(self) -> None:
        """End it.

        Raises:
            LoneError: It did not end well.
        """
        self._present.end()
        assert self._present.process.stdout is not None
        self._present.process.stdout.close()

    def _start(self) -> Lone:
        started = lone.start(self._folder, self._arguments, self._topic)
        started.noted_at_s("first")
        return started
