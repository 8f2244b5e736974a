"""What the programs make of files and frames that are there already.

Each reading is a function from the text that is given to what is understood, as plain
data. What is given are the texts of today's programs, and the odd ones that json
takes: lone surrogates, NaN, keys that stand twice, entries of another kind.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from swarm_event_listener.ctl.sources.state import read_history, read_status
from swarm_event_listener.storage.journal import COPY, JOURNAL, STATUS, Journal
from swarm_event_listener.storage.restored_state import restored
from swarm_event_listener.supervisord.node_reports import ReportError, decode
from swarm_worker.node.crash_traces import left_in
from swarm_worker.shared.report import BEGIN, END, ForeignReport
from swarm_worker.shared.state_files.partition_figures import NotKnownError, figures
from tests.golden import samples


def payload(text: str) -> Any:
    """Return the report that a payload holds."""
    try:
        report = decode(text)
    except ReportError:
        return "refused"
    if isinstance(report, ForeignReport):
        return {"of another version": report.version}
    return dataclasses.asdict(report)


def journal(text: str) -> Any:
    """Return what a listener takes over from a journal, and what it writes of it."""
    return _opened({JOURNAL: text})


def journal_copy(text: str) -> Any:
    """Return the same where only the copy is there."""
    return _opened({COPY: text})


def _opened(files: Mapping[str, str]) -> Any:
    with TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text, "ascii")
        book = Journal(Path(folder))
        book.save()
        book.close()
        written = json.loads((Path(folder) / JOURNAL).read_bytes())
        left = restored(written["intents"], written["notes"], now_s=samples.NOW_S)
        return {
            "supervisor": written["supervisor"],
            "intents": [restart.as_intent() for restart in left.intents],
            "deaths": {n: dataclasses.asdict(r) for n, r in left.deaths.items()},
            "pids": left.pids,
            "failures": {
                name: [[failure.at_s, failure.oldest_in_flight] for failure in failures]
                for name, failures in left.failures.items()
            },
            "held": sorted(left.held),
            "reporting_groups": sorted(left.reporting_groups),
            "rolls": [roll.as_json() for roll in left.rolls],
            "history": read_history(Path(folder)),
            "put aside": (Path(folder) / f"{JOURNAL}.corrupt").exists(),
            "written": written,
        }


def status(text: str) -> Any:
    """Return what ``supervisorctl swarm`` makes of the status file."""
    with TemporaryDirectory() as folder:
        (Path(folder) / STATUS).write_text(text, "ascii")
        listener = read_status(Path(folder), now_s=2000.0)
        return {
            "age_s": listener.age_s,
            "listener": listener.listener_pid,
            "groups": listener.groups,
            "nodes": listener.nodes,
            "rolls": listener.rolls,
        }


def slot(text: str) -> Any:
    """Return what a node finds that its predecessor had in flight."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "slot"
        path.write_text(text, "utf-8")
        return [
            [
                *(trace.group, trace.topic, trace.partition, trace.offset, trace.end),
                *(trace.deaths, trace.is_ahead, trace.was_alone),
            ]
            for trace in left_in(path)
        ]


def partitions(text: str) -> Any:
    """Return what is made of the file of a node's partitions."""
    try:
        return figures(text).as_json()
    except NotKnownError as error:
        return str(error)


_NODE: Final = '"node":1,"pid":2,"state":"running"'
_ODD_JOURNAL: Final = """{"version":1,"version":1,
"supervisor":{"pid":42,"started_ticks":4242,"boot_id":"b-o-o-t","unknown":1},
"intents":{"w:w_00":%(intent)s,"w:w_01":7,
 "w:w_02":{"phase":"down","since_s":NaN,"record":{}}},
"notes":{"held":["w:w_09"],"held":["w:\\ud800",7,"w:w_04"],"unknown":[NaN],
 "failures":{"w:w_00":[[980.0,"t/0@1"],[NaN,null],["x",null],[5e9,null]],"w:w_01":7},
 "reporting_groups":["w"],"rolls":[%(roll)s,7,{"group":"x"}]},
"history":[{"node":"w:w_00","reason":"\\udc80 caf\\u00e9","rss_mb":NaN,"rss_mb":7},
 7,{"node":"w:w_01","node":"w:w_02","seconds":{"total":Infinity}}]}
"""


def _payload_of(frame: str) -> str:
    """Return what supervisord hands on of a frame."""
    return frame.partition(BEGIN)[2].partition(END)[0]


def _given() -> dict[str, dict[str, str]]:
    """Return the texts to read, by reading."""
    files = samples.journal()
    odd = _ODD_JOURNAL % {
        "intent": json.dumps(samples.RESTART.as_intent()),
        "roll": json.dumps({**samples.ROLL.as_json(), "unknown": 1}),
    }
    return {
        "payload": {
            **{name: _payload_of(frame) for name, frame in samples.frames().items()},
            "surrogate": f'{{"swarm":1,{_NODE},"not_joined":"\\ud800"}}',
            "surrogate in a list": f'{{"swarm":1,{_NODE},"in_flight":["\\ud800/0@1"]}}',
            "NaN": f'{{"swarm":1,{_NODE},"lag":NaN}}',
            "NaN where nothing is read": f'{{"swarm":1,{_NODE},"unknown":NaN}}',
            "twice": f'{{"swarm":1,{_NODE},"node":7}}',
            "whole floats": f'{{"swarm":1,{_NODE},"messages":3.0}}',
            "unknown": f'{{"swarm":1,{_NODE},"unknown":[1]}}',
            "output before": f'x<!--XSUPERVISOR:BEGIN-->{{"swarm":1,{_NODE}}}',
            "another version": '{"swarm":2}',
            "another kind": f'{{"swarm":1,{_NODE},"lag":"7"}}',
            "no report": "hello",
        },
        "journal": {"today": files[JOURNAL], "odd": odd, "half": odd[:500]},
        "journal_copy": {"today": files[COPY], "odd": odd},
        "status": samples.status(),
        "slot": samples.traces(),
        "partitions": {
            **samples.partitions(),
            "more and less": '{"v":2,"pid":7,"at_ms":1,"partitions":'
            '[{"topic":"t","partition":0,"rack":"b","lag":"7"}]}',
            "half": '{"pid":7,"at_ms":1,"partitions":[{"topic"',
        },
    }


READINGS: Final[Mapping[str, Callable[[str], Any]]] = {
    each.__name__: each
    for each in (payload, journal, journal_copy, status, slot, partitions)
}


def read(reading: str, text: str) -> Any:
    """Return what is understood, as it stands in a golden file."""
    return json.loads(json.dumps(READINGS[reading](text)))


def readings() -> dict[str, Any]:
    """Return each text with what it is read as."""
    return {
        reading: {
            name: {"given": text, "read": read(reading, text)}
            for name, text in texts.items()
        }
        for reading, texts in _given().items()
    }
