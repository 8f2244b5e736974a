"""supervisord's view of the nodes' processes: each change, and whole surveys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Final

from swarm_event_listener.core import log_events as lines
from swarm_event_listener.core.healing import deaths
from swarm_event_listener.core.healing.due import Occasion
from swarm_event_listener.core.healing.healing import heal
from swarm_event_listener.core.model.events import (
    UP,
    Action,
    ExitRead,
    ProcessInfo,
    ProcessState,
    StateChanged,
    Survey,
    Surveyed,
    group_of,
)
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.node import (
    Node,
    appeared,
    exited,
    failed,
    moved,
    stepped,
    suspect_of,
)
from swarm_event_listener.core.node_table import Table
from swarm_event_listener.core.notes import RestoredState
from swarm_event_listener.core.restart import lifecycle, resuming
from swarm_event_listener.core.restart.restart import Phase, Restart, Step, dropped
from swarm_worker.shared.settings import EXIT_SPARE, FOR_A_PERSON

ASK_AGAIN_S: Final = 5.0  # after a survey that has told nothing of an exit code
SURVEY_S: Final = 60.0  # what supervisord did not tell us is seen by then at the latest

# STOPPED is down by an operator's order; what supervisord gave up is ours to start.
_NOT_FOR_GOOD: Final = frozenset(
    {
        ProcessState.STOPPED,
        ProcessState.EXITED,  # unless it was expected, which is told then
        ProcessState.BACKOFF,
        ProcessState.FATAL,
    }
)


class Processes:
    """Follows the states of the nodes' processes."""

    def __init__(self, table: Table, left: RestoredState) -> None:
        """Start without nodes.

        Args:
            table: Where they are kept.
            left: What an earlier listener left of them.
        """
        self._table = table
        self._intents = {intent.name: intent for intent in left.intents}
        self._failures = dict(left.failures)
        self._deaths = dict(left.deaths)
        self._pids = dict(left.pids)
        self._unheard_since_s = left.unheard_since_s
        self._asked_at_s: float | None = None  # the last survey

    def changed(self, event: StateChanged, *, now_s: float) -> Iterator[Action]:
        """A process changed its state."""
        if group_of(event.name) not in self._table.policies:
            return
        node = self._table.nodes.get(event.name)
        if node is None:
            self._appeared(event.name, event.state, event.pid, now_s=now_s)
            return
        if _is_late(node, event):
            return
        is_left = event.state is ProcessState.EXITED and event.expected
        exit_code = EXIT_SPARE if is_left and node.says_spare else None
        yield from self._moved(
            node, event.state, event.pid, exit_code=exit_code, now_s=now_s
        )
        node = self._table.nodes[event.name]
        if is_left and not self._table.is_spare(node):
            self._table.put(exited(node, now_s))
            yield lines.left_down(event.name, event.pid)

    def surveyed(self, event: Surveyed, *, now_s: float) -> Iterator[Action]:
        """All processes were listed: those that are missing are no more."""
        self._asked_at_s = self._table.evidence.answered_at_s = now_s
        self._end_standstill(now_s)
        watched = {
            info.name: info
            for info in event.processes
            if group_of(info.name) in self._table.policies
        }
        for name in self._table.nodes.keys() - watched.keys():
            yield from self._removed(name)
        for name, info in watched.items():
            known = self._table.nodes.get(name)
            if known is None:
                yield from self._found(info, now_s=now_s)
            elif (known.state, known.pid) != (info.state, info.pid):
                yield from self._moved(
                    known, info.state, info.pid, exit_code=info.exit_code, now_s=now_s
                )
            else:
                yield from self._saw(name, info.state, info.pid, now_s=now_s)
            yield from self._learn_exit(info, now_s=now_s)
            self._learn_start(info)
        while self._intents:  # of nodes that are no more
            _, intent = self._intents.popitem()
            yield from lifecycle.removed(intent).actions

    def _end_standstill(self, now_s: float) -> None:
        """Count from now on where the last listener had ended for want of events."""
        if self._unheard_since_s is not None:
            for_s = now_s - self._unheard_since_s
            self._table.evidence.stood_still(for_s=for_s, now_s=now_s)
            self._unheard_since_s = None

    def surveys(self, *, now_s: float) -> Iterator[Survey]:
        """Ask for a survey where one is due."""
        if self._must_survey(now_s):
            self._asked_at_s = now_s
            yield Survey()

    def _must_survey(self, now_s: float) -> bool:
        if self._asked_at_s is None or now_s - self._asked_at_s >= SURVEY_S:
            return True
        ask_again_at_s = self._asked_at_s + ASK_AGAIN_S
        answered_at_s = self._table.evidence.answered_at_s or 0.0
        if any(
            node.silent_since_s is not None and answered_at_s < node.silent_since_s
            for node in self._table.active()
        ):
            return True
        # Only a survey has exit codes.
        return any(
            node.left_down
            and node.left_down.exit_code is None
            and (self._asked_at_s <= node.left_down.at_s or now_s >= ask_again_at_s)
            for node in self._table
        ) or (now_s >= ask_again_at_s and any(map(_lacks_exit_code, self._table)))

    def group_removed(self, group: str) -> list[Action]:
        """A group went: its nodes are forgotten."""
        names = [name for name in self._table.nodes if group_of(name) == group]
        return [action for name in names for action in self._removed(name)]

    def exit_read(self, event: ExitRead) -> Iterable[Action]:
        """How a process ended was looked up."""
        node = self._table.nodes.get(event.name)
        return () if node is None else self._told(node, event)

    def _told(self, node: Node, event: ExitRead) -> Iterable[Action]:
        node, actions = deaths.told(node, event, self._table.policy(node).backoff)
        self._table.put(node)
        return actions

    def _learn_exit(self, info: ProcessInfo, *, now_s: float) -> Iterator[Action]:
        """Learn why a node is down, which no event tells."""
        if info.state is not ProcessState.EXITED:
            return
        node = self._table.nodes[info.name]
        if node.exit_code != info.exit_code:
            node = replace(node, exit_code=info.exit_code)
            self._table.put(node)
        left = node.left_down
        if left and left.exit_code:
            return
        if left is not None:
            node = exited(node, left.at_s, info.exit_code)
        elif info.exit_code in FOR_A_PERSON:
            at_s = now_s - max(0.0, info.stopped_ago_s or 0.0)
            node = exited(node, at_s, info.exit_code)
        self._table.put(node)
        if node.died is not None and info.exit_code >= 0:
            exit_code = info.exit_code
            event = ExitRead(name=node.name, pid=node.died.pid, exit_code=exit_code)
            yield from self._told(node, event)

    def _learn_start(self, info: ProcessInfo) -> None:
        """Learn whether a node is down because nobody has started it."""
        node = self._table.nodes[info.name]
        is_unstarted = info.state is ProcessState.STOPPED and info.started_ago_s is None
        if node.is_unstarted is not is_unstarted:
            self._table.put(replace(node, is_unstarted=is_unstarted))

    def _appeared(
        self, name: str, state: ProcessState, pid: int | None, *, now_s: float
    ) -> Node:
        node = replace(
            appeared(name, state, pid, now_s=now_s),
            is_held=name in self._table.held,
            failures=self._failures.pop(name, ()),
        )
        self._table.put(node)
        return node

    def _found(self, info: ProcessInfo, *, now_s: float) -> Iterator[Action]:
        """Take in a node, and what an earlier listener had begun with it."""
        node = self._appeared(info.name, info.state, info.pid, now_s=now_s)
        if info.state is ProcessState.EXITED:
            node = replace(node, exit_code=info.exit_code)
        intent = self._intents.pop(info.name, None)
        yield from self._bereaved(
            node, info, is_in_restart=intent is not None, now_s=now_s
        )
        if intent is not None:
            node = self._table.nodes[info.name]
            yield from self._resumed(node, intent, info, now_s=now_s)
        if info.state is ProcessState.EXITED and info.exit_code in FOR_A_PERSON:
            yield lines.left_down(info.name, info.pid)  # before we could hear of it
        yield from self._heal(info.name, now_s=now_s)

    def _bereaved(
        self, node: Node, info: ProcessInfo, *, is_in_restart: bool, now_s: float
    ) -> Iterator[Action]:
        """Take in a death that an earlier listener has seen, or has not lived to see.

        A node with another process than it knew may have been restarted by an operator.
        """
        died, pid = self._deaths.pop(node.name, None), self._pids.pop(node.name, None)
        backoff = self._table.policy(node).backoff
        actions: tuple[Action, ...] = ()
        if died is not None:
            node = replace(node, died=died)
            is_told = died.death is None or died.death.is_told
            actions = () if is_told else (deaths.asked(died),)
        elif (
            not is_in_restart
            and _is_other(info, pid)
            and not self._table.is_spare(node)
        ):
            is_seen = info.state in deaths.DEAD
            record = deaths.record_of(node, pid, is_seen=is_seen, now_s=now_s)
            node, actions = deaths.begun(node, record, backoff)
        self._table.put(deaths.followed(node, now_s=now_s))
        yield from actions

    def _resumed(
        self, node: Node, intent: Restart, info: ProcessInfo, *, now_s: float
    ) -> Iterator[Action]:
        policy = self._table.policy(node)
        step = resuming.resume(intent, info, timeouts=policy.stop_timeouts, now_s=now_s)
        is_to_stop = step.restart is not None and step.restart.phase is Phase.READY
        if policy.only_watches and is_to_stop:  # what is down comes up all the same
            step = dropped(intent, "the listener only watches (dry run)")
        yield from self._table.take(node, step)
        if node.is_held:
            yield from self._table.step(
                node.name, partial(lifecycle.held, is_held=True)
            )

    def _moved(
        self,
        node: Node,
        state: ProcessState,
        pid: int | None,
        *,
        exit_code: int | None = None,
        now_s: float,
    ) -> Iterator[Action]:
        """Follow a node into its state, and do what is due for it there.

        One that ends since it is not needed has not died.
        """
        is_spare = (
            state is ProcessState.EXITED
            and exit_code == EXIT_SPARE
            and not self._table.is_wanted(node)
        )
        if not is_spare and _is_own_death(node, state):
            backoff = self._table.policy(node).backoff
            known = suspect_of(node.failures, backoff)
            node = failed(node, backoff, now_s=now_s)
            message = suspect_of(node.failures, backoff)
            if message not in {None, known}:
                yield lines.suspected(node, message)
        record = None if is_spare else _death(node, state, pid, now_s=now_s)
        node = moved(node, state, pid, now_s=now_s)
        if is_spare:
            node = replace(node, exit_code=exit_code)
        if state in _NOT_FOR_GOOD:
            node = replace(node, left_down=None)
        self._table.put(node)
        yield from self._saw(node.name, state, pid, now_s=now_s)
        yield from self._keep_death(self._table.nodes[node.name], record, now_s=now_s)
        yield from self._heal(node.name, now_s=now_s)

    def _keep_death(
        self, node: Node, record: Record | None, *, now_s: float
    ) -> Iterable[Action]:
        """Begin the record of a death, if it was one, or go on with the last one's."""
        actions: tuple[Action, ...] = ()
        if record is not None:
            backoff = self._table.policy(node).backoff
            node, actions = deaths.begun(node, record, backoff)
        self._table.put(deaths.followed(node, now_s=now_s))
        return actions

    def _heal(self, name: str, *, now_s: float) -> Iterable[Action]:
        node = self._table.nodes[name]
        return heal(node, self._table, on=Occasion.SEEN, now_s=now_s)

    def _removed(self, name: str) -> Iterator[Action]:
        node = self._table.pop(name)
        step = lifecycle.removed(node.restart) if node.restart else Step(None)
        node, actions = stepped(node, step)
        _, kept = deaths.closed(node, self._table.policy(node).backoff)
        yield from (*actions, *kept)

    def _saw(
        self, name: str, state: ProcessState, pid: int | None, *, now_s: float
    ) -> Iterable[Action]:
        """Let a restart under way go on with the state of its process."""
        timeouts = self._table.policy(self._table.nodes[name]).stop_timeouts
        return self._table.step(
            name,
            partial(
                lifecycle.seen, state=state, pid=pid, timeouts=timeouts, now_s=now_s
            ),
        )


def _death(
    node: Node, state: ProcessState, pid: int | None, *, now_s: float
) -> Record | None:
    """Return the record of a death, where the new state of a node shows one."""
    is_seen = deaths.has_died(node, state)
    if not is_seen and not deaths.was_replaced(node, state, pid):
        return None
    return deaths.record_of(node, node.pid or pid, is_seen=is_seen, now_s=now_s)


def _is_other(info: ProcessInfo, pid: int | None) -> bool:
    """Whether a node that runs, or has exited, is not the process that it was."""
    return pid not in {None, info.pid} and info.state in UP | deaths.DEAD


def _lacks_exit_code(node: Node) -> bool:
    """Whether a node is down in a way that supervisord may leave, and nobody knows how.

    One that it brings back has been brought back by the time that anybody asks.
    """
    return node.state is ProcessState.EXITED and node.exit_code is None


def _is_late(node: Node, event: StateChanged) -> bool:
    """An event about a former process, delivered after a survey told of the present."""
    is_end = event.state not in {ProcessState.STARTING, ProcessState.RUNNING}
    return is_end and bool(event.pid and node.pid and event.pid != node.pid)


def _is_own_death(node: Node, state: ProcessState) -> bool:
    """Whether a node died by itself, not in a stop of ours, and is not counted."""
    if state not in {ProcessState.EXITED, ProcessState.BACKOFF} or node.state is state:
        return False
    if node.restart is None:
        return True
    if node.restart.is_try:
        return False  # it was counted when it exited for the first time
    phase, cause = node.restart.phase, node.restart.record.cause
    if phase in {Phase.INTENDED, Phase.EVIDENCE, Phase.READY}:
        return cause is not Cause.RULE  # whose restart counted it when it began
    return phase not in {Phase.STOPPING, Phase.DOWN}
