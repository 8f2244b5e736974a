"""A broker that speaks as little Kafka as it takes to be known, and to be forgotten.

A real one that starts, or that its controller has given up for a moment, names no
brokers in an answer for metadata. That moment lasts milliseconds; here it comes when a
test wants it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Final, Self

_METADATA, _COORDINATOR, _VERSIONS = 3, 10, 18

# What it says it can do, so that a client takes it for a broker: key, from, to.
_CAN: Final = (
    (_VERSIONS, 0, 0), (_METADATA, 0, 1), (_COORDINATOR, 0, 0), (1, 0, 4), (2, 0, 1),
    (8, 0, 3), (9, 0, 3), (11, 0, 1), (12, 0, 1), (13, 0, 1), (14, 0, 1),
)  # fmt: skip
_UNSUPPORTED_VERSION, _NO_COORDINATOR, _NO_LEADER = 35, 15, 5


class ForgetfulBroker:
    """Knows one topic of one partition, and no group.

    Attributes:
        bootstrap: Its address.
        names_itself: Whether its answers for metadata name a broker.
        connections: How many clients have connected so far.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._server = socket.create_server(("127.0.0.1", 0))
        self._port = self._server.getsockname()[1]
        self.bootstrap = f"127.0.0.1:{self._port}"
        self.names_itself = True
        self.forgot = threading.Event()  # an answer that named none was given
        self.connections = 0
        self._open: set[socket.socket] = set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        for client in list(self._open):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                self._open.add(client)
                threading.Thread(
                    target=self._serve, args=(client,), daemon=True
                ).start()

    def _serve(self, client: socket.socket) -> None:
        answers: Mapping[int, Callable[[int], bytes]] = {
            _VERSIONS: _versions,
            _METADATA: lambda _: self._metadata(),
            _COORDINATOR: lambda _: _no_coordinator(),
        }
        with contextlib.suppress(OSError, struct.error, KeyError):
            while True:
                (size,) = struct.unpack(">i", client.recv(4, socket.MSG_WAITALL))
                request = client.recv(size, socket.MSG_WAITALL)
                key, version, correlation = struct.unpack(">hhi", request[:8])
                body = answers[key](version)
                head = struct.pack(">ii", len(body) + 4, correlation)
                client.sendall(head + body)
        self._open.discard(client)
        client.close()

    def _metadata(self) -> bytes:
        """Return version 1: brokers, controller, topics."""
        known = self.names_itself
        if not known:
            self.names_itself = True  # it has come up meanwhile
            self.forgot.set()
        broker = struct.pack(">i", 1) + _text("127.0.0.1")
        broker += struct.pack(">ih", self._port, -1)
        brokers = struct.pack(">i", 1) + broker if known else struct.pack(">i", 0)
        leader, error = (1, 0) if known else (-1, _NO_LEADER)
        partition = struct.pack(">hii", error, 0, leader)
        partition += struct.pack(">iiii", 1, 1, 1, 1)
        topic = struct.pack(">h", 0) + _text(self._topic) + b"\0"
        topic += struct.pack(">i", 1) + partition
        controller = struct.pack(">i", 1 if known else -1)
        return brokers + controller + struct.pack(">i", 1) + topic


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode("ascii")


def _versions(asked: int) -> bytes:
    error = _UNSUPPORTED_VERSION if asked > 0 else 0
    listed = b"".join(struct.pack(">hhh", *each) for each in _CAN)
    return struct.pack(">hi", error, len(_CAN)) + listed


def _no_coordinator() -> bytes:
    nobody = struct.pack(">i", -1) + _text("") + struct.pack(">i", -1)
    return struct.pack(">h", _NO_COORDINATOR) + nobody
