"""The command line of ``swarm-worker``."""

from __future__ import annotations

import argparse

from swarm_worker.shared.command_line import Parser, argument
from swarm_worker.shared.parsers import count, texts
from swarm_worker.shared.settings import DEFAULT_FILE, WORKER


def parser() -> argparse.ArgumentParser:
    """Return the parser; it raises ConfigError for what it cannot use."""
    made = Parser(
        prog="swarm-worker",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run one node of a swarm of Kafka consumers.",
        epilog=_epilog(),
    )
    add = made.add_argument
    add("app", metavar="APP", help="the App, as module:attribute, such as orders:app")
    add("--config", metavar="FILE", help=f"configuration (./{DEFAULT_FILE})")
    add("--node", metavar="I", type=argument(count(0)), help="id of this node (0)")
    add("--nodes", metavar="N", type=argument(count(1)), help="nodes of the swarm (1)")
    add("--state-dir", metavar="DIR", help=WORKER["state_dir"].help)
    for name in ("log_level", "log_format"):
        key = WORKER[name]
        add(f"--{name.replace('_', '-')}", type=argument(key.read), help=key.help)
    add("--check", action="store_true", help="check everything, join nothing; 0 or 78")
    for what in ("topics", "groups"):
        for verb in ("include", "exclude"):
            add(
                f"--{verb}-{what}",
                metavar="A,B",
                type=argument(texts),
                default=(),
                help=f"{what} to {verb}, as the app names them",
            )
    return made


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
