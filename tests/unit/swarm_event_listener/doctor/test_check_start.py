"""What a listener's command prints before the listener begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm_event_listener.doctor import check_start
from swarm_event_listener.doctor.check_start import argv_of, printed
from swarm_event_listener.doctor.doctor import examine
from tests.unit.swarm_event_listener.doctor.test_doctor import CONF, TOML

LISTENER = 'command=swarm-event-listener --config "%(here)s/swarm.toml"'


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("swarm-event-listener --config a", ["swarm-event-listener", "--version"]),
        (
            "nice -n 5 /srv/bin/swarm-event-listener --dry-run",
            ["nice", "-n", "5", "/srv/bin/swarm-event-listener", "--version"],
        ),
        (
            "python3 -m swarm_event_listener --config a",
            ["python3", "-m", "swarm_event_listener", "--version"],
        ),
        (
            "sh -c 'echo x; exec swarm-event-listener --config a'",
            ["sh", "-c", "echo x; exec swarm-event-listener --version"],
        ),
        ("sh -c 'exec mail'", None),
        ("mail", None),
        ("'", None),
    ],
)
def test_the_version_stands_in_the_place_of_the_flags(
    command: str, argv: list[str] | None
) -> None:
    """What is before them is run as it is."""
    assert argv_of(command) == argv


@pytest.mark.parametrize(
    ("told", "before"),
    [
        (b"", b""),
        (b"swarm-event-listener 1.2\n", b""),
        (b"agent\nswarm-event-listener 1.2\n", b"agent\n"),
        (b"READY\n", b""),  # a wrapper that drops the flag
        (b"agent\nREADY\n", b"agent\n"),
        (b"agent\n", b"agent\n"),
    ],
)
def test_what_comes_before_the_answer_is_printed(told: bytes, before: bytes) -> None:
    """Also where no answer comes."""
    assert printed(told) == before


def test_the_command_is_started_as_supervisord_would(tmp_path: Path) -> None:
    """With its environment, and a server's address, by which it takes its stdout."""
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(
        "#!/bin/sh\n"
        'echo "$WORD $COMMON $SUPERVISOR_ENABLED ${SUPERVISOR_SERVER_URL%%:*} $*"\n'
    )
    wrapper.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    common = f'[supervisord]\nenvironment=COMMON="c",PATH="{path}"\n'
    own = 'environment=WORD="hello"\ncommand=wrapper swarm-event-listener --dry-run'
    conf = CONF.replace(LISTENER, own).replace("[supervisord]\n", common)
    (tmp_path / "supervisord.conf").write_text(conf)
    (tmp_path / "swarm.toml").write_text(TOML)

    found = examine(tmp_path / "supervisord.conf", {})

    (finding,) = [each for each in found if each.check == "stdout"]
    told = "'hello c 1 unix swarm-event-listener --version\\n'"
    assert f"its command prints {told} on stdout" in finding.why
    assert finding.where.section == "eventlistener:swarm"


def test_a_command_that_hangs_or_cannot_be_started_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """supervisord says so, or the listener's log."""
    monkeypatch.setattr(check_start, "WITHIN_S", 0.2)
    (tmp_path / "swarm.toml").write_text(TOML)
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\necho x\nsleep 60\n")
    hangs.chmod(0o755)
    for program in (f"{hangs} swarm-event-listener", "/none/swarm-event-listener"):
        conf = CONF.replace(LISTENER, f"command={program} --dry-run")
        (tmp_path / "supervisord.conf").write_text(conf)

        found = examine(tmp_path / "supervisord.conf", {"PATH": "/usr/bin:/bin"})

        assert [each for each in found if each.check == "stdout"] == []
