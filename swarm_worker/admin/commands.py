"""What is done with a dead-letter topic: show it, replay it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from swarm_worker.admin.printing import Printer, Stop
from swarm_worker.admin.refusals import RefusedError
from swarm_worker.admin.replay import Plan, Replay, Wanted, survey_of
from swarm_worker.admin.selection import Fate, Filter
from swarm_worker.admin.survey import Survey, columns, plain
from swarm_worker.admin.topic import DeadLetterTopic
from swarm_worker.admin.verdict import failing_alike
from swarm_worker.process import exit_codes as exits

_WHY_LEFT: Mapping[Fate, str] = {
    Fate.FILTER: "left out by the filter",
    Fate.DONE: "replayed before with another filter",
    Fate.ATTEMPTS: "failed again after --attempts replays, stay",
    Fate.FOREIGN: "no dead letters of a swarm, stay",
}

_BEGINNING: Final = (
    "from the topic's first message on: no replay with this filter is on record",
)


# --- show -----------------------------------------------------------------------------


def show(
    flags: argparse.Namespace, kafka: Mapping[str, Any], stop: Stop, printer: Printer
) -> int:
    """Count what a topic holds.

    Raises:
        RefusedError: It cannot be read.
    """
    topic = DeadLetterTopic(kafka, flags.topic, None)
    try:
        survey = _read_all(topic, stop, printer)
    finally:
        topic.close()
    if stop():
        raise RefusedError(f"ended after {survey.count + survey.foreign} messages")
    printer.say_json(
        {
            "topic": flags.topic,
            "dead_letters": survey.count,
            "waiting": survey.of(Fate.REPLAY),
            "replayed": survey.of(Fate.DONE),
            "stay": survey.of(Fate.ATTEMPTS),
            "foreign": survey.foreign,
            "kinds": survey.as_json(),
        }
    )
    others = f", other messages: {survey.foreign}" if survey.foreign else ""
    printer.say(f"{flags.topic}: {_dead_letters(survey.count)}{others}")
    printer.say(*survey.table())
    return exits.STOPPED


def _read_all(topic: DeadLetterTopic, stop: Stop, printer: Printer) -> Survey:
    lows, ends = topic.bounds()
    return survey_of(
        topic,
        lows,
        ends,
        topic.others_progress(ends),
        filter_=Filter(),
        stop=stop,
        say=lambda count: printer.progress(f"read {count}"),
    )


# --- replay ---------------------------------------------------------------------------


def replay(
    flags: argparse.Namespace, kafka: Mapping[str, Any], stop: Stop, printer: Printer
) -> int:
    """Send dead letters back.

    Raises:
        RefusedError: It cannot begin.
    """
    wanted = Wanted(
        filter=Filter(
            to=flags.to or "",
            error=flags.error or "",
            partition=flags.from_partition,
            attempts=flags.attempts,
        ),
        most=flags.max,
        per_s=flags.rate,
        is_dry=flags.dry_run,
        failing_alike=_failing_alike(flags.status, is_forced=flags.force),
    )
    topic = DeadLetterTopic(kafka, flags.topic, wanted.filter)
    try:
        return _replay(Replay(topic, wanted, stop, printer), wanted, stop, printer)
    finally:
        topic.close()


def _failing_alike(
    status: str | None, *, is_forced: bool
) -> Callable[[], Mapping[str, str] | None]:
    def look() -> Mapping[str, str] | None:
        if is_forced:
            return {}
        if status is None:
            return None
        return failing_alike(Path(status), now_s=time.monotonic())

    return look


def _replay(replaying: Replay, wanted: Wanted, stop: Stop, printer: Printer) -> int:
    plan = replaying.plan()
    printer.say(*(f"warning: {each}" for each in plan.warnings))
    printer.say(*_planned(replaying.topic.topic, plan, wanted))
    begun_at_s, error = time.monotonic(), ""
    if not wanted.is_dry:
        error = _carried_out(replaying, plan)
    expected, sent = _most(plan.survey, wanted), replaying.sent.total()
    is_interrupted = stop() and not error and (wanted.is_dry or sent < expected)
    printer.say_json(
        {
            "topic": replaying.topic.topic,
            "group": replaying.topic.group,
            "dry_run": wanted.is_dry,
            "begun_before": plan.has_begun,
            "to_replay": expected,
            "replayed": sent,
            "replayed_to": dict(sorted(replaying.sent.items())),
            "left": {fate.value: plan.survey.of(fate) for fate in _WHY_LEFT},
            "kinds": plan.survey.as_json(),
            "interrupted": is_interrupted,
            "error": error or None,
            "warnings": list(plan.warnings),
        }
    )
    if not wanted.is_dry and expected:
        took_s = time.monotonic() - begun_at_s
        printer.say(f"replayed {sent} of {expected} in {took_s:.1f} s")
    if is_interrupted:
        printer.say("ended early; the same command goes on from here")
    if error:
        printer.complain(f"ERROR ({error})")
    return exits.CRASHED if error or is_interrupted else exits.STOPPED


def _carried_out(replaying: Replay, plan: Plan) -> str:
    """Send what is planned; return why not all of it was, empty if it was."""
    try:
        if plan.survey.of(Fate.REPLAY):
            replaying.run(plan)
    except RefusedError as refused:
        return str(refused)
    return ""


def _most(survey: Survey, wanted: Wanted) -> int:
    found = survey.of(Fate.REPLAY)
    return found if wanted.most is None else min(found, wanted.most)


def _planned(topic: str, plan: Plan, wanted: Wanted) -> list[str]:
    survey, most = plan.survey, _most(plan.survey, wanted)
    rows = [
        {
            "ORIGIN": plain(origin),
            "ERROR": plain(error) or "-",
            "COUNT": str(kind.fates[Fate.REPLAY]),
            "TO": wanted.filter.to.partition("=")[2] or plain(origin),
        }
        for (origin, error), kind in survey.kinds.items()
        if kind.fates[Fate.REPLAY]
    ]
    bound = f", the first {most} now" if most < survey.of(Fate.REPLAY) else ""
    dry = " (dry run: nothing is sent)" if wanted.is_dry else ""
    return [
        f"{topic}: {_dead_letters(survey.of(Fate.REPLAY))} to replay{bound}{dry}",
        *columns(rows),
        *_BEGINNING[: not plan.has_begun],
        *(
            f"{why}: {survey.of(fate)}"
            for fate, why in _WHY_LEFT.items()
            if survey.of(fate)
        ),
    ]


def _dead_letters(count: int) -> str:
    return f"{count} dead letter{'s' * (count != 1)}"
