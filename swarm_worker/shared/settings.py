"""The schema of ``swarm.toml``: which keys there are, what they hold and default to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.parsers import (
    Reader,
    address,
    choice,
    count,
    duration_ms,
    flag,
    memory_mb,
    rule,
    statuses,
    table,
    text,
    texts,
)

DEFAULT_FILE: Final = "swarm.toml"
EXIT_CONFIG: Final = 78  # EX_CONFIG of sysexits.h
EXIT_FATAL: Final = 5  # fenced, or another Kafka error that no restart would heal
EXIT_SPARE: Final = 6  # the group is to run fewer nodes: this one is not needed
FOR_A_PERSON: Final = frozenset({EXIT_CONFIG, EXIT_FATAL})  # such a node stays down
STAYS_DOWN: Final = (EXIT_CONFIG, EXIT_FATAL, EXIT_SPARE)
EXIT_CODES: Final = f"exitcodes={','.join(map(str, STAYS_DOWN))}"  # of its program
REPORTS_PER_TIMEOUT: Final = 3
CONCURRENCY_MOST: Final = 1_000  # no node has as many partitions, or threads


class ConfigError(ValueError):
    """A setting cannot be used; the message says which, why and what to change."""


class PassingError(ConfigError):
    """What may be there at the next start: a file is missing or half written.

    A program that runs for good is started again for it; a check refuses it.
    """


# --- keys -----------------------------------------------------------------------------

DURATION_OR_OFF: Final = rule(duration_ms)


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section.

    Attributes:
        read: Turns the written value into the one to work with, or raises ValueError.
        default: The value when the key is absent, as `read` would give it.
        meaning: Meaning and unit for people.
        absent: The default in words, where its value says too little; "" for no word.
        is_path: A relative text is relative to the file.
    """

    read: Reader
    default: Any
    meaning: str
    absent: str | None = None
    is_path: bool = False

    @property
    def help(self) -> str:
        """Meaning, unit and default for people."""
        default = _as_written(self.default) if self.absent is None else self.absent
        return f"{self.meaning} ({default})" if default else self.meaning


def _as_written(value: object) -> str:
    """Return a value as a file would have it; None is a rule that is off."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return str(value).lower()
    return str([*value]) if isinstance(value, tuple) else str(value)


def _one_of(*words: str, default: str) -> Key:
    meaning = f"{', '.join(words[:-1])} or {words[-1]}"
    return Key(choice(*words), default, meaning)


_LOGS: Final[Mapping[str, Key]] = {
    "log_level": _one_of("debug", "info", "warning", "error", default="info"),
    "log_format": _one_of("text", "json", default="text"),
}


def _setting(key: Key) -> Any:  # noqa: ANN401 - what the field holds
    return field(default=key.default, metadata={"key": key})


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """The section ``[worker]``: what each field is called there, holds and means."""

    concurrency: int = _setting(
        Key(
            count(1, CONCURRENCY_MOST, why="each is a thread; more nodes do more"),
            1,
            "partitions processed at once in a node",
        )
    )
    max_messages: int = _setting(Key(count(1), 500, "most messages in a batch"))
    max_wait_time: int = _setting(Key(duration_ms, 1_000, "longest poll, ms"))
    shutdown_timeout: int = _setting(
        Key(duration_ms, 60_000, "ms a stopping node gives its handlers")
    )
    liveness_interval: int = _setting(Key(duration_ms, 5_000, "ms between reports"))
    dead_letter_after: int | None = _setting(
        Key(
            DURATION_OR_OFF,
            3_600_000,
            "ms without any success before max_retries alone",
        )
    )
    start_nodes: int | None = _setting(
        Key(
            count(1),
            None,
            "nodes to run until swarm scale says otherwise",
            absent="all",
        )
    )
    static_membership: bool = _setting(
        Key(
            flag,
            default=True,
            meaning="join with group.instance.id <prefix>-<group>-<node>",
        )
    )
    instance_prefix: str = _setting(
        Key(text, None, "prefix of group.instance.id", absent="hostname")
    )
    state_dir: Path = _setting(  # noqa: RUF009 - a field
        Key(text, "run", "directory of the slot locks", is_path=True)
    )
    log_level: str = _setting(_LOGS["log_level"])
    log_format: str = _setting(_LOGS["log_format"])


WORKER: Final[Mapping[str, Key]] = {
    each.name: each.metadata["key"] for each in fields(Worker)
}


def _ttl(default: int | str, meaning: str, absent: str | None = None) -> Key:
    return Key(rule(duration_ms), default, meaning, absent)


_OF_NODE: Final = "the node's max.poll.interval.ms"

RULES: Final[Mapping[str, Key]] = {
    "memory_limit": Key(rule(memory_mb), None, "MB of memory, status 3"),
    "memory_metric": _one_of("rss", "pss", "uss", default="rss"),
    "memory_children": Key(flag, default=False, meaning="count children too"),
    "memory_samples": Key(count(1), 1, "consecutive readings over the limit"),
    "consuming_ttl": _ttl("node", "ms a batch may take, status 2", _OF_NODE),
    "polling_ttl": _ttl("node", "ms between polls, status 1", _OF_NODE),
    "stability_ttl": _ttl(
        "node", "ms out of a steady group, status 4", "twice max.poll.interval.ms"
    ),
    "boot_ttl": _ttl(600_000, "ms a node may take to boot, status -1"),
    "node_report_timeout": _ttl(60_000, "ms without a report, status -1"),
    "node_restart_timeout": Key(
        duration_ms, 5_000, "least ms between a node's exit and its next start"
    ),
    "shutdown_timeout": Key(
        duration_ms, 60_000, "ms a node gets between TERM and KILL"
    ),
    "max_restarts": Key(
        count(1), 5, "restarts within restart_period at the normal pace"
    ),
    "restart_period": Key(duration_ms, 600_000, "ms that max_restarts counts"),
    "restart_backoff_max": Key(duration_ms, 300_000, "longest back-off, ms"),
    "max_unavailable": Key(
        count(1), None, "nodes down at once by our hand", "a quarter, at least 1"
    ),
    "dry_run": Key(statuses, (), "statuses to record but not to act on"),
}

LISTENER: Final[Mapping[str, Key]] = {
    "groups": Key(texts, (), "supervisord groups to watch; required", absent=""),
    **RULES,
    "state_dir": Key(text, "run", "directory of journal and status", is_path=True),
    "metrics": Key(address, None, "HOST:PORT of the metrics endpoint"),
    **_LOGS,
    "group": Key(table, {}, "[listener.group.NAME]: rules for one group", absent=""),
}


def is_short_report_timeout(
    report_timeout: float | None, liveness_interval: float
) -> bool:
    """Whether a late and a lost report would be silence; both in the same unit."""
    least = REPORTS_PER_TIMEOUT * liveness_interval
    return report_timeout is not None and report_timeout < least


# --- values, and messages about them -------------------------------------------------


def read_value(where: str, key: Key, value: object) -> Any:  # noqa: ANN401 - as above
    """Read one value, from a file or a flag.

    Raises:
        ConfigError: Names ``where`` and what was expected.
    """
    try:
        return key.read(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}") from None


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]!r}?" if matches else ""


def type_name(value: object) -> str:
    """Return the name of a value's kind. Not the value: it may be a secret."""
    kinds = {str: "a text", list: "a list", dict: "a table", bool: "true or false"}
    return kinds.get(type(value), f"a {type(value).__name__}")
