"""A swarm of scripted nodes under the real supervisord and the real listener."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.awaits import await_reports
from tests.process.swarms import Swarm
from tests.supervisord import running_supervisord

_SECTIONS: Final = """
[program:w]
command = {python} -m tests.process.scripted {folder}
process_name = %(program_name)s_%(process_num)02d
numprocs = NODES
autorestart = true
startsecs = 1
startretries = 1000
stopwaitsecs = 5
stdout_capture_maxbytes = 64KB
stdout_logfile = NONE
stderr_logfile = {folder}/%(program_name)s_%(process_num)02d.log

[eventlistener:swarm]
process_name = listener
command = {python} -m swarm_event_listener --config {folder}/swarm.toml
events = PROCESS_STATE,PROCESS_COMMUNICATION,PROCESS_GROUP,TICK_5,
    SUPERVISOR_STATE_CHANGE,REMOTE_COMMUNICATION
buffer_size = 2000
autorestart = true
startretries = 1000
stderr_logfile = {folder}/listener.log

[eventlistener:witness]
command = {python} -m tests.recorder {folder}/events.jsonl
events = PROCESS_STATE,REMOTE_COMMUNICATION
buffer_size = 2000
startsecs = 0
stderr_logfile = {folder}/witness.log
"""

# To replace: with what supervisorctl needs for its commands, and nodes that obey it.
_PLUGIN: Final = """
[supervisorctl]
serverurl = unix://{folder}/s

[ctlplugin:swarm]
supervisor.ctl_factory = swarm_event_listener.supervisorctl:make_ctl
"""

ADDED: Final = ("[eventlistener:witness]", f"{_PLUGIN}\n[eventlistener:witness]")
OBEDIENT: Final = ("tests.process.scripted", "tests.process.obedient")

_TOML: Final = """
[worker]
liveness_interval = 250

[listener]
groups = ["w"]
node_report_timeout = 3000
consuming_ttl = 5000
polling_ttl = 5000
stability_ttl = 5000
shutdown_timeout = 4000
node_restart_timeout = 1000
"""


@contextmanager
def running_swarm(
    *, nodes: int = 2, toml: str = "", replace: tuple[tuple[str, str], ...] = ()
) -> Iterator[Swarm]:
    """Run a swarm.

    Args:
        nodes: How many.
        toml: More lines of ``[listener]``; a key given again wins.
        replace: Texts of supervisord's configuration to replace.
    """
    sections = _SECTIONS.replace("NODES", str(nodes))
    for old, new in replace:
        assert old in sections
        sections = sections.replace(old, new)
    keys = {line.partition("=")[0].strip() for line in toml.splitlines() if "=" in line}
    kept = [
        line
        for line in _TOML.splitlines()
        if line.partition("=")[0].strip() not in keys
    ]

    def prepare(folder: Path) -> None:
        text = "\n".join([*kept, toml])
        (folder / "swarm.toml").write_text(text, "utf-8")

    with running_supervisord(sections, prepare=prepare) as daemon:
        yield Swarm(daemon)


@pytest.fixture
def start_swarm() -> Iterator[Callable[..., Swarm]]:
    """Yield a function that starts a swarm whose nodes all report."""
    with ExitStack() as stack:

        def start(*, nodes: int = 2, **options: Any) -> Swarm:
            swarm = stack.enter_context(running_swarm(nodes=nodes, **options))
            await_reports(swarm, nodes)
            return swarm

        yield start
