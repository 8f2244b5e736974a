"""The settings of the event listener: the only reader of its flags and its file.

A flag wins over ``[listener.group.NAME]``, that over ``[listener]``, that over the
default. ``false`` turns a rule off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from swarm_event_listener.config.arguments import given, parser, read_flags
from swarm_event_listener.core.model.backoff import BackoffPolicy
from swarm_event_listener.core.model.rules import Limits
from swarm_event_listener.core.policy import Policy
from swarm_event_listener.core.restart.restart import StopTimeouts
from swarm_event_listener.supervisord.memory import Metric
from swarm_worker.shared.settings import (
    DEFAULT_FILE,
    LISTENER,
    REPORTS_PER_TIMEOUT,
    WORKER,
    ConfigError,
    PassingError,
    is_short_report_timeout,
    nearest,
)
from swarm_worker.shared.swarm_toml import Document, load

_NONE: Final = (
    "no group to watch: name supervisord's groups with --groups A,B or [listener] "
    "groups"
)
METRICS_EXTRA: Final = "pip install 'kafka-consumer-swarm[metrics]'"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """What holds for the nodes of one group."""

    policy: Policy
    memory_metric: Metric
    memory_children: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """All that a user may choose.

    Attributes:
        state_dir: Directory of journal and status.
        nodes_state_dir: That of the nodes, unless their command says another one.
        metrics: Address of the metrics endpoint; None without one.
        log_format: ``text`` or ``json``.
    """

    groups: Mapping[str, GroupSettings]
    state_dir: Path
    nodes_state_dir: Path
    metrics: tuple[str, int] | None
    log_level: str
    log_format: str


# --- reading --------------------------------------------------------------------------


def read_settings(
    argv: Sequence[str], environ: Mapping[str, str], *, cwd: Path
) -> ListenerSettings:
    """Read flags, which may be relative to ``cwd``, and the file.

    Raises:
        PassingError: The file cannot be read, or has not got so far yet.
        ConfigError: Something cannot be used; says what, where and what to change.
        SystemExit: For ``--help``.
    """
    arguments = vars(parser().parse_args(argv))
    document = _document(arguments["config"], cwd)
    flags = read_flags(arguments, cwd)
    section = document.section("listener", LISTENER, environ)
    chosen = document.defaults(LISTENER) | section | flags
    names = chosen["groups"]
    _check_groups(names, document, section.get("group", {}))
    worker = _of_nodes(document, environ)
    return ListenerSettings(
        groups={
            name: _group_settings(name, document.rules(name, environ) | flags, worker)
            for name in names
        },
        state_dir=Path(chosen["state_dir"]),
        nodes_state_dir=_nodes_state_dir(document, environ),
        metrics=chosen["metrics"],
        log_level=chosen["log_level"],
        log_format=chosen["log_format"],
    )


def _of_nodes(document: Document, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the settings of nodes that the listener goes by, too."""
    keys = {key: WORKER[key] for key in ("liveness_interval", "start_nodes")}
    return document.defaults(keys) | document.section(
        "worker", WORKER, environ, only=keys
    )


def _nodes_state_dir(document: Document, environ: Mapping[str, str]) -> Path:
    """Return where nodes keep their state: their variables may not be ours."""
    key = {"state_dir": WORKER["state_dir"]}
    chosen = document.defaults(key)
    with suppress(ConfigError):
        chosen |= document.section("worker", key, environ, only=key)
    return Path(chosen["state_dir"])


def file_of(argv: Sequence[str], *, cwd: Path) -> Path:
    """Return the file that the flags name, whatever else they say; never raises."""
    return cwd / (given(argv, {"config"}).get("config") or DEFAULT_FILE)


def _document(name: str | None, cwd: Path) -> Document:
    """Return the file; without ``--config`` there need not be one: flags can do."""
    path = cwd / (name or DEFAULT_FILE)
    if name is None and not path.exists():
        return Document(path, {})
    return load(path)


def _group_settings(
    name: str, values: Mapping[str, Any], worker: Mapping[str, Any]
) -> GroupSettings:
    _check_times(name, values, worker["liveness_interval"])
    return GroupSettings(
        policy=_policy(values, worker),
        memory_metric=values["memory_metric"],
        memory_children=values["memory_children"],
    )


def _policy(values: Mapping[str, Any], worker: Mapping[str, Any]) -> Policy:
    megabytes = values["memory_limit"]
    return Policy(
        limits=Limits(
            report_timeout_s=_seconds(values["node_report_timeout"]),
            boot_ttl_s=_seconds(values["boot_ttl"]),
            polling_ttl_s=_ttl(values["polling_ttl"]),
            consuming_ttl_s=_ttl(values["consuming_ttl"]),
            memory_limit_bytes=None if megabytes is None else megabytes * 2**20,
            memory_samples=values["memory_samples"],
            stability_ttl_s=_ttl(values["stability_ttl"]),
        ),
        backoff=BackoffPolicy(
            gap_s=values["node_restart_timeout"] / 1000,
            max_restarts=values["max_restarts"],
            period_s=values["restart_period"] / 1000,
            backoff_max_s=values["restart_backoff_max"] / 1000,
        ),
        stop_timeouts=StopTimeouts(
            shutdown_timeout_s=values["shutdown_timeout"] / 1000
        ),
        max_unavailable=values["max_unavailable"],
        interval_s=worker["liveness_interval"] / 1000,
        dry_run=frozenset(values["dry_run"]),
        start_nodes=worker["start_nodes"],
    )


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _ttl(value: int | Literal["node"] | None) -> float | Literal["node"] | None:
    return "node" if value == "node" else _seconds(value)


# --- checks ---------------------------------------------------------------------------


def _check_groups(
    names: Sequence[str], document: Document, tables: Iterable[str]
) -> None:
    if not names and not document.table("listener"):
        raise PassingError(f"[listener] groups is missing in {document.path}: {_NONE}")
    if not names:
        raise ConfigError(_NONE)
    for name in tables:
        if name not in names:
            raise ConfigError(
                f"[listener.group.{name}]: {name!r} is not in [listener] groups "
                f"({', '.join(names)}){nearest(name, names)}"
            )


def _check_times(group: str, values: Mapping[str, Any], interval_ms: int) -> None:
    for key in ("consuming_ttl", "polling_ttl", "stability_ttl", "boot_ttl"):
        if values[key] == 0:
            raise ConfigError(
                f"{key} of group {group!r}: expected more than 0 ms, got 0; "
                "false turns the rule off"
            )
    timeout_ms = values["node_report_timeout"]
    if is_short_report_timeout(timeout_ms, interval_ms):
        raise ConfigError(
            f"node_report_timeout of group {group!r}: expected at least "
            f"{REPORTS_PER_TIMEOUT} times [worker] liveness_interval "
            f"({REPORTS_PER_TIMEOUT} x {interval_ms} ms), got {timeout_ms / 1000:g} s"
        )
