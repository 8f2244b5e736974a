"""Brings the faults of a schedule about, and keeps book of what each excuses."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from typing import Final

from swarm_event_listener.core.model.events import RollOrdered, Word
from swarm_event_listener.supervisord.operator_commands import encode, encode_roll
from swarm_event_listener.supervisord.rpc import SupervisorFault, SupervisorUnreachable
from tests.eventually import eventually
from tests.faults import settling
from tests.faults.book import Book
from tests.faults.schedule import Fault, Kind
from tests.faults.sickness import REPORTED, Illnesses
from tests.faults.state_disk import StateDisk
from tests.faults.verdict import Evidence, Process
from tests.process import scenes
from tests.process.lives import Lives
from tests.process.proxy import Blow, Proxy
from tests.process.swarms import GROUP, LISTENER, Swarm

NODES: Final = 6
SHORTLY_S: Final = 0.8
PEACE_WITHIN_S: Final = 40.0  # after the last fault: silence, stop, gap, twice over


@dataclass
class Mayhem:
    """A swarm, its witnesses, and the book of what was done to it.

    Attributes:
        timeline: What was done when, for people.
        done: How often each kind of fault came about.
    """

    swarm: Swarm
    lives: Lives
    proxy: Proxy
    disk: StateDisk
    illnesses: Illnesses = field(default_factory=lambda: REPORTED)
    book: Book = field(default_factory=Book)
    timeline: list[str] = field(default_factory=list)
    done: Counter[Kind] = field(default_factory=Counter)
    thaws: list[tuple[float, int]] = field(default_factory=list)
    troubled_since_s: float = 0.0
    mends_at_s: float | None = None

    def bring(self, fault: Fault) -> None:
        """Bring a fault about, unless there is nobody to suffer it."""
        scenes.let_pass(fault.pause_s)
        self.thaw(until_s=time.monotonic())
        try:
            told = self._verbs()[fault.kind](fault)
            self.done[fault.kind] += 1
        except (SupervisorFault, SupervisorUnreachable, OSError) as error:
            told = f"not possible: {error}"
        self.timeline.append(f"{time.monotonic():.2f} {fault.kind}: {told}")

    def thaw(self, *, until_s: float | None = None) -> None:
        """End what has lasted for long enough, freezes and a disk's trouble.

        All of it without a moment.
        """
        for due_s, pid in list(self.thaws):
            if until_s is None or due_s <= until_s:
                scenes.signal_if_alive(pid, signal.SIGCONT)
                self.thaws.remove((due_s, pid))
        if self.mends_at_s is not None and (until_s or inf) >= self.mends_at_s:
            self.book.excused |= self._present(since_s=self.troubled_since_s)
            self.disk.mend()
            self.mends_at_s = None

    def _verbs(self) -> dict[Kind, Callable[[Fault], str]]:
        return {
            **dict.fromkeys(self.illnesses, self._sicken),
            Kind.NODE_HANGS_LISTENER_DIES: self._sicken_and_strike,
            Kind.NODE_KILLED: self._signal_node,
            Kind.NODE_TERMED: self._signal_node,
            Kind.NODE_FROZEN: self._freeze_node,
            Kind.NODE_FROZEN_SHORTLY: self._freeze_node,
            Kind.LISTENER_KILLED: self._end_listener,
            Kind.LISTENER_TERMED: self._end_listener,
            Kind.LISTENER_FROZEN: self._freeze_listener,
            Kind.SUPERVISORD_FROZEN: self._freeze_supervisord,
            Kind.SUPERVISORD_KILLED: self._kill_supervisord,
            Kind.RELOADED: self._reload,
            Kind.OPERATOR_STOPS: self._operator_stops,
            Kind.OPERATOR_STARTS: self._operator_starts,
            Kind.OPERATOR_RESTARTS: self._operator_restarts,
            Kind.OPERATOR_ROLLS: self._operator_rolls,
            Kind.OPERATOR_HOLDS: self._operator_holds,
            Kind.OPERATOR_RELEASES: self._operator_releases,
            Kind.JOURNAL_DAMAGED: self._damage_journal,
            Kind.DISK_FULL: self._trouble_disk,
            Kind.DISK_READ_ONLY: self._trouble_disk,
        }

    # --- nodes ------------------------------------------------------------------------

    def _victim(self, fault: Fault, *, healthy: bool = False) -> tuple[int, int]:
        """Give a running node and its pid, from the fault's own node on.

        Raises:
            ProcessLookupError: None runs.
        """
        known = {info.name: info for info in self.swarm.daemon.rpc.processes()}
        for offset in range(NODES):
            node = (fault.node + offset) % NODES
            info = known[scenes.name_of(node)]
            if info.state == "RUNNING" and info.pid is not None:
                if healthy and not self._is_settled(info.name, info.pid):
                    continue
                return node, info.pid
        raise ProcessLookupError("no such node runs")

    def _is_settled(self, slot: str, pid: int) -> bool:
        """Tell whether a process is well and not too young for an operator.

        supervisord tells starts in whole seconds: a listener that died meanwhile cannot
        tell the stop of a process from that of its predecessor a second before.
        """
        young_s = time.monotonic() - 2
        return (slot, pid) not in self.book.explained and any(
            life.pid == pid and life.seen_at_s < young_s
            for life in self.lives.alive(slot)
        )

    def _explain(self, node: int, pid: int, statuses: set[int]) -> None:
        self.book.explain((scenes.name_of(node), pid), statuses)

    def _sicken(self, fault: Fault) -> str:
        node, pid = self._victim(fault)
        script, statuses = self.illnesses[fault.kind]
        self._explain(node, pid, statuses)
        name = scenes.name_of(node).partition(":")[2]
        scenes.write_script(self.swarm.daemon.folder, name, pid=pid, **script)
        return f"node {node} pid {pid}"

    def _sicken_and_strike(self, fault: Fault) -> str:
        node, _ = self._victim(fault)
        method, is_made = fault.step
        self.proxy.arm(Blow(method, scenes.name_of(node), is_made))
        return f"{self._sicken(fault)}, {method} {'made' if is_made else 'not made'}"

    def _signal_node(self, fault: Fault) -> str:
        node, pid = self._victim(fault)
        is_kill = fault.kind is Kind.NODE_KILLED
        os.kill(pid, signal.SIGKILL if is_kill else signal.SIGTERM)
        return f"node {node} pid {pid}"

    def _freeze_node(self, fault: Fault) -> str:
        node, pid = self._victim(fault)
        os.kill(pid, signal.SIGSTOP)
        if fault.kind is Kind.NODE_FROZEN:
            self._explain(node, pid, {-1})
        else:
            self.thaws.append((time.monotonic() + SHORTLY_S, pid))
        return f"node {node} pid {pid}"

    # --- the listener -----------------------------------------------------------------

    def _listener(self) -> int:
        """Give the listener's pid.

        Raises:
            ProcessLookupError: It is between two lives.
        """
        pid = self.swarm.daemon.pid(LISTENER)
        if pid is None:
            raise ProcessLookupError("no listener just now")
        return pid

    def _end_listener(self, fault: Fault) -> str:
        pid = self._listener()
        is_kill = fault.kind is Kind.LISTENER_KILLED
        os.kill(pid, signal.SIGKILL if is_kill else signal.SIGTERM)
        self.book.listener_ends += 1
        return f"pid {pid}"

    def _freeze_listener(self, fault: Fault) -> str:
        pid = self._listener()
        os.kill(pid, signal.SIGSTOP)
        self.thaws.append((time.monotonic() + fault.lasts_s, pid))
        return f"pid {pid} for {fault.lasts_s} s"

    # --- supervisord ------------------------------------------------------------------

    def _freeze_supervisord(self, fault: Fault) -> str:
        process = self.swarm.daemon.process
        process.send_signal(signal.SIGSTOP)
        try:
            scenes.let_pass(fault.lasts_s)
        finally:
            process.send_signal(signal.SIGCONT)
        return f"for {fault.lasts_s} s"

    def _kill_supervisord(self, _fault: Fault) -> str:
        self._excuse_all()
        process = self.swarm.daemon.process
        process.kill()
        process.wait()
        self._excuse_all()
        self.book.listener_ends += 1
        scenes.start_again(self.swarm)
        return f"pid {process.pid}, now {self.swarm.daemon.process.pid}"

    def _reload(self, _fault: Fault) -> str:
        self._excuse_all()
        self.book.listener_ends += 1
        self.swarm.daemon.rpc._call("supervisor.restart")
        eventually(self._has_reloaded, within_s=30, describe="the end of a reload")
        return "done"

    def _has_reloaded(self) -> bool:
        with suppress(SupervisorFault, SupervisorUnreachable):
            return bool(self.swarm.daemon.rpc.processes())
        return False

    def _excuse_all(self) -> None:
        """Take note that whatever is under way now ends without a record."""
        self.book.excuse_all(settling.stopped(self.swarm) | self._present())

    def _present(self, *, since_s: float = inf) -> set[Process]:
        """Give the processes that are there now, or were since a moment."""
        return {
            (slot, life.pid)
            for slot in map(scenes.name_of, range(NODES))
            for life in self.lives.all(slot)
            if (life.gone_at_s or inf) >= since_s
        }

    # --- the listener's disk ----------------------------------------------------------

    def _damage_journal(self, fault: Fault) -> str:
        """Damage it while the listener cannot write it anew; the next one reads it."""
        pid = self._listener()
        os.kill(pid, signal.SIGSTOP)
        try:
            records = self.swarm.records()
            self.disk.damage(fault.damage)
            self.book.kept += records
            os.kill(pid, signal.SIGKILL)
        finally:
            scenes.signal_if_alive(pid, signal.SIGCONT)
        self.book.listener_ends += 1
        return f"{fault.damage}, {len(records)} records in it"

    def _trouble_disk(self, fault: Fault) -> str:
        """Have nothing written for a while: nodes are restarted by TERM then.

        Such a restart is no stop, and its record dies with the listener; so does the
        record of one that is under way.
        """
        under_way = {
            (slot, intent["record"]["pid"])
            for slot, intent in self.swarm.intents().items()
        }
        is_full = fault.kind is Kind.DISK_FULL
        (self.disk.fill if is_full else self.disk.lock)()
        self.book.excused |= under_way
        self.troubled_since_s = time.monotonic()
        self.mends_at_s = self.troubled_since_s + fault.lasts_s
        return f"for {fault.lasts_s} s"

    # --- the operator -----------------------------------------------------------------

    def _operator_stops(self, fault: Fault) -> str:
        node, pid = self._victim(fault, healthy=True)
        self._stop(node, pid)
        self.book.stopped_at_s[scenes.name_of(node)] = time.monotonic()
        return f"node {node} pid {pid}"

    def _stop(self, node: int, pid: int) -> None:
        self.swarm.daemon.rpc.stop(scenes.name_of(node))
        self.book.excused.add((scenes.name_of(node), pid))

    def _operator_starts(self, _fault: Fault) -> str:
        slot = min(self.book.stopped_at_s, default=None)
        if slot is None:
            raise ProcessLookupError("none is stopped")
        now_s = time.monotonic()
        self.swarm.daemon.rpc.start(slot)
        self.book.is_up(slot, from_s=now_s)
        return slot

    def _operator_restarts(self, fault: Fault) -> str:
        node, pid = self._victim(fault, healthy=True)
        self._stop(node, pid)
        self.swarm.daemon.wait_for(scenes.name_of(node), "STOPPED")
        self.swarm.daemon.rpc.start(scenes.name_of(node))
        return f"node {node} pid {pid}"

    def _operator_rolls(self, _fault: Fault) -> str:
        order = encode_roll(RollOrdered(group=GROUP, max_unavailable=2, timeout_s=10))
        self.swarm.daemon.rpc.send_event(order.type, order.data)
        self.book.rolls += 1
        return "asked for"

    def _operator_holds(self, fault: Fault) -> str:
        """Hold a healthy node; a hold that cannot be kept is not to be relied on."""
        if self.disk.trouble:
            raise ProcessLookupError("the listener cannot keep it")
        node, pid = self._victim(fault, healthy=True)
        slot = scenes.name_of(node)
        self.order(Word.HOLD, slot)
        self.book.held_at_s.setdefault(slot, time.monotonic())
        return f"node {node} pid {pid}"

    def _operator_releases(self, _fault: Fault) -> str:
        slot = min(self.book.held_at_s, default=None)
        if slot is None or self.disk.trouble:
            raise ProcessLookupError("none is held, or the listener cannot keep it")
        now_s = time.monotonic()
        self.order(Word.RELEASE, slot)
        self.book.is_released(slot, from_s=now_s)
        return slot

    def order(self, word: Word, slot: str) -> None:
        """Give an order, and wait until the listener says that it has taken it."""
        order = encode(word, [slot])
        self.swarm.daemon.rpc.send_event(order.type, order.data)

        def is_taken() -> bool:
            self.thaw(until_s=time.monotonic())
            told = self.swarm.status().get("nodes", [])
            return [node["held"] for node in told if node["node"] == slot] == [
                word is Word.HOLD
            ]

        eventually(is_taken, within_s=20, describe=f"{slot}: {word}")

    # --- the end ----------------------------------------------------------------------

    def at_peace(self) -> bool:
        """Tell whether each node is as it should be; see `tests.faults.settling`."""
        return settling.at_peace(self.swarm, self.book)

    def evidence(self) -> Evidence:
        """Give what the witnesses saw."""
        self.lives.sample()
        return Evidence(
            lives={
                slot: self.lives.all(slot) for slot in map(scenes.name_of, range(NODES))
            },
            overlaps=self.lives.overlaps,
            records=[*self.book.kept, *self.swarm.records()],
            stopped=settling.stopped(self.swarm),
            excused=self.book.excused,
            explained=self.book.explained,
            operator_downs=self.book.downs,
            holds=self.book.holds,
            rolls=self.book.rolls,
            listener_log=self.swarm.log,
            listener_ends=self.book.listener_ends + len(self.proxy.dealt),
        )
