"""Where logs end: told by fetches, or asked for."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarm_worker.kafka.monitoring.ends import ASK_AGAIN_MAX_S, ASK_AGAIN_S, Ends
from swarm_worker.kafka.monitoring.lags import End, Held
from swarm_worker.processing.lane import Key
from tests.unit.swarm_worker.kafka.test_statistics import KEY, figures

NOW_S = 1000.0
FETCHED: Mapping[Key, Held] = {KEY: Held(done=1, is_idle=True, is_fetched=True)}
PAUSED: Mapping[Key, Held] = {KEY: Held(done=1, is_idle=False, is_fetched=False)}


class Fixture:
    """Ends, as time goes by: each step is five seconds after the last one."""

    def __init__(self) -> None:
        self.ends = Ends()
        self.now_s = NOW_S

    def see(self, held: Mapping[Key, Held], **changed: Any) -> list[Key]:
        """Take statistics; return whose ends are to be asked for."""
        self.now_s += 5.0
        return list(self.ends.update(figures(**changed), held, now_s=self.now_s))

    def answer(self, end: int | None) -> None:
        """Answer at once, or not at all."""
        self.ends.take({} if end is None else {KEY: end}, now_s=self.now_s)

    def known(self) -> tuple[int, float] | None:
        """The end, and its age."""
        end = self.ends.known.get(KEY)
        return None if end is None else (end.offset, self.now_s - end.at_s)


def fetched(**changed: Any) -> Fixture:
    """Return what is known of a partition that has been fetched for a while."""
    fixture = Fixture()
    fixture.see(FETCHED, **changed)
    fixture.answer(10)
    assert fixture.see(FETCHED, **changed) == []
    return fixture


def test_the_end_of_a_partition_that_is_fetched_is_that_of_the_statistics() -> None:
    """Nobody is asked."""
    fixture = fetched(hi=10)
    assert fixture.known() == (10, 0.0)
    assert fixture.see(FETCHED, hi=70) == []
    assert fixture.known() == (70, 0.0)


def test_a_leader_of_which_nothing_is_wanted_is_asked_though_it_is_not_connected() -> (
    None
):
    """Once restarted it is not connected to for as long as all it leads is paused."""
    fixture = fetched(hi=10)
    no_other = {"broker": "INIT"}
    one_other = {**no_other, "boot": "UP"}
    assert fixture.see(PAUSED, **no_other) == []
    assert fixture.see(PAUSED, **one_other) == [KEY]
    fixture.answer(70)
    assert fixture.known() == (70, 0.0)
    assert fixture.see(FETCHED, hi=10, **one_other) == [KEY]
    fixture.answer(None)
    assert fixture.known() == (70, 5.0)  # not what statistics have from before


def test_the_end_of_a_partition_that_is_paused_is_asked_for() -> None:
    """With each statistics, whose own end stands still."""
    fixture = fetched(hi=10)
    assert fixture.see(PAUSED, hi=10) == [KEY]
    assert fixture.known() == (10, 5.0), "as long as there is no answer"
    fixture.answer(6236)
    assert fixture.known() == (6236, 0.0)
    assert fixture.see(PAUSED, hi=10) == [KEY]
    assert fixture.known() == (6236, 5.0)


def test_a_partition_that_was_just_assigned_or_resumed_is_asked_for_once() -> None:
    """What statistics say of it may be of before it was paused, or of another life."""
    fixture = Fixture()
    assert fixture.see(FETCHED, hi=3) == [KEY]
    assert fixture.known() is None
    fixture.answer(50)
    fixture.see(PAUSED, hi=50)
    fixture.answer(90)
    assert fixture.see(FETCHED, hi=50) == [KEY]
    assert fixture.known() == (90, 5.0)
    fixture.answer(95)
    assert fixture.see(FETCHED, hi=97) == []
    assert fixture.known() == (97, 0.0)


def test_while_an_answer_is_awaited_nobody_is_asked() -> None:
    """A thread that is held up finds one question when it is free, and not hundreds."""
    fixture = fetched()
    assert fixture.see(PAUSED) == [KEY]
    assert fixture.see(PAUSED) == []
    fixture.answer(70)
    assert fixture.known() == (70, 5.0), "as of the question"
    assert fixture.see(PAUSED) == [KEY]


def test_a_leader_that_does_not_answer_is_left_alone_for_longer_and_longer() -> None:
    """Its last end stands, and grows old; once it answers, all is as before."""
    fixture = fetched(hi=10)
    asked_at_s = []
    for _ in range(40):
        if fixture.see(PAUSED):
            asked_at_s.append(fixture.now_s)
            fixture.answer(None)
    gaps_s = [b - a for a, b in pairwise(asked_at_s)]
    assert gaps_s[:4] == [ASK_AGAIN_S, 2 * ASK_AGAIN_S, 4 * ASK_AGAIN_S, 30.0]
    assert set(gaps_s[4:]) == {ASK_AGAIN_MAX_S}
    assert fixture.known() == (10, 40 * 5.0)

    while not fixture.see(PAUSED):
        pass
    fixture.answer(11)
    assert fixture.see(PAUSED) == [KEY]


def test_nobody_is_asked_for_what_has_no_leader() -> None:
    """Without a broker, or with one that owes answers: the last end grows old."""
    fixture = fetched(hi=10)
    assert fixture.see(PAUSED, broker="DOWN") == []
    assert fixture.see(FETCHED, hi=10, owed=1, silent_s=9.0) == []
    assert fixture.known() == (10, 10.0)


def test_a_leader_that_is_back_is_asked_at_once() -> None:
    """However often it has not answered before it was known to be away."""
    fixture = fetched()
    for _ in range(9):
        if fixture.see(PAUSED):
            fixture.answer(None)
    assert fixture.see(PAUSED, broker="DOWN") == []
    assert fixture.see(PAUSED) == [KEY]


def test_what_is_no_longer_held_is_forgotten() -> None:
    """It may be another log when it comes back."""
    fixture = fetched(hi=10)
    fixture.see({})
    assert fixture.known() is None
    assert fixture.see(FETCHED) == [KEY]


def test_an_answer_that_comes_late_does_not_undo_what_is_newer() -> None:
    """A partition that was resumed while the question was under way."""
    fixture = fetched(hi=10)
    assert fixture.see(PAUSED) == [KEY]
    fixture.see(FETCHED, hi=60)
    fixture.see(FETCHED, hi=80)
    fixture.answer(50)
    assert fixture.known() == (80, 0.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 50))))
def test_an_end_is_never_older_than_it_says(
    steps: list[tuple[bool, bool, int]],
) -> None:
    """Whatever is paused and answered, and in which order, while a log grows."""
    fixture, log = Fixture(), dict[float, int]()
    end = told = 0
    for is_fetched, answers, more in steps:
        end += more
        told = end if is_fetched else told  # as librdkafka knows it
        wanted = fixture.see(FETCHED if is_fetched else PAUSED, hi=told)
        log[fixture.now_s] = end
        if wanted:
            fixture.answer(end if answers else None)
        known = fixture.ends.known.get(KEY)
        if known is not None:
            assert known == End(log[known.at_s], known.at_s)
