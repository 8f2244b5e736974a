"""The two supervisords that the contract is checked on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.daemons import SECTIONS, Daemon, Real, Simulated
from tests.supervisord import running_supervisord


@pytest.fixture(params=["simulated", "real"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemon]:
    """Yield a supervisord with two running nodes; one of them ignores TERM."""
    if request.param == "simulated":
        yield Simulated()
        return
    with running_supervisord(SECTIONS) as real:
        yield Real(real, tmp_path / "run")
