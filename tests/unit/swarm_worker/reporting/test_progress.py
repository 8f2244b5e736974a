"""Progress: what a report says of the data path."""

from collections.abc import Callable

from swarm_worker.app.batch import Batch
from swarm_worker.reporting.partition_lag import PartitionLag
from swarm_worker.reporting.progress import FailingMessage, Progress
from swarm_worker.reporting.trace import Trace
from swarm_worker.shared.report import Report, State, mark_of

NOW_S = 1000.0


def report(progress: Progress, now_s: float) -> Report:
    """Return the report of a running node as of a moment."""
    return progress.report(State.RUNNING, now_s=now_s)


def lag_of(lag: int | None) -> PartitionLag:
    """Return a partition that is so far behind."""
    return PartitionLag(
        topic="t",
        partition=0,
        lag=lag,
        end_at_s=None if lag is None else NOW_S,
        oldest_at_ms=None,
        lso_behind_since_s=None,
    )


def test_nothing_is_known_before_the_first_poll() -> None:
    """Ages and figures are None, not 0."""
    progress = Progress(max_poll_interval_ms=7)
    progress.add_consumer()
    seen = report(progress, 1000.0)

    assert (seen.poll_age_ms, seen.consume_age_ms, seen.unsteady_ms) == (None,) * 3
    assert (seen.lag, seen.brokers_up, seen.stalled_ms) == (None,) * 3
    assert seen.max_poll_interval_ms == 7
    assert not progress.has_joined()


def test_poll_age_is_that_of_the_oldest_consumer() -> None:
    """One wedged poll thread shows, however often the others poll."""
    progress = Progress()
    first, second = progress.add_consumer(), progress.add_consumer()
    first.polled_at_s, second.polled_at_s = 1000.0, 1004.0

    assert report(progress, 1005.0).poll_age_ms == 5000


def test_joined_when_all_have_polled_and_none_awaits_its_id() -> None:
    """One that waits for its instance id keeps the node booting."""
    progress = Progress()
    first, second = progress.add_consumer(), progress.add_consumer()
    first.polled_at_s = 1.0
    assert not progress.has_joined()
    second.polled_at_s = 1.0
    assert progress.has_joined()
    second.awaits_id = True

    seen = report(progress, 1.0)
    assert (progress.has_joined(), seen.awaits_id) == (False, True)


def test_one_group_that_does_not_let_in_is_told() -> None:
    """Whatever the others do."""
    progress = Progress()
    progress.add_consumer()
    out = progress.add_consumer()
    assert report(progress, 1.0).not_joined == ""

    out.not_joined = "refused"
    assert report(progress, 1.0).not_joined == "refused"


def test_batches_in_flight_oldest_first() -> None:
    """The age is the oldest's; three are listed, each where it has got to."""
    progress = Progress()
    batches = [Batch.of("a", "b", topic="t", partition=n) for n in range(4)]
    for age, batch in zip((2, 4, 1, 3), batches, strict=True):
        progress.began(batch, now_s=1000.0 - age)
    batches[1].mark_done(batches[1][0])
    seen = report(progress, 1000.0)

    assert seen.consume_age_ms == 4000
    assert seen.in_flight == ("t/1@1", "t/3@0", "t/0@0")


def test_counters() -> None:
    """A failed batch counts what it has done, and as no batch."""
    progress = Progress()
    batch = Batch.of("a", "b", "c")
    progress.began(batch, now_s=1.0)
    progress.ended(batch, done_count=1, failed=True)
    progress.began(batch, retry=True, now_s=2.0)
    progress.ended(batch, done_count=2, failed=False)
    progress.dead_lettered()
    seen = report(progress, 3.0)

    assert (seen.messages, seen.batches, seen.errors) == (3, 1, 1)
    assert (seen.retries, seen.dead_letters) == (1, 1)
    assert (seen.consume_age_ms, seen.in_flight) == (None, ())


def test_stalled_partitions_of_all_consumers_longest_first() -> None:
    """What is blocked for a reason that no restart cures is shown, and has no age."""
    progress = Progress()
    first, second = progress.add_consumer(), progress.add_consumer()
    first.stalled_since_s = {"t/0": 990.0}
    first.blocked = ("t/9",)
    assert report(progress, 1000.0).stalled == ("t/0", "t/9")
    second.stalled_since_s = {"u/0": 980.0, "u/1": 995.0}
    seen = report(progress, 1000.0)

    assert (seen.stalled_ms, seen.stalled) == (20_000, ("u/0", "t/0", "u/1"))


def test_figures_are_over_all_consumers() -> None:
    """Partitions and lag add up; brokers are the same ones, seen by each."""
    progress = Progress()
    first, second = progress.add_consumer(), progress.add_consumer()
    first.assigned, second.assigned = 2, 3
    first.partitions = lag_of(7), lag_of(None), lag_of(3)
    first.brokers_up, second.brokers_up = 3, 2
    first.unsteady_since_s = 999.0
    seen = report(progress, 1000.0)

    assert (seen.assigned, seen.lag, seen.brokers_up) == (5, 10, 3)
    assert seen.unsteady_ms == 1000


def test_what_partitions_are_behind_is_told_by_kafka_group() -> None:
    """One without partitions is there, too."""
    progress = Progress()
    progress.add_consumer("billing").partitions = lag_of(7), lag_of(None)
    progress.add_consumer("mails")

    assert progress.partitions() == {
        "billing": (lag_of(7), lag_of(None)),
        "mails": (),
    }


def test_each_kafka_group_tells_whether_it_has_a_broker() -> None:
    """The one that lacks it for the longest first, with its reason."""
    progress = Progress()
    first, second = progress.add_consumer("audit"), progress.add_consumer("billing")
    unknown = progress.add_consumer("x")
    assert report(progress, 1000.0).no_broker_ms is None
    first.heard_at_s = 999.5
    second.no_broker_since_s, second.no_broker_why = 960.0, "no route"
    unknown.brokers_up = None
    seen = report(progress, 1000.0)

    assert (seen.no_broker_ms, seen.no_broker) == (40_000, "group billing: no route")
    assert seen.kafka_groups == (
        f"{mark_of('billing')}-40000",
        f"{mark_of('audit')}+500",
        mark_of("x"),
    )


def test_no_age_is_negative() -> None:
    """Another thread's reading of the clock may be ahead of the reader's."""
    progress = Progress()
    progress.add_consumer().polled_at_s = 1000.5

    assert report(progress, 1000.0).poll_age_ms == 0


def test_the_crash_recorder_is_told_of_each_batch_and_of_its_end() -> None:
    """By a key of its own, with the place and the moment, until it is over."""
    told: list[tuple[object, ...]] = []

    class Told:
        def began(self, key: int, trace: Trace, *, now_s: float) -> None:
            told.append(("began", key, trace, now_s))

        def ended(self, key: int) -> None:
            told.append(("ended", key))

    progress = Progress()
    progress.crash_recorder = Told()
    batch = Batch.of("a", "b", topic="t", partition=3, first_offset=7)

    trace = Trace(group="g", topic="t", partition=3, offset=7, end=9)
    progress.began(batch, trace=trace, now_s=1000.0)
    progress.ended(batch, done_count=2, failed=False)

    assert told == [("began", id(batch), trace, 1000.0), ("ended", id(batch))]


def test_what_has_just_begun_leaves_no_trace_at_a_stop() -> None:
    """A slow message is not to blame for a stop that came before its time was over."""
    ended: list[int] = []

    class Told:
        def began(self, key: int, trace: Trace, *, now_s: float) -> None: ...

        def ended(self, key: int) -> None:
            ended.append(key)

    progress = Progress()
    old, young = Batch.of("a"), Batch.of("b")
    progress.began(old, now_s=1000.0)
    progress.began(young, now_s=1001.0)
    progress.forget_begun_after(1000.0)  # nobody is told

    progress.crash_recorder = Told()
    progress.forget_begun_after(1000.0)

    assert ended == [id(young)]
    assert len(report(progress, 1002.0).in_flight) == 2


def test_three_messages_that_fail_are_told_the_oldest_first() -> None:
    """Of all consumers; how many partitions wait for one is told of all."""

    def of(*ages_s: int) -> Callable[[], list[FailingMessage]]:
        return lambda: [
            FailingMessage(at=f"t/{a}@0", error="E()", attempts=2, since_s=NOW_S - a)
            for a in ages_s
        ]

    progress = Progress()
    progress.add_failing(of(5, 90))
    progress.add_failing(of(7, 1))

    seen = progress.report(State.RUNNING, now_s=NOW_S)

    assert [each.for_ms for each in seen.failing] == [90_000, 7_000, 5_000]
    assert seen.failing_count == 4
