"""How a golden file and what is there now may differ: by what was added, alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.report import BEGIN, END

FILES: Final = Path(__file__).parent / "files"


def load(name: str) -> dict[str, Any]:
    """Return what stands in a golden file."""
    plain: dict[str, Any] = json.loads((FILES / f"{name}.json").read_text("ascii"))
    return plain


def lost(golden: Any, now: Any, at: str = "") -> Iterator[str]:
    """Yield what a golden value has and the present one has not, as paths.

    Tables may have more keys. Texts that hold JSON are compared as what they hold.
    """
    golden, now = _opened(golden), _opened(now)
    if isinstance(golden, dict) and isinstance(now, dict):
        for key, value in golden.items():
            if key not in now:
                yield f"{at}/{key}: is gone"
            else:
                yield from lost(value, now[key], f"{at}/{key}")
    elif isinstance(golden, list) and isinstance(now, list):
        if len(golden) != len(now):
            yield f"{at}: expected {len(golden)} items, got {len(now)}"
        for index, (one, other) in enumerate(zip(golden, now, strict=False)):
            yield from lost(one, other, f"{at}/{index}")
    elif json.dumps(golden) != json.dumps(now):  # NaN is itself there
        yield f"{at}: expected {golden!r:.200}, got {now!r:.200}"


def _opened(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip().removeprefix(BEGIN).removesuffix(END)
    try:
        return json.loads(text) if text.startswith("{") else value
    except ValueError:
        return value


def lost_words(golden: str, now: str) -> list[str]:
    """Return the entries of a help that are no longer there, however it is wrapped."""
    present = " ".join(now.split())
    return [entry for entry in _entries(golden) if entry not in present]


def _entries(text: str) -> Iterator[str]:
    """Yield the entries of a help: an option with its text, a paragraph."""
    entry: list[str] = []
    for line in text.splitlines():
        is_deeper = line.startswith(" " * 20)  # it goes on with the entry above
        is_usage = bool(entry) and entry[0] == "usage:"
        if entry and not is_deeper and (not line.strip() or line.startswith(" ")):
            yield from _parts(entry, is_usage=is_usage)
            entry = []
        entry += line.split()
    yield from _parts(entry, is_usage=False)


def _parts(entry: Sequence[str], *, is_usage: bool) -> Iterator[str]:
    """Yield an entry; a usage word by word, since new flags stand between the old."""
    yield from entry if is_usage else [" ".join(entry)]


def is_within(golden: Sequence[str], now: Sequence[str]) -> bool:
    """Whether all fields of a line are there still, in their order."""
    rest = iter(now)
    return all(field in rest for field in golden)
