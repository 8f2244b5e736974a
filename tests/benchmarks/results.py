"""What comes out: a table for people, JSON for programs, a chart for both."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from string import ascii_lowercase
from typing import Any, Final

from tests.benchmarks.environments import Environments
from tests.benchmarks.figures import Curve, Figure, number
from tests.kafka.install import kafka_version

CHART: Final = Path(__file__).parent / "chart.py"
JSON: Final = "results.json"
MARKDOWN: Final = "results.md"


def measured_on() -> dict[str, str]:
    """Say where it was measured, and with which versions."""
    packages = ("confluent-kafka", "supervisor", "psutil", "msgspec")
    return {
        "cpu": _cpu_model(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kafka": kafka_version(),
        **{name: version(name) for name in packages},
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


@dataclass
class Results:
    """Everything that was measured so far, as the file has it.

    Attributes:
        quick: Whether it was measured by a quick run.
        machine: Where, and with which versions.
        figures: In the order of their keys; each says when it was measured.
        curves: The same.
        failures: By number of the benchmark, what broke it.
    """

    quick: bool
    machine: Mapping[str, str] = field(default_factory=measured_on)
    figures: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def to_go_on_with(cls, folder: Path, *, quick: bool) -> Results:
        """Return those of a folder; none of another mode or machine."""
        path = folder / JSON
        if path.exists():
            kept = cls(**json.loads(path.read_text(encoding="utf-8")))
            if (kept.quick, kept.machine) == (quick, measured_on()):
                return kept
        return cls(quick=quick)

    def forget(self, number_of: str) -> None:
        """Drop what is known of a benchmark, which is measured again."""
        self.figures = [it for it in self.figures if _order(it)[0] != int(number_of)]
        self.curves = [it for it in self.curves if _order(it)[0] != int(number_of)]
        self.failures.pop(number_of, None)

    def add(self, measured: Figure | Curve) -> None:
        """Keep one, measured by now."""
        kind = self.curves if isinstance(measured, Curve) else self.figures
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kind.append({**measured.as_dict(), "measured_at": now})
        kind.sort(key=_order)

    def write(self, folder: Path) -> None:
        """Write the JSON file, and the table beside it."""
        text = json.dumps(vars(self), indent=1, ensure_ascii=False)
        (folder / JSON).write_text(text + "\n", encoding="utf-8")
        (folder / MARKDOWN).write_text(self.as_markdown(), encoding="utf-8")

    def as_markdown(self) -> str:
        """Return the table, and below it where and when all that was measured."""
        where = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        at = [figure["measured_at"] for figure in self.figures]
        when = f" From {min(at)} to {max(at)}." if at else ""
        how = " A quick run, which measures little." if self.quick else ""
        return f"{table(self.figures)}\n\n{where}.{when}{how}\n"


def _order(measured: Mapping[str, Any]) -> tuple[int, str]:
    """Return the number of a key and its letter: 9 comes before 10."""
    digits = measured["key"].rstrip(ascii_lowercase)
    return int(digits), measured["key"][len(digits) :]


def table(figures: Sequence[Mapping[str, Any]]) -> str:
    """Return the figures as a table in Markdown, goal and figure side by side."""
    head = ("#", "figure", "goal", "measured", "range", "n", "", "ours", "theirs")
    rows = [head, *(_row(figure) for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "".join(f"| {cell:<{width}} " for cell, width in zip(row, widths, strict=True))
        + "|"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _row(figure: Mapping[str, Any]) -> tuple[str, ...]:
    sides = [
        f"{side['name']}: {number(median(side['values']))} {side['unit']}"
        for side in figure["sides"]
    ]
    low, high = figure["range"]
    stated = "" if figure["stated"] == "median" else f" ({figure['stated']})"
    return (
        figure["key"],
        figure["what"],
        figure["goal"] or "",
        f"{number(figure['value'])} {figure['unit']}{stated}",
        f"{number(low)} to {number(high)}",
        str(len(figure["values"])),
        {True: "kept", False: "MISSED", None: ""}[figure["kept"]],
        sides[0] if sides else "",
        sides[1] if len(sides) > 1 else "",
    )


def draw(results: Path, chart: Path, environments: Environments) -> None:
    """Draw the results' file as an SVG chart, with matplotlib in its own environment.

    Raises:
        EnvironmentMissingError: matplotlib could not be installed.
        subprocess.CalledProcessError: It could not draw.
    """
    python = environments.python("chart")
    subprocess.run([str(python), str(CHART), str(results), str(chart)], check=True)
