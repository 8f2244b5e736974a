"""Checks of ``swarm.toml`` against supervisord's configuration and Kafka's times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.config.config import METRICS_EXTRA
from swarm_event_listener.doctor.case import Case, Watch, setting_line
from swarm_event_listener.doctor.finding import Finding, Where, error, warning
from swarm_worker.shared.kafka_timeouts import SESSION_TIMEOUT_MS, slips
from swarm_worker.shared.redaction import is_secret, is_secret_variable
from swarm_worker.shared.report import MAX_POLL_INTERVAL_MS
from swarm_worker.shared.settings import nearest
from swarm_worker.shared.swarm_toml import unset_variables

BOOT_S: Final = 10.0  # imports, connecting, joining: what a node of common size takes
# What a node without an app takes, rounded down (docs/performance.md, 10b and 10c).
NODE_LEAST_MB: Final[Mapping[str, int]] = {"rss": 33, "pss": 17, "uss": 17}

# What comes of limits that are below a second.
_SECONDS_MEANT: Final[Mapping[str, str]] = {
    "consuming_ttl": "a node is restarted for each batch that takes longer",
    "boot_ttl": "a node is restarted before it has booted",
    "restart_period": "max_restarts are never reached within it: no back-off",
}

# Where a secret is, or whose.
_NO_SECRETS: Final = (".file", ".id")
_VARIABLE_WRITTEN: Final = re.compile(r"(\w+)\s*=\s*+(?!['\"]?%\()")


# --- groups ---------------------------------------------------------------------------


def known_groups(case: Case) -> Iterator[Finding]:
    """The groups to watch have to exist."""
    where = Where(case.toml, "listener")
    known = case.conf.groups
    if not case.named_groups:
        yield error(
            where,
            "groups",
            line=_groups_line(*known[:1] or ["swarm_worker"]),
            why="no group is watched: the listener refuses to start",
        )
    for group in case.named_groups:
        if group not in known:
            yield error(
                where,
                "groups",
                line=_groups_line(*known),
                why=f"supervisord has no group {group!r}, but "
                f"{', '.join(known) or 'none at all'}{nearest(group, known)}; "
                "a program in a [group:x] is of group x",
            )


def unwatched(case: Case) -> Iterator[Finding]:
    """Nodes that nobody watches are probably forgotten."""
    for program in case.conf.node_programs:
        if program.group not in case.named_groups:
            yield warning(
                Where(case.toml, "listener"),
                "unwatched",
                line=_groups_line(*case.named_groups, program.group),
                why=f"[{program.section.name}] runs swarm-worker in group "
                f"{program.group}, which the listener does not watch",
            )


def _groups_line(*names: str) -> str:
    listed = ", ".join(f'"{name}"' for name in names)
    return f"groups = [{listed}]"


def metrics(case: Case) -> Iterator[Finding]:
    """What writes the metrics is an extra of the package."""
    if case.metrics.value and find_spec("prometheus_client") is None:
        yield warning(
            case.metrics.where,
            "metrics",
            line=METRICS_EXTRA,
            why="prometheus-client is not installed beside this command: /metrics "
            "answers 503, while the page and /healthz are served",
        )


# --- Kafka's times --------------------------------------------------------------------


def ttls(case: Case) -> Iterator[Finding]:
    """The listener has to act before Kafka does, but not before a node can."""
    for watch in case.watches:
        evicted_ms = watch.kafka_ms("max.poll.interval.ms", MAX_POLL_INTERVAL_MS)
        yield from _too_long(watch, "polling_ttl", evicted_ms)
        yield from _too_long(watch, "consuming_ttl", evicted_ms)
        yield from _too_short(watch, evicted_ms)


def _too_long(watch: Watch, name: str, evicted_ms: int) -> Iterator[Finding]:
    ttl = watch.rules[name]
    if isinstance(ttl.value, int) and ttl.value > evicted_ms:
        yield warning(
            ttl.where,
            "ttl",
            line=setting_line(name, ttl, evicted_ms),
            why=f"{name} is {ttl.value} ms, max.poll.interval.ms {evicted_ms}: Kafka "
            "gives the node's partitions away, or a rebalance waits for it in vain, "
            "before the listener acts; or raise max.poll.interval.ms in "
            f"{watch.document.path.name}",
        )


def _too_short(watch: Watch, evicted_ms: int) -> Iterator[Finding]:
    ttl = watch.rules["polling_ttl"]
    longest_poll_ms = watch.worker["max_wait_time"].value
    if isinstance(ttl.value, int) and ttl.value <= longest_poll_ms:
        yield error(
            ttl.where,
            "ttl",
            line=setting_line("polling_ttl", ttl, 10 * longest_poll_ms),
            why=f"polling_ttl is {ttl.value} ms, and an idle poll takes up to "
            f"max_wait_time ({longest_poll_ms} ms): idle nodes are restarted",
        )
    ttl = watch.rules["stability_ttl"]
    if isinstance(ttl.value, int) and ttl.value < evicted_ms:
        yield warning(
            ttl.where,
            "ttl",
            line=setting_line("stability_ttl", ttl, 2 * evicted_ms),
            why=f"stability_ttl is {ttl.value} ms, but a rebalance may lawfully take "
            f"max.poll.interval.ms ({evicted_ms})",
        )


def session(case: Case) -> Iterator[Finding]:
    """A restarted node has to be back before Kafka gives its partitions away."""
    for watch in case.watches:
        if not watch.worker["static_membership"].value:
            continue
        session_ms = watch.kafka_ms("session.timeout.ms", SESSION_TIMEOUT_MS)
        gap_ms = watch.rules["node_restart_timeout"].value
        away_ms = gap_ms + round(BOOT_S * 1000)
        if away_ms >= session_ms:
            yield warning(
                Where(watch.document.path, "kafka"),
                "session",
                line=f'"session.timeout.ms" = {max(SESSION_TIMEOUT_MS, 2 * away_ms)}',
                why=f"session.timeout.ms is {session_ms}, and a node that is restarted "
                f"is away for node_restart_timeout ({gap_ms} ms) and its boot (about "
                f"{BOOT_S:g} s): its partitions move to others and back. It beats "
                "until its stop has ended; the stop of a frozen one counts, too",
            )


# --- units ----------------------------------------------------------------------------


def units(case: Case) -> Iterator[Finding]:
    """A number without a unit is one of milliseconds, or of MB."""
    for watch in case.watches:
        for slip in slips(watch.document.table("kafka")):
            finding = error if slip.is_refused else warning
            where = Where(watch.document.path, "kafka")
            yield finding(where, "units", line=slip.line, why=slip.why)
        for name, effect in _SECONDS_MEANT.items():
            limit = watch.rules[name]
            if isinstance(limit.value, int) and 0 < limit.value < 1_000:
                yield warning(
                    limit.where,
                    "units",
                    line=setting_line(name, limit, 1_000 * limit.value),
                    why=f"{name} is {limit.value} ms, which looks like seconds: "
                    f"{effect}",
                )
        yield from _too_little_memory(watch)


def _too_little_memory(watch: Watch) -> Iterator[Finding]:
    limit, metric = watch.rules["memory_limit"], watch.rules["memory_metric"].value
    if limit.value is not None and limit.value < NODE_LEAST_MB[metric]:
        yield warning(
            limit.where,
            "units",
            line=setting_line("memory_limit", limit, 2048),
            why=f"memory_limit is {limit.value} MB, and a node takes "
            f"{NODE_LEAST_MB[metric]} MB ({metric}) without an app: it is restarted "
            "again and again; the highest MB of a healthy one in `swarm status`, and "
            "half as much again",
        )


# --- secrets --------------------------------------------------------------------------


def secrets(case: Case) -> Iterator[Finding]:
    """A secret belongs to its owner, or in the environment."""
    for path, document in case.documents.items():
        for name in _secrets_of(document.table("kafka")) if _is_open(path) else ():
            variable = re.sub(r"\W", "_", name).upper()
            yield error(
                Where(path, "kafka"),
                "secret",
                line=f'"{name}" = "${{{variable}}}"',
                why=f"{name} can be read by everyone: chmod o-rwx {path}, or take "
                "it from the environment",
            )
    yield from _ini_secrets(case)


def _secrets_of(table: Mapping[str, Any]) -> list[str]:
    return [
        name
        for name, value in table.items()
        if is_secret(name) and not name.endswith(_NO_SECRETS)
        if isinstance(value, str) and not unset_variables(value, {})
    ]


def _ini_secrets(case: Case) -> Iterator[Finding]:
    # An included file may add to a section: any file that is open counts.
    open_files = [path for path in case.conf.files if _is_open(path)]
    for section in case.conf.sections.values() if open_files else ():
        path = section.file if section.file in open_files else min(open_files)
        for name, value in section.values.items():
            if (name == "password" and "%(ENV_" not in value) or (
                name == "environment" and _writes_a_secret(value)
            ):
                yield error(
                    Where(path, section.name),
                    "secret",
                    line=f"{name}=...%(ENV_...)s",
                    why=f"{name} holds a secret and can be read by everyone: "
                    f"chmod o-rwx {path}, or take it from the environment",
                )


def _writes_a_secret(environment: str) -> bool:
    return any(map(is_secret_variable, _VARIABLE_WRITTEN.findall(environment)))


def _is_open(path: Path) -> bool:
    """Whether everybody can read a file, by the directories above it, too."""
    try:
        folders = [folder.stat().st_mode for folder in path.absolute().parents]
        return all(mode & 0o001 for mode in folders) and bool(
            path.stat().st_mode & 0o004
        )
    except OSError:
        return False


CHECKS: Final = (known_groups, unwatched, metrics, ttls, session, units, secrets)
