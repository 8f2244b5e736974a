"""Calling the hooks that an app has for a node's start and end."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarm_worker.app.app import Hook

logger = logging.getLogger(__name__)


def run(hook: Hook) -> None:
    """Call a hook; a coroutine function's is run to its end."""
    result = hook()
    if inspect.isawaitable(result):
        import asyncio  # noqa: PLC0415 - few need it, and the first report is due

        asyncio.run(_await(result))


def run_on_stop(hooks: Iterable[Hook]) -> bool:
    """Run the hooks of the end; whether none of them raised."""
    is_well = True
    for hook in hooks:
        try:
            run(hook)
        except BaseException:  # the other hooks still run
            logger.exception("on_stop_failed")
            is_well = False
    return is_well


async def _await(awaitable: Awaitable[object]) -> None:
    await awaitable
