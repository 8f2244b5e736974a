"""Importing the user's app."""

from __future__ import annotations

import _thread
import queue
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final

from swarm_worker.app.app import App
from swarm_worker.shared.settings import ConfigError, PassingError, nearest

# Of what gevent and eventlet replace, that by which the node's threads wait. Not
# `start_new_thread`: debuggers replace it with one that starts threads all the same.
_WAITED_BY: Final = ((_thread, "allocate_lock"), (queue, "SimpleQueue"))
_REAL: Final = tuple(getattr(module, name) for module, name in _WAITED_BY)


def load_app(path: str) -> App:
    """Import ``module:attribute``, looked up in the working directory first.

    What the app's own import raises is not caught.

    Raises:
        PassingError: There is no such module, or nothing in it: it may be a deploy
            that is half done.
        ConfigError: There is no such attribute, or it is no `App`; or the app has put
            greenlets in the place of threads.
    """
    module_name, colon, attributes = path.partition(":")
    if not (module_name and colon and attributes):
        raise ConfigError(
            f"expected APP as module:attribute, such as orders:app, got {path!r}"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with _real_threads():
        module = _module(module_name)
    found: object = module
    for name in attributes.split("."):
        if not hasattr(found, name):
            refusal = PassingError if _is_empty(module) else ConfigError
            raise refusal(
                f"module {module_name!r} has no attribute {attributes!r}"
                f"{nearest(name, _apps(module))}{_known(module)}"
            )
        found = getattr(found, name)
    if not isinstance(found, App):
        raise ConfigError(
            f"expected {path} to be a swarm_worker.App, got {type(found).__name__}"
            f"{_known(module)}"
        )
    return found


@contextmanager
def _real_threads() -> Iterator[None]:
    """Refuse greenlets, also where the import fails of them.

    A node with them polls and looks well, and no handler is ever called.
    """
    try:
        yield
    except Exception:
        _refuse_greenlets()
        raise
    _refuse_greenlets()


def _refuse_greenlets() -> None:
    for (module, name), real in zip(_WAITED_BY, _REAL, strict=True):
        now = getattr(module, name)
        if now is not real:
            raise ConfigError(
                f"the app's import has replaced Python's {module.__name__}.{name} by "
                f"that of {getattr(now, '__module__', None)} (monkey patching): a node "
                "works with threads, which greenlets would hold up for ever; leave out "
                "threads and queues, such as with gevent.monkey.patch_socket(), or use "
                "concurrency in [worker]"
            ) from None


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        # A module that the app itself imports and lacks is the app's crash.
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise PassingError(
                f"no module {missing!r} in {Path.cwd()} or on the Python path; "
                "start in the app's directory (directory= in supervisord.conf)"
            ) from None
        raise
    except (TypeError, ValueError) as error:
        if name.startswith(".") or not name.replace(".", "").isidentifier():
            raise ConfigError(
                f"expected the name of a module, got {name!r}: {error}"
            ) from None
        raise


def _is_empty(module: ModuleType) -> bool:
    """Whether a module's file has nothing in it, or is not there (any more).

    A folder without ``__init__.py`` is a module without a file.
    """
    try:
        return module.__file__ is None or not Path(module.__file__).stat().st_size
    except OSError:
        return True


def _apps(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if isinstance(value, App)]


def _known(module: ModuleType) -> str:
    names = _apps(module)
    return f"; it has the apps {', '.join(names)}" if names else ""
