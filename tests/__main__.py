"""``python -m tests [PYTEST ARGUMENTS]``: all tests, in parts that run side by side.

Most of the tests on real processes wait: five parts at a time take a quarter of the
time, on two cores, too. Each part is one pytest of its own, its lines marked with its
name. With arguments there is one part, which they are for.

Now and then a part starves a test of another one of its time. What failed is therefore
tried a second time, with nothing beside it. A test that fails by itself is a failure;
one that then passes is told of at the end, for somebody to look at.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final


def files(folder: str, *names: str) -> list[str]:
    """Give the paths of test modules."""
    return [f"tests/{folder}/test_{name}.py" for name in names]


def others(folder: str, *paths: str) -> list[str]:
    """Give a folder without the modules that are parts of their own."""
    return [f"tests/{folder}", *(f"--ignore={path}" for path in paths)]


# Whole swarms on Kafka.
SWARMS: Final = files("kafka", "guarantee", "rolling", "outages", "rebalances")
# Groups on Kafka: who is in them, and what Kafka makes of it.
MEMBERS: Final = files(
    "kafka",
    *("membership", "membership_supervised", "coordinator", "frozen_groups"),
    "failures_supervised",
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
    "swarms": SWARMS,
    "tools": TOOLS,
    "scenes": SCENES,
    "members": MEMBERS,
    "kafka": others("kafka", *SWARMS, *MEMBERS),
    "process": others("process", *SCENES, *TOOLS),
    "rest": ["tests/unit", "tests/golden", "tests/contract", "tests/chaos"],
}
AT_ONCE: Final = 5
SOME_FAILED: Final = 1  # pytest's exit code


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a part ended."""

    name: str
    exit_code: int
    counts: Counter[str]


def main(arguments: Sequence[str]) -> int:
    """Run; give 0 when all parts passed."""
    if arguments:
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(run, PARTS))
    outcomes = [
        again(outcome) if outcome.exit_code else outcome for outcome in outcomes
    ]
    total: Counter[str] = sum((outcome.counts for outcome in outcomes), Counter())
    broken = sum(outcome.exit_code != 0 for outcome in outcomes)
    failed = total["failed"] + total["error"] + total["errors"]
    sys.stdout.write(
        f"{total['passed']} passed, {failed or broken} failed, "
        f"{total['skipped']} skipped\n"
    )
    return int(broken > 0)


def again(outcome: Outcome) -> Outcome:
    """Try what failed in a part by itself; give the part as it ended then."""
    if outcome.exit_code != SOME_FAILED:
        return outcome  # it was interrupted, or broke down as a whole
    second = run(outcome.name, "--last-failed", "--last-failed-no-failures=none")
    if second.exit_code:
        return outcome
    passed = second.counts["passed"]
    sys.stdout.write(
        f"{outcome.name}: {passed} passed only by itself, see FAILED above\n"
    )
    counted = outcome.counts + Counter(passed=passed)
    del counted["failed"], counted["error"], counted["errors"]
    return Outcome(outcome.name, 0, counted)


def run(name: str, *arguments: str) -> Outcome:
    """Run one part and pass on what it prints, as it comes."""
    cache = f"cache_dir=.pytest_cache/{name}"
    pytest = [sys.executable, "-m", "pytest", "-o", cache, *PARTS[name], *arguments]
    last = ""
    with subprocess.Popen(
        pytest, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = line
            sys.stdout.write(f"{name:8}{line}")
            sys.stdout.flush()
    return Outcome(name, process.returncode, counts(last))


def counts(summary: str) -> Counter[str]:
    """Read pytest's last line, such as ``= 1 failed, 7 passed in 2.1s =``."""
    found = re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", summary)
    return Counter({what: int(number) for number, what in found})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
