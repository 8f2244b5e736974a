"""What a listener's command writes on its stdout before the protocol begins.

It is started, with ``--version`` in the place of its flags.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Final

from swarm_event_listener.doctor.case import Case
from swarm_event_listener.doctor.check_disk import as_user
from swarm_event_listener.doctor.finding import Finding, error
from swarm_event_listener.doctor.supervisord_conf import LISTENER, Program
from swarm_event_listener.supervisord.protocol import READY

VERSION_FLAG: Final = "--version"
# Its answer; or the protocol, where a wrapper drops the flag.
_BEGIN: Final = re.compile(rb"swarm-event-listener [0-9]\S*\n|" + re.escape(READY))
WITHIN_S: Final = 10.0
SHOWN_MAX: Final = 80
READ_MAX: Final = 4_096

# As supervisord sets it, so that the listener takes its stdout for the protocol; nobody
# answers there.
_NOBODY: Final = "unix:///dev/null"


def argv_of(command: str) -> list[str] | None:
    """Return the command with ``--version`` in the place of the listener's flags.

    None where it cannot be split, or does not run the listener.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if len(words) == 3 and words[1] == "-c":  # a shell's
        found = LISTENER.search(words[2])
        line = f"{words[2][: found.end()]} {VERSION_FLAG}" if found else None
        return [*words[:2], line] if line else None
    for number, word in enumerate(words):
        if LISTENER.search(word):
            return [*words[: number + 1], VERSION_FLAG]
    return None


def _first_bytes(pool: Program, case: Case) -> bytes:
    """Start a listener's command as supervisord would; return what is on its stdout.

    As its user where this process may become that. Empty where it cannot be started, or
    does not end: then what it wrote says nothing.
    """
    argv = argv_of(pool.options.command)
    if argv is None:
        return b""
    environ = {
        **case.environ,
        **pool.options.environment,
        "SUPERVISOR_ENABLED": "1",
        "SUPERVISOR_SERVER_URL": _NOBODY,
        "SUPERVISOR_PROCESS_NAME": pool.options.name,
        "SUPERVISOR_GROUP_NAME": pool.group,
    }
    becomes = pool.uid if os.geteuid() == 0 and pool.uid != 0 else None
    with tempfile.TemporaryFile() as stdout:  # not a pipe: a child may keep it open
        try:
            process = subprocess.Popen(  # noqa: S603 - what supervisord runs, too
                argv,
                executable=shutil.which(argv[0], path=environ.get("PATH", "")),
                cwd=case.conf.folder_of(pool),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                **({} if becomes is None else as_user(becomes)),
            )
        except (OSError, ValueError, subprocess.SubprocessError):
            return b""  # supervisord says so
        try:
            process.wait(WITHIN_S)
        except subprocess.TimeoutExpired:
            return b""
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        stdout.seek(0)
        return stdout.read(READ_MAX)


def printed(output: bytes) -> bytes:
    """Return what stands before the listener's answer; empty where nothing does."""
    begun = _BEGIN.search(output)
    return output[: begun.start()] if begun else output


def check(case: Case) -> Iterator[Finding]:
    """Nothing may be printed before the protocol."""
    for pool in case.conf.listeners:
        before = printed(_first_bytes(pool, case))
        if before:
            shown = ascii(before[:SHOWN_MAX].decode("utf-8", "replace"))
            yield error(
                pool.section.where,
                "stdout",
                why=f"its command prints {shown} on stdout before the listener begins: "
                "supervisord then sends it no event, and nobody supervises. It comes "
                "from a wrapper in command=, or from a sitecustomize or .pth file of "
                "its Python: have it print on stderr",
            )
