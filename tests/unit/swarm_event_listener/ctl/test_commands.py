"""What the commands do, with supervisord, files and time played by the test."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarm_event_listener.core.model.events import Ordered, RollOrdered
from swarm_event_listener.ctl.session import LATER, Exit
from swarm_event_listener.ctl.sources.caught_signals import catches
from swarm_event_listener.ctl.sources.state import (
    StateError,
)
from swarm_event_listener.supervisord.node_log import NodeLog
from swarm_event_listener.supervisord.operator_commands import decode
from swarm_event_listener.supervisord.protocol import RemoteCommand
from tests.operators import FULL, LISTENER, World, node_status, process, record


def stop_them() -> None:
    """Press Ctrl-C."""
    raise KeyboardInterrupt


# --- status ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, Exit.OK),
        ({"health": "quiet"}, Exit.NOT_HEALTHY),
        ({"health": "unhealthy"}, Exit.NOT_HEALTHY),
        ({"health": "unknown"}, Exit.UNKNOWN),
        ({"health": "failing"}, Exit.FAILED),
    ],
)
def test_status_is_a_monitoring_check(change: dict[str, str], status: Exit) -> None:
    """0 only when all are healthy, 3 when one is not, 4 when it cannot be told.

    1 where they are at work, and only messages fail: no other fault of it exits so.
    """
    world = World()
    world.nodes["w:w_01"] |= change

    assert world.run("status") is status
    assert world.run("status w:w_00") is Exit.OK


def test_a_warning_about_the_place_is_one_line_and_no_fault() -> None:
    """Whatever is asked for is told or done all the same."""
    for line in ("status", "top", "why w:w_00", "history", "quiet w:w_00", "hold all"):
        world = World(place_warning="swarm.toml is no TOML")
        for node in world.nodes.values():
            node["held"] = True

        assert world.run(line) is Exit.OK
        assert world.text.count("warning: swarm.toml is no TOML") == 1

    world = World(place_warning="swarm.toml is no TOML")
    assert world.run("status --json") is Exit.OK
    assert json.loads(world.text)["warnings"] == ["warning: swarm.toml is no TOML"]


def test_status_of_a_listener_that_is_gone_or_silent_is_unknown() -> None:
    """It says why, and what supervisord knows is still shown."""
    silent, gone = World(age_s=99.0), World()
    gone.processes_now.remove(LISTENER)

    assert silent.run("status") is Exit.UNKNOWN
    assert (
        "the listener, pid 1, last said something 99 s ago: it hangs" in silent.lines[0]
    )
    assert "RUNNING unknown" in silent.text
    assert gone.run("status") is Exit.UNKNOWN
    assert "pid 1, runs no longer" in gone.lines[0]


def test_a_listener_that_cannot_write_is_not_accused() -> None:
    """What is at fault is the disk; also where the listener was started anew."""
    for pid, age_s in ((1, 99.0), (2, 99.0), (2, 1.0)):
        world = World(write_error=FULL, age_s=age_s)
        world.processes_now[-1] = replace(LISTENER, pid=pid)

        assert world.run("status") is Exit.UNKNOWN
        assert world.lines[0].startswith(
            f"warning: {FULL}: the listener, pid {pid}, cannot write how the nodes are"
        )
        assert "it runs, and they are supervised all the same" in world.lines[0]

    gone = World(write_error=FULL)
    gone.processes_now.remove(LISTENER)
    assert gone.run("status") is Exit.UNKNOWN
    assert "pid 1, runs no longer" in gone.lines[0]
    unknown = replace(gone, pool="", lines=[])
    assert unknown.run("status") is Exit.UNKNOWN
    assert f"{FULL}: no listener can write" in unknown.lines[0]
    assert World(write_error=FULL).run("status") is Exit.OK  # there was room just now


def test_a_newer_listener_has_only_not_spoken_yet() -> None:
    """The one that did is gone, and nobody has to start another."""
    for uptime_s, do in ((3.0, "look again in a moment"), (60.0, "see its log")):
        world = World()
        world.processes_now[-1] = replace(LISTENER, pid=2, uptime_s=uptime_s)

        assert world.run("status") is Exit.UNKNOWN
        says = f"pid 2, runs for {uptime_s:.0f} s and has said nothing yet; {do}"
        assert says in world.lines[0]


def test_a_record_that_cannot_be_written_may_be_missing() -> None:
    """Said before a story and before the history, which lack it without a word."""
    for line in ("why w:w_00", "history"):
        world = World(write_error=FULL, records=(record(),))

        assert world.run(line) is Exit.OK
        assert world.lines[0] == (
            f"warning: {FULL}: the latest restarts may not be on record"
        )

    world = World(write_error=FULL)
    world.run("why --json w:w_00")
    assert FULL in json.loads(world.text)["warnings"][0]


def test_what_cannot_be_confirmed_is_told_all_the_same() -> None:
    """An old word confirms nothing: not even that a node is held no more."""
    for line in ("hold w:w_00", "release w:w_00"):
        world = World(write_error=FULL, age_s=99.0)

        assert world.run(line) is Exit.FAILED
        assert [done[0] for done in world.done] == ["send"]
        assert FULL in world.lines[0]
        assert "w:w_00: ERROR (the listener is told, but cannot con" in world.lines[1]


def test_a_roll_is_not_begun_blindly_but_can_be_ended() -> None:
    """With the disk named as what keeps its progress from being seen."""
    world = World(write_error=FULL, age_s=99.0)

    with pytest.raises(StateError, match="is full"):
        world.run("roll w")
    assert not world.done
    with pytest.raises(StateError, match=r"told, but cannot confirm it.*is full"):
        world.run("roll w --cancel")
    assert [done[0] for done in world.done] == ["send"]


def test_a_signal_is_not_refused_with_a_guess() -> None:
    """Whether a new process has reported is not known where nothing is written."""
    world = World(write_error=FULL, age_s=99.0)
    world.processes_now[0] = process("w:w_00", pid=70)

    assert world.run("quiet w:w_00") is Exit.FAILED
    assert "whether it has reported is not known" in world.text


def test_status_as_data_has_nodes_and_warnings() -> None:
    """One JSON object, whatever happens."""
    world = World(records=StateError("cannot read journal.json: run it as user x"))

    assert world.run("status --json x w:w_00") is Exit.UNKNOWN
    plain = json.loads(world.text)
    assert [node["node"] for node in plain["nodes"]] == ["w:w_00"]
    assert [w.partition(":")[0] for w in plain["warnings"]] == [
        "x",
        "restarts are not shown",
    ]


def test_status_waits_for_the_listeners_word_on_a_change() -> None:
    """A node that the listener has just stopped is not said to be an operator's."""
    world = World()
    world.becomes("w:w_00", "STOPPED")
    world.nodes["w:w_00"] |= {"health": "healthy"}
    world.on_wait = [
        lambda: world.nodes["w:w_00"].update(
            state="STOPPED", health="waiting", restart={"phase": "down"}
        )
    ]

    world.run("status")

    assert "waiting" in world.text
    assert "operator" not in world.text


def test_top_is_redrawn_until_ctrl_c() -> None:
    """On a terminal; elsewhere it is a status."""
    world = World(is_terminal=True)
    world.on_wait = [lambda: None, stop_them]

    assert world.run("top") is Exit.OK
    assert world.text.count("w: 2 healthy") == 2
    assert World().run("top") is Exit.OK


def test_top_ends_while_it_is_drawn() -> None:
    """Ctrl-C need not wait for a pause."""
    world = World(is_terminal=True, on_say={"2 healthy": stop_them})

    assert world.run("top") is Exit.OK


def test_top_fits_its_screen_and_shows_what_is_wrong_first() -> None:
    """Of forty nodes those that are not healthy are never below the edge."""
    names = [f"w:w_{number:02d}" for number in range(40)]
    world = World(is_terminal=True, on_wait=[stop_them])
    world.processes_now = [*map(process, names), LISTENER]
    world.nodes = {name: node_status(node=name) for name in names}
    world.nodes["w:w_39"] |= {"health": "quiet"}

    assert world.run("top") is Exit.OK
    assert len(world.lines) == world.height
    assert world.lines[1] == "w: 39 healthy, 1 quiet"
    assert world.lines[3].startswith("w_39")
    assert world.lines[5].startswith("w_00")
    assert world.lines[-1] == "... 21 lines more; name nodes, or take a taller screen"


# --- signals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "signal_name"), [("quiet w", "TSTP"), ("resume w:*", "CONT")]
)
def test_nodes_are_signalled_by_name(line: str, signal_name: str) -> None:
    """All that the name stands for."""
    world = World()

    assert world.run(line) is Exit.OK
    assert world.done == [
        ("signal", "w:w_00", signal_name),
        ("signal", "w:w_01", signal_name),
    ]
    assert [line.partition(":")[2][:7] for line in world.lines] == [
        "w_00: t",
        "w_01: t",
    ]


@pytest.mark.parametrize("command", ["quiet", "resume", "retire", "dump"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda w: w.nodes["w:w_00"].update(known=False), "has not reported"),
        (lambda w: w.nodes["w:w_00"].update(pid=6), "has not reported"),
        (lambda w: w.nodes.pop("w:w_00"), "has not reported"),
        (lambda w: setattr(w, "caught", False), "no handler for SIG"),
        (
            lambda w: setattr(
                w,
                "processes_now",
                [process(state="STOPPED", pid=None), LISTENER],
            ),
            "not running, it is STOPPED",
        ),
    ],
    ids=["silent", "successor", "unheard", "no handler", "stopped"],
)
def test_a_process_that_may_not_know_the_signal_gets_none(
    command: str, spoil: Callable[[World], object], words: str
) -> None:
    """Its default action would end or suspend it."""
    world = World()
    spoil(world)

    try:
        status = world.run(f"{command} w:w_00")
    except StateError as error:
        world.say(str(error))
        status = Exit.FAILED

    assert status is Exit.FAILED
    assert world.done == []
    (line,) = world.lines
    assert line.startswith("w:w_00: ERROR (")
    assert words in line


def test_where_handlers_cannot_be_seen_the_report_decides() -> None:
    """Without /proc."""
    world = World(caught=None)

    assert world.run("quiet w:w_00") is Exit.OK


def test_supervisords_refusal_is_one_line() -> None:
    """And the other names are done."""
    world = World(refusal="not running")

    assert world.run("quiet w:w_00 y") is Exit.FAILED
    assert world.lines == [
        "y: ERROR (no such group or node; there are w:w_00, w:w_01)",
        "w:w_00: ERROR (not running)",
    ]


def test_retiring_leaves_the_group_then_stops() -> None:
    """USR1 first, the stop after it, done when the process is gone."""
    world = World()
    world.on_wait = [lambda: None, lambda: world.becomes("w:w_00", "STOPPED")]

    assert world.run("retire w:w_00") is Exit.OK
    assert world.done == [("signal", "w:w_00", "USR1"), ("stop", "w:w_00")]
    assert world.lines == ["w:w_00: retired"]
    assert world.on_wait == []


def test_what_is_still_stopping_is_not_retired() -> None:
    """It says so in the end."""
    world = World()

    assert world.run("retire w:w_00") is Exit.FAILED
    assert "still stopping" in world.text


@pytest.mark.parametrize(
    ("handler", "is_caught"),
    [(lambda *_: None, True), (signal.SIG_IGN, False), (signal.SIG_DFL, False)],
    ids=["handled", "ignored", "default"],
)
def test_this_process_catches_what_it_catches(
    handler: Callable[..., None] | signal.Handlers, *, is_caught: bool
) -> None:
    """As /proc tells, whatever it was started with."""
    before = signal.signal(signal.SIGUSR2, handler)
    try:
        assert catches(os.getpid(), "USR2") is is_caught
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_signal_that_harms_nobody_may_be_sent_to_all() -> None:
    """CONT; of a process that is not there nothing else is known."""
    assert catches(os.getpid(), "CONT") is True
    assert catches(2**22 + 1, "USR1") is None


# --- the listener's orders ------------------------------------------------------------


@pytest.mark.parametrize(("command", "held"), [("hold", True), ("release", False)])
def test_an_order_is_sent_and_its_effect_awaited(command: str, held: bool) -> None:  # noqa: FBT001
    """It is done when the listener itself says so."""
    world = World()
    for node in world.nodes.values():
        node["held"] = not held
    world.on_wait = [
        lambda: world.nodes["w:w_00"].update(held=held),
        lambda: world.nodes["w:w_01"].update(held=held),
    ]

    assert world.run(f"{command} w:*") is Exit.OK
    ((_, kind, data),) = world.done
    (order,) = decode(RemoteCommand(kind, data))
    assert isinstance(order, Ordered)
    assert (order.kind, order.names) == (command, ("w:w_00", "w:w_01"))
    word = "held" if held else "released"
    assert world.lines == [f"w:w_00: {word}", f"w:w_01: {word}"]


@pytest.mark.parametrize(("command", "held"), [("hold", True), ("release", False)])
def test_a_node_that_is_down_stays_down_and_that_is_said(
    command: str,
    held: bool,  # noqa: FBT001
) -> None:
    """Neither word starts it; the one that does is named."""
    world = World()
    world.becomes("w:w_00", "STOPPED")
    world.nodes["w:w_00"]["held"] = held

    assert world.run(f"{command} w:w_00") is Exit.OK
    assert world.text.endswith(
        "d; it is down, and stays so until supervisorctl start w:w_00"
    )


@pytest.mark.parametrize(("command", "held"), [("hold", True), ("release", False)])
def test_a_fatal_node_stays_down_only_while_it_is_held(
    command: str,
    held: bool,  # noqa: FBT001
) -> None:
    """The listener gives it another try as soon as the rules are on again."""
    world = World()
    world.becomes("w:w_00", "FATAL")
    world.nodes["w:w_00"]["held"] = held

    assert world.run(f"{command} w:w_00") is Exit.OK
    assert ("stays so until supervisorctl start" in world.text) is held


@pytest.mark.parametrize("command", ["hold", "release"])
def test_an_order_that_nobody_confirms_has_failed(command: str) -> None:
    """But a listener that was frozen may take it later: the line says where to look."""
    world = World()
    world.nodes["w:w_00"]["held"] = command == "release"

    assert world.run(f"{command} w:w_00 x") is Exit.FAILED
    assert world.lines == [
        "x: ERROR (no such group or node; there are w:w_00, w:w_01)",
        f"w:w_00: ERROR (not confirmed within 10 s; {LATER})",
    ]


def test_orders_need_a_listener() -> None:
    """Nothing is sent to nobody."""
    for line in ("hold w:w_00", "roll w"):
        world = World(age_s=99.0)
        with pytest.raises(StateError, match="99 s ago"):
            world.run(line)
        assert world.done == []


def roll(**fields: Any) -> dict[str, Any]:
    """Return a roll as the listener tells of it, ordered at the world's beginning."""
    begun = {
        "group": "w",
        "ordered_at_s": 1000.0,
        "waiting": ["w:w_01"],
        "turned": [{"name": "w:w_00", "since_s": 988.0}],
        "done": [],
        "skipped": [],
        "held": [],
        "restarting": [],
        "failure": None,
        "is_cancelled": False,
        "is_over": False,
    }
    return begun | fields


COMES_UP = "the listener starts it, with the new code"
OVER = {"waiting": [], "turned": [], "is_over": True}
OLD = {"ordered_at_s": 500.0}  # of another operator


def test_a_roll_is_followed_to_its_end() -> None:
    """The order, then a line for each step, then the end."""
    world = World(rolls={"w": roll(**OVER, **OLD, done=["w:w_00", "w:w_01"])})
    told = world.rolls
    world.on_wait = [
        lambda: told.update(w=roll()),
        lambda: told.update(
            w=roll(
                waiting=[],
                turned=[{"name": "w:w_01", "since_s": 1001.0}],
                done=["w:w_00"],
            )
        ),
        lambda: told.update(w=roll(**OVER, done=["w:w_00", "w:w_01"])),
    ]

    assert world.run("roll w:* --max-unavailable 2 --timeout 30") is Exit.OK
    ((_, kind, data),) = world.done
    assert decode(RemoteCommand(kind, data)) == (
        RollOrdered(group="w", max_unavailable=2, timeout_s=30.0, ordered_at_s=1000.0),
    )
    assert world.lines == [
        "rolling 2 nodes of w",
        "w:w_00: its turn",
        "w:w_00: works again",
        "w:w_01: its turn",
        "w:w_01: works again",
        "w: roll done; 2 restarted",
    ]


@pytest.mark.parametrize(
    ("left", "status", "told"),
    [
        (
            {"skipped": ["w:w_01"]},
            Exit.OK,
            [
                "w:w_01: not running: left alone",
                "w: roll done; 1 restarted, 1 not running",
                "  not running: w_01; supervisorctl start runs the new code",
            ],
        ),
        (
            {"held": ["w:w_01"]},
            Exit.FAILED,
            [
                "w:w_01: held: left alone, it runs the old code",
                "w: roll incomplete; 1 restarted, 1 held: old code",
                "  held: old code: w_01; swarm release, then roll again",
            ],
        ),
        (
            {"restarting": ["w:w_01"]},
            Exit.OK,
            [
                f"w:w_01: down for a restart: {COMES_UP}",
                "w: roll done; 1 restarted, 1 down for a restart",
                f"  down for a restart: w_01; {COMES_UP}",
            ],
        ),
    ],
)
def test_nodes_that_a_roll_left_alone_are_named_in_the_end(
    left: dict[str, list[str]], status: Exit, told: list[str]
) -> None:
    """With what to do; one that runs the old code makes the roll incomplete."""
    over = roll(**OVER, done=["w:w_00"]) | left
    world = World(on_wait=[lambda: world.rolls.update(w=over)])
    plain = World(on_wait=[lambda: plain.rolls.update(w=over)])

    assert world.run("roll w") is status
    assert world.lines[0] == "rolling 1 nodes of w"
    assert [line for line in world.lines if "w_00" not in line][1:4] == told
    assert plain.run("roll w --json") is status
    assert json.loads(plain.text) == {**over, "failed_before": [], "failing": []}


FAILING = {"at": "orders/4@547", "error": "ValueError('no price')", "attempts": 8}


@pytest.mark.parametrize(
    ("after", "line"),
    [
        (
            [FAILING | {"attempts": 1, "for_ms": 0}],
            "  orders/4@547 fails: ValueError('no price'), 1 attempt, for 0 s",
        ),
        ([], "  orders/4@547 has not been seen to fail again"),
    ],
)
def test_a_roll_says_whether_a_failing_message_still_fails(
    after: list[dict[str, Any]], line: str
) -> None:
    """It ends without waiting for that; the command gives it time to fail again."""
    over = roll(**OVER, done=["w:w_00", "w:w_01"])

    def rolled(asked: str) -> World:
        world = World()
        report = world.nodes["w:w_00"]["report"]
        report["failing"] = [FAILING | {"for_ms": 180_000}]

        def ends() -> None:
            world.rolls.update(w=over)
            report.update(failing=[])

        world.on_wait = [ends, lambda: None, lambda: report.update(failing=after)]
        assert world.run(asked) is Exit.OK
        return world

    assert rolled("roll w").lines[-2:] == ["w: roll done; 2 restarted", line]
    told = json.loads(rolled("roll w --json").text)
    assert told["failed_before"] == ["orders/4@547"]
    assert told["failing"] == [message["at"] for message in after]


def test_a_roll_that_fails_says_what_is_left() -> None:
    """Exit 1, the reason, and the state that everything is in."""
    world = World()
    failed = roll(turned=[], failure="w:w_00 did not poll again", is_over=True)
    world.nodes["w:w_00"] |= {"health": "unhealthy", "report": None}
    world.on_wait = [lambda: world.rolls.update(w=failed)]

    assert world.run("roll w") is Exit.FAILED
    assert world.lines[-5:-2] == [
        "w: ERROR (w:w_00 did not poll again); 1 left as they were",
        "  left as they were: w_01",
        "w: 1 unhealthy",
    ]
    assert world.lines[-1].startswith("w_00 RUNNING unhealthy")


def test_ctrl_c_ends_a_roll_between_nodes() -> None:
    """The listener is told; the node whose turn it is comes back."""
    world = World()
    world.on_wait = [
        lambda: world.rolls.update(w=roll()),
        stop_them,
        lambda: world.rolls.update(
            w=roll(turned=[], done=["w:w_00"], is_cancelled=True, is_over=True)
        ),
    ]

    assert world.run("roll w") is Exit.FAILED
    assert world.done[-1] == ("send", "swarm.roll_cancel", '["w"]')
    assert world.lines[-3:] == [
        "w: roll ended early; 1 restarted, 1 left as they were",
        "  restarted: w_00",
        "  left as they were: w_01",
    ]


def test_ctrl_c_ends_a_roll_while_its_progress_is_printed() -> None:
    """It is pressed by who has read a line, and the next one may not be out yet."""
    world = World(on_say={"its turn": stop_them})
    over = roll(turned=[], done=["w:w_00"], is_cancelled=True, is_over=True)
    world.on_wait = [
        lambda: world.rolls.update(w=roll()),
        lambda: world.rolls.update(w=over),
    ]

    assert world.run("roll w") is Exit.FAILED
    assert world.done[-1] == ("send", "swarm.roll_cancel", '["w"]')
    assert world.lines[-1] == "  left as they were: w_01"


def test_ctrl_c_twice_leaves_a_roll_unwatched() -> None:
    """What is under way goes on without an onlooker."""
    world = World()
    world.on_wait = [
        lambda: world.rolls.update(w=roll()),
        stop_them,
        stop_them,
    ]

    with pytest.raises(KeyboardInterrupt):
        world.run("roll w")
    assert [kind for _, kind, _ in world.done] == ["swarm.roll", "swarm.roll_cancel"]


def test_ctrl_c_ends_a_roll_that_the_listener_has_not_told_of() -> None:
    """Whatever became of the one before it."""
    world = World(rolls={"w": roll(**OVER, **OLD, is_cancelled=True)})
    world.on_wait = [
        stop_them,
        lambda: world.rolls.update(w=roll(**OVER, is_cancelled=True, done=["w:w_00"])),
    ]

    assert world.run("roll w") is Exit.FAILED
    assert world.done[-1] == ("send", "swarm.roll_cancel", '["w"]')


def test_a_roll_is_cancelled_from_another_terminal() -> None:
    """As by Ctrl-C: the node whose turn it is comes back; 0 when that is so."""
    world = World(rolls={"w": roll(**OLD)})
    world.on_wait = [
        lambda: world.rolls.update(w=roll(**OLD, is_cancelled=True)),
        lambda: world.rolls.update(
            w=roll(**OLD, turned=[], done=["w:w_00"], is_cancelled=True, is_over=True)
        ),
    ]

    assert world.run("roll w --cancel") is Exit.OK
    assert world.done == [("send", "swarm.roll_cancel", '["w"]')]
    assert world.lines == [
        "rolling 2 nodes of w",
        "w:w_00: its turn",
        "w:w_00: works again",
        "w: roll ended early; 1 restarted, 1 left as they were",
        "  restarted: w_00",
        "  left as they were: w_01",
    ]


@pytest.mark.parametrize(
    "fields",
    [{"is_cancelled": True, "failure": "w:w_00 failed in its turn"}, {}],
    ids=["failed", "done before"],
)
def test_a_roll_that_was_not_cancelled_in_order_is_none(fields: dict[str, Any]) -> None:
    """Its node failed in its turn, or it was done before the listener was told."""
    world = World(rolls={"w": roll(**OLD)})
    world.on_wait = [lambda: world.rolls.update(w=roll(**OVER, **OLD, **fields))]

    assert world.run("roll w --cancel") is Exit.FAILED


def test_a_roll_that_has_just_begun_is_cancelled_all_the_same() -> None:
    """The listener tells of it, and of its end, with its next word."""
    world = World(rolls={"w": roll(**OVER, **OLD, is_cancelled=True)})
    over = roll(turned=[], is_cancelled=True, is_over=True)
    world.on_wait = [lambda: None, lambda: world.rolls.update(w=over)]

    assert world.run("roll w --cancel") is Exit.OK
    assert world.lines[-1] == "  left as they were: w_01"


@pytest.mark.parametrize("rolls", [{}, {"w": roll(**OVER, **OLD, is_cancelled=True)}])
def test_there_may_be_no_roll_to_cancel(rolls: dict[str, Any]) -> None:
    """That is an error, and said soon."""
    world = World(rolls=rolls)

    with pytest.raises(StateError, match=r"w: ERROR \(no roll is under way\)"):
        world.run("roll w --cancel")
    assert world.clock.now_s < 1004.0


def test_a_roll_of_a_listener_that_dies_is_not_waited_for() -> None:
    """What it told last is no progress any more."""
    world = World()
    world.on_wait = [
        lambda: world.rolls.update(w=roll()),
        lambda: setattr(world, "age_s", 11.0),
    ]

    with pytest.raises(StateError, match=r"w: ERROR .* tells nothing any more"):
        world.run("roll w")


def test_a_roll_whose_end_a_dead_listener_kept_to_itself_is_not_waited_for() -> None:
    """Its successor goes on with rolls under way, and knows of no other."""
    world = World()
    world.on_wait = [lambda: world.rolls.update(w=roll()), world.rolls.clear]

    with pytest.raises(StateError, match=r"w: ERROR .* knows of no roll under way"):
        world.run("roll w")


HOW_FAR = "a roll is under way: 0 of 2 done; turn of w_00 "


@pytest.mark.parametrize(
    ("rolls", "line", "words"),
    [
        ({"w": roll()}, "roll w", rf"{HOW_FAR}\(12s\); swarm roll w --cancel ends it"),
        ({}, "roll v", "no group that the listener watches: w"),
        ({}, "roll w:w_00", "no group that the listener watches: w"),
        ({}, "roll w", "has not begun it"),
    ],
)
def test_a_roll_that_cannot_begin_says_why(
    rolls: dict[str, Any], line: str, words: str
) -> None:
    """One line."""
    with pytest.raises(StateError, match=words):
        World(rolls=rolls).run(line)


def test_a_second_roll_does_not_follow_the_first() -> None:
    """Nor when that began so short before that the listener had not told of it."""
    world = World(on_wait=[lambda: world.rolls.update(w=roll(**OLD))])

    with pytest.raises(StateError, match=HOW_FAR):
        world.run("roll w --timeout 5")
    assert world.lines == []


def test_a_roll_of_a_listener_with_other_code_is_said_to_go_on() -> None:
    """After an upgrade of the package, before the listener was restarted."""
    older = roll()
    del older["ordered_at_s"], older["held"]
    world = World(on_wait=[lambda: world.rolls.update(w=older)])

    with pytest.raises(StateError, match=r"runs other code .*restart swarm_event_lis"):
        world.run("roll w")


# --- what a roll looks like in the status ---------------------------------------------


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({}, "0 of 2 done; turn of w_00 (12s)"),
        ({"turned": [], "done": ["w:w_00"]}, "1 of 2 done; next is w_01"),
        (
            {"is_cancelled": True},
            "0 of 2 done; turn of w_00 (12s); cancelled: no further node",
        ),
        (
            {"failure": "w:w_02 is held"},
            "0 of 2 done; turn of w_00 (12s); no further node: w:w_02 is held",
        ),
        (
            {"turned": [{"name": f"w:w_0{n}", "since_s": 990.0} for n in range(2, 7)]},
            "0 of 6 done; turn of w_02 (10s), w_03 (10s), w_04 (10s), 2 more",
        ),
    ],
)
def test_status_shows_a_roll_under_way(fields: dict[str, Any], line: str) -> None:
    """How far it is, whose turn it is, and for how long; the roll itself as data."""
    told = {"w": roll(**fields), "v": roll(group="v")}
    world, plain, top = (World(rolls=told) for _ in range(3))
    top.is_terminal, top.on_wait = True, [stop_them]

    assert world.run("status") is Exit.OK
    assert world.lines[0] == f"w: a roll is under way: {line}"
    assert world.lines[1] == "w: 2 healthy"
    assert plain.run("status --json") is Exit.OK
    assert json.loads(plain.text)["rolls"] == [told["w"]]
    assert top.run("top") is Exit.OK
    assert world.lines[0] in top.lines


@pytest.mark.parametrize(
    "fields", [{"rolls": {"w": roll(**OVER)}}, {"rolls": {"w": roll()}, "age_s": 99.0}]
)
def test_status_shows_no_roll_that_is_over_or_no_longer_told_of(
    fields: dict[str, Any],
) -> None:
    """What a listener said before it fell silent is not believed."""
    world, plain = World(**fields), World(**fields)
    world.run("status")
    plain.run("status --json")

    assert "roll" not in world.text
    assert json.loads(plain.text)["rolls"] == []


def test_a_roll_refuses_a_process_that_tstp_would_suspend() -> None:
    """A loop of one's own without a handler; one that is down, or unknown, is none."""
    world = World(caught=False)

    with pytest.raises(StateError, match=r"w:w_00: ERROR .* no handler for SIGTSTP"):
        world.run("roll w")
    assert world.done == []

    world.becomes("w:w_00", "STOPPED")
    world.processes_now[0] = replace(world.processes_now[0], pid=None)
    world.nodes["w:w_01"]["known"] = False
    with pytest.raises(StateError, match="has not begun it"):
        world.run("roll w")
    assert [kind for _, kind, *_ in world.done] == ["swarm.roll"]


# --- looking back ---------------------------------------------------------------------

DUMP = 'Current thread 0x0a (most recent call first):\n  File "x.py", line 3 in bill'


def signature(pid: int, at: str = "2026-11-24T09:00:00.1+00:00") -> str:
    """Return the line that a node writes behind its stacks."""
    return f"swarm_stacks pid={pid} at={at} threads=0xa=swarm-poll"


def test_why_tells_the_last_restarts_and_stacks(tmp_path: Path) -> None:
    """Those of the node alone, as many as asked for."""
    log = tmp_path / "w_00.log"
    log.write_text(f"2026 INFO x\n{DUMP}\n{signature(6)}\n2026 INFO y\n", "utf-8")
    old, new = record(pid=5), record(pid=6)
    world = World(records=(old, new, record(node="w:w_01", pid=9)))
    world.processes_now[0] = replace(world.processes_now[0], stderr_log=str(log))

    assert world.run("why w:w_00 -n 1") is Exit.OK
    assert "pid 6 KILLed" in world.text
    assert "pid 5" not in world.text
    assert "pid 9" not in world.text
    assert "    thread swarm-poll:\n      x.py:3 in bill" in world.text

    world.lines.clear()
    world.run("why --json w:w_00")
    plain = json.loads(world.text)
    assert [r["stacks"] and r["stacks"]["pid"] for r in plain["restarts"]] == [None, 6]
    assert plain["stacks"] == DUMP


def test_a_death_and_the_back_off_that_follows_tell_how_it_died() -> None:
    """What was stopped then is only the successor: that took no time."""
    fell = {"pid": 5, "cause": "kill", "signal": "SIGKILL"}
    how = "pid 5 was ended by SIGKILL"
    died = record(
        pid=5, cause="died", status=None, reason=how, death=fell, killed=False,
        seconds={"down": 1.0, "recovery": 0.5, "total": 1.5},
    )  # fmt: skip
    kept_down = record(
        pid=6, cause="exited", status=None, reason=f"died again: 6 failures; {how}",
        death=fell, killed=False, seconds={"stop": 0.0, "down": 9.0},
    )  # fmt: skip
    left = {**died, "started_at": None, "recovered_at": None, "seconds": {}}
    world = World(records=(died, kept_down, left))

    world.run("why w:w_00")
    assert f"its process died\n  {how}\n" in world.text
    assert f"it died too often\n  died again: 6 failures; {how}\n" in world.text
    assert (
        "pid 6, its successor, was stopped at its boot\n  down for 9.0s" in world.text
    )
    assert "stopped within" not in world.text
    assert "supervisord left it down" in world.text

    world.lines.clear()
    world.run("history")
    assert [line.split()[3:5] for line in world.text.splitlines()[1::2]] == [
        ["died", "-"], ["exited", "-"], ["died", "-"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("behind", "words"),
    [
        ("", "do not say of which process and moment"),
        (signature(5), "no stacks of pid 7 from then in its log"),
        (signature(7, "2026-11-24T08:55:00+00:00"), "no stacks of pid 7 from then"),
    ],
    ids=["an older version's", "another process's", "minutes older"],
)
def test_why_shows_no_stacks_but_those_of_the_restart(
    tmp_path: Path, behind: str, words: str
) -> None:
    """Rather none than another's: that is said, and null as data."""
    log = tmp_path / "w_00.log"
    log.write_text(f"{DUMP}\n{behind}\n", "utf-8")
    world = World(records=(record(status=3),))
    world.processes_now[0] = replace(world.processes_now[0], stderr_log=str(log))

    world.run("why w:w_00")
    assert words in " ".join(world.text.split())
    assert "x.py" not in world.text

    world.lines.clear()
    world.run("why --json w:w_00")
    plain = json.loads(world.text)
    assert (plain["stacks"], plain["restarts"][0]["stacks"]) == (None, None)


@pytest.mark.parametrize("line", ["why w", "dump w:*"])
def test_commands_for_one_node_take_one(line: str) -> None:
    """With an example of how to name it."""
    with pytest.raises(StateError, match=r"2 nodes; name one, such as w:w_00"):
        World().run(line)


def test_history_is_of_names_and_of_a_time() -> None:
    """As data it is a list."""
    world = World(records=(record(), record(node="w:w_01")))

    assert world.run("history --json w:w_01") is Exit.OK
    assert [r["node"] for r in json.loads(world.text)] == ["w:w_01"]
    world.lines.clear()
    assert world.run("history --since 1s x") is Exit.FAILED
    assert world.lines == [
        "x: ERROR (no such group or node; there are w:w_00, w:w_01)",
        "no restarts on record",
    ]


def test_a_dump_shows_what_came_after_the_signal(tmp_path: Path) -> None:
    """Not the stacks that were there before."""
    log = tmp_path / "w_00.log"
    log.write_text(f"{DUMP} old\n", "utf-8")
    world = World()
    world.processes_now[0] = replace(world.processes_now[0], stderr_log=str(log))
    world.on_wait = [
        *[lambda: None] * 3,
        lambda: append(log, f"2026 INFO x\n{DUMP}\n  File y\n"),
    ]

    assert world.run("dump w:w_00") is Exit.OK
    assert world.done == [("signal", "w:w_00", "TTIN")]
    assert world.text == f"{DUMP}\n  File y"


def test_what_came_after_a_mark_survives_rotation(tmp_path: Path) -> None:
    """A file begun anew is new as a whole; what is read remotely slides."""
    path, remote = tmp_path / "x.log", ["a" * 600 + "\n"]
    path.write_text("old old old\n", "utf-8")
    local = NodeLog("w:w_00", str(path), lambda _: "")
    far = NodeLog("w:w_00", "/nowhere/x", lambda _: remote[0])
    marks = (local.mark(), far.mark())
    path.write_text("new\n", "utf-8")
    remote[0] = remote[0][50:] + "new\n"

    assert (local.since(marks[0]), far.since(marks[1])) == ("new\n", "new\n")
    assert local.tail() == "new\n"


def test_why_of_a_node_that_is_down_has_its_last_words(tmp_path: Path) -> None:
    """There an exit code and its reason are; of one that runs nothing is told."""
    log = tmp_path / "w_00.log"
    lines = [f"INFO line {number}" for number in range(20)]
    log.write_text("\n".join([*lines, "ERROR node_failed exit_code=5"]), "utf-8")
    world = World()
    world.processes_now[0] = replace(world.processes_now[0], stderr_log=str(log))

    world.run("why w:w_00")
    assert "the end of its log" not in world.text

    down = process(state="EXITED", pid=None)
    world.processes_now[0] = replace(down, stderr_log=str(log))
    world.lines.clear()
    world.run("why w:w_00")

    assert world.lines[-9] == "the end of its log:"
    assert world.lines[-1] == "ERROR node_failed exit_code=5"
    world.lines.clear()
    world.run("why --json w:w_00")
    assert len(json.loads(world.text)["last_words"]) == 8


def append(path: Path, text: str) -> None:
    """Add to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_a_dump_from_a_log_that_only_supervisord_can_read() -> None:
    """On another machine, or of another user."""
    world = World(log=f"{DUMP} old\n")
    world.processes_now[0] = replace(world.processes_now[0], stderr_log="/nowhere/x")
    world.on_wait = [lambda: setattr(world, "log", f"{DUMP} old\n{DUMP}\n")]

    assert world.run("dump w:w_00") is Exit.OK
    assert world.text == DUMP


@pytest.mark.parametrize(
    ("log", "words"), [("", "no stderr_logfile"), ("/nowhere/x", "no stacks in")]
)
def test_a_dump_that_does_not_come_is_an_error(log: str, words: str) -> None:
    """It says where it looked."""
    world = World()
    world.processes_now[0] = replace(world.processes_now[0], stderr_log=log)

    with pytest.raises(StateError, match=words):
        world.run("dump w:w_00")


def test_doctor_tells_by_its_exit_status() -> None:
    """1 for a warning, here; text or data."""
    world = World()

    assert world.run("doctor other.conf") == 1
    assert world.lines[0] == "WARNING other.conf"
    world.lines.clear()
    assert world.run("doctor --json") == 1
    assert json.loads(world.text)[0]["file"] == "own.conf"


# --- dlq ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("show orders.dlq", ["show", "orders.dlq"]),
        ("--node w_01 show orders.dlq", ["show", "orders.dlq"]),
        ("--json show orders.dlq", ["show", "orders.dlq", "--json"]),
        ("replay o --json --error 'a b'", ["replay", "o", "--json", "--error", "a b"]),
    ],
)
def test_dlq_is_handed_on_as_it_is_written(line: str, words: list[str]) -> None:
    """To a program with a Kafka client, with the place of the listener's status."""
    world = World()

    assert world.run(f"dlq {line}") is Exit.OK
    (ran,) = world.ran
    assert ran[: ran.index("dlq")] == [
        *("-m", "swarm_worker.admin", "--config", "/app/swarm.toml"),
        *("--parent", str(os.getpid()), "--status", "/run/status.json"),
    ]
    assert ran[ran.index("dlq") + 1 :] == words
    assert world.asked_for == ["w_01" if "--node" in line else None]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0, Exit.OK),
        (1, Exit.FAILED),
        (2, Exit.FAILED),
        (78, Exit.FAILED),
        (-9, Exit.FAILED),
    ],
)
def test_dlq_exits_with_0_only_when_all_is_done(code: int, status: Exit) -> None:
    """Whatever ended the program."""
    assert World(exit_code=code).run("dlq show orders.dlq") is status


def test_dlq_says_why_its_program_cannot_be_started() -> None:
    """And starts none."""
    world = World(program=StateError("nodes differ"))

    with pytest.raises(StateError, match="nodes differ"):
        world.run("dlq show orders.dlq")
    assert world.ran == []
