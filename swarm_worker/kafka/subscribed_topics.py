"""The topics by which a group knows this node, over its clients and its processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class SubscribedTopics:
    """What the node subscribes to, and what the group last learned of that.

    In the classic protocol a static member is given back what it held, whatever it
    subscribes to by now.
    """

    def __init__(
        self,
        topics: Iterable[str],
        *,
        before: frozenset[str] | None,
        keep: Callable[[frozenset[str]], None] | None,
        outlives_member: bool,
    ) -> None:
        """Begin with what the slot's last process left: its topics, None if not known.

        ``keep`` is called with what the next one is to know. What the group has learned
        ``outlives_member`` where it goes by the former topics, as said above.
        """
        self._topics = frozenset(topics)
        self._before = before
        self._keep = keep
        self._outlives_member = outlives_member

    @property
    def changed(self) -> frozenset[str]:
        """The topics by which the group's knowledge and this process's topics differ.

        Empty where the group goes by what this process subscribes to, or where nobody
        knows what the last one subscribed to.
        """
        if not self._outlives_member or self._before is None:
            return frozenset()
        return self._before ^ self._topics

    def accepted(self) -> None:
        """Record that the group hands out partitions by the topics of this process."""
        if self._topics != self._before and self._keep:
            self._keep(self._topics)
        self._before = self._topics
