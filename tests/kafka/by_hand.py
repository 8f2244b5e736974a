"""``python -m tests.kafka.broker``: Apache Kafka in the foreground, for trials."""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.kafka import install
from tests.kafka.broker import BrokerError, KafkaBroker
from tests.kafka.settings import is_free

CONFIGURATION = 78


def topic(text: str) -> tuple[str, int]:
    """Parse ``NAME`` or ``NAME:PARTITIONS``.

    Raises:
        argparse.ArgumentTypeError: Says what was expected.
    """
    name, _, partitions = text.partition(":")
    if not name or not (partitions or "1").isdecimal() or partitions == "0":
        msg = f"expected NAME:PARTITIONS, such as orders:12, got {text!r}"
        raise argparse.ArgumentTypeError(msg)
    return name, int(partitions or "1")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    described = argparse.ArgumentParser(
        prog="python -m tests.kafka.broker",
        description="Apache Kafka 4 on 127.0.0.1 until Ctrl-C, with empty topics.",
    )
    described.add_argument(
        "--port", type=int, default=9092, help="port to listen on (default: 9092)"
    )
    described.add_argument(
        "--topic",
        type=topic,
        action="append",
        metavar="NAME:PARTITIONS",
        help="topic to create, may be repeated (default: orders:12)",
    )
    described.add_argument(
        "--heap-mb", type=int, default=512, help="Java heap, MB (default: 512)"
    )
    return described


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until TERM or INT; leave no process and no file.

    Raises:
        SystemExit: 78 with one line when it cannot start.
    """
    options = parser().parse_args(arguments)
    problem = install.missing_here()
    if problem is None and not is_free(options.port):
        problem = f"port {options.port} of 127.0.0.1 is in use, choose --port"
    if problem is not None:
        refuse(problem)
    # TERM ends it like Ctrl-C: through the `with` blocks that clean up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(options.port, options.topic or [("orders", 12)], heap_mb=options.heap_mb)
    except KeyboardInterrupt:
        say("stopped, nothing left behind")
    except (BrokerError, install.InstallError) as error:
        refuse(str(error))


def run(port: int, topics: Sequence[tuple[str, int]], *, heap_mb: int) -> None:
    """Install, start, create the topics, tell, wait for a signal."""
    if not install.is_installed():
        say("fetching Apache Kafka through Maven, once; this can take some minutes …")
        install.classpath()
    with tempfile.TemporaryDirectory(prefix="kafka-by-hand-") as home:
        say("starting Apache Kafka …")
        with KafkaBroker(Path(home), port=port, heap_mb=heap_mb) as broker:
            for name, partitions in topics:
                broker.create_topic(name, partitions)
            say(invitation(broker.bootstrap, topics[0][0], str(broker.log_path)))
            while True:
                signal.pause()


def invitation(bootstrap: str, topic_name: str, log_path: str) -> str:
    """What to paste, now that it runs."""
    return f"""Apache Kafka answers at {bootstrap}, log {log_path}

  swarm.toml         [kafka]
                     "bootstrap.servers" = "{bootstrap}"
  the demo           swarm-demo --bootstrap {bootstrap}
  a few messages     python3 -c 'from confluent_kafka import Producer as P; \
p = P({{"bootstrap.servers": "{bootstrap}"}}); \
[p.produce("{topic_name}", str(n)) for n in range(100)]; p.flush()'

Ctrl-C stops it."""


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)  # noqa: T201 - a command for people


def refuse(problem: str) -> None:
    """End with the reason.

    Raises:
        SystemExit: Always.
    """
    print(problem, file=sys.stderr)  # noqa: T201 - a command for people
    raise SystemExit(CONFIGURATION)
