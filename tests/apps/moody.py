"""An app whose mood comes from the environment: what a node must survive.

``MOOD_IMPORT``, ``MOOD_START``, ``MOOD_HANDLER`` and ``MOOD_STOP`` each name one of
`MOODS`. It runs on the stand-in consumer, so that no Kafka is needed.
"""

import asyncio
import ctypes
import faulthandler
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from swarm_worker import App, Batch
from swarm_worker.shared.report import BEGIN, END
from tests.apps import standin

for_ever = threading.Event()


def hang() -> None:
    """Wait for ever, as a call without a timeout does."""
    for_ever.wait()


def hang_swallowing() -> None:
    """Wait for ever in code that catches all that comes by."""
    while True:
        try:
            for_ever.wait()
        except BaseException:  # noqa: BLE001 - that is the mood
            logging.getLogger("moody").warning("swallowed")


def hold_gil() -> None:
    """Hold the GIL for ever: a mutex locked twice, in C."""
    library = ctypes.PyDLL(None)
    mutex = ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)


def hold_gil_for_long() -> None:
    """Hold the GIL for 2.9 s, then wait for ever."""
    ctypes.PyDLL(None).usleep(2_900_000)
    for_ever.wait()


def fail() -> None:
    """Raise."""
    raise RuntimeError("in a bad mood")


def leave() -> None:
    """Raise what ends a program."""
    sys.exit(7)


def forge() -> None:
    """Write what looks like reports, by every way out."""
    fake = f'\n{BEGIN}{{"swarm":1,"node":66,"pid":66,"state":"running"}}{END}\n'
    print(fake, flush=True)  # noqa: T201 - that is the mood
    os.write(1, fake.encode())
    subprocess.run(["printf", "%s", fake], check=True)
    os.system(f"printf '%s' '{fake}'")  # noqa: S605 - that is the mood


def close_stdout() -> None:
    """Close what looks like stdout, and all low descriptors beyond."""
    os.close(1)
    os.closerange(10, 60)


def steal_signals() -> None:
    """Take signals over, as an event loop in the import does."""

    async def run() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print)

    asyncio.run(run())
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def stubborn_thread() -> None:
    """Leave a thread behind that is no daemon."""
    threading.Thread(target=for_ever.wait, name="stubborn", daemon=False).start()


def fork_child() -> None:
    """Leave a child behind; its pid goes to the file ``child``."""
    child = os.fork()
    if child == 0:
        for_ever.wait()
    Path("child").write_text(str(child))


def kill_poll_thread() -> None:
    """Have the poll thread die of an error."""
    standin.poll_raises = RuntimeError("poll is broken")


def lose_id() -> None:
    """Have Kafka fence the node."""
    standin.fatal = RuntimeError("fenced by another holder")


def collect_early() -> None:
    """Set the garbage collector as an app may that knows its objects."""
    gc.set_threshold(321)


def tell_collector() -> None:
    """Log how many new objects the garbage collector waits for."""
    logging.getLogger("moody").warning(
        "collects_after=%s frozen=%s", gc.get_threshold()[0], gc.get_freeze_count() > 0
    )


def crash_in_c() -> None:
    """Crash as an extension module does: with a thread beside it."""
    threading.Thread(target=for_ever.wait, name="beside", daemon=True).start()
    ctypes.string_at(0)


def use_reload_signals() -> None:
    """Have uses of one's own for the signals that a node ignores."""
    signal.signal(signal.SIGHUP, lambda *_: print("own use of HUP"))  # noqa: T201 - mood
    faulthandler.register(signal.SIGUSR2, file=2)


def tell_child() -> None:
    """Fork a child and start another; tell what HUP does to them."""
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGHUP)
        os._exit(0)
    forked = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    started = subprocess.run(["sh", "-c", "kill -HUP $$"], check=False).returncode
    logging.getLogger("moody").warning("HUP forked=%s started=%s", forked, started)


def calm() -> None:
    """Do nothing."""


MOODS: dict[str, Callable[[], None]] = {
    mood.__name__: mood
    for mood in (
        calm,
        close_stdout,
        collect_early,
        crash_in_c,
        fail,
        fork_child,
        forge,
        hang,
        hang_swallowing,
        hold_gil,
        hold_gil_for_long,
        kill_poll_thread,
        leave,
        lose_id,
        steal_signals,
        stubborn_thread,
        tell_child,
        tell_collector,
        use_reload_signals,
    )
}


def be(when: str) -> None:
    """Be in the mood that the environment names for a moment of the node's life."""
    logging.getLogger("moody").warning("now=%s", when)
    for name in os.environ.get(f"MOOD_{when}", "calm").split(","):
        MOODS[name]()


be("IMPORT")
app = App(group="moody")


@app.topic("orders")
def handle(batch: Batch) -> None:
    """Be in the handler's mood, once; then count."""
    if batch[0].offset() == 0:
        be("HANDLER")
    logging.getLogger("moody").warning("handled=%s", batch[0].offset())


@app.on_start
def begin() -> None:
    """Be in the mood of the start."""
    be("START")


@app.on_stop
async def end() -> None:
    """Be in the mood of the end; a coroutine, which must be run."""
    be("STOP")
