"""Who owns an id in Kafka, as a file says it."""

from __future__ import annotations

import pytest

from swarm_worker.shared.state_files.instance_claims import (
    Signature,
    file_name,
    signature,
)


@pytest.mark.parametrize("owner", ["w:w_00", "ä b:c\td"])
def test_what_is_signed_is_read_back(owner: str) -> None:
    """Whatever the names of supervisord's group and process are."""
    signed = Signature(owner, 17)

    assert signature(str(signed)) == signed


@pytest.mark.parametrize("text", ["", "\n", "w:w_00", "w:w_00\n", "\n17", "w:w_00\n1x"])
def test_half_a_signature_is_none(text: str) -> None:
    """Its writer may have been KILLed meanwhile."""
    assert signature(text) is None


def test_each_id_has_a_file_of_its_own() -> None:
    """Ids may have characters that no file name has, or be as long as Kafka allows."""
    ids = ["host-G-0", "host/G-0", "host%2FG-0", "x" * 249, "x" * 248 + "y", "ä" * 249]

    names = [file_name(each) for each in ids]

    assert names[0] == "host-G-0.id"
    assert len({*names}) == len(ids)
    assert all("/" not in name and len(name.encode()) <= 255 for name in names)
