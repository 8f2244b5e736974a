"""An app with a message that kills its process: ``tests.apps.deadly:app``.

Read from the environment:

DEADLY_TOPIC   topic and group
DEADLY_PATH    file to append ``partition offset pid`` to, for each message handled
DEADLY_EACH    seconds that each other message takes
DEADLY_AFTER   seconds between such a message's arrival and the end
DEADLY_BY      ``kill``, ``exit``, ``hang`` until it is killed, ``raise`` until there
               is a file "mended", and harms nobody, or ``outage``: kills until then
DEADLY_ALONE   name of a process that looks for its brokers at DEADLY_ELSEWHERE, until
               there is a file "mended"
DEADLY_LETTERS topic for dead letters; without it there are none

The value ``die`` kills.
"""

import os
import signal
import threading
from pathlib import Path
from typing import Final

from swarm_worker import App, Batch

TOPIC: Final = os.environ["DEADLY_TOPIC"]
PATH: Final = Path(os.environ["DEADLY_PATH"])
NEVER: Final = threading.Event()

app = App(group=TOPIC)


@app.topic(
    TOPIC,
    max_messages=10,
    dead_letter=os.environ.get("DEADLY_LETTERS"),
    max_retries=2 if "DEADLY_LETTERS" in os.environ else None,
)
def handle(batch: Batch) -> None:
    """Tell of each message, or die of it."""
    for message in batch:
        told = f"{batch.partition} {message.offset()} {os.getpid()}"
        if message.value() == b"die" and is_mended():
            pass
        elif message.value() == b"die" and os.environ.get("DEADLY_BY") == "raise":
            raise ValueError("no price")
        elif message.value() == b"die":
            append(f"{told} died\n")
            NEVER.wait(float(os.environ.get("DEADLY_AFTER", "0")))
            die()
        NEVER.wait(float(os.environ.get("DEADLY_EACH", "0")))
        append(f"{told}\n")
        batch.mark_done(message)


@app.configure_consumer
def elsewhere() -> dict[str, str]:
    """Cut one node off."""
    alone = os.environ.get("DEADLY_ALONE")
    is_alone = alone and os.environ.get("SUPERVISOR_PROCESS_NAME") == alone
    if not is_alone or PATH.with_name("mended").exists():
        return {}
    return {"bootstrap.servers": os.environ["DEADLY_ELSEWHERE"]}


def is_mended() -> bool:
    """Whether what was the matter with such messages is over."""
    is_curable = os.environ.get("DEADLY_BY") in {"raise", "outage"}
    return is_curable and PATH.with_name("mended").exists()


def append(line: str) -> None:
    """Write one line at once."""
    with PATH.open("a", encoding="ascii") as file:
        file.write(line)


def die() -> None:
    """End this process, as C code that crashes does, or code that means it; or hang."""
    if os.environ.get("DEADLY_BY") == "exit":
        os._exit(0)
    if os.environ.get("DEADLY_BY") == "hang":
        NEVER.wait()
    os.kill(os.getpid(), signal.SIGKILL)
