"""The least that a loop of its own can be: it polls, and handles no signal at all."""

import threading

from swarm_worker import Liveness

if __name__ == "__main__":
    with Liveness(max_poll_interval_ms=7_000, liveness_interval_ms=500) as liveness:
        while not threading.Event().wait(0.1):
            liveness.polled()
