"""Whoever drains the backlog: a child process, its window, and what came of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from swarm_worker.node.main import COLLECT_AFTER
from tests.benchmarks.bench import Bench
from tests.eventually import eventually
from tests.nodes import SUPERVISED
from tests.supervisord import PARENT_DEATH, ROOT

PEERS: Final = Path(__file__).parent / "peers"
WARM_S: Final = 0.5
BOOT_S: Final = 30.0  # from the start to the first message, at most
APP: Final = "tests.benchmarks.peers.swarm_side:app"


class ContenderFailedError(Exception):
    """A side gave no figure, or one that would be wrong; with the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one side did in its window.

    Attributes:
        messages: Handled within the window.
        seconds: Length of the window.
        cpu_s: CPU of the whole process within it, all threads.
        total: Handled since the start.
        partitions: Where the messages came from, if the side tells.
    """

    messages: int
    seconds: float
    cpu_s: float
    total: int
    partitions: Sequence[int] = ()

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU a message."""
        return self.cpu_s / self.messages * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to consume.

    Attributes:
        name: What people call it.
        script: In ``peers/``; None for a node of ours.
        environment: Whose packages it needs; None for those of the bench.
        extra: Properties of its consumer beyond servers, group and offset reset.
        work: What it calls the work that it is given, where it has a name of its own.
        environ: Of the process; by default what supervisord sets.
        collect_after: Threshold of the garbage collector that a bare loop sets; None
            for Python's own.
    """

    name: str
    script: str | None = None
    environment: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    work: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: SUPERVISED)
    collect_after: int | None = None

    def measure(
        self, bench: Bench, topic: str, *, count: int, work: str, **orders: Any
    ) -> Measured:
        """Run it on a topic of ``count`` messages, from the first one on.

        Raises:
            ContenderFailedError: It ended, took too long, or ran out of messages.
        """
        with bench.folder("side") as folder:
            told = {
                **orders_for(bench, topic, count=count, folder=folder),
                "work": self.work or work,
                "extra": dict(self.extra),
                "collect_after": self.collect_after,
                **orders,
            }
            command = self.command(bench, folder)
            with child(command, folder, told, environ=self.environ) as process:
                patience_s = BOOT_S + 3 * (told["warm_s"] + told["window_s"])
                measured = result_of(process, folder, within_s=patience_s)
            if measured.total > told["most"]:
                raise ContenderFailedError(
                    f"{self.name} drained the backlog: {measured.total} of {count}"
                )
            shutil.rmtree(folder)
            return measured

    def command(self, bench: Bench, folder: Path) -> list[str]:
        """Return its command line; a node's configuration is written to the folder."""
        python = Path(sys.executable)
        if self.environment is not None:
            python = bench.environments.python(self.environment)
        if self.script is not None:
            return [str(python), str(PEERS / self.script)]
        config = configuration(bench.kafka.bootstrap, self.extra)
        (folder / "swarm.toml").write_text(config, encoding="utf-8")
        # What the command ``swarm-worker`` runs.
        return [str(python), "-m", "swarm_worker", APP]


def orders_for(bench: Bench, topic: str, *, count: int, folder: Path) -> dict[str, Any]:
    """Return what every side is given; its group is new, so it begins at the start."""
    return {
        "bootstrap": bench.kafka.bootstrap,
        "topic": topic,
        "group": folder.name,
        "most": 0.95 * count,
        "warm_s": WARM_S,
        "window_s": bench.window_s,
        "result": str(folder / "result"),
    }


def configuration(bootstrap: str, extra: Mapping[str, Any]) -> str:
    """Return a node's ``swarm.toml``: nothing but what has no default."""
    properties = {
        "bootstrap.servers": bootstrap,
        "auto.offset.reset": "earliest",
        **extra,
    }
    lines = [f'"{name}" = {json.dumps(value)}' for name, value in properties.items()]
    return "\n".join(["[kafka]", *lines, ""])


@contextmanager
def child(
    command: Sequence[str],
    folder: Path,
    orders: Mapping[str, Any],
    *,
    environ: Mapping[str, str] = SUPERVISED,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a side in its folder; it is killed at the end, or with the bench.

    By default a node finds what it would find under supervisord. Its reports go through
    a pipe, which ``cat`` empties as supervisord would.
    """
    (folder / "orders.json").write_text(json.dumps(orders), encoding="utf-8")
    launcher = [sys.executable, "-ISs", str(PARENT_DEATH), str(os.getpid())]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*launcher, *command],
            cwd=folder,
            env={
                **os.environ,
                **environ,
                "SIDE": str(folder / "orders.json"),
                "PYTHONPATH": str(ROOT),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        drain = subprocess.Popen(
            ["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
        drain.wait()


def result_of(
    process: subprocess.Popen[bytes], folder: Path, *, within_s: float
) -> Measured:
    """Wait for what a side measured.

    Raises:
        ContenderFailedError: It ended or took too long.
    """
    await_file(process, folder, "result", within_s=within_s)
    return Measured(**json.loads((folder / "result").read_text(encoding="utf-8")))


def await_file(
    process: subprocess.Popen[bytes], folder: Path, name: str, *, within_s: float
) -> None:
    """Wait for a file of a side.

    Raises:
        ContenderFailedError: It ended or took too long.
    """
    path = folder / name

    def there() -> bool:
        return path.exists() or process.poll() is not None

    try:
        eventually(there, within_s=within_s, describe=f"{name} of {path.parent}")
        assert path.exists(), f"no {name}"
    except AssertionError as error:
        log = (folder / "log").read_text(encoding="utf-8", errors="replace")
        raise ContenderFailedError(
            f"{error}; exit {process.poll()}; its log ends with:\n{log[-2000:]}"
        ) from None


OURS: Final = Contender(name="swarm-worker")
BARE: Final = Contender(name="bare loop", script="bare_side.py")
# What a bare loop has to be told to drain a backlog at speed: the fetching and the
# garbage collector of a node.
TUNED: Final = Contender(
    name="tuned loop",
    script="bare_side.py",
    extra={"fetch.queue.backoff.ms": 10},
    collect_after=COLLECT_AFTER,
)
# The same with another parser: handlers that are faster than the library's json.
OURS_ORJSON: Final = Contender(
    name="swarm-worker, orjson", environment="orjson", work="orjson"
)
BARE_ORJSON: Final = Contender(
    name="bare loop, orjson",
    script="bare_side.py",
    environment="orjson",
    work="orjson",
)
