"""``parent_death.py PARENT_PID COMMAND...``: become COMMAND, which ends with it.

A broker must not outlive its test, not even when that is killed with SIGKILL. The
kernel can see to it, but the request has to be made by the child itself; this launcher
makes it and then turns into the command, so pid, signals and exit code are the
command's own. (``preexec_fn`` would do the same, yet is unsafe in a threaded parent.)

Linux only; elsewhere the command is not tied to its parent. The tie is to the *thread*
that started the process: start brokers from a thread that stays.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h


def end_with(parent_pid: int) -> None:
    """Have the kernel KILL this process when its parent ends.

    Raises:
        SystemExit: The parent ended before the request could be made.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise SystemExit(f"parent {parent_pid} is gone")


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - the point of this file
