"""What was put aside, and what had to be: pure.

Some messages are poison: the handler takes them never. These alone may become dead
letters, however long all messages fail since what the handler calls is away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

POISON_EVERY: Final = 4_999  # prime to the partitions, so in all of them
POISON_FROM: Final = 99


def is_poison(number: int) -> bool:
    """Whether a message of this number fails always."""
    return number % POISON_EVERY == POISON_FROM


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Numbers of messages, each once though a dead letter may be written twice.

    Attributes:
        letters: Put aside.
        poison: Which of those that were produced have to be.
    """

    letters: Collection[int]
    poison: Collection[int]

    @property
    def falsely(self) -> set[int]:
        """Put aside though nothing is wrong with them."""
        return {number for number in self.letters if not is_poison(number)}

    @property
    def left(self) -> set[int]:
        """Poison that was not put aside."""
        return set(self.poison) - set(self.letters)

    def complaints(self) -> Iterator[str]:
        """Yield what does not hold."""
        if self.falsely:
            yield f"put aside, and no poison: {_some(self.falsely)}"
        if self.left:
            yield f"poison that was not put aside: {_some(self.left)}"


def _some(numbers: Collection[int]) -> str:
    return f"{len(numbers)} messages, such as {sorted(numbers)[:5]}"
