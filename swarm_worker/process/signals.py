"""What the main thread waits for: signals, and failures of other threads."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Final

STOP: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
HANDLED: Final = (*STOP, signal.SIGTSTP, signal.SIGCONT, signal.SIGUSR1)


class StopAsked(BaseException):
    """Raised on the main thread by a signal that stops, while that is in user code."""


class Inbox:
    """Signals and failures, in order. The main thread alone waits.

    Signals come through Python handlers, which run on the main thread, and a wake-up
    descriptor: a signal that the kernel gives to another thread would otherwise not
    end the main thread's wait.

    Attributes:
        retires: USR1 came, and no CONT after it: the end to come is for good.
    """

    def __init__(self) -> None:
        self.retires = False
        self._facts: SimpleQueue[Exception | signal.Signals] = SimpleQueue()
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._before: Mapping[signal.Signals, signal._HANDLER] = {}
        self._before_raising: Callable[[], None] | None = None
        self._stop_asked = False
        os.register_at_fork(after_in_child=self._uninstall)

    def install(self) -> None:
        """Take the signals over, again where the app's import took them away."""
        before = {number: signal.signal(number, self._handle) for number in HANDLED}
        self._before = self._before or before
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})  # see __main__
        signal.set_wakeup_fd(self._wake_out, warn_on_full_buffer=False)

    def ignore(self) -> None:
        """Ignore the signals: the process ends.

        The interpreter sets them back to their default at its end, and a second TERM
        would then turn exit 0 into a death by signal.
        """
        for number in HANDLED:
            signal.signal(number, signal.SIG_IGN)

    def put(self, failure: Exception) -> None:
        """Leave a failure for the main thread. Any thread may."""
        self._facts.put(failure)
        self._wake()

    def wait(self, timeout_s: float) -> list[Exception | signal.Signals]:
        """Return what came, after at most ``timeout_s`` seconds."""
        if select.select([self._wake_in], [], [], timeout_s)[0]:
            os.read(self._wake_in, 4096)
        came: list[Exception | signal.Signals] = []
        try:
            while True:
                came.append(self._facts.get_nowait())
        except Empty:
            return came

    def interrupt(self, before_raising: Callable[[], None]) -> None:
        """Let a signal that stops raise `StopAsked` on the main thread from now on.

        Args:
            before_raising: Called first, once; the code that is interrupted may
                swallow what is raised.

        Raises:
            StopAsked: One came before, or what it raised was swallowed.
        """
        self._before_raising = before_raising
        if self._stop_asked:
            self._raise()

    def interrupt_no_more(self) -> None:
        """Leave signals that stop to `wait` from now on."""
        self._before_raising = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number in {signal.SIGUSR1, signal.SIGCONT}:
            self.retires = number == signal.SIGUSR1
        self._facts.put(signal.Signals(number))
        self._wake()
        if number in STOP and not self._stop_asked:
            self._stop_asked = True
            self._raise()

    def _raise(self) -> None:
        if self._before_raising:
            self._before_raising()
            raise StopAsked

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # full of wake-ups already
            os.write(self._wake_out, b"\0")

    def _uninstall(self) -> None:
        """Restore, in a forked child, the signals that the process began with.

        Otherwise it could not be stopped, and its signals would wake its parent.
        """
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._wake_in)
        os.close(self._wake_out)
