"""``swarm-demo``: four nodes, four faults, a broker of its own; a minute in all."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence

from swarm_worker.demo.run import Run
from swarm_worker.demo.screen import Screen
from swarm_worker.demo.summary import as_text
from swarm_worker.demo.swarm import demo_swarm


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if each fault was found and got over, and nothing lost."""
    flags = _parser().parse_args(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    screen = Screen(sys.stderr if flags.json else sys.stdout, is_plain=flags.json)
    try:
        with demo_swarm(flags.bootstrap) as swarm:
            run = Run(swarm, screen, seconds=flags.seconds)
            with screen.following(swarm.status):
                run.run()
            summary = run.summary()
            if not summary["ok"]:
                sys.stderr.write(swarm.logs())
        text = json.dumps(summary, indent=2) if flags.json else as_text(summary)
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("swarm-demo: interrupted; everything is cleared up\n")
        return 130
    except BrokenPipeError:  # nobody reads on, as in `swarm-demo | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0 if summary["ok"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="swarm-demo",
        description="Four supervised nodes consume; one hangs, one leaks, one stops "
        "polling, one goes silent; each is found, named and restarted.",
        epilog="Exit code 0: all four were found and consume again, nothing was lost.",
    )
    parser.add_argument(
        "--seconds",
        metavar="N",
        type=float,
        default=90.0,
        help="end after N seconds at most (90); it takes about 60",
    )
    parser.add_argument(
        "--bootstrap",
        metavar="HOST:PORT",
        help="use this Kafka, in a topic of its own, instead of the embedded broker",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="summary as JSON on stdout, the story on stderr",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
