"""The channel of reports to supervisord: a descriptor that nobody else writes to.

supervisord reads events from the pipe that is the node's stdout. Whatever else is
written there may forge, split or swallow a report, so fd 1 is taken away from the
process: it is duplicated here, and then points at stderr.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
from io import TextIOWrapper
from typing import Final

from swarm_worker.shared.settings import ConfigError

STDOUT: Final = 1
STDERR: Final = 2

# Out of the way of code that closes the descriptors it counted itself.
_FD_FROM: Final = 64


class ChannelGone(Exception):  # noqa: N818 - a fact, not a mistake
    """Nobody will read reports any more: supervisord is gone or gave the pipe up."""


class Channel:
    """The descriptor and what was lost on it.

    Attributes:
        dropped: Reports that would have blocked, and were not written.
    """

    def __init__(self, fd: int) -> None:
        """Own a descriptor; children get it neither by fork nor by exec."""
        self.dropped = 0
        self._fd: int | None = fd
        self._identity = _identity(fd)
        self._errors = select.poll()
        self._errors.register(fd, 0)  # POLLERR and POLLHUP are always told
        os.register_at_fork(after_in_child=self.close)

    @classmethod
    def take_stdout(cls) -> Channel:
        """Make fd 1 private and point it at stderr.

        Raises:
            ConfigError: fd 1 is closed, or one pipe with fd 2.
        """
        _check_stdout_alone()
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.flush()
        fd = fcntl.fcntl(STDOUT, fcntl.F_DUPFD_CLOEXEC, _FD_FROM)
        if _is_pipe(fd):
            # A flag of the open file description: it reaches all who share this pipe,
            # such as a shell that wraps the node. Files and terminals do not need it.
            os.set_blocking(fd, False)
        os.dup2(STDERR, STDOUT)
        if isinstance(sys.stdout, TextIOWrapper):
            # Prints land in the log at once, in order with stderr.
            sys.stdout.reconfigure(line_buffering=True)
        return cls(fd)

    def send(self, frame: bytes) -> bool:
        """Write a frame, unless that would block; return whether it was written.

        Raises:
            ChannelGone: There is no reader any more, or no descriptor.
        """
        try:
            if self._fd is None or not self._is_ours(self._fd):
                raise ChannelGone("the report channel was closed in this process")
            os.write(self._fd, frame)
        except BlockingIOError:
            self.dropped += 1
            return False
        except OSError as error:
            raise ChannelGone(f"nobody reads reports: {error.strerror}") from None
        return True

    @property
    def is_broken(self) -> bool:
        """Whether the reader is gone, without writing.

        A descriptor that was closed in this process is for `send` to tell.
        """
        return any(event & ~select.POLLNVAL for _, event in self._errors.poll(0))

    def _is_ours(self, fd: int) -> bool:
        try:
            return _identity(fd) == self._identity
        except OSError:
            return False

    def close(self) -> None:
        """Close the descriptor, unless its number is another file's by now."""
        fd, self._fd = self._fd, None
        if fd is not None and self._is_ours(fd):
            os.close(fd)


def _check_stdout_alone() -> None:
    try:
        same = _identity(STDOUT) == _identity(STDERR)
    except OSError as error:
        raise ConfigError(
            f"stdout or stderr cannot be used: {error.strerror}; supervisord must "
            "start the node with both open"
        ) from None
    if same and _is_pipe(STDOUT):
        raise ConfigError(
            "stdout and stderr are one pipe: set redirect_stderr=false in the "
            "[program:x] section; reports go to stdout, logs to stderr"
        )


def _identity(fd: int) -> tuple[int, int]:
    facts = os.fstat(fd)
    return facts.st_dev, facts.st_ino


def _is_pipe(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
