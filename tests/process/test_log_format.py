"""Logs of both programs as JSON, from their first line to the story of a restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.awaits import await_restarted
from tests.process.swarms import Swarm
from tests.supervisord import ROOT

pytestmark = pytest.mark.process


def test_every_line_of_the_listener_is_an_object_and_names_its_node(
    start_swarm: Callable[..., Swarm],
) -> None:
    """A restart is understood from one line; what is about a node names it and pid."""
    swarm = start_swarm(nodes=1, toml='log_format = "json"')
    pid = swarm.tell(0, consume_age_ms=9_000)
    await_restarted(swarm, 0, than=pid)

    lines = [json.loads(line) for line in swarm.log.splitlines()]
    by_event = {line["event"]: line for line in lines}
    restarting = by_event["node_restarting"]
    assert (restarting["node"], restarting["pid"]) == ("w:w_00", pid)
    assert (restarting["status"], restarting["level"]) == (2, "WARNING")
    restarted = by_event["node_restarted"]
    assert (restarted["node"], restarted["pid"]) == ("w:w_00", pid)
    assert restarted["new_pid"] == swarm.pid(0)
    assert all("pid" in line for line in lines if "node" in line)


@pytest.mark.parametrize("level", ["debug", "info"])
def test_debug_tells_all_that_the_listener_hears_of_nodes(
    start_swarm: Callable[..., Swarm], level: str
) -> None:
    """Each report as it came, each state of a process."""
    swarm = start_swarm(nodes=1, toml=f'log_level = "{level}"\nlog_format = "json"')
    pid = swarm.tell(0, consume_age_ms=9_000)
    await_restarted(swarm, 0, than=pid)

    lines = [json.loads(line) for line in swarm.log.splitlines()]
    heard = [(line["event"], line["node"], line["pid"], line.get("state"))
             for line in lines if line["level"] == "DEBUG"]  # fmt: skip
    expected = {
        ("report", "w:w_00", pid, None),
        ("process_state", "w:w_00", pid, "STOPPED"),
    }
    assert set(heard) & expected == (expected if level == "debug" else set())
    texts = [line["text"] for line in lines if line["event"] == "report"]
    assert any('"consume_age_ms":9000' in text for text in texts) == (level == "debug")


def test_the_node_logs_as_it_is_told(tmp_path: Path) -> None:
    """A crash in the app's import, with its traceback, in one line."""
    (tmp_path / "bad.py").write_text("raise RuntimeError('no\\nluck')\n")
    (tmp_path / "swarm.toml").write_text(
        '[kafka]\n"bootstrap.servers" = "127.0.0.1:1"\n'
    )
    ended = subprocess.run(
        [sys.executable, "-m", "swarm_worker", "bad:app", "--log-format", "json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )

    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.returncode == 1
    assert any("no\nluck" in line.get("traceback", "") for line in lines)
