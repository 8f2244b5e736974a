"""What the programs write, made from fixed facts: files, frames and texts.

Each sample is a function that returns what stands in its golden file. Only what users
and other versions of our programs read is here, and no moment, pid or path of this run.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from swarm_event_listener.core.health import Word
from swarm_event_listener.core.model import events
from swarm_event_listener.core.model.death import Death, OutOfMemory
from swarm_event_listener.core.model.record import Cause, Record
from swarm_event_listener.core.restart.restart import Phase, Restart, published
from swarm_event_listener.core.rolling_restart import NodeInProgress, Roll
from swarm_event_listener.ctl.arguments import HelpAsked
from swarm_event_listener.ctl.commands import COMMANDS, help_text, parse
from swarm_event_listener.outlets.metrics.exposition import exposition
from swarm_event_listener.outlets.metrics.metrics import families
from swarm_event_listener.outlets.metrics.totals import Totals
from swarm_event_listener.outlets.status import Counters, head_of, nodes_of
from swarm_event_listener.storage.journal import COPY, JOURNAL, Journal, StatusFile
from swarm_event_listener.supervisord.rpc import SupervisorIdentity
from swarm_worker.demo.faults import FAULTS
from swarm_worker.demo.ledger import Ledger
from swarm_worker.demo.summary import Outcome, summary_of
from swarm_worker.node.crash_traces import Traces
from swarm_worker.reporting.trace import Trace
from swarm_worker.shared.report import Failing, Report, State, encode
from swarm_worker.shared.settings import LISTENER, RULES, WORKER
from swarm_worker.shared.state_files.partition_figures import path_of
from tests import operators, simulation
from tests.golden.log_events import log_events

ROOT: Final = Path(__file__).resolve().parents[2]
AT: Final = "2026-11-24T09:00:00.000+00:00"
NOW_S: Final = 1000.0

FIGURES: Final = operators.figures(
    "billing orders/4 6236",
    "billing orders/5 -",
    "audit orders/4 0",
    oldest_ms=62_360,
    lso_behind_ms=91_000,
)
FULL: Final = Report(
    node=3,
    pid=4711,
    state=State.RUNNING,
    seq=17,
    at_ms=123_456,
    max_poll_interval_ms=60_000,
    poll_age_ms=250,
    consume_age_ms=1_500,
    in_flight=("orders/4@547", "orders/5@9", "refunds/0@0"),
    unsteady_ms=2_000,
    stalled_ms=3_000,
    stalled=("orders/4", "orders/5"),
    assigned=3,
    messages=1_000,
    batches=10,
    errors=2,
    retries=1,
    dead_letters=1,
    lag=42,
    brokers_up=3,
    awaits_id=True,
    not_joined="no strategy in common",
    died_in_flight=("orders/4@546",),
)
REPORTS: Final = {
    "full": FULL,
    "failing": dataclasses.replace(
        FULL,
        failing=(
            Failing(
                at="orders/4@547",
                error="ValueError('no price')",
                attempts=8,
                for_ms=180_000,
            ),
        ),
        failing_count=1,
    ),
    "lag": dataclasses.replace(
        FULL, lag_age_ms=3_100, lso_behind_ms=91_000, throttled_ms=1_200
    ),
    "least": Report(node=0, pid=1, state=State.BOOTING),
    "tokens": dataclasses.replace(
        FULL, in_flight=("<!--XSUPERVISOR:END-->/0@1",), not_joined='a "b" \\ <é>'
    ),
    "too long": dataclasses.replace(
        FULL, in_flight=("t" * 249 + "/0@1",) * 3, stalled=("t" * 249 + "/0",) * 3
    ),
}
RECORD: Final = Record(
    node="w:w_00",
    pid=7,
    cause=Cause.RULE,
    status=2,
    reason="consuming_ttl: 9.0 s > 5.0 s",
    detected_at_s=990.0,
    in_flight=("orders/3@7",),
    suspect="orders/3@7",
    rss_mb=812,
    pause_s=5.0,
    stop_sent_at_s=990.5,
    stopped_at_s=994.5,
    killed=True,
    started_at_s=999.5,
    recovered_at_s=1000.0,
    new_pid=8,
)
DIED: Final = Record(
    node="w:w_01",
    pid=9,
    cause=Cause.DIED,
    status=None,
    reason="",
    in_flight=("orders/3@7",),
    rss_mb=812,
    detected_at_s=980.0,
    stopped_at_s=980.0,
    started_at_s=981.0,
    recovered_at_s=982.0,
    new_pid=10,
    death=Death(
        pid=9, signal="SIGKILL", out_of_memory=OutOfMemory.PERHAPS, is_told=True
    ),
)
RESTART: Final = Restart(record=RECORD, phase=Phase.DOWN, since_s=994.5)
ROLL: Final = Roll(
    group="w",
    max_unavailable=1,
    timeout_s=300.0,
    waiting=("w:w_02",),
    ordered_at_s=900.0,
    turned=(NodeInProgress(name="w:w_01", pid=9, since_s=950.0, had_partitions=True),),
    done=("w:w_00",),
    skipped=("w:w_03",),
    held=("w:w_04",),
)
NOTES: Final = {
    "deaths": {"w:w_01": dataclasses.asdict(DIED)},
    "pids": {"w:w_00": 8, "w:w_01": 10},
    "failures": {"w:w_00": [[980.0, "orders/3@7"], [985.0, None]]},
    "held": ["w:w_04"],
    "reporting_groups": ["w"],
    "rolls": [ROLL.as_json()],
}
IDENTITY: Final = SupervisorIdentity(pid=42, started_ticks=4242, boot_id="b-o-o-t")
TRACES: Final = (
    Trace(group="billing", topic="orders", partition=4, offset=547, end=550),
    Trace(group="ä b/c", topic="audit", partition=0, offset=0, end=1, deaths=2),
)
LEFT: Final = Trace(
    group="billing", topic="orders", partition=5, offset=9, end=10, deaths=1,
    is_ahead=True, was_alone=True,
)  # fmt: skip


# --- what the programs tell each other ------------------------------------------------


def frames() -> dict[str, Any]:
    """Return the frame of each report."""
    return {name: encode(report).decode() for name, report in REPORTS.items()}


def journal() -> dict[str, Any]:
    """Return the journal and its copy, as a listener leaves them."""
    with TemporaryDirectory() as folder:
        book = Journal(Path(folder))
        book.adopt(IDENTITY)
        book.note(NOTES)
        book.remember("w:w_01", RECORD.as_json(lambda _: AT))
        book.remember("w:w_01", {"node": "w:w_01", "reason": "\ud800 and é"})
        book.intend("w:w_00", RESTART.as_intent())
        book.close()
        return {
            name: (Path(folder) / name).read_text("ascii") for name in (JOURNAL, COPY)
        }


def deaths() -> dict[str, Any]:
    """Return what stands in the history of a death, and of a back-off that follows."""
    kept_down = dataclasses.replace(
        RECORD, cause=Cause.EXITED, status=None, reason="died again", death=DIED.death
    )
    return {
        "died": DIED.as_json(lambda _: AT),
        "exited": kept_down.as_json(lambda _: AT),
    }


def status() -> dict[str, Any]:
    """Return the status file of a swarm with a node that hangs and one that is held."""
    world = _world()
    assert world.swarm is not None
    with TemporaryDirectory() as folder:
        head = head_of(world.swarm, Counters(), now_s=world.now_s, at=AT, pid=5)
        StatusFile(Path(folder)).write(head, nodes_of(world.swarm, now_s=world.now_s))
        return {"status.json": (Path(folder) / "status.json").read_text("ascii")}


def _world() -> simulation.World:
    world = simulation.World()
    world.run(3.0)
    world.tell(
        events.Ordered(kind=events.OrderKind.HOLD, names=("swarm:node_3",)),
    )
    world.processes["swarm:node_1"].report = {
        "consume_age_ms": 9_000,
        "in_flight": ("orders/3@7",),
    }
    world.processes["swarm:node_2"].memory_bytes = 300 * 2**20
    world.tell(
        events.RollOrdered(
            group="swarm", max_unavailable=1, timeout_s=300.0, ordered_at_s=world.now_s
        )
    )
    return world.run(1.5)


def traces() -> dict[str, Any]:
    """Return the traces in a slot's file, without the places that are empty."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "slot"
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(fd, b"4711".ljust(64))
        kept = Traces(fd)
        kept.carry_over([LEFT])
        for key, trace in enumerate(TRACES):
            kept.began(key, trace, now_s=10.0 + key)
        os.close(fd)
        return {"slot": path.read_text("utf-8").replace("\0", "")}


def partitions() -> dict[str, Any]:
    """Return the file in which a node tells how far behind its partitions are."""
    path = path_of(Path(), "w:w_00")
    return {path.name: json.dumps(FIGURES.as_json())}


def remote_events() -> dict[str, Any]:
    """Return what other event listeners are told of a restart."""
    told = published(RECORD, "recovered")
    return {told.type: told.payload}


# --- what people and their scripts read -----------------------------------------------


def answers() -> dict[str, Any]:
    """Return what each command of ``supervisorctl swarm`` gives with ``--json``."""
    return {line: _answer(line) for line in LINES}


LINES: Final = (
    "status", "top", "why w:w_00", "history", "dump w:w_00", "quiet w:w_00",
    "resume w:w_00", "hold w:w_00", "release w:w_00", "retire w:w_00", "roll w",
    "roll w --cancel", "doctor", "status --partitions",
)  # fmt: skip
_STACKS: Final = (
    "Current thread 0x00007f (most recent call first):\n"
    '  File "/app/orders.py", line 7 in bill\n'
)
_SIGNATURE: Final = (
    "swarm_stacks pid=7 at=2026-11-24T09:00:00.050000+00:00 threads=0x7f=MainThread\n"
)


def _answer(line: str) -> Any:
    with TemporaryDirectory() as folder:
        log = Path(folder) / "stderr.log"
        log.write_text(_STACKS + _SIGNATURE)
        world = operators.World(records=(operators.record(),))
        world.figures["w:w_00"] = FIGURES
        node = dataclasses.replace(world.processes_now[0], stderr_log=str(log))
        world.processes_now[0] = node
        over = {**ROLL.as_json(), "is_over": True, "is_cancelled": "cancel" in line}
        rolls = {"w": {**over, "is_over": False}} if "cancel" in line else {}
        world.rolls = json.loads(json.dumps(rolls))
        held = line.startswith("hold")
        world.on_wait = [
            lambda: world.becomes("w:w_00", "STOPPED") if "retire" in line else None,
            lambda: _append(log, _STACKS),
        ]
        if "roll" in line:
            told = json.loads(json.dumps({**over, "ordered_at_s": NOW_S}))
            world.on_wait = [lambda: world.rolls.update(w=told)]
        world.nodes["w:w_00"]["held"] = held
        world.run(f"{line} --json")
        return json.loads(world.text)


def _append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def demo() -> dict[str, Any]:
    """Return what ``swarm-demo --json`` gives of a fault got over, and of another."""
    told = [
        Outcome(fault.node, fault.name, pid=7, status=fault.status, reason="ttl: 9.0 s")
        for fault in FAULTS[:2]
    ]
    told[0].found_after_s, told[0].consumed_again_after_s = 5.0, 9.0
    with TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "processed")
    ledger.acknowledged.update(range(3))
    ledger.processed.update([0, 1, 1])
    figures = {**ledger.sums(), "seconds": 60.0}
    return summary_of(figures, told, {FAULTS[1]: "did not consume again"}, 1)


def helps() -> dict[str, Any]:
    """Return the help of each program and of each command."""
    programs = {name: _help_of(module) for name, module in PROGRAMS.items()}
    names = [*COMMANDS, "dlq show", "dlq replay"]
    commands = {f"swarm {name}": _help_of_command(name) for name in names}
    return {**programs, "swarm": help_text(), **commands}


PROGRAMS: Final = {
    "swarm-worker": "swarm_worker.__main__",
    "swarm-event-listener": "swarm_event_listener.__main__",
    "swarm-demo": "swarm_worker.demo.__main__",
    "echo_swarm_conf": "swarm_worker.echo_conf",
}


def _help_of(module: str) -> str:
    code = f"import sys; from {module} import main; sys.argv[1:] = ['--help']; main()"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


def _help_of_command(name: str) -> str:
    try:
        parse(f"{name} --help")
    except HelpAsked as asked:
        return str(asked)
    raise AssertionError(f"swarm {name} --help gave none")


def lines() -> dict[str, Any]:
    """Return the log events of both packages: name, and fields of each line."""
    return dict(log_events(ROOT / "swarm_worker", ROOT / "swarm_event_listener"))


def metrics() -> dict[str, Any]:
    """Return each line of ``/metrics`` without its value."""
    world = _world()
    assert world.swarm is not None
    shown = families(world.swarm, Counters(), Totals(), now_s=world.now_s, is_well=True)
    text = b"".join(exposition(shown)).decode()
    bare = {
        line if line.startswith("#") else line.rpartition(" ")[0]
        for line in text.splitlines()
    }
    return dict.fromkeys(sorted(bare), "")


def keys() -> dict[str, Any]:
    """Return the keys of ``swarm.toml`` with their defaults, and the status words."""
    sections = {"worker": WORKER, "listener": LISTENER, "listener.group": RULES}
    schema: dict[str, Any] = {
        section: {key: repr(each.default) for key, each in table.items()}
        for section, table in sections.items()
    }
    return {**schema, "status words": {word.value: "" for word in Word}}


SAMPLES: Final[Mapping[str, Callable[[], dict[str, Any]]]] = {
    each.__name__: each
    for each in (
        frames, journal, deaths, status, traces, partitions, remote_events,
        answers, demo, helps, lines, metrics, keys,
    )
}  # fmt: skip
assert all(inspect.getdoc(each) for each in SAMPLES.values())
