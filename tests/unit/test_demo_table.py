"""The live table, and what it is made of."""

import io
import re
from pathlib import Path

import pytest

from swarm_worker.demo.screen import LiveScreen, PlainScreen, screen
from swarm_worker.demo.story import Finding
from swarm_worker.demo.table import Row, cut, render
from swarm_worker.demo.watch import findings, node_id, read_json, rows

WIDEST = Row(
    node=10,
    pid=4_194_304,
    state="recovering",
    poll_age_ms=999_900,
    consume_age_ms=999_900,
    memory_bytes=99_999 * 2**20,
    per_second=99_999,
    restarts=999,
    last_status=1,
)


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    """With the longest of everything, and a column left against wrapping."""
    lines = render([WIDEST, Row(node=0)], "foot", colour=False)

    assert max(map(len, lines)) <= 79


def test_without_colour_there_is_no_escape_sequence() -> None:
    """NO_COLOR is honoured; the text is the same."""
    plain = render([WIDEST], "", colour=False)
    painted = render([WIDEST], "", colour=True)

    assert "\x1b" not in "".join(plain)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in painted] == plain


def test_a_cut_line_keeps_its_colours_and_ends_them() -> None:
    """A colour that is not ended would paint the rest of the screen."""
    assert cut(["ab\x1b[31mcdef\x1b[0m"], 4) == ["ab\x1b[31mcd\x1b[0m"]
    assert cut(["abcdef"], 4) == ["abcd"]
    assert cut(["abc"], 4) == ["abc"]


class Terminal(io.StringIO):
    """An output that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def test_a_screen_suits_its_output() -> None:
    """Plain lines without a terminal or in a dumb one; a table otherwise."""
    assert isinstance(screen(io.StringIO(), {"TERM": "xterm"}), PlainScreen)
    assert isinstance(screen(Terminal(), {"TERM": "dumb"}), PlainScreen)
    assert isinstance(screen(Terminal(), {}), PlainScreen)
    assert isinstance(screen(Terminal(), {"TERM": "xterm"}), LiveScreen)


def test_no_color_means_no_colour() -> None:
    """See no-color.org: any value that is not empty."""
    for value, is_painted in (("1", False), ("", True)):
        out = Terminal()
        shown = screen(out, {"TERM": "xterm", "NO_COLOR": value})
        shown.show([WIDEST], "", at_s=0.0)
        assert ("\x1b[33m" in out.getvalue()) is is_painted


def test_the_live_table_is_drawn_over_itself() -> None:
    """As many lines are gone back as were drawn; sentences stay above."""
    out = Terminal()
    shown = LiveScreen(out, colour=False)

    shown.show([WIDEST], "foot", at_s=0.0)
    first = out.getvalue()
    shown.say("Something happens.", at_s=1.0)

    assert first.count("\n") == 5  # a gap, head, row, gap, foot
    assert (
        out.getvalue()
        .removeprefix(first)
        .startswith("\x1b[5F\x1b[J   1.0 s  Something happens.\n")
    )
    assert out.getvalue().endswith(first)


def test_plain_lines_come_at_a_bounded_rate() -> None:
    """A log is not to be flooded: a sentence at once, figures every 5 s."""
    out = io.StringIO()
    shown = PlainScreen(out)

    for at_s in (1.0, 4.9, 5.0, 5.1, 9.0):
        shown.show([Row(node=0, state="running")], "foot", at_s=at_s)
    shown.say("Something happens.", at_s=9.5)

    assert out.getvalue() == (
        "   5.0 s    foot; 0:running\n   9.5 s  Something happens.\n"
    )


# --- what the listener writes ---------------------------------------------------------

RECORD = {"node": "swarm_demo:swarm_demo_02", "pid": 7, "status": 2, "reason": "why"}
NODE = {
    "node": "swarm_demo:swarm_demo_02",
    "state": "RUNNING",
    "pid": 8,
    "report": {"state": "running", "poll_age_ms": 100, "consume_age_ms": None},
    "report_age_s": 0.5,
    "memory_bytes": 2**20,
    "restart": None,
}


def test_restarts_are_read_from_history_and_intents() -> None:
    """Those under way are last, and carry the moment on the monotonic clock."""
    under_way = {"record": {**RECORD, "pid": 9, "detected_at_s": 5.0}}
    journal = {
        "history": [RECORD, {**RECORD, "dry_run": True}],
        "intents": {"swarm_demo:swarm_demo_02": under_way},
    }

    assert [(f.pid, f.detected_at_s) for f in findings(journal)] == [(7, None), (9, 5)]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "\x00"])
def test_a_file_that_says_nothing_is_nothing(text: str | None, tmp_path: Path) -> None:
    """It may not be there yet."""
    file = tmp_path / "status.json"
    if text is not None:
        file.write_text(text)

    assert read_json(file) == {}
    assert findings(read_json(file)) == []
    assert list(rows(read_json(file), [], {})) == []


def test_a_row_tells_ages_as_of_now() -> None:
    """A node that has gone silent seems as old as it is."""
    mine = Finding(node=2, pid=7, status=2, reason="why", detected_at_s=None)
    other = Finding(node=1, pid=5, status=3, reason="why", detected_at_s=None)
    (row,) = rows({"nodes": [NODE]}, [mine, other], {2: 25.0})

    assert row == Row(
        node=2,
        pid=8,
        state="running",
        poll_age_ms=600,
        consume_age_ms=None,
        memory_bytes=2**20,
        per_second=25.0,
        restarts=1,
        last_status=2,
    )


def test_a_row_of_a_node_that_is_being_restarted_tells_the_phase() -> None:
    """Neither the ages nor the memory of a process that is gone are shown."""
    stopped = {**NODE, "state": "STOPPED", "pid": None, "restart": {"phase": "down"}}
    (row,) = rows({"nodes": [stopped]}, [], {})

    assert (row.state, row.poll_age_ms, row.memory_bytes) == ("down", None, None)


def test_the_node_id_is_at_the_end_of_the_name() -> None:
    """As process_name in conf/demo/supervisord.conf says."""
    assert node_id("swarm_demo:swarm_demo_11") == 11
