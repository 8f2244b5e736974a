"""Which state a node is in: what its reports say."""

from __future__ import annotations

from swarm_worker.shared.report import State


class Lifecycle:
    """Which state a node is in, as its main thread moves it on.

    Attributes:
        started: The consumers run.
        quiet: No new batches are taken.
        stopping: The end has begun.
    """

    def __init__(self) -> None:
        self.started = False
        self.quiet = False
        self.stopping = False
        self._joined = False

    def state(self, *, joined: bool) -> State:
        """Return the state; booting ends for good once all consumers have joined."""
        self._joined = self._joined or (self.started and joined)
        if self.stopping:
            return State.STOPPING
        if not self._joined:
            return State.BOOTING
        return State.QUIET if self.quiet else State.RUNNING
