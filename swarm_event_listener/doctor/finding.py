"""What a doctor finds: where, what to change, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
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
    """The place of a line.

    Attributes:
        file: The file.
        section: Its section, without brackets; empty for the file itself.
    """

    file: Path
    section: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to change.

    Attributes:
        severity: How much it matters.
        check: Which check found it; a short name that stays.
        where: What to change.
        line: The line as it should read; empty where only a person can tell.
        why: What is there, and what comes of it.
    """

    severity: Severity
    check: str
    where: Where
    line: str
    why: str

    def as_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "severity": self.severity.value,
            "check": self.check,
            "file": str(self.where.file),
            "section": self.where.section,
            "line": self.line,
            "why": self.why,
        }


def error(where: Where, check: str, *, why: str, line: str = "") -> Finding:
    """Give a finding that keeps supervision from working."""
    return Finding(
        severity=Severity.ERROR, check=check, where=where, line=line, why=why
    )


def warning(where: Where, check: str, *, why: str, line: str = "") -> Finding:
    """Give a finding that will matter once something else fails."""
    return Finding(
        severity=Severity.WARNING, check=check, where=where, line=line, why=why
    )


def exit_code(findings: Iterable[Finding]) -> int:
    """Give 0 for none, 1 for warnings only, 2 with an error."""
    severities = {finding.severity for finding in findings}
    if Severity.ERROR in severities:
        return EXIT_ERRORS
    return EXIT_WARNINGS if severities else EXIT_CLEAN


def render(findings: tuple[Finding, ...]) -> str:
    """Give the findings as text, errors first."""
    if not findings:
        return "no findings: supervisord and the swarm are configured well"
    errors_first = sorted(findings, key=lambda f: f.severity is not Severity.ERROR)
    counts = {
        severity: sum(finding.severity is severity for finding in findings)
        for severity in (Severity.ERROR, Severity.WARNING)
    }
    summary = ", ".join(
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity, count in counts.items()
        if count
    )
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
