"""``keeper DIR``: runs supervisord for the demo, and clears up whatever ends the demo.

Its stdin is a pipe from the demo. When that ends, by the demo's will, by Ctrl-C or by
``kill -9``, the keeper ends supervisord with all below it and removes DIR. It runs in a
session of its own, so that Ctrl-C reaches the demo alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import psutil

GRACE_S: Final = 12.0  # more than stopwaitsecs of conf/demo/supervisord.conf
LOOK_S: Final = 0.2

_PR_SET_CHILD_SUBREAPER: Final = 36  # Source: linux/prctl.h


def main(argv: list[str] | None = None) -> int:
    """Keep supervisord until stdin ends or it does.

    Exits with 1 in the latter case, and leaves DIR with the logs to the demo.
    """
    (folder,) = sys.argv[1:] if argv is None else argv
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # The pipe alone decides. Not SIG_IGN, which supervisord would inherit.
        signal.signal(number, lambda *_: None)
    adopt_orphans()
    supervisord = start(Path(folder))
    demo_is_over = demo_ended_first(supervisord)
    end(supervisord)
    if demo_is_over:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if demo_is_over else 1


def adopt_orphans() -> None:
    """Become the parent of what supervisord leaves behind, so that it is found."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start supervisord in the directory."""
    config = str(folder / "supervisord.conf")
    with (folder / "supervisord.out.log").open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own Python, our own file
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", config],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            restore_signals=True,
        )


def demo_ended_first(supervisord: subprocess.Popen[bytes]) -> bool:
    """Wait for the end of stdin or of supervisord; tell which it was."""
    while supervisord.poll() is None:
        readable, _, _ = select.select([0], [], [], LOOK_S)
        if readable and not os.read(0, 4096):
            return True
    return False


def end(supervisord: subprocess.Popen[bytes]) -> None:
    """End supervisord: asked first, killed after `GRACE_S`, and all below it."""
    supervisord.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        supervisord.wait(GRACE_S)
    give_up_at_s = time.monotonic() + GRACE_S
    while (left := psutil.Process().children(recursive=True)) and (
        time.monotonic() < give_up_at_s
    ):
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
