"""``python -m tests [PYTEST ARGUMENTS]``: all tests, in parts that run side by side.

Most of the tests on real processes wait: five parts at a time take a quarter of the
time, on two cores, too. Each part is one pytest of its own, its lines marked with its
name. With arguments there is one part, which they are for.

Now and then a part starves a test of another one of its time. What failed is therefore
tried a second time, with nothing beside it, but for the unit tests, which need no time.
The last line counts and names what passed only then, for somebody to look at, and says
what was not run, and why. The line before it has the counts that build servers read.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.results import Results, read, summary, together, with_second_try
from tests.signals import take_none_as_ignored


def files(folder: str, *names: str) -> list[str]:
    """Return the paths of test modules."""
    return [f"tests/{folder}/test_{name}.py" for name in names]


def others(folder: str, *paths: str) -> list[str]:
    """Return a folder without the modules that are parts of their own."""
    return [f"tests/{folder}", *(f"--ignore={path}" for path in paths)]


# Whole swarms on Kafka.
SWARMS: Final = files("kafka", "guarantee", "rolling", "outages", "rebalances")
# Topics that are deleted and created again: half minutes of waiting.
TOPICS: Final = files("kafka", "made_anew")
# Groups on Kafka: who is in them, and what Kafka makes of it.
MEMBERS: Final = files(
    "kafka",
    *("membership", "membership_supervised", "coordinator", "frozen_groups"),
    "failures_supervised",
)
# What fails, and what is told of it: outages of what handlers need, dead letters, lag.
FAILURES: Final = files(
    "kafka",
    *("dead_letters", "failures", "lag", "partitions_supervised", "world_fails"),
    "world_fails_supervised",
)
# supervisords with scripted nodes.
SCENES: Final = files(
    "process",
    *("boot", "crowd", "endurance", "faulty_nodes", "foreign_reports", "freeze"),
    *("listener", "listener_killed", "operator", "state_dir", "supervisord_gone"),
)
# What people touch.
TOOLS: Final = files(
    "process",
    *("conf", "demo", "example_listener", "logrotate", "metrics", "page", "promtool"),
    *("supervisorctl", "systemd"),
)
PARTS: Final = {  # the longest begin first
    "tools": TOOLS,
    "members": MEMBERS,
    "kafka": others("kafka", *SWARMS, *MEMBERS, *TOPICS, *FAILURES),
    "swarms": SWARMS,
    "failing": FAILURES,
    "scenes": SCENES,
    "process": others("process", *SCENES, *TOOLS),
    "topics": TOPICS,
    "rest": ["tests/contract", "tests/chaos"],
    "unit": ["tests/unit", "tests/golden"],
}
LAST_FAILED: Final = ("--last-failed", "--last-failed-no-failures=none")
# In these nothing waits for the machine: what fails there once is a failure.
ONCE: Final = frozenset({"unit"})
AT_ONCE: Final = 5
SOME_FAILED: Final = 1  # pytest's exit code


def main(arguments: Sequence[str]) -> int:
    """Run; return 0 when all parts passed."""
    take_none_as_ignored()
    if arguments:
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    return run_all(PARTS)


def run_all(parts: Mapping[str, Sequence[str]]) -> int:
    """Run the parts, sum up what became of them; return 0 when all passed."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = dict(zip(parts, pool.map(run, parts, parts.values()), strict=True))
    for name, first in results.items():
        if first.failed and not first.broken and name not in ONCE:
            second = run(name, [*parts[name], *LAST_FAILED])
            results[name] = with_second_try(first, second)
    total = together(results.values())
    sys.stdout.write(summary(total))
    return 0 if total.is_success else 1


def run(name: str, arguments: Sequence[str]) -> Results:
    """Run one part and pass on what it prints, as it comes."""
    file = Path(".pytest_cache", f"{name}.xml")
    file.unlink(missing_ok=True)
    cache = f"cache_dir=.pytest_cache/{name}"
    pytest = [sys.executable, "-m", "pytest", "-o", cache, f"--junitxml={file}"]
    with subprocess.Popen(
        [*pytest, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.buffer.write(f"{name:8}".encode() + line)
            sys.stdout.buffer.flush()
    return judge(name, process.returncode, read(file))


def judge(name: str, exit_code: int, told: Results | None) -> Results:
    """Return what a part told of its tests, with what is wrong beyond that.

    All is told only by a part that ended with a code that suits it: of a process that
    was killed, or that a test has ended, nothing is known.
    """
    if told is None:
        return Results(broken=(f"{name}: no results, exit code {exit_code}",))
    suits = SOME_FAILED if told.failed else 0
    if exit_code == suits and (told.passed or told.failed or told.skipped):
        return told
    return replace(told, broken=(f"{name}: exit code {exit_code}",))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
