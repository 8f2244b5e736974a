"""What comes out: a table for people, JSON for programs, a chart for both."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks.environments import Environments
from tests.benchmarks.figures import Curve, Figure, number
from tests.kafka.install import kafka_version

CHART = Path(__file__).parent / "chart.py"


@dataclass
class Results:
    """Everything that was measured so far; written anew after each figure."""

    quick: bool
    figures: list[Figure] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, measured: Figure | Curve) -> None:
        """Keep one."""
        if isinstance(measured, Curve):
            self.curves.append(measured)
        else:
            self.figures.append(measured)

    def as_dict(self) -> dict[str, Any]:
        """Give all of it, with the machine and the versions it was measured on."""
        return {
            "quick": self.quick,
            "machine": machine(),
            "figures": [figure.as_dict() for figure in self.figures],
            "curves": [curve.as_dict() for curve in self.curves],
            "failures": self.failures,
        }

    def write(self, path: Path) -> None:
        """Write the JSON file."""
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def machine() -> dict[str, str]:
    """Say where it was measured, and with which versions."""
    packages = ("confluent-kafka", "supervisor", "psutil")
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


def table(figures: Sequence[Figure]) -> str:
    """Give the figures as a table in Markdown, goal and figure side by side."""
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


def _row(figure: Figure) -> tuple[str, ...]:
    sides = [f"{side.name}: {number(side.middle)} {side.unit}" for side in figure.sides]
    low, high = min(figure.values), max(figure.values)
    return (
        figure.key,
        figure.what,
        "" if figure.goal is None else str(figure.goal),
        f"{number(figure.value)} {figure.unit}"
        + ("" if figure.stated == "median" else f" ({figure.stated})"),
        f"{number(low)} to {number(high)}",
        str(len(figure.values)),
        {True: "kept", False: "MISSED", None: ""}[figure.kept],
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
