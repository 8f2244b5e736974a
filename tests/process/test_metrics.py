"""The metrics of a real swarm, and supervision while clients misbehave."""

from __future__ import annotations

import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.awaits import await_restarted
from tests.eventually import eventually
from tests.process.swarms import Swarm, free_port

pytestmark = pytest.mark.process


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """Return all samples by metric and labels; none while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
            text = response.read().decode()
    except urllib.error.URLError:
        return {}
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def health(port: int) -> int:
    """Return the status of /healthz."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


MESSAGES = ("kafka_swarm_node_messages_total", "w", "w_00")
RESTARTS = ("kafka_swarm_node_consuming_restarts_total", "w", "w_00")


@pytest.mark.timeout(120)
def test_counters_outlive_a_node_under_a_crowd_of_half_open_connections(
    start_swarm: Callable[..., Swarm],
) -> None:
    """200 connections that say nothing; a node hangs, is restarted, and counts on."""
    port = free_port()
    swarm = start_swarm(nodes=2, toml=f'metrics = "127.0.0.1:{port}"')
    pid = swarm.tell(0, messages=40)
    eventually(lambda: scrape(port).get(MESSAGES, 0) >= 39, describe="messages")
    assert health(port) == 204
    before = scrape(port)[MESSAGES]
    with ExitStack() as stack:
        for _ in range(200):
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            stack.enter_context(client).sendall(b"GET /metrics HT")

        swarm.tell(0, messages=41, consume_age_ms=9_000)
        await_restarted(swarm, 0, than=pid)

        eventually(lambda: scrape(port)[RESTARTS] == 1, describe="the restart")
        after = eventually(
            lambda: (seen := scrape(port)[MESSAGES]) > before + 1 and seen,
            describe="messages of the new process on top of those of the old",
        )
    assert after == before + 2  # one of the old process, one of the new


@pytest.mark.timeout(120)
def test_health_is_lost_with_supervisord(start_swarm: Callable[..., Swarm]) -> None:
    """A supervisord that hangs gives no events: 503, until it is back."""
    port = free_port()
    swarm = start_swarm(nodes=1, toml=f'metrics = "127.0.0.1:{port}"')
    eventually(lambda: health(port) == 204, describe="health")

    swarm.daemon.process.send_signal(signal.SIGSTOP)
    eventually(lambda: health(port) == 503, within_s=19, describe="no health")
    swarm.daemon.process.send_signal(signal.SIGCONT)
    eventually(lambda: health(port) == 204, within_s=30, describe="health again")


@pytest.mark.timeout(120)
def test_a_port_in_use_does_not_end_supervision(
    start_swarm: Callable[..., Swarm],
) -> None:
    """Said as an error, once; a node that hangs is restarted all the same."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        swarm = start_swarm(nodes=1, toml=f'metrics = "127.0.0.1:{port}"')
        pid = swarm.tell(0, consume_age_ms=9_000)
        await_restarted(swarm, 0, than=pid)
        assert swarm.log.count("ERROR metrics_not_served") == 1
    eventually(lambda: scrape(port), within_s=20, describe="metrics when it is free")
