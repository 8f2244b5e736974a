"""Checks of supervisord itself, of its listeners and of its HTTP servers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.doctor.case import Case
from swarm_event_listener.doctor.check_nodes import restarts
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
# What the listener needs to hear of, and the narrower or wider names that amount to it.
_NEEDED: Final[Mapping[str, set[str]]] = {
    "PROCESS_STATE": {f"PROCESS_STATE_{state}" for state in ProcessState},
    "PROCESS_COMMUNICATION": {"PROCESS_COMMUNICATION_STDOUT"},
    "TICK_5": {"TICK"},
    "SUPERVISOR_STATE_CHANGE": {"SUPERVISOR_STATE_CHANGE_STOPPING"},
    "PROCESS_GROUP": {"PROCESS_GROUP_ADDED", "PROCESS_GROUP_REMOVED"},
    "REMOTE_COMMUNICATION": {"REMOTE_COMMUNICATION"},
}
_VITAL: Final = frozenset({"PROCESS_STATE", "PROCESS_COMMUNICATION", "TICK_5"})
_OUTPUT: Final = frozenset(
    {"EVENT", "PROCESS_LOG", "PROCESS_LOG_STDOUT", "PROCESS_LOG_STDERR"}
)
EVENTS_LINE: Final = f"events={','.join(_NEEDED)}"
_SERVERS: Final = ("unix_http_server", "inet_http_server")
_CREDENTIALS: Final = frozenset({"SUPERVISOR_USERNAME", "SUPERVISOR_PASSWORD"})


# --- the listener ---------------------------------------------------------------------


def listeners(case: Case) -> Iterator[Finding]:
    """Somebody has to watch: to hear of everything, and to come back."""
    if not case.conf.listeners:
        yield error(
            Where(case.conf.path),
            "listener",
            line="[eventlistener:swarm_event_listener]\n"
            'command=swarm-event-listener --config "%(here)s/swarm.toml"\n'
            + EVENTS_LINE,
            why="no [eventlistener:x] runs swarm-event-listener: nobody watches",
        )
    seen = []
    for pool in case.conf.listeners:
        where, files = pool.section.where, _files(pool)
        if pool.numprocs != 1:
            yield error(
                where,
                "listener-pool",
                line="numprocs=1",
                why=f"a pool of {pool.numprocs}: each event goes to one of them only, "
                "so none knows how the nodes are",
            )
        if files in seen:
            yield error(
                where,
                "listener",
                why="another listener has the same configuration: it holds the "
                "journal, and this one exits 78; remove one of the two",
            )
        seen.append(files)
        yield from _buffer(case, pool)
        yield from _events(case, pool)
        yield from _restarts(pool)
        yield from _credentials(case, pool)


def _files(pool: Program) -> dict[str, str]:
    return flags(pool.options.command, ["config", "state-dir"])


def _buffer(case: Case, pool: Program) -> Iterator[Finding]:
    """Events must not be dropped while the listener starts or is busy."""
    size, least = pool.buffer_size, EVENTS_PER_NODE * case.node_count
    if size < least:
        finding = error if size < EVENTS_PER_START * case.node_count else warning
        yield finding(
            pool.section.where,
            "buffer-size",
            line=f"buffer_size={max(1000, least)}",
            why=f"buffer_size is {size} for {case.node_count} nodes: supervisord "
            f"drops the oldest events; {EVENTS_PER_NODE} a node ({least}) at least",
        )


def _events(case: Case, pool: Program) -> Iterator[Finding]:
    """The listener has to hear of all that it decides on, and not of each line."""
    words = pool.section.values.get("events", "").upper().split(",")
    heard = {word.strip() for word in words}
    output = heard & _OUTPUT
    printing = [it.section.name for it in case.conf.everyone if _makes_events(it)]
    if output and printing:
        yield warning(
            pool.section.where,
            "events",
            line=EVENTS_LINE,
            why=f"{', '.join(sorted(output))} has each line that [{printing[0]}] "
            "prints (std*_events_enabled) sent to the listener, which does not need "
            "it: its buffer overflows, and what it needs is lost",
        )
    missing = [
        word
        for word, same in _NEEDED.items()
        if not (heard & {"EVENT", word} or same <= heard)
    ]
    if missing:
        finding = error if _VITAL.intersection(missing) else warning
        yield finding(
            pool.section.where,
            "events",
            line=EVENTS_LINE,
            why=f"the listener does not hear of {', '.join(missing)}",
        )


def _makes_events(program: Program) -> bool:
    """Whether what it prints makes events."""
    options = program.options
    return options.stdout_events_enabled or options.stderr_events_enabled


def _restarts(pool: Program) -> Iterator[Finding]:
    """The listener itself has to come back, and to have time to finish."""
    yield from restarts(
        pool,
        "listener",
        left_down=(EXIT_CONFIG,),
        unstopped="the listener in order: restarts under way are not finished, and "
        "nodes may stay down",
    )
    if pool.options.stopwaitsecs < LISTENER_STOP_S:
        yield warning(
            pool.section.where,
            "stopwaitsecs",
            line=f"stopwaitsecs={LISTENER_STOP_S}",
            why="the listener finishes restarts under way before it ends; after "
            f"{pool.options.stopwaitsecs} s it would be KILLed meanwhile",
        )


def _credentials(case: Case, pool: Program) -> Iterator[Finding]:
    """supervisord tells its children its server's address, but not the password."""
    server = next((it for it in _SERVERS if it in case.conf.sections), "")
    missing = sorted(_CREDENTIALS - pool.options.environment.keys())
    if server and case.conf.sections[server].values.get("password") and missing:
        yield error(
            pool.section.where,
            "credentials",
            line='environment=SUPERVISOR_USERNAME="...",SUPERVISOR_PASSWORD="..."',
            why=f"[{server}] asks for a password, which supervisord does not pass on: "
            f"the listener needs {' and '.join(missing)}",
        )


# --- supervisord ----------------------------------------------------------------------


def supervisord(case: Case) -> Iterator[Finding]:
    """supervisord must not end, nor change what it passes on."""
    where, options = case.conf.where, case.conf.supervisord
    count = sum(program.numprocs for program in case.conf.everyone)
    least = 6 * count + 200
    if options.minfds < least:
        yield error(
            where,
            "minfds",
            line=f"minfds={least}",
            why=f"minfds is {options.minfds} for {count} processes: supervisord runs "
            "out of file descriptors, and nodes become FATAL; 6 a process and 200 at "
            "least",
        )
    if options.logfile_maxbytes > 0:
        yield warning(
            where,
            "log-rotation",
            line="logfile_maxbytes=0",
            why="supervisord rotates its own log: should that fail (a full disk, a "
            "directory that is gone), supervisord ends and all nodes with it. Rotate "
            "it from outside, then send supervisord USR2",
        )
    yield from _growth(case)
    if options.strip_ansi:
        yield warning(
            where,
            "strip-ansi",
            line="strip_ansi=false",
            why="strip_ansi changes captured output, reports among it",
        )


def _growth(case: Case) -> Iterator[Finding]:
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


def http_servers(case: Case) -> Iterator[Finding]:
    """The listener calls supervisord through one of its HTTP servers."""
    if not any(server in case.conf.sections for server in _SERVERS):
        yield error(
            Where(case.conf.path),
            "no-server",
            line="[unix_http_server]\nfile=%(here)s/supervisor.sock",
            why="supervisord has no socket: the listener cannot restart anything",
        )
    if "rpcinterface:supervisor" not in case.conf.sections:
        yield error(
            Where(case.conf.path),
            "no-rpc",
            line="[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory="
            "supervisor.rpcinterface:make_main_rpcinterface",
            why="supervisord answers no calls: the listener cannot restart anything",
        )


def inet_server(case: Case) -> Iterator[Finding]:
    """Whoever reaches supervisord's port can run anything as its user."""
    section = case.conf.sections.get("inet_http_server")
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
    listeners,
    supervisord,
    http_servers,
    inet_server,
    unix_server,
    spelling,
)
