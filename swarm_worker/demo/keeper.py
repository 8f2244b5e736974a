"""Runs supervisord for the demo, and clears up whatever ends the demo.

Its stdin is a pipe from the demo. When that ends, because the demo is over, by
Ctrl-C or by ``kill -9``, the keeper ends supervisord and removes the directory that it
runs in. All else ends with supervisord: the kernel KILLs nodes whose supervisord is
gone, and the listener's stdin ends.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

GRACE_S: Final = 12.0  # more than stopwaitsecs of conf/demo/supervisord.conf


def main() -> int:
    """Keep supervisord until stdin ends, or until it ends by itself.

    Exits with 1 in the latter case, and leaves the directory with the logs.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # The pipe alone decides. Not SIG_IGN, which supervisord would inherit.
        signal.signal(number, lambda *_: None)
    with Path("supervisord.out.log").open("wb") as output:
        supervisord = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    while supervisord.poll() is None:
        readable, _, _ = select.select([0], [], [], 0.2)
        if readable and not os.read(0, 1):
            supervisord.terminate()
            with suppress(subprocess.TimeoutExpired):
                supervisord.wait(GRACE_S)
            supervisord.kill()
            shutil.rmtree(Path.cwd(), ignore_errors=True)
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
