"""More or fewer nodes, with supervisord, nodes and time played by the test."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from swarm_event_listener.core.model.events import ProcessState
from swarm_event_listener.ctl.arguments import ArgumentsError
from swarm_event_listener.ctl.commands import parse
from swarm_event_listener.ctl.known import scaling
from swarm_event_listener.ctl.session import Exit
from swarm_event_listener.ctl.sources.node_configs import ExitPolicy
from swarm_event_listener.ctl.sources.state import ListenerStatus, StateError
from swarm_event_listener.storage import scale_writer
from swarm_worker.shared.scale import Scale, with_order
from swarm_worker.shared.settings import EXIT_SPARE
from swarm_worker.shared.state_files import scale_file
from swarm_worker.shared.state_files.scale_file import NAME
from tests.operators import FULL, LISTENER, World, node_status, process

PARTITIONS = 12


def config(name: str, **fields: Any) -> dict[str, Any]:
    """Return what supervisord tells of the configuration of a node."""
    group, _, own = name.partition(":")
    return {
        "group": group,
        "name": own,
        "inuse": True,
        "command": "swarm-worker a:b --state-dir .",
        "directory": "none",
        "exitcodes": [78, 5, 6],
        **fields,
    }


@dataclass
class Group(World):
    """A group whose nodes do what the number says, one step at each wait.

    Attributes:
        stubborn: Nodes that stay as they are.
        partitions_now: What a node that begins to work reports to hold.
        total: What all that work hold together; None where that changes with them.
    """

    stubborn: set[str] = field(default_factory=set)
    partitions_now: int = 2
    total: int | None = None
    next_pid: int = 100

    def add(self, name: str, state: str = "RUNNING", exit_code: int = 0) -> None:
        """Add a node."""
        pid = self._pid() if state == "RUNNING" else None
        self.processes_now.append(
            replace(process(name, state, pid), exit_code=exit_code)
        )
        self.nodes[name] = node_status(node=name, state=state, pid=pid, report=None)
        if pid:
            self.works(name)
        elif exit_code == EXIT_SPARE:
            self.nodes[name]["health"] = "spare"

    def works(self, name: str, **report: Any) -> None:
        """Let a node report."""
        held = {"assigned": self.partitions_now, "brokers_up": 1}
        told = {"state": "running", **held, **report}
        self.nodes[name] |= {"health": "healthy", "report": told, "known": True}

    def put(self, name: str, state: str, *, exit_code: int = 0) -> None:
        """Let a process change, and supervisord and the listener tell of it."""
        pid = self._pid() if state in {"STARTING", "RUNNING"} else None
        changed = replace(process(name, state, pid), exit_code=exit_code)
        self.processes_now = [
            changed if it.name == name else it for it in self.processes_now
        ]
        self.nodes[name] |= {"state": state, "pid": pid}
        if pid is not None:
            self.nodes[name]["report"] = None

    def status(self, directory: Path) -> ListenerStatus:
        """Return what the listener said at that moment."""
        told = super().status(directory)
        return replace(told, nodes=copy.deepcopy(told.nodes))

    def start(self, name: str) -> None:
        """Keep a start, and let the process be there."""
        super().start(name)
        self.put(name, "STARTING")

    def wait(self, seconds: float) -> None:
        """Let each node go one step."""
        super().wait(seconds)
        told_to_end = [name for kind, name, *of in self.done if of == ["TERM"]]
        for each in [it for it in self.processes_now if it.group in self.watched]:
            if each.name in self.stubborn:
                continue
            if each.state is ProcessState.STARTING:
                self.put(each.name, "RUNNING")
                self.works(each.name)
            elif each.name in told_to_end and each.pid is not None:
                self.done.remove(("signal", each.name, "TERM"))
                self.put(each.name, "EXITED", exit_code=EXIT_SPARE)
        self._share_out()

    def _share_out(self) -> None:
        """Let those that work hold all partitions, as evenly as can be."""
        names = [
            it.name for it in self.processes_now if it.group in self.watched and it.pid
        ]
        reports = [self.nodes[name].get("report") or {} for name in names]
        at_work = [report for report in reports if "assigned" in report]
        for number, report in enumerate(at_work):
            if self.total is not None:
                share, rest = divmod(self.total, len(at_work))
                report["assigned"] = share + (number < rest)

    @property
    def number(self) -> int:
        """What the file says of the group."""
        return scale_file.read(self.folder)["w"].nodes

    def _pid(self) -> int:
        self.next_pid += 1
        return self.next_pid


def stop_all(world: Group) -> None:
    """Let all nodes be stopped."""
    for name in world.nodes:
        world.put(name, "STOPPED")


def group(folder: Path, running: int = 2, most: int = 4, **fields: Any) -> Group:
    """Return a group of which so many nodes run, the rest are spares."""
    names = [f"w:w_{number:02d}" for number in range(most)]
    world = Group(
        folder=folder,
        processes_now=[LISTENER],
        nodes={},
        configs=[config(name, directory=str(folder)) for name in names],
        **fields,
    )
    for number, name in enumerate(names):
        if number < running:
            world.add(name)
        else:
            world.add(name, "EXITED", EXIT_SPARE)
    order(folder, running)
    world.total = running * world.partitions_now
    return world


def order(folder: Path, nodes: int, key: str = "w") -> None:
    """Write an order."""
    told = with_order(
        scale_file.text_in(folder), key, Scale(nodes=nodes, by="user ada", at="then")
    )
    (folder / NAME).write_text(told, "utf-8")


# --- what there is --------------------------------------------------------------------


def test_without_a_number_it_tells_how_many_there_are(tmp_path: Path) -> None:
    """Now, at least, at most, of how many partitions, and by whose order."""
    world = group(tmp_path)
    world.nodes["w:w_01"]["report"]["least_nodes"] = 2

    assert world.run("scale w") is Exit.OK
    assert world.lines == [
        "w: 2 of 4 nodes are to run (user ada, then)",
        "  running 2, least 2, most 4, partitions 4",
    ]
    assert world.run("scale w:* --json") is Exit.OK
    told = json.loads("\n".join(world.lines[2:]))
    assert (told["nodes"], told["running"], told["least"]) == (2, 2, 2)
    assert (told["most"], told["partitions"], told["by"]) == (4, 4, "user ada")
    assert world.done == []


def test_without_an_order_all_run_or_so_many_as_the_nodes_file_says(
    tmp_path: Path,
) -> None:
    """``start_nodes`` of ``[worker]``; in a status nothing is said of the first."""
    world = group(tmp_path)
    (tmp_path / NAME).unlink()
    world.run("scale w")
    assert world.lines[0] == "w: 4 of 4 nodes are to run"
    world.run("status")
    assert world.text.count("are to run") == 1

    (tmp_path / "swarm.toml").write_text("[worker]\nstart_nodes = 3\n", "utf-8")
    world.run("scale w")
    assert world.lines[-2] == "w: 3 of 4 nodes are to run"
    world.run("status")
    assert world.text.count("3 of 4 nodes are to run") == 2


def test_figures_that_nobody_knows_are_not_given(tmp_path: Path) -> None:
    """A listener that is silent tells of no partitions."""
    world = group(tmp_path, age_s=99.0)

    world.run("scale w")

    assert world.lines[1].endswith("partitions not known")


def test_partitions_that_nobody_knows_are_not_waited_for(tmp_path: Path) -> None:
    """Loops of the user's own tell of none."""
    world = group(tmp_path, running=3)
    for name in ("w:w_00", "w:w_01", "w:w_02"):
        world.works(name, assigned=0, brokers_up=None)
    world.total = None

    assert world.run("scale w 2") is Exit.OK
    assert world.lines[-1] == "w: 2 of 4 nodes run"


# --- up and down ----------------------------------------------------------------------


def test_up_starts_all_that_is_missing_together(tmp_path: Path) -> None:
    """After the number is written, and it waits until they work."""
    world = group(tmp_path)
    world.on_wait = [lambda: None]

    assert world.run("scale w 4 --why a sale --timeout 60") is Exit.OK
    assert world.done == [("start", "w:w_02"), ("start", "w:w_03")]
    assert world.lines == [
        "w:w_02: boots",
        "w:w_03: boots",
        "w:w_02: works, partitions: 1",
        "w:w_03: works, partitions: 1",
        "w: 4 of 4 nodes run, partitions: 4",
    ]
    written = scale_file.read(tmp_path)["w"]
    assert (written.nodes, written.why) == (4, "a sale")
    assert written.by.startswith("user ")
    assert written.at.startswith("20")


def test_down_lets_the_highest_leave_together_then_end(tmp_path: Path) -> None:
    """All leave before the first is told to end; none is stopped by supervisord."""
    world = group(tmp_path, running=4)
    sent: list[tuple[str, ...]] = []
    world.on_wait = [lambda: sent.extend(world.done)]

    assert world.run("scale w -2") is Exit.OK
    assert sent == [
        ("signal", "w:w_02", "USR1"),
        ("signal", "w:w_03", "USR1"),
        ("signal", "w:w_02", "TERM"),
        ("signal", "w:w_03", "TERM"),
    ]
    assert world.number == 2
    assert world.lines == [
        "w:w_02: to leave its group and end",
        "w:w_03: to leave its group and end",
        "w:w_02: a spare",
        "w:w_03: a spare",
        "w: 2 of 4 nodes run, partitions: 8",
    ]


def test_the_number_is_written_before_anything_is_asked_for(tmp_path: Path) -> None:
    """Whoever is started meanwhile has to read it."""
    world = group(tmp_path)
    numbers: list[int] = []

    def start(name: str) -> None:
        numbers.append(world.number)
        Group.start(world, name)

    world.start = start  # type: ignore[method-assign]
    world.run("scale w +1")

    assert numbers == [3]


def test_as_data_it_has_the_figures_and_each_node(tmp_path: Path) -> None:
    """And no line of progress."""
    world = group(tmp_path)

    assert world.run("scale w 3 --json") is Exit.OK
    told = json.loads(world.text)
    assert (told["nodes"], told["before"], told["running"]) == (3, 2, 3)
    assert [it["stage"] for it in told["results"]] == ["done"] * 4
    assert told["warnings"] == []


def test_more_nodes_than_partitions_is_a_warning(tmp_path: Path) -> None:
    """They stand by."""
    world = group(tmp_path, running=1, partitions_now=1)

    assert world.run("scale w 2") is Exit.OK
    assert world.lines[-1].startswith("warning: there are more nodes than partitions")


def test_it_waits_until_others_have_taken_over(tmp_path: Path) -> None:
    """While a group rebalances nobody holds some of the partitions."""
    world = group(tmp_path, running=4)
    world.total = None

    def take_over() -> None:
        world.total = 8

    world.on_wait = [lambda: None, lambda: None, take_over]

    assert world.run("scale w 2") is Exit.OK
    assert world.lines[-1] == "w: 2 of 4 nodes run, partitions: 8"
    assert world.on_wait == []


def test_a_group_that_shares_out_as_the_order_comes_is_waited_for(
    tmp_path: Path,
) -> None:
    """It holds nothing for a moment, as before: that is no want of partitions."""
    world = group(tmp_path, running=2, partitions_now=0)

    def share_out() -> None:
        world.total = 8

    world.on_wait = [lambda: None, lambda: None, share_out]

    assert world.run("scale w 2") is Exit.OK
    assert world.lines[-1] == "w: 2 of 4 nodes run, partitions: 8"


def test_partitions_that_nobody_takes_are_a_warning(tmp_path: Path) -> None:
    """They may wait for the end of a session: the nodes are as ordered."""
    world = group(tmp_path, running=4)
    world.total = None
    began_s = world.clock()

    assert world.run("scale w 2") is Exit.OK
    assert world.lines[-1] == (
        "warning: 4 partitions are held, 8 were before: see swarm status"
    )
    assert world.clock() - began_s < 25.0


def test_the_same_number_again_repeats_what_is_missing(tmp_path: Path) -> None:
    """After a command that did not come to its end."""
    world = group(tmp_path, running=1)
    order(tmp_path, 2)

    assert world.run("scale w 2") is Exit.OK
    assert world.done == [("start", "w:w_01")]


def test_a_command_that_does_not_wait_has_ordered_all(tmp_path: Path) -> None:
    """What is to be done by others is a failure at once."""
    world = group(tmp_path)

    assert world.run("scale w 4 --no-wait") is Exit.OK
    assert world.done == [("start", "w:w_02"), ("start", "w:w_03")]
    assert world.lines[-1] == (
        "w: 4 of 4 nodes are to run; not waited for, see swarm scale w"
    )
    stopped = group(tmp_path)
    stopped.put("w:w_00", "STOPPED")
    assert stopped.run("scale w 3 --no-wait") is Exit.FAILED


# --- what an operator did stays so ----------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda w: w.put("w:w_02", "STOPPED"), "stopped by an operator; supervisorctl"),
        (lambda w: w.put("w:w_02", "FATAL"), "FATAL: see its log"),
        (lambda w: w.nodes["w:w_02"].update(held=True), "held: not started; swarm rel"),
        (lambda w: w.put("w:w_02", "EXITED", exit_code=78), "EXITED: see its log"),
    ],
    ids=["stopped", "fatal", "held", "cannot work"],
)
def test_what_somebody_else_has_to_bring_back_is_named(
    tmp_path: Path, spoil: Any, told: str
) -> None:
    """It is not started, the others are, and the command does not wait for it."""
    world = group(tmp_path)
    spoil(world)

    assert world.run("scale w 4") is Exit.FAILED
    assert world.done == [("start", "w:w_03")]
    (line,) = [line for line in world.lines if line.startswith("w:w_02: ")]
    assert line.startswith(f"w:w_02: ERROR ({told}")
    assert world.lines[-1].startswith(
        "w: ERROR (4 of 4 nodes are to run, and 1 node is not as ordered; the number "
    )
    assert world.number == 4


def test_no_order_ends_a_held_node(tmp_path: Path) -> None:
    """It may stand in a debugger. One that is needed is no hindrance."""
    world = group(tmp_path, running=4)
    world.nodes["w:w_02"]["held"] = True

    assert world.run("scale w 2") is Exit.REFUSED
    assert world.done == []
    assert "w:w_02 is held by an operator, and would end: swarm release" in world.text
    assert world.run("scale w 3 --no-wait") is Exit.OK


def test_a_quiet_node_does_not_count_as_one_that_works(tmp_path: Path) -> None:
    """Somebody has said so."""
    world = group(tmp_path)
    world.works("w:w_00", state="quiet")

    assert world.run("scale w 3") is Exit.FAILED
    assert "w:w_00: ERROR (quiet, by an operator's command; swarm res" in world.text


def test_what_is_down_already_is_no_trouble(tmp_path: Path) -> None:
    """A node that is not needed may be down for whatever reason."""
    world = group(tmp_path, running=3)
    world.put("w:w_03", "STOPPED")

    assert world.run("scale w 2") is Exit.OK
    assert world.number == 2


# --- killed, or together with others --------------------------------------------------


class KilledError(BaseException):
    """KILL, as far as a test can be killed."""


@pytest.mark.parametrize(("running", "nodes"), [(4, 2), (1, 4)], ids=["down", "up"])
@pytest.mark.parametrize("step", range(6))
def test_a_command_that_is_killed_at_any_step_can_be_given_again(
    tmp_path: Path, running: int, nodes: int, step: int
) -> None:
    """The number holds from the moment on at which something was asked for."""
    world = group(tmp_path, running=running)
    steps = iter(range(step))

    def killed_or(act: Callable[..., None]) -> Callable[..., None]:
        def one(*of: Any) -> None:
            if next(steps, None) is None:
                raise KilledError
            act(*of)

        return one

    acts = ("signal", "start", "wait")
    for act in acts:
        setattr(world, act, killed_or(getattr(world, act)))
    with suppress(KilledError):
        world.run(f"scale w {nodes}")
    assert world.number == nodes
    for act in acts:
        delattr(world, act)

    assert world.run(f"scale w {nodes}") is Exit.OK
    up = [it.name for it in world.processes_now if it.pid and it.group == "w"]
    assert up == [f"w:w_{number:02d}" for number in range(nodes)]


def test_a_spare_that_was_about_to_end_is_started_once_it_has(tmp_path: Path) -> None:
    """It had read the number of before."""
    world = group(tmp_path, stubborn={"w:w_02"})
    world.put("w:w_02", "RUNNING")
    world.nodes["w:w_02"]["report"] = {"state": "booting", "spare": True}
    world.on_wait = [partial(world.put, "w:w_02", "EXITED", exit_code=EXIT_SPARE)]
    world.on_wait.append(world.stubborn.clear)

    assert world.run("scale w 3") is Exit.OK
    assert world.done == [("start", "w:w_02")]


# --- in time, or not ------------------------------------------------------------------


def test_what_is_being_restarted_is_waited_for(tmp_path: Path) -> None:
    """STOPPED for a moment, by the listener's hand; or as it has not told yet."""
    for told in ({"restart": {"phase": "down"}}, {"state": "RUNNING"}):
        world = group(tmp_path)
        world.put("w:w_00", "STOPPED")
        world.nodes["w:w_00"] |= told
        world.on_wait = [partial(world.put, "w:w_00", "STARTING")]

        assert world.run("scale w 3") is Exit.OK
        assert "w:w_00: STOPPED, to be started again" in world.text


def test_what_takes_too_long_is_named(tmp_path: Path) -> None:
    """With what keeps it from its work; the number holds."""
    world = group(tmp_path, stubborn={"w:w_02"})
    began_s = world.clock()

    assert world.run("scale w 3 --timeout 9") is Exit.FAILED
    assert world.lines[-2] == "w:w_02: ERROR (not within 9 s: boots)"
    assert world.lines[-1] == (
        "w: ERROR (3 of 4 nodes are to run, and 1 node is not as ordered; the number "
        "holds, and the listener goes on)"
    )
    assert 9.0 <= world.clock() - began_s < 10.0
    assert world.number == 3


def test_kafkas_reason_is_told(tmp_path: Path) -> None:
    """Of a node that no group lets in."""
    world = group(tmp_path, stubborn={"w:w_00"})
    world.works("w:w_00", not_joined="group orders: no strategy in common")

    assert world.run("scale w 3 --timeout 2") is Exit.FAILED
    assert "w:w_00: boots: group orders: no strategy in common" in world.text


def test_a_node_that_reads_another_number_is_started_once(tmp_path: Path) -> None:
    """And named: its command names another directory, perhaps."""
    world = group(tmp_path, stubborn={"w:w_02", "w:w_03"})
    world.on_wait = [partial(world.put, "w:w_02", "EXITED", exit_code=EXIT_SPARE)]

    assert world.run("scale w 4 --timeout 2") is Exit.FAILED
    assert world.done == [("start", "w:w_02"), ("start", "w:w_03")]
    assert "ERROR (started, and it ended as a spare again" in world.text


def test_supervisords_refusal_is_told(tmp_path: Path) -> None:
    """Where the program is gone, for one."""
    world = group(tmp_path, refusal="no file")

    assert world.run("scale w 3") is Exit.FAILED
    assert "w:w_02: ERROR (no file)" in world.text


def test_a_process_that_has_not_reported_is_told_later(tmp_path: Path) -> None:
    """It may not have its handlers yet."""
    world = group(tmp_path, running=3)
    report, world.nodes["w:w_02"]["report"] = world.nodes["w:w_02"]["report"], None
    world.on_wait = [lambda: None, lambda: world.nodes["w:w_02"].update(report=report)]

    assert world.run("scale w 2") is Exit.OK
    assert world.done == [("signal", "w:w_02", "USR1")]
    assert world.on_wait == []


def test_a_process_is_told_once(tmp_path: Path) -> None:
    """However long it takes: a second TERM would say that it is to hurry."""
    world = group(tmp_path, running=3, stubborn={"w:w_02"})

    assert world.run("scale w 2 --timeout 3") is Exit.FAILED
    assert world.done == [
        ("signal", "w:w_02", "USR1"),
        ("signal", "w:w_02", "TERM"),
    ]


def test_one_that_says_that_it_is_a_spare_is_told_nothing(tmp_path: Path) -> None:
    """It has read the number, and is about to end."""
    world = group(tmp_path, running=3)
    world.nodes["w:w_02"]["report"] = {"state": "booting", "spare": True}
    world.on_wait = [partial(world.put, "w:w_02", "EXITED", exit_code=EXIT_SPARE)]

    assert world.run("scale w 2") is Exit.OK
    assert world.done == []


def test_one_that_ends_meanwhile_is_no_failure(tmp_path: Path) -> None:
    """supervisord says that it does not run; the next look tells."""
    world = group(tmp_path, running=3)

    def signal(name: str, signal_name: str) -> None:
        if signal_name == "TERM":
            world.refusal = "not running"
            world.put(name, "EXITED", exit_code=EXIT_SPARE)
        World.signal(world, name, signal_name)

    world.signal = signal  # type: ignore[method-assign]

    assert world.run("scale w 2") is Exit.OK


def test_ctrl_c_takes_nothing_back(tmp_path: Path) -> None:
    """It says so, and what goes on."""
    world = group(tmp_path, running=4, stubborn={"w:w_03"})

    def stop_it() -> None:
        raise KeyboardInterrupt

    world.on_wait = [stop_it]

    assert world.run("scale w 3") is Exit.FAILED
    assert world.lines[-1] == (
        "w: 3 nodes are to run: the number holds, and the listener goes on; see swarm "
        "scale w"
    )
    assert world.number == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: order(folder, 4), "overtaken: user ada has ordered 4 nodes"),
        (lambda folder: (folder / NAME).unlink(), "the order is gone"),
        (lambda folder: (folder / NAME).write_text("{"), "expected JSON"),
    ],
    ids=["another", "none", "broken"],
)
def test_an_order_that_holds_no_longer_is_not_waited_for(
    tmp_path: Path, change: Any, told: str
) -> None:
    """Somebody else's word is the last one."""
    world = group(tmp_path, stubborn={"w:w_02"})
    world.on_wait = [lambda: change(tmp_path)]

    with pytest.raises(StateError, match=told):
        world.run("scale w 3")


def test_without_a_listener_it_does_its_part_and_says_what_is_not_known(
    tmp_path: Path,
) -> None:
    """What was seen of the nodes that still run is believed."""
    world = group(tmp_path, age_s=99.0)
    world.processes_now.remove(LISTENER)

    assert world.run("scale w 3 --timeout 2") is Exit.FAILED
    assert world.done == [("start", "w:w_02")]
    assert "warning: the listener, pid 1, runs no longer" in world.lines[0]
    assert "w:w_02: ERROR (not within 2 s: runs; whether it works is not" in world.text

    down = group(tmp_path, running=3, age_s=99.0)
    assert down.run("scale w 2 --timeout 2") is Exit.FAILED
    assert "w:w_02: a spare" in down.lines


# --- refused --------------------------------------------------------------------------


ROLL = {
    "group": "w",
    "is_over": False,
    "done": [],
    "turned": [],
    "waiting": ["w:w_00"],
    "is_cancelled": False,
    "failure": "",
}
NEEDED = (
    "expected at least 2 nodes, since nodes= or partitions= of the app name node 1, "
    "got 1"
)
EXIT_CODES = (
    "a node that is not needed exits with 6, and would be started again at once: "
    "expected 6 among exitcodes, got 78,5: write exitcodes=78,5,6 in [program:w], then "
    "supervisorctl update"
)


@pytest.mark.parametrize(
    ("line", "spoil", "told"),
    [
        (
            "w 5",
            lambda _w: None,
            "expected at most 4 nodes, numprocs of [program:w], g",
        ),
        ("w +3", lambda _w: None, "expected at most 4 nodes"),
        ("w 0", lambda _w: None, "expected at least 1 node, got 0"),
        ("w -9", lambda _w: None, "expected at least 1 node, got -7"),
        (
            "w 1",
            lambda w: w.works("w:w_01", least_nodes=2),
            NEEDED,
        ),
        (
            "w 3",
            lambda w: w.configs[0].update(exitcodes=[78, 5]),
            EXIT_CODES,
        ),
        (
            "w 3",
            lambda w: w.rolls.update(w=ROLL),
            "a roll is under way: 0 of 1 done; next is w_00; swarm roll w --cancel",
        ),
        (
            "w auto",
            lambda _w: None,
            "autoscale is off: it needs autoscale = true in [l",
        ),
        (f"w 3 --why {'x' * 201}", lambda _w: None, "at most 200 characters, got 201"),
        ("v 3", lambda _w: None, "no group that the listener watches; there are w"),
        ("queue 3", lambda _w: None, "no group that the listener watches; there are w"),
        ("w:x 3", lambda _w: None, "no such program: w:w"),
        ("w 1", lambda w: setattr(w, "caught", False), "w:w_01 has no handler for SIG"),
        ("w 3", lambda w: (w.folder / NAME).write_text("no"), "expected JSON; it is n"),
        ("w", lambda w: (w.folder / NAME).write_text("no"), "mend or remove it)"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_done(
    tmp_path: Path, line: str, spoil: Any, told: str
) -> None:
    """With what was expected, what came, and what to change."""
    world = group(tmp_path)
    spoil(world)
    before = (tmp_path / NAME).read_bytes()

    assert world.run(f"scale {line}") is Exit.REFUSED
    (answer,) = world.lines
    assert answer.startswith(f"{line.split(maxsplit=1)[0]}: ERROR (")
    assert told in answer
    assert world.done == []
    assert (tmp_path / NAME).read_bytes() == before


def test_where_nothing_was_ever_told_nothing_is_ordered(tmp_path: Path) -> None:
    """What the app needs is not known before a listener has heard it."""
    world = group(tmp_path)

    def nothing(_directory: Path) -> Any:
        raise StateError("no status.json: the listener has not run yet")

    world.status = nothing  # type: ignore[assignment, method-assign]

    assert world.run("scale w 3") is Exit.REFUSED
    assert world.lines == ["w: ERROR (no status.json: the listener has not run yet)"]


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """It would be ours, and nodes of another user could not write there."""
    world = group(tmp_path)
    (tmp_path / NAME).unlink()
    for each in world.configs:
        each["command"] = "swarm-worker a:b --state-dir none"

    assert world.run("scale w 3") is Exit.REFUSED
    assert "there is no" in world.text
    assert "the number is as it was" in world.text
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "line", ["scale", "scale w six", "scale w +", "scale w 1.5", "scale w 2 3"]
)
def test_what_is_no_number_is_not_understood(line: str) -> None:
    """It says what is."""
    with pytest.raises(ArgumentsError):
        parse(line)


def test_what_supervisords_file_alone_tells_counts(tmp_path: Path) -> None:
    """supervisord does not tell how it restarts; where nobody does, it is tried."""
    program = scaling.program_named("w", group(tmp_path).session().look())
    for word, is_refused in (("true", True), ("false", True), ("unexpected", False)):
        policy = ExitPolicy(section="program:x", autorestart=word)
        why = scaling.refusal(program, 3, policy)
        assert bool(why) is is_refused
        assert (
            f"got autorestart={word}: write autorestart=unexpe" in why
        ) is is_refused
    assert scaling.refusal(program, 3, ExitPolicy(section="program:x")) == ""


def test_the_id_that_a_node_reports_counts(tmp_path: Path) -> None:
    """Whatever its name ends with."""
    world = group(tmp_path)
    world.nodes["w:w_00"]["report"]["node"] = 1
    world.nodes["w:w_01"]["report"]["node"] = 0

    assert world.run("scale w 1") is Exit.OK
    assert world.done == [("signal", "w:w_00", "USR1")]


# --- several programs -----------------------------------------------------------------


def test_of_several_programs_one_is_named(tmp_path: Path) -> None:
    """It is scaled alone, and the others keep what is said of the whole group."""
    world = group(tmp_path)
    for number in range(3):
        world.add(f"w:late_{number}")
        world.configs.append(config(f"w:late_{number}", directory=str(tmp_path)))
    world.total = None

    assert world.run("scale w 1") is Exit.REFUSED
    assert world.lines[-1] == "w: ERROR (of 2 programs; name one: w:w, w:late)"
    assert world.run("scale w:late 1") is Exit.OK
    assert "w:late: 1 of 3 nodes run, partitions: 2" in world.lines
    written = scale_file.read(tmp_path)
    assert {key: it.nodes for key, it in written.items()} == {"w": 2, "w:late": 1}
    assert world.run("status") is Exit.OK
    assert "2 of 4 nodes are to run (user ada, then); 1 of 3 nodes are t" in world.text


# --- what others make of spares -------------------------------------------------------


@pytest.mark.parametrize("command", ["quiet", "resume", "hold", "retire"])
def test_a_spare_is_left_out_unless_it_is_named(tmp_path: Path, command: str) -> None:
    """``all`` and a group's name mean the nodes that are at work."""
    for name in ("all", "w", "w:*"):
        world = group(tmp_path, age_s=1.0)
        for node in ("w:w_00", "w:w_01"):
            world.nodes[node]["held"] = command == "hold"
        world.on_wait = [partial(stop_all, world)]

        assert world.run(f"{command} {name}") is Exit.OK
        assert [line.partition(": ")[0] for line in world.lines] == ["w:w_00", "w:w_01"]


@pytest.mark.parametrize("command", ["quiet w_02", "retire w:w_02", "resume w:w_02"])
def test_a_spare_that_is_named_is_told_of(tmp_path: Path, command: str) -> None:
    """It gets no signal."""
    world = group(tmp_path)

    assert world.run(command) is Exit.FAILED
    assert world.lines == [
        "w:w_02: ERROR (a spare: not needed, and down; swarm scale w tells more)"
    ]


def test_a_spare_that_is_held_is_released_with_all(tmp_path: Path) -> None:
    """Whoever released the group would wonder why it does not start."""
    world = group(tmp_path)
    world.nodes["w:w_02"]["held"] = True
    world.on_wait = [lambda: world.nodes["w:w_02"].update(held=False)]

    assert world.run("release all") is Exit.OK
    assert "w:w_02: released" in world.text
    assert "w:w_03" not in world.text


def test_a_spare_is_as_good_as_well(tmp_path: Path) -> None:
    """For a monitoring check; and the listener need not live to tell."""
    world = group(tmp_path)

    assert world.run("status") is Exit.OK
    assert world.lines[:2] == [
        "w: 2 healthy, 2 spare",
        "  2 of 4 nodes are to run (user ada, then)",
    ]
    world.age_s = 99.0
    assert world.run("status") is Exit.UNKNOWN
    assert "2 unknown, 2 spare" in world.text


def test_a_spare_that_the_listener_has_not_seen_end_is_one(tmp_path: Path) -> None:
    """supervisord is the first to know."""
    world = group(tmp_path)
    for name in ("w:w_02", "w:w_03"):
        world.nodes[name] |= {"state": "RUNNING", "pid": 1, "health": "healthy"}

    assert world.run("status --json") is Exit.OK
    told = json.loads(world.text)
    assert [it["health"] for it in told["nodes"]] == ["healthy"] * 2 + ["spare"] * 2
    assert told["scale"]["w"]["nodes"] == 2


def test_a_number_that_cannot_be_read_is_a_warning_of_the_status(
    tmp_path: Path,
) -> None:
    """The nodes are as they are."""
    world = group(tmp_path, running=4)
    (tmp_path / NAME).write_text("no", "utf-8")

    assert world.run("status") is Exit.OK
    assert world.lines[0].startswith("warning: how many nodes of w are to run is not k")


# --- full, forbidden, locked ----------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device"), "No space left on device; the number"),
        (OSError(30, "Read-only file system"), "Read-only file system; the number is"),
        (PermissionError(13, "Permission denied"), "Permission denied; run supervisor"),
        (scale_writer.LockedError("another command has x locked"), "has x locked; the"),
    ],
)
def test_what_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, told: str
) -> None:
    """And nothing is started."""
    world = group(tmp_path)

    def put(*_: object) -> None:
        raise error

    monkeypatch.setattr(scale_writer, "put", put)

    assert world.run("scale w 3") is Exit.REFUSED
    assert f"cannot write {tmp_path / NAME}: " in world.text
    assert told in world.text
    assert world.done == []


def test_a_disk_that_is_full_for_the_listener_is_not_for_the_order(
    tmp_path: Path,
) -> None:
    """It confirms nothing then; the number holds."""
    world = group(tmp_path, write_error=FULL, age_s=99.0)

    assert world.run("scale w 3 --timeout 1") is Exit.FAILED
    assert FULL in world.lines[0]
    assert world.number == 3
