"""An app that cannot be imported: for good, or while a deploy is under way."""

from __future__ import annotations

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
