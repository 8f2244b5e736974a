"""Which processes a node ends, and which it must not touch."""

from collections.abc import Iterable

import pytest

from swarm_worker.process.offspring import (
    MARK_MAX_BYTES,
    Mark,
    Process,
    is_alive,
    left_by,
    to_end_with,
)

SUPERVISORD, SHELL, NODE = 10, 20, 30


def process(
    pid: int,
    *,
    parent: int = 1,
    group: int = NODE,
    session: int = SUPERVISORD,
    started: int = 500,
    is_dead: bool = False,
) -> Process:
    """Return a process of the node's group, unless told otherwise."""
    return Process(
        pid=pid,
        parent=parent,
        group=group,
        session=session,
        started=started,
        name="x",
        is_dead=is_dead,
    )


def table(*processes: Process) -> dict[int, Process]:
    """Return processes by pid, supervisord among them."""
    first = process(SUPERVISORD, group=SUPERVISORD, started=1)
    return {each.pid: each for each in (first, *processes)}


def pids(processes: Iterable[Process]) -> set[int]:
    """Return the pids of processes."""
    return {each.pid for each in processes}


OWN = process(NODE, parent=SUPERVISORD, started=400)


def ends(
    *others: Process, has_group: bool = True, spared: frozenset[int] = frozenset()
) -> set[int]:
    """Return what the node KILLs at its end."""
    found = to_end_with(OWN, table(OWN, *others), has_group=has_group, spared=spared)
    return pids(found)


def test_all_of_the_group_and_all_descendants_end_with_a_node() -> None:
    """Whoever is their parent now, and whatever group they have made."""
    child = process(31, parent=NODE)
    of_child = process(32, parent=31, group=32)
    orphan = process(33, parent=1)

    assert ends(child, of_child, orphan) == {31, 32, 33}


def test_a_session_of_ones_own_is_nobodys_business() -> None:
    """Nor is what is started in it."""
    daemon = process(31, parent=NODE, group=31, session=31)

    assert ends(daemon, process(32, parent=31, group=31, session=31)) == set()


def test_nobody_else_is_touched() -> None:
    """supervisord, other programs, and processes that are dead already."""
    assert (
        ends(
            process(40, parent=SUPERVISORD, group=40),
            process(41, parent=40, group=40),
            process(42, parent=NODE, is_dead=True),
        )
        == set()
    )


def test_without_a_group_of_its_own_a_node_ends_what_it_has_started() -> None:
    """By hand its group is that of a shell, or of an agent that builds."""
    assert ends(process(31, parent=NODE), process(33), has_group=False) == {31}


def test_what_wraps_a_node_is_spared() -> None:
    """The shell that hands its exit code back, and the `tee` that has its last line."""
    own = process(NODE, parent=SHELL, group=SHELL, started=400)
    shell = process(SHELL, parent=SUPERVISORD, group=SHELL, started=300)
    tee = process(21, parent=SHELL, group=SHELL, started=301)
    child = process(31, parent=NODE, group=SHELL)
    orphan = process(32, group=SHELL)

    found = to_end_with(
        own,
        table(own, shell, tee, child, orphan),
        has_group=True,
        spared=frozenset(),
    )
    assert pids(found) == {31, 32}


def test_what_ends_by_itself_is_spared() -> None:
    """multiprocessing's helper clears shared memory away once the node is gone."""
    tracker = process(31, parent=NODE)

    assert ends(tracker, process(32), spared=frozenset({31})) == {32}


# --- what is left by another one ------------------------------------------------------

MARK = Mark(pid=NODE, group=NODE, started=400, era="e", seen=10_000)
NEXT = process(50, parent=SUPERVISORD, group=50, started=20_000)


def left(
    *others: Process, mark: Mark = MARK, own: Process = NEXT, of_slot: int | None = None
) -> set[int]:
    """Return what a node ends of an earlier one's."""
    found = left_by(
        mark, table(own, *others), own=own, is_of_slot=lambda pid: pid == of_slot
    )
    return pids(found)


def test_the_whole_group_of_a_dead_node_is_ended() -> None:
    """What one of them has started since that node's death, too."""
    assert left(process(31, started=9_000), process(32, started=15_000)) == {31, 32}


@pytest.mark.parametrize("started", [401, 19_000])
def test_a_number_that_came_round_again_is_somebody_elses(started: int) -> None:
    """Its leader was started later than the node."""
    other = process(NODE, started=started)

    assert left(other, process(31, started=9_000)) == set()


def test_so_is_one_whose_leader_is_gone_again() -> None:
    """All in it were started when the old node had long been gone."""
    strangers = process(31, started=15_000), process(32, started=16_000)

    assert left(*strangers) == set()
    assert left(*strangers, of_slot=32) == {31, 32}


def test_groups_that_were_made_in_it_are_ended_by_the_slots_name() -> None:
    """As a server makes one for its workers; nothing else tells whose they were."""
    master = process(31, group=31, started=9_000)

    assert left(master, of_slot=31) == {31}
    assert left(master) == set()


@pytest.mark.parametrize(
    "other",
    [
        process(31, group=31, session=31, started=9_000),  # nobody's business
        process(31, group=31, started=399),  # older than the dead node
        process(31, group=31, started=20_001),  # of the node that follows
        process(31, parent=NEXT.pid, group=31, started=20_000),
        process(31, group=31, started=9_000, is_dead=True),
    ],
)
def test_a_slots_name_alone_is_no_proof(other: Process) -> None:
    """All that supervisord's processes start inherits it."""
    assert left(other, of_slot=31) == set()


def test_what_wraps_the_next_node_has_the_slots_name_and_is_spared() -> None:
    """Its shell may give each of its children a group of its own."""
    own = process(50, parent=SHELL, group=SHELL, started=20_000)
    shell = process(SHELL, parent=SUPERVISORD, group=SHELL, started=19_990)
    tee = process(21, parent=SHELL, group=21, started=19_991)

    assert left(shell, tee, own=own, of_slot=21) == set()


def test_a_leader_that_lives_on_is_ended() -> None:
    """The shell around a node that is gone, once another node is started."""
    mark = Mark(pid=NODE, group=SHELL, started=400, era="e", seen=10_000)
    shell = process(SHELL, parent=1, group=SHELL, started=300)

    assert left(shell, process(31, group=SHELL), mark=mark) == {SHELL, 31}


def test_a_shell_that_starts_node_after_node_keeps_what_is_its_own() -> None:
    """All are of one group: what the last node has started is in between."""
    mark = Mark(pid=NODE, group=SHELL, started=400, era="e", seen=10_000)
    own = process(50, parent=SHELL, group=SHELL, started=20_000)
    shell = process(SHELL, parent=SUPERVISORD, group=SHELL, started=300)
    tee = process(21, parent=SHELL, group=SHELL, started=301)
    mine = process(51, parent=50, group=SHELL, started=20_001)

    assert left(shell, tee, process(31, group=SHELL), mine, mark=mark, own=own) == {31}


def test_a_node_lives_while_its_number_is_its_own() -> None:
    """Neither a zombie nor another one of that number."""
    assert is_alive(MARK, OWN)
    assert not is_alive(MARK, process(NODE, started=401))
    assert not is_alive(MARK, process(NODE, started=400, is_dead=True))
    assert not is_alive(MARK, None)


# --- the mark -------------------------------------------------------------------------


def test_a_mark_is_read_as_it_was_written() -> None:
    """Also the longest, which has to end where the traces begin."""
    longest = Mark(
        pid=4_194_304,
        group=4_194_304,
        started=10**11,
        era="0123abcd",
        seen=10**11,
    )
    for mark in (MARK, longest):
        text = mark.encode()
        assert Mark.decode(text.ljust(100, b"\0")) == mark
        assert len(text) <= MARK_MAX_BYTES


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"123\n",
        b"123\n".ljust(64, b"\0"),
        b"x\n1 2 e 3\n",
        b"1\n2 e 3\n",
        b"\xff\n",
    ],
)
def test_what_is_no_mark_says_nothing(head: bytes) -> None:
    """Other versions leave a pid alone."""
    assert Mark.decode(head) is None
