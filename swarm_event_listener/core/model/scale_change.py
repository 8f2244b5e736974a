"""A change of how many nodes are to run, as it is kept on record."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleChange:
    """One change of how many nodes are to run.

    Attributes:
        key: ``group``, or ``group:program``.
        before: The number until then; None where there was no order.
        nodes: The number since then; None where the order was taken away.
        by: Who gave the order; this and the rest as the file says.
        why: In whose words.
        at: When.
    """

    key: str
    before: int | None
    nodes: int | None
    by: str = ""
    why: str = ""
    at: str = ""
