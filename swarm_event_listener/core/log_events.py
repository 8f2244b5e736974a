"""The lines that the core logs, as events with their figures."""

from __future__ import annotations

from swarm_event_listener.core.model.events import Level, Say
from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.model.rules import KAFKA_BLAMED, Found, reasons
from swarm_event_listener.core.model.scale_change import ScaleChange
from swarm_event_listener.core.node import Node
from swarm_event_listener.core.rolling_restart import Roll


def left_down(name: str, pid: int | None) -> Say:
    """A node exited with a code that is for a person to read."""
    return Say(
        level=Level.ERROR,
        event="node_exited_for_good",
        fields={
            "node": name,
            "pid": pid,
            "do": "its exit code is one of the program's exitcodes, so supervisord"
            " leaves it down; see its log, then supervisorctl start; exit 78 is tried"
            " again every restart_backoff_max, until swarm hold",
        },
    )


def scaled(change: ScaleChange) -> Say:
    """How many nodes are to run has changed."""
    return Say(
        level=Level.INFO,
        event="swarm_scaled",
        fields={
            "group": change.key,
            "nodes": "as start_nodes says" if change.nodes is None else change.nodes,
            "before": change.before,
            "by": change.by,
            "why": change.why,
        },
    )


def rolling(rolled: Roll, event: str) -> Say:
    """A rolling restart moved on."""
    return Say(
        level=Level.ERROR if rolled.failure else Level.INFO,
        event=event,
        fields={
            "group": rolled.group,
            "waiting": len(rolled.waiting),
            "turned": ",".join(node.name for node in rolled.turned),
            "done": len(rolled.done),
            "skipped": len(rolled.skipped),
            "held": len(rolled.held),
            "restarting": len(rolled.restarting),
            "failure": rolled.failure,
        },
    )


def begun(record: Record, event: str) -> Say:
    """A restart begins, or would begin in a dry run."""
    return Say(
        level=Level.WARNING, event=event, fields=record.line("new_pid", "killed")
    )


def waits(node: Node, found: Found) -> Say:
    """A restart has to wait, for the governor or the end of an outage."""
    return Say(
        level=Level.WARNING,
        event="restart_waits",
        fields={
            "node": node.name,
            "pid": node.pid,
            "status": found[0].status.value,
            "reason": reasons(found),
        },
    )


def below_boot_size(node: Node, found: Found) -> Say:
    """A node that never handled a message is over its memory limit."""
    return Say(
        level=Level.ERROR,
        event="memory_limit_below_boot_size",
        fields={"node": node.name, "pid": node.pid, "reason": reasons(found)},
    )


def suspected(node: Node, message: str | None) -> Say:
    """A node died so many times with the same message in flight."""
    return Say(
        level=Level.ERROR,
        event="message_suspected",
        fields={
            "node": node.name,
            "pid": node.pid,
            "suspect": message,
            "do": "look at this message: the node died each time while it was in"
            " flight; with dead_letter for its topic the node gives it up by itself,"
            " after more than max_retries deaths in a row",
        },
    )


def died(record: Record) -> Say:
    """A node died that nobody had stopped, and all that can be known of it is."""
    death = record.death
    return Say(
        level=Level.WARNING,
        event="node_died",
        fields={
            "node": record.node,
            "pid": death and death.pid,
            "exit_code": death and death.exit_code,
            "signal": death and death.signal,
            "out_of_memory": death and death.out_of_memory.value,
            "reason": str(death),
            "in_flight": ",".join(record.in_flight),
            "suspect": record.suspect,
            "rss_mb": record.rss_mb,
        },
    )


def held(node: Node) -> Say:
    """An operator took a node out of the rules, or gave it back."""
    return Say(
        level=Level.INFO,
        event="node_held" if node.is_held else "node_released",
        fields={"node": node.name, "pid": node.pid},
    )


def roll_refused(group: str, why: str) -> Say:
    """A rolling restart cannot begin."""
    return Say(
        level=Level.WARNING, event="roll_refused", fields={"group": group, "why": why}
    )


def outage(group: str) -> Say:
    """Half of a group has trouble with Kafka."""
    held = sorted(int(status) for status in KAFKA_BLAMED)
    return Say(
        level=Level.ERROR,
        event="outage_guard_holds_fire",
        fields={"group": group, "held_statuses": ",".join(map(str, held))},
    )


def never_reported(group: str) -> Say:
    """No node of a group has ever reported, though it should have."""
    return Say(
        level=Level.ERROR,
        event="group_never_reported",
        fields={
            "group": group,
            "do": "check stdout_capture_maxbytes and that its nodes report;"
            " silence is not acted on before the first report",
        },
    )
