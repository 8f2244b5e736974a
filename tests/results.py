"""What became of tests, as pytest's own file tells, and the lines that sum it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Names of tests.

    Attributes:
        passed: In the first try or the second.
        failed: Or in error, also while being set up or torn down.
        skipped: With the reason.
        second: Those of ``passed`` that passed only in a second try.
        broken: Why the rest is not known, such as "kafka: killed by signal 9".
    """

    passed: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    skipped: Mapping[str, str] = field(default_factory=dict)
    second: frozenset[str] = frozenset()
    broken: tuple[str, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether nothing failed, and all is known."""
        return not self.failed and not self.broken


def read(path: Path) -> Results | None:
    """Return what a file of ``--junitxml`` says; None where there is no whole file."""
    try:
        cases = ET.parse(path).iter("testcase")  # noqa: S314 - pytest's own
    except (OSError, ET.ParseError):
        return None
    names: set[str] = set()
    failed: set[str] = set()
    skipped: dict[str, str] = {}
    for case in cases:
        module = case.get("classname", "").replace(".", "/")
        name = f"{module}.py::{case.get('name')}"
        names.add(name)
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        elif (skip := case.find("skipped")) is not None:
            skipped[name] = " ".join(skip.get("message", "").split())
    return Results(
        passed=frozenset(names - failed - skipped.keys()),
        failed=frozenset(failed),
        skipped=skipped,
    )


def with_second_try(first: Results, second: Results) -> Results:
    """Return the results of a part of which what failed was tried again."""
    saved = first.failed & second.passed
    return Results(
        passed=first.passed | saved,
        failed=first.failed - saved,
        skipped=first.skipped,
        second=saved,
        broken=first.broken + second.broken,
    )


def together(parts: Iterable[Results]) -> Results:
    """Return the results of several parts as those of one."""
    parts = tuple(parts)
    return Results(
        passed=frozenset().union(*(part.passed for part in parts)),
        failed=frozenset().union(*(part.failed for part in parts)),
        skipped={name: why for part in parts for name, why in part.skipped.items()},
        second=frozenset().union(*(part.second for part in parts)),
        broken=tuple(why for part in parts for why in part.broken),
    )


def summary(results: Results) -> str:
    """Return two lines: counts, which build servers read, and what they do not tell."""
    failed = len(results.failed) + len(results.broken)
    reasons = Counter(results.skipped.values()).most_common()
    clauses = [
        _clause("PASSED ONLY IN A SECOND TRY", len(results.second), results.second),
        _clause(
            "NOT RUN",
            len(results.skipped),
            (f"{count} because {why}" for why, count in reasons),
        ),
    ]
    if results.broken:
        clauses.append(_clause("BROKEN", len(results.broken), results.broken))
    return (
        f"{len(results.passed)} passed, {failed} failed, "
        f"{len(results.skipped)} skipped\n{'; '.join(clauses)}\n"
    )


def _clause(title: str, count: int, details: Iterable[str]) -> str:
    return (
        f"{title}: {count} ({', '.join(sorted(details))})" if count else f"{title}: 0"
    )
