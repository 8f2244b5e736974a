"""A broker without Kafka: librdkafka's own mock cluster, hosted by this process.

It is part of every librdkafka, so the demo needs neither a download nor Java. It keeps
messages and committed offsets in memory and knows consumer groups well enough for a
demo; it proves nothing about membership, fencing or durability. Python's client hides
the handle that the mock's functions want, hence ctypes on the very library that the
client has loaded.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import confluent_kafka

# A rebalance waits for all members for the session timeout less a second, and a new
# group for this delay; a member whose session ends meanwhile is forgotten.
# Source: librdkafka's rdkafka_mock_cgrp.c.
SESSION_TIMEOUT_MS: Final = 2_500
INITIAL_REBALANCE_DELAY_MS: Final = 1_000

_PRODUCER: Final = 0  # rd_kafka_type_t
_ERROR_BYTES: Final = 512


class BrokerError(RuntimeError):
    """The mock broker cannot be had; the message says what to do instead."""


@contextmanager
def mock_broker(
    topic: str,
    *,
    partitions: int,
    initial_rebalance_delay_ms: int = INITIAL_REBALANCE_DELAY_MS,
) -> Iterator[str]:
    """Run a broker with one topic on 127.0.0.1; give its HOST:PORT.

    Who joins a group after its initial delay has all members wait for the session
    timeout less a second.

    Raises:
        BrokerError: This client's librdkafka cannot host it.
    """
    library = _librdkafka()
    error = ctypes.create_string_buffer(_ERROR_BYTES)
    properties = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set_log_cb(properties, None)  # it misses bootstrap.servers
    client = library.rd_kafka_new(_PRODUCER, properties, error, _ERROR_BYTES)
    if not client:
        raise BrokerError(f"librdkafka gave no client: {error.value.decode()}")
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    if not cluster:
        raise BrokerError("librdkafka gave no mock cluster; use --bootstrap HOST:PORT")
    try:
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(
            cluster, initial_rebalance_delay_ms
        )
        library.rd_kafka_mock_topic_create(cluster, topic.encode(), partitions, 1)
        yield library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)


def _librdkafka() -> ctypes.CDLL:
    """Give the library that the Python client uses, with the types of what is called.

    Raises:
        BrokerError: It is not found, or was built without the mock.
    """
    confluent_kafka.libversion()  # loaded, so that it is mapped
    maps = Path("/proc/self/maps").read_text("utf-8", "replace")
    paths = re.findall(r"^.* (/.*librdkafka[^\n]*\.so[^\n]*)$", maps, re.MULTILINE)
    if not paths:
        raise BrokerError(
            "expected librdkafka as a shared library of confluent-kafka, found none; "
            "use a real broker: --bootstrap HOST:PORT"
        )
    try:
        return _typed(ctypes.CDLL(paths[0]))
    except (OSError, AttributeError) as error:
        raise BrokerError(
            f"this librdkafka has no mock broker ({error}); "
            "use a real broker: --bootstrap HOST:PORT"
        ) from None


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    """Declare the functions; handles would be cut to 32 bits otherwise."""
    handle, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_conf_new", handle, []),
        ("rd_kafka_conf_set_log_cb", None, [handle, handle]),
        ("rd_kafka_new", handle, [number, handle, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [handle]),
        ("rd_kafka_mock_cluster_new", handle, [handle, number]),
        ("rd_kafka_mock_cluster_destroy", None, [handle]),
        ("rd_kafka_mock_cluster_bootstraps", text, [handle]),
        ("rd_kafka_mock_topic_create", number, [handle, text, number, number]),
        (
            "rd_kafka_mock_group_initial_rebalance_delay_ms",
            None,
            [handle, ctypes.c_int32],
        ),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library
