"""A real Apache Kafka of one's own, on 127.0.0.1, for as long as a test needs it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

from tests.eventually import eventually
from tests.kafka import install
from tests.kafka.admin import TIMEOUT_S, Admin
from tests.kafka.settings import (
    Settings,
    free_ports,
    new_cluster_id,
    server_properties,
)

HERE = Path(__file__).parent
JVM_FLAGS = (
    # One compiler tier and one collector thread: quicker to start, and two cores are
    # shared with the nodes under test.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Xshare:auto",
    "-XX:-UsePerfData",  # no file in /tmp
    "-Dlog4j2.disableJmx=true",
    "-Djava.awt.headless=true",
)


class BrokerError(Exception):
    """The broker did not start; with the end of its log and the log's path."""


class KafkaBroker:
    """One Kafka 4 node, broker and controller in one, that dies with its test.

    ``home`` receives everything it writes: configuration, log, data. Ports and data
    survive ``stop``/``kill`` and ``start``. The process ends with the *thread* that
    called ``start`` (see ``parent_death.py``).

    Attributes:
        bootstrap: ``127.0.0.1:PORT``, no authentication.
        sasl_bootstrap: The listener that wants SASL PLAIN; exists if ``sasl_users``.
        log_path: What Kafka logged, over all its starts.
    """

    def __init__(
        self,
        home: Path,
        *,
        port: int | None = None,
        config: Mapping[str, str] | None = None,
        sasl_users: Mapping[str, str] | None = None,
        heap_mb: int = 512,
        cluster_id: str | None = None,
        nodes: int = 1,
    ) -> None:
        self.settings = Settings(
            ports=free_ports(plain=port),
            data_dir=home / "data",
            sasl_users=sasl_users or {},
            overrides=config or {},
        )
        self.home = home
        self.bootstrap = f"127.0.0.1:{self.settings.ports.plain}"
        self.sasl_bootstrap = f"127.0.0.1:{self.settings.ports.sasl}"
        self.log_path = home / "broker.log"
        self._heap_mb = heap_mb
        self._cluster_id = cluster_id or new_cluster_id()
        self._nodes = nodes  # brokers of the cluster when this one has started
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.close()
        self.stop()

    def start(self, *, within_s: float = 60.0) -> None:
        """Start Kafka and wait until it answers; does nothing if it runs.

        Raises:
            BrokerError: It ended, or did not answer within ``within_s`` seconds.
            install.InstallError: There is no Kafka to start.
        """
        if self.is_running():
            return
        self.home.mkdir(parents=True, exist_ok=True)
        if not (self.settings.data_dir / "meta.properties").exists():
            self._format()
        self._process = self._launch("kafka.Kafka", str(self._write_properties()))
        try:
            eventually(self._answers, within_s=within_s, describe="Kafka answers")
        except AssertionError as error:
            self.kill()
            raise BrokerError(f"{error}\n{self.log_tail()}") from None
        except BaseException:  # such as Ctrl-C: `with` has not begun, nobody stops it
            self.kill()
            raise

    def stop(self, *, within_s: float = 15.0) -> None:
        """TERM, wait for the end, KILL after ``within_s`` seconds."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """SIGKILL: sockets are reset, nothing is flushed, clients are not told."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and new ones are accepted, no answer comes."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: undo ``freeze``; harmless otherwise."""
        if self.is_running():
            os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Process id of the running JVM."""
        assert self._process is not None, "the broker does not run"
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the process exists, frozen or not."""
        return self._process is not None and self._process.poll() is None

    def discard_data(self) -> None:
        """Delete the stopped broker's data, keep its log."""
        shutil.rmtree(self.settings.data_dir, ignore_errors=True)

    def log_tail(self, *, lines: int = 60) -> str:
        """Where the log is, and its end."""
        text = self.log_path.read_text() if self.log_path.exists() else ""
        tail = "\n".join(text.splitlines()[-lines:])
        return f"Kafka's log, {self.log_path}, ends with:\n{tail}"

    def create_topic(
        self,
        name: str,
        partitions: int = 1,
        *,
        config: Mapping[str, str] | None = None,
    ) -> str:
        """Create a topic, wait until it can be used, return its name."""
        self._admin.create_topic(name, partitions, config or {})
        return name

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until it is gone."""
        self._admin.delete_topic(name)

    def add_partitions(self, name: str, total: int) -> None:
        """Raise a topic's count of partitions to ``total``."""
        self._admin.add_partitions(name, total)

    def committed(
        self, group: str, topic: str, *, timeout_s: float = TIMEOUT_S
    ) -> dict[int, int]:
        """Committed offset by partition, as the coordinator tells an outsider.

        Partitions without a commit are left out.

        Raises:
            KafkaException: No answer within ``timeout_s`` seconds.
        """
        return self._admin.committed(group, topic, timeout_s=timeout_s)

    def end_offsets(self, topic: str) -> dict[int, int]:
        """The offset that the next message of each partition will get."""
        return self._admin.end_offsets(topic)

    def set_group_config(self, group: str, config: Mapping[str, str]) -> None:
        """Set a group's own properties, such as ``consumer.session.timeout.ms``."""
        self._admin.set_group_config(group, config)

    def set_client_quota(self, client_id: str, *, fetch_bytes_per_s: int) -> None:
        """Let a client fetch no more than that; with Kafka's own tool."""
        self._run_tool(
            *("kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap),
            *("--alter", "--add-config", f"consumer_byte_rate={fetch_bytes_per_s}"),
            *("--entity-type", "clients", "--entity-name", client_id),
        )

    @cached_property
    def _admin(self) -> Admin:
        return Admin(self.bootstrap)

    def _answers(self) -> bool:
        """Ask only once the port is open: a client that is refused backs off."""
        if not self.is_running():
            raise BrokerError(f"Kafka ended while starting\n{self.log_tail()}")
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", self.settings.ports.plain)) != 0:
                return False
        return self._admin.brokers() == self._nodes

    def _format(self) -> None:
        """Prepare an empty data directory with Kafka's own tool."""
        self.discard_data()
        self._run_tool(
            *("kafka.tools.StorageTool", "format"),
            *("--cluster-id", self._cluster_id),
            *("--config", str(self._write_properties())),
        )

    def _run_tool(self, *main: str) -> None:
        """Run one of Kafka's own tools."""
        tool = self._launch(*main)
        try:
            failed = tool.wait(60.0) != 0
        finally:
            tool.kill()
            tool.wait()
        if failed:
            raise BrokerError(f"{main[0]} failed\n{self.log_tail()}")

    def _write_properties(self) -> Path:
        path = self.home / "server.properties"
        path.write_text(server_properties(self.settings))
        return path

    def _launch(self, *main: str) -> subprocess.Popen[bytes]:
        """Start Java to end with us, output to the log, out of Ctrl-C's reach."""
        java = install.java_command()
        assert java is not None, install.missing_here()
        temp = self.home / "tmp"  # native libraries are unpacked there
        temp.mkdir(exist_ok=True)
        command = [
            *(sys.executable, "-ISs", str(HERE / "parent_death.py"), str(os.getpid())),
            *(java, "-Xms64m", f"-Xmx{self._heap_mb}m", *JVM_FLAGS),
            f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
            f"-Djava.io.tmpdir={temp}",
            *("-cp", install.classpath(), *main),
        ]
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.home,
                start_new_session=True,
            )

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            self._process = None


if __name__ == "__main__":
    from tests.kafka.by_hand import main

    main()
