"""All that may go wrong. To add a kind: a function beside its like, one entry here.

What passes is undone by `Stage.later`; what a fault explains is for the `Book`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.faults import broker_faults as broker
from tests.faults import listener_faults as listener
from tests.faults import node_faults as node
from tests.faults import operator_faults as operator
from tests.faults.schedule import Fault
from tests.faults.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault.

    Attributes:
        bring: Bring it about, and say to whom. Raises one of `stage.NOT_POSSIBLE` when
            there is nobody to suffer it.
        chaos: How often chaos draws it among the others; 0 for never.
        kafka: How often chaos on Kafka does; as often where nothing is said.
        soak: How often a soak does, which is always on Kafka; what makes others repeat
            has no bound, so is not in it.
    """

    bring: Callable[[Stage, Fault], str]
    chaos: int = 0
    kafka: int | None = None
    soak: int = 0

    @property
    def on_kafka(self) -> int:
        """How often chaos on Kafka draws it."""
        return self.chaos if self.kafka is None else self.kafka


def _ill(illness: str) -> Callable[[Stage, Fault], str]:
    return partial(node.sicken, illness=illness)


_HANGS_ALONE: Final = partial(node.sicken_and_kill_listener, illness="hangs")
_KILL: Final = partial(listener.end, number=signal.SIGKILL)
_TERM: Final = partial(listener.end, number=signal.SIGTERM)

# Chaos: rarely what takes supervisord down. It takes seconds, and hides much.
# Soak: one in two ends of a node is a KILL, of which there is most to fear.
KINDS: Final[Mapping[str, Kind]] = {
    "node killed": Kind(bring=node.kill, chaos=10, soak=35),
    "node gets TERM": Kind(bring=node.term, chaos=6, soak=20),
    "node frozen for good": Kind(bring=node.freeze, chaos=8, soak=3),
    "node frozen shortly": Kind(bring=node.nap, chaos=6, soak=10),
    "node exits 1": Kind(bring=_ill("exits"), chaos=6),
    "node silent": Kind(bring=_ill("silent"), chaos=6),
    "node reports nonsense": Kind(bring=_ill("raves"), chaos=4),
    "node hangs": Kind(bring=_ill("hangs"), chaos=12),
    "node hangs and ignores TERM": Kind(bring=_ill("hangs, deaf"), chaos=8),
    "node polls no more": Kind(bring=_ill("polls no more"), chaos=8),
    "node hangs and listener dies": Kind(bring=_HANGS_ALONE, chaos=18),
    "listener killed": Kind(bring=_KILL, chaos=8, soak=6),
    "listener gets TERM": Kind(bring=_TERM, chaos=6),
    "listener frozen": Kind(bring=listener.freeze, chaos=4),
    "journal damaged and listener killed": Kind(bring=listener.damage_journal, chaos=5),
    "disk of the journal full": Kind(
        bring=partial(listener.trouble_disk, trouble="full"), chaos=3
    ),
    "disk of the journal read-only": Kind(
        bring=partial(listener.trouble_disk, trouble="read-only"), chaos=3
    ),
    "supervisord frozen": Kind(bring=listener.freeze_supervisord, chaos=2),
    "supervisord killed": Kind(bring=listener.kill_supervisord, chaos=2),
    "supervisord reloads": Kind(bring=listener.reload, chaos=1),
    "operator stops a node": Kind(bring=operator.stop, chaos=6),
    "operator starts a node": Kind(bring=operator.start, chaos=6),
    "operator restarts a node": Kind(bring=operator.restart, chaos=4, soak=10),
    "operator rolls": Kind(bring=operator.roll, chaos=4),
    "operator holds a node": Kind(bring=operator.hold, chaos=6),
    "operator releases a node": Kind(bring=operator.release, chaos=5),
    "operator stops most while Kafka is away": Kind(
        bring=operator.stop_most, chaos=2, kafka=2
    ),
    "operator scales": Kind(bring=operator.scale, chaos=8, kafka=6),
    "node alone without Kafka": Kind(bring=node.cut_off, chaos=8, kafka=5),
    "token endpoint away": Kind(bring=node.lose_token, chaos=6, kafka=4),
    "dependency away": Kind(bring=node.lose_dependency, kafka=4, soak=4),
    "node refused": Kind(bring=node.refuse, chaos=4),
    "node ends, its children ignore TERM": Kind(
        bring=node.leave_children, kafka=8, soak=6
    ),
    "broker killed": Kind(bring=broker.kill, kafka=2, soak=2),
    "broker killed, then frozen": Kind(bring=broker.kill_then_freeze, kafka=2),
    "topic made anew": Kind(bring=broker.make_topic_anew, kafka=4),
}


def weights(of: Callable[[Kind], int]) -> dict[str, int]:
    """Return how often each kind is drawn that is drawn at all."""
    return {name: of(kind) for name, kind in KINDS.items() if of(kind)}
