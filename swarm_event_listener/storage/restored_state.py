"""From the plain data of the journal to what the core wants of an earlier listener."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from swarm_event_listener.core.model.record import Record
from swarm_event_listener.core.model.scale_change import ScaleChange
from swarm_event_listener.core.node import Failure
from swarm_event_listener.core.notes import RestoredState
from swarm_event_listener.core.restart.restart import Restart
from swarm_event_listener.core.rolling_restart import Roll

UNHEARD_SINCE: Final = "unheard_since_s"

logger = logging.getLogger(__name__)

T = TypeVar("T")
Plain = Mapping[str, Any]


def restored(
    intents: Mapping[str, Plain], notes: Plain, *, now_s: float
) -> RestoredState:
    """Read what was left; what cannot be read is dropped, and nothing else with it.

    A moment that lies ahead is of another run of the machine.
    """
    unheard_since_s = _sound([notes.get(UNHEARD_SINCE)], float)
    return RestoredState(
        intents=tuple(_intents(intents)),
        failures={
            name: tuple(failure for failure in failures if failure.at_s <= now_s)
            for name, failures in _failures(notes.get("failures"))
        },
        held=frozenset(_sound(notes.get("held"), str)),
        reporting_groups=frozenset(_sound(notes.get("reporting_groups"), str)),
        rolls=tuple(_rolls(notes.get("rolls"))),
        unheard_since_s=next((at_s for at_s in unheard_since_s if at_s <= now_s), None),
        deaths={
            name: record
            for name, record in _by_name(notes.get("deaths"), Record)
            if record.node == name and record.detected_at_s <= now_s
        },
        pids=dict(_by_name(notes.get("pids"), int)),
        scaled=tuple(_sound(notes.get("scaled"), ScaleChange)),
    )


def _intents(intents: Mapping[str, Plain]) -> Iterator[Restart]:
    for name, plain in intents.items():
        try:
            restart = _read(plain, Restart)
        except ValueError as error:
            _drop(name, None, str(error))
            continue
        if restart.name == name:
            yield restart
        else:
            _drop(name, restart.record.pid, f"is {restart.name}'s")


def _drop(name: str, pid: int | None, why: str) -> None:
    logger.warning("intent_dropped node=%r pid=%s why=%r", name, pid, why)


def _rolls(plain: object) -> Iterator[Roll]:
    for each in _items(plain):
        try:
            yield _read(each, Roll)
        except ValueError as error:
            logger.warning("roll_dropped why=%r", str(error))


def _failures(plain: object) -> Iterator[tuple[str, Iterable[Failure]]]:
    for name, failures in plain.items() if isinstance(plain, dict) else ():
        if isinstance(failures, list):
            sound = _sound(failures, tuple[float, str | None])
            yield name, (Failure(*each) for each in sound)


def _by_name(plain: object, kind: type[T]) -> Iterator[tuple[str, T]]:
    """Return the entries of a table that are of a kind; the others are left out."""
    for name, item in plain.items() if isinstance(plain, dict) else ():
        for told in _sound([item], kind):
            yield name, told


def _sound(plain: object, kind: type[T]) -> Iterator[T]:
    """Return the items of a list that are of a kind; the others are left out."""
    for item in _items(plain):
        with suppress(ValueError):
            yield _read(item, kind)


def _items(plain: object) -> list[object]:
    return plain if isinstance(plain, list) else []


def _read(plain: object, kind: type[T]) -> T:
    """Return plain data as an object of a kind; unknown fields are left out.

    Raises:
        ValueError: It is of another kind, or a number in it is NaN or infinite.
    """
    value = msgspec.convert(plain, kind)
    json.dumps(msgspec.to_builtins(value), allow_nan=False)
    return value
