"""One node as a bare process: what supervisord would see of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from swarm_event_listener.supervisord.node_reports import decode
from swarm_worker.shared.report import BEGIN, END, Report, State
from tests.eventually import eventually

ROOT: Final = Path(__file__).resolve().parent.parent

SETTINGS: Final = """\
[kafka]
"bootstrap.servers" = "127.0.0.1:1"
[worker]
liveness_interval = 500
shutdown_timeout = 2000
"""

# Of an app with `oauth_cb`, without whose token no client is made.
TOKEN_SETTINGS: Final = SETTINGS.replace(
    "[worker]",
    '"security.protocol" = "SASL_PLAINTEXT"\n'
    '"sasl.mechanisms" = "OAUTHBEARER"\n[worker]',
)

SUPERVISED: Final = {
    "SUPERVISOR_ENABLED": "1",
    "SUPERVISOR_GROUP_NAME": "swarm",
    "SUPERVISOR_PROCESS_NAME": "swarm_03",
}


class Bare:
    """A node's process with pipes for stdout and stderr, read as they fill.

    Attributes:
        process: The process.
    """

    def __init__(
        self,
        folder: Path,
        argv: list[str],
        environ: Mapping[str, str],
        *,
        stdout: int = subprocess.PIPE,
    ) -> None:
        """Start it in a folder that has ``swarm.toml``; another stdout is not read."""
        self.process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests/apps", **environ},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
        )
        self._told: dict[str, bytearray] = {
            "stdout": bytearray(),
            "stderr": bytearray(),
        }
        pipes = {"stdout": self.process.stdout, "stderr": self.process.stderr}
        self._threads = [
            self._follow(name, pipe) for name, pipe in pipes.items() if pipe
        ]

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return self._told["stderr"].decode("utf-8", "replace")

    @property
    def stdout(self) -> str:
        """What it wrote to stdout so far."""
        return self._told["stdout"].decode("utf-8", "replace")

    @property
    def reports(self) -> list[Report]:
        """The reports so far, whole ones only."""
        payloads = [part.partition(END) for part in self.stdout.split(BEGIN)[1:]]
        decoded = [decode(text) for text, end, _ in payloads if end]
        return [report for report in decoded if isinstance(report, Report)]

    def await_logged(self, text: str) -> None:
        """Wait until a text is in its log."""
        eventually(lambda: text in self.log, describe=f"{text!r} in\n{self.log}")

    def await_reported(self, state: State) -> Report:
        """Wait for a report of a state; give the last one."""
        return eventually(
            lambda: next((r for r in reversed(self.reports) if r.state is state), None),
            describe=f"report {state}, log:\n{self.log}",
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop_after(self, text: str) -> int:
        """Stop it once a text is in its log; return the exit code."""
        self.await_logged(text)
        self.send(signal.SIGTERM)
        return self.await_end()

    def await_end(self, *, within_s: float = 10.0) -> int:
        """Wait for its end; give the exit code, negative for a signal."""
        eventually(
            lambda: self.process.poll() is not None,
            within_s=within_s,
            describe=f"end of the node, log:\n{self.log}",
        )
        for thread in self._threads:
            thread.join(1.0)
        return int(self.process.returncode)

    def close(self) -> None:
        """Kill it if it lives, and let its pipes go."""
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(1.0)

    def _follow(self, name: str, pipe: IO[bytes]) -> threading.Thread:
        def read() -> None:
            with pipe:
                while chunk := os.read(pipe.fileno(), 1 << 16):
                    self._told[name] += chunk

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        return thread


@contextmanager
def node(
    folder: Path,
    *flags: str,
    app: str = "moody:app",
    supervised: bool = True,
    moods: Mapping[str, str] | None = None,
    stdout: int = subprocess.PIPE,
) -> Iterator[Bare]:
    """Run a node of a test app; it is killed at the end at the latest.

    Args:
        folder: Where it runs; ``swarm.toml`` is written there when absent.
        *flags: Further flags.
        app: The app, of tests/apps by default.
        supervised: In an environment as supervisord gives it.
        moods: ``IMPORT``, ``START``, ``HANDLER``, ``STOP`` of `moody`.
        stdout: A descriptor for its reports, in place of a pipe that is read here.
    """
    file = folder / "swarm.toml"
    if not file.exists():
        file.write_text(SETTINGS, encoding="utf-8")
    bare = Bare(
        folder,
        [sys.executable, "-m", "swarm_worker", app, *flags],
        {
            **(SUPERVISED if supervised else {}),
            **{f"MOOD_{when}": mood for when, mood in (moods or {}).items()},
        },
        stdout=stdout,
    )
    try:
        yield bare
    finally:
        bare.close()
