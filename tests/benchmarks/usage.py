"""What a process uses, read from /proc: CPU time and memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

Cpu = float  # seconds

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CHILDREN: Final = slice(13, 15)  # cutime, cstime, counted after the name. proc(5)


def cpu_of(pid: int) -> Cpu:
    """Return the CPU time of a process and of its children that have ended, in seconds.

    Raises:
        OSError: It is gone.
    """
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ended = sum(int(ticks) for ticks in stat[_CHILDREN]) / _TICKS
    # In nanoseconds, where `stat` counts hundredths of a second.
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return ended + sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def memory_of(pid: int) -> dict[str, float]:
    """Return rss, pss and uss of a process in MB (2^20 bytes).

    Raises:
        OSError: It is gone.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    kb = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    uss = kb["Private_Clean"] + kb["Private_Dirty"]
    return {"rss": kb["Rss"] / 1024, "pss": kb["Pss"] / 1024, "uss": uss / 1024}
