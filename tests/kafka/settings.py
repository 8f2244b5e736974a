"""The broker's configuration as text, and the ports it may have."""

import secrets
import socket
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Below Linux's ephemeral range (32768 to 60999): a client that keeps on connecting to
# the port of a broker that is down could otherwise be given that very port as its own,
# connect to itself and keep the broker from coming back.
PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where one broker listens on 127.0.0.1."""

    plain: int
    sasl: int
    controller: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What distinguishes one test broker from another.

    Attributes:
        ports: Kept over restarts.
        data_dir: Where Kafka keeps its log segments.
        sasl_users: Name to password, for the listener that wants SASL PLAIN; without
            users there is no such listener.
        overrides: Any broker property; wins over those below.
    """

    ports: Ports
    data_dir: Path
    sasl_users: Mapping[str, str] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)


def server_properties(settings: Settings) -> str:
    """Text of ``server.properties``."""
    properties = {
        **_identity(settings.ports, settings.data_dir),
        **_sasl_listener(settings.ports, settings.sasl_users),
        **FIT_FOR_TESTS,
        **settings.overrides,
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def new_cluster_id() -> str:
    """Random id in the form that StorageTool wants: 16 bytes, base64, no padding."""
    # A leading "-" would be taken for an option.
    return urlsafe_b64encode(b"k" + secrets.token_bytes(15)).decode().rstrip("=")


def free_ports(*, plain: int | None = None) -> Ports:
    """Three ports that nobody listens on at this moment; ``plain`` as given, if given.

    Raises:
        OSError: None of 100 randomly chosen ports is free.
    """
    taken = {plain}
    ports: list[int] = []
    for _ in range(100):
        port = secrets.choice(PORTS)
        if port not in taken and is_free(port):
            taken.add(port)
            ports.append(port)
        if len(ports) == 3:
            return Ports(plain=plain or ports[0], sasl=ports[1], controller=ports[2])
    raise OSError(f"no free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _identity(ports: Ports, data_dir: Path) -> dict[str, str]:
    """One node that is broker and controller (KRaft combined mode)."""
    plain = f"PLAINTEXT://127.0.0.1:{ports.plain}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"{plain},CONTROLLER://127.0.0.1:{ports.controller}",
        "advertised.listeners": plain,
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data_dir),
    }


def _sasl_listener(ports: Ports, users: Mapping[str, str]) -> dict[str, str]:
    """A second listener that asks for a name and a password, where there are any."""
    if not users:
        return {}
    plain = f"PLAINTEXT://127.0.0.1:{ports.plain}"
    sasl = f"SASL_PLAINTEXT://127.0.0.1:{ports.sasl}"
    known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listeners": f"{plain},{sasl},CONTROLLER://127.0.0.1:{ports.controller}",
        "advertised.listeners": f"{plain},{sasl}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": (
            f"{module} required {known};"
        ),
    }


FIT_FOR_TESTS = {
    # One broker cannot hold three replicas.
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Internal topics have 50 partitions each by default: slower start, more files.
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # A topic is what a test has created, not what it has mistyped.
    "auto.create.topics.enable": "false",
    # Tests choose their session timeouts; the defaults' lower bounds are 6 s and 45 s.
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
    # A rebalance needs no wait for members that may yet come, and under KIP-848 is as
    # fast as the heartbeats (5 s by default).
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.assignment.interval.ms": "0",
    # 128 MB by default, a quarter of the heap.
    "log.cleaner.dedupe.buffer.size": "4194304",
    # A deleted topic's files, and a fenced broker's place, are given up early.
    "log.segment.delete.delay.ms": "1000",
    # A broker that was killed is let in again without waiting 9 s for its old session.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}
