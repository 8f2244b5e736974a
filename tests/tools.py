"""Programs of others that a test needs, such as a browser.

Without one its tests are not run. With ``CI=true`` they fail instead, as those on
Apache Kafka do, unless ``TOOLS_NOT_INSTALLED`` says why it cannot be had (`.ci/tools`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

import pytest

from tests.kafka.install import absence_is_failure


def tool(*commands: str, package: str) -> str:
    """Return the path of the first of these commands that is here.

    Args:
        commands: Names of one program.
        package: Debian's.
    """
    for command in commands:
        path = shutil.which(command)
        if path is not None:
            return path
    lack = f"{commands[0]} is not here"
    excuse = excuse_of(os.environ)
    if excuse is None:
        pytest.fail(f"{lack}: apt-get install {package}", pytrace=False)
    pytest.skip(f"{lack}: {excuse or f'apt-get install {package}'}")


def excuse_of(environ: Mapping[str, str]) -> str | None:
    """Return why a tool may be missing; None where that is a failure."""
    why = environ.get("TOOLS_NOT_INSTALLED", "")
    return None if absence_is_failure(environ) and not why else why
