"""The file in which a node tells how far behind each of its partitions is.

It stands beside the node's slot and is replaced at each statistics interval. Readers
ignore fields that they do not know, and take what is missing as not known.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from swarm_worker.shared.state_files.lock_files import SAFE, slot_name

SUFFIX: Final = ".partitions"
READ_MAX_BYTES: Final = 16 * 2**20  # 100 000 partitions
_SLACK_S: Final = 1.0  # it may be replaced between the reader's clock and its reading
_FIGURES: Final = ("lag", "oldest_ms", "lso_behind_ms")


class NotKnownError(Exception):
    """The figures of a node are not known; says why.

    Attributes:
        forbidden: The file that may not be read; None where that is not the reason.
    """

    def __init__(self, why: str, *, forbidden: Path | None = None) -> None:
        """Say why."""
        super().__init__(why)
        self.forbidden = forbidden


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionFigures:
    """How far behind a partition is; None where that is not known.

    Attributes:
        topic: Its topic.
        partition: Its number.
        kafka_group: Whose lag it is.
        lag: Messages from what is done to the end of the log.
        oldest_ms: Age of the oldest message that is not done; None also without one.
        lso_behind_ms: For how long the last stable offset has stood behind the end;
            None where it does not, or not for over a minute.
    """

    topic: str
    partition: int
    kafka_group: str
    lag: int | None = None
    oldest_ms: int | None = None
    lso_behind_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFigures:
    """What the file of a node says.

    Attributes:
        pid: Who wrote it.
        at_ms: CLOCK_MONOTONIC when it did.
        partitions: Those that it held.
    """

    pid: int
    at_ms: int
    partitions: tuple[PartitionFigures, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        return dataclasses.asdict(self)


def path_of(directory: Path, node: str) -> Path:
    """Return the file of a node, which supervisord calls ``group:name``."""
    return directory / f"{slot_name(node)}{SUFFIX}"


def figures(text: str | bytes) -> NodeFigures:
    """Read a file's text.

    Raises:
        NotKnownError: It is no such file, or half of one.
    """
    try:
        told = json.loads(text)
        return NodeFigures(
            pid=_whole(told["pid"]),
            at_ms=_whole(told["at_ms"]),
            partitions=tuple(_partition(each) for each in told["partitions"]),
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        raise NotKnownError("is not what a node writes") from None


def _partition(told: Mapping[str, Any]) -> PartitionFigures:
    return PartitionFigures(
        topic=str(told["topic"]),
        partition=_whole(told["partition"]),
        kafka_group=str(told.get("kafka_group", "")),
        **{name: told[name] for name in _FIGURES if type(told.get(name)) is int},
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value


def read(
    directories: Iterable[Path], node: str, *, pid: int, now_s: float
) -> NodeFigures:
    """Return the figures of a node that runs: those of this process, or none.

    It reads files, and so may wait for a disk.

    Args:
        directories: Where the node may keep its state.
        node: ``group:name``.
        pid: That of the node now, as supervisord says.
        now_s: CLOCK_MONOTONIC, which all programs of a machine share.

    Raises:
        NotKnownError: There is no file of it that can be believed.
    """
    paths = [path_of(directory, node) for directory in directories]
    reasons = []
    for path in paths:
        try:
            return _believed(figures(_text(path)), pid=pid, now_s=now_s)
        except FileNotFoundError:
            continue
        except PermissionError:
            reasons.append(NotKnownError(f"cannot read {path}", forbidden=path))
        except OSError as error:
            reasons.append(NotKnownError(f"cannot read {path}: {error.strerror}"))
        except NotKnownError as error:
            reasons.append(NotKnownError(f"{path} {error}"))
    looked_for = " or ".join(map(str, paths))
    none = f"no {looked_for}: none written yet, an older version, or a loop of its own"
    raise reasons[0] if reasons else NotKnownError(none)


def _text(path: Path) -> bytes:
    # Another user may have put a link or a pipe there.
    fd = os.open(path, os.O_RDONLY | SAFE)
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(READ_MAX_BYTES)


def _believed(told: NodeFigures, *, pid: int, now_s: float) -> NodeFigures:
    if told.pid != pid:
        raise NotKnownError(f"is of pid {told.pid}, and pid {pid} has written none yet")
    if told.at_ms > (now_s + _SLACK_S) * 1000:
        raise NotKnownError("is from before the machine started")
    return told
