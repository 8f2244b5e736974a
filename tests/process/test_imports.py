"""What an import brings with it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.supervisord import ROOT

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "imported",
    [
        "import swarm_worker.app.batch",  # handlers' tests
        "from swarm_worker import Liveness",  # users of other clients
        "import swarm_event_listener.listener.main",
        "import swarm_event_listener.ctl.commands",
    ],
)
def test_it_costs_no_kafka_client(imported: str) -> None:
    """The client is loaded with the first consumer, by those who consume."""
    code = f"import sys; {imported}; sys.exit('confluent_kafka' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
