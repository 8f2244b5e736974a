"""What a doctor finds: where, what to change, and why."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

WIDTH: Final = 80

EXIT_CLEAN: Final = 0
EXIT_WARNINGS: Final = 1
EXIT_ERRORS: Final = 2


class Severity(StrEnum):
    """How much a finding matters."""

    WARNING = "warning"  # it works, until something else fails
    ERROR = "error"  # supervision does not work, or not for all


@dataclass(frozen=True, slots=True)
class Where:
    """The place of a line: a section, without brackets; empty for the file itself."""

    file: Path
    section: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to change.

    Attributes:
        check: Which check found it; a short name that stays.
        why: What is there, and what comes of it.
        line: The line as it should read; empty where only a person can tell.
    """

    severity: Severity
    where: Where
    check: str
    _: KW_ONLY
    why: str
    line: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "severity": self.severity.value,
            "check": self.check,
            "file": str(self.where.file),
            "section": self.where.section,
            "line": self.line,
            "why": self.why,
        }


error = partial(Finding, Severity.ERROR)
warning = partial(Finding, Severity.WARNING)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 for none, 1 for warnings only, 2 with an error."""
    severities = {finding.severity for finding in findings}
    if Severity.ERROR in severities:
        return EXIT_ERRORS
    return EXIT_WARNINGS if severities else EXIT_CLEAN


def render(findings: tuple[Finding, ...]) -> str:
    """Return the findings as text, errors first."""
    if not findings:
        return "no findings: supervisord and the swarm are configured well"
    errors_first = sorted(findings, key=lambda f: f.severity is not Severity.ERROR)
    counts = Counter(finding.severity for finding in errors_first).items()
    summary = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts)
    return "\n\n".join([*map(_text, errors_first), summary])


def _text(finding: Finding) -> str:
    section = f" [{finding.where.section}]" if finding.where.section else ""
    lines = [f"{finding.severity.upper()} {finding.where.file}{section}"]
    # The line is to be copied: it is never broken.
    lines += [f"    {line}" for line in finding.line.splitlines()]
    indent = "  "
    lines += textwrap.wrap(
        finding.why, WIDTH, initial_indent=indent, subsequent_indent=indent
    )
    return "\n".join(lines)
