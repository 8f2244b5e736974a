"""The options that supervisord 4 knows, to find those that are misspelled."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Final

_LOGS: Final = frozenset(
    f"{channel}_{option}"
    for channel in ("stdout", "stderr")
    for option in (
        "logfile",
        "logfile_maxbytes",
        "logfile_backups",
        "capture_maxbytes",
        "events_enabled",
        "syslog",
    )
)
_PROGRAM: Final = _LOGS | {
    "command",
    "process_name",
    "numprocs",
    "numprocs_start",
    "priority",
    "autostart",
    "startsecs",
    "startretries",
    "autorestart",
    "exitcodes",
    "stopsignal",
    "stopwaitsecs",
    "stopasgroup",
    "killasgroup",
    "user",
    "redirect_stderr",
    "environment",
    "directory",
    "umask",
    "serverurl",
}
_SERVER: Final = frozenset({"username", "password"})

# Source: supervisor 4.3, options.py. Plugins' sections may hold anything.
OPTIONS: Final = {
    "supervisord": frozenset(
        {
            "logfile",
            "logfile_maxbytes",
            "logfile_backups",
            "loglevel",
            "pidfile",
            "umask",
            "nodaemon",
            "silent",
            "minfds",
            "minprocs",
            "nocleanup",
            "childlogdir",
            "user",
            "directory",
            "strip_ansi",
            "environment",
            "identifier",
        }
    ),
    "unix_http_server": _SERVER | {"file", "chmod", "chown"},
    "inet_http_server": _SERVER | {"port"},
    "program": _PROGRAM,
    "fcgi-program": _PROGRAM
    | {"socket", "socket_owner", "socket_mode", "socket_backlog"},
    "eventlistener": _PROGRAM | {"buffer_size", "events", "result_handler"},
    "group": frozenset({"programs", "priority"}),
}


def misspelled(section: str, options: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give each option that is nearly one that supervisord knows, and that one."""
    known = OPTIONS.get(section.partition(":")[0])
    if known is None:
        return
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.8)
            yield from ((option, meant) for meant in near)
