"""`make kafka`: a Kafka in the foreground that leaves nothing behind."""

import argparse
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.kafka.admin import Admin
from tests.kafka.by_hand import topic
from tests.kafka.settings import free_ports

BY_HAND = [sys.executable, "-m", "tests.kafka.broker"]


def test_topic_has_a_name_and_perhaps_a_count() -> None:
    """One partition unless told otherwise."""
    assert topic("orders:12") == ("orders", 12)
    assert topic("orders") == ("orders", 1)


@pytest.mark.parametrize("text", ["", ":3", "orders:0", "orders:many", "orders:-1"])
def test_topic_that_cannot_be_is_refused(text: str) -> None:
    """The message shows what was expected and what came."""
    with pytest.raises(argparse.ArgumentTypeError, match="expected NAME:PARTITIONS"):
        topic(text)


def test_port_in_use_is_refused(kafka_home: Callable[[], Path], tmp_path: Path) -> None:
    """One line on stderr, exit 78, before Java starts."""
    del kafka_home  # only so that Kafka is known to be there
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = subprocess.run(
            [*BY_HAND, "--port", str(taken.getsockname()[1])],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )

    assert (ran.returncode, ran.stdout) == (78, "")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_until_told_to_stop(
    kafka_home: Callable[[], Path], end: signal.Signals
) -> None:
    """It says where it is; a signal ends it with 0, no process and no file stay."""
    temp, port = kafka_home(), free_ports().plain
    with subprocess.Popen(
        [*BY_HAND, "--port", str(port), "--topic", "orders:3"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temp)},
    ) as command:
        assert command.stdout is not None
        said = iter(command.stdout)
        assert any(f"answers at 127.0.0.1:{port}" in line for line in said)
        [java] = psutil.Process(command.pid).children(recursive=True)
        admin = Admin(f"127.0.0.1:{port}")
        assert sorted(admin.end_offsets("orders")) == [0, 1, 2]

        command.send_signal(end)
        assert command.wait(30) == 0
    assert not java.is_running()
    assert list(temp.iterdir()) == []
