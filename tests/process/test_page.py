"""The page in a real browser, of a real swarm."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.process.swarms import Swarm

pytestmark = pytest.mark.process


def seen(url: str, profile: Path) -> str:
    """Give the page as a browser has it after a while."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not here: apt-get install chromium")
    shown = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--no-first-run", f"--user-data-dir={profile}"),
            *("--virtual-time-budget=4000", "--dump-dom", url),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return shown.stdout


@pytest.mark.timeout(180)
def test_nodes_and_restarts_are_seen_and_no_text_is_markup(
    start_swarm: Callable[..., Swarm], tmp_path: Path
) -> None:
    """Each node has its card; a restart its reason, whatever a message is called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    swarm = start_swarm(nodes=2, toml=f'metrics = "127.0.0.1:{port}"')
    evil = "<img src=x onerror=document.title='evil'>"
    pid = swarm.tell(0, stalled_ms=9_000, stalled=[f"{evil}/1"])
    swarm.restarted(0, than=pid)

    def page() -> str:
        text = seen(f"http://127.0.0.1:{port}/", tmp_path)
        return text if "2 of 2 nodes healthy" in text else ""

    text = eventually(page, within_s=60, describe="two healthy nodes on the page")
    assert 'data-node="w:w_00"' in text
    assert 'data-node="w:w_01"' in text
    assert "status 2: " in text
    assert "back after" in text
    assert "&lt;img src=x" in text
    assert "<img" not in text
    assert "<title>Kafka swarm</title>" in text
