"""Makes the clients of a group; raises an error that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException

from swarm_worker.app.routing import GroupPlan
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.kafka.client.properties import properties_for
from swarm_worker.kafka.errors import FatalError, library_logger, text_of
from swarm_worker.process import exit_codes as exits
from swarm_worker.process.aside import begun
from swarm_worker.shared.redaction import without_secrets
from swarm_worker.shared.settings import ConfigError, PassingError

if TYPE_CHECKING:
    from threading import Event

LOOK_EVERY_S: Final = 0.1  # whether the node stops meanwhile

# What it says where a file that a property names cannot be read; it opens them anew for
# each client. Also where there are no descriptors for that.
_FILES: Final = (".location", "dlopen")


def make_client(
    properties: Mapping[str, Any],
    *,
    group: str,
    lacks_client: Callable[[str], None],
    stopping: Event,
) -> Consumer | None:
    """Make a client; None where that has to be tried again, or the node stops.

    Not on this thread, which a constructor would hold up: it waits for a token.
    ``lacks_client`` is called while there is none, with why where one cannot be made.

    Raises:
        FatalError: The properties cannot work.
    """
    making = begun(lambda: make_consumer(properties), name=f"swarm-client-{group}")
    while not wait([making], LOOK_EVERY_S).done:
        lacks_client("")
        if stopping.is_set():
            return None
    try:
        return making.result()
    except PassingError as error:
        lacks_client(str(error))
        return None
    except ConfigError as error:
        raise FatalError(str(error), exit_code=exits.CONFIG) from None


def make_consumer(properties: Mapping[str, Any]) -> Consumer:
    """Make a consumer that has joined nothing.

    It starts librdkafka's threads, which connect to the brokers. With ``oauth_cb`` it
    blocks until there is a token, for 10 s, or as long as that callback takes.

    Raises:
        PassingError: No token came, a file cannot be read, or there are no resources.
        ConfigError: librdkafka does not know a property or refuses its value; in its
            own words, which name the property.
    """
    try:
        return Consumer(dict(properties), logger=library_logger)
    except SystemError as error:
        # A constructor in C makes one of what a signal's handler raises meanwhile.
        raise (error.__cause__ or error) from None
    except (KafkaException, TypeError, ValueError) as error:
        refusal = PassingError if is_passing(error) else ConfigError
        reason = without_secrets(text_of(error).strip(), properties)
        raise refusal(f"[kafka] {reason}") from None


def is_passing(error: Exception) -> bool:
    """Whether a client that cannot be made now may be made later.

    librdkafka has one code for all that it judges by the properties alone, and for the
    files that these name.
    """
    if not isinstance(error, KafkaException):
        return False
    cause: KafkaError = error.args[0]
    is_judged = cause.code() == KafkaError._INVALID_ARG  # noqa: SLF001 - a code
    return not is_judged or any(word in cause.str() for word in _FILES)


def try_out(plan: GroupPlan, settings: WorkerSettings) -> None:
    """Have librdkafka judge the properties of a group, and join nothing.

    Raises:
        ConfigError: It does not take them; see `make_consumer`.
    """
    # It begins to connect; what it would log of that is not what is tried.
    make_consumer({"log_level": 0, **properties_for(plan, settings)}).close()
