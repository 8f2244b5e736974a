"""Log lines that nothing in them can forge, beside whatever logging the app brings."""

import json
import logging
import logging.config
import sys
import threading
from collections.abc import Iterator

import pytest

from swarm_worker.shared import logs


@pytest.fixture(autouse=True)
def bare_logging() -> Iterator[None]:
    """Give each test a process without logging, and pytest its own back."""
    root, ours = logging.getLogger(), logging.getLogger("swarm_worker")
    before = (list(root.handlers), root.level, ours.propagate, ours.level)
    loggers = [
        logger
        for logger in logging.root.manager.loggerDict.values()
        if isinstance(logger, logging.Logger)
    ]
    disabled = [logger.disabled for logger in loggers]
    hook = threading.excepthook
    yield
    root.handlers[:], level, ours.propagate, ours_level = before
    root.setLevel(level)
    ours.setLevel(ours_level)
    ours.handlers[:] = []
    for logger, was_disabled in zip(loggers, disabled, strict=True):
        logger.disabled = was_disabled  # dictConfig disables those of other tests, too
    threading.excepthook = hook


def begin() -> None:
    """Begin as a node does: pytest's own handlers are not there."""
    logging.getLogger().handlers[:] = []
    logging.getLogger().setLevel(logging.WARNING)
    logs.begin()


def written(capfd: pytest.CaptureFixture[str]) -> str:
    """Return what was logged, once it is written."""
    logs.drain(10.0)
    return capfd.readouterr().err


def raise_forged() -> None:
    """Raise an error whose text looks like an event."""
    raise ValueError("x\n2026-01-01 ERROR fake\x07")


def test_an_event_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Control characters of a topic or an error are escaped."""
    begin()

    logging.getLogger("swarm_worker.x").info("a_b error=%s", "x\n2026 ERROR\x1b[2Jfake")

    told = written(capfd)
    assert told.count("\n") == 1
    assert r"INFO a_b error=x\n2026 ERROR\x1b[2Jfake" in told


def test_a_traceback_cannot_be_taken_for_events(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each of its lines is indented."""
    begin()
    try:
        raise_forged()
    except ValueError:
        logging.getLogger("swarm_worker.x").exception("failed")

    first, *others = written(capfd).splitlines()
    assert first.endswith("ERROR failed")
    assert others
    assert all(line.startswith("    ") for line in others)
    assert not any("\x07" in line for line in others)


def test_a_thread_that_crashes_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """An exception in any thread is never lost."""
    begin()

    thread = threading.Thread(target=lambda: 1 // 0, name="mine")
    thread.start()
    thread.join()

    told = written(capfd)
    assert "thread_crashed thread=mine" in told
    assert "ZeroDivisionError" in told


def test_a_thread_that_leaves_by_sys_exit_has_not_crashed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It said itself that it ends; Python takes it so, too."""
    begin()

    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()

    assert written(capfd) == ""


def test_a_stack_that_an_app_asks_for_cannot_be_taken_for_events(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each of its lines is indented."""
    begin()
    logs.hand_over()

    logging.getLogger("theirs").warning("here", stack_info=True)

    first, *stack = written(capfd).splitlines()
    assert first.endswith("WARNING here")
    assert stack
    assert all(line.startswith(" ") for line in stack)


def test_a_level_that_the_app_has_set_stays(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It has no handler, but it has said how much it wants to hear."""
    begin()
    logging.getLogger().setLevel(logging.ERROR)
    logs.hand_over()

    logging.getLogger("theirs").warning("not heard")
    logging.getLogger("theirs").error("heard")

    assert written(capfd).splitlines()[0].endswith("ERROR heard")


def test_without_logging_of_its_own_the_app_logs_to_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """INFO and up, in the same format; ours appear once."""
    begin()
    logs.hand_over()

    logging.getLogger("theirs").info("hello")
    logging.getLogger("swarm_worker.x").info("ours")

    told = written(capfd).splitlines()
    assert [line.split(" INFO ")[1] for line in told] == ["hello", "ours"]


def test_logs_are_as_configured_before_and_after_the_app_is_there(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Level and format hold for the app's lines, too, where it brings no logging."""
    begin()
    logs.configure(level="warning", log_format="json")
    ours = logging.getLogger("swarm_worker.x")
    ours.info("a")
    ours.warning("b")
    logs.hand_over()
    logging.getLogger("theirs").info("c")
    logging.getLogger("theirs").error("d e")

    told = [json.loads(line) for line in written(capfd).splitlines()]
    assert [(line.get("event"), line.get("message")) for line in told] == [
        ("b", None),
        (None, "d e"),
    ]


def test_an_apps_own_logging_stands(capfd: pytest.CaptureFixture[str]) -> None:
    """Our events go where the app wants its own, also after ``dictConfig``."""
    begin()
    ours = logging.getLogger("swarm_worker.x")
    logging.config.dictConfig(
        {
            "version": 1,
            "formatters": {"f": {"format": "theirs: %(message)s"}},
            "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
            "root": {"handlers": ["h"], "level": "INFO"},
        }
    )
    assert ours.disabled
    logs.hand_over()

    ours.info("ours")

    assert written(capfd) == "theirs: ours\n"


def test_handlers_that_an_app_gave_our_logger_are_roots_now(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As before there was a queue: our lines and its own go there, and to stderr."""
    begin()
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(logging.Formatter("theirs: %(message)s"))
    logging.getLogger("swarm_worker").addHandler(theirs)
    logs.hand_over()

    logging.getLogger("swarm_worker.x").info("ours")

    told = written(capfd).splitlines()
    assert sorted(line.split(" ")[-2:] for line in told) == [
        ["INFO", "ours"],
        ["theirs:", "ours"],
    ]


def test_without_a_log_there_is_nothing_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a process that has not begun one, such as a loop of one's own."""
    monkeypatch.setattr(logs, "_lines", None)
    before = list(logging.getLogger("swarm_worker").handlers)

    logs.drain()
    logs.hand_over()

    assert logging.getLogger("swarm_worker").handlers == before
