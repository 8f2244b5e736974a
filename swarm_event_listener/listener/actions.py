"""Carries out what the core decided: supervisord's calls, the journal, the log."""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, assert_never

from swarm_event_listener.core.model.events import (
    Action,
    Answer,
    Answered,
    Event,
    Forget,
    Intend,
    Journaled,
    Note,
    Publish,
    ReadExit,
    Remember,
    Say,
    Signal,
    Start,
    Stop,
    Survey,
    Surveyed,
)
from swarm_event_listener.storage.journal import Journal
from swarm_event_listener.storage.restored_state import UNHEARD_SINCE
from swarm_event_listener.supervisord.deafness import LOG_END_BYTES, is_ignored
from swarm_event_listener.supervisord.exit_reader import ExitReader
from swarm_event_listener.supervisord.rpc import (
    Supervisor,
    SupervisorFault,
    SupervisorUnreachable,
)

logger = logging.getLogger(__name__)


# supervisord queues its events, so an answer by RPC is ahead of the stream: it would be
# taken for the past by every event still queued before it. A survey therefore sends an
# event of its own, and is handed to the core when that comes out of the queue.
MARK: Final = "swarm.mark"


def wall_text(moment_s: float) -> str:
    """Return a moment of CLOCK_MONOTONIC for people: ISO 8601 in UTC."""
    ago = timedelta(seconds=monotonic() - moment_s)
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")


class Actions:
    """Carries out actions. Each call to supervisord blocks for 2 s at most."""

    def __init__(
        self,
        supervisor: Supervisor,
        journal: Journal,
        *,
        exit_reader: ExitReader,
        wall: Callable[[float], str],
    ) -> None:
        self._supervisor = supervisor
        self._exit_reader = exit_reader
        self._journal = journal
        self._wall = wall
        self.is_reachable = True  # as the last call went
        self._marks = itertools.count()
        self._surveys: dict[str, Surveyed] = {}  # by its mark: the last one, if any

    def carry_out(  # noqa: C901 - one verb for each action
        self, action: Action
    ) -> Event | None:
        """Carry out an action; return what became of it, if the core wants that."""
        match action:
            case Survey():
                self._begin_survey()
            case Intend():
                ok = self._journal.intend(action.name, action.intent)
                return Journaled(name=action.name, ok=ok)
            case Forget():
                self._journal.forget(action.name)
            case Remember():
                record = action.record.as_json(self._wall)
                self._journal.remember(action.name, record)
            case Note():
                self._note(action)
            case ReadExit():
                self._exit_reader.ask(action)
            case Signal() | Stop() | Start():
                return self._call(action)
            case Publish():
                self._send(action.type, json.dumps(dict(action.payload)))
            case Say():
                say(action)
            case _:
                assert_never(action)
        return None

    # --- supervisord ----------------------------------------------------------------

    def wake_supervisor(self) -> None:
        """Have supervisord take a turn of its loop, in which it reaps its children."""
        try:
            self._supervisor.wake()
        except SupervisorFault:
            pass  # it ends: that is a turn, too
        except SupervisorUnreachable as error:
            self._no_answer(error)
            return
        self._answer()

    def is_ignored(self, name: str) -> bool:
        """Whether supervisord says that it sends this process no events."""
        try:
            log = self._supervisor.log_end(LOG_END_BYTES)
        except (SupervisorFault, SupervisorUnreachable):
            return False  # it keeps none
        return is_ignored(log, name=name, pid=os.getpid())

    def surveyed(self, mark: str) -> Surveyed | None:
        """Return the survey that a mark belongs to, once; None for any other mark."""
        return self._surveys.pop(mark, None)

    def survey_now(self) -> Surveyed | None:
        """Survey without a mark, where none comes; None without an answer."""
        self._surveys.clear()
        try:
            surveyed = Surveyed(processes=self._supervisor.processes())
        except SupervisorFault as fault:
            logger.info("survey_failed why=%r", str(fault))
            return None
        except SupervisorUnreachable as error:
            self._no_answer(error)
            return None
        self._answer()
        return surveyed

    def _begin_survey(self) -> None:
        # The mark first: what happens between the two calls is then seen twice, which
        # does no harm; the other way round it would be missed.
        mark = f"{os.getpid()}.{next(self._marks)}"
        if not self._send(MARK, mark):
            return
        surveyed = self.survey_now()
        if surveyed is not None:
            self._surveys[mark] = surveyed

    def _call(self, action: Signal | Stop | Start) -> Answered:
        try:
            answer = self._attempt(action)
        except SupervisorFault as fault:
            self._answer()
            return Answered(action=action, answer=Answer.FAULT, fault=fault.code)
        except SupervisorUnreachable as error:
            self._no_answer(error)
            return Answered(action=action, answer=Answer.UNREACHABLE)
        self._answer()
        return Answered(action=action, answer=answer)

    def _attempt(self, action: Signal | Stop | Start) -> Answer:
        if isinstance(action, Start):
            self._supervisor.start(action.name)
            return Answer.DONE
        # supervisord cannot compare and signal in one call: what is left between the
        # two is a millisecond in which the process would have to be replaced.
        if self._supervisor.process(action.name).pid != action.pid:
            return Answer.OTHER_PID
        if isinstance(action, Stop):
            self._supervisor.stop(action.name)
        else:
            self._supervisor.signal(action.name, action.signal)
        return Answer.DONE

    def _send(self, event_type: str, data: str) -> bool:
        """Send an event; return whether supervisord answered at all."""
        try:
            self._supervisor.send_event(event_type, data)
        except SupervisorFault as fault:
            logger.info("event_not_sent type=%s why=%r", event_type, str(fault))
        except SupervisorUnreachable as error:
            self._no_answer(error)
            return False
        return True

    def _no_answer(self, error: SupervisorUnreachable) -> None:
        if self.is_reachable:
            logger.warning("supervisor_unreachable why=%r", str(error))
        self.is_reachable = False

    def _answer(self) -> None:
        if not self.is_reachable:
            logger.info("supervisor_answers_again")
        self.is_reachable = True

    # --- journal --------------------------------------------------------------------

    def keep(self) -> None:
        """See that what must survive is still on the disk.

        Raises:
            JournalTakenError: Another listener has taken the state directory.
        """
        self._journal.keep()

    def note_unheard(self, since_s: float) -> None:
        """Leave to the next listener since when nothing has come from supervisord."""
        self._journal.note({**self._journal.notes, UNHEARD_SINCE: since_s})

    def _note(self, note: Note) -> None:
        self._journal.note(
            {
                **self._journal.notes,
                "held": list(note.held),
                "reporting_groups": list(note.reporting_groups),
                "rolls": list(note.rolls),
                "failures": note.failures,
                "deaths": note.deaths,
                "pids": note.pids,
                "scaled": list(note.scaled),
            }
        )


def needs_supervisor(action: Action) -> bool:
    """Whether an action waits for supervisord."""
    return isinstance(action, Survey | Signal | Stop | Start | Publish)


def say(action: Say) -> None:
    """Log one line."""
    logger.log(
        action.level,
        "%s",
        f"{action.event} {_fields(action.fields)}".rstrip(),
        extra={"figures": {"event": action.event, **action.fields}},
    )


def _fields(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={_value(value)}" for key, value in fields.items())


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    text = str(value)
    return repr(text) if isinstance(value, str) and not _is_plain(text) else text


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and not set(text) & set(" '\"=")
