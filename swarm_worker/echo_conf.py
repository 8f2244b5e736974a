"""``echo_swarm_conf``: print the shipped configuration, as a start for one's own.

The counterpart of ``echo_supervisord_conf``. What it prints runs as it is, in any
directory, once the app and ``bootstrap.servers`` are those of the user.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FILES: Final = {"supervisord": "supervisord.conf", "toml": "swarm.toml"}

# In a checkout the virtual environment is a neighbour of conf/; elsewhere it is not.
_SHIPPED: Final = "%(here)s/../.venv/bin:"

_HELP: Final = """\
to start with a configuration of your own:

  echo_swarm_conf supervisord > supervisord.conf
  echo_swarm_conf toml > swarm.toml

Then write your app into the one, your bootstrap.servers into the other, and run:

  supervisord -n -c supervisord.conf
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the files that the command line asks for."""
    wanted = _parser().parse_args(argv).file
    sys.stdout.write(text(wanted) if wanted else both())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="echo_swarm_conf",
        description="Print a commented configuration of supervisord and of the swarm.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "file",
        nargs="?",
        choices=list(FILES),
        help="print this file only; both with a mark before each by default",
    )
    return parser


def both() -> str:
    """Return both files, each under a line that names it, a comment in its language."""
    parts = []
    for wanted, name in FILES.items():
        comment = ";" if wanted == "supervisord" else "#"
        parts.append(f"{comment} ---------- {name} ----------\n{text(wanted)}")
    return "\n".join(parts)


def text(wanted: str, *, programs: Path | None = None) -> str:
    """Return one of `FILES`, set to find the programs of an installation.

    Args:
        wanted: A key of `FILES`.
        programs: Their directory; that of the running Python by default.
    """
    folder = str(programs or Path(sys.executable).parent)
    shipped = (conf_directory() / FILES[wanted]).read_text(encoding="utf-8")
    return shipped.replace(_SHIPPED, f"{folder.replace('%', '%%')}:")


def conf_directory() -> Path:
    """Return the directory of the shipped configuration.

    It is part of the package when installed, and ``conf/`` of the checkout otherwise,
    an editable installation included.
    """
    package = Path(__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


if __name__ == "__main__":
    sys.exit(main())
