"""The app of the ledger, whose handler may fall ill: ``tests.faults.ledger_app:app``.

The file ``<process name>.json`` in the working directory may hold ``pid`` (for that
process only) and ``fault``: one of `FAULTS`, done once in the life of a process.
Where there is ``<process name>.refused`` a process is given what cannot work, by
``<process name>.alone`` (for one process) it looks for brokers where there are none,
and while there is ``token_away`` nobody gets a token, which all need where there is
``needs_token``. While there is ``away`` each call of the handler fails; for a message
that is poison each call does, always. LEDGER_LETTERS is the topic for dead letters.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

from swarm_worker import App, Batch
from tests.apps import ledger_app
from tests.apps.processed import number_in
from tests.faults.aside import is_poison
from tests.kafka.tokens import new_token
from tests.process.faults import forge, hold_gil, told_once
from tests.process.lives import started

NAME: Final = os.environ["SUPERVISOR_PROCESS_NAME"]
STUBBORN: Final = ("/bin/bash", "-c", "trap '' TERM; exec sleep 1800")


def leave_children() -> subprocess.Popen[bytes]:
    """Start processes that ignore TERM, one with a session of its own."""
    # Without an environment nobody takes one for a process of the slot.
    own = subprocess.Popen(["/usr/bin/setsid", *STUBBORN], env={})
    child = subprocess.Popen(STUBBORN)
    tell_of("own_session", own.pid)
    tell_of("child", child.pid)
    return child


def tell_of(kind: str, pid: int) -> None:
    """Append a child to the file of `tests.faults.offspring`."""
    line = f"{os.getpid()} {kind} {pid} {started(pid)}\n"
    with Path("offspring").open("a", encoding="ascii") as file:
        file.write(line)


FAULTS: Final[dict[str, Callable[[], object]]] = {
    "hold_gil": hold_gil,
    "forge": forge,
    "hang": ledger_app.NEVER.wait,
    "exit": lambda: os._exit(1),
    "leave children": leave_children,
    "wait for a child": lambda: leave_children().wait(),
}
app = App()


@app.configure_consumer
def connection() -> dict[str, Any]:
    """Return how this process reaches its brokers, if it does."""
    if Path(f"{NAME}.refused").exists():
        return {"no.such.property": "1"}
    # A client with a callback waits for a token, whether it needs one or not.
    own = {"oauth_cb": token} if Path("needs_token").exists() else {}
    return {**own, **_elsewhere()}


@cache  # also for a client that is made anew
def _elsewhere() -> dict[str, str]:
    flag = Path(f"{NAME}.alone")
    if not flag.exists():
        return {}
    flag.unlink()
    with Path("alone").open("a", encoding="ascii") as file:
        file.write(f"{NAME} {os.getpid()}\n")
    return {"bootstrap.servers": "127.0.0.1:1"}


def token(_: object) -> tuple[str, float]:
    """Return a token that brokers for tests take: nobody has signed it.

    Raises:
        OSError: The endpoint is away.
    """
    if Path("token_away").exists():
        raise OSError("503")
    return new_token()


@app.topic(
    *ledger_app.TOPICS,
    group=os.environ["LEDGER_GROUP"],
    dead_letter=os.environ["LEDGER_LETTERS"],
)
def tell(batch: Batch) -> None:
    """Fall ill if told to; else work on each message, or fail."""
    told_once(FAULTS)
    for message in batch:
        if Path("away").exists():
            raise ConnectionError("the shop's database")
        if is_poison(number_in(message.value())):
            raise ValueError("no price")
        ledger_app.work_on(message, batch)
        batch.mark_done(message)
