"""The journal: what survives, and that nothing done to it ends supervision."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm_event_listener.storage.journal import (
    DEATHS_MAX,
    HISTORY_MAX,
    Journal,
    JournalLeftError,
    JournalTakenError,
    StatusFile,
)
from swarm_event_listener.supervisord.rpc import SupervisorIdentity

NOTHING: dict[str, Any] = {
    "version": 1,
    "supervisor": None,
    "intents": {},
    "notes": {},
    "history": [],
}
ME = SupervisorIdentity(pid=7, started_ticks=99, boot_id="b")


def reopened(folder: Path) -> Journal:
    """Return the journal as the next listener finds it."""
    return Journal(folder, lock_wait_s=0.0)


def taken_over(journal: Journal, folder: Path) -> Any:
    """Return what a journal has taken over, as it writes it down again."""
    journal.save()
    return read(folder / "journal.json")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """Yield a new journal, bound to a supervisord."""
    journal = reopened(tmp_path / "run")
    journal.adopt(ME)
    yield journal
    journal.close()


def test_what_was_written_is_there_for_the_next_listener(
    journal: Journal, tmp_path: Path
) -> None:
    """Intents, notes and history survive; what was dropped does not."""
    journal.note({"held": ["w:w_01"]})
    assert journal.intend("w:w_00", {"phase": "intended"})
    assert journal.intend("w:w_01", {"phase": "down"})
    journal.remember("w:w_01", {"node": "w:w_01"})
    journal.close()

    again = reopened(tmp_path / "run")

    assert again.adopt(ME) == {"w:w_00": {"phase": "intended"}}
    assert again.recent(9) == [{"node": "w:w_01"}]
    assert again.notes == {"held": ["w:w_01"]}
    again.close()


@pytest.mark.parametrize(
    "other",
    [
        SupervisorIdentity(pid=8, started_ticks=99, boot_id="b"),
        SupervisorIdentity(pid=7, started_ticks=98, boot_id="b"),
        SupervisorIdentity(pid=7, started_ticks=99, boot_id="c"),
    ],
)
def test_intents_of_another_supervisord_are_void(
    journal: Journal, tmp_path: Path, other: SupervisorIdentity
) -> None:
    """Pid, start and boot together name it; history is kept all the same."""
    journal.intend("w:w_00", {})
    journal.remember("w:w_01", {"node": "w:w_01"})
    journal.close()

    again = reopened(tmp_path / "run")

    assert again.adopt(other) == {}
    assert len(again.recent(9)) == 1
    again.close()
    third = reopened(tmp_path / "run")
    assert third.adopt(other) == {}
    third.close()


def test_history_is_bounded(journal: Journal, tmp_path: Path) -> None:
    """The last records stay, the oldest go."""
    for number in range(HISTORY_MAX + 5):
        journal._history.append(json.dumps({"n": number}))
    journal.remember("x", {"n": -1})
    journal.close()
    assert len(read(tmp_path / "run/journal.json")["history"]) == HISTORY_MAX

    again = reopened(tmp_path / "run")

    history = again.recent(2 * HISTORY_MAX)
    assert len(history) == HISTORY_MAX
    assert history[0] == {"n": 6}
    assert history[-1] == {"n": -1}
    again.close()


def test_deaths_leave_room_for_what_was_done_for_a_rule(
    journal: Journal, tmp_path: Path
) -> None:
    """A storm of them, with a text that only looks like one beside it."""
    journal.remember("x", {"cause": "rule", "reason": '"cause":"died"'})
    for number in range(DEATHS_MAX):
        journal._history.append(f'{{"cause":"died","n":{number}}}')
    for number in range(DEATHS_MAX, DEATHS_MAX + 3):
        journal.remember("x", {"cause": "died", "n": number})
    journal.close()

    rule, *deaths = read(tmp_path / "run/journal.json")["history"]
    assert rule["cause"] == "rule"
    assert [death["n"] for death in deaths] == [*range(3, DEATHS_MAX + 3)]


def test_the_file_is_for_its_owner_alone(journal: Journal, tmp_path: Path) -> None:
    """0600, in a directory that others cannot enter."""
    journal.save()

    assert stat.S_IMODE((tmp_path / "run/journal.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) & 0o007 == 0


_GOOD = '{"version":1,"supervisor":null,"intents":{"w:a":{}},"notes":{},"history":[]}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        _GOOD[:40],
        "[]",
        "null",
        '{"version":2}',
        '{"version":1,"intents":[]}',
        '{"version":1,"history":{}}',
        '{"version":1,"notes":7}',
        "[" * 100_000,
        "\x00\xff",
    ],
)
def test_a_damaged_journal_is_put_aside(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning, the damaged file kept, and a new journal begun."""
    (tmp_path / "journal.json").write_text(text, encoding="latin-1")

    with caplog.at_level(logging.INFO):
        journal = reopened(tmp_path)

    assert taken_over(journal, tmp_path) == NOTHING
    assert warnings(caplog) == ["journal_unreadable"]
    assert (tmp_path / "journal.json.corrupt").read_text("latin-1") == text
    assert journal.intend("w:w_00", {})
    journal.close()


@pytest.mark.parametrize("text", [None, "", _GOOD[:40], '{"version":99}'])
def test_a_lost_journal_costs_the_history_alone(
    journal: Journal, tmp_path: Path, text: str | None
) -> None:
    """What an operator holds and what we have down stand in a copy, for us alone."""
    journal.note({"held": ["w:w_01"]})
    journal.intend("w:w_00", {"phase": "down"})
    journal.remember("w:w_02", {"node": "w:w_02"})
    journal.close()
    path = tmp_path / "run/journal.json"
    path.unlink() if text is None else path.write_text(text, "ascii")

    again = reopened(tmp_path / "run")

    assert again.notes == {"held": ["w:w_01"]}
    assert again.adopt(ME) == {"w:w_00": {"phase": "down"}}
    assert again.recent(9) == []
    copy = tmp_path / "run/journal.copy.json"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    again.close()


def test_a_journal_that_was_lost_is_written_at_once(
    journal: Journal, tmp_path: Path
) -> None:
    """The copy may be lost before the next change."""
    journal.note({"held": ["w:w_01"]})
    journal.close()
    (tmp_path / "run/journal.json").unlink()
    reopened(tmp_path / "run").close()
    (tmp_path / "run/journal.copy.json").unlink()

    again = reopened(tmp_path / "run")

    assert again.notes == {"held": ["w:w_01"]}
    again.close()


def test_a_copy_that_cannot_be_renewed_is_removed(
    journal: Journal, tmp_path: Path
) -> None:
    """An old one would bring back a hold that an operator has lifted."""
    journal.note({"held": ["w:w_01"]})
    (tmp_path / "run/journal.copy.json.new").mkdir()
    journal.note({"held": []})

    assert journal.save()
    assert not (tmp_path / "run/journal.copy.json").exists()


def test_the_copy_alone_may_be_damaged(journal: Journal, tmp_path: Path) -> None:
    """The journal counts; the copy is written anew with the next word."""
    journal.intend("w:w_00", {})
    journal.close()
    (tmp_path / "run/journal.copy.json").write_text("x", "ascii")

    again = reopened(tmp_path / "run")

    assert again.adopt(ME) == {"w:w_00": {}}
    again.save()
    assert read(tmp_path / "run/journal.copy.json")["intents"] == {"w:w_00": {}}
    again.close()


def test_a_missing_journal_is_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first start has none."""
    reopened(tmp_path / "new").close()

    assert warnings(caplog) == []


def test_entries_that_are_no_objects_are_dropped(tmp_path: Path) -> None:
    """What can be read is used."""
    text = '{"version":1,"supervisor":7,"intents":{"a":1,"b":{}},"history":[1,{"n":2}]}'
    (tmp_path / "journal.json").write_text(text, encoding="ascii")

    journal = reopened(tmp_path)

    assert taken_over(journal, tmp_path) == {
        **NOTHING,
        "supervisor": 7,
        "intents": {"b": {}},
        "history": [{"n": 2}],
    }
    journal.close()


def test_a_link_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither when reading nor when writing: its target is left as it is."""
    target = tmp_path / "target"
    target.write_text(_GOOD, encoding="ascii")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "journal.json").symlink_to(target)

    journal = reopened(folder)

    assert warnings(caplog) == ["journal_unreadable"]
    assert journal.intend("w:w_00", {})
    assert read(folder / "journal.json")["intents"] == {"w:w_00": {}}
    assert target.read_text(encoding="ascii") == _GOOD
    assert not (folder / "journal.json").is_symlink()
    journal.close()


def test_a_link_in_the_place_of_the_lock_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The journal is written all the same, and locked once the link is gone."""
    caplog.set_level("INFO")
    target = tmp_path / "target"
    target.write_text("keep", encoding="ascii")
    lock = tmp_path / "run" / "journal.lock"
    lock.parent.mkdir()
    lock.symlink_to(target)

    journal = reopened(lock.parent)
    assert journal.intend("w:w_00", {})
    for _ in range(3):
        journal.keep()

    (said,) = [r.getMessage() for r in caplog.records if r.levelname != "INFO"]
    assert said.startswith(f"journal_unwritable path={lock} ")
    assert "it is a symbolic link: remove it" in said
    assert "journal_written_again" not in caplog.text
    assert target.read_text(encoding="ascii") == "keep"

    lock.unlink()
    journal.keep()

    assert caplog.messages[-1].startswith("journal_written_again")
    with pytest.raises(JournalTakenError):
        reopened(lock.parent)
    journal.close()


@pytest.mark.parametrize("name", ["journal.json.new", "status.json.new"])
def test_a_link_in_the_place_of_the_new_file_is_not_followed(
    tmp_path: Path, name: str
) -> None:
    """Somebody may guess the name that is written first."""
    target = tmp_path / "target"
    target.write_text("keep", encoding="ascii")
    (tmp_path / name).symlink_to(target)
    journal = reopened(tmp_path)

    assert journal.intend("w:w_00", {})
    StatusFile(tmp_path).write({"a": 1})

    assert target.read_text(encoding="ascii") == "keep"
    journal.close()


def test_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    """Opening a fifo for reading would block for ever."""
    os.mkfifo(tmp_path / "journal.json")

    journal = reopened(tmp_path)

    assert taken_over(journal, tmp_path) == NOTHING
    assert journal.intend("w:w_00", {})
    journal.close()


def test_a_full_disk_is_said_once_and_supervision_goes_on(
    journal: Journal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller is told each time, the file is as it was; space heals it."""
    assert journal.intend("w:w_00", {"n": 1})
    before = (tmp_path / "run/journal.json").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        patch.setattr(os, "fsync", full)
        assert not journal.intend("w:w_01", {})
        assert not journal.intend("w:w_02", {})
        journal.remember("w:w_03", {})

    assert warnings(caplog) == ["journal_unwritable"]
    assert (tmp_path / "run/journal.json").read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "journal.copy.json",
        "journal.json",
        "journal.lock",
    ]
    assert journal.intend("w:w_04", {})
    assert len(read(tmp_path / "run/journal.json")["intents"]) == 4


def test_a_state_directory_that_cannot_be_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file in its place stands for a read-only disk: works for root, too."""
    (tmp_path / "run").write_text("", encoding="ascii")

    journal = reopened(tmp_path / "run")

    journal.adopt(ME)
    assert not journal.intend("w:w_00", {})
    assert not journal.save()
    assert warnings(caplog) == ["journal_unwritable"]
    journal.close()


def test_a_directory_that_was_removed_is_made_again(
    journal: Journal, tmp_path: Path
) -> None:
    """Somebody cleans up; the next intent is durable all the same."""
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    (tmp_path / "run").rmdir()

    assert journal.intend("w:w_00", {})


def test_what_was_removed_is_written_from_memory_at_the_next_look(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line; holds and records are there again, and the lock holds."""
    journal.note({"held": ["w:w_01"]})
    journal.remember("w:w_00", {"node": "w:w_00"})
    journal.keep()
    assert warnings(caplog) == []

    shutil.rmtree(tmp_path / "run")
    journal.keep()
    journal.keep()

    assert warnings(caplog) == ["state_dir_lost"]
    found = read(tmp_path / "run" / "journal.json")
    assert found["notes"] == {"held": ["w:w_01"]}
    assert found["history"] == [{"node": "w:w_00"}]
    with pytest.raises(JournalTakenError):
        reopened(tmp_path / "run")


def test_a_journal_that_was_removed_alone_is_written_again(
    journal: Journal, tmp_path: Path
) -> None:
    """The lock is as it was."""
    lock = (tmp_path / "run" / "journal.lock").stat().st_ino
    (tmp_path / "run" / "journal.json").unlink()
    journal.keep()

    assert read(tmp_path / "run" / "journal.json")["version"] == 1
    assert (tmp_path / "run" / "journal.lock").stat().st_ino == lock


def test_who_holds_the_new_lock_is_the_listener(
    journal: Journal, tmp_path: Path
) -> None:
    """Two would restart each other's nodes, whoever removed the directory."""
    shutil.rmtree(tmp_path / "run")
    other = reopened(tmp_path / "run")

    with pytest.raises(JournalTakenError, match="state_dir of its own"):
        journal.keep()
    other.close()
    journal.keep()


def test_a_directory_that_cannot_be_made_again_is_said_once(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Supervision goes on; all is written as soon as it can be."""
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").touch()
    journal.keep()
    journal.keep()
    (tmp_path / "run").unlink()
    journal.keep()
    journal.keep()

    assert warnings(caplog) == ["state_dir_lost", "journal_unwritable"]
    assert read(tmp_path / "run" / "journal.json")["version"] == 1
    with pytest.raises(JournalTakenError):
        reopened(tmp_path / "run")


def test_a_directory_open_to_others_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says what to do."""
    tmp_path.chmod(0o777)

    reopened(tmp_path).close()

    assert warnings(caplog) == ["state_dir_open_to_others"]


def test_a_second_listener_is_refused(journal: Journal, tmp_path: Path) -> None:
    """Two would restart each other's nodes; the message says what to change."""
    with pytest.raises(JournalTakenError, match="state_dir of its own"):
        reopened(tmp_path / "run")

    journal.close()
    reopened(tmp_path / "run").close()


def test_a_listener_that_its_supervisord_has_left_behind_is_waited_for(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is frozen ends some day: that is no mistake in the configuration."""
    with pytest.raises(JournalTakenError) as refused:
        reopened(tmp_path / "run")
    assert not isinstance(refused.value, JournalLeftError)

    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(JournalLeftError):
        reopened(tmp_path / "run")

    (tmp_path / "run" / "journal.lock").write_text("")  # as an earlier version has it
    with pytest.raises(JournalTakenError) as refused:
        reopened(tmp_path / "run")
    assert not isinstance(refused.value, JournalLeftError)
    journal.close()


def test_the_lock_is_not_inherited(journal: Journal) -> None:
    """A child that outlives the listener must not keep the journal from the next."""
    assert journal._lock is not None
    assert not os.get_inheritable(journal._lock)


def test_the_status_is_readable_by_the_group(tmp_path: Path) -> None:
    """Operators are not root; others see nothing."""
    status = StatusFile(tmp_path)

    status.write({"a": 1})
    status.write({"a": 2})

    assert read(tmp_path / "status.json") == {"a": 2, "nodes": []}
    assert stat.S_IMODE((tmp_path / "status.json").stat().st_mode) == 0o640


def test_a_status_that_cannot_be_written_is_a_warning_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`swarm status` is blind meanwhile: what to do, and when it is over."""
    status = StatusFile(tmp_path / "run")
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            shutil.rmtree(tmp_path / "run", ignore_errors=True)
            (tmp_path / "run").write_text("", encoding="ascii")
            status.write({"a": 1})
            status.write({"a": 2})
            (tmp_path / "run").unlink()
            status.write({"a": 3})
            status.write({"a": 4})

    assert warnings(caplog) == ["status_not_written"] * 2
    said = [record.getMessage() for record in caplog.records]
    assert [line.split()[0] for line in said] == [
        "status_not_written",
        "status_written_again",
    ] * 2
    assert "do='make room there" in said[0]


def read(path: Path) -> Any:
    """Return the JSON of a file."""
    return json.loads(path.read_bytes())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the events of all warnings and errors."""
    return [
        record.getMessage().split()[0]
        for record in caplog.records
        if record.levelno >= logging.WARNING
    ]
