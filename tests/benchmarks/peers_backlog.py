"""Figure 3: the same backlog drained by what people use today."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tests.benchmarks.backlog import ahead_of, rounds
from tests.benchmarks.bench import Bench
from tests.benchmarks.contenders import OURS_ORJSON, Contender
from tests.benchmarks.figures import Figure, Goal, Pairs


class Peer(NamedTuple):
    """Somebody to compare with, and by how much to be ahead."""

    key: str
    contender: Contender
    bound: float | None


def _peer(
    key: str, name: str, package: str, work: str, bound: float | None = None
) -> Peer:
    contender = Contender(
        name=name, script=f"{package}_side.py", environment=package, work=work
    )
    return Peer(key, contender, bound)


QUIX: Final = _peer("3d", "Quix Streams", "quixstreams", "json", 3.0)
PEERS: Final = (
    _peer("3a", "FastStream batch", "faststream", "json in batches", 3.0),
    _peer("3b", "FastStream single", "faststream", "json", 15.0),
    _peer("3c", "aiokafka getmany", "aiokafka", "json", 1.2),
    QUIX,
    _peer("3e", "FastStream single, no types", "faststream", "plain"),
)


def against_peers(bench: Bench) -> Iterator[Figure]:
    """Measure all of them and ourselves in each round."""
    rivals = [*(peer.contender for peer in PEERS), OURS_ORJSON]
    for rival in rivals:  # installed before anything is measured
        bench.environments.python(str(rival.environment))
    found = {peer.key: Pairs() for peer in PEERS}
    same_parser = Pairs()
    for ours, theirs in rounds(bench, rivals, work="json"):
        rates = {who.name: it.rate for who, it in zip(rivals, theirs, strict=True)}
        for peer in PEERS:
            found[peer.key].add(ours.rate, rates[peer.contender.name])
        same_parser.add(rates[OURS_ORJSON.name], rates[QUIX.contender.name])
    for peer in PEERS:
        goal = None if peer.bound is None else Goal(">=", peer.bound)
        yield ahead_of(peer.contender.name, peer.key, found[peer.key], goal)
    # It parses with orjson: the same comparison with orjson on both sides.
    yield ahead_of(
        QUIX.contender.name, "3f", same_parser, Goal(">=", 3.0), handler="orjson both"
    )
