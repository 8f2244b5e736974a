"""Orders of how many nodes are to run, as files in the nodes' state directory."""

from __future__ import annotations

from pathlib import Path

from swarm_worker.shared.scale import Scale, with_order
from swarm_worker.shared.state_files.scale_file import NAME
from tests.process.swarms import GROUP, replace_text


def order(folder: Path, nodes: int, *, key: str = GROUP) -> None:
    """Have so many nodes run."""
    slots = folder / "slots"
    slots.mkdir(exist_ok=True)
    replace_text(slots / NAME, with_order("{}", key, Scale(nodes=nodes, by="me")))
