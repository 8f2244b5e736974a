"""Whether the kernel has killed a process for want of memory, by its own counters.

That of a cgroup counts the processes in it that any OOM killer has killed; that of the
machine says only that there was one somewhere. Both are looked at each second, so what
has grown in the last few of them has grown for a death of just now.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from swarm_event_listener.core.model.death import OutOfMemory

RECENT_S: Final = 5.0  # supervisord tells of an end up to a second late
FORGET_S: Final = 30.0

_KILLS: Final = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


class _Counter:
    """What one file has counted, of late."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._readings: deque[tuple[float, int]] = deque()

    def look(self, *, now_s: float) -> bool:
        """Read it; return whether it could be read."""
        try:
            found = _KILLS.search(self.path.read_bytes())
        except OSError:
            found = None
        if found is None:
            self._readings.clear()
            return False
        self._readings.append((now_s, int(found[1])))
        while len(self._readings) > 1 and now_s - self._readings[1][0] >= RECENT_S:
            self._readings.popleft()
        return True

    def claim(self) -> bool:
        """Whether it has grown of late; each kill is claimed by one death."""
        if not self._readings or self._readings[-1][1] <= self._readings[0][1]:
            return False
        last = self._readings[-1][1]
        self._readings = deque((at, min(n + 1, last)) for at, n in self._readings)
        return True


class OomKills:
    """The counters of the machine and of the cgroups of all nodes."""

    def __init__(
        self, *, proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")
    ) -> None:
        """Know of no process yet."""
        self._proc, self._cgroups = proc, cgroups
        self._machine = _Counter(proc / "vmstat")
        self._counters: dict[Path, _Counter] = {}
        self._files: dict[int, tuple[float, Path | None]] = {}

    def look(self, pids: Iterable[int | None], *, now_s: float) -> None:
        """Read all counters; learn the cgroups of new processes."""
        for pid in pids:
            if pid is not None:
                known = self._files.get(pid)
                path = known[1] if known else self._file_of(pid)
                self._files[pid] = (now_s, path)
        self._files = {
            pid: (at_s, path)
            for pid, (at_s, path) in self._files.items()
            if now_s - at_s < FORGET_S
        }
        paths = {path for _, path in self._files.values() if path}
        self._counters = {
            path: self._counters.get(path) or _Counter(path) for path in paths
        }
        for counter in (self._machine, *self._counters.values()):
            counter.look(now_s=now_s)

    def claim(self, pid: int | None, *, now_s: float) -> OutOfMemory:
        """Return whether a process that was killed just now was so by the kernel."""
        path = self._files.get(pid, (0.0, None))[1] if pid else None
        counter = self._counters.get(path) if path else None
        if counter is not None and counter.look(now_s=now_s):
            return OutOfMemory.YES if counter.claim() else OutOfMemory.NO
        self._machine.look(now_s=now_s)
        return OutOfMemory.PERHAPS if self._machine.claim() else OutOfMemory.NO

    def _file_of(self, pid: int) -> Path | None:
        """Return the file with the counter of a process's cgroup, version 2 or 1."""
        try:
            lines = (self._proc / str(pid) / "cgroup").read_text("utf-8").splitlines()
        except (OSError, ValueError):
            return None
        for line in lines:
            number, _, rest = line.partition(":")
            controllers, _, cgroup = rest.partition(":")
            if "memory" in controllers.split(","):
                return (
                    self._cgroups / "memory" / cgroup.lstrip("/") / "memory.oom_control"
                )
            if number == "0" and not controllers:
                unified = self._cgroups / cgroup.lstrip("/") / "memory.events"
                if unified.exists():
                    return unified
        return None
