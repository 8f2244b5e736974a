"""``chart.py RESULTS.json CHART.svg``: figures against their goals, and the curves.

Runs in an environment of its own, which has matplotlib.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

KEPT, MISSED, TOLD = "#2a9d63", "#d1495b", "#6c7a89"


def main(results: Path, chart: Path) -> None:
    """Draw the file."""
    told = json.loads(results.read_text(encoding="utf-8"))
    figures = [figure for figure in told["figures"] if figure["goal"]]
    curves = told["curves"]
    mpl.rcParams.update({"svg.fonttype": "none", "font.size": 9})
    rows = (len(curves) + 1) // 2  # none with ONLY=, perhaps
    heights = [1.2 + 0.3 * len(figures), 3.2 * rows + 0.01]
    figure = plt.figure(figsize=(10, sum(heights)), layout="constrained")
    # Apart: the long names of the figures would push the curves to one side.
    top, bottom = figure.subfigures(2, 1, height_ratios=heights)
    draw_goals(top.subplots(), figures)
    if curves:
        places = bottom.subplots(rows, 2).flat
        for place, curve in zip(places, curves, strict=False):
            draw_curve(place, curve)
    figure.savefig(chart, metadata={"Date": None})


def draw_goals(axes: Any, figures: list[dict[str, Any]]) -> None:
    """One dot a figure: how far it is on the good side of its goal."""
    for y, figure in enumerate(reversed(figures)):
        values = [margin(figure, value) for value in figure["values"]]
        middle = margin(figure, figure["value"])
        colour = KEPT if figure["kept"] else MISSED
        if figure["stated"] == "median":
            axes.plot([min(values), max(values)], [y, y], color=colour, linewidth=2)
        axes.plot([middle], [y], "o", color=colour)
    names = [f"{f['key']}  {f['what']} ({f['goal']} {f['unit']})" for f in figures]
    axes.set_yticks(range(len(figures)), reversed(names))
    axes.set_xscale("log")
    axes.axvline(1, color=TOLD, linewidth=1)
    axes.set_xlabel("times better than its goal (line: range of the pairs)")
    axes.spines[["top", "right"]].set_visible(False)


def margin(figure: dict[str, Any], value: float) -> float:
    """Times better than the goal; 1 is the goal itself. Never below 0.01."""
    sign, bound = figure["goal"].split()
    goal = float(bound.replace(",", ""))
    ratio = value / goal if sign == "≥" else goal / max(value, goal / 100)
    return max(ratio, 0.01)


def draw_curve(axes: Any, curve: dict[str, Any]) -> None:
    """One line a series."""
    for name, points in curve["series"].items():
        axes.plot([x for x, _ in points], [y for _, y in points], "o-", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(f"{curve['key']}  {curve['what']}", fontsize=9)
    axes.set_xlabel(curve["x"])
    axes.set_ylabel(curve["unit"])
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
