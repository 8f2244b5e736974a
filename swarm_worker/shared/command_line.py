"""Command lines of programs: what is wrong in one is an exception, not an exit."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn, TypeVar

from swarm_worker.shared.settings import ConfigError

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are configuration errors (78), not usage errors (2)."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise ConfigError(f"{message}; see {self.prog} --help")


def argument(read_value: Callable[[str], T]) -> Callable[[str], T]:
    """Return a reader whose ValueError is argparse's own, which keeps the message."""

    def read_argument(text: str) -> T:
        try:
            return read_value(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_argument
