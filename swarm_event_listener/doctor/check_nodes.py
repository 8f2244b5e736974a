"""Checks of the programs whose processes are nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from swarm_event_listener.doctor.case import Case, Watch, setting_line
from swarm_event_listener.doctor.finding import Finding, error, warning
from swarm_event_listener.doctor.supervisord_conf import NAMES, Program, flags
from swarm_worker.shared.report import FRAME_MAX_BYTES
from swarm_worker.shared.settings import (
    FOR_A_PERSON,
    REPORTS_PER_TIMEOUT,
    is_short_report_timeout,
)

CAPTURE_LEAST_BYTES: Final = 4 * FRAME_MAX_BYTES
START_RETRIES_LEAST: Final = 100  # supervisord's pauses grow by 1 s: 80 minutes
GRACE_S: Final = 5  # from the handlers' end to that of the process
STOPS_GRACEFULLY: Final = frozenset({"TERM", "INT", "QUIT"})

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")

Check = Callable[[Case], Iterator[Finding]]


def each_program(case: Case) -> Iterator[Finding]:
    """Each program has to be right by itself."""
    for _, program in case.nodes():
        for check in (
            *(capture, redirected, output_events, respawn, too_few_retries),
            *(stop_signal, numbering),
        ):
            yield from check(program)


# --- reports --------------------------------------------------------------------------


def capture(program: Program) -> Iterator[Finding]:
    """Reports travel as captured output."""
    captured_bytes = program.options.stdout_capture_maxbytes
    line = "stdout_capture_maxbytes=64KB"
    if captured_bytes <= 0:
        yield error(
            program.section.where,
            "capture",
            line=line,
            why="stdout_capture_maxbytes is 0 (its default): no report arrives",
        )
    elif captured_bytes < CAPTURE_LEAST_BYTES:
        yield warning(
            program.section.where,
            "capture",
            line=line,
            why=f"stdout_capture_maxbytes is {captured_bytes} bytes, a report up to "
            f"{FRAME_MAX_BYTES}: supervisord drops the begin of what does not fit",
        )


def redirected(program: Program) -> Iterator[Finding]:
    """Reports and prints must not share a pipe."""
    if program.options.redirect_stderr:
        yield error(
            program.section.where,
            "redirect-stderr",
            line="redirect_stderr=false",
            why="stdout and stderr are one pipe: a print can split or forge a report, "
            "and swarm-worker refuses to start (exit 78)",
        )


def output_events(program: Program) -> Iterator[Finding]:
    """Captured output makes no second event."""
    if program.options.stdout_events_enabled:
        yield warning(
            program.section.where,
            "output-events",
            line="stdout_events_enabled=false",
            why="each report makes a second event, PROCESS_LOG_STDOUT",
        )


# --- restarts -------------------------------------------------------------------------


def respawn(
    program: Program, who: str = "node", left_down: frozenset[int] = FOR_A_PERSON
) -> Iterator[Finding]:
    """A program that ends, however it ends, has to come back.

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
    startsecs = program.options.startsecs
    surplus = sorted(set(program.options.exitcodes) - left_down)
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
    elif startsecs > 0:
        yield warning(
            where,
            "autorestart",
            line=lines,
            why=f"startsecs={startsecs}: supervisord takes an exit within it for a "
            f"failed start, whatever its code; exitcodes={codes} holds only after it",
        )


def too_few_retries(program: Program) -> Iterator[Finding]:
    """supervisord must not give up."""
    startretries = program.options.startretries
    if program.options.startsecs > 0 and startretries < START_RETRIES_LEAST:
        yield warning(
            program.section.where,
            "startretries",
            line="startretries=1000",
            why=f"after {startretries} failed starts in a row, a matter of seconds, "
            "supervisord gives it up (FATAL) and never tries again",
        )


def stop_signal(
    program: Program,
    what: str = "a node gracefully: batches in flight are cut off and handled again",
) -> Iterator[Finding]:
    """A stop has to be one that is understood; ``what`` else comes of it."""
    if program.stop_signal not in STOPS_GRACEFULLY:
        yield error(
            program.section.where,
            "stopsignal",
            line="stopsignal=TERM",
            why=f"{program.stop_signal} does not stop {what}",
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
        odd = [
            name
            for name in (watch.group, *_names(program))
            if not _PLAIN_NAME.fullmatch(name)
        ]
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
    for watch in case.watches:
        for program in watch.programs:
            if program.is_node:
                ids = _flag(program, "node", "0")
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
    counts = {*_flag(program, "nodes", "1")}
    if counts not in ({str(program.numprocs)}, {str(watch.node_count)}):
        yield error(
            program.section.where,
            "node-count",
            line="command=swarm-worker ... --nodes %(numprocs)d",
            why=f"its nodes are told of {', '.join(sorted(counts))} nodes, but it has "
            f"{program.numprocs} processes",
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
