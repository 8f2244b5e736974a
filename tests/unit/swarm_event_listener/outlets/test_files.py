"""What the page shows out of files: stories of restarts, and partitions."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from swarm_event_listener.outlets.metrics.aside import Aside
from swarm_event_listener.outlets.metrics.files import Files, Holder
from swarm_event_listener.story.story import Told, restart
from swarm_event_listener.supervisord.node_log import NodeLog
from swarm_worker.shared.state_files.partition_figures import path_of

NODE = "w:w_00"
AT = "2026-08-01T03:04:05+02:00"
NOW_S = 1_000.0
DUMP = """\
2026 INFO node_started <script>alert(1)</script>
Current thread 0x01 (most recent call first):
  File "/srv/orders.py", line 7 in bill
  File "/venv/reporter.py", line 1 in reporter_of_pid_4711_at_20260801T010404.5Z
swarm_stacks pid=4711 at=2026-08-01T01:04:05.100+00:00 threads=0x01=handler
"""


def record(**facts: Any) -> dict[str, Any]:
    """Return a restart of a node that hung, as the page has it."""
    return {
        "node": NODE,
        "pid": 4711,
        "new_pid": 4812,
        "cause": "rule",
        "status": 2,
        "reason": "consuming_ttl: 312.4 s > 300.0 s at <script>/3@4711",
        "detected_at": AT,
        "stopped_at": "2026-08-01T03:04:10+02:00",
        "started_at": "2026-08-01T03:04:15+02:00",
        "recovered_at": "2026-08-01T03:04:16+02:00",
        "seconds": {"stop": 5.0, "down": 5.0, "recovery": 0.7, "total": 10.7},
        "in_flight": ["<script>/3@4711"],
        "suspect": None,
        "rss_mb": None,
        "killed": False,
        "dry_run": False,
        **facts,
    }


def files(folder: Path, log: str = "") -> Files:
    """Return what reads the log of all nodes, and a state directory."""
    path = folder / "node.log"
    path.write_text(log, "utf-8")
    return Files(
        lambda name: NodeLog(name, str(path), lambda _: ""),
        directories=[folder / "other", folder],
        clock=lambda: NOW_S,
    )


def path_to(node: str, at: str) -> str:
    """Return the address of a story."""
    return f"/story/{quote(node, safe='')}/{quote(at, safe='')}"


def test_a_story_is_that_of_swarm_why_with_the_stacks_of_its_process(
    tmp_path: Path,
) -> None:
    """Plain text: what a message is called cannot become markup."""
    told = files(tmp_path, DUMP)
    found = told.find(path_to(NODE, AT), [record(pid=1), record()], [])

    assert found is not None
    text = found.body.decode()
    assert found.content_type.startswith("text/plain")
    assert text.startswith(restart(Told(record=record()), 80))
    assert "orders.py:7 in bill" in text
    assert "in flight: <script>/3@4711" in text


def test_a_story_without_stacks_says_so(tmp_path: Path) -> None:
    """Those of another process are not shown."""
    found = files(tmp_path, DUMP).find(path_to(NODE, AT), [record(pid=4710)], [])

    assert found is not None
    assert "no stacks of pid 4710 from then in its log" in found.body.decode()
    assert "orders.py" not in found.body.decode()


@pytest.mark.parametrize(
    "path",
    [
        path_to("w:w_01", AT),
        path_to(NODE, "now"),
        "/story/",
        "/story/../../etc/passwd",
        "/story/%ff/%00",
        "/partitions.jsonx",
    ],
)
def test_what_is_not_on_record_is_not_found(tmp_path: Path, path: str) -> None:
    """Whatever a path looks like: only what is known is ever read."""

    def log_of(name: str) -> NodeLog:
        raise AssertionError(name)

    told = Files(log_of, directories=[tmp_path], clock=lambda: NOW_S)

    assert told.find(path, [record()], []) is None


def test_partitions_are_those_of_the_processes_of_now(tmp_path: Path) -> None:
    """With who holds them and as of when; what is not known is said, never 0."""
    partition = {
        "topic": "orders",
        "partition": 4,
        "kafka_group": "billing",
        "lag": 6_236,
        "oldest_ms": 62_360,
        "lso_behind_ms": 91_000,
    }
    text = {"pid": 7, "at_ms": 997_000, "partitions": [partition]}
    for node in (NODE, "w:w_01"):
        path_of(tmp_path, node).write_text(json.dumps(text))
    holders = [
        Holder(node=NODE, pid=7, partitions=1),
        Holder(node="w:w_01", pid=8, partitions=1),
        Holder(node="w:w_02", pid=None, partitions=None),
    ]

    found = files(tmp_path).find("/partitions.json", [], holders)
    assert found is not None
    shown = json.loads(found.body)
    (group,) = shown["kafka_groups"]
    assert (group["kafka_group"], group["lag"], group["age_ms"]) == (
        "billing",
        6_236,
        3_000,
    )
    assert group["worst"] == [{**partition, "node": NODE, "age_ms": 3_000}]
    ((node, why),) = [tuple(each.values()) for each in shown["not_known"]]
    assert node == "w:w_01"
    assert "is of pid 7, and pid 8 has written none yet" in why


def test_of_many_partitions_the_worst_are_told(tmp_path: Path) -> None:
    """A Kafka group may have thousands; their sum is told."""
    facts = {"topic": "t", "kafka_group": "g", "lag": 1}
    held = [{**facts, "partition": n} for n in range(5_000)]
    text = {"pid": 7, "at_ms": 1, "partitions": held}
    path_of(tmp_path, NODE).write_text(json.dumps(text))
    holders = [Holder(node=NODE, pid=7, partitions=5_000)]

    found = files(tmp_path).find("/partitions.json", [], holders)
    assert found is not None
    (group,) = json.loads(found.body)["kafka_groups"]
    assert (group["lag"], group["partitions"], len(group["worst"])) == (
        5_000,
        5_000,
        20,
    )


# --- beside the loop ------------------------------------------------------------------


def test_what_hangs_is_not_waited_for_and_nothing_joins_it() -> None:
    """Its thread goes on; the next one is begun once it has ended."""
    ended, begun = threading.Event(), []

    async def all_three() -> tuple[object, object, object]:
        aside = Aside()

        async def tried(work: Any, within_s: float) -> object:
            try:
                return await aside.do(work, within_s=within_s)
            except TimeoutError:
                return "too long"

        first = await tried(ended.wait, 0.01)
        second = await tried(lambda: begun.append("too early"), 0.01)
        ended.set()
        return first, second, await tried(lambda: "done", 30)

    assert asyncio.run(all_three()) == ("too long", "too long", "done")
    assert begun == []


def test_what_fails_fails_where_it_is_waited_for() -> None:
    """And the next one is begun all the same."""

    async def both() -> tuple[str, str]:
        aside = Aside()
        with pytest.raises(ZeroDivisionError):
            await aside.do(lambda: 1 / 0, within_s=30)
        return "failed", await aside.do(lambda: "done", within_s=30)

    assert asyncio.run(both()) == ("failed", "done")
