"""The file that says how many nodes run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from swarm_worker.shared.scale import (
    Scale,
    ScaleFileError,
    key_of,
    node_id_of,
    program_of,
    scale_of,
    scales,
    wanted_nodes,
    with_order,
)
from swarm_worker.shared.state_files.scale_file import NAME, read

SIX = Scale(nodes=6, by="root", why="sale", at="2026-12-01T06:00:00+00:00")


def text_of(orders: Mapping[str, Scale]) -> str:
    """Return the text of a file with these orders."""
    text = "{}"
    for key, order in orders.items():
        text = with_order(text, key, order)
    return text


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Whole, whatever it says."""
    orders = {"orders": SIX, "orders:late": Scale(nodes=0, why='λ "quoted"\n')}
    (tmp_path / NAME).write_text(text_of(orders), "utf-8")
    assert read(tmp_path) == orders


def test_without_a_file_nothing_is_ordered(tmp_path: Path) -> None:
    """Nor in a directory that is not there."""
    assert read(tmp_path) == {}
    assert read(tmp_path / "none") == {}


def test_a_later_version_may_say_more() -> None:
    """And an operator who writes it by hand may say less."""
    assert scales('{"orders": {"nodes": 2, "until": 7}}') == {"orders": Scale(nodes=2)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected JSON"),
        ('{"orders": {"no', "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "expected an object"),
        ('{"orders": 6}', "orders: expected"),
        ('{"orders": {"by": "root"}}', "orders: expected"),
        ('{"orders": {"nodes": "6"}}', "orders: expected"),
        ('{"orders": {"nodes": true}}', "orders: expected"),
        ('{"orders": {"nodes": -1}}', "orders: expected"),
        (b"\xff\xfe", "expected JSON"),
    ],
)
def test_what_is_no_such_file_is_refused(
    text: str | bytes, told: str, tmp_path: Path
) -> None:
    """It says which file, and what is wrong with it."""
    path = tmp_path / NAME
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ScaleFileError, match=f"{path}: {told}"):
        read(tmp_path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe does not hold up its reader, nor does a link lead elsewhere."""
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(ScaleFileError):
        read(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / "elsewhere").write_text(text_of({"orders": SIX}), "utf-8")
    (tmp_path / NAME).symlink_to("elsewhere")
    with pytest.raises(ScaleFileError, match="cannot read"):
        read(tmp_path)


def test_an_order_for_the_program_comes_first() -> None:
    """Where a group has two of them."""
    late = Scale(nodes=0)
    orders = {"orders": SIX, "orders:late": late}
    assert scale_of(orders, group="orders", program="late") is late
    assert scale_of(orders, group="orders", program="early") is SIX
    assert scale_of(orders, group="others", program="late") is None


@pytest.mark.parametrize(
    ("process", "program", "node"),
    [
        ("orders_07", "orders", 7),
        ("orders", "orders", None),
        ("v2-node-3", "v2-node", 3),
        ("12", "12", 12),
    ],
)
def test_a_process_tells_its_program_and_node(
    process: str, program: str, node: int | None
) -> None:
    """As supervisord names them: the program's name and a number."""
    assert program_of(process) == program
    assert node_id_of(process) == node


@pytest.mark.parametrize(
    ("order", "start_nodes", "wanted"),
    [
        (None, None, 12),
        (None, 4, 4),
        (Scale(nodes=6), 4, 6),
        (Scale(nodes=0), None, 0),
        (Scale(nodes=40), None, 12),
        (None, 40, 12),
    ],
)
def test_an_order_counts_before_the_setting(
    order: Scale | None, start_nodes: int | None, wanted: int
) -> None:
    """And never are there more than supervisord knows."""
    assert wanted_nodes(order, start_nodes=start_nodes, most=12) == wanted


def test_an_order_more_leaves_the_others(tmp_path: Path) -> None:
    """As they are written, with what a later version has added."""
    text = '{"orders": {"nodes": 2, "until": 7}, "late": {"nodes": 1, "x": [1]}}'

    (tmp_path / NAME).write_text(with_order(text, "orders", SIX), "utf-8")

    assert read(tmp_path) == {"orders": SIX, "late": Scale(nodes=1)}
    assert '"until": 7' in (tmp_path / NAME).read_text("utf-8")
    assert '"x": [\n' in (tmp_path / NAME).read_text("utf-8")


@pytest.mark.parametrize(
    ("orders", "is_alone", "key"),
    [
        ({}, True, "g"),
        ({"g": SIX}, True, "g"),
        ({}, False, "g:p"),
        ({"g": SIX}, False, "g:p"),
        ({"g:p": SIX}, True, "g:p"),
    ],
)
def test_an_order_is_written_where_it_is_looked_up_first(
    orders: dict[str, Scale],
    is_alone: bool,  # noqa: FBT001
    key: str,
) -> None:
    """Also where a program has lost those that were beside it."""
    found = key_of(orders, group="g", program="p", is_alone=is_alone)

    assert found == key
    new = {**orders, found: Scale(nodes=1)}
    assert scale_of(new, group="g", program="p") == Scale(nodes=1)
