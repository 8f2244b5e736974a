"""A node that reports once, then sleeps; with an argument it exits at once instead."""

import os
import signal
import sys

from swarm_worker.shared.report import Report, State, encode

os.write(
    1,
    encode(Report(node=0, pid=os.getpid(), state=State.BOOTING, in_flight=("a/0@1<",))),
)
if len(sys.argv) == 1:
    signal.alarm(300)
    signal.pause()
