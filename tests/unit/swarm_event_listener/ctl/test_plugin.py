"""The plugin in the shell of supervisorctl."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from swarm_event_listener.supervisorctl import SwarmPlugin, make_ctl


@dataclass
class Options:
    """What supervisorctl knows."""

    here: str = "/etc"
    configfile: str | None = None
    plugins: list[object] = field(default_factory=list)
    serverurl: str = "unix:///x"


@dataclass
class Controller:
    """supervisorctl, as far as a plugin sees it."""

    options: Options = field(default_factory=Options)
    exitstatus: int = 0
    lines: list[str] = field(default_factory=list)
    is_up: bool = True

    def output(self, text: str) -> None:
        """Keep what is shown."""
        self.lines.append(text)

    def upcheck(self) -> bool:
        """Return whether supervisord answers; say if not."""
        if not self.is_up:
            self.exitstatus = 7
            self.output("unix:///x no such file")
        return self.is_up

    def complete(self, text: str, state: int, _line: str | None = None) -> str | None:
        """Complete supervisorctl's own."""
        return f"own {text}" if state == 0 else None

    def _complete_processes(self, text: str) -> list[str]:
        return [name for name in ("w:w_00 ", "w:* ") if name.startswith(text)]


def plugin(**keys: str) -> tuple[SwarmPlugin, Controller]:
    """Return the plugin and its supervisorctl."""
    controller = Controller()
    return make_ctl(controller, **keys), controller


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("help", 0, "swarm COMMAND"),
        ("status -h", 0, "usage: swarm status"),
        ("nonsense", 2, "Error: no command 'nonsense'"),
        ("doctor", 1, "name supervisord's configuration"),
    ],
)
def test_the_plugin_answers_and_sets_the_exit_status(
    line: str, status: int, words: str
) -> None:
    """Nothing is raised into supervisorctl."""
    made, controller = plugin()

    made.do_swarm(line)

    assert controller.exitstatus == status
    assert words in controller.lines[0]


@pytest.mark.parametrize(("line", "status"), [("status", 4), ("quiet w", 7)])
def test_without_supervisord_its_own_words_stand(line: str, status: int) -> None:
    """As with supervisorctl's own commands: a status is then unknown."""
    made, controller = plugin()
    controller.is_up = False

    made.do_swarm(line)

    assert controller.exitstatus == status
    assert controller.lines == ["unix:///x no such file"]


@pytest.mark.parametrize(
    ("mode", "line", "status"), [(0o770, "status", 4), (0o700, "quiet w", 1)]
)
def test_who_may_open_supervisords_socket_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    line: str,
    status: int,
) -> None:
    """Its owner, and its group where it may."""

    def forbidden() -> None:
        raise PermissionError

    path = tmp_path / "socket"
    path.touch(mode)
    path.chmod(mode)
    made, controller = plugin()
    controller.options.serverurl = f"unix://{path}"
    monkeypatch.setattr(controller, "upcheck", forbidden)

    made.do_swarm(line)

    (told,) = controller.lines
    assert told.startswith(f"Error: no permission to open {path}: run supervisorctl as")
    assert ("member of group" in told) is (mode == 0o770)
    assert controller.exitstatus == status


def test_a_key_that_is_none_is_said_by_the_command_only() -> None:
    """supervisorctl goes on for all its other commands."""
    made, controller = plugin(confg="x")

    made.do_swarm("status")

    (line,) = controller.lines
    assert line.startswith("Error: [ctlplugin:swarm] knows no confg; it takes config,")


def test_paths_of_keys_are_relative_to_supervisorctls_file() -> None:
    """Also in the form that supervisorctl leaves of %%(here)s."""
    made, _ = plugin(config="swarm.toml", state_dir="%(here)s/run", supervisord="/a")

    assert made._keys == {
        "config": "/etc/swarm.toml",
        "state_dir": "/etc/run",
        "supervisord": "/a",
    }


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("st", "swarm st", "status "),
        ("", "swarm ", "status "),
        ("w:", "swarm quiet w:", "w:w_00 "),
        ("x", "swarm x", None),
        ("sw", "sw", "own sw"),
        ("w", "stop w", "own w"),
    ],
)
def test_tab_completes_commands_and_names(
    text: str, line: str, found: str | None
) -> None:
    """And leaves supervisorctl's own as they are."""
    _, controller = plugin()

    assert controller.complete(text, 0, line) == found
