"""The topics by which a group knows this node, over its clients and its processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class SubscribedTopics:
    """What the node subscribes to, and what the group was last told of that.

    In the classic protocol a static member is given back what it held, and nobody asks
    what it subscribes to by now.
    """

    def __init__(
        self,
        topics: Iterable[str],
        *,
        before: frozenset[str] | None,
        keep: Callable[[frozenset[str]], None] | None,
        outlives_member: bool,
    ) -> None:
        """Begin with what the slot's last process left.

        Args:
            topics: What this process subscribes to.
            before: What the last one did; None if that is not known.
            keep: Called with what the next one is to know.
            outlives_member: The group goes by the former topics, as told above.
        """
        self._topics = frozenset(topics)
        self._before = before
        self._keep = keep
        self._outlives_member = outlives_member

    @property
    def changed(self) -> frozenset[str]:
        """The topics that the group has for ours and are not, or the other way round.

        None where it goes by what this process subscribes to, or nothing else is known.
        """
        if not self._outlives_member or self._before is None:
            return frozenset()
        return self._before ^ self._topics

    def accepted(self) -> None:
        """Record that the group hands out partitions by the topics of this process."""
        if self._topics != self._before and self._keep:
            self._keep(self._topics)
        self._before = self._topics
