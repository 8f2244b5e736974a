"""Tells systemd that the swarm is supervised, for as long as that is so.

The service is supervisord. This listener speaks for it, through the socket that
supervisord's children inherit in NOTIFY_SOCKET. The unit therefore needs
``NotifyAccess=all``, and WATCHDOG_PID, which names supervisord, is not looked at.

``STOPPING=1`` is never sent: supervisord tells its listeners of a shutdown and of a
``supervisorctl reload`` alike, and after that word systemd would end a supervisord that
only starts anew.
"""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Mapping
from typing import Final

logger = logging.getLogger(__name__)

TICK_S: Final = 1.0  # how often `Watchdog.beat` is called
HEARD_MAX_S: Final = 10.0  # TICK_5 comes every 5 s, and up to 2 s late
LEAST_S: Final = 4.0  # half of it must be longer than a tick


class Notifier:
    """The socket of systemd. Nothing here blocks, and nothing depends on it."""

    def __init__(self, address: str) -> None:
        """Take the address: a path, or ``@`` and a name without a file."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._is_heard = True

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Notifier | None:
        """Return the notifier, None outside of systemd."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        return cls(address)

    def send(self, *assignments: str) -> bool:
        """Send ``NAME=value`` lines at once; return whether systemd took them."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto(
                    "\n".join(assignments).encode(),
                    socket.MSG_DONTWAIT,
                    self._address,
                )
        except OSError as error:
            if self._is_heard:
                logger.warning("systemd_unreachable why=%r", str(error))
            self._is_heard = False
            return False
        self._is_heard = True
        return True


class Watchdog:
    """Sends READY once, then WATCHDOG while events come: the caller's loop turns."""

    def __init__(self, notifier: Notifier, *, timeout_s: float | None) -> None:
        """Begin before READY; ``timeout_s`` is the unit's WatchdogSec, None without."""
        self._notifier = notifier
        self._timeout_s = timeout_s
        self._is_ready = False
        self._sent_at_s = -math.inf

    def beat(self, *, now_s: float, heard_at_s: float | None) -> None:
        """Send what is due. Call it every `TICK_S`, from the loop that is watched.

        supervisord last sent an event at ``heard_at_s``; None before the first.
        """
        if heard_at_s is None or now_s - heard_at_s > HEARD_MAX_S:
            return
        if self._timeout_s is None:
            self._is_ready = self._is_ready or self._notifier.send("READY=1")
            return
        if not self._is_ready:
            # Armed: a predecessor may have had it `rest`.
            armed = f"WATCHDOG_USEC={self._timeout_s * 1e6:.0f}"
            self._is_ready = self._notifier.send("READY=1", armed)
        if now_s + TICK_S - self._sent_at_s > self._timeout_s / 2:
            self._sent_at_s = now_s
            self._notifier.send("WATCHDOG=1")

    def rest(self) -> None:
        """Have systemd not wait any more: the listener ends because it was asked to.

        An operator may stop the listener, and that must not end the nodes. The next
        listener begins with READY and arms the watchdog again. One that is lost, or
        that a hung supervisord does not start again, says nothing here.
        """
        if self._timeout_s is not None:
            self._notifier.send("WATCHDOG_USEC=0")


def watchdog_from(notifier: Notifier, environ: Mapping[str, str]) -> Watchdog:
    """Return the watchdog that the unit asks for in WATCHDOG_USEC."""
    text = environ.get("WATCHDOG_USEC", "")
    timeout_s = int(text) / 1e6 if text.isdecimal() and int(text) else None
    if timeout_s is not None and timeout_s < LEAST_S:
        logger.error(
            "watchdog_too_short s=%g do=%r",
            timeout_s,
            f"set WatchdogSec= of the unit to {LEAST_S:g} at least; 60 is advised",
        )
    return Watchdog(notifier, timeout_s=timeout_s)
