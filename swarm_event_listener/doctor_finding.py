"""What a doctor finds: where, what to change, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.doctor_ini import Section

WIDTH: Final = 80

EXIT_CLEAN: Final = 0
EXIT_WARNINGS: Final = 1
EXIT_ERRORS: Final = 2


class Severity(StrEnum):
    """How much a finding matters."""

    WARNING = "warning"  # it works, until something else fails
    ERROR = "error"  # supervision does not work, or not for all


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to change.

    Attributes:
        severity: How much it matters.
        check: Which check found it; a short name that stays.
        file: The file to change.
        section: Its section, without brackets; empty for the file itself.
        line: The line as it should read; empty where only a person can tell.
        why: What is there, and what comes of it.
    """

    severity: Severity
    check: str
    file: str
    section: str
    line: str
    why: str

    @classmethod
    def at(
        cls, section: Section, severity: Severity, check: str, line: str, why: str
    ) -> Finding:
        """Give a finding in a section of supervisord's configuration."""
        return cls(
            severity=severity,
            check=check,
            file=str(section.file),
            section=section.name,
            line=line,
            why=why,
        )

    @classmethod
    def in_file(
        cls, path: Path, section: str, severity: Severity, check: str, *line_and_why: str
    ) -> Finding:
        """Give a finding in a file; the line and the why are the last two."""
        line, why = line_and_why
        return cls(
            severity=severity,
            check=check,
            file=str(path),
            section=section,
            line=line,
            why=why,
        )

    def as_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "severity": self.severity.value,
            "check": self.check,
            "file": self.file,
            "section": self.section,
            "line": self.line,
            "why": self.why,
        }


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
    where = f"{finding.file} [{finding.section}]" if finding.section else finding.file
    lines = [f"{finding.severity.upper()} {where}"]
    # The line is to be copied: it is never broken.
    lines += [f"    {line}" for line in finding.line.splitlines()]
    indent = "  "
    lines += textwrap.wrap(
        finding.why, WIDTH, initial_indent=indent, subsequent_indent=indent
    )
    return "\n".join(lines)
