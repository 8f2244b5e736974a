"""A swarm node: Kafka consumers that report how they are doing.

    from swarm_worker import App, Batch

The names are loaded on first use, so that the event listener, which needs only
``swarm_worker.shared``, pays neither for a Kafka client nor for its memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarm_worker.app.app import App
    from swarm_worker.app.batch import Batch
    from swarm_worker.reporting.liveness import Liveness

__all__ = ["App", "Batch", "Liveness"]

_HOMES = {
    "App": "swarm_worker.app.app",
    "Batch": "swarm_worker.app.batch",
    "Liveness": "swarm_worker.reporting.liveness",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
