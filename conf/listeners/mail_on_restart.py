#!/usr/bin/env python3
"""Mails when a node of the swarm is restarted: an example of a listener to others.

The swarm's listener publishes what it does as events of supervisord. A listener of
yours, in any language, hears them; this one needs Python 3 and nothing else:

    [eventlistener:mail_on_restart]
    command=python3 "%(here)s/listeners/mail_on_restart.py" --to ops@example.org
    events=REMOTE_COMMUNICATION
    buffer_size=1000
    autorestart=true

Types: swarm.node.stopping, .started, .recovered, .backing_off. Each carries the record
of the restart, as far as it has come, as JSON:

    node       "group:process"
    pid        the process that is restarted; null without one
    new_pid    its successor; null before that is there
    cause      "rule", "exited" (died too often), "fatal" or "roll" (asked for)
    status     -1, 1, 2, 3 or 4 for a rule, else null
    reason     all that was wrong, with figures
    in_flight  up to three "topic/partition@offset", oldest first
    suspect    the message that was the oldest in flight at each of many failures
    rss_mb     its last memory reading, in MB
    pause_s    how long it is kept down
    killed     whether it had to be KILLed

Only what begins with "swarm.node." is for you: the others are the listener's own.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import smtplib
import socket
import sys
from email.message import EmailMessage
from typing import Any

SMTP_TIMEOUT_S = 10.0


def main() -> None:
    """Answer supervisord's events until it closes them."""
    told = arguments()
    # Lengths count characters, not bytes.
    events = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", newline="")
    # Nothing but these answers may be written to stdout: a print would end it.
    answer(b"READY\n")
    while header := events.readline():
        tokens = dict(token.partition(":")[::2] for token in header.split())
        payload = events.read(int(tokens["len"]))
        # "OK" first, whatever comes of it: "FAIL" brings the event back for ever.
        answer(b"RESULT 2\nOK")
        event, _, data = payload.partition("\n")
        event = event.removeprefix("type:")
        if event in {f"swarm.node.{name}" for name in told.on.split(",")}:
            mail(told, event, json.loads(data))
        answer(b"READY\n")


def answer(text: bytes) -> None:
    """Write to supervisord."""
    os.write(1, text)


def mail(told: argparse.Namespace, event: str, record: dict[str, Any]) -> None:
    """Mail what happened; a mail server that is not there is said on stderr."""
    message = EmailMessage()
    what = event.rpartition(".")[2].replace("_", " ")
    message["Subject"] = f"{record['node']} on {socket.gethostname()}: {what}"
    message["From"], message["To"] = told.sender, told.to
    lines = [f"{name}: {value}" for name, value in record.items() if value is not None]
    message.set_content("\n".join([*lines, "", "supervisorctl swarm why NODE"]))
    host, _, port = told.smtp.rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=SMTP_TIMEOUT_S) as server:
            server.send_message(message)
    except OSError as error:  # smtplib's own errors are such, too
        sys.stderr.write(f"not_mailed node={record['node']} why={error!r}\n")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Mail when a node is restarted.")
    add = parser.add_argument
    add("--to", required=True, help="who gets the mails")
    add("--sender", default="kafka-swarm@localhost", help="who they are from")
    add("--smtp", default="127.0.0.1:25", metavar="HOST:PORT", help="the mail server")
    add(
        "--on",
        default="stopping,backing_off",
        metavar="A,B",
        help="of stopping, started, recovered, backing_off",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
