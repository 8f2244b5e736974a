"""``python -m swarm_worker.admin dlq ...``: what ``supervisorctl swarm dlq`` starts.

It runs by itself, too: on a machine without supervisord, or as a user of its own with
``--config`` for its credentials.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from swarm_worker.admin import commands
from swarm_worker.admin.printing import Printer, Stop
from swarm_worker.admin.refusals import RefusedError
from swarm_worker.config.kafka_properties import check_kafka
from swarm_worker.process import exit_codes as exits
from swarm_worker.shared import admin_arguments
from swarm_worker.shared.command_line import Parser, argument
from swarm_worker.shared.parsers import count
from swarm_worker.shared.settings import DEFAULT_FILE, ConfigError
from swarm_worker.shared.swarm_toml import Document, load, unset_variables

BAD_ARGUMENTS: Final = 2
ACTIONS: Final = {"show": commands.show, "replay": commands.replay}


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command; return the exit code: 0 done, 1 not, 2 not understood."""
    logging.basicConfig(level=logging.CRITICAL)  # what matters is in our own words
    try:
        flags = _parser().parse_args(list(argv))
    except ConfigError as error:
        sys.stderr.write(f"Error: {error}\n")
        return BAD_ARGUMENTS
    stop = Stop(flags.parent)
    printer = Printer(stop, is_json=flags.json)
    try:
        kafka = _kafka(load(Path(flags.config)), environ)
        return ACTIONS[flags.action](flags, kafka, stop, printer)
    except (ConfigError, RefusedError) as error:
        printer.say_json({"topic": flags.topic, "error": str(error)})
        printer.complain(f"ERROR ({error})")
        return exits.CRASHED


def _kafka(document: Document, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the properties of ``[kafka]``.

    Raises:
        ConfigError: They cannot be used.
    """
    lacking = unset_variables(dict(document.table("kafka")), environ)
    if lacking:
        raise ConfigError(
            f"[kafka] of {document.path} needs {', '.join(sorted(lacking))} of the "
            "environment. Only the user of supervisord and root may see what "
            "supervisord has: set it for this command, too"
        )
    kafka = document.kafka(environ)
    check_kafka(document.path, kafka)
    mechanism = kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", ""))
    is_oidc = kafka.get("sasl.oauthbearer.method") == "oidc"
    if str(mechanism).upper() == "OAUTHBEARER" and not is_oidc:
        raise ConfigError(
            "[kafka] sasl.mechanism is OAUTHBEARER, whose token the app gives, and no "
            "app runs here; write another user's properties to a file of its own and "
            "run python -m swarm_worker.admin --config FILE dlq ..."
        )
    return kafka


def _parser() -> argparse.ArgumentParser:
    made = Parser(
        prog="python -m swarm_worker.admin",
        allow_abbrev=False,
        description="Commands of supervisorctl swarm that need a Kafka client.",
        epilog="Exit codes: 0 done, 1 not or not all of it, 2 not understood.",
    )
    made.add_argument(
        "--config",
        metavar="FILE",
        default=DEFAULT_FILE,
        help=f"whose [kafka] counts (./{DEFAULT_FILE})",
    )
    made.add_argument(
        "--status",
        metavar="FILE",
        help="the listener's status.json, which tells whether all messages fail alike",
    )
    made.add_argument(
        "--parent",
        metavar="PID",
        type=argument(count(1)),
        help="end at a batch's end once this is no longer the parent process",
    )
    kinds = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    dlq = kinds.add_parser("dlq", help="dead letters", allow_abbrev=False)
    admin_arguments.dead_letters(dlq)
    dlq.set_defaults(json=False)
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
