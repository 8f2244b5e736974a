"""A scripted node: reports like a healthy one, but for what a file tells it.

``python -m tests.process.scripted FOLDER`` runs as a program of supervisord. The file
``FOLDER/<process name>.json`` may hold, besides fields of the report:

* ``pid``: for that process only; its successor is healthy again,
* ``silent``: report nothing,
* ``ignore_term``: live on after TERM,
* ``raw``: write this text in the place of reports; a lone surrogate is a raw byte,
* ``exit``: end with this code,
* ``no_broker_since_s``: the moment (CLOCK_MONOTONIC) from which on it has no broker.

Of all nodes: while there is ``FOLDER/kafka_away``, which holds such a moment, none has
a broker, and what they have to do stands still; one that starts while there is
``FOLDER/token_away`` ends with 1, and with 78 while there is ``FOLDER/NAME.refused``.

TSTP makes it quiet, CONT lets it go on. It is a spare, and ends as one, where the order
in ``FOLDER/slots`` says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from swarm_worker.process import exit_codes, stacks
from swarm_worker.shared.report import GroupReach, Report, State, encode
from swarm_worker.shared.scale import node_id_of, program_of, scale_of
from swarm_worker.shared.state_files import scale_file
from tests.kafka.parent_death import end_with

EVERY_S: Final = float(os.environ.get("SCRIPTED_EVERY_S", "0.25"))
MARK: Final = "1a2b"  # of the Kafka group that they share
BORN_AT_S: Final = time.monotonic()

NODE: Final = node_id_of(os.environ["SUPERVISOR_PROCESS_NAME"]) or 0
HEALTHY: Final = Report(
    node=NODE,
    pid=os.getpid(),
    state=State.RUNNING,
    poll_age_ms=10,
    assigned=3,
    messages=1,
    brokers_up=1,
    kafka_groups=(str(GroupReach(mark=MARK, heard_ms=10)),),
)


def main(folder: Path) -> None:
    """Report until told otherwise."""
    # Not to the present parent: supervisord may be gone by now.
    end_with(int((folder / "supervisord.pid").read_text("ascii")))
    stacks.write_when_asked()
    name = os.environ["SUPERVISOR_PROCESS_NAME"]
    script = folder / f"{name}.json"
    _end_if_spare(folder / "slots", name)
    _end_if_turned_away(folder, name)
    signal.signal(signal.SIGTERM, lambda *_: _term(script))
    quiet: set[int] = set()
    signal.signal(signal.SIGTSTP, lambda number, _: quiet.add(number))
    signal.signal(signal.SIGCONT, lambda *_: quiet.clear())
    seq = 0
    while True:
        _end_if_spare(folder / "slots", name)
        told = _read(script)
        if "exit" in told:
            os._exit(told["exit"])
        if "raw" in told:
            os.write(1, told["raw"].encode("utf-8", "surrogateescape"))
        elif not told.get("silent"):
            at_ms = round(time.monotonic() * 1000)
            report = _of_kafka(_report(told), told, folder)
            report = dataclasses.replace(report, seq=seq, at_ms=at_ms)
            if quiet:
                report = dataclasses.replace(report, state=State.QUIET)
            os.write(1, encode(report))
            seq += 1
        select.select([], [], [], EVERY_S)


def _term(script: Path) -> None:
    if not _read(script).get("ignore_term"):
        os._exit(0)


def _end_if_turned_away(folder: Path, name: str) -> None:
    if (folder / f"{name}.refused").exists():
        os._exit(78)
    if (folder / "token_away").exists():
        os._exit(1)


def _end_if_spare(slots: Path, name: str) -> None:
    group = os.environ["SUPERVISOR_GROUP_NAME"]
    order = scale_of(scale_file.read(slots), group=group, program=program_of(name))
    if order is not None and order.nodes <= NODE:
        at_ms = round(time.monotonic() * 1000)
        os.write(1, encode(dataclasses.replace(HEALTHY, spare=True, at_ms=at_ms)))
        os._exit(exit_codes.SPARE)


def _report(told: dict[str, Any]) -> Report:
    names = {field.name for field in dataclasses.fields(Report)} - {"pid"}
    fields = {name: value for name, value in told.items() if name in names}
    return dataclasses.replace(HEALTHY, **fields)


def _of_kafka(report: Report, told: dict[str, Any], folder: Path) -> Report:
    """Return the report of a node that may have no broker."""
    away_since_s = _moment(folder / "kafka_away")
    since_s = told.get("no_broker_since_s", away_since_s)
    if since_s is None:
        return report
    for_ms = round((time.monotonic() - max(since_s, BORN_AT_S)) * 1000)
    report = dataclasses.replace(
        report,
        brokers_up=0,
        no_broker_ms=for_ms,
        kafka_groups=(str(GroupReach(mark=MARK, without_ms=for_ms)),),
    )
    if away_since_s is None:
        return report
    return dataclasses.replace(report, stalled_ms=for_ms, unsteady_ms=for_ms)


def _moment(path: Path) -> float | None:
    try:
        return float(path.read_text("ascii"))
    except FileNotFoundError:
        return None


def _read(script: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError):
        told: dict[str, Any] = json.loads(script.read_text("utf-8"))
        if told.get("pid", os.getpid()) == os.getpid():
            return told
    return {}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
