"""What a client's troubles mean: whose doing a fencing is."""

from swarm_worker.lanes import Lanes
from swarm_worker.progress import Progress
from swarm_worker.watch import ECHO_S, Watch


class Clock:
    """Moves only when told to."""

    now_s = 1_000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now_s


def make_watch(clock: Clock) -> Watch:
    """Watch a static member of a group."""
    return Watch(
        "billing",
        {"group.instance.id": "host-billing-0"},
        progress=Progress(max_poll_interval_ms=300_000).add_consumer(),
        lanes=Lanes(node=0, max_messages=1, submit=lambda _: None),
        clock=clock,
    )


def test_fencing_of_a_steady_member_is_another_process() -> None:
    """A member that holds its session and is fenced has a rival: no fight with it."""
    watch = make_watch(Clock())
    watch.rejoined()

    assert not watch.fenced_itself


def test_fencing_after_a_lost_session_is_its_echo_for_a_while() -> None:
    """However long the broker was away; once joined again, for some seconds only."""
    clock = Clock()
    watch = make_watch(clock)
    watch.rejoined()
    watch.lost()
    clock.now_s += 600

    assert watch.fenced_itself
    watch.rejoined()
    clock.now_s += ECHO_S - 0.1
    watch.rejoined()  # a rebalance does not begin it anew
    assert watch.fenced_itself
    clock.now_s += 0.2
    assert not watch.fenced_itself


def test_new_client_has_lost_no_session() -> None:
    """So two processes with one id do not fence each other for ever."""
    watch = make_watch(Clock())
    watch.lost()
    watch.begin(None, is_subscribed=True)  # type: ignore[arg-type]

    assert not watch.fenced_itself
