"""What the next process of a slot knows of topics."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarm_worker.kafka.topics.topic_memory import TopicMemory


def keep(
    memory: TopicMemory, ids: dict[str, str], *, group: str = "g", cluster: str = "c",
    settled: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """Keep ids."""
    memory.keep(cluster, group, ids, settled=settled or {})


def test_the_next_process_knows_what_was_first_known(tmp_path: Path) -> None:
    """Until the log of a newer id is begun in all that is held."""
    path = tmp_path / "node-0.topics"
    keep(TopicMemory(path), {"t": "A", "u": "U"})
    keep(TopicMemory(path), {"t": "B"})
    keep(TopicMemory(path), {"t": "X"}, group="another")
    assert TopicMemory(path).recall("c", "g") == {"t": "A", "u": "U"}
    keep(TopicMemory(path), {"t": "B"}, settled={"t": "B"})
    assert TopicMemory(path).recall("c", "g") == {"t": "B", "u": "U"}
    assert TopicMemory(path).recall("c", "another") == {"t": "X"}


def test_another_clusters_topics_are_others(tmp_path: Path) -> None:
    """Their ids differ, and nothing was deleted."""
    path = tmp_path / "node-0.topics"
    keep(TopicMemory(path), {"t": "A"})
    assert TopicMemory(path).recall("d", "g") == {}
    keep(TopicMemory(path), {"t": "B"}, cluster="d")
    assert TopicMemory(path).recall("d", "g") == {"t": "B"}


@pytest.mark.parametrize(
    "spoiled",
    [
        b"", b"{", b"[]", b"\xff", b'{"cluster": "c"}', b"[" * 100_000,
        b'{"cluster": "c", "groups": []}', b'{"cluster": "c", "groups": {"g": 1}}',
        b'{"cluster": "c", "groups": {"g": {"t": 1}}}',
    ],
)  # fmt: skip
def test_a_spoiled_file_is_no_knowledge_and_is_written_anew(
    spoiled: bytes, tmp_path: Path
) -> None:
    """It never raises."""
    path = tmp_path / "node-0.topics"
    path.write_bytes(spoiled)
    memory = TopicMemory(path)
    assert memory.recall("c", "g") == {}
    keep(memory, {"t": "A"})
    assert memory.recall("c", "g") == {"t": "A"}


def test_a_disk_that_takes_nothing_is_no_trouble(tmp_path: Path) -> None:
    """Nor is a link that somebody has put there: nothing is written through it."""
    keep(TopicMemory(tmp_path / "none" / "node-0.topics"), {"t": "A"})
    target = tmp_path / "target"
    target.write_text("mine")
    (tmp_path / "node-0.topics.new").symlink_to(target)
    keep(TopicMemory(tmp_path / "node-0.topics"), {"t": "A"})
    assert target.read_text() == "mine"


def test_a_slot_that_knows_nothing_asks_the_others(tmp_path: Path) -> None:
    """Of which the one that was written first knows the oldest; its own counts more."""
    for name, topic_id, written_at_s in [
        ("b", "A", 10),
        ("a", "B", 20),
        ("c", "C", 30),
    ]:
        keep(TopicMemory(tmp_path / f"{name}.topics"), {"t": topic_id})
        os.utime(tmp_path / f"{name}.topics", (written_at_s, written_at_s))
    (tmp_path / "spoiled.topics").write_text("{")
    (tmp_path / "b.topics.new").write_text("{")
    assert TopicMemory(tmp_path / "new.topics").recall("c", "g") == {"t": "A"}
    assert TopicMemory(tmp_path / "c.topics").recall("c", "g") == {"t": "C"}
    assert TopicMemory(tmp_path / "new.topics").recall("another", "g") == {}
