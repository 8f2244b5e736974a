"""Reports that are none, or none of the swarm's business."""

from __future__ import annotations

import pytest

from swarm_worker.shared.report import BEGIN, END
from tests.awaits import await_reports, await_restarted
from tests.eventually import eventually
from tests.process import scenes

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

ODD: dict[str, str] = {
    "not utf-8": "caf\udce9",
    "empty": "",
    "no object": "[1, 2]",
    "nothing": "null",
    "no node": '{"swarm": 1}',
    "an odd state": '{"swarm":1,"node":0,"pid":1,"state":"odd"}',
    "no number": '{"swarm": NaN}',
    "endless": "[" * 3_000,
    "too long": '{"swarm": 1, "pad": "' + "x" * 3_000 + '"}',
    "an age of text": '{"swarm":1,"node":0,"pid":1,"state":"running",'
    '"poll_age_ms":"9e9"}',
    "an age below zero": '{"swarm":1,"node":0,"pid":1,"state":"running",'
    '"poll_age_ms":-1}',
    "an age beyond all": '{"swarm":1,"node":0,"pid":1,"state":"running",'
    '"poll_age_ms":1e300}',
    "sick, but of the next version": '{"swarm":2,"poll_age_ms":999999999}',
}


def test_odd_reports_and_those_of_other_programs_restart_nobody() -> None:
    """Odd ones are counted and say so once; other programs are not even looked at.

    A report of another version proves that the node lives, so it is not silent either.
    """
    last = len(ODD)
    sick = {"consume_age_ms": 10**9, "poll_age_ms": 10**9, "unsteady_ms": 10**9}
    with scenes.scene(
        nodes=last + 1,
        limits={"node_report_timeout": 30_000},
        more=scenes.program_section(
            "other", command=scenes.SCRIPTED, numprocs="1", process_name="w_00"
        ),
        prepare=lambda folder: scenes.write_script(folder, "other", **sick),
    ) as swarm:
        await_reports(swarm, last + 1)
        before = scenes.pids(swarm, last + 1)
        scenes.write_script(swarm.daemon.folder, f"w_{last:02d}", **sick)
        for node, text in enumerate(ODD.values()):
            swarm.tell(node, raw=f"\n{BEGIN}{text:<300}{END}\n")
        old = await_restarted(swarm, last, than=before[last] or 0)
        eventually(
            lambda: swarm.status()["listener"]["bad_reports"] >= 4 * len(ODD),
            within_s=30,
            describe="odd reports, counted",
        )

        after = scenes.pids(swarm, last + 1)
        assert {n: p for n, p in after.items() if n != last} == {
            n: p for n, p in before.items() if n != last
        }
        assert {r["node"] for r in swarm.records()} == {scenes.name_of(last)}
        assert old != before[last]
        assert swarm.log.count("report_rejected") == len(ODD) - 1
