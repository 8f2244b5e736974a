"""``swarm-demo``: four nodes, four faults, a broker of its own; a minute in all."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from swarm_worker.demo.broker import BrokerError
from swarm_worker.demo.play import play
from swarm_worker.demo.screen import PlainScreen, screen
from swarm_worker.demo.stage import StageError

SECONDS: Final = 90.0


def main(argv: Sequence[str] | None = None) -> int:
    """Play the demo; 0 if each fault was found and got over and nothing was lost."""
    flags = _parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        summary = play(
            screen=PlainScreen(sys.stderr) if flags.json else screen(),
            bootstrap=flags.bootstrap,
            seconds=flags.seconds,
        )
        sys.stderr.write(summary.logs)
        if flags.json:
            _write(json.dumps(summary.as_json(), indent=2))
        else:
            _write("\n".join(["", *summary.lines()]))
    except KeyboardInterrupt:
        return _complain("interrupted; everything is cleared up", 130)
    except (BrokerError, StageError) as error:
        return _complain(str(error), 1)
    except BrokenPipeError:  # the audience has left, as in `swarm-demo | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0 if summary.is_success else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swarm-demo",
        description="Four supervised nodes consume; one hangs, one leaks, one stops "
        "polling, one goes silent; each is found, named and restarted.",
        epilog="Exit code 0: all four were found and consume again, nothing was lost.",
    )
    add = parser.add_argument
    add(
        "--seconds",
        metavar="N",
        type=float,
        default=SECONDS,
        help=f"end after N seconds at most ({SECONDS:.0f}); it takes about 60",
    )
    add(
        "--bootstrap",
        metavar="HOST:PORT",
        help="use this Kafka, in a topic of its own, instead of the embedded broker",
    )
    add(
        "--json",
        action="store_true",
        help="summary as JSON on stdout, the story on stderr",
    )
    return parser


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str, code: int) -> int:
    with contextlib.suppress(OSError):
        sys.stderr.write(f"swarm-demo: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
