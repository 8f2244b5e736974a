"""Who is told, and when, that a group does not let a node in."""

from swarm_worker.kafka.monitoring.membership import (
    TELL_AFTER_S,
    TELL_EVERY_S,
    Membership,
)


def told_at(membership: Membership, *, until_s: int) -> list[tuple[float, float]]:
    """Ask each five seconds from 1000 on; give when it was told, and since when out."""
    asked = [
        (float(now_s), membership.to_tell_s(now_s=now_s))
        for now_s in range(1_000, until_s, 5)
    ]
    return [(now_s, out_s) for now_s, out_s in asked if out_s is not None]


def test_one_that_stays_outside_is_told_now_and_then() -> None:
    """After a minute, then every ten; with the time since it has been out."""
    ages_s = [TELL_AFTER_S + n * TELL_EVERY_S for n in range(4)]

    told = told_at(Membership(now_s=1_000.0), until_s=2_900)
    assert told == [(1_000.0 + age_s, age_s) for age_s in ages_s]


def test_one_that_is_in_is_not_told() -> None:
    """And the time begins anew when it has left, not with each refusal."""
    membership = Membership(now_s=0.0)
    membership.joined_group()
    assert told_at(membership, until_s=2_900) == []

    for now_s in (1_000.0, 1_030.0, 1_059.0):
        membership.left_group(now_s=now_s)
    assert told_at(membership, until_s=1_100) == [(1_000.0 + TELL_AFTER_S, 60.0)]
