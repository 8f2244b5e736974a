"""The rotation of supervisord's own log, as docs/install.md has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.process.swarms import Swarm
from tests.supervisord import ROOT

pytestmark = pytest.mark.process

INSTALLED = "/srv/kafka-swarm/conf"

# Stands for systemd: the unit runs, and its main process is the one of the test.
SYSTEMCTL = """\
#!/bin/sh
case "$*" in
  "--quiet is-active kafka-swarm") exit 0 ;;
  "kill --kill-who=main --signal=USR2 kafka-swarm") kill -USR2 {pid} ;;
  *) exit 1 ;;
esac
"""


def rotation(folder: Path) -> Path:
    """Return the guide's file for logrotate, for a swarm in another folder."""
    guide = (ROOT / "docs" / "install.md").read_text("utf-8")
    (text,) = re.findall(r"```\n(/srv/.*?\.log \{\n.*?\n\})\n```", guide, re.DOTALL)
    own = text.replace(INSTALLED, str(folder))
    path = folder / "kafka-swarm.logrotate"
    path.write_text(re.sub(r"\n *su .*", "", own), "utf-8")  # no such user here
    path.chmod(0o644)
    return path


def test_supervisords_log_is_rotated_and_nothing_restarts(
    start_swarm: Callable[..., Swarm], tmp_path: Path
) -> None:
    """What was written is kept beside it, what follows goes to a new file."""
    logrotate = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if logrotate is None:
        pytest.skip("logrotate is not here: apt-get install logrotate")
    swarm = start_swarm(nodes=1)
    daemon, pid = swarm.daemon, swarm.pid(0)
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(SYSTEMCTL.format(pid=daemon.process.pid), "utf-8")
    systemctl.chmod(0o755)

    rotated = subprocess.run(
        [logrotate, "-f", "-s", str(tmp_path / "state"), str(rotation(daemon.folder))],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    eventually(
        lambda: "supervisord logreopen" in daemon.file("supervisord.log.1"),
        describe="supervisord opens its log anew",
    )
    daemon.rpc.stop("w:w_00")
    eventually(lambda: "stopped: w_00" in daemon.log, describe="a line in the new log")

    assert (rotated.returncode, rotated.stderr) == (0, "")
    assert "spawned: 'w_00'" in daemon.file("supervisord.log.1")
    assert "spawned" not in daemon.log
    assert daemon.file("supervisord.log.1").count(f"with pid {pid}\n") == 1
    assert daemon.process.poll() is None
