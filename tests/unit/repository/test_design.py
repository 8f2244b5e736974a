"""DESIGN.md's file map has every module, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_file_map_has_each_module_of_both_packages() -> None:
    """Whoever looks for a file finds it there; what is gone is gone there, too."""
    text = (ROOT / "DESIGN.md").read_text(encoding="utf-8")
    file_map = text[text.index("## File map") : text.index("### `tests/`")]
    named = {name.replace("*", "") for name in re.findall(r"`([\w*]+)\.py`", file_map)}
    modules = {
        path.stem
        for package in ("swarm_worker", "swarm_event_listener")
        for path in (ROOT / package).glob("*.py")
        if path.stem != "__init__"
    }
    families = {name for name in named if name.endswith("_")}

    assert {m for m in modules - named if not m.startswith(tuple(families))} == set()
    assert named - modules - families == set()
