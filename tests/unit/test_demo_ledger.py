"""The outside witness, and the orders to nodes."""

from pathlib import Path

from swarm_worker.demo import faults
from swarm_worker.demo.faults import FAULTS, Kind
from swarm_worker.demo.ledger import Ledger, LedgerFile, Processed, append


def test_what_is_acknowledged_and_not_processed_is_lost() -> None:
    """And what is processed twice is a duplicate, each time more."""
    ledger = Ledger()
    ledger.acknowledged.update({0, 1, 2})

    ledger.take([Processed(0, 7, n) for n in (0, 1, 1, 1, 9)])

    assert (ledger.lost_count, ledger.duplicate_count) == (1, 2)
    assert ledger.by_node == {0: 5}
    assert ledger.last[0] == Processed(0, 7, 9)


def test_lines_are_read_once_and_only_when_they_are_whole(tmp_path: Path) -> None:
    """A node may be in the middle of its write."""
    path = tmp_path / "processed"
    file = LedgerFile(path)
    assert file.read() == []

    append(path, Processed(1, 7, 0))
    append(path, Processed(2, 8, 1))
    with path.open("a") as half:
        half.write("1 7")

    assert file.read() == [Processed(1, 7, 0), Processed(2, 8, 1)]
    assert file.read() == []
    with path.open("a") as rest:
        rest.write(" 2\n")
    assert file.read() == [Processed(1, 7, 2)]


def test_an_order_strikes_once_and_only_the_node_it_names(tmp_path: Path) -> None:
    """The node's next life is a healthy one."""
    hang = FAULTS[0]
    assert not faults.take(tmp_path, hang.kind, hang.node)

    faults.order(tmp_path, hang)
    assert not faults.take(tmp_path, Kind.LEAKS, hang.node)
    assert not faults.take(tmp_path, hang.kind, hang.node + 1)
    assert not faults.is_taken(tmp_path, hang)

    assert faults.take(tmp_path, hang.kind, hang.node)
    assert faults.is_taken(tmp_path, hang)
    assert not faults.take(tmp_path, hang.kind, hang.node)


def test_the_faults_are_the_four_statuses_on_four_nodes() -> None:
    """Each node of the demo is restarted once."""
    assert sorted(fault.status for fault in FAULTS) == [-1, 1, 2, 3]
    assert sorted(fault.node for fault in FAULTS) == [0, 1, 2, 3]
    assert {fault.kind for fault in FAULTS} == set(Kind)
