"""What must survive the listener: intents, notes and the history of restarts.

One JSON file, replaced as a whole, so that it is either the old or the new one. Nothing
here ends supervision: a journal that cannot be read is put aside, one that cannot be
written is logged once and tried again with the next write. A copy without the history
stands beside it: if only the journal is lost, the operator's holds are not, and a node
that we have stopped does not look like one that the operator has stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import os
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from swarm_event_listener.storage.atomic_files import (
    make_directory,
    read_own_file,
    replace_file,
)
from swarm_event_listener.supervisord.rpc import SupervisorIdentity
from swarm_worker.shared.state_files.lock_files import is_at, locked_within

logger = logging.getLogger(__name__)

VERSION: Final = 1
HISTORY_MAX: Final = 1_000
DEATHS_MAX: Final = 500  # of them: what was done for a rule stays on record
LOCK_WAIT_S: Final = 3.0  # an orphaned predecessor needs up to one RPC timeout to end
KEEP_WAIT_S: Final = 0.5  # as little as keeps a turn of the listener short

JOURNAL: Final = "journal.json"
COPY: Final = "journal.copy.json"
LOCK: Final = "journal.lock"
STATUS: Final = "status.json"

GOES_ON: Final = "goes on; nodes are restarted by TERM until it can be written"
UNLOCKED: Final = (
    "goes on; it is a symbolic link: remove it, since until then nothing keeps a "
    "second listener from this journal"
)
BLIND: Final = (
    "make room there, or let it be written; nodes are supervised all the same, but "
    "swarm status cannot tell how they are"
)

Plain = Mapping[str, Any]


class JournalTakenError(Exception):
    """Another listener works on this journal."""


class JournalLeftError(JournalTakenError):
    """That listener is of another supervisord, and may be gone in a while.

    One that is frozen outlives a supervisord that was killed.
    """


class Journal:
    """The journal of one state directory; held by one listener at a time."""

    def __init__(self, state_dir: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        """Take the directory and read what is there.

        Blocks for up to ``lock_wait_s`` while another listener holds it.

        Raises:
            JournalTakenError: It still does after that.
        """
        self._path = state_dir / JOURNAL
        self._copy = state_dir / COPY
        self._lock: int | None = None
        self._lock_errno: int | None = None  # why it could not be taken
        self._is_failing = False
        _warn_if_open(state_dir)
        self._take_lock(lock_wait_s)
        found = _load(self._path, self._copy)
        self._supervisor = found.get("supervisor")
        self._intents: dict[str, Plain] = found.get("intents", {})
        self.notes: Plain = found.get("notes", {})
        history = map(_dump, found.get("history", []))
        self._history = deque(history, maxlen=HISTORY_MAX)
        if found and not self._path.exists():
            self.save()  # the copy may be lost, too

    def recent(self, count: int) -> list[Any]:
        """Return the last records of restarts, oldest first."""
        return [json.loads(text) for text in list(self._history)[-count:]]

    def adopt(self, identity: SupervisorIdentity) -> Mapping[str, Plain]:
        """Bind the journal to this supervisord; return the intents that still hold.

        Those of another supervisord, or of the machine before it was started again, are
        void: their processes and their clock are gone.
        """
        mine = dataclasses.asdict(identity)
        if self._supervisor != mine:
            if self._intents:
                logger.info("intents_void nodes=%s", ",".join(sorted(self._intents)))
            self._supervisor = mine
            self._intents.clear()
            self.save()
        return dict(self._intents)

    def intend(self, name: str, intent: Plain) -> bool:
        """Keep an intent; return whether it is durable."""
        self._intents[name] = intent
        return self.save()

    def forget(self, name: str) -> None:
        """Drop an intent."""
        if self._intents.pop(name, None) is not None:
            self.save()

    def remember(self, name: str, record: Plain) -> None:
        """Drop an intent and keep the record of what came of it."""
        self._intents.pop(name, None)
        self._history.append(_dump(record))
        self._bound_deaths()
        self.save()

    def _bound_deaths(self) -> None:
        """Let the oldest death go where there are too many: nodes may die in a row."""
        deaths = [n for n, text in enumerate(self._history) if _DEATH in text]
        if len(deaths) > DEATHS_MAX:
            del self._history[deaths[0]]

    def note(self, notes: Plain) -> None:
        """Keep facts in the place of those noted before."""
        self.notes = dict(notes)
        self.save()

    def keep(self) -> None:
        """Write all from memory where somebody has removed the files.

        Blocks for up to `KEEP_WAIT_S` while another listener holds a new lock.

        Raises:
            JournalTakenError: It still does after that.
        """
        is_held = self._lock is not None and is_at(self._lock_path, self._lock)
        if is_held and os.path.lexists(self._path):
            return
        if not self._is_failing and self._lock_errno is None:
            logger.error(
                "state_dir_lost path=%s do=%r",
                self._path.parent,
                "find out who removed its files; they are written anew from memory",
            )
        if not is_held:
            self._take_lock(KEEP_WAIT_S)
        if self._lock_errno is None or not os.path.lexists(self._path):
            self.save()

    def close(self) -> None:
        """Unlock the journal for another listener."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(LOCK)

    def _take_lock(self, wait_s: float) -> None:
        try:
            make_directory(self._path.parent)
            taken = _take_lock(self._lock_path, wait_s=wait_s)
        except OSError as error:
            if self._lock_errno is None:
                self._log_unwritable(self._lock_path, error)
            self._lock_errno = error.errno
            return
        self._is_failing = self._is_failing or self._lock_errno is not None
        self._lock_errno = None
        self.close()
        self._lock = taken

    def _log_unwritable(self, path: Path, error: OSError) -> None:
        logger.warning(
            "journal_unwritable path=%s why=%r supervision=%r",
            path,
            str(error),
            UNLOCKED if error.errno == errno.ELOOP else GOES_ON,
        )

    def save(self) -> bool:
        """Write the journal; return whether it is durable."""
        head = _encoded(
            {
                "version": VERSION,
                "supervisor": self._supervisor,
                "intents": self._intents,
                "notes": self.notes,
            }
        )
        # The records are kept encoded: a thousand of them would cost 5 ms each time.
        history = ",\n".join(self._history).encode("ascii")
        whole = _with_lines(head, b"history", history)
        try:
            replace_file(self._path, whole, mode=0o600, durable=True)
        except OSError as error:
            if not self._is_failing and error.errno != self._lock_errno:
                self._log_unwritable(self._path, error)
            self._is_failing = True
            return False
        if self._is_failing:
            logger.info("journal_written_again path=%s", self._path)
        self._is_failing = False
        # Not durable: it is for the next listener of this run of the machine.
        try:
            replace_file(self._copy, head, mode=0o600, durable=False)
        except OSError:
            with contextlib.suppress(OSError):
                self._copy.unlink()  # it would bring back a hold that was lifted
        return True


_DEATH: Final = '"cause":"died"'  # as `_dump` writes it; within a text " is escaped


def _dump(plain: Plain) -> str:
    return json.dumps(plain, separators=(",", ":"))


def _encoded(plain: Plain) -> bytes:
    return _dump(plain).encode("ascii")


def _with_lines(head: bytes, name: bytes, lines: bytes) -> bytes:
    """Add a list to an encoded object: its items are encoded, one a line."""
    return b'%s,"%s":[\n%s\n]}\n' % (head[:-1], name, lines)


# --- opening --------------------------------------------------------------------------


def _warn_if_open(state_dir: Path) -> None:
    """Warn where any user can put files into it; it may not be there yet."""
    with contextlib.suppress(OSError):
        if state_dir.stat().st_mode & 0o002:
            logger.warning(
                "state_dir_open_to_others path=%s do=%r",
                state_dir,
                f"chmod o-w {state_dir}",
            )


def _take_lock(path: Path, *, wait_s: float) -> int:
    """Return the locked descriptor; write supervisord's pid into the file."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    own = f"{os.getppid()}\n".encode()
    if locked_within(descriptor, wait_s):
        with contextlib.suppress(OSError):  # a full disk
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, own, 0)
        return descriptor
    holders = os.pread(descriptor, 20, 0)
    os.close(descriptor)
    refusal = JournalTakenError if holders in {own, b""} else JournalLeftError
    raise refusal(
        f"another listener holds {path}: stop it, or give this one a [listener] "
        "state_dir of its own"
    )


def _load(path: Path, copy: Path) -> dict[str, Any]:
    """Return what the journal or its copy says; empty where there is neither."""
    try:
        return _parse(read_own_file(path))
    except (FileNotFoundError, NotADirectoryError):
        logger.info("journal_new path=%s", path)
    except (OSError, ValueError, RecursionError) as error:
        _put_aside(path, why=str(error))
    try:
        found = _parse(read_own_file(copy))
    except (OSError, ValueError, RecursionError):
        return {}
    logger.info("journal_restored from=%s lost='the history'", copy)
    return found


def _put_aside(path: Path, *, why: str) -> None:
    """Keep what could not be read for whoever wants to look, one file of it."""
    aside = path.with_name(path.name + ".corrupt")
    try:
        path.replace(aside)
    except OSError as error:
        why = f"{why}; cannot be put aside: {error}"
    logger.warning("journal_unreadable path=%s kept_as=%s why=%r", path, aside, why)


def _parse(data: bytes) -> dict[str, Any]:
    """Return what can be used of a journal.

    Raises:
        ValueError: It is none.
    """
    plain = json.loads(data)
    if not isinstance(plain, dict):
        raise ValueError(f"expected an object, got {data[:80]!r}")
    if plain.get("version") != VERSION:
        raise ValueError(f"expected version {VERSION}, got {plain.get('version')!r}")
    intents, notes = plain.get("intents", {}), plain.get("notes", {})
    for key, table in (("intents", intents), ("notes", notes)):
        if not isinstance(table, dict):
            raise ValueError(f"expected a table as {key}, got {table!r:.80}")
    history = plain.get("history", [])
    if not isinstance(history, list):
        raise ValueError(f"expected a list as history, got {history!r:.80}")
    return {
        "supervisor": plain.get("supervisor"),
        "intents": {k: v for k, v in intents.items() if isinstance(v, dict)},
        "notes": notes,
        "history": [record for record in history if isinstance(record, dict)],
    }


# --- for other eyes -------------------------------------------------------------------


class StatusFile:
    """What ``supervisorctl swarm status`` shows: whole, but not durable."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / STATUS
        self._is_failing = False

    def write(self, head: Plain, nodes: Iterable[Plain] = ()) -> None:
        """Replace the file, readable by the group.

        A failure is logged once, and so is its end.

        Each of ``nodes`` is encoded before the next is made: hundreds of them at once
        would cost the listener a megabyte for good.
        """
        encoded = b",\n".join(map(_encoded, nodes))
        data = _with_lines(_encoded(head), b"nodes", encoded)
        try:
            replace_file(self._path, data, mode=0o640, durable=False)
        except OSError as error:
            if not self._is_failing:
                logger.warning(
                    "status_not_written path=%s why=%r do=%r",
                    self._path,
                    str(error),
                    BLIND,
                )
            self._is_failing = True
            return
        if self._is_failing:
            logger.info("status_written_again path=%s", self._path)
        self._is_failing = False
