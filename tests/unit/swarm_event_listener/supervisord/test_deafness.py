"""Why a listener hears nothing: what supervisord's log tells of it."""

from __future__ import annotations

import pytest

from swarm_event_listener.supervisord.deafness import HANGS, PRINTED, cause, is_ignored

UNKNOWN = "has entered the UNKNOWN state and will no longer receive events, ..."
LOG = f"""\
2026-01-01 00:00:00,000 INFO spawned: 'swarm' with pid 41
2026-01-01 00:00:00,100 WARN swarm: {UNKNOWN}
2026-01-01 00:00:20,000 INFO exited: swarm (exit status 1; not expected)
2026-01-01 00:00:21,000 INFO spawned: 'swarm' with pid 42
2026-01-01 00:00:21,500 INFO success: swarm entered RUNNING state
"""
IGNORED = f"2026-01-01 00:00:22,000 WARN swarm: {UNKNOWN}"


def test_only_this_life_of_this_process_counts() -> None:
    """Its predecessor may have been ignored for what is mended by now."""
    assert not is_ignored(LOG, name="swarm", pid=42)
    assert is_ignored(LOG + IGNORED, name="swarm", pid=42)
    assert not is_ignored(LOG + IGNORED, name="swarm", pid=4)
    assert not is_ignored(LOG + IGNORED.replace("swarm", "mail"), name="swarm", pid=42)
    assert not is_ignored("", name="swarm", pid=42)


@pytest.mark.parametrize("has_heard", [True, False])
def test_what_supervisord_says_is_the_cause(*, has_heard: bool) -> None:
    """Whether it was printed at the start or later."""
    assert cause(has_heard=has_heard, answers=True, ignored=True) == PRINTED


def test_without_its_word_the_likeliest_comes_first() -> None:
    """A supervisord that answers calls hardly hangs."""
    nothing = cause(has_heard=False, answers=True, ignored=False)

    assert nothing.index(PRINTED) < nothing.index(HANGS)
    assert cause(has_heard=True, answers=True, ignored=False) == HANGS
    assert cause(has_heard=False, answers=False, ignored=False) == HANGS
