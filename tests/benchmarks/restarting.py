"""Figure 9: for how long a restart keeps messages waiting.

A node is rolled by the listener, as an operator would have it; a bare process gets
TERM and is started again by hand as soon as it has ended. Both are static members and
import the same, both are started directly, and both read a topic to which a message
comes each few milliseconds. Both are measured twice: from the request to stop, and from
the last message that the old process handled, since a roll lets a node finish its work
before it asks it to stop. Each time the end is the first message of the new process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from swarm_event_listener.core.model.events import RollOrdered
from swarm_event_listener.supervisord.operator_commands import encode_roll
from tests.awaits import await_records
from tests.benchmarks import lone
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Figure, Goal, Pairs
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


class Restart(NamedTuple):
    """Until the first message in the new process; seconds, less the gap."""

    from_stop_s: float
    from_last_s: float


def gone_to_first_message(bench: Bench) -> Iterator[Figure]:
    """Restart both in turn, again and again."""
    topic = lone.fresh_topic(bench, "restart", partitions=PARTITIONS, messages=1)
    with (
        lone.stream(bench, topic, partitions=PARTITIONS, every_s=EVERY_S),
        _node(bench, topic) as swarm,
        bench.folder("restart") as folder,
    ):
        hand = ByHand(bench, folder, topic)
        idle = Pairs()
        try:
            pairs = bench.measure(
                lambda: _kept(_rolled(swarm), idle.ours),
                lambda: _kept(hand.restarted(), idle.theirs),
                say="a restart",
                pairs=1 if bench.quick else PAIRS,
            )
        finally:
            hand.close()
    yield _figure("9a", "stop requested", pairs)
    yield _figure("9b", "last message handled", idle)


def _kept(restart: Restart, idle_ms: list[float]) -> float:
    """Keep the one duration, give the other; milliseconds."""
    idle_ms.append(1000 * restart.from_last_s)
    return 1000 * restart.from_stop_s


def _figure(key: str, begin: str, pairs: Pairs) -> Figure:
    return Figure(
        key=key,
        what=f"restart: {begin} to first message, less the gap, by a bare process",
        unit="x",
        values=pairs.ratios,
        goal=Goal("<=", 1.1),
        sides=pairs.sides("node", "bare", unit="ms"),
        note="ours is quieted before it is asked to stop; bare: the same "
        "imports, TERM at work, started again as soon as it has ended; the gap is the "
        f"{GAP_S:.0f} s that ours is told to wait before it starts anew",
    )


# --- the node -------------------------------------------------------------------------


@contextmanager
def _node(bench: Bench, topic: str) -> Iterator[Swarm]:
    def configure(folder: Path) -> None:
        text = lone.TOML.format(bootstrap=bench.kafka.bootstrap)
        (folder / "swarm.toml").write_text(f"{text}{_LISTENER}", "utf-8")

    environ = f'BENCH_TOPIC="{topic}",BENCH_GROUP="{topic}-node"'
    notes_are = ',BENCH_NOTES="{folder}/notes",BENCH_LAST="1"'
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


def _rolled(swarm: Swarm) -> Restart:
    """Roll the node.

    Raises:
        RestartError: It was no plain restart.
    """
    known = frozenset(_firsts(swarm))
    count = len(swarm.records())
    order = RollOrdered(group="w", max_unavailable=1, timeout_s=WITHIN_S)
    command = encode_roll(order)
    swarm.daemon.rpc.send_event(command.type, command.data)
    first_s = _first_s(swarm, than=known)
    record = await_records(swarm, count + 1, within_s=WITHIN_S)[count]
    eventually(
        lambda: all(roll["is_over"] for roll in swarm.status()["rolls"]),
        within_s=WITHIN_S,
        describe=f"the end of the roll\n{swarm.log}",
    )
    if record["killed"] or record["cause"] != "roll":
        raise RestartError(f"expected a plain turn of a roll, got {record}")
    last_s = lone.last_handled_at_s(swarm.daemon.folder, record["pid"])
    began_s = _stop_sent_s(record), last_s
    return Restart(*(first_s - begin_s - GAP_S for begin_s in began_s))


def _stop_sent_s(record: Mapping[str, Any]) -> float:
    detected_s = datetime.fromisoformat(record["detected_at"]).timestamp()
    return detected_s + float(record["seconds"]["detected_to_stop"])


def _firsts(swarm: Swarm) -> dict[int, float]:
    """Return when each process had its first message, on the wall clock."""
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

    def restarted(self) -> Restart:
        """Restart it.

        Raises:
            LoneError: It did not end well.
        """
        old_pid = self._present.process.pid
        stopped_s = lone.wall_s()
        self.close()
        self._present = self._start()
        last_s = lone.last_handled_at_s(self._folder, old_pid)
        first_s = self._present.noted_at_s("first")
        return Restart(first_s - stopped_s, first_s - last_s)

    def close(self) -> None:
        """End it.

        Raises:
            LoneError: It did not end well.
        """
        process = self._present.process
        try:
            self._present.end()
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def _start(self) -> Lone:
        # Without the launcher, one interpreter more: supervisord has none either.
        started = lone.start(self._folder, self._arguments, self._topic, BENCH_LAST="1")
        try:
            started.noted_at_s("first")
        except BaseException:
            started.process.kill()
            raise
        return started
