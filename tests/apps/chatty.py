"""An app whose node logs 4 kB with each poll, as librdkafka may; runs without Kafka.

The handler counts in the file ``handled.PID``. With ``OWN_LOGGING`` set the app brings
its own logging, to stderr as well.
"""

import logging
import os
from pathlib import Path

from swarm_worker import App, Batch
from tests.apps import standin

TEXT = "x" * 4_000

if "OWN_LOGGING" in os.environ:
    logging.basicConfig(format="theirs %(message)s", level=logging.INFO)

logger = logging.getLogger("swarm_worker.librdkafka")
app = App(group="chatty")
_submit = standin.GroupConsumer._submit


def submit(self: standin.GroupConsumer) -> None:
    """Do what the poll thread does, and log."""
    logger.info("polled=%d %s", self._offset, TEXT)
    _submit(self)


def stop(self: standin.GroupConsumer, *, leave: bool = False) -> None:
    """Take no new batch, without a print: that would wait."""
    del leave
    self._stopping.set()


standin.GroupConsumer._submit = submit  # type: ignore[method-assign]  # on purpose
standin.GroupConsumer.stop = stop  # type: ignore[method-assign]  # on purpose


@app.topic("orders")
def handle(batch: Batch) -> None:
    """Count."""
    Path(f"handled.{os.getpid()}").write_text(str(batch[0].offset()), "ascii")
