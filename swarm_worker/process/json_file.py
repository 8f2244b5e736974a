"""Small files of JSON that the processes of a slot leave for one another.

What is in them helps, and nothing depends on it: a disk that is full or read-only, and
a file that is spoiled, cost no more than that.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.state_files.lock_files import SAFE

_READ_MAX_BYTES: Final = 4 * 2**20


def read(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | SAFE)
        with open(fd, encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            content = json.loads(file.read(_READ_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def replace(path: Path, content: dict[str, Any]) -> None:
    """Put an object in the place of a file, whole, if the disk takes it."""
    aside = path.with_name(f"{path.name}.new")
    with suppress(OSError):
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | SAFE, 0o644)
        with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(json.dumps(content))  # json.dump takes four times as long
        aside.replace(path)
