"""The command ``dlq``: a program that has a Kafka client does it, this starts it."""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from swarm_event_listener.ctl.session import Exit, Session
from swarm_event_listener.ctl.sources.node_program import NodeProgram
from swarm_event_listener.ctl.sources.state import StateError, who_may
from swarm_event_listener.storage.journal import STATUS

_EXITS: Final = {each.value: each for each in (Exit.OK, Exit.FAILED)}


def dlq(session: Session, arguments: argparse.Namespace) -> Exit:
    """Look at a dead-letter topic, or replay it.

    Raises:
        StateError: The program for that cannot be started.
    """
    program = session.sources.node_program(arguments.node)
    words = [
        *("-m", "swarm_worker.admin"),
        *("--config", str(program.config), "--parent", str(os.getpid())),
        *_status(session),
        "dlq",
        *_handed_on(arguments),
    ]
    return _EXITS.get(session.sources.run(words, program), Exit.FAILED)


def _status(session: Session) -> list[str]:
    """Return where the listener tells whether handlers work, if that is known."""
    try:
        return ["--status", str(session.sources.place().directory / STATUS)]
    except StateError:
        return []


def _handed_on(arguments: argparse.Namespace) -> list[str]:
    """Return the words of the command from its action on."""
    words: Sequence[str] = arguments.words
    own = list(words[words.index(arguments.action) :])
    return [*own, "--json"] if arguments.json and "--json" not in own else own


def run_program(words: Sequence[str], program: NodeProgram) -> int:
    """Run Python as a node would run it, with our terminal; return its exit code.

    Where its interpreter is out of our reach ours will do: it has this package, too.
    Ctrl-C reaches it, too: it ends in its own time, and is waited for.

    Raises:
        StateError: It cannot be started.
    """
    _check_readable(program)
    sys.stdout.flush()
    try:
        try:
            return _run([program.python, *words], program)
        except PermissionError:
            return _run([sys.executable, *words], program)
    except OSError as error:
        raise StateError(f"cannot start {program.python}: {error}") from None


def _run(command: list[str], program: NodeProgram) -> int:
    # A handler of ours is the program's no more; one that ignores would be.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with subprocess.Popen(  # noqa: S603 - what supervisord runs
            command, cwd=program.folder, env=dict(program.environ), **_user(program)
        ) as process:
            return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _check_readable(program: NodeProgram) -> None:
    path = program.config
    if os.geteuid() and path.exists() and not os.access(path, os.R_OK):
        raise StateError(f"cannot read {path}: {who_may(path, stat.S_IRGRP)}")


def _user(program: NodeProgram) -> dict[str, Any]:
    """Return as whom it runs: root would else run code of the nodes' user."""
    if os.geteuid() or not program.uid:
        return {}
    try:
        user = pwd.getpwuid(program.uid)
    except KeyError:
        return {"user": program.uid, "group": program.uid, "extra_groups": []}
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
