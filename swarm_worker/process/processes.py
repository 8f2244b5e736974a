"""The processes of the machine, from /proc: there is nothing to see elsewhere."""

from __future__ import annotations

import errno
import os
import signal
import time
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from swarm_worker.process.offspring import Process

PROC: Final = Path("/proc")
_NAMED_MAX: Final = 20
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SUPERVISORD: Final = {b"supervisord", b"supervisord.py", b"supervisor.supervisord"}


def running() -> dict[int, Process]:
    """Return all processes by pid, as far as they may be seen."""
    try:
        names = [path.name for path in PROC.iterdir()]
    except OSError:
        return {}
    found = map(look_at, (int(name) for name in names if name.isdecimal()))
    return {each.pid: each for each in found if each is not None}


def look_at(pid: int) -> Process | None:
    """Return one process; None where there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")  # a name may have any character in it
    fields = tail.split()
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        name=head.partition("(")[2],
        is_dead=fields[0] in {"Z", "X"},
    )


def ticks() -> int:
    """Return this moment as the kernel counts the starts of processes."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def era() -> str:
    """Return a name for the numbers of processes: of this boot, of this container."""
    boot = (PROC / "sys/kernel/random/boot_id").read_text("ascii")
    space = (PROC / "self/ns/pid").readlink()
    first = look_at(1)
    text = f"{boot} {space} {first and first.started}"
    return f"{zlib.crc32(text.encode()):08x}"


def has_environment(pid: int, wanted: Mapping[str, str]) -> bool:
    """Whether a process was started with these variables; not, where none may see."""
    try:
        lines = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return {f"{name}={value}".encode() for name, value in wanted.items()} <= {*lines}


def made_group_of_slot() -> bool:
    """Whether supervisord made this process's group, and reads what it prints.

    Its variables are inherited by all that it starts: a shell in a browser, an agent
    that builds. Nodes that are started there by hand have groups, or standard outputs,
    that are not of supervisord's making.
    """
    leader = look_at(os.getpgid(0))
    if leader is None or not _is_supervisord(leader.parent):
        return False
    if leader.pid == os.getpid():
        return True
    try:
        theirs = os.stat(PROC / str(leader.pid) / "fd" / "1")  # noqa: PTH116 - a link to a pipe
        return os.path.samestat(theirs, os.fstat(1))
    except OSError:
        return False


def _is_supervisord(pid: int) -> bool:
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.rpartition(b"/")[2] in _SUPERVISORD for word in words[:4])


def tell(process: Process, number: signal.Signals) -> None:
    """Signal a process unless it is gone; no other that has its number meanwhile."""
    with suppress(OSError):  # gone, or another user's
        fd = _pinned(process.pid)
        try:
            now = look_at(process.pid)
            if now is None or now.started != process.started:
                return
            if fd is None:
                os.kill(process.pid, number)
            else:
                signal.pidfd_send_signal(fd, number)
        finally:
            if fd is not None:
                os.close(fd)


def _pinned(pid: int) -> int | None:
    """Return a descriptor of a process; None where there is none (Linux 5.3)."""
    try:
        return os.pidfd_open(pid)
    except AttributeError:  # Python was built without it
        return None
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EPERM, errno.EMFILE, errno.ENFILE}:
            return None
        raise


def named(processes: Collection[Process]) -> str:
    """Return processes as they are logged."""
    shown = ",".join(f"{each.name}:{each.pid}" for each in [*processes][:_NAMED_MAX])
    more = len(processes) - _NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown
