"""The deadline of a shutdown: it ends a process that does not end by itself."""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Callable
from typing import Final, NoReturn

from swarm_worker.process import exit_codes as exits
from swarm_worker.shared import logs

# On a busy machine the thread is late by a second and more. Both together are less than
# the 5 s by which supervisord's stopwaitsecs is to be longer.
_C_LEVEL_LATER_S: Final = 2.0
_LEAVES_WITHIN_S: Final = 2.5
_LOG_WITHIN_S: Final = 0.5


class Deadline:
    """Ends the process after a time, with the stacks of all threads.

    A thread does it, with the exit code. A thread needs the GIL, though: where a
    handler holds that for good, a timer of faulthandler's, in C, follows two seconds
    later. It prints the stacks, can only exit 1, and ends no child; still better than
    to wait for supervisord's KILL, which tells nothing. There is one such timer in a
    process: the last deadline has it.
    """

    def __init__(
        self,
        after_s: float,
        *,
        code: int,
        describe: Callable[[], str],
        leave: Callable[[int, str], NoReturn] = exits.leave,
    ) -> None:
        """Arm it.

        ``leave`` is given the code, and as last line what ``describe`` returns then.
        """
        self._disarmed = threading.Event()
        faulthandler.dump_traceback_later(after_s + _C_LEVEL_LATER_S, exit=True, file=2)

        def end() -> None:
            if not self._disarmed.wait(after_s):
                # Time for what follows, should it not end.
                faulthandler.dump_traceback_later(_LEAVES_WITHIN_S, exit=True, file=2)
                logs.drain(_LOG_WITHIN_S)  # before the stacks
                exits.wait_no_more_for_stderr()
                faulthandler.dump_traceback(file=2, all_threads=True)
                leave(code, describe())

        threading.Thread(target=end, name="swarm-deadline", daemon=True).start()

    def disarm(self) -> None:
        """Let the process live on."""
        self._disarmed.set()
        faulthandler.cancel_dump_traceback_later()


def threads_left_behind() -> str:
    """Return the threads that the interpreter waits for at its end."""
    left = [t.name for t in threading.enumerate() if not t.daemon and t.is_alive()]
    return f"threads_left_behind names={','.join(left)}"
