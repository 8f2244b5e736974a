"""DESIGN.md's map of the house has every module in its room, and no other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
A_SCRIPT: Final = "demo/"  # named as a whole: nobody looks for a part of it


@pytest.mark.parametrize("package", ["swarm_worker", "swarm_event_listener"])
def test_the_map_has_each_module_in_its_room(package: str) -> None:
    """Whoever looks for a file finds it there; what is gone is gone there, too."""
    text = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
    section = text[text.index(f"### `{package}/`") :].partition("\n\nThe core as")[0]
    section = section.removeprefix("#").partition("\n### ")[0]

    named = dict(_row(line) for line in section.splitlines() if _is_row(line))

    assert named == _rooms(ROOT / package)


def _is_row(line: str) -> bool:
    return line.startswith(("| `", "| (top)"))


def _row(line: str) -> tuple[str, set[str]]:
    """Return a room and the modules that its row names; what is in brackets is said."""
    _, room, _, modules, _ = line.split("|")
    named = re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", modules))
    return room.strip(" `"), set(named)


def _rooms(package: Path) -> dict[str, set[str]]:
    rooms = {}
    for init in package.rglob("__init__.py"):
        room = init.parent
        name = f"{room.relative_to(package)}/" if room != package else "(top)"
        modules = {path.stem for path in room.glob("*.py")} - {"__init__"}
        rooms[name] = set() if name == A_SCRIPT else modules
    return rooms
