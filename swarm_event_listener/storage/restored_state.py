"""From the plain data of the journal to what the core wants of an earlier listener."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from swarm_event_listener.core.model.record import moment_s
from swarm_event_listener.core.node import Failure
from swarm_event_listener.core.restart.restart import Restart
from swarm_event_listener.core.rolling_restart import Roll
from swarm_event_listener.core.swarm import Remembered

UNHEARD_SINCE: Final = "unheard_since_s"

logger = logging.getLogger(__name__)

Plain = Mapping[str, Any]


def remembered(
    intents: Mapping[str, Plain], notes: Plain, *, now_s: float
) -> Remembered:
    """Read what was left; what cannot be read is dropped, with a line in the log.

    Args:
        intents: Restarts begun under the same supervisord.
        notes: Facts noted.
        now_s: Now: a moment that lies ahead is of another run of the machine.
    """
    return Remembered(
        intents=tuple(
            restart
            for name, plain in intents.items()
            if (restart := _restart(name, plain)) is not None
        ),
        failures={
            name: tuple(failure for failure in failures if failure.at_s <= now_s)
            for name, failures in _failures(notes.get("failures")).items()
        },
        held=frozenset(_texts(notes.get("held"))),
        reporting_groups=frozenset(_texts(notes.get("reporting_groups"))),
        rolls=tuple(_rolls(notes.get("rolls"))),
        unheard_since_s=_moment_before(now_s, notes.get(UNHEARD_SINCE)),
    )


def _moment_before(now_s: float, plain: object) -> float | None:
    try:
        at_s = moment_s(plain)
    except ValueError:
        return None
    return at_s if at_s <= now_s else None


def _restart(name: str, plain: Plain) -> Restart | None:
    try:
        restart = Restart.from_intent(plain)
    except (KeyError, TypeError, ValueError) as error:
        logger.warning("intent_dropped node=%r pid=%s why=%r", name, None, str(error))
        return None
    if restart.name != name:
        logger.warning(
            "intent_dropped node=%r pid=%s why=%r",
            name,
            restart.record.pid,
            f"is {restart.name}'s",
        )
        return None
    return restart


def _rolls(value: object) -> Iterator[Roll]:
    for plain in value if isinstance(value, list) else ():
        try:
            yield Roll.from_json(plain)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("roll_dropped why=%r", str(error))


def _failures(value: object) -> dict[str, list[Failure]]:
    if not isinstance(value, dict):
        return {}
    return {
        str(name): [f for plain in failures if (f := _failure(plain)) is not None]
        for name, failures in value.items()
        if isinstance(failures, list)
    }


def _failure(plain: object) -> Failure | None:
    match plain:
        case [at_s, None | str() as oldest_in_flight]:
            try:
                return Failure(moment_s(at_s), oldest_in_flight)
            except ValueError:
                return None
        case _:
            return None


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        return []
    return [text for text in value if isinstance(text, str)]
