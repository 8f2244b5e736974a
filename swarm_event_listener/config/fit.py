"""Whether the settings fit supervisord's own configuration of the programs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from swarm_event_listener.config.config import GroupSettings, ListenerSettings
from swarm_event_listener.core.model.events import group_of
from swarm_event_listener.supervisord.rpc import ProcessConfig
from swarm_worker.shared.settings import (
    EXIT_CODES,
    EXIT_SPARE,
    ConfigError,
    nearest,
)


def fit(
    settings: ListenerSettings, configs: Sequence[ProcessConfig]
) -> ListenerSettings:
    """Return the settings with what supervisord's own configuration adds to them.

    Raises:
        ConfigError: A group is unknown, or supervisord would KILL too early.
    """
    groups = {
        name: _fit_group(name, group, configs)
        for name, group in settings.groups.items()
    }
    return replace(settings, groups=groups)


def _fit_group(
    name: str, group: GroupSettings, configs: Sequence[ProcessConfig]
) -> GroupSettings:
    own = [config for config in configs if config.group == name]
    if not own:
        known = sorted({config.group for config in configs})
        raise ConfigError(
            f"[listener] groups: supervisord has no group {name!r}, but "
            f"{', '.join(known) or 'none at all'}{nearest(name, known)}"
        )
    timeouts = group.policy.stop_timeouts
    for config in own:
        if timeouts.shutdown_timeout_s > config.stop_wait_s:
            raise ConfigError(
                f"shutdown_timeout of {config.name}: its stopwaitsecs is "
                f"{config.stop_wait_s:g} s, so supervisord would KILL it before the "
                f"{timeouts.shutdown_timeout_s:g} s are over; raise stopwaitsecs"
            )
    longest_s = max(config.stop_wait_s for config in own)
    waited = replace(timeouts, stop_wait_s=longest_s)
    return replace(group, policy=replace(group.policy, stop_timeouts=waited))


def complaints(
    settings: ListenerSettings,
    configs: Sequence[ProcessConfig],
    orders: Collection[str] = (),
) -> list[str]:
    """Return what an operator must change, although supervision can begin.

    Args:
        settings: The settings.
        configs: What supervisord tells.
        orders: For which groups, or ``group:program``, it is said how many nodes run.
    """
    found = []
    ordered = {group_of(key) for key in orders}
    for group, chosen in settings.groups.items():
        own = [config for config in configs if config.group == group]
        has_spares = group in ordered or chosen.policy.start_nodes is not None
        if has_spares and any(EXIT_SPARE not in each.exit_codes for each in own):
            found.append(
                f"group {group}: exitcodes lacks {EXIT_SPARE}, so supervisord starts a "
                "node that is not to run again and again; set "
                f"{EXIT_CODES} in its [program:x]"
            )
        if any(config.capture_max_bytes == 0 for config in own):
            found.append(
                f"group {group}: stdout_capture_maxbytes is 0, so no report can "
                "arrive; set stdout_capture_maxbytes=64KB in its [program:x]"
            )
        if any(config.redirect_stderr for config in own):
            found.append(
                f"group {group}: redirect_stderr=true lets prints forge reports; "
                "set redirect_stderr=false in its [program:x]"
            )
    return found
