"""The guides: what they show can be read by the programs that they are about."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from swarm_event_listener.ctl.commands import COMMANDS
from swarm_worker.config.kafka_properties import check_reserved
from swarm_worker.shared.settings import LISTENER, RULES, WORKER
from swarm_worker.shared.swarm_toml import load

ROOT: Final = Path(__file__).resolve().parents[3]
TEXTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NAMES: Final = [path.name for path in TEXTS]
ENVIRON: Final = {"MACHINE": "m"}


def blocks(path: Path, language: str) -> Iterator[str]:
    """Yield the blocks of code in a language."""
    text = path.read_text("utf-8")
    for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL):
        yield textwrap.dedent(block)


def anchors(path: Path) -> set[str]:
    """Return what can be linked to in a text, as GitHub names it."""
    titles = re.findall(r"(?m)^#+ (.*)$", path.read_text("utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    }


@pytest.mark.parametrize("path", TEXTS, ids=NAMES)
def test_links_lead_somewhere(path: Path) -> None:
    """To a file that is there, and to a title in it."""
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8")):
        name, _, title = target.partition("#")
        if name.startswith("http"):
            continue
        file = (path.parent / name) if name else path
        assert file.exists(), target
        assert not title or title in anchors(file), target


@pytest.mark.parametrize("path", TEXTS, ids=NAMES)
def test_configurations_are_read(path: Path, tmp_path: Path) -> None:
    """By the reader of both programs: no key is misspelt, no value of another kind."""
    file = tmp_path / "swarm.toml"
    for block in blocks(path, "toml"):
        file.write_text(block, "utf-8")
        document = load(file)
        groups = document.tables.get("listener", {}).get("group", {})
        for section, keys in (
            ("worker", WORKER),
            ("listener", LISTENER),
            *((f"listener.group.{name}", RULES) for name in groups),
        ):
            document.section(section, keys, ENVIRON)
        check_reserved("[kafka]", document.kafka(ENVIRON))


@pytest.mark.parametrize("path", TEXTS, ids=NAMES)
def test_commands_are_commands(path: Path) -> None:
    """Each ``supervisorctl swarm WORD`` is one that there is."""
    text = path.read_text("utf-8")
    words = re.findall(r"supervisorctl(?: -c \S+)? swarm (\w+)", text)

    assert set(words) <= set(COMMANDS)


def test_every_command_of_the_plugin_is_told_of() -> None:
    """In the README, with what it is for."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (listed,) = re.findall(
        r"```\n(supervisorctl swarm status.*?)```", readme, re.DOTALL
    )
    words = re.findall(r"(?m)swarm (\w+)(?: \| (\w+))?", listed)

    assert {word for pair in words for word in pair if word} == set(COMMANDS)


def stripped(text: str) -> str:
    """Return a text without indentation and empty lines."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def test_the_loops_of_the_guide_are_those_that_run() -> None:
    """What is shown of each is a part of its program."""
    loops = (ROOT / "tests" / "apps").glob("loop_*.py")
    programs = [stripped(loop.read_text("utf-8")) for loop in loops]
    shown = list(blocks(ROOT / "docs" / "own-loop.md", "python"))[1:]

    assert len(shown) == 3
    for block in shown:
        assert any(stripped(block) in program for program in programs), block
