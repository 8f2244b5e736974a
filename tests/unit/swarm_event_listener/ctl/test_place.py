"""Where a listener works."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm_event_listener.ctl.sources.place import Place, Running, place_of
from swarm_event_listener.ctl.sources.state import (
    StateError,
)


def running(folder: Path, **commands: str) -> Running:
    """Return what a supervisord tells that has these listeners, and a node."""
    nodes = _config("w", "swarm-worker a:b")
    listeners = (_config(name, command) for name, command in commands.items())
    return Running(configs=[nodes, *listeners], folder=folder)


def _config(group: str, command: str, **more: object) -> dict[str, object]:
    """Return what supervisord tells of a process's configuration."""
    given = {"group": group, "command": command, "directory": "none", "inuse": True}
    return {**given, **more}


@pytest.mark.parametrize(
    ("flags", "directory", "groups"),
    [
        ("", "state", ("w",)),
        (" --state-dir other", "other", ("w",)),
        (" --groups a,b", "state", ("a", "b")),
    ],
)
def test_the_listeners_place_is_that_of_its_command(
    tmp_path: Path, flags: str, directory: str, groups: tuple[str, ...]
) -> None:
    """Its file and flags, as supervisord tells them, whatever supervisorctl reads."""
    (tmp_path / "own.toml").write_text(
        '[listener]\ngroups = ["w"]\nstate_dir = "state"\n', "utf-8"
    )
    command = f"swarm-event-listener --config own.toml{flags}"

    place = Place(directory=tmp_path / directory, groups=groups, pool="l")
    assert place_of(None, {}, running(tmp_path, l=command)) == place
    in_folder = _config("l", command, directory=str(tmp_path))
    assert place_of(None, {}, Running(configs=[in_folder])) == place


def test_what_a_file_adds_to_the_listeners_environment_counts(tmp_path: Path) -> None:
    """supervisord does not tell that."""
    (tmp_path / "swarm.toml").write_text('[listener]\nstate_dir = "${X}"\n', "utf-8")
    conf = tmp_path / "supervisord.conf"
    conf.write_text(
        "[eventlistener:l]\ncommand=swarm-event-listener --state-dir old\n"
        'environment=X="state"\n',
        "utf-8",
    )
    told = running(tmp_path, l="swarm-event-listener")

    assert place_of(conf, {"X": "x"}, told).directory == tmp_path / "state"
    assert place_of(None, {"X": "x"}, told).directory == tmp_path / "x"
    conf.write_text("[eventlistener:l\n", "utf-8")
    assert place_of(conf, {"X": "x"}, told).directory == tmp_path / "x"


def test_a_place_can_be_told(tmp_path: Path) -> None:
    """By keys of the plugin; the pool is the one that works there, if that is plain."""
    toml = tmp_path / "swarm.toml"
    toml.write_text('[listener]\ngroups = ["w"]\n', "utf-8")
    one = running(tmp_path, l="swarm-event-listener")
    two = running(
        tmp_path, l="swarm-event-listener", m="swarm-event-listener --config m"
    )

    assert place_of(None, {}, Running(), config=str(toml)).directory == tmp_path / "run"
    assert place_of(None, {}, Running(), state_dir="/x") == Place(directory=Path("/x"))
    assert place_of(None, {}, one, config=str(toml)).pool == "l"
    assert place_of(None, {}, one, state_dir="/x").pool == "l"
    assert place_of(None, {}, two, config=str(toml)).pool == "l"
    assert place_of(None, {}, two, state_dir="/x").pool == ""  # whose it is, who knows


def test_a_mistake_elsewhere_in_the_file_does_not_blind_us(tmp_path: Path) -> None:
    """The listener refuses to start with it; status and why are wanted then."""
    toml = tmp_path / "swarm.toml"
    toml.write_text('[listener]\ngroups = ["w"]\npolling_tll = 5\n', "utf-8")
    odd = tmp_path / "odd.toml"
    odd.write_text("listener = 3\n", "utf-8")

    assert place_of(None, {}, Running(), config=str(toml)) == Place(
        directory=tmp_path / "run", groups=("w",)
    )
    with pytest.raises(StateError, match="expected a table"):
        place_of(None, {}, Running(), config=str(odd))


@pytest.mark.parametrize(
    "text", ["[listener\n", "listener = 3\n", '[listener]\nstate_dir = "${NO}"\n', None]
)
def test_where_the_file_cannot_be_read_the_listeners_own_files_tell(
    tmp_path: Path, text: str | None
) -> None:
    """Those of a flag, or where they are by default; with the fault of the file."""
    if text:
        (tmp_path / "swarm.toml").write_text(text, "utf-8")
    for name in ("run", "flag"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "status.json").touch()
    command = "swarm-event-listener --groups w,v"
    in_flag = running(tmp_path, x=f"{command} --state-dir flag")

    place = place_of(None, {}, running(tmp_path, x=command))
    assert (place.directory, place.groups) == (tmp_path / "run", ("w", "v"))
    assert place.warning.endswith(
        f"what the listener has written to {tmp_path / 'run'}"
    )
    assert place_of(None, {}, in_flag).directory == tmp_path / "flag"
    (tmp_path / "flag" / "status.json").unlink()
    with pytest.raises(StateError, match=r"swarm\.toml, or its state_dir"):
        place_of(None, {}, in_flag)


@pytest.mark.parametrize(
    "configs",
    [(), (_config("l", "swarm-event-listener", inuse=False), _config("w", "other"))],
)
def test_a_place_that_cannot_be_found_says_what_to_set(
    configs: tuple[dict[str, object], ...],
) -> None:
    """The key of the plugin. A listener that is not in use yet has written nothing."""
    with pytest.raises(StateError, match=r"no \[eventlistener:x\]") as caught:
        place_of(None, {}, Running(configs=configs))
    assert "set config of [ctlplugin:swarm]" in str(caught.value)
