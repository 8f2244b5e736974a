"""The stop of a client: batches end, all is committed, the group is left, it is closed.

On the poll thread, which polls until all is committed: a member that does not is
removed from its group, and a rebalance whose callback comes in the close may never end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from swarm_worker.kafka import offsets
from swarm_worker.kafka.closing import leave_group
from swarm_worker.kafka.closing.close import close
from swarm_worker.kafka.closing.stop_policy import WayOut, stop_times, way_out

if TYPE_CHECKING:
    from confluent_kafka import Consumer

    from swarm_worker.kafka.group import Group

DRAIN_EVERY_S: Final = 0.05  # between polls while batches in flight end


class Shutdown:
    """The stop of one client; its times run from when this is made."""

    def __init__(self, client: Consumer, group: Group) -> None:
        """Begin; handing out is held."""
        self._client = client
        self._group = group
        self._lanes = group.lanes
        timeout_s = group.settings.shutdown_timeout_s
        self._times = stop_times(began_at_s=time.monotonic(), timeout_s=timeout_s)

    def drain(
        self,
        *,
        tend: Callable[[], None],
        abandon_dead_letters: Callable[[], None],
        cancel: Callable[[], None],
    ) -> None:
        """Let batches in flight end while polls go on; store what is done.

        Before each poll comes ``tend``, which pauses all, as handing out is held. Dead
        letters and coroutine handlers are given up once they have had their time.
        """
        while not self._lanes.turns.wait_idle(within_s=DRAIN_EVERY_S):
            if time.monotonic() > self._times.dead_letters_until_s:
                abandon_dead_letters()
            tend()
            self._client.poll(0)  # dropped: nothing of it was stored
            self._group.monitor.polled()
            if time.monotonic() > self._times.cancel_at_s:
                cancel()
        self._lanes.commits.rest()
        offsets.store(self._client, self._lanes.commits, group=self._group.name)

    def close(self, *, leaves: bool, is_member: Callable[[], bool]) -> None:
        """Commit and close; leave the group if the node does not come back."""
        way = way_out(
            leaves=leaves,
            is_static="group.instance.id" in self._group.properties,
            is_subscribed=bool(self._group.plan.topics),
            is_consumer_protocol=self._group.monitor.is_consumer_protocol,
        )
        if way is WayOut.CLOSE_ALONE:
            self._close()
            return
        if way is WayOut.LEAVE_FIRST:
            why_not = leave_group.leave(
                self._client,
                is_member=is_member,
                holds=self._lanes.table.all,
                within_s=self._times.leave_within_s(time.monotonic()),
            )
            self._close()
        elif self._close():
            why_not = leave_group.leave_as_classic(
                self._group.properties,
                self._group.plan.topics,
                within_s=self._times.give_up_at_s - time.monotonic(),
            )
        else:
            why_not = leave_group.NOT_CLOSED
        leave_group.tell(self._group.name, why_not=why_not)

    def _close(self) -> bool:
        within_s = self._times.close_within_s(time.monotonic())
        return close(self._client, self._group, within_s=within_s)
