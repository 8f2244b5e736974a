"""What Prometheus' own tool says of the metrics of a swarm, and of the alerts."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.process.swarms import Swarm, free_port
from tests.supervisord import ROOT
from tests.tools import tool

pytestmark = pytest.mark.process

RULES = ROOT / "conf" / "prometheus" / "alerts.yml"
SCENES = Path(__file__).with_name("alerts.test.yml")


@pytest.fixture
def promtool() -> str:
    """Its path."""
    return tool("promtool", package="prometheus")


def test_promtool_finds_no_fault(
    start_swarm: Callable[..., Swarm], promtool: str
) -> None:
    """Its linter knows the conventions; it reads what a scrape gives."""
    port = free_port()
    start_swarm(nodes=1, toml=f'metrics = "127.0.0.1:{port}"')
    scraped = eventually(lambda: scrape(port), within_s=20, describe="metrics")

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=scraped, capture_output=True, check=False
    )

    assert b"kafka_swarm_node_messages_total{" in scraped
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_promtool_can_read_the_alerts(promtool: str) -> None:
    """Their expressions and templates, too."""
    checked = subprocess.run(
        [promtool, "check", "rules", str(RULES)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stderr


def test_each_alert_fires_when_it_should_and_not_before(promtool: str) -> None:
    """Its scenes are in alerts.test.yml, the texts of the alerts among them."""
    tested = subprocess.run(
        [promtool, "test", "rules", SCENES.name],
        cwd=SCENES.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_no_alert_is_without_its_scenes() -> None:
    """One in which it fires, and one in which it does not."""
    rules = RULES.read_text("utf-8")
    scenes = SCENES.read_text("utf-8")
    scene = re.compile(r"alertname: (\w+)\n +eval_time: .+\n +exp_alerts:( \[\])?\n")
    found = [(name, bool(none)) for name, none in scene.findall(scenes)]
    alerts = re.findall(r"alert: (\w+)", rules)

    assert len(alerts) == rules.count("alert:") > 10
    assert {(name, quiet) for name in alerts for quiet in (True, False)} == set(found)


def scrape(port: int) -> bytes | None:
    """Return the text of a scrape once the node's report is in it."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            text: bytes = response.read()
    except urllib.error.URLError:
        return None
    return text if b"kafka_swarm_node_messages_total{" in text else None
