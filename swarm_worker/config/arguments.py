"""The command line of ``swarm-worker``."""

from __future__ import annotations

import argparse
from typing import Any, Final, NoReturn

from swarm_worker.shared.parsers import Reader, count, texts
from swarm_worker.shared.settings import WORKER, ConfigError

DEFAULT_FILE: Final = "swarm.toml"


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are configuration errors (78), not usage errors (2)."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f"{message}; see {self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """Give the parser; it raises ConfigError for what it cannot use."""
    made = _Parser(
        prog="swarm-worker",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run one node of a swarm of Kafka consumers.",
        epilog=_epilog(),
    )
    add = made.add_argument
    add("app", metavar="APP", help="the App, as module:attribute, such as orders:app")
    add("--config", metavar="FILE", help=f"configuration (./{DEFAULT_FILE})")
    add("--node", metavar="I", type=_flag(count(0)), help="id of this node (0)")
    add("--nodes", metavar="N", type=_flag(count(1)), help="nodes of the swarm (1)")
    add("--state-dir", metavar="DIR", help=WORKER["state_dir"].help)
    for name in ("log_level", "log_format"):
        key = WORKER[name]
        add(f"--{name.replace('_', '-')}", type=_flag(key.read), help=key.help)
    add("--check", action="store_true", help="check everything, join nothing; 0 or 78")
    for what in ("topics", "groups"):
        for verb in ("include", "exclude"):
            add(
                f"--{verb}-{what}",
                metavar="A,B",
                type=_flag(texts),
                default=(),
                help=f"{what} to {verb}, as the app names them",
            )
    return made


def _flag(read_value: Reader) -> Reader:
    """Turn a reader's ValueError into argparse's own, which keeps the message."""

    def read_flag(text: object) -> Any:  # noqa: ANN401 - as the reader it wraps
        try:
            return read_value(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_flag


def _epilog() -> str:
    keys = "\n".join(f"  {name:<18} {key.help}" for name, key in WORKER.items())
    return (
        f"[worker] in the file (default in brackets):\n{keys}\n\n"
        "[kafka] holds librdkafka properties; bootstrap.servers is required.\n\n"
        "exit codes: 0 stopped as asked, 1 crashed, 2 handlers outlived "
        "shutdown_timeout,\n"
        "3 orphaned, 4 slot held by another live process, 5 fenced or another fatal "
        "Kafka\nerror, 78 configuration\n\n"
        "signals: TERM, INT, QUIT stop gracefully; TSTP quiet; CONT back to work;\n"
        "TTIN stacks of all threads to stderr; USR1 leave the group for good when it "
        "stops"
    )
