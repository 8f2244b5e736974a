"""A swarm node: Kafka consumers that report how they are doing.

    from swarm_worker import App, Batch

The names are loaded on first use, so that ``swarm_worker.report`` costs the event
listener neither a Kafka client nor its memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarm_worker.app import App
    from swarm_worker.batch import Batch
    from swarm_worker.liveness import Liveness

__all__ = ["App", "Batch", "Liveness"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{name.lower()}"), name)
