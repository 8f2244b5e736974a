"""Finds the stacks that a node wrote to its log when it was asked for them (TTIN)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final

# What Python's faulthandler writes: a header for each thread, its frames indented
# below, and an empty line between threads.
_HEADER: Final = re.compile(
    r"(?:(?:Current thread|Thread) (0x[0-9a-f]+)|Current thread's C stack trace).*"
    r"\(most recent call first\):$"
)
_FRAME: Final = re.compile(
    r'  File "(?P<file>.*)", line (?P<line>\d{1,9}) in (?P<function>.*)'
)

# What the node adds (`swarm_worker.process.stacks`): a name of the reporter's frame,
# and, once Python has run again, lines behind the dump.
_SIGNED: Final = re.compile(
    r'^  File ".*", line \d{1,9} in '
    r"reporter_of_pid_(\d{1,10})_at_(\d{8}T\d{6}\.\d{1,6})Z$",
    re.MULTILINE,
)
_SIGNATURE: Final = re.compile(r"swarm_stacks pid=(\d{1,10}) at=(\S+) threads=(\S*)$")
_ALLOCATIONS: Final = re.compile(
    r"swarm_allocations pid=(\d{1,10}) at=\S+(?: why='(.*)')?$"
)
_NAME: Final = re.compile(r"(0x[0-9a-f]+)=([^,]+)")

_BETWEEN_MAX: Final = 3  # a node that works logs while it is asked; more end a dump


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A call, as it stands in a stack."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A thread of a dump, its innermost frame first.

    Attributes:
        id: What Python calls its ident; None where a C stack has none.
        name: None where it is not known.
        frames: Those of Python.
    """

    id: int | None
    name: str | None
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """All stacks of one process at one moment.

    Attributes:
        text: As they stand in the log.
        pid: Whose they are; None where they do not say it, as of older versions.
        at: When they were written; None where Python has not run since.
        after: The last moment before them that their process's reporter knew.
        names: Of threads, by their id.
        allocations: What held most memory, a line each, the most first.
        is_open: Whether its process has signed nothing since, these neither.
    """

    text: str
    pid: int | None = None
    at: datetime | None = None
    after: datetime | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    allocations: tuple[str, ...] = ()
    is_open: bool = True

    @property
    def threads(self) -> tuple[Thread, ...]:
        """The threads, in the order of the dump."""
        return tuple(_threads(self.text, self.names))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "pid": self.pid,
            "at": self.at and self.at.isoformat(),
            "after": self.after and self.after.isoformat(),
            "threads": [
                {
                    "id": None if thread.id is None else f"{thread.id:#x}",
                    "name": thread.name,
                    "frames": [asdict(frame) for frame in thread.frames],
                }
                for thread in self.threads
            ],
            "allocations": list(self.allocations),
        }


def dumps(text: str) -> tuple[str, ...]:
    """Return the text of each dump of all threads, oldest first."""
    return tuple(dump.text for dump in found(text))


def found(text: str) -> tuple[Dump, ...]:
    """Return each dump of all threads, oldest first, with what is said of it.

    A dump ends with lines of another kind, or where a thread comes again.
    """
    reader = _Reader()
    for line in text.splitlines():
        reader.read(line)
    return reader.end()


class _Reader:
    """Reads a log line by line."""

    def __init__(self) -> None:
        self._found: list[Dump] = []
        self._dump: list[str] = []
        self._threads: set[str] = set()
        self._between = 0  # lines of other threads, logged while it was written
        self._is_cut = False
        self._allocated: int | None = None  # of which dump the lines below tell

    def read(self, line: str) -> None:
        header = _HEADER.match(line)
        if header and (header[1] in self._threads or self._is_over):
            self._keep()
        is_indented = line.startswith("  ") or not line
        if header or _FRAME.match(line) or (is_indented and not self._is_cut):
            self._is_cut = False
            self._indented(line, header[1] if header else None)
        elif self._is_cut and not line:
            pass
        elif self._dump and self._between < _BETWEEN_MAX and not _is_remark(line):
            self._between += 1
            self._is_cut = True
        else:
            self._keep()
            self._remark(line)

    @property
    def _is_over(self) -> bool:
        """Whether a thread behind a line of the log is of another dump.

        The signal is the main thread's, which is the last one of a dump.
        """
        return self._is_cut and any(
            line.startswith("Current thread") for line in self._dump
        )

    def _indented(self, line: str, thread: str | None) -> None:
        """Take a line of a dump, or one that is indented like those."""
        if thread:
            self._threads.add(thread)
        if self._dump or _HEADER.match(line):
            self._dump.append(line)
        elif self._allocated is not None and line:
            self._allocate(self._allocated, line.strip())

    def end(self) -> tuple[Dump, ...]:
        self._keep()
        return tuple(self._found)

    def _keep(self) -> None:
        """Keep the dump that is being read, if one is."""
        text = "\n".join(self._dump).strip()
        self._dump, self._threads, self._allocated = [], set(), None
        self._between, self._is_cut = 0, False
        if not text:
            return
        signed = _SIGNED.search(text)
        after = _moment(f"{signed[2]}+00:00") if signed else None
        pid = int(signed[1]) if signed and after else None
        self._found.append(Dump(text=text, pid=pid, after=after))

    def _remark(self, line: str) -> None:
        """Take what a line behind a dump says of it."""
        self._allocated = None
        if signature := _SIGNATURE.match(line):
            self._sign(int(signature[1]), signature[2], signature[3])
        elif allocations := _ALLOCATIONS.match(line):
            place = self._latest(int(allocations[1]))
            if place is not None and allocations[2]:
                self._allocate(place, allocations[2])
            self._allocated = place

    def _sign(self, pid: int, at: str, names: str) -> None:
        """Sign the last dump of a process; those before it have none any more."""
        place = self._latest(pid)
        for index, dump in enumerate(self._found):
            if dump.pid == pid and index != place:
                self._found[index] = replace(dump, is_open=False)
        if place is None:
            return
        named = {int(id_, 16): name for id_, name in _NAME.findall(names)}
        dump = self._found[place]
        self._found[place] = replace(
            dump, pid=pid, at=_moment(at), names=named, is_open=False
        )

    def _latest(self, pid: int) -> int | None:
        """Return where the last dump is that may be of a process."""
        for index in range(len(self._found) - 1, -1, -1):
            if self._found[index].pid == pid:
                return index
            if self._found[index].pid is None and index == len(self._found) - 1:
                return index  # its reporter is not in it: there are many threads
        return None

    def _allocate(self, place: int, line: str) -> None:
        dump = self._found[place]
        self._found[place] = replace(dump, allocations=(*dump.allocations, line))


def _is_remark(line: str) -> bool:
    return bool(_SIGNATURE.match(line) or _ALLOCATIONS.match(line))


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _threads(text: str, names: Mapping[int, str]) -> Iterator[Thread]:
    for part in re.split(r"^(?=Current thread|Thread )", text, flags=re.MULTILINE):
        header = _HEADER.match(part.partition("\n")[0])
        if header is None:
            continue
        id_ = int(header[1], 16) if header[1] else None
        frames = tuple(
            Frame(file=m["file"], line=int(m["line"]), function=m["function"])
            for m in map(_FRAME.match, part.splitlines())
            if m
        )
        name = None if id_ is None else names.get(id_)
        yield Thread(id=id_, name=name, frames=frames)
