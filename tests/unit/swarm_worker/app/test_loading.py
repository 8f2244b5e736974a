"""An app that cannot be imported: for good, or while a deploy is under way."""

from __future__ import annotations

import _thread
import queue
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm_worker.app.app import App
from swarm_worker.app.loading import load_app
from swarm_worker.shared.settings import ConfigError, PassingError

APP = "from swarm_worker import App\napp = App(group='g')\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory whose modules are forgotten afterwards."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_what_is_there_is_given(folder: Path) -> None:
    """From the working directory."""
    (folder / "shop_whole.py").write_text(APP)

    assert isinstance(load_app("shop_whole:app"), App)


def test_a_module_that_is_away_or_empty_may_come(folder: Path) -> None:
    """As in a deploy that replaces a file, or a folder file by file."""
    (folder / "shop_empty.py").write_text("")
    (folder / "shop_folder").mkdir()  # without __init__.py so far
    (folder / "shop_package").mkdir()
    (folder / "shop_package" / "__init__.py").write_text("")

    for path in ("shop_away", "shop_empty", "shop_folder", "shop_package.orders"):
        with pytest.raises(PassingError, match="shop_"):
            load_app(f"{path}:app")


def test_a_module_that_is_there_and_has_no_such_app_is_a_mistake(folder: Path) -> None:
    """It was read whole."""
    (folder / "shop_other.py").write_text(APP)

    for path in ("shop_other:shop", "shop_other:App", "shop_other"):
        with pytest.raises(ConfigError) as refused:
            load_app(path)
        assert not isinstance(refused.value, PassingError)


# As gevent and eventlet do; what they put there wakes no thread.
PATCH = """
import {module}
def green(real={module}.{name}):
    return real()
{module}.{name} = green
"""


@pytest.mark.parametrize("rest", [APP, "import nothing_of_that_name\n", "1 / 0\n"])
@pytest.mark.parametrize(
    ("module", "name"), [("_thread", "allocate_lock"), ("queue", "SimpleQueue")]
)
def test_greenlets_in_the_place_of_threads_are_refused_by_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, rest: str
) -> None:
    """Such a node would look well and call no handler; the import may fail of it."""
    for replaced in ((_thread, "allocate_lock"), (queue, "SimpleQueue")):
        monkeypatch.setattr(*replaced, getattr(*replaced))  # put back afterwards
    (folder / "shop_green.py").write_text(PATCH.format(module=module, name=name) + rest)

    with pytest.raises(ConfigError, match=rf"{module}\.{name} by that of shop_green"):
        load_app("shop_green:app")
