"""The command line of ``swarm-event-listener``: its flags, and their values."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.command_line import Parser
from swarm_worker.shared.parsers import STATUSES
from swarm_worker.shared.settings import DEFAULT_FILE, LISTENER, read_value

# Flags named as their key, and what stands for the value in --help.
_FLAGS: Final = {
    "groups": "A,B",
    "memory_limit": "MB",
    "consuming_ttl": "MS",
    "polling_ttl": "MS",
    "stability_ttl": "MS",
    "node_report_timeout": "MS",
    "node_restart_timeout": "MS",
    "shutdown_timeout": "MS",
    "metrics": "HOST:PORT",
    "state_dir": "DIR",
    "log_level": "LEVEL",
    "log_format": "FORMAT",
}


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def parser() -> argparse.ArgumentParser:
    """Return the parser of the flags; what is wrong is a ConfigError, not an exit."""
    made = Parser(
        prog="swarm-event-listener",
        allow_abbrev=False,
        description="Judge the reports of a swarm and restart what is unwell. Runs as "
        "an [eventlistener:x] of supervisord.",
        epilog='Times are whole milliseconds or texts such as "90s", memory is whole '
        'MB or a text such as "2GB"; false turns a rule off. A flag wins over '
        "[listener.group.NAME], that over [listener], that over the default in "
        "parentheses.",
    )
    made.add_argument(
        "--config", metavar="FILE", help=f"the settings (./{DEFAULT_FILE})"
    )
    for key, metavar in _FLAGS.items():
        made.add_argument(_flag(key), metavar=metavar, help=LISTENER[key].help)
    made.add_argument(
        "--dry-run",
        action="store_true",
        help="record what would be restarted, restart nothing",
    )
    made.add_argument(
        "--version", action="store_true", help="print the version and nothing else"
    )
    return made


def read_flags(arguments: Mapping[str, Any], cwd: Path) -> dict[str, Any]:
    """Return the values of the flags that were given, by key.

    Raises:
        ConfigError: A value cannot be used.
    """
    flags: dict[str, Any] = {}
    for key in _FLAGS:
        text = arguments[key]
        if text is not None:
            given_value = False if text == "false" else text
            value = read_value(_flag(key), LISTENER[key], given_value)
            flags[key] = str(cwd / value) if LISTENER[key].is_path else value
    if arguments["dry_run"]:
        flags["dry_run"] = STATUSES
    return flags


def given(words: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """Return the values of ``--name value`` and ``--name=value``, by name.

    Whatever else the words are: a parser would refuse those of a later version, and
    those that are wrong.
    """
    values = {}
    for word, after in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in names:
            values[name] = value if equals else after
    return values
