"""The shipped configuration says what is true, and is shipped."""

import configparser
import fnmatch
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from supervisor.options import ServerOptions

from swarm_worker.echo_conf import both, conf_directory, main, text
from swarm_worker.shared.settings import LISTENER, RULES, WORKER, Key
from swarm_worker.shared.swarm_toml import load

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Shown with a value for an example, since the default is another setting's, the
# host's, or none.
EXAMPLES = {
    "start_nodes",
    "instance_prefix",
    "memory_limit",
    "consuming_ttl",
    "polling_ttl",
    "stability_ttl",
    "max_unavailable",
    "metrics",
}


def commented(section: str) -> dict[str, object]:
    """Return the values in the commented lines of a section of swarm.toml."""
    lines = (conf_directory() / "swarm.toml").read_text().splitlines()
    begin = lines.index(f"[{section}]")
    found: dict[str, object] = {}
    for line in lines[begin + 1 :]:
        if line.startswith(("[", "# [")):
            break
        if re.match(r"# [a-z_]+ = ", line):
            found |= tomllib.loads(line.removeprefix("# "))
    return found


@pytest.mark.parametrize(("section", "keys"), [("worker", WORKER), ("listener", RULES)])
def test_commented_lines_show_the_defaults(
    section: str, keys: Mapping[str, Key]
) -> None:
    """What a line says when it is uncommented is what holds while it is not."""
    shown = commented(section)

    assert shown.keys() <= {**LISTENER, **keys}.keys()
    for name, value in shown.items():
        key = {**LISTENER, **keys}[name]
        if name not in EXAMPLES:
            assert key.read(value) == key.default, name
        else:
            key.read(value)


@pytest.mark.parametrize(
    ("section", "keys"), [("worker", WORKER), ("listener", LISTENER)]
)
def test_every_setting_is_shown(section: str, keys: Mapping[str, Key]) -> None:
    """A setting that is not there cannot be found by an operator."""
    written = load(conf_directory() / "swarm.toml").tables.get(section, {})

    missing = keys.keys() - commented(section).keys() - written.keys()
    assert missing <= {"group"}  # shown as a section


@pytest.mark.parametrize("name", ["supervisord.conf", "demo/supervisord.conf"])
def test_no_section_and_no_option_stands_twice(name: str) -> None:
    """supervisord takes the last one and says nothing."""
    strict = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    strict.read_string((conf_directory() / name).read_text())

    assert strict.sections()


def test_each_room_is_part_of_what_is_installed() -> None:
    """An editable installation, which all tests run on, has it anyway."""
    rooms = {
        ".".join(init.parent.relative_to(ROOT).parts)
        for program in ("swarm_worker", "swarm_event_listener")
        for init in (ROOT / program).rglob("__init__.py")
    }
    packages = PROJECT["tool"]["setuptools"]["packages"]

    assert len(rooms) > 2
    assert {each for each in packages if "conf" not in each.split(".")} == rooms


def test_each_directory_of_conf_is_part_of_the_package() -> None:
    """Where files are added to conf/, they are to be found after pip install."""
    packages = PROJECT["tool"]["setuptools"]["packages"]
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    files = [path for path in (ROOT / "conf").rglob("*") if path.is_file()]
    shipped = [path for path in files if not _is_left_by_a_run(path)]

    assert shipped
    for path in shipped:
        folder = path.parent.relative_to(ROOT)
        assert ".".join(("swarm_worker", *folder.parts)) in packages
        assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns), path


def _is_left_by_a_run(path: Path) -> bool:
    ignored = (ROOT / "conf" / ".gitignore").read_text().split()
    names = (path.name, f"{path.parent.name}/")
    return path.name == ".gitignore" or any(
        fnmatch.fnmatch(name, pattern) for name in names for pattern in ignored
    )


def test_what_is_echoed_finds_the_programs_of_this_installation() -> None:
    """Anywhere, without a virtual environment beside it or an activated one."""
    folder = Path(sys.executable).parent

    assert f'environment=PATH="{folder}:/usr/local/sbin:' in text("supervisord")
    odd = text("supervisord", programs=Path("/100%/bin"))
    assert 'environment=PATH="/100%%/bin:/usr/local/sbin:' in odd


@pytest.mark.parametrize(
    "name", ["echoed", "supervisord.conf", "demo/supervisord.conf"]
)
def test_a_reread_of_what_is_shipped_changes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each ``supervisorctl update`` would restart every program."""
    monkeypatch.setenv("SWARM_DEMO_PYTHON", sys.executable)
    file = tmp_path / "supervisord.conf"
    shipped = conf_directory() / name
    file.write_text(
        text("supervisord") if name == "echoed" else shipped.read_text(), "utf-8"
    )
    options: Any = cast("Any", ServerOptions)()
    options.realize(["-c", str(file)])
    groups = options.process_group_configs
    options.process_config(do_usage=False)  # what reread does

    assert options.process_group_configs is not groups
    assert options.process_group_configs == groups


def test_the_toml_is_echoed_as_it_is_shipped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It needs nothing of the installation."""
    assert main(["toml"]) == 0
    assert capsys.readouterr().out == (conf_directory() / "swarm.toml").read_text()


def test_both_are_echoed_under_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    """In one stream, yet clearly apart, each mark a comment of its file."""
    assert main([]) == 0
    out = capsys.readouterr().out

    assert out == both()
    assert out.startswith("; ---------- supervisord.conf ----------\n")
    _, _, toml = out.partition("\n# ---------- swarm.toml ----------\n")
    assert tomllib.loads(toml)["listener"]["groups"] == ["swarm_worker"]


def test_help_says_how_to_begin(capsys: pytest.CaptureFixture[str]) -> None:
    """The next three commands are there to be copied."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])

    assert ended.value.code == 0
    assert "echo_swarm_conf toml > swarm.toml" in capsys.readouterr().out
