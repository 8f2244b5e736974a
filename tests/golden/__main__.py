"""``python -m tests.golden``: write the golden files anew.

For what was *added* on purpose: a change or a removal breaks files, dashboards, scripts
and filters of those who have installed us. Look at the difference before it goes in.
"""

from __future__ import annotations

import json
from typing import Any

from tests.golden.comparing import FILES
from tests.golden.readings import readings
from tests.golden.samples import SAMPLES


def _write(name: str, plain: dict[str, Any]) -> None:
    (FILES / f"{name}.json").write_text(json.dumps(plain, indent=1) + "\n", "ascii")


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    for sample_name, sample in SAMPLES.items():
        _write(sample_name, sample())
    _write("readings", readings())
