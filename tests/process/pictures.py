"""Invented swarms for the page, and its pictures: ``python -m tests.process.pictures``.

The page's server is the real one; what it serves is made up, so that a hundred nodes
cost nothing and look the same each time.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.core.model.record import headline
from swarm_event_listener.outlets.metrics.files import Files, Found
from swarm_event_listener.outlets.metrics.page import html
from swarm_event_listener.outlets.metrics.server import MetricsServer, Snapshot
from swarm_event_listener.outlets.metrics.trends import POINTS, SERIES
from tests.eventually import eventually
from tests.process.browser import Browser, browsing

Plain = dict[str, Any]

NOW: Final = datetime.now(UTC)
LIMIT_MB: Final = 512
HIGHEST: Final = 3_000  # of a picture
FOR_EVER_S: Final = math.inf  # made at that time, a snapshot never grows old


def node(number: int, health: str = "healthy", **facts: object) -> Plain:
    """Return a node as it is called by default, with half an hour behind it."""
    steps = range(POINTS)
    is_up = health not in {"backing off", "stopped by operator", "spare"}
    return {
        "node": f"swarm_worker:swarm_worker_{number:02d}",
        "health": health,
        "why": "",
        "state": "RUNNING" if is_up else "STOPPED",
        "pid": 4711 + number if is_up else None,
        "memory_limit_bytes": LIMIT_MB << 20,
        "failures": 0,
        "held": health == "held",
        "restart": None,
        "report_age_s": 2.5,
        "report_timeout_s": 60.0,
        "notes": [],
        "suspect": None,
        "now": now(number) if is_up else None,
        "trends": {
            "memory_mb": [180 + 20 * math.sin(number + x / 9) + x for x in steps],
            "poll_s": [0.1 + 0.1 * ((x * 7 + number) % 5) for x in steps],
            "consume_s": [0.3 * ((x * 3 + number) % 7) for x in steps],
            "lag": [max(0, 400 * math.sin(number + x / 7)) for x in steps],
            "messages_per_s": [900 + 90 * math.sin(x / 3 + number) for x in steps],
        },
        **facts,
    }


def now(number: int, **facts: object) -> Plain:
    """Return the figures of a node that works, as it last reported."""
    return {
        "uptime_s": 11_100.0 + number,
        "memory_mb": 271.0 + number,
        "poll_s": 0.132,
        "consume_s": 1.25,
        "lag": 388 + number,
        "messages_per_s": 912.4,
        "in_flight": [f"orders/{number}@48211{number}", "orders/7@511"],
        "messages": 8_412_000,
        "errors": 0,
        "retries": 0,
        "dead_letters": 0,
        "assigned": 3,
        "brokers_up": 3,
        "no_broker_ms": None,
        "stalled_ms": None,
        "stalled": [],
        "unsteady_ms": None,
        **facts,
    }


def backing_off(number: int) -> Plain:
    """Return a node that fails again and again."""
    return node(
        number,
        "backing off",
        why="consuming_ttl: 15.4 s > 10.0 s at orders/3@4711; 7 failures, "
        "started again in 48 s",
        failures=7,
        suspect="orders/3@4711",
        trends={
            name: [*values[:40], *[None] * 6, *values[46:66], *[None] * 24]
            for name, values in node(number)["trends"].items()
        },
    )


def record(minutes_ago: float, number: int, **facts: object) -> Plain:
    """Return a restart on record."""
    at = NOW - timedelta(minutes=minutes_ago)
    plain = {
        "node": f"swarm_worker:swarm_worker_{number:02d}",
        "pid": 4000 + number,
        "cause": "rule",
        "status": 2,
        "reason": "consuming_ttl: 312.4 s > 300.0 s at orders/3@4711",
        "detected_at": at.isoformat(),
        "started_at": (at + timedelta(seconds=10)).isoformat(),
        "recovered_at": (at + timedelta(seconds=12)).isoformat(),
        "seconds": {"stop": 5.0, "down": 5.0, "recovery": 0.7, "total": 10.7},
        "killed": False,
        "dry_run": False,
        **facts,
    }
    return {**plain, "headline": headline(plain)}


def died(
    minutes_ago: float, number: int, cause: str, reason: str, **facts: object
) -> Plain:
    """Return a death on record."""
    death = {"status": None, "reason": reason, "death": {"cause": cause}}
    return record(minutes_ago, number, cause="died", **{**death, **facts})


def data(
    nodes: list[Plain],
    restarts: list[Plain],
    *,
    trouble: str = "",
    rolls: dict[str, str] | None = None,
) -> Plain:
    """Return what the listener would hand to the page."""
    return {
        "at": NOW.isoformat(),
        "trouble": trouble,
        "minutes": 30,
        "points": POINTS,
        "nodes": nodes,
        "rolls": rolls or {},
        "restarts": restarts,
    }


def scenes() -> dict[str, Plain]:
    """Return each state that the page should look well in."""
    killed = record(
        3, 2, status=-1, reason="node_report_timeout: 61.0 s > 60.0 s", killed=True
    )
    lost = record(9, 2, recovered_at=None, seconds={"stop": 5.0})
    rolled = [
        record(26 - n / 2, n, cause="roll", status=None, reason="rolling restart")
        for n in range(4)
    ]
    causes = [
        record(24, 0, status=1, reason="polling_ttl: 301.0 s > 300.0 s"),
        record(20, 1, status=3, reason="memory_limit: 601 MB > 512 MB", rss_mb=601),
        record(16, 2, status=4, reason="stability_ttl: 610 s > 600 s", dry_run=True),
        record(12, 3, cause="fatal", status=None, reason="supervisord gave it up"),
        record(
            *(7, 1),
            cause="exited",
            status=None,
            reason="it died 6 times within 10 min",
            suspect="orders/3@4711",
        ),
    ]
    booting = node(
        3,
        "booting",
        why="no report yet",
        report_age_s=None,
        trends={name: [] for name in SERIES},
        now={**dict.fromkeys(SERIES), "memory_mb": 31.0, "uptime_s": 1.2},
    )
    ill = [node(0), node(1), backing_off(2), booting]
    words = ["unhealthy", "stopping", "waiting", "quiet", "held", "stopped by operator"]
    spare = node(10, "spare", why="10 nodes are to run", state="EXITED")
    fails = "orders/4@54{0} fails: ValueError('no price'), 8 attempts, for 3 min".format
    failing = node(6, "failing", why=fails(0), notes=[fails(1), fails(2)])
    failing["now"].update(errors=24, retries=21, dead_letters=1)
    silent = node(
        *(7, "unhealthy"),
        why="no report for 45.0 s",
        report_age_s=45.0,
        now=now(7, poll_s=45.1, consume_s=46.3, messages_per_s=None),
    )
    stalled = node(
        *(8, "unhealthy"),
        why="consuming_ttl: stalled: 312.4 s > 300.0 s at orders/3, orders/11",
        now=now(
            8,
            in_flight=[],
            consume_s=0,
            stalled_ms=312_400,
            stalled=["orders/3", "orders/11"],
            no_broker_ms=41_000,
            unsteady_ms=9_000,
            brokers_up=0,
        ),
    )
    rolling = "a roll is under way: 1 of 4 done; turn of swarm_worker_01 (12s)"
    hangs = (
        "a transaction hangs: the last stable offset of a partition has stood behind "
        "its end for 1m31, and what was written since is not read; its log says which "
        "partition"
    )
    held_back = node(9, notes=[hangs, "throttled: Kafka held an answer back for 0.3s"])
    deaths = [
        died(10, 0, "kill", "pid 4000 was ended by SIGKILL", suspect="orders/3@4711"),
        died(8, 1, "oom", "pid 4001 was ended by SIGKILL (OOM)"),
        died(5, 2, "signal", "pid 4002 was ended by SIGSEGV"),
        died(4, 3, "exit", "pid 4003 exited with 1", recovered_at=None),
        died(2, 3, "unknown", "pid 4003 ended, cause not known"),
    ]
    return {
        "empty": data([], []),
        "healthy": data([node(n) for n in range(4)], rolled),
        "backing_off": data(ill, [*rolled, lost, killed]),
        "all_words": data(
            [
                *(node(n, word) for n, word in enumerate(words)),
                *(failing, silent, stalled, held_back, spare),
            ],
            [*causes, *deaths],
        ),
        "roll": data(
            [node(0), node(1, "stopping"), node(2), node(3)],
            rolled[:1],
            rolls={"swarm_worker": rolling},
        ),
        "hundred": data(
            [node(n) if n % 17 else backing_off(n) for n in range(100)],
            [record(28 - n / 3, n) for n in range(80)],
        ),
    }


def lags() -> Plain:
    """Return what nodes have written of their partitions."""
    facts = {"kafka_group": "billing", "lso_behind_ms": None}
    worst = [
        {
            **facts,
            "topic": "orders",
            "partition": n,
            "node": f"swarm_worker:swarm_worker_{n % 4:02d}",
            "lag": 6_236 >> n,
            "oldest_ms": 62_360 >> n,
            "age_ms": 3_100,
        }
        for n in range(6)
    ]
    worst[1]["lso_behind_ms"] = 91_000
    worst[5].update(lag=None, oldest_ms=None)
    return {
        "kafka_groups": [
            {
                "kafka_group": "billing",
                "partitions": 12,
                "lag": 12_470,
                "lag_not_known": 1,
                "age_ms": 3_100,
                "worst": worst,
            }
        ],
        "not_known": [
            {
                "node": "swarm_worker:swarm_worker_03",
                "why": "no /srv/swarm/run/swarm_worker%3Aswarm_worker_03.partitions: "
                "none written yet, an older version, or a loop of its own",
            }
        ],
    }


STORY: Final = """\
08-01 03:04:05+0200  status 2: a batch took too long
  consuming_ttl: 312.4 s > 300.0 s at orders/3@4711
  in flight: orders/3@4711
  pid 4002 KILLed after 70s
  down for 5.0s
  started as pid 4811
  polled again 0.7s later; 76s in all
  its stacks, written 08-01 03:04:05+0200:
    thread swarm-handler-0:
      /srv/app/a_rather_long_name_of_a_package/with_a_module_inside.py:12 in charge_card
      /srv/app/orders.py:7 in bill

    4 idle threads
"""


class InventedFiles(Files):
    """Has read what is invented."""

    def __init__(self) -> None:
        """Read nothing."""

    def find(
        self,
        path: str,
        restarts: object,  # noqa: ARG002 - there is one story
        holders: Sequence[object],
    ) -> Found:
        """Return the story, or the partitions of a swarm that has nodes."""
        if path.startswith("/story/"):
            return Found(content_type="text/plain", body=STORY.encode())
        shown = lags() if holders else {"kafka_groups": [], "not_known": []}
        body = json.dumps(shown).encode()
        return Found(content_type="application/json", body=body)


@contextmanager
def served(shown: Plain) -> Iterator[tuple[MetricsServer, str]]:
    """Serve a scene; give the server, to `show` it another, and its address."""
    server = MetricsServer(("127.0.0.1", 0), page=html(), files=InventedFiles())
    show(server, shown)
    server.start()
    try:
        address = server.address(within_s=10.0)
        assert address is not None
        yield server, "http://{}:{}/".format(*address)
    finally:
        server.stop()


def show(server: MetricsServer, shown: Plain) -> None:
    """Serve a scene from now on."""
    text = json.dumps(shown).encode()
    server.show(
        Snapshot(
            metrics=None,
            trouble="",
            made_at_s=FOR_EVER_S,
            data=text,
            holders=shown["nodes"],
        )
    )


def await_drawn(browser: Browser, shown: Plain) -> None:
    """Wait until the page has drawn its data."""
    drawn = (
        "return shown !== null && shown.nodes.length === arguments[0] && "
        "$('partitions').hidden === (arguments[0] === 0)"
    )
    eventually(
        lambda: browser.run(drawn, len(shown["nodes"])), describe="the page is drawn"
    )


def open_story(browser: Browser) -> None:
    """Open the last restart's, if there is one."""
    browser.run("document.querySelector('.restarts button')?.click()")
    is_told = (
        "const pre = document.querySelector('.story:not([hidden]) pre'); "
        "return !pre || pre.textContent !== ''"
    )
    eventually(lambda: browser.run(is_told), describe="the story is told")


def main(folder: Path) -> None:
    """Write the picture of each scene, dark and light, wide and on a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, browsing(Path(profile)) as browser:
        for name, scene in scenes().items():
            with served(scene) as (_, url):
                for scheme in ("light", "dark"):
                    for size, (width, height) in {
                        "wide": (1280, 900),
                        "phone": (375, 812),
                    }.items():
                        browser.prefer(scheme)
                        browser.resize(width, height)
                        browser.open(url)
                        await_drawn(browser, scene)
                        open_story(browser)
                        whole = "return document.documentElement.scrollHeight"
                        browser.resize(width, min(HIGHEST, browser.run(whole)))
                        browser.screenshot(folder / f"{name}-{scheme}-{size}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
