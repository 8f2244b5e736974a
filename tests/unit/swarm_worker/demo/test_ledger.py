"""The outside witness."""

from pathlib import Path

from swarm_worker.demo.ledger import Ledger


def test_what_is_acknowledged_and_not_processed_is_lost(tmp_path: Path) -> None:
    """And what is processed twice is a duplicate, each time more."""
    path = tmp_path / "processed"
    ledger = Ledger(path)
    ledger.acknowledged.update({0, 1, 2})

    path.write_text("".join(f"0 7 {number}\n" for number in (0, 1, 1, 1, 9)))
    ledger.read()

    assert ledger.sums() == {"produced": 3, "processed": 3, "lost": 1, "duplicates": 2}


def test_lines_are_read_once_and_only_when_they_are_whole(tmp_path: Path) -> None:
    """A node may be in the middle of its write."""
    path = tmp_path / "processed"
    ledger = Ledger(path)
    ledger.read()
    assert not ledger.processed

    with path.open("a") as file:
        for text in ("1 7 0\n2 8 1\n1 9", " 2\n"):
            file.write(text)
            file.flush()
            ledger.read()

    assert ledger.processed == {0: 1, 1: 1, 2: 1}
    assert ledger.pids == {1: 9, 2: 8}
    assert ledger.consumed_at_s.keys() == {1, 2}
