"""A proxy before supervisord's socket that KILLs the caller at a chosen call.

So a listener dies at an exact step of a restart, without a word of that in its code:
before the call is passed on (it was never made), or before its answer is (it was).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WHOLE: Final = b"</methodCall>"


@dataclass(frozen=True, slots=True)
class Blow:
    """KILL whoever calls this method for this process.

    Attributes:
        method: Such as ``stopProcess``.
        process: supervisord's full name.
        is_made: Whether the call is passed on before.
    """

    method: str
    process: str
    is_made: bool


class Proxy:
    """Listens at ``FOLDER/p`` and passes on to ``FOLDER/s``.

    Attributes:
        url: Its address.
        dealt: The blows that have fallen.
    """

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder}/p"
        self.dealt: list[Blow] = []
        self._due: list[Blow] = []
        self._folder = folder
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(str(folder / "p"))
        self._server.listen(64)
        threading.Thread(target=self._serve, name="proxy", daemon=True).start()

    def arm(self, *blows: Blow) -> None:
        """Deal each of these blows once."""
        self._due.extend(blows)

    def close(self) -> None:
        """Take no more calls."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=[caller], daemon=True).start()

    def _pass_on(self, caller: socket.socket) -> None:
        with caller, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as called:
            try:
                request = _request(caller)
                blow = self._blow(request)
                if blow and not blow.is_made:
                    self._deal(blow, caller)
                    return
                called.connect(str(self._folder / "s"))
                called.sendall(request)
                while answer := _answer(called, caller):
                    if blow:
                        self._deal(blow, caller)
                        return
                    caller.sendall(answer)
            except OSError:
                return  # either of them is gone

    def _blow(self, request: bytes) -> Blow | None:
        for blow in self._due:
            called = f".{blow.method}</methodName>".encode() in request
            if called and f">{blow.process}<".encode() in request:
                self._due.remove(blow)
                return blow
        return None

    def _deal(self, blow: Blow, caller: socket.socket) -> None:
        credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        os.kill(struct.unpack("3i", credentials)[0], signal.SIGKILL)
        self.dealt.append(blow)


def _request(caller: socket.socket) -> bytes:
    request = b""
    while WHOLE not in request:
        chunk = caller.recv(65_536)
        if not chunk:
            raise ConnectionError("the caller went away")
        request += chunk
    return request


def _answer(called: socket.socket, caller: socket.socket) -> bytes:
    """Return what comes next; empty when one of them has closed."""
    ready, _, _ = select.select([called, caller], [], [], 30)
    return called.recv(65_536) if called in ready else b""
