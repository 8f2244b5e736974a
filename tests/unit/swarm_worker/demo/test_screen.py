"""What the demo prints."""

import io
import re
import threading

import pytest

from swarm_worker.demo.screen import Screen


class Terminal(io.StringIO):
    """An output that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def written(out: io.StringIO) -> str:
    """Return what was written, at whatever moment."""
    return re.sub(r" +\d+\.\d s  ", "   N.N s  ", out.getvalue())


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of a terminal of 40 columns."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")


@pytest.mark.parametrize(
    ("out", "term", "flags"),
    [
        (io.StringIO, "xterm", {}),
        (Terminal, "dumb", {}),
        (Terminal, "xterm", {"is_plain": True}),
    ],
)
def test_elsewhere_than_in_a_terminal_there_are_plain_lines(
    out: type[io.StringIO],
    term: str,
    flags: dict[str, bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A sentence at once, figures with each new table, no escape sequence."""
    monkeypatch.setenv("TERM", term)
    shown = out()
    screen = Screen(shown, **flags)
    text = "A sentence that is longer than a terminal is wide."

    screen.show("produced 1")
    screen.say(text)

    assert written(shown) == f"   N.N s  {text}\n"


def test_plain_lines_come_with_each_new_table() -> None:
    """A log is not to be flooded: the first line of the operator's table does."""
    shown = io.StringIO()
    screen = Screen(shown)
    answers = iter(["swarm_demo: 4 healthy\nNODE ...\n", ""])
    answered = threading.Event()

    def status() -> str:
        answer = next(answers, "")
        if not answer:
            answered.set()
        return answer

    screen._every_s = 0.001  # 5 s are long for a test
    with screen.following(status):
        assert answered.wait(10.0)
    for foot in ("produced 1", "produced 2"):
        screen.show(foot)

    assert written(shown) == "   N.N s    produced 1; swarm_demo: 4 healthy\n"


def test_the_live_table_is_drawn_over_itself_below_what_was_said() -> None:
    """As many lines are gone back as were drawn; sentences stay above."""
    shown = Terminal()
    screen = Screen(shown)

    screen.show("foot")
    first = written(shown)
    screen.say("Something happens.")

    assert first == "\n$ supervisorctl swarm status\nno node yet\n\nfoot\n"
    assert (
        written(shown) == f"{first}\x1b[5F\x1b[J   N.N s  Something happens.\n{first}"
    )


def test_no_line_is_wider_than_the_terminal() -> None:
    """One that wraps would not be erased; a sentence is wrapped with its margin."""
    shown = Terminal()
    screen = Screen(shown)

    screen.say("A sentence that is longer than a terminal is wide.")
    screen.show("f" * 99)

    lines = written(shown).splitlines()
    assert lines[:2] == [
        "   N.N s  A sentence that is longer",
        " " * 10 + "than a terminal is wide.",
    ]
    assert lines[-1] == "f" * 39
