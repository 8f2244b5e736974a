"""Figures 6 and 7: what it costs to watch nodes, beside what others need for it.

All crowds of one size are watched at the same time, so "side by side" is literal: CPU
time is counted for each process, whatever else the machine does meanwhile. A long run
is cut into windows; the shares of one window are a pair. Nothing is subtracted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.benchmarks import crowds
from tests.benchmarks.bench import Bench
from tests.benchmarks.crowds import Crowd, CrowdError
from tests.benchmarks.figures import LEAST_PAIRS, Figure, Goal, Side
from tests.benchmarks.moments import begins_in_s
from tests.benchmarks.usage import memory_of

SETTLE_S: Final = 12.0  # two intervals: whatever a start brought about is over

LONG_S: Final = 60.0  # one TICK_60 in each
SHORT_S: Final = 15.0
QUICK_S: Final = 10.0

FULL: Final = (1, 10, 100, 400)
OURS: Final = "swarm"


@dataclass(frozen=True, slots=True)
class Watched:
    """What one window showed of a crowd.

    Attributes:
        size: How many nodes.
        rounds: Of memmon.
        shares: Per watcher, of a core.
        memory_mb: The same, its memory: rss, pss and uss.
    """

    size: int
    rounds: int
    shares: Mapping[str, float]
    memory_mb: Mapping[str, Mapping[str, float]]

    @property
    def share(self) -> float:
        """Of all that watch, together."""
        return sum(self.shares.values())


Run = Mapping[tuple[str, int], Sequence[Watched]]  # by who watches, and how many
Start = Callable[[], AbstractContextManager[Crowd]]


def sizes(bench: Bench) -> tuple[int, int, int, int]:
    """Return how many nodes; a quick run shows that it runs, with fewer."""
    return (1, 4, 12, 40) if bench.quick else FULL


def cost_of_watching(bench: Bench) -> Iterator[Figure]:
    """Figure 6: CPU of supervisord and listener, by that of each peer."""
    _, _, hundred, most = sizes(bench)
    run = up_to_hundred(bench)
    yield _figure("6a", run, hundred, "memmon 5", name="memmon, TICK_5", goal=1 / 20)
    yield _figure("6b", run, hundred, "circus", name="circus, same duties", goal=1 / 5)
    if not bench.quick:  # a tick a minute
        yield _figure("6c", run, hundred, "memmon 60", name="memmon, TICK_60", goal=1)
    yield _figure(
        "6d", run, hundred, "circus-watchdog", name="circus, watchdog alone", goal=None
    )
    run = at_most(bench)
    yield _figure("6e", run, most, "memmon 5", name="memmon, TICK_5", goal=1 / 12)
    if not bench.quick:
        yield _a_round("6f", run, most)
    run = at_most_circus(bench)
    yield _figure("6g", run, most, "circus", name="circus, same duties", goal=1 / 4)


def memory_of_the_listener(bench: Bench) -> Iterator[Figure]:
    """Figure 7: its private memory, and beside it what else of its pages is resident.

    Most of the difference is shared with supervisord: the same files of Python.
    """
    _, few, _, most = sizes(bench)
    for private, resident, run, size in (
        ("7a", "7b", up_to_hundred(bench), few),
        ("7c", "7d", at_most(bench), most),
    ):
        windows = run[OURS, size]
        yield Figure(
            key=private,
            what=f"private memory (USS) of the listener of {size} nodes",
            unit="MB",
            values=[watched.memory_mb["listener"]["uss"] for watched in windows],
            goal=Goal("<=", 20),
            note="looks at one process, one a window: no pairs",
        )
        yield Figure(
            key=resident,
            what=f"resident memory (RSS) of the listener of {size} nodes",
            unit="MB",
            values=[watched.memory_mb["listener"]["rss"] for watched in windows],
            note="looks at one process, one a window: no pairs",
        )


def _figure(
    key: str,
    run: Run,
    size: int,
    peer: str,
    *,
    name: str,
    goal: float | None,
) -> Figure:
    quick = size not in FULL  # a few nodes cost what supervisord costs without any
    ours = [100 * watched.share for watched in run[OURS, size]]
    theirs = [100 * watched.share for watched in run[peer, size]]
    rounds = [watched.rounds for watched in run[peer, size]]
    of_memmon = f"; memmon's rounds in each window: {rounds}" if any(rounds) else ""
    return Figure(
        key=key,
        what=f"CPU of watching {size} nodes, by that of {name}",
        unit="x",
        values=[a / b for a, b in zip(ours, theirs, strict=True)],
        goal=None if goal is None or quick else Goal("<=", goal),
        sides=(Side("ours", "% of a core", ours), Side(peer, "% of a core", theirs)),
        note=f"all that watch and their children, not the nodes{of_memmon}",
    )


def _a_round(key: str, run: Run, size: int) -> Figure:
    """Compare what five seconds of ours cost with what a round of memmon costs.

    With hundreds of nodes memmon may need longer than its interval, and its share of a
    core then stands for fewer rounds than were asked for.

    Raises:
        CrowdError: It made no round at all.
    """
    theirs, window_s = run["memmon 5", size], SHORT_S
    rounds = sum(watched.rounds for watched in theirs)
    if not rounds:
        raise CrowdError(f"memmon looked at {size} nodes in no window at all")
    round_s = sum(watched.share for watched in theirs) * window_s / rounds
    ours = [watched.share * crowds.INTERVAL_S for watched in run[OURS, size]]
    wanted = round(len(theirs) * window_s / crowds.INTERVAL_S)
    return Figure(
        key=key,
        what=f"CPU of watching {size} nodes for 5 s, by that of a round of memmon",
        unit="x",
        values=[cpu_s / round_s for cpu_s in ours],
        goal=Goal("<=", 1 / 12),
        sides=(Side("ours", "s", ours), Side("memmon", "s", [round_s])),
        note=f"memmon made {rounds} rounds where {wanted} were asked for; each window "
        "of ours is divided by one number, the mean round of all windows of memmon",
    )


# --- runs, shared by the figures ------------------------------------------------------


@cache
def up_to_hundred(bench: Bench) -> Run:
    """Watch a hundred nodes in each way, and fewer in ours.

    Raises:
        CrowdError: Something did not watch as it should.
    """
    one, few, hundred, _ = sizes(bench)
    starts: list[Start] = [
        lambda: crowds.swarm(bench, one),
        lambda: crowds.swarm(bench, few),
        lambda: crowds.swarm(bench, hundred),
        lambda: crowds.memmon(bench, hundred, tick_s=5),
        lambda: crowds.circus(bench, hundred),
        lambda: crowds.circus(bench, hundred, name="circus-watchdog", plugins=1),
    ]
    if not bench.quick:
        starts.append(lambda: crowds.memmon(bench, hundred, tick_s=60))
    return _watch(bench, starts, window_s=QUICK_S if bench.quick else LONG_S)


@cache
def at_most(bench: Bench) -> Run:
    """Watch four hundred nodes in our way, and by memmon.

    Raises:
        CrowdError: Something did not watch as it should.
    """
    *_, most = sizes(bench)
    return _watch(
        bench,
        [
            lambda: crowds.swarm(bench, most),
            lambda: crowds.memmon(bench, most, tick_s=5),
        ],
        window_s=QUICK_S if bench.quick else SHORT_S,
    )


@cache
def at_most_circus(bench: Bench) -> Run:
    """Watch four hundred nodes in our way, and by circus.

    On its own: beside memmon at this size, on two cores, circusd answers its plugins so
    late that it takes healthy nodes for dead.

    Raises:
        CrowdError: Something did not watch as it should.
    """
    *_, most = sizes(bench)
    return _watch(
        bench,
        [
            lambda: crowds.circus(bench, most),
            lambda: crowds.swarm(bench, most),
        ],
        window_s=QUICK_S,  # neither of them is late: two intervals will do
    )


def _watch(bench: Bench, starts: Sequence[Start], *, window_s: float) -> Run:
    windows = 1 if bench.quick else LEAST_PAIRS
    with ExitStack() as stack:
        begun = [stack.enter_context(start()) for start in starts]
        watched = [crowd.await_watched() for crowd in begun]
        _wait(SETTLE_S if not bench.quick else QUICK_S / 2)
        in_s = begins_in_s(
            _monotonic_s(),
            _wall_s(),
            interval_s=crowds.INTERVAL_S,
            with_minute=window_s == LONG_S,
        )
        _wait(in_s)
        shown: dict[tuple[str, int], list[Watched]] = {
            (crowd.name, crowd.size): [] for crowd in watched
        }
        for turn in range(windows):
            bench.say(f"watching for {window_s:.0f} s: {turn + 1} of {windows}")
            for crowd, seen in _window(watched, window_s):
                shown[crowd.name, crowd.size].append(seen)
    return shown


def _window(
    watched: Sequence[Crowd], window_s: float
) -> Iterator[tuple[Crowd, Watched]]:
    before = [(_monotonic_s(), crowd.cpu(), crowd.rounds) for crowd in watched]
    _wait(window_s)
    for crowd, (begun_s, cpu_s, rounds) in zip(watched, before, strict=True):
        lasted_s = _monotonic_s() - begun_s
        shares = {k: (v - cpu_s[k]) / lasted_s for k, v in crowd.cpu().items()}
        memory_mb = {name: memory_of(pid) for name, pid in crowd.watchers.items()}
        yield crowd, Watched(crowd.size, crowd.rounds - rounds, shares, memory_mb)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _monotonic_s() -> float:
    return time.monotonic()


def _wall_s() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)
