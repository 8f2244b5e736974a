"""The end of a shutdown that does not end by itself."""

from __future__ import annotations

import faulthandler
import threading
from collections.abc import Callable
from typing import Final

from swarm_worker import exits

_C_LEVEL_LATER_S: Final = 0.5


def arm(after_s: float, *, code: int, describe: Callable[[], str]) -> None:
    """End the process after ``after_s`` seconds, with the stacks of all threads.

    A thread does it, with ``code``. A thread needs the GIL, though: where a handler
    holds that for good, a timer of faulthandler's, in C, follows half a second later.
    It prints the stacks and can only exit 1; still better than to wait for
    supervisord's KILL, which tells nothing.

    Args:
        after_s: Seconds from now.
        code: The exit code.
        describe: Gives the last line, when the time has come.
    """
    faulthandler.dump_traceback_later(after_s + _C_LEVEL_LATER_S, exit=True, file=2)

    def end() -> None:
        threading.Event().wait(after_s)
        faulthandler.dump_traceback(file=2, all_threads=True)
        exits.leave(code, describe())

    threading.Thread(target=end, name="swarm-deadline", daemon=True).start()


def leave_after(after_s: float, *, code: int) -> None:
    """End the process with ``code`` if it has not ended after ``after_s`` seconds.

    The interpreter waits for all threads that are not daemons, also for those that a
    handler left behind.
    """

    def end() -> None:
        threading.Event().wait(after_s)
        left = [t.name for t in threading.enumerate() if not t.daemon and t.is_alive()]
        exits.leave(code, f"threads_left_behind names={','.join(left)} code={code}")

    threading.Thread(target=end, name="swarm-exit", daemon=True).start()
