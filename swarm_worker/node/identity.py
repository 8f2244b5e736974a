"""The id by which a Kafka group knows a node, also where two programs share the group.

A node joins a group as ``<prefix>-<group>-<node>``. Two programs of a machine whose
handlers share a Kafka group would both be that, and fence each other. So each such id
has one owner, named in a file beside the slots and locked while it lives; the node of
another program has its own process in its id. Who owned an id last keeps it as long as
Kafka may still know it by that: a restart of all in another order changes no id.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from swarm_worker.config.kafka_properties import instance_id
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.node.slot import process_key
from swarm_worker.shared.state_files.instance_claims import (
    FILE_MAX,
    Signature,
    file_name,
    signature,
)
from swarm_worker.shared.state_files.lock_files import SAFE, locked, opened

logger = logging.getLogger(__name__)

KEPT_S: Final = 300.0  # sessions are shorter: 45 s by default
SIGNED_EVERY_S: Final = 60.0
_TAKEN: Final = "a node of another program is in the group by that id"


class Claim:
    """An id that this process owns until it ends, however that happens."""

    def __init__(self, path: Path, owner: str, fd: int, *, now_s: float) -> None:
        """Own a locked descriptor; children get it neither by fork nor by exec."""
        self._path = path
        self._owner = owner
        self._fd: int | None = fd
        self._signed_at_s = now_s
        os.register_at_fork(after_in_child=self.close)

    @classmethod
    def take(cls, path: Path, owner: str, *, now_s: float) -> Claim | None:
        """Take an id, unless it is another's; its file is made when absent.

        The time is CLOCK_MONOTONIC's, which all processes of a machine share.

        Raises:
            OSError: The file cannot be used.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = opened(path)
        try:
            if not locked(fd) or _is_others(fd, owner, now_s=now_s):
                os.close(fd)
                return None
            with suppress(OSError):  # another user's, or no space: the lock counts
                _sign(fd, owner, now_s=now_s)
        except OSError:
            os.close(fd)
            raise
        return cls(path, owner, fd, now_s=now_s)

    def keep(self, *, now_s: float) -> None:
        """Show that the owner lives, each minute, and at once where the file is gone.

        A disk that is full or read-only is not this id's trouble: the lock holds.
        """
        if self._fd is None:
            return
        is_gone = not self._path.exists()
        if is_gone or now_s - self._signed_at_s >= SIGNED_EVERY_S:
            self._signed_at_s = now_s
            with suppress(OSError):
                if is_gone:
                    self._make_anew()
                _sign(self._fd, self._owner, now_s=now_s)

    def _make_anew(self) -> None:
        flags = SAFE | os.O_RDWR | os.O_CREAT | os.O_EXCL
        fd = os.open(self._path, flags, 0o644)
        try:
            if self._fd is not None and locked(fd):
                os.dup2(fd, self._fd, inheritable=False)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the descriptor; the id stays its owner's for a while."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def _is_others(fd: int, owner: str, *, now_s: float) -> bool:
    """Whether another process owned it a moment ago; one that lives has it locked."""
    signed = signature(os.pread(fd, FILE_MAX, 0).decode("utf-8", "replace"))
    if signed is None or signed.owner == owner:
        return False
    return 0 <= now_s - signed.at_s < KEPT_S  # before 0: the machine was started anew


def _sign(fd: int, owner: str, *, now_s: float) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, str(Signature(owner, int(now_s))).encode(), 0)


class Identity:
    """The ids of a node in its groups.

    Attributes:
        ids: By Kafka group.
    """

    def __init__(self, ids: Mapping[str, str], claims: Sequence[Claim]) -> None:
        self.ids = ids
        self._claims = claims

    @classmethod
    def take(
        cls,
        settings: WorkerSettings,
        groups: Iterable[str],
        environ: Mapping[str, str],
        *,
        now_s: float,
    ) -> Identity:
        """Take the ids of a node's groups.

        A node outside supervisord, or without static membership, keeps the usual id,
        and so does one whose directory cannot be used.
        """
        owner = process_key(environ)
        ids: dict[str, str] = {}
        claims: list[Claim] = []
        for group in groups if owner and settings.static_membership else ():
            plain = instance_id(settings, group)
            path = settings.state_dir / file_name(plain)
            try:
                claim = Claim.take(path, owner, now_s=now_s)
            except OSError as error:
                logger.warning("instance_id_unclaimed path=%s why=%r", path, str(error))
                continue
            if claim is None:
                ids[group] = _with_process(settings, group, owner)
                logger.info(
                    "instance_id_taken group=%s id=%s instead=%s reason=%r",
                    group, plain, ids[group], _TAKEN,
                )  # fmt: skip
            else:
                claims.append(claim)
        return cls(ids, claims)

    def keep(self, *, now_s: float) -> None:
        """Keep what was taken; see `Claim.keep`."""
        for claim in self._claims:
            claim.keep(now_s=now_s)


def _with_process(settings: WorkerSettings, group: str, owner: str) -> str:
    """Return the id that has the process in it: ``host-billing-refunds_00``."""
    supervisor_group, _, process = owner.partition(":")
    is_named_so = process.startswith(supervisor_group)
    name = process if is_named_so else f"{supervisor_group}.{process}"
    return f"{settings.instance_prefix}-{group}-{name}"
