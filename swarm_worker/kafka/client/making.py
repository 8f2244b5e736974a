"""Making the clients of a group, one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer

from swarm_worker.kafka.client.properties import judged, with_callbacks
from swarm_worker.kafka.errors import FatalError, library_logger
from swarm_worker.process import exit_codes as exits
from swarm_worker.process.aside import Aside, Making
from swarm_worker.shared.settings import ConfigError, PassingError

if TYPE_CHECKING:
    from threading import Event

    from swarm_worker.app.token import TokenCallback
    from swarm_worker.kafka.monitoring.monitor import Monitor

LOOK_EVERY_S: Final = 0.1  # whether the node stops meanwhile


def monitored(
    properties: Mapping[str, Any],
    *,
    group: str,
    monitor: Monitor,
    token: TokenCallback | None,
) -> dict[str, Any]:
    """Return properties with which a client tells a monitor of itself.

    Args:
        properties: Of the group's clients; callbacks of an app are called, too.
        group: The Kafka group.
        monitor: Has the callbacks.
        token: The app's token callback; None without one.
    """
    callbacks: dict[str, Callable[..., None]] = {
        "error_cb": monitor.on_error,
        "stats_cb": monitor.on_statistics,
        "on_commit": monitor.commits.on_commit,
    }
    own = Aside(group).keep_off(properties)
    if token:
        own["oauth_cb"] = token
    return with_callbacks(own, callbacks)


def make_client(
    properties: Mapping[str, Any], *, group: str, monitor: Monitor, stopping: Event
) -> Consumer | None:
    """Make a client; None where that has to be tried again, or the node stops.

    Not on this thread, which a constructor would hold up: it waits for a token.

    Args:
        properties: The client's, see `monitored`.
        group: The Kafka group.
        monitor: Is told that there is no client yet.
        stopping: Set once the node stops.

    Raises:
        FatalError: The properties cannot work.
    """
    making = Making(
        lambda: judged(
            lambda: Consumer(dict(properties), logger=library_logger), properties
        ),
        name=f"swarm-client-{group}",
    )
    while not making.wait(LOOK_EVERY_S):
        monitor.lacks_client()
        if stopping.is_set():
            return None
    try:
        return making.result()
    except PassingError as error:
        monitor.lacks_client(str(error))
        return None
    except ConfigError as error:
        raise FatalError(str(error), exit_code=exits.CONFIG) from None
