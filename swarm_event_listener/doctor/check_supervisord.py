"""Checks of supervisord itself, of its listeners and of its HTTP servers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import Final

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.doctor.case import Case
from swarm_event_listener.doctor.check_nodes import (
    respawn,
    stop_signal,
    too_few_retries,
)
from swarm_event_listener.doctor.finding import Finding, Where, error, warning
from swarm_event_listener.doctor.supervisord_conf import Program, flags
from swarm_worker.shared.redaction import is_secret_variable
from swarm_worker.shared.settings import EXIT_CONFIG

EVENTS_PER_NODE: Final = 50  # memory only; the default of 10 overflows at the start
EVENTS_PER_START: Final = 2  # STARTING and RUNNING of each, before a listener is ready
LISTENER_STOP_S: Final = 10  # it finishes restarts under way for up to 8 s
SOCKET_PATH_MAX: Final = 100  # sun_path has 108 bytes, supervisord adds ".<pid>"
LOOPBACK: Final = ("127.", "localhost", "::1", "[::1]")
SYSTEM_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEEDED: Final = (
    (
        "PROCESS_STATE",
        frozenset(f"PROCESS_STATE_{state}" for state in ProcessState),
        True,
    ),
    ("PROCESS_COMMUNICATION", frozenset({"PROCESS_COMMUNICATION_STDOUT"}), True),
    ("TICK_5", frozenset({"TICK_5"}), True),
    (
        "SUPERVISOR_STATE_CHANGE",
        frozenset({"SUPERVISOR_STATE_CHANGE_STOPPING"}),
        False,
    ),
    (
        "PROCESS_GROUP",
        frozenset({"PROCESS_GROUP_ADDED", "PROCESS_GROUP_REMOVED"}),
        False,
    ),
    ("REMOTE_COMMUNICATION", frozenset({"REMOTE_COMMUNICATION"}), False),
)
_WIDER: Final = {"TICK_5": "TICK"}
_OUTPUT: Final = frozenset(
    {"EVENT", "PROCESS_LOG", "PROCESS_LOG_STDOUT", "PROCESS_LOG_STDERR"}
)
EVENTS_LINE: Final = "events=" + ",".join(name for name, _, _ in _NEEDED)


# --- the listener ---------------------------------------------------------------------


def a_listener(case: Case) -> Iterator[Finding]:
    """Somebody has to watch."""
    if not case.conf.listeners:
        yield error(
            Where(case.conf.path),
            "listener",
            line="[eventlistener:swarm_event_listener]\n"
            'command=swarm-event-listener --config "%(here)s/swarm.toml"\n'
            + EVENTS_LINE,
            why="no [eventlistener:x] runs swarm-event-listener: nobody watches",
        )


def single_process(case: Case) -> Iterator[Finding]:
    """A listener has to hear of every event."""
    for pool in case.conf.listeners:
        if pool.numprocs != 1:
            yield error(
                pool.section.where,
                "listener-pool",
                line="numprocs=1",
                why=f"a pool of {pool.numprocs}: each event goes to one of them only, "
                "so none knows how the nodes are",
            )


def own_journal(case: Case) -> Iterator[Finding]:
    """Two listeners cannot share one."""
    seen = []
    for pool in case.conf.listeners:
        files = flags(pool.options.command, ["config", "state-dir"])
        if files in seen:
            yield error(
                pool.section.where,
                "listener",
                why="another listener has the same configuration: it holds the "
                "journal, and this one exits 78; remove one of the two",
            )
        seen.append(files)


def buffer(case: Case) -> Iterator[Finding]:
    """Events must not be dropped while the listener starts or is busy."""
    least = EVENTS_PER_NODE * case.node_count
    for pool in case.conf.listeners:
        size = pool.buffer_size
        if size < least:
            is_hopeless = size < EVENTS_PER_START * case.node_count
            finding = error if is_hopeless else warning
            yield finding(
                pool.section.where,
                "buffer-size",
                line=f"buffer_size={max(1000, least)}",
                why=f"buffer_size is {size} for {case.node_count} nodes: supervisord "
                f"drops the oldest events; {EVENTS_PER_NODE} a node ({least}) at least",
            )


def events(case: Case) -> Iterator[Finding]:
    """The listener has to hear of all that it decides on, and not of each line."""
    for pool in case.conf.listeners:
        words = pool.section.values.get("events", "").upper().split(",")
        heard = {word.strip() for word in words}
        yield from _output(case, pool, heard & _OUTPUT)
        missing = [need for need in _NEEDED if not _hears(heard, need[0], need[1])]
        if missing:
            finding = error if any(need[2] for need in missing) else warning
            yield finding(
                pool.section.where,
                "events",
                line=EVENTS_LINE,
                why="the listener does not hear of "
                + ", ".join(need[0] for need in missing),
            )


def _output(case: Case, pool: Program, heard: Collection[str]) -> Iterator[Finding]:
    printing = [it.section.name for it in case.conf.everyone if _makes_events(it)]
    if heard and printing:
        yield warning(
            pool.section.where,
            "events",
            line=EVENTS_LINE,
            why=f"{', '.join(sorted(heard))} has each line that [{printing[0]}] prints "
            "(std*_events_enabled) sent to the listener, which does not need it: its "
            "buffer overflows, and what it needs is lost",
        )


def _makes_events(program: Program) -> bool:
    """Whether what it prints makes events."""
    options = program.options
    return options.stdout_events_enabled or options.stderr_events_enabled


def _hears(heard: set[str], word: str, parts: frozenset[str]) -> bool:
    wide = {"EVENT", word, _WIDER.get(word, word)}
    return bool(heard & wide) or parts <= heard


def listener_restarts(case: Case) -> Iterator[Finding]:
    """The listener itself has to come back, and to have time to finish."""
    for pool in case.conf.listeners:
        yield from respawn(pool, "listener", frozenset({EXIT_CONFIG}))
        yield from too_few_retries(pool)
        yield from stop_signal(
            pool,
            "the listener in order: restarts under way are not finished, and nodes may "
            "stay down",
        )
        if pool.options.stopwaitsecs < LISTENER_STOP_S:
            yield warning(
                pool.section.where,
                "stopwaitsecs",
                line=f"stopwaitsecs={LISTENER_STOP_S}",
                why=f"the listener finishes restarts under way before it ends; after "
                f"{pool.options.stopwaitsecs} s it would be KILLed meanwhile",
            )


def credentials(case: Case) -> Iterator[Finding]:
    """supervisord tells its children its server's address, but not the password."""
    section = case.conf.section("unix_http_server") or case.conf.section(
        "inet_http_server"
    )
    if section is None or not section.values.get("password"):
        return
    names = {"SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD"}
    for pool in case.conf.listeners:
        missing = sorted(names - pool.options.environment.keys())
        if missing:
            yield error(
                pool.section.where,
                "credentials",
                line='environment=SUPERVISOR_USERNAME="...",SUPERVISOR_PASSWORD="..."',
                why=f"[{section.name}] asks for a password, which supervisord does not "
                f"pass on: the listener needs {' and '.join(missing)}",
            )


# --- supervisord ----------------------------------------------------------------------


def descriptors(case: Case) -> Iterator[Finding]:
    """supervisord needs descriptors for each process."""
    count = sum(program.numprocs for program in case.conf.everyone)
    minfds = case.conf.supervisord.minfds
    least = 6 * count + 200
    if minfds < least:
        yield error(
            case.conf.where,
            "minfds",
            line=f"minfds={least}",
            why=f"minfds is {minfds} for {count} processes: supervisord runs out of "
            "file descriptors, and nodes become FATAL; 6 a process and 200 at least",
        )


def log_rotation(case: Case) -> Iterator[Finding]:
    """A rotation that fails ends supervisord."""
    if case.conf.supervisord.logfile_maxbytes > 0:
        yield warning(
            case.conf.where,
            "log-rotation",
            line="logfile_maxbytes=0",
            why="supervisord rotates its own log: should that fail (a full disk, a "
            "directory that is gone), supervisord ends and all nodes with it. Rotate "
            "it from outside, then send supervisord USR2",
        )


def growth(case: Case) -> Iterator[Finding]:
    """A reread has to find what the one before it found."""
    line = case.conf.sections["supervisord"].values.get("environment", "")
    names = case.conf.supervisord.environment
    own = [name for name in names if f"%(ENV_{name})s" in line]
    for name in own:
        known = SYSTEM_PATH if name == "PATH" else "..."
        line = line.replace(f"%(ENV_{name})s", known)
    if any(map(is_secret_variable, names)):
        line = "..."
    if own:
        yield warning(
            case.conf.where,
            "environment-grows",
            line=f"environment={line}",
            why=f"environment sets {' and '.join(own)} and refers to it: each reread "
            "expands what the last one made of it, so that every program counts as "
            "changed, and supervisorctl update restarts all; write the whole value",
        )


def ansi(case: Case) -> Iterator[Finding]:
    """Reports have to arrive as they were sent."""
    if case.conf.supervisord.strip_ansi:
        yield warning(
            case.conf.where,
            "strip-ansi",
            line="strip_ansi=false",
            why="strip_ansi changes captured output, reports among it",
        )


def http_servers(case: Case) -> Iterator[Finding]:
    """The listener calls supervisord through one of its HTTP servers."""
    path = case.conf.path
    if not (
        case.conf.section("unix_http_server") or case.conf.section("inet_http_server")
    ):
        yield error(
            Where(path),
            "no-server",
            line="[unix_http_server]\nfile=%(here)s/supervisor.sock",
            why="supervisord has no socket: the listener cannot restart anything",
        )
    if not case.conf.section("rpcinterface:supervisor"):
        yield error(
            Where(path),
            "no-rpc",
            line="[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory="
            "supervisor.rpcinterface:make_main_rpcinterface",
            why="supervisord answers no calls: the listener cannot restart anything",
        )


def inet_server(case: Case) -> Iterator[Finding]:
    """Whoever reaches supervisord's port can run anything as its user."""
    section = case.conf.section("inet_http_server")
    if section is None:
        return
    port = section.values.get("port", "")
    has_password = bool(section.values.get("password"))
    if not port.startswith(LOOPBACK):
        finding = warning if has_password else error
        yield finding(
            section.where,
            "inet-server",
            line="port=127.0.0.1:9001",
            why=f"port={port} is open to other machines"
            + (", and sends its password in clear" if has_password else "")
            + "; a [unix_http_server] is enough for the swarm",
        )
    if not has_password:
        yield warning(
            section.where,
            "inet-password",
            line="username=...\npassword=%(ENV_SUPERVISOR_PASSWORD)s",
            why="without a password every process that reaches the port, nodes among "
            "them, can stop and start everything; a [unix_http_server] is enough",
        )


def unix_server(case: Case) -> Iterator[Finding]:
    """Whoever may open the socket can run anything as supervisord's user."""
    for server in case.conf.supervisord.server_configs:
        if "file" not in server:
            continue
        where = case.conf.sections[server["section"]].where
        mode, path = server["chmod"], server["file"]
        if mode & 0o007:
            is_open = mode & 0o002 and not server["password"]
            finding = error if is_open else warning
            yield finding(
                where,
                "socket-mode",
                line="chmod=0700",
                why=f"chmod={mode:04o} opens the socket to every user of the machine; "
                "0770 and chown=user:group for a group of operators",
            )
        if len(path) > SOCKET_PATH_MAX:
            yield error(
                where,
                "socket-path",
                line="file=/run/swarm/supervisor.sock",
                why=f"the path has {len(path)} characters; a socket's has "
                f"{SOCKET_PATH_MAX} at most",
            )


def spelling(case: Case) -> Iterator[Finding]:
    """supervisord ignores silently what it does not look for."""
    for section in case.conf.sections.values():
        for option, value in section.values.items():
            known = () if option in section.known else section.known
            for meant in get_close_matches(option, known, n=1, cutoff=0.8):
                yield warning(
                    section.where,
                    "misspelled",
                    line=f"{meant}={_shown(meant, value)}",
                    why=f"supervisord knows no {option} and passes over it silently",
                )


def _shown(option: str, value: str) -> str:
    may_be_secret = option == "environment" or is_secret_variable(option)
    return "..." if may_be_secret else value


CHECKS: Final = (
    a_listener,
    single_process,
    own_journal,
    buffer,
    events,
    listener_restarts,
    credentials,
    descriptors,
    log_rotation,
    growth,
    ansi,
    http_servers,
    inet_server,
    unix_server,
    spelling,
)
