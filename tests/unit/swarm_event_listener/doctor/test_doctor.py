"""The doctor: each check with a configuration that fails it; no false alarms."""

from __future__ import annotations

import json
import os
import pwd
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm_event_listener.doctor import check_disk as doctor_disk
from swarm_event_listener.doctor import check_swarm
from swarm_event_listener.doctor.check_disk import lack_of, write_error
from swarm_event_listener.doctor.check_supervisord import SYSTEM_PATH
from swarm_event_listener.doctor.doctor import examine
from swarm_event_listener.doctor.finding import (
    EXIT_CLEAN,
    EXIT_ERRORS,
    EXIT_WARNINGS,
    WIDTH,
    Finding,
    Severity,
    Where,
    exit_code,
    render,
    warning,
)
from swarm_event_listener.doctor.server_options import read_conf
from tests.operators import disk

SHIPPED = Path(__file__).resolve().parents[4] / "conf"
ENVIRON = {"PATH": "/usr/bin"}

CONF = """\
[unix_http_server]
file=%(here)s/s
[supervisord]
logfile_maxbytes=0
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%(here)s/s
[program:w]
command=swarm-worker app:app --config "%(here)s/swarm.toml" --node %(process_num)d
 --nodes %(numprocs)d
numprocs=4
process_name=%(program_name)s_%(process_num)02d
startsecs=0
autorestart=unexpected
exitcodes=78,5,6
startretries=1000
stopwaitsecs=70
stdout_capture_maxbytes=64KB
stdout_logfile=NONE
[eventlistener:swarm]
command=swarm-event-listener --config "%(here)s/swarm.toml"
events=PROCESS_STATE,PROCESS_COMMUNICATION,PROCESS_GROUP,TICK_5,SUPERVISOR_STATE_CHANGE,REMOTE_COMMUNICATION
buffer_size=1000
startsecs=0
autorestart=true
"""

TOML = """\
[kafka]
"bootstrap.servers" = "127.0.0.1:9092"
[worker]
[listener]
groups = ["w"]
"""

RPC_LINES = """\
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface"""

EVENTS_LINE = (
    "events=PROCESS_STATE,PROCESS_COMMUNICATION,TICK_5,SUPERVISOR_STATE_CHANGE,"
    "PROCESS_GROUP,REMOTE_COMMUNICATION"
)

KEYS = 'environment=SUPERVISOR_USERNAME="u",SUPERVISOR_PASSWORD="KEY"\nbuffer_size'

Look = Callable[..., tuple[Finding, ...]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Return a function that examines the two files with texts of them replaced."""

    def changed(text: str, replace: tuple[tuple[str, str], ...]) -> str:
        for old, new in replace:
            assert old in text
            text = text.replace(old, new)
        return text

    def look(
        *conf: tuple[str, str],
        toml: tuple[tuple[str, str], ...] = (),
        mode: int = 0o600,
    ) -> tuple[Finding, ...]:
        for name, text in (
            ("supervisord.conf", changed(CONF, conf)),
            ("swarm.toml", changed(TOML, toml)),
        ):
            (tmp_path / name).write_text(text, "utf-8")
            (tmp_path / name).chmod(mode)
        return examine(tmp_path / "supervisord.conf", ENVIRON)

    return look


def shown(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    """Return what matters of findings: severity, check and section."""
    return [(f.severity.value, f.check, f.where.section) for f in findings]


def test_the_shipped_configuration_is_clean() -> None:
    """What we ship passes its own doctor."""
    assert examine(SHIPPED / "supervisord.conf", ENVIRON) == ()


def test_a_good_configuration_has_no_findings(look: Look) -> None:
    """Nor does a shorter one of the same kind."""
    assert look() == ()


# What is replaced in CONF; severity, check and section of the one finding; the line.
CONF_FAULTS = [
    (
        "capture-off",
        [("stdout_capture_maxbytes=64KB\n", "")],
        ("error", "capture", "program:w"),
        "stdout_capture_maxbytes=64KB",
    ),
    (
        "capture-small",
        [("maxbytes=64KB", "maxbytes=1KB")],
        ("warning", "capture", "program:w"),
        "stdout_capture_maxbytes=64KB",
    ),
    (
        "one-pipe",
        [("numprocs=4", "numprocs=4\nredirect_stderr=true")],
        ("error", "redirect-stderr", "program:w"),
        "redirect_stderr=false",
    ),
    (
        "told-twice",
        [("numprocs=4", "numprocs=4\nstdout_events_enabled=on")],
        ("warning", "output-events", "program:w"),
        "stdout_events_enabled=false",
    ),
    (
        "buffer-default",
        [("buffer_size=1000\n", ""), ("numprocs=4", "numprocs=6")],
        ("error", "buffer-size", "eventlistener:swarm"),
        "buffer_size=1000",
    ),
    (
        "buffer-small",
        [("buffer_size=1000", "buffer_size=199")],
        ("warning", "buffer-size", "eventlistener:swarm"),
        "buffer_size=1000",
    ),
    (
        "pool",
        [
            (
                "buffer_size=1000",
                "buffer_size=1000\nnumprocs=2\nprocess_name=%(process_num)d",
            )
        ],
        ("error", "listener-pool", "eventlistener:swarm"),
        "numprocs=1",
    ),
    (
        "never-again",
        [("autorestart=unexpected", "autorestart=false")],
        ("error", "autorestart", "program:w"),
        "startsecs=0\nautorestart=unexpected\nexitcodes=78,5,6",
    ),
    (
        "exit-0-stays",
        [("exitcodes=78,5,6\n", "")],
        ("error", "autorestart", "program:w"),
        "startsecs=0\nautorestart=unexpected\nexitcodes=78,5,6",
    ),
    (
        "exit-2-stays",
        [("exitcodes=78,5,6", "exitcodes=78,5,6,2")],
        ("warning", "autorestart", "program:w"),
        "startsecs=0\nautorestart=unexpected\nexitcodes=78,5,6",
    ),
    (
        "spares-start-again",
        [("exitcodes=78,5,6", "exitcodes=78,5")],
        ("warning", "spares", "program:w"),
        "exitcodes=78,5,6",
    ),
    (
        "codes-lost",
        [("startsecs=0\nautorestart=unexpected", "autorestart=unexpected")],
        ("warning", "autorestart", "program:w"),
        "startsecs=0\nautorestart=unexpected\nexitcodes=78,5,6",
    ),
    (
        "listener-stays-down",
        [("autorestart=true", "autorestart=unexpected")],
        ("error", "autorestart", "eventlistener:swarm"),
        "startsecs=0\nautorestart=unexpected\nexitcodes=78",
    ),
    (
        "killed-early",
        [("stopwaitsecs=70\n", "")],
        ("error", "stopwaitsecs", "program:w"),
        "stopwaitsecs=70",
    ),
    (
        "killed-a-little-early",
        [("stopwaitsecs=70", "stopwaitsecs=64")],
        ("warning", "stopwaitsecs", "program:w"),
        "stopwaitsecs=70",
    ),
    (
        "listener-killed-early",
        [("buffer_size=1000", "buffer_size=1000\nstopwaitsecs=3")],
        ("warning", "stopwaitsecs", "eventlistener:swarm"),
        "stopwaitsecs=10",
    ),
    (
        "given-up",
        [
            ("startsecs=0\nautorestart=unexpected", "autorestart=true"),
            ("startretries=1000\n", ""),
        ],
        ("warning", "startretries", "program:w"),
        "startretries=1000",
    ),
    (
        "signal",
        [("numprocs=4", "numprocs=4\nstopsignal=SIGKILL")],
        ("error", "stopsignal", "program:w"),
        "stopsignal=TERM",
    ),
    (
        "reload-signal",
        [("numprocs=4", "numprocs=4\nstopsignal=HUP")],
        ("error", "stopsignal", "program:w"),
        "stopsignal=TERM",
    ),
    (
        "listeners-signal",
        [("[eventlistener:swarm]", "[eventlistener:swarm]\nstopsignal=USR2")],
        ("error", "stopsignal", "eventlistener:swarm"),
        "stopsignal=TERM",
    ),
    (
        "odd-name",
        [("process_name=%(program_name)s_", "process_name=knoten:%(program_name)s_")],
        ("error", "odd-name", "program:w"),
        "process_name=%(program_name)s_%(process_num)02d",
    ),
    (
        "collapse",
        [("process_name=%(program_name)s_%(process_num)02d", "process_name=w")],
        ("error", "equal-names", "program:w"),
        "process_name=%(program_name)s_%(process_num)02d",
    ),
    (
        "numbering",
        [("numprocs=4", "numprocs=4\nnumprocs_start=1")],
        ("error", "numprocs-start", "program:w"),
        "numprocs_start=0",
    ),
    (
        "one-id",
        [("--node %(process_num)d", "--node 0")],
        ("error", "node-id", "program:w"),
        "command=swarm-worker ... --node %(process_num)d",
    ),
    (
        "count",
        [("--nodes %(numprocs)d", "--nodes 3")],
        ("error", "node-count", "program:w"),
        "command=swarm-worker ... --nodes %(numprocs)d",
    ),
    (
        "descriptors",
        [("logfile_maxbytes=0", "logfile_maxbytes=0\nminfds=229")],
        ("error", "minfds", "supervisord"),
        "minfds=230",
    ),
    (
        "many-descriptors",
        [("numprocs=4", "numprocs=200"), ("buffer_size=1000", "buffer_size=10000")],
        ("error", "minfds", "supervisord"),
        "minfds=1406",
    ),
    (
        "rotation",
        [("logfile_maxbytes=0\n", "")],
        ("warning", "log-rotation", "supervisord"),
        "logfile_maxbytes=0",
    ),
    (
        "growing-path",
        [
            (
                "logfile_maxbytes=0",
                'logfile_maxbytes=0\nenvironment=A="1",PATH="/v/bin:%(ENV_PATH)s"',
            )
        ],
        ("warning", "environment-grows", "supervisord"),
        f'environment=A="1",PATH="/v/bin:{SYSTEM_PATH}"',
    ),
    (
        "growing-variable",
        [
            (
                "logfile_maxbytes=0",
                'logfile_maxbytes=0\nenvironment=A="%(ENV_PATH)s",PATH="/bin"',
            )
        ],
        ("warning", "environment-grows", "supervisord"),
        f'environment=A="{SYSTEM_PATH}",PATH="/bin"',
    ),
    (
        "ansi",
        [("logfile_maxbytes=0", "logfile_maxbytes=0\nstrip_ansi=true")],
        ("warning", "strip-ansi", "supervisord"),
        "strip_ansi=false",
    ),
    (
        "local-port",
        [("[supervisord]", "[inet_http_server]\nport=127.0.0.1:9001\n[supervisord]")],
        ("warning", "inet-password", "inet_http_server"),
        "username=...\npassword=%(ENV_SUPERVISOR_PASSWORD)s",
    ),
    (
        "open-port",
        [
            (
                "[supervisord]",
                "[inet_http_server]\nport=*:9001\nusername=u\npassword=p\n[supervisord]",
            )
        ],
        ("warning", "inet-server", "inet_http_server"),
        "port=127.0.0.1:9001",
    ),
    (
        "socket-for-all",
        [("file=%(here)s/s", "file=%(here)s/s\nchmod=0777")],
        ("error", "socket-mode", "unix_http_server"),
        "chmod=0700",
    ),
    (
        "socket-to-read",
        [("file=%(here)s/s", "file=%(here)s/s\nchmod=0744")],
        ("warning", "socket-mode", "unix_http_server"),
        "chmod=0700",
    ),
    (
        "long-path",
        [("file=%(here)s/s", f"file=/run/{'x' * 100}")],
        ("error", "socket-path", "unix_http_server"),
        "file=/run/swarm/supervisor.sock",
    ),
    (
        "no-rpc",
        [("[rpcinterface:supervisor]", "[rpcinterface:other]")],
        ("error", "no-rpc", ""),
        RPC_LINES,
    ),
    (
        "no-door",
        [("[unix_http_server]", "[unix-http-server]")],
        ("error", "no-server", ""),
        "[unix_http_server]\nfile=%(here)s/supervisor.sock",
    ),
    (
        "locked-door",
        [("file=%(here)s/s", "file=%(here)s/s\nusername=u\npassword=p")],
        ("error", "credentials", "eventlistener:swarm"),
        'environment=SUPERVISOR_USERNAME="...",SUPERVISOR_PASSWORD="..."',
    ),
    (
        "no-tick",
        [("TICK_5,", "TICK_60,")],
        ("error", "events", "eventlistener:swarm"),
        EVENTS_LINE,
    ),
    (
        "hears-each-line",
        [
            ("events=PROCESS_STATE,PROCESS_COMMUNICATION,", "events=EVENT,"),
            ("numprocs=4", "numprocs=4\nstderr_events_enabled=true"),
        ],
        ("warning", "events", "eventlistener:swarm"),
        EVENTS_LINE,
    ),
    (
        "no-orders",
        [(",REMOTE_COMMUNICATION", "")],
        ("warning", "events", "eventlistener:swarm"),
        EVENTS_LINE,
    ),
    (
        "misspelled",
        [("numprocs=4", "numprocs=4\nstopwaitsec=70")],
        ("warning", "misspelled", "program:w"),
        "stopwaitsecs=70",
    ),
    (
        "no-number",
        [("startretries=1000", "startretries=many")],
        ("error", "unreadable", "program:w"),
        "startretries=3",
    ),
    (
        "no-such-number",
        [("startretries=1000", "startretries=%(tries)s")],
        ("error", "unreadable", "program:w"),
        "startretries=3",
    ),
    (
        "no-such-name",
        [("--nodes %(numprocs)d", "--nodes %(numprocs)d %(process_count)d")],
        ("error", "unreadable", "program:w"),
        "",
    ),
    (
        "unset",
        [("numprocs=4", "numprocs=4\ndirectory=%(ENV_APP_HOME)s")],
        ("warning", "environment-unset", "program:w"),
        "",
    ),
    (
        "unset-of-supervisord",
        [("[supervisord]", '[supervisord]\nenvironment=A="%(ENV_KEY)s"')],
        ("warning", "environment-unset", "supervisord"),
        "",
    ),
    (
        "unset-number",
        [("numprocs=4", "numprocs=4\npriority=%(ENV_A)s%(ENV_B)s")],
        ("warning", "environment-unset", "program:w"),
        "",
    ),
    (
        "unset-name",
        [("process_name=%(program_name)s", "process_name=%(ENV_A)s")],
        ("warning", "environment-unset", "program:w"),
        "",
    ),
    (
        "unset-include",
        [("[supervisord]", "[include]\nfiles=%(ENV_A)s/none/*\n[supervisord]")],
        ("warning", "environment-unset", "include"),
        "",
    ),
    (
        "no-include",
        [("[supervisord]", "[include]\n[supervisord]")],
        ("error", "unreadable", "include"),
        "",
    ),
    (
        "no-descriptors",
        [("[supervisord]", "[supervisord]\nminfds=many")],
        ("error", "unreadable", "supervisord"),
        "minfds=1024",
    ),
    (
        "no-buffer",
        [("buffer_size=1000", "buffer_size=0")],
        ("error", "unreadable", "eventlistener:swarm"),
        "buffer_size=1000",
    ),
    (
        "no-such-user",
        [("numprocs=4", "numprocs=4\nuser=nobody at all")],
        ("error", "unreadable", "program:w"),
        "",
    ),
    (
        "no-such-user-of-all",
        [("[supervisord]", "[supervisord]\nuser=nobody at all")],
        ("error", "unreadable", "supervisord"),
        "",
    ),
    (
        "half-a-stop",
        [("numprocs=4", "numprocs=4\nstopasgroup=true\nkillasgroup=false")],
        ("error", "unreadable", "program:w"),
        "killasgroup=True",
    ),
    (
        "half-a-key",
        [("file=%(here)s/s", "file=%(here)s/s\nusername=u")],
        ("error", "unreadable", "unix_http_server"),
        "",
    ),
    (
        "no-such-folder",
        [("stdout_logfile=NONE", "stdout_logfile=/none/w.log")],
        ("error", "unreadable", "program:w"),
        "",
    ),
    (
        "plug-in-without-factory",
        [("[supervisord]", "[rpcinterface:x]\n[supervisord]")],
        ("error", "unreadable", "rpcinterface:x"),
        "",
    ),
    (
        "plug-in-badly-written",
        [
            (
                "[supervisord]",
                f"{RPC_LINES.replace(':supervisor]', ':x]')}\nkey=%\n[supervisord]",
            )
        ],
        ("error", "unreadable", "rpcinterface:x"),
        "",
    ),
    (
        "odd-program",
        [("[supervisord]", "[program:a b]\ncommand=cat\n[supervisord]")],
        ("error", "odd-name", "program:a b"),
        "",
    ),
    (
        "group-of-nothing",
        [("[supervisord]", "[group:g]\nprograms=none\n[supervisord]")],
        ("error", "group-programs", "group:g"),
        "",
    ),
    (
        "own-loop-unwatched",
        [
            (
                "[supervisord]",
                "[program:more]\ncommand=/opt/x/bin/swarm-worker a:b\n[supervisord]",
            )
        ],
        ("warning", "unwatched", "listener"),
        'groups = ["w", "more"]',
    ),
]


@pytest.mark.parametrize(
    ("replace", "expected", "line"),
    [fault[1:] for fault in CONF_FAULTS],
    ids=[fault[0] for fault in CONF_FAULTS],
)
def test_each_fault_of_supervisords_file_is_found_alone(
    look: Look,
    replace: list[tuple[str, str]],
    expected: tuple[str, str, str],
    line: str,
) -> None:
    """One fault is one finding, with its place and the line as it should read."""
    findings = look(*replace)

    assert shown(findings) == [expected]
    assert findings[0].line == line


TOML_FAULTS = [
    (
        "no-group",
        [('groups = ["w"]', "")],
        ("error", "groups", "listener"),
        'groups = ["w"]',
    ),
    (
        "other-group",
        [('groups = ["w"]', 'groups = ["w", "ww"]')],
        ("error", "groups", "listener"),
        'groups = ["w"]',
    ),
    (
        "silence",
        [('groups = ["w"]', 'groups = ["w"]\nnode_report_timeout = "14s"')],
        ("error", "report-timeout", "listener"),
        "node_report_timeout = 15000",
    ),
    (
        "silence-of-a-group",
        [
            (
                'groups = ["w"]',
                'groups = ["w"]\n[listener.group.w]\nnode_report_timeout = 14999',
            )
        ],
        ("error", "report-timeout", "listener.group.w"),
        "node_report_timeout = 15000",
    ),
    (
        "polling-late",
        [('groups = ["w"]', 'groups = ["w"]\npolling_ttl = 300001')],
        ("warning", "ttl", "listener"),
        "polling_ttl = 300000",
    ),
    (
        "consuming-late",
        [
            ("[worker]", '"max.poll.interval.ms" = 60000\n[worker]'),
            ('groups = ["w"]', 'groups = ["w"]\nconsuming_ttl = "5min"'),
        ],
        ("warning", "ttl", "listener"),
        "consuming_ttl = 60000",
    ),
    (
        "polling-early",
        [('groups = ["w"]', 'groups = ["w"]\npolling_ttl = 1000')],
        ("error", "ttl", "listener"),
        "polling_ttl = 10000",
    ),
    (
        "stability-early",
        [('groups = ["w"]', 'groups = ["w"]\nstability_ttl = 1000')],
        ("warning", "ttl", "listener"),
        "stability_ttl = 600000",
    ),
    (
        "session",
        [("[worker]", '"session.timeout.ms" = 15000\n[worker]')],
        ("warning", "session", "kafka"),
        '"session.timeout.ms" = 45000',
    ),
    (
        "session-gap",
        [('groups = ["w"]', 'groups = ["w"]\nnode_restart_timeout = "40s"')],
        ("warning", "session", "kafka"),
        '"session.timeout.ms" = 100000',
    ),
    (
        "workers-time",
        [("[worker]", '[worker]\nshutdown_timeout = "2min"')],
        ("error", "stopwaitsecs", "program:w"),
        "stopwaitsecs=130",
    ),
    (
        "listeners-time",
        [('groups = ["w"]', 'groups = ["w"]\nshutdown_timeout = "2min"')],
        ("error", "stopwaitsecs", "program:w"),
        "stopwaitsecs=130",
    ),
    (
        "no-time",
        [('groups = ["w"]', 'groups = ["w"]\nrestart_period = "soon"')],
        ("error", "unreadable", "listener"),
        "",
    ),
    (
        "unknown-key",
        [('groups = ["w"]', 'groups = ["w"]\nconsuming_tll = 1')],
        ("error", "unreadable", ""),
        "",
    ),
    (
        "heartbeat-late",
        [("[worker]", '"heartbeat.interval.ms" = 45000\n[worker]')],
        ("error", "units", "kafka"),
        '"heartbeat.interval.ms" = 3000',
    ),
    (
        "session-in-seconds",
        [("[worker]", '"session.timeout.ms" = 45\n[worker]')],
        ("error", "units", "kafka"),
        '"session.timeout.ms" = 45000',
    ),
    (
        "heartbeat-in-seconds",
        [("[worker]", '"heartbeat.interval.ms" = 3\n[worker]')],
        ("warning", "units", "kafka"),
        '"heartbeat.interval.ms" = 3000',
    ),
    (
        "statistics-rare",
        [("[worker]", '"statistics.interval.ms" = 60001\n[worker]')],
        ("warning", "units", "kafka"),
        '"statistics.interval.ms" = 5000',
    ),
    (
        "consuming-in-seconds",
        [('groups = ["w"]', 'groups = ["w"]\nconsuming_ttl = 300')],
        ("warning", "units", "listener"),
        "consuming_ttl = 300000",
    ),
    (
        "boot-in-seconds",
        [('groups = ["w"]', 'groups = ["w"]\n[listener.group.w]\nboot_ttl = 600')],
        ("warning", "units", "listener.group.w"),
        "boot_ttl = 600000",
    ),
    (
        "period-in-seconds",
        [('groups = ["w"]', 'groups = ["w"]\nrestart_period = 999')],
        ("warning", "units", "listener"),
        "restart_period = 999000",
    ),
    (
        "memory-of-nothing",
        [('groups = ["w"]', 'groups = ["w"]\nmemory_limit = 32')],
        ("warning", "units", "listener"),
        "memory_limit = 2048",
    ),
    (
        "many-threads",
        [("[worker]", "[worker]\nconcurrency = 1001")],
        ("error", "unreadable", "worker"),
        "",
    ),
    (
        "what-only-the-listener-knows",
        [('groups = ["w"]', 'groups = ["w"]\nboot_ttl = 0')],
        ("error", "refused", "eventlistener:swarm"),
        "",
    ),
]


@pytest.mark.parametrize(
    ("replace", "expected", "line"),
    [fault[1:] for fault in TOML_FAULTS],
    ids=[fault[0] for fault in TOML_FAULTS],
)
def test_each_fault_of_the_swarms_file_is_found(
    look: Look,
    replace: list[tuple[str, str]],
    expected: tuple[str, str, str],
    line: str,
) -> None:
    """With its place and the line as it should read."""
    findings = look(toml=tuple(replace))

    assert expected in shown(findings)
    assert line in {finding.line for finding in findings}


def test_a_spare_that_would_start_again_is_an_error(look: Look) -> None:
    """Where there is to be one."""
    findings = look(
        ("exitcodes=78,5,6", "exitcodes=78,5"),
        toml=(("[worker]", "[worker]\nstart_nodes = 2"),),
    )
    assert ("error", "spares", "program:w") in shown(findings)


@pytest.mark.parametrize(
    "replace",
    [
        (
            (
                "startsecs=0\nautorestart=unexpected\nexitcodes=78,5,6",
                "autorestart=true",
            ),
        ),
        (("autorestart=true", "autorestart=unexpected\nexitcodes=78"),),
        (("events=PROCESS_STATE,PROCESS_COMMUNICATION,", "events=EVENT,"),),
        (("TICK_5", "TICK"),),
        (("PROCESS_COMMUNICATION,", "PROCESS_COMMUNICATION_STDOUT,"),),
        (("file=%(here)s/s", "file=%(here)s/s\nchmod=0770\nchown=root:adm"),),
        (("numprocs=4", "numprocs=4 ; as many as there are cores"),),
        (("stopwaitsecs=70", "stopwaitsecs=65"),),
        (("numprocs=4", "numprocs=4\nx-note=anything"),),
        (
            ("file=%(here)s/s", "file=%(here)s/s\nusername=u\npassword=%(ENV_PATH)s"),
            (
                "buffer_size",
                KEYS.replace("KEY", "%(ENV_PATH)s"),
            ),
        ),
        (
            (
                "[program:w]\ncommand=swarm-worker",
                "[program:w]\ncommand=/v/bin/swarm-worker",
            ),
        ),
        (
            (
                "[program:w]\ncommand=swarm-worker",
                "[program:w]\ncommand=python -m swarm_worker",
            ),
        ),
    ],
)
def test_what_is_right_is_left_alone(
    look: Look, replace: tuple[tuple[str, str], ...]
) -> None:
    """Other ways to write a good configuration have no findings."""
    assert look(*replace) == ()


def test_a_warning_does_not_hide_what_the_listener_refuses(look: Look) -> None:
    """Errors do: they may be of the same cause."""
    findings = look(toml=(("groups", "memory_limit = 1\nboot_ttl = 0\ngroups"),))

    assert shown(findings) == [
        ("warning", "units", "listener"),
        ("error", "refused", "eventlistener:swarm"),
    ]


def test_short_times_and_small_nodes_are_left_alone(look: Look) -> None:
    """At the bounds, and in other units than milliseconds."""
    kafka = (
        '"session.timeout.ms" = 60000\n"heartbeat.interval.ms" = 100\n'
        '"statistics.interval.ms" = "60000"\n[worker]\nconcurrency = 1000'
    )
    rules = (
        'consuming_ttl = 1000\nboot_ttl = "1s"\nrestart_period = 1000\n'
        'memory_limit = 17\nmemory_metric = "uss"'
    )

    assert look(toml=(("[worker]", kafka), ("groups", f"{rules}\ngroups"))) == ()


def test_two_programs_of_a_group_share_its_names_and_not_its_ids(look: Look) -> None:
    """A node's id is Kafka's: each takes one that is free. Process names are shared."""
    second = (
        "[group:g]\nprograms=w,v\n[program:v]\n"
        'command=swarm-worker app:app --config "%(here)s/swarm.toml" --nodes 5\n'
        "process_name=w_00\nstartsecs=0\nautorestart=true\nstopwaitsecs=70\n"
        "stdout_capture_maxbytes=64KB\n[supervisord]"
    )

    findings = look(
        ("[supervisord]", second),
        ("--nodes %(numprocs)d", "--nodes 5"),
        ("buffer_size=1000", "buffer_size=250"),
        toml=(('groups = ["w"]', 'groups = ["g"]'),),
    )

    assert shown(findings) == [
        ("error", "equal-names", "program:w"),
    ]


SECOND = (
    "[group:g]\nprograms=w,v\n[program:v]\n"
    'command=swarm-worker app:app --config "%(here)s/swarm.toml" '
    "--node %(process_num)d --nodes %(numprocs)d\nnumprocs=2\n"
    "process_name=%(program_name)s_%(process_num)02d\nstartsecs=0\n"
    "autorestart=true\nstopwaitsecs=70\nstdout_capture_maxbytes=64KB\n[supervisord]"
)
OF_THE_GROUP = (
    ("[supervisord]", SECOND),
    ("buffer_size=1000", "buffer_size=300"),
)
WATCHED = (('groups = ["w"]', 'groups = ["g"]'),)


def test_a_group_of_two_programs_is_two_swarms(look: Look) -> None:
    """Each has its nodes from 0, and knows its own number of them."""
    assert look(*OF_THE_GROUP, toml=WATCHED) == ()


def test_programs_that_are_one_swarm_together_know_its_number(look: Look) -> None:
    """Their nodes may also be told of all that are in the group."""
    one_swarm = (
        (SECOND, SECOND.replace("--nodes %(numprocs)d", "--nodes 6")),
        ("--nodes %(numprocs)d", "--nodes 6"),
    )

    assert look(*OF_THE_GROUP, *one_swarm, toml=WATCHED) == ()


@pytest.mark.parametrize(
    ("state_dir", "of_each", "found"),
    [
        ("--state-dir run", ("host-g-0.id", "host-g-0.id"), []),
        ("--state-dir other", ("host-g-0.id", "host-h-0.id"), []),
        (
            "--state-dir other",
            ("host-g-0.id", "host-g-0.id"),
            [("error", "instance-id", "worker")],
        ),
    ],
    ids=["one directory", "two groups", "twice"],
)
def test_an_id_in_kafka_that_two_programs_own_is_named(
    look: Look,
    tmp_path: Path,
    state_dir: str,
    of_each: tuple[str, str],
    found: list[tuple[str, str, str]],
) -> None:
    """Those of one state directory see each other; those of two cannot."""
    for folder, name in zip(("run", state_dir.split()[1]), of_each, strict=True):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_text("g:x_00\n1\n")
    apart = (SECOND, SECOND.replace("--node ", f"{state_dir} --node "))

    findings = look(*OF_THE_GROUP, apart, toml=WATCHED)

    assert shown(findings) == found


def test_two_listeners_of_one_configuration_are_one_too_many(look: Look) -> None:
    """The second would exit 78, because the first holds the journal."""
    again = CONF[CONF.index("[eventlistener:swarm]") :].replace(":swarm]", ":again]")

    findings = look(("buffer_size=1000", f"buffer_size=1000\n{again}"))

    assert ("error", "listener", "eventlistener:again") in shown(findings)


def test_without_a_listener_nobody_watches(look: Look) -> None:
    """The section to add is told."""
    findings = look(("command=swarm-event-listener", "command=swarm-event-lister"))

    assert ("error", "listener", "") in shown(findings)
    assert "[eventlistener:swarm_event_listener]" in findings[0].line


def test_flags_of_the_listeners_command_win(look: Look) -> None:
    """A rule that is a flag is judged, and the line is that of the command."""
    (finding,) = look(
        (
            "swarm-event-listener",
            "swarm-event-listener --node-report-timeout=9000",
        )
    )

    assert finding.check == "report-timeout"
    assert finding.where.section == "eventlistener:swarm"
    assert finding.line == "command=... --node-report-timeout 15000"


def test_metrics_without_what_writes_them_are_found(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus would find 503 for ever; the page and /healthz are served."""
    metrics = (("[listener]", '[listener]\nmetrics = "127.0.0.1:9464"'),)
    assert look(toml=metrics) == ()

    monkeypatch.setattr(check_swarm, "find_spec", lambda _: None)
    assert look() == ()
    (finding,) = look(toml=metrics)
    assert shown((finding,)) == [("warning", "metrics", "listener")]
    assert finding.line == "pip install 'kafka-consumer-swarm[metrics]'"


def test_an_open_port_without_a_password_is_two_findings(look: Look) -> None:
    """Open to the network is an error, no password a warning of its own."""
    findings = look(
        ("[supervisord]", "[inet_http_server]\nport=9001\n[supervisord]"),
    )

    assert shown(findings) == [
        ("error", "inet-server", "inet_http_server"),
        ("warning", "inet-password", "inet_http_server"),
    ]


@pytest.fixture
def open_look(look: Look, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Examine files that everybody can read, wherever the test's directory is."""
    monkeypatch.setattr(
        "swarm_event_listener.doctor.check_swarm._is_open",
        lambda path: bool(path.stat().st_mode & 0o004),
    )

    def open_look(*conf: tuple[str, str], **options: object) -> tuple[Finding, ...]:
        return look(*conf, **{"mode": 0o644, **options})

    return open_look


def test_secrets_in_world_readable_files_are_found(open_look: Look) -> None:
    """Of Kafka and of supervisord, whose place is told, not their value."""
    secret = 'bootstrap.servers" = "127.0.0.1:9092"\n"sasl.password" = "hunter2'
    findings = open_look(
        (
            "buffer_size",
            KEYS.replace("KEY", "hunter2"),
        ),
        ("file=%(here)s/s", "file=%(here)s/s\nusername=u\npassword=hunter2"),
        toml=(('bootstrap.servers" = "127.0.0.1:9092', secret),),
    )

    assert sorted(shown(findings)) == [
        ("error", "secret", "eventlistener:swarm"),
        ("error", "secret", "kafka"),
        ("error", "secret", "unix_http_server"),
    ]
    assert "hunter2" not in render(findings)
    assert "hunter2" not in json.dumps([finding.as_json() for finding in findings])
    kafka = next(f for f in findings if f.where.section == "kafka")
    assert kafka.line == '"sasl.password" = "${SASL_PASSWORD}"'


@pytest.mark.parametrize(
    ("value", "mode"), [("${KAFKA_PASSWORD}", 0o644), ("hunter2", 0o640)]
)
def test_secrets_that_are_kept_are_left_alone(
    open_look: Look, value: str, mode: int
) -> None:
    """From the environment, or in a file of the owner and the group."""
    secret = f'bootstrap.servers" = "127.0.0.1:9092"\n"sasl.password" = "{value}'

    assert (
        open_look(toml=(('bootstrap.servers" = "127.0.0.1:9092', secret),), mode=mode)
        == ()
    )


SERVERS = 'bootstrap.servers" = "127.0.0.1:9092'


@pytest.mark.parametrize(
    "name",
    [
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.kerberos.kinit.cmd",
        "ssl.key.pem",
    ],
)
def test_what_a_node_never_shows_is_a_secret_of_its_file(
    open_look: Look, name: str
) -> None:
    """Also where no word of its name says so."""
    told = f'{SERVERS}"\n"{name}" = "hunter2'

    (finding,) = open_look(toml=((SERVERS, told),))

    assert shown((finding,)) == [("error", "secret", "kafka")]
    assert finding.why.startswith(f"{name} can be read by everyone")


def test_what_looks_like_a_variable_and_is_none_is_a_secret(open_look: Look) -> None:
    """A node would not look it up either."""
    told = f'{SERVERS}"\n"sasl.password" = "hunter${{2'

    assert shown(open_look(toml=((SERVERS, told),))) == [("error", "secret", "kafka")]


@pytest.mark.parametrize(
    "name",
    [
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.client.credentials.client.id",
    ],
)
def test_where_a_secret_is_or_whose_is_none(open_look: Look, name: str) -> None:
    """A path, or a name."""
    told = f'{SERVERS}"\n"{name}" = "/etc/kafka/key'

    assert open_look(toml=((SERVERS, told),)) == ()


@pytest.mark.parametrize(
    ("variables", "checks"),
    [
        ('ORDERS_KEY_PASSPHRASE="hunter2"', ["secret"]),
        ('A="1",KEY_PASSWD=hunter2', ["secret"]),
        ('KEY_PASSPHRASE="%(ENV_PATH)s"', []),
        ("TOKEN= %(ENV_PATH)s", []),
    ],
)
def test_a_secret_in_environment_is_found(
    open_look: Look, variables: str, checks: list[str]
) -> None:
    """By the name of its variable, unless supervisord has it from its own."""
    findings = open_look(("[supervisord]", f"[supervisord]\nenvironment={variables}"))

    assert [finding.check for finding in findings] == checks


def test_a_file_that_others_cannot_reach_is_not_open(look: Look) -> None:
    """The directories above it count: a test's is its owner's alone."""
    secret = 'bootstrap.servers" = "127.0.0.1:9092"\n"sasl.password" = "hunter2'

    findings = look(
        toml=(('bootstrap.servers" = "127.0.0.1:9092', secret),), mode=0o644
    )

    assert findings == ()


def test_included_files_are_read(tmp_path: Path) -> None:
    """Programs in conf.d count, with their own directory as %(here)s."""
    main, programs = CONF.split("[program:w]")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "supervisord.conf").write_text(
        main + "[include]\nfiles=conf.d/*.conf nothing/*.ini\n", "utf-8"
    )
    broken = programs.replace("autorestart=unexpected", "autorestart=false")
    (tmp_path / "conf.d" / "w.conf").write_text("[program:w]" + broken, "utf-8")
    (tmp_path / "conf.d" / "swarm.toml").write_text(TOML, "utf-8")

    (finding,) = examine(tmp_path / "supervisord.conf", ENVIRON)

    assert finding.check == "autorestart"
    assert finding.where == Where(tmp_path / "conf.d" / "w.conf", "program:w")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read"),
        ("no section", "no configuration"),
        ("[a]\nb\nc", "no conf"),
    ],
)
def test_a_file_that_is_none_is_one_finding(
    tmp_path: Path, text: str | None, words: str
) -> None:
    """It is named, with what is wrong."""
    conf = tmp_path / "supervisord.conf"
    if text is not None:
        conf.write_text(text, "utf-8")

    (finding,) = examine(conf, ENVIRON)

    assert words in finding.why
    assert str(conf) in finding.why


UNREADABLE = [
    "redirect_stderr=perhaps",
    "stdout_capture_maxbytes=muchKB",
    "exitcodes=78,none",
    "environment=A",
    "process_name=%(process_num)d%",
    "autorestart=sometimes",
]


@pytest.mark.parametrize("line", UNREADABLE)
def test_a_value_that_supervisord_refuses_is_an_error(look: Look, line: str) -> None:
    """The option is named, and the other checks go on."""
    findings = look(("stdout_logfile=NONE", line))

    option = line.partition("=")[0]
    assert any(
        finding.check == "unreadable" and finding.why.startswith(f"{option}: ")
        for finding in findings
    )


OPTIONS_OF_ALL = [
    (section.replace("swarm_worker", "w").replace("swarm_event_listener", "swarm"), it)
    for section, read in read_conf(
        SHIPPED / "supervisord.conf", ENVIRON
    ).sections.items()
    for it in sorted(read.known)
] + [("include", "files"), ("group:g", "programs"), ("inet_http_server", "port")]

WORDS = st.sampled_from(
    ["", "%", "%%", "%(here)s", "%(ENV_NOPE)s", "%(process_num)d", "-1", "0", "1"]
)
OTHERS = st.sampled_from(
    ["true", "64KB", "KB", "a=b", '"', "'", ",", "swarm-worker", "--node", "/x", "*"]
)


@given(
    place=st.sampled_from(OPTIONS_OF_ALL),
    value=st.lists(WORDS | OTHERS, max_size=4).map(" ".join)
    | st.lists(WORDS | OTHERS).map("".join),
)
def test_whatever_an_option_says_the_doctor_answers(
    place: tuple[str, str], value: str
) -> None:
    """With findings; it never ends in a traceback."""
    section, option = place
    text = f"{CONF}\n[{section}]\n{option}={value}\n"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "supervisord.conf").write_text(text, "utf-8")
        (Path(folder) / "swarm.toml").write_text(TOML, "utf-8")

        findings = examine(Path(folder) / "supervisord.conf", ENVIRON)

    assert exit_code(findings) in {EXIT_CLEAN, EXIT_WARNINGS, EXIT_ERRORS}
    assert render(findings)


@pytest.mark.parametrize(
    "command",
    [
        "sh -c 'swarm-event-listener --config %(here)s/swarm.toml'",
        '/v/bin/python -m swarm_event_listener --config="%(here)s/swarm.toml"',
        "swarm-event-listener",
    ],
)
def test_the_listeners_command_may_be_wrapped(look: Look, command: str) -> None:
    """A shell, a module, or no file named: ./swarm.toml then."""
    given = 'swarm-event-listener --config "%(here)s/swarm.toml"'

    assert look((given, command)) == ()


def test_all_that_supervisord_refuses_is_found_at_once(look: Look) -> None:
    """supervisord stops at the first; the rest is judged with what it would be."""
    findings = look(
        ("autorestart=unexpected", "autorestart=perhaps"),
        ("startretries=1000", "startretries=many"),
        ("events=PROCESS_STATE,", "events=PROCESS_STAT,"),
        ("stopwaitsecs=70", "stopwaitsecs=3"),
    )

    assert {(f.check, f.why.partition(":")[0]) for f in findings} == {
        ("unreadable", "autorestart"),
        ("unreadable", "startretries"),
        ("unreadable", "events"),
        ("events", "the listener does not hear of PROCESS_STATE"),
        (
            "stopwaitsecs",
            "stopwaitsecs is 3 s, [worker] shutdown_timeout of swarm.toml 60 s",
        ),
    }


def test_a_file_without_supervisord_is_looked_at(look: Look) -> None:
    """Though supervisord would not."""
    findings = look(("[supervisord]\nlogfile_maxbytes=0\n", ""))

    assert [(f.check, f.line) for f in findings] == [
        ("unreadable", "[supervisord]"),
        ("log-rotation", "logfile_maxbytes=0"),
    ]


@pytest.mark.parametrize(
    "line",
    ['environment=A="hunter2",B', 'environment=A="hunter2', "environment=hunter2%"],
)
@pytest.mark.parametrize("before", ["[supervisord]", "numprocs=4"])
def test_what_is_refused_is_not_shown_where_it_may_be_a_secret(
    look: Look, before: str, line: str
) -> None:
    """supervisord itself would show it."""
    (finding,) = look((before, f"{before}\n{line}"))

    assert finding.why.startswith("environment: ")
    assert "hunter2" not in str(finding)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("[unix_http_server]", "pasword=hunter2"),
        ("[supervisord]", 'enviroment=A="hunter2"'),
        ("[supervisord]", 'environment=TOKEN="hunter2",PATH="/v:%(ENV_PATH)s"'),
    ],
)
def test_a_line_to_write_shows_no_secret(look: Look, section: str, line: str) -> None:
    """It goes to a terminal, and from there anywhere."""
    found = look((section, f"{section}\n{line}"))

    assert {"misspelled", "environment-grows"} & {finding.check for finding in found}
    assert "hunter2" not in str(found)


def test_a_password_without_a_user_is_refused_and_needed(look: Look) -> None:
    """The rest is judged as if both were there."""
    findings = look(("file=%(here)s/s", "file=%(here)s/s\npassword=p"))

    assert shown(findings) == [
        ("error", "unreadable", "unix_http_server"),
        ("error", "credentials", "eventlistener:swarm"),
    ]


def test_what_nothing_stands_in_for_is_the_only_finding(look: Look) -> None:
    """Whatever supervisord refuses once more, it is said, and the doctor ends."""
    twins = "[group:g]\nprograms=w\n[fcgi-program:w]\nsocket=tcp://a:1\n[supervisord]"

    (finding,) = look(("[supervisord]", twins))

    assert "name w is ambiguous" in finding.why


def test_plugins_are_not_imported_and_may_have_events_of_their_own(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their sections are read, as supervisord reads them."""
    (tmp_path / "loud.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    plugins = (
        "[rpcinterface:loud]\nsupervisor.rpcinterface_factory=loud:make\n"
        "[ctlplugin:loud]\nsupervisor.ctl_factory=loud:make\n[supervisord]"
    )

    assert (
        look(
            ("[supervisord]", plugins),
            ("TICK_5", "TICK_5,LOUD"),
            ("buffer_size", "result_handler=loud:handle\nbuffer_size"),
        )
        == ()
    )


def test_what_depends_on_where_supervisord_starts_is_not_judged(look: Look) -> None:
    """A relative path may be there."""
    assert (
        look(
            ("[supervisord]", "[supervisord]\nlogfile=none/x\ndirectory=none"),
            ("stdout_logfile=NONE", "stdout_logfile=none/w.log"),
        )
        == ()
    )


def test_an_included_file_that_cannot_be_read_is_named(
    look: Look, tmp_path: Path
) -> None:
    """supervisord passes over it silently; the rest is looked at."""
    (tmp_path / "conf.d").mkdir()

    findings = look(
        ("[supervisord]", "[include]\nfiles=conf.*\n[supervisord]\nminfds=1")
    )

    assert [(f.check, f.where.file.name) for f in findings] == [
        ("unreadable", "conf.d"),
        ("minfds", "supervisord.conf"),
    ]
    assert findings[0].why == f"cannot read {tmp_path}/conf.d: Is a directory"


def test_variables_that_only_supervisord_has_are_not_asked_for(look: Look) -> None:
    """Settings from its environment are not judged; what its file adds is known."""
    assert (
        look(toml=(('groups = ["w"]', 'groups = ["w"]\nboot_ttl = "${BOOT}"'),)) == ()
    )
    assert (
        look(
            ("logfile_maxbytes=0", 'logfile_maxbytes=0\nenvironment=APP="/srv/app"'),
            ("numprocs=4", "numprocs=4\ndirectory=%(ENV_APP)s"),
        )
        == ()
    )


def test_without_static_membership_there_is_no_session_to_keep(look: Look) -> None:
    """A short session timeout is then nobody's trouble."""
    short = (
        "[worker]",
        '"session.timeout.ms" = 6000\n[worker]\nstatic_membership = false',
    )

    assert look(toml=(short,)) == ()


def test_a_missing_swarm_toml_is_named(look: Look, tmp_path: Path) -> None:
    """With what to change."""
    findings = look(
        ('listener --config "%(here)s/swarm.toml"', "listener --config no.toml")
    )

    assert any(
        finding.where.file == tmp_path / "no.toml" and "--config" in finding.why
        for finding in findings
    )


def test_a_file_that_cannot_be_read_has_no_other_finding(
    look: Look, tmp_path: Path
) -> None:
    """What it would say is not known: that no group is watched, for one."""
    findings = look(toml=(("[listener]", "[listener"),))

    (found,) = (f for f in findings if f.where.file == tmp_path / "swarm.toml")
    assert found.check == "unreadable"


def test_errors_come_first_and_fit_the_terminal(look: Look) -> None:
    """Each with severity, place, line and reason; the last line counts them."""
    findings = look(
        ("logfile_maxbytes=0\n", ""),
        ("autorestart=unexpected", "autorestart=false"),
    )
    lines = render(findings).splitlines()

    assert lines[0].startswith("ERROR ")
    assert lines[0].endswith("supervisord.conf [program:w]")
    assert lines[1] == "    startsecs=0"
    assert lines[-1] == "1 error, 1 warning"
    assert all(len(line) <= WIDTH for line in lines if line.startswith("  "))


def test_the_exit_code_tells_how_bad_it_is(look: Look) -> None:
    """0 clean, 1 warnings, 2 errors."""
    warned = (warning(Where(Path("x")), "x", why="x"),)

    assert exit_code(()) == EXIT_CLEAN
    assert exit_code(warned) == EXIT_WARNINGS
    assert exit_code(
        (*warned, *look(("autorestart=unexpected", "autorestart=no")))
    ) == (EXIT_ERRORS)


def test_a_finding_is_plain_data(look: Look) -> None:
    """For programs: severity, check, file, section, line and why."""
    (finding,) = look(("logfile_maxbytes=0\n", ""))
    plain = finding.as_json()

    assert json.loads(json.dumps(plain)) == plain
    assert plain["severity"] == Severity.WARNING
    assert set(plain) == {"severity", "check", "file", "section", "line", "why"}


def test_a_program_may_add_to_what_supervisord_has(look: Look) -> None:
    """Only what supervisord's own section sets grows at a reread."""
    assert look(("numprocs=4", 'numprocs=4\nenvironment=PATH="/a:%(ENV_PATH)s"')) == ()


# --- state directories ----------------------------------------------------------------

NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.mark.parametrize(
    ("fields", "is_root", "needed_bytes", "lack"),
    [
        ({}, False, 0, ""),
        ({}, False, 400 * 1024, ""),
        ({}, False, 400 * 1024 + 1, "is full (400 KB left)"),
        ({"f_bavail": 0}, False, 0, "is full (0 KB left)"),
        ({"f_bavail": 0}, True, 0, ""),  # the last blocks are root's
        ({"f_bavail": 0, "f_bfree": 0}, True, 0, "is full (0 KB left)"),
        ({"f_bavail": 0, "f_bfree": 0, "f_blocks": 0}, True, 9, ""),  # has no end
        ({"f_favail": 0}, False, 0, "is full (no inodes left)"),
        ({"f_favail": 0, "f_ffree": 0, "f_files": 0}, True, 0, ""),  # btrfs
        ({"f_flag": os.ST_RDONLY | os.ST_NOSUID}, True, 0, "is mounted read-only"),
    ],
)
def test_a_file_system_may_lack_room(
    fields: dict[str, int], *, is_root: bool, needed_bytes: int, lack: str
) -> None:
    """For a file of that length; what has no fixed size is not judged by it."""
    found = lack_of(disk(**fields), is_root=is_root, needed_bytes=needed_bytes)

    assert found == lack


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as another user")
def test_a_directory_may_be_anothers() -> None:
    """By the permissions of the folders above, too; root may do all."""
    other = pwd.getpwnam("daemon" if os.geteuid() == NOBODY else "nobody")
    with tempfile.TemporaryDirectory() as name:  # pytest's own are shut
        folder = Path(name)
        folder.chmod(0o755)
        shut, free = folder / "shut", folder / "free"
        shut.mkdir(mode=0o700)
        free.mkdir()
        for path in (free, shut / "free"):
            path.mkdir(exist_ok=True)
            path.chmod(0o777)

        for path in (folder, shut, shut / "free"):
            why = write_error(path, other.pw_uid)
            assert why == f"user {other.pw_name} may not write to {path}"
            assert write_error(path, 0) == ""
            assert write_error(path, None) == ""
        assert write_error(folder, os.geteuid()) == ""
        assert write_error(free, other.pw_uid) == ""
        assert write_error(free / "to/come", other.pw_uid) == ""
        assert "may not write to" in write_error(folder / "to/come", other.pw_uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as another user")
def test_a_file_system_that_does_not_answer_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked as another user has an end, and leaves nothing behind."""
    mute = tmp_path / "test"
    mute.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    mute.chmod(0o755)
    monkeypatch.setattr(doctor_disk, "TEST", str(mute))
    monkeypatch.setattr(doctor_disk, "ANSWERS_WITHIN_S", 0.1)
    monkeypatch.setattr(doctor_disk, "as_user", lambda _: {})

    assert write_error(tmp_path, NOBODY) == ""


def test_what_the_kernel_says_of_oneself_counts_and_others_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is not root can ask for nobody else."""
    own, other = 4711, 4712
    monkeypatch.setattr(os, "geteuid", lambda: own)
    monkeypatch.setattr(os, "access", lambda *_, **__: False)

    assert write_error(tmp_path, own) == f"uid {own} may not write to {tmp_path}"
    assert write_error(tmp_path, other) == ""


@pytest.mark.parametrize("field", ["f_bavail", "f_favail"])
def test_a_state_dir_that_is_full_is_found(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """The listener's and the nodes', with what comes of it."""
    monkeypatch.setattr(os, "statvfs", lambda _: disk(**{field: 0}))

    findings = look()

    assert [f.check for f in findings] == ["state-dir"] * 2
    assert [f.where.section for f in findings] == ["listener", "worker"]
    assert all(f"system of {tmp_path / 'run'} is full" in f.why for f in findings)
    assert "swarm status cannot tell" in findings[0].why
    assert exit_code(findings) == EXIT_ERRORS


def test_each_state_dir_is_looked_for_where_it_is(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flags, files and variables; one that only supervisord knows is left alone."""
    monkeypatch.setattr(os, "statvfs", lambda _: disk(f_flag=os.ST_RDONLY))

    def places(*conf: tuple[str, str], state_dir: str) -> list[str]:
        line = ("[worker]\n", f'[worker]\nstate_dir = "{state_dir}"\n')
        found = look(*conf, toml=(line,))
        return [f.why.partition(" is mounted")[0].split()[-1] for f in found]

    listeners = str(tmp_path / "run")
    known = ("numprocs=4", 'numprocs=4\nenvironment=PLACE="there"')
    flag = ("--nodes %(numprocs)d", "--nodes %(numprocs)d --state-dir flag")
    assert places(state_dir="here") == [listeners, str(tmp_path / "here")]
    assert places(state_dir="/x/y") == [listeners, "/x/y"]
    assert places(known, state_dir="${PLACE}") == [listeners, str(tmp_path / "there")]
    assert places(state_dir="${PLACE}") == [listeners]
    assert places(flag, state_dir="here") == [listeners, str(tmp_path / "flag")]


def test_the_user_is_who_the_program_runs_as(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own, or supervisord's; without either it is not known here."""
    asked: list[int | None] = []

    def note(_path: Path, uid: int | None) -> str:
        asked.append(uid)
        return ""

    monkeypatch.setattr(doctor_disk, "write_error", note)
    look()
    look(("[supervisord]", "[supervisord]\nuser=nobody"))
    look(("numprocs=4", "numprocs=4\nuser=0"))

    assert asked == [None, None, NOBODY, NOBODY, None, 0]
