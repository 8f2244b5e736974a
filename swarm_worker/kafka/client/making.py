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


class ClientMaker:
    """Makes clients that tell of themselves what is to be known."""

    def __init__(
        self,
        group: str,
        properties: Mapping[str, Any],
        *,
        monitor: Monitor,
        token: TokenCallback | None,
    ) -> None:
        """Make none yet.

        Args:
            group: The Kafka group.
            properties: Of its clients.
            monitor: Has the callbacks; is told that there is no client yet.
            token: The app's token callback; None without one.
        """
        self._group = group
        self._properties = properties
        self._monitor = monitor
        self._token = token
        self._aside = Aside(group)

    def make(self, stopping: Event) -> Consumer | None:
        """Make a client; None where that has to be tried again, or the node stops.

        Not on this thread, which a constructor would hold up: it waits for a token.

        Args:
            stopping: Set once the node stops.

        Raises:
            FatalError: Its properties cannot work.
        """
        properties = self._with_callbacks()
        making = Making(
            lambda: judged(
                lambda: Consumer(properties, logger=library_logger), properties
            ),
            name=f"swarm-client-{self._group}",
        )
        while not making.wait(LOOK_EVERY_S):
            self._monitor.lacks_client()
            if stopping.is_set():
                return None
        try:
            return making.result()
        except PassingError as error:
            self._monitor.lacks_client(str(error))
            return None
        except ConfigError as error:
            raise FatalError(str(error), exit_code=exits.CONFIG) from None

    def _with_callbacks(self) -> dict[str, Any]:
        callbacks: dict[str, Callable[..., None]] = {
            "error_cb": self._monitor.on_error,
            "stats_cb": self._monitor.on_statistics,
            "on_commit": self._monitor.commits.on_commit,
        }
        own = self._aside.keep_off(self._properties)
        if self._token:
            own["oauth_cb"] = self._token
        return with_callbacks(own, callbacks)
