"""Whole swarms as in production, with short limits and nodes that can be faulted.

The sections are those of ``conf/supervisord.conf``; a test changes what it is about.
Limits: a report each half second, silence after 4 s, ages after 5 s, 4 s to stop, 1 s
between exit and start.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.eventually import eventually
from tests.process.lives import Lives, sampled
from tests.process.swarms import GROUP, Swarm, replace_text, write_script
from tests.supervisord import (
    ROOT,
    SUPERVISORD,
    answers,
    running_supervisord,
    signal_if_alive,
    start_supervisord,
)

__all__ = ["ROOT", "replace_text", "signal_if_alive", "write_script"]

SCRIPTED: Final = "{python} -m tests.process.scripted {folder}"
FAULTY_APP: Final = "tests.process.faulty_app:app"
NODE: Final = (
    f"{{python}} -m swarm_worker {FAULTY_APP} "
    "--config {folder}/swarm.toml --state-dir {folder}/slots "
    "--node %(process_num)d --nodes %(numprocs)d"
)

_RESPAWNED: Final = {
    "startsecs": "0",
    "autorestart": "unexpected",
    "startretries": "1000",
    "stdout_logfile": "NONE",
}
PROGRAM: Final = {
    **_RESPAWNED,
    "process_name": "%(program_name)s_%(process_num)02d",
    "exitcodes": "78,5,6",
    "stopwaitsecs": "5",
    "killasgroup": "true",
    "stdout_capture_maxbytes": "64KB",
    "stderr_logfile": "{folder}/%(program_name)s_%(process_num)02d.log",
    "stderr_logfile_maxbytes": "4MB",
    "stderr_logfile_backups": "0",
}
OUR_LISTENER: Final = {
    **_RESPAWNED,
    "process_name": "listener",
    "command": "{python} -m swarm_event_listener --config {folder}/swarm.toml",
    "events": "PROCESS_STATE,PROCESS_COMMUNICATION,PROCESS_GROUP,TICK_5,"
    "SUPERVISOR_STATE_CHANGE,REMOTE_COMMUNICATION",
    "buffer_size": "5000",
    "exitcodes": "78",
    "stderr_logfile": "{folder}/listener.log",
}
WITNESS: Final = {
    **_RESPAWNED,
    "command": "{python} -m tests.recorder {folder}/events.jsonl",
    "events": "PROCESS_STATE,REMOTE_COMMUNICATION",
    "buffer_size": "5000",
    "stderr_logfile": "{folder}/witness.log",
}
LIMITS: Final[Mapping[str, Any]] = {
    "groups": [GROUP],
    "node_report_timeout": 4_000,
    "consuming_ttl": 5_000,
    "polling_ttl": 5_000,
    "shutdown_timeout": 4_000,
    "node_restart_timeout": 1_000,
}
USUAL: Final[Mapping[str, Mapping[str, Any]]] = {
    "kafka": {"bootstrap.servers": "127.0.0.1:1"},
    "worker": {"liveness_interval": 500, "shutdown_timeout": 4_000},
    "listener": LIMITS,
}


@contextmanager
def scene(
    *,
    nodes: int = 2,
    command: str = SCRIPTED,
    limits: Mapping[str, Any] | None = None,
    worker: Mapping[str, Any] | None = None,
    kafka: Mapping[str, Any] | None = None,
    program: Mapping[str, str] | None = None,
    listener: Mapping[str, str] | None = None,
    more: str = "",
    prepare: Callable[[Path], None] | None = None,
) -> Iterator[Swarm]:
    """Run a swarm and wait for nothing.

    Args:
        nodes: How many.
        command: What a node is.
        limits: Keys of ``[listener]`` other than the usual.
        worker: Keys of ``[worker]`` other than the usual.
        kafka: Keys of ``[kafka]`` other than the usual.
        program: Lines of the nodes' section other than the usual.
        listener: Lines of our listener's section other than the usual.
        more: Further sections.
        prepare: May put files into the folder before anything starts.
    """
    sections = "\n".join(
        [
            "[supervisorctl]\nserverurl = unix://{folder}/s",
            "[ctlplugin:swarm]",
            "supervisor.ctl_factory = swarm_event_listener.supervisorctl:make_ctl",
            program_section(
                GROUP,
                **{"command": command, "numprocs": str(nodes), **(program or {})},
            ),
            _section("eventlistener:swarm", OUR_LISTENER, listener),
            _section("eventlistener:witness", WITNESS, None),
            more,
        ]
    )

    def put_files(folder: Path) -> None:
        text = toml(kafka=kafka or {}, worker=worker or {}, listener=limits or {})
        (folder / "swarm.toml").write_text(text, "utf-8")
        if prepare is not None:
            prepare(folder)

    with running_supervisord(sections, prepare=put_files) as daemon:
        try:
            yield Swarm(daemon)
        finally:
            if daemon.process.poll() is None:
                daemon._kill()  # at once: how it ends well is not what scenes are about


@contextmanager
def watched_scene(**options: Any) -> Iterator[tuple[Swarm, Lives]]:
    """Run a swarm with a witness of its processes; see `scene`."""
    with scene(**options) as swarm, sampled(swarm.daemon.url) as lives:
        yield swarm, lives


def toml(**changed: Mapping[str, Any]) -> str:
    """Return a ``swarm.toml`` for both programs; JSON's values are TOML's, too.

    Args:
        **changed: Of sections, keys other than the usual.
    """
    lines = []
    for section, usual in USUAL.items():
        keys = {**usual, **changed.get(section, {})}
        names = {key: key if key.isidentifier() else f'"{key}"' for key in keys}
        lines.append(f"[{section}]")
        lines += [f"{names[key]} = {json.dumps(keys[key])}" for key in keys]
    return "\n".join(lines) + "\n"


def program_section(name: str, **lines: str) -> str:
    """Return the section of one more group of nodes."""
    return _section(f"program:{name}", PROGRAM, lines)


def _section(
    name: str, lines: Mapping[str, str], changed: Mapping[str, str] | None
) -> str:
    merged = {**lines, **(changed or {})}
    return "\n".join([f"[{name}]", *(f"{key} = {merged[key]}" for key in merged)])


# --- what is asked of a swarm ---------------------------------------------------------


def name_of(node: int, *, group: str = GROUP) -> str:
    """Return supervisord's full name of a node."""
    return f"{group}:{group}_{node:02d}"


def pids(swarm: Swarm, nodes: int) -> dict[int, int | None]:
    """Return the pid of each node."""
    known = {info.name: info.pid for info in swarm.daemon.rpc.processes()}
    return {node: known[name_of(node)] for node in range(nodes)}


def witnessed(swarm: Swarm) -> list[dict[str, Any]]:
    """Return what an independent listener saw, each event once.

    supervisord repeats an event to all listeners of one priority when one of them dies
    over it: it compares processes by nothing but that.
    """
    events: dict[tuple[int, str], dict[str, Any]] = {}
    for line in swarm.daemon.file("events.jsonl").splitlines():
        with contextlib.suppress(ValueError):  # a line that is being written
            event = json.loads(line)
            # Not the number alone: a new supervisord counts anew.
            key = event["pool_serial"], event["payload"]
            events.setdefault(key, event)
    return list(events.values())


def stops(swarm: Swarm, node: int) -> int:
    """Return how often an independent listener saw a node being stopped."""
    process = name_of(node).partition(":")[2]
    return sum(
        event["event"] == "PROCESS_STATE_STOPPING"
        and f"processname:{process} " in event["payload"]
        for event in witnessed(swarm)
    )


def records_of(swarm: Swarm, node: int) -> list[dict[str, Any]]:
    """Return the records of one node's restarts."""
    return [r for r in swarm.records() if r["node"] == name_of(node)]


def supervisorctl(swarm: Swarm, *command: str) -> str:
    """Run ``supervisorctl`` as an operator would; give what it says."""
    return ctl(swarm, *command).stdout


def ctl(swarm: Swarm, *command: str) -> subprocess.CompletedProcess[str]:
    """Run it, and give its exit code, too."""
    config = swarm.daemon.folder / "supervisord.conf"
    done = subprocess.run(
        [SUPERVISORD.with_name("supervisorctl"), "-c", config, *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
    )
    assert done.stderr == ""
    return done


def change_config(swarm: Swarm, old: str, new: str) -> None:
    """Edit supervisord's configuration, which it does not read by itself."""
    path = swarm.daemon.folder / "supervisord.conf"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def start_again(swarm: Swarm) -> None:
    """Start a supervisord in the place of one that has ended."""
    daemon = swarm.daemon
    config = daemon.file("supervisord.conf")
    daemon.process = start_supervisord(daemon.folder, config).process
    eventually(lambda: answers(daemon), within_s=20, describe="supervisord answers")
