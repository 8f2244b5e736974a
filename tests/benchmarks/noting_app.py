"""The app of a node that is compared with ``bare_node.py``."""

from swarm_worker import App, Batch
from tests.benchmarks.noting import GROUP, TOPIC, Handled, note_first_poll

note_first_poll()
handled = Handled()
app = App(group=GROUP)


@app.topic(TOPIC)
def handle(batch: Batch) -> None:
    """Handle as the bare process does."""
    handled(batch)
