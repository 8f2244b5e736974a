"""Checks of the programs whose processes are nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from swarm_event_listener.doctor.case import Case, Watch, setting_line
from swarm_event_listener.doctor.finding import Finding, error, warning
from swarm_event_listener.doctor.supervisord_conf import Program, flags
from swarm_worker.shared.report import FRAME_MAX_BYTES
from swarm_worker.shared.settings import (
    FOR_A_PERSON,
    REPORTS_PER_TIMEOUT,
    is_short_report_timeout,
)

CAPTURE_LEAST_BYTES: Final = 4 * FRAME_MAX_BYTES
START_RETRIES_LEAST: Final = 100  # supervisord's pauses grow by 1 s: 80 minutes
GRACE_S: Final = 5  # from the handlers' end to that of the process
STOPS_GRACEFULLY: Final = frozenset({"TERM", "INT", "QUIT", "15", "2", "3"})

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")
_NAME_TEMPLATE: Final = "process_name=%(program_name)s_%(process_num)02d"

Check = Callable[[Case], Iterator[Finding]]


# --- reports --------------------------------------------------------------------------


def capture(case: Case) -> Iterator[Finding]:
    """Reports travel as captured output."""
    for _, program in case.nodes():
        line = "stdout_capture_maxbytes=64KB"
        if program.capture_bytes <= 0:
            yield error(
                program.section.where,
                "capture",
                line=line,
                why="stdout_capture_maxbytes is 0 (its default): no report arrives",
            )
        elif program.capture_bytes < CAPTURE_LEAST_BYTES:
            yield warning(
                program.section.where,
                "capture",
                line=line,
                why=f"stdout_capture_maxbytes is {program.capture_bytes} bytes, "
                f"a report up to {FRAME_MAX_BYTES}: supervisord drops the begin of "
                "what does not fit",
            )


def redirected(case: Case) -> Iterator[Finding]:
    """Reports and prints must not share a pipe."""
    for _, program in case.nodes():
        if program.redirect_stderr:
            yield error(
                program.section.where,
                "redirect-stderr",
                line="redirect_stderr=false",
                why="stdout and stderr are one pipe: a print can split or forge a "
                "report, and swarm-worker refuses to start (exit 78)",
            )


def output_events(case: Case) -> Iterator[Finding]:
    """Captured output need not be told twice."""
    for _, program in case.nodes():
        if program.events_enabled:
            yield warning(
                program.section.where,
                "output-events",
                line="stdout_events_enabled=false",
                why="each report makes a second event, PROCESS_LOG_STDOUT",
            )


# --- restarts -------------------------------------------------------------------------


def respawn(case: Case) -> Iterator[Finding]:
    """A node that ends, however it ends, has to come back."""
    for _, program in case.nodes():
        yield from respawns(program, "node", FOR_A_PERSON)


def respawns(
    program: Program, who: str, left_down: frozenset[int]
) -> Iterator[Finding]:
    """Check that supervisord brings a program back.

    Args:
        program: The program.
        who: What it is called in the findings.
        left_down: The exit codes after which it may stay down.
    """
    where = program.section.where
    codes = ",".join(str(code) for code in sorted(left_down, reverse=True))
    lines = f"startsecs=0\nautorestart=unexpected\nexitcodes={codes}"
    if program.autorestart == "false":
        yield error(
            where,
            "autorestart",
            line=lines,
            why=f"autorestart=false: a {who} that dies is not brought back",
        )
    if program.autorestart != "unexpected":
        return
    surplus = sorted(program.exit_codes - left_down)
    if surplus:
        listed = ",".join(map(str, surplus))
        finding = error if 0 in surplus else warning
        yield finding(
            where,
            "autorestart",
            line=lines,
            why=f"autorestart=unexpected and exitcodes has {listed}: a {who} that "
            "exits so stays down",
        )
    elif program.start_s > 0:
        yield warning(
            where,
            "autorestart",
            line=lines,
            why=f"startsecs={program.start_s}: supervisord takes an exit within it for "
            f"a failed start, whatever its code; exitcodes={codes} holds only after it",
        )


def retries(case: Case) -> Iterator[Finding]:
    """supervisord must not give up."""
    for _, program in case.nodes():
        yield from too_few_retries(program)


def too_few_retries(program: Program) -> Iterator[Finding]:
    """Check how often a program may fail to start."""
    if program.start_s > 0 and program.start_retries < START_RETRIES_LEAST:
        yield warning(
            program.section.where,
            "startretries",
            line="startretries=1000",
            why=f"after {program.start_retries} failed starts in a row, a matter of "
            "seconds, supervisord gives it up (FATAL) and never tries again",
        )


def stop_time(case: Case) -> Iterator[Finding]:
    """KILL must not come before the handlers had their time."""
    for watch, program in case.nodes():
        timeouts = {
            f"[worker] shutdown_timeout of {watch.toml.name}": watch.worker,
            "the listener's shutdown_timeout": watch.rules,
        }
        name, settings = max(
            timeouts.items(), key=lambda item: item[1]["shutdown_timeout"].value
        )
        timeout_s = settings["shutdown_timeout"].value / 1000
        if program.stop_wait_s >= timeout_s + GRACE_S:
            continue
        finding = error if program.stop_wait_s < timeout_s else warning
        yield finding(
            program.section.where,
            "stopwaitsecs",
            line=f"stopwaitsecs={round(timeout_s) + 2 * GRACE_S}",
            why=f"stopwaitsecs is {program.stop_wait_s} s, {name} {timeout_s:g} s: "
            "supervisord KILLs a node before its offsets are committed; "
            f"{GRACE_S} s more than shutdown_timeout at least",
        )


def stop_signal(case: Case) -> Iterator[Finding]:
    """A stop has to be one that a node understands."""
    for _, program in case.nodes():
        yield from stops_otherwise(
            program,
            "a node gracefully: batches in flight are cut off and handled again",
        )


def stops_otherwise(program: Program, what: str) -> Iterator[Finding]:
    """What a program does not stop, and what comes of it."""
    if program.stop_signal not in STOPS_GRACEFULLY:
        yield error(
            program.section.where,
            "stopsignal",
            line="stopsignal=TERM",
            why=f"{program.stop_signal} does not stop {what}",
        )


# --- names and ids --------------------------------------------------------------------


def numbering(case: Case) -> Iterator[Finding]:
    """Node ids count from 0."""
    for _, program in case.nodes():
        if program.numprocs_start != 0:
            yield error(
                program.section.where,
                "numprocs-start",
                line="numprocs_start=0",
                why=f"node ids would be {program.numprocs_start} to "
                f"{program.numprocs_start + program.numprocs - 1}; they are 0 to "
                f"{program.numprocs - 1}",
            )


def odd_names(case: Case) -> Iterator[Finding]:
    """A name with odd characters breaks headers, calls or files."""
    for watch, program in case.nodes():
        odd = [
            name
            for name in (watch.group, *program.names)
            if not _PLAIN_NAME.fullmatch(name)
        ]
        if odd:
            yield error(
                program.section.where,
                "odd-name",
                line=_NAME_TEMPLATE,
                why=f"the name {odd[0]!r} has characters besides letters, digits, "
                "_ . and -, which break events and calls",
            )


def equal_names(case: Case) -> Iterator[Finding]:
    """Processes of one name silently become one."""
    for watch in case.watches:
        seen: set[str] = set()
        for program in watch.programs:
            names = set(program.names)
            if len(names) < len(program.names):
                yield _collapse(program, f"{len(program.names)} processes of one name")
            elif names & seen:
                name = min(names & seen)
                yield _collapse(program, f"another program has a process {name}, too")
            seen |= names


def _collapse(program: Program, what: str) -> Finding:
    return error(
        program.section.where,
        "equal-names",
        line=_NAME_TEMPLATE,
        why=f"process_name={program.template} gives {what}: only one of each name runs "
        "in a group, or supervisord refuses to start",
    )


def node_ids(case: Case) -> Iterator[Finding]:
    """Each process of a program is a node of its own, and knows how many there are."""
    for watch in case.watches:
        for program in watch.programs:
            if program.is_node:
                ids = [_flag(command, "node", "0") for command in program.commands]
                yield from _own_ids(program, ids)
                yield from _known_count(watch, program)


def _own_ids(program: Program, ids: list[str]) -> Iterator[Finding]:
    twice = [node for node in ids if ids.count(node) > 1]
    if twice:
        yield error(
            program.section.where,
            "node-id",
            line="command=swarm-worker ... --node %(process_num)d",
            why=f"more than one of its processes is node {twice[0]}: they are given "
            "the same partitions, and nobody is given the others",
        )


def _known_count(watch: Watch, program: Program) -> Iterator[Finding]:
    """A program may be all of a swarm, or one of several that are one together."""
    told = {_flag(command, "nodes", "1") for command in program.commands}
    if told not in ({str(program.numprocs)}, {str(watch.node_count)}):
        yield error(
            program.section.where,
            "node-count",
            line="command=swarm-worker ... --nodes %(numprocs)d",
            why=f"its nodes are told of {', '.join(sorted(told))} nodes, but it has "
            f"{program.numprocs} processes",
        )


def _flag(command: str, name: str, default: str) -> str:
    return flags(command, [name]).get(name, default)


# --- limits ---------------------------------------------------------------------------


def reports_in_time(case: Case) -> Iterator[Finding]:
    """A late report and a lost one are no silence."""
    for watch in case.watches:
        timeout = watch.rules["node_report_timeout"]
        interval_ms = watch.worker["liveness_interval"].value
        if is_short_report_timeout(timeout.value, interval_ms):
            least_ms = REPORTS_PER_TIMEOUT * interval_ms
            yield error(
                timeout.where,
                "report-timeout",
                line=setting_line("node_report_timeout", timeout, least_ms),
                why=f"node_report_timeout is {timeout.value} ms, less than three "
                f"times liveness_interval ({interval_ms} ms): the listener refuses it",
            )


def checks() -> Iterable[Check]:
    """Give all checks of this module."""
    return (
        capture,
        redirected,
        output_events,
        respawn,
        retries,
        stop_time,
        stop_signal,
        numbering,
        odd_names,
        equal_names,
        node_ids,
        reports_in_time,
    )
