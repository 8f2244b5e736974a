"""``python -m tests.benchmarks``: measure, side by side, in one run.

Prints a table, goal and figure beside each other, and writes ``results.json``,
``results.md`` and ``results.svg``. With ``--only``, what these have of other benchmarks
is kept, if it is of the same mode and machine. Exits 0 when everything was measured,
kept or not: a missed goal is a finding, a benchmark that breaks down is a failure.
"""

from __future__ import annotations

import argparse
import compileall
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.asking import cost_of_asking
from tests.benchmarks.backlog import empty_backlog, json_backlog
from tests.benchmarks.bench import Bench
from tests.benchmarks.crossing import limit_to_stop
from tests.benchmarks.figures import Curve, Figure
from tests.benchmarks.latency import produce_to_handler
from tests.benchmarks.node_cost import memory_and_boot
from tests.benchmarks.peers_backlog import against_peers
from tests.benchmarks.restarting import gone_to_first_message
from tests.benchmarks.results import JSON, Results, draw
from tests.benchmarks.scale import growth
from tests.benchmarks.supervised import supervised
from tests.benchmarks.watching import cost_of_watching, memory_of_the_listener
from tests.supervisord import ROOT

Benchmark = Callable[[Bench], Iterable[Figure | Curve]]
BENCHMARKS: Final[dict[str, Benchmark]] = {  # by the number of its goal
    "1": json_backlog,
    "2": empty_backlog,
    "3": against_peers,
    "4": supervised,
    "5": produce_to_handler,
    "6": cost_of_watching,
    "7": memory_of_the_listener,
    "8": limit_to_stop,
    "9": gone_to_first_message,
    "10": memory_and_boot,
    "11": growth,
    "12": cost_of_asking,
}

BUSY_LOAD: Final = 0.5  # of all cores together, over a minute


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were asked for."""
    options = _parse(arguments)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    home = options.home.resolve()
    rng = random.Random(options.seed)
    bench = Bench(home, quick=options.quick, rng=rng)
    bench.say(f"seed {options.seed}, results in {out}")
    results = Results(quick=options.quick)
    if options.only:
        results = Results.to_go_on_with(out, quick=options.quick)
    if (load := os.getloadavg()[0]) > BUSY_LOAD:
        bench.say(f"something else is at work (load {load:.1f}): ratios may not hold")
    _compile()
    with bench:
        for key in options.only or BENCHMARKS:
            _measure(key, bench, results)
            results.write(out)
    sys.stdout.write(results.as_markdown())
    draw(out / JSON, out / "results.svg", bench.environments)
    for key, failure in results.failures.items():
        sys.stderr.write(f"benchmark {key} broke down:\n{failure}\n")
    return int(bool(results.failures))


def _compile() -> None:
    """Compile the modules as pip does when it installs them.

    Where PYTHONDONTWRITEBYTECODE is set each start would, and boots be twice as long.
    """
    for package in ("swarm_worker", "swarm_event_listener"):
        compileall.compile_dir(ROOT / package, quiet=1)


def _measure(key: str, bench: Bench, results: Results) -> None:
    """Run one benchmark; what breaks it is kept, and the next one is run."""
    bench.say(f"benchmark {key} ...")
    results.forget(key)
    try:
        for measured in BENCHMARKS[key](bench):
            results.add(measured)
    except Exception:  # noqa: BLE001 - told at the end, with the exit code
        results.failures[key] = traceback.format_exc()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one short pair each: under 5 minutes"
    )
    parser.add_argument(
        "--only",
        type=_keys,
        metavar="1,6",
        help="numbers of the benchmarks to run (default: all)",
    )
    parser.add_argument("--out", type=Path, default=Path(".bench"), metavar="DIR")
    parser.add_argument("--home", type=Path, default=Path(".bench"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    return parser.parse_args(arguments)


def _keys(text: str) -> list[str]:
    keys = text.split(",")
    for key in keys:
        if key not in BENCHMARKS:
            raise argparse.ArgumentTypeError(
                f"expected numbers of {', '.join(BENCHMARKS)}, got {key!r}"
            )
    return keys


if __name__ == "__main__":
    sys.exit(main())
