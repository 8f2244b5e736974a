"""Checks of the programs whose processes are nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from swarm_event_listener.doctor.case import Case, setting_line
from swarm_event_listener.doctor.finding import Finding, error, warning
from swarm_event_listener.doctor.supervisord_conf import NAMES, Program, flags
from swarm_worker.shared.report import FRAME_MAX_BYTES
from swarm_worker.shared.settings import (
    EXIT_CODES,
    EXIT_SPARE,
    REPORTS_PER_TIMEOUT,
    STAYS_DOWN,
    is_short_report_timeout,
)

CAPTURE_LEAST_BYTES: Final = 4 * FRAME_MAX_BYTES
START_RETRIES_LEAST: Final = 100  # supervisord's pauses grow by 1 s: 80 minutes
GRACE_S: Final = 5  # from the handlers' end to that of the process
STOPS_GRACEFULLY: Final = frozenset({"TERM", "INT", "QUIT"})

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")


def each_program(case: Case) -> Iterator[Finding]:
    """Each program has to be right by itself."""
    for watch, program in case.nodes():
        yield from reports(program)
        yield from restarts(
            program,
            "node",
            left_down=STAYS_DOWN,
            unstopped="a node gracefully: batches in flight are cut off and handled "
            "again",
        )
        yield from spares(program, start_nodes=watch.worker["start_nodes"].value)
        yield from numbering(program)


def reports(program: Program) -> Iterator[Finding]:
    """Reports travel as captured output, on a pipe of their own."""
    where, options = program.section.where, program.options
    if options.stdout_capture_maxbytes <= 0:
        yield error(
            where,
            "capture",
            line="stdout_capture_maxbytes=64KB",
            why="stdout_capture_maxbytes is 0 (its default): no report arrives",
        )
    elif options.stdout_capture_maxbytes < CAPTURE_LEAST_BYTES:
        yield warning(
            where,
            "capture",
            line="stdout_capture_maxbytes=64KB",
            why=f"stdout_capture_maxbytes is {options.stdout_capture_maxbytes} bytes, "
            f"a report up to {FRAME_MAX_BYTES}: supervisord drops the begin of what "
            "does not fit",
        )
    if options.redirect_stderr:
        yield error(
            where,
            "redirect-stderr",
            line="redirect_stderr=false",
            why="stdout and stderr are one pipe: a print can split or forge a report, "
            "and swarm-worker refuses to start (exit 78)",
        )
    if options.stdout_events_enabled:
        yield warning(
            where,
            "output-events",
            line="stdout_events_enabled=false",
            why="each report makes a second event, PROCESS_LOG_STDOUT",
        )


# --- restarts -------------------------------------------------------------------------


def restarts(
    program: Program, who: str, *, left_down: Sequence[int], unstopped: str
) -> Iterator[Finding]:
    """A program that ends, however it ends, has to come back; a stop is understood.

    Args:
        program: The program.
        who: What it is called in the findings.
        left_down: The exit codes after which it may stay down, as one writes them.
        unstopped: What a signal that it does not understand does not stop.
    """
    where, options = program.section.where, program.options
    codes = ",".join(map(str, left_down))
    lines = f"startsecs=0\nautorestart=unexpected\nexitcodes={codes}"
    surplus = sorted(set(options.exitcodes) - set(left_down))
    if program.autorestart == "false":
        yield error(
            where,
            "autorestart",
            line=lines,
            why=f"autorestart=false: a {who} that dies is not brought back",
        )
    elif program.autorestart == "unexpected" and surplus:
        finding = error if 0 in surplus else warning
        yield finding(
            where,
            "autorestart",
            line=lines,
            why="autorestart=unexpected and exitcodes has "
            f"{','.join(map(str, surplus))}: a {who} that exits so stays down",
        )
    elif program.autorestart == "unexpected" and options.startsecs > 0:
        yield warning(
            where,
            "autorestart",
            line=lines,
            why=f"startsecs={options.startsecs}: supervisord takes an exit within it "
            f"for a failed start, whatever its code; exitcodes={codes} holds only "
            "after it",
        )
    if options.startsecs > 0 and options.startretries < START_RETRIES_LEAST:
        yield warning(
            where,
            "startretries",
            line="startretries=1000",
            why=f"after {options.startretries} failed starts in a row, a matter of "
            "seconds, supervisord gives it up (FATAL) and never tries again",
        )
    if program.stop_signal not in STOPS_GRACEFULLY:
        yield error(
            where,
            "stopsignal",
            line="stopsignal=TERM",
            why=f"{program.stop_signal} does not stop {unstopped}",
        )


def stop_time(case: Case) -> Iterator[Finding]:
    """KILL must not come before the handlers had their time."""
    for watch, program in case.nodes():
        timeouts = {
            f"[worker] shutdown_timeout of {watch.document.path.name}": watch.worker,
            "the listener's shutdown_timeout": watch.rules,
        }
        name, settings = max(
            timeouts.items(), key=lambda item: item[1]["shutdown_timeout"].value
        )
        timeout_s = settings["shutdown_timeout"].value / 1000
        stopwaitsecs = program.options.stopwaitsecs
        if stopwaitsecs >= timeout_s + GRACE_S:
            continue
        finding = error if stopwaitsecs < timeout_s else warning
        yield finding(
            program.section.where,
            "stopwaitsecs",
            line=f"stopwaitsecs={round(timeout_s) + 2 * GRACE_S}",
            why=f"stopwaitsecs is {stopwaitsecs} s, {name} {timeout_s:g} s: "
            "supervisord KILLs a node before its offsets are committed; "
            f"{GRACE_S} s more than shutdown_timeout at least",
        )


# --- names and ids --------------------------------------------------------------------


def spares(program: Program, *, start_nodes: int | None) -> Iterator[Finding]:
    """A node that is not to run has to stay down; it is an error where there is one."""
    codes = program.options.exitcodes
    # What may stay down after exit 0 is a finding of its own.
    if (
        program.autorestart == "unexpected"
        and EXIT_SPARE not in codes
        and 0 not in codes
    ):
        finding = warning if start_nodes is None else error
        yield finding(
            program.section.where,
            "spares",
            line=EXIT_CODES,
            why=f"exitcodes lacks {EXIT_SPARE}, with which a node ends that is not to "
            "run: supervisord would start it again and again, so swarm scale refuses",
        )


def numbering(program: Program) -> Iterator[Finding]:
    """Node ids count from 0."""
    first, count = program.numprocs_start, program.numprocs
    if first != 0:
        yield error(
            program.section.where,
            "numprocs-start",
            line="numprocs_start=0",
            why=f"node ids would be {first} to {first + count - 1}; they are 0 to "
            f"{count - 1}",
        )


def odd_names(case: Case) -> Iterator[Finding]:
    """A name with odd characters breaks headers, calls or files."""
    for watch, program in case.nodes():
        names = (watch.group, *_names(program))
        odd = [name for name in names if not _PLAIN_NAME.fullmatch(name)]
        if odd:
            yield error(
                program.section.where,
                "odd-name",
                line=f"process_name={NAMES}",
                why=f"the name {odd[0]!r} has characters besides letters, digits, "
                "_ . and -, which break events and calls",
            )


def equal_names(case: Case) -> Iterator[Finding]:
    """Processes of one name silently become one."""
    for watch in case.watches:
        seen: set[str] = set()
        for program in watch.programs:
            names = _names(program)
            if names & seen:
                written = program.section.values.get("process_name", "%(program_name)s")
                yield error(
                    program.section.where,
                    "equal-names",
                    line=f"process_name={NAMES}",
                    why=f"process_name={written} gives another program has a process "
                    f"{min(names & seen)}, too: only one of each name runs in a group, "
                    "or supervisord refuses to start",
                )
            seen |= names


def _names(program: Program) -> frozenset[str]:
    return frozenset(options.name for options in program.processes)


def node_ids(case: Case) -> Iterator[Finding]:
    """Each process of a program is a node of its own, and knows how many there are."""
    for watch, program in case.nodes():
        if not program.is_node:
            continue
        ids = _flag(program, "node", "0")
        twice = [node for node in ids if ids.count(node) > 1]
        if twice:
            yield error(
                program.section.where,
                "node-id",
                line="command=swarm-worker ... --node %(process_num)d",
                why=f"more than one of its processes is node {twice[0]}: they are "
                "given the same partitions, and nobody is given the others",
            )
        # It may be all of a swarm, or one of several programs that are one together.
        counts = {*_flag(program, "nodes", "1")}
        if counts not in ({str(program.numprocs)}, {str(watch.node_count)}):
            yield error(
                program.section.where,
                "node-count",
                line="command=swarm-worker ... --nodes %(numprocs)d",
                why=f"its nodes are told of {', '.join(sorted(counts))} nodes, but it "
                f"has {program.numprocs} processes",
            )


def _flag(program: Program, name: str, default: str) -> list[str]:
    """Return the value that each process is given."""
    commands = [options.command for options in program.processes]
    return [flags(command, [name]).get(name, default) for command in commands]


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


CHECKS: Final = (
    each_program,
    stop_time,
    odd_names,
    equal_names,
    node_ids,
    reports_in_time,
)
