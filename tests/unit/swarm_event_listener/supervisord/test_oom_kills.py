"""That a process was killed for want of memory is the kernel's own word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from swarm_event_listener.core.model.death import OutOfMemory
from swarm_event_listener.supervisord.oom_kills import OomKills

V1 = "9:cpu:/x\n4:memory:/pod/nodes\n0::/\n"
V2 = "0::/pod/nodes\n"
EVENTS = {V1: "memory/pod/nodes/memory.oom_control", V2: "pod/nodes/memory.events"}


@dataclass
class Machine:
    """A /proc and a /sys/fs/cgroup of files."""

    folder: Path
    cgroup: str = V2

    def __post_init__(self) -> None:
        self.events = self.folder / EVENTS[self.cgroup]
        self.events.parent.mkdir(parents=True)
        self.count(0)
        self.count_all(0)
        self.kills = OomKills(proc=self.folder / "proc", cgroups=self.folder)

    def start(self, pid: int) -> None:
        """Let there be a process."""
        (self.folder / "proc" / str(pid)).mkdir(parents=True)
        (self.folder / "proc" / str(pid) / "cgroup").write_text(self.cgroup)

    def count(self, kills: int) -> None:
        """Let the cgroup have counted so many."""
        self.events.write_text(f"low 0\noom 3\noom_kill {kills}\noom_group_kill 0\n")

    def count_all(self, kills: int) -> None:
        """Let the machine have counted so many."""
        (self.folder / "proc").mkdir(exist_ok=True)
        (self.folder / "proc" / "vmstat").write_text(f"nr_free 9\noom_kill {kills}\n")


@pytest.mark.parametrize("cgroup", [V1, V2])
def test_the_cgroups_own_counter_says_so(tmp_path: Path, cgroup: str) -> None:
    """It counts each process of the cgroup that any OOM killer has killed."""
    machine = Machine(tmp_path, cgroup)
    machine.start(7)
    machine.kills.look([7, None], now_s=100.0)
    machine.count(1)

    assert machine.kills.claim(7, now_s=101.0) is OutOfMemory.YES


def test_one_kill_is_the_end_of_one_process(tmp_path: Path) -> None:
    """Another one that was killed in the same second was so by somebody else."""
    machine = Machine(tmp_path)
    machine.start(7)
    machine.start(8)
    machine.kills.look([7, 8], now_s=100.0)
    machine.count(1)

    assert machine.kills.claim(7, now_s=100.5) is OutOfMemory.YES
    assert machine.kills.claim(8, now_s=100.5) is OutOfMemory.NO


def test_a_kill_of_before_says_nothing_of_a_death_of_now(tmp_path: Path) -> None:
    """It was a child of the node, say, which the node has outlived."""
    machine = Machine(tmp_path)
    machine.start(7)
    machine.kills.look([7], now_s=100.0)
    machine.count(1)
    for second in range(101, 110):
        machine.kills.look([7], now_s=float(second))

    assert machine.kills.claim(7, now_s=110.0) is OutOfMemory.NO


def test_the_machines_counter_says_perhaps(tmp_path: Path) -> None:
    """Where the cgroup's cannot be read: the kernel has killed somebody just then."""
    machine = Machine(tmp_path)
    machine.kills.look([7], now_s=100.0)  # it has no /proc/7
    machine.count_all(1)

    assert machine.kills.claim(7, now_s=101.0) is OutOfMemory.PERHAPS
    assert machine.kills.claim(None, now_s=101.0) is OutOfMemory.NO


def test_a_cgroup_that_counts_nothing_outweighs_the_machine(tmp_path: Path) -> None:
    """The kernel has killed a process of somebody else's."""
    machine = Machine(tmp_path)
    machine.start(7)
    machine.kills.look([7], now_s=100.0)
    machine.count_all(1)

    assert machine.kills.claim(7, now_s=101.0) is OutOfMemory.NO


def test_a_machine_without_counters_tells_nothing(tmp_path: Path) -> None:
    """Another platform, or an older kernel."""
    kills = OomKills(proc=tmp_path / "none", cgroups=tmp_path)
    kills.look([7], now_s=100.0)

    assert kills.claim(7, now_s=101.0) is OutOfMemory.NO
