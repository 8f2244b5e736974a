"""What the page shows out of files, each time that it asks: stories and partitions.

It may wait for a disk and for supervisord, and so is called on a thread of its own.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from swarm_event_listener.supervisord.node_log import NodeLog

STORY: Final = "/story/"
PARTITIONS: Final = "/partitions.json"
WIDTH: Final = 80  # columns of a story

Plain = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A node that may hold partitions: see `story.partitions.Holder`."""

    node: str
    pid: int | None
    partitions: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An answer: what it is, and its body."""

    content_type: str
    body: bytes


class Files:
    """Reads them.

    What reads and tells is imported by the first who asks: it takes memory that a
    listener can do without whose page nobody opens.
    """

    def __init__(
        self,
        log_of: Callable[[str], NodeLog],
        directories: Sequence[Path],
        clock: Callable[[], float],
    ) -> None:
        """Read nothing yet.

        Args:
            log_of: Where a node, of that name, logs.
            directories: Where nodes may keep their state.
            clock: CLOCK_MONOTONIC, seconds.
        """
        self._log_of = log_of
        self._directories = directories
        self._clock = clock

    def find(
        self, path: str, restarts: Sequence[Plain], holders: Sequence[Holder]
    ) -> Found | None:
        """Return what is at a path; None where nothing is.

        Args:
            path: That of a request; it never becomes that of a file.
            restarts: Those that the page shows.
            holders: The nodes.
        """
        if path == PARTITIONS:
            return _json(self.partitions(holders))
        if not path.startswith(STORY):
            return None
        node, _, at = path.removeprefix(STORY).partition("/")
        story = self.story(restarts, unquote(node), unquote(at))
        return None if story is None else _text(story)

    def story(self, restarts: Sequence[Plain], node: str, at: str) -> str | None:
        """Return what ``swarm why`` tells of a restart; None where none is on record.

        Args:
            restarts: Those that are known, oldest first.
            node: Its node.
            at: When it was found to be due, as its record has it.
        """
        from swarm_event_listener.story import evidence, stack_dumps, story  # noqa: PLC0415

        key = (node, at)
        same = [r for r in restarts if (r.get("node"), r.get("detected_at")) == key]
        if not same:
            return None
        dumps = stack_dumps.found(self._log_of(node).tail())
        told = story.Told(
            record=same[-1],
            dump=evidence.of_restart(same[-1], dumps),
            why_none=evidence.why_none(same[-1], dumps),
        )
        return story.restart(told, WIDTH) + "\n"

    def partitions(self, holders: Sequence[Holder]) -> dict[str, Any]:
        """Return each Kafka group with its partitions, those with most lag alone."""
        from swarm_event_listener.story.partitions import WORST, partitions  # noqa: PLC0415
        from swarm_worker.shared.state_files.partition_figures import NodeFigures, read  # noqa: PLC0415

        now_s = self._clock()

        def told(node: str, pid: int) -> NodeFigures:
            return read(self._directories, node, pid=pid, now_s=now_s)

        known = partitions(holders, told, now_s=now_s)
        return {
            "kafka_groups": [
                {
                    **dataclasses.asdict(group),
                    "worst": [dataclasses.asdict(each) for each in held[:WORST]],
                }
                for group, held in known.by_group()
            ],
            "not_known": known.as_json()["not_known"],
        }


def _json(plain: Plain) -> Found:
    return Found(content_type="application/json", body=json.dumps(plain).encode())


def _text(text: str) -> Found:
    body = text.encode("utf-8", "replace")
    return Found(content_type="text/plain; charset=utf-8", body=body)
