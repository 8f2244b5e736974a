"""The listener's settings: what wins, what is refused, and by what words."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm_event_listener.config.config import (
    ListenerSettings,
    file_of,
    read_settings,
)
from swarm_event_listener.config.fit import complaints, fit
from swarm_event_listener.supervisord.rpc import ProcessConfig
from swarm_worker.shared.settings import (
    LISTENER,
    RULES,
    ConfigError,
    PassingError,
)

GROUPS = '[listener]\ngroups = ["w"]\n'


def read(folder: Path, text: str, *argv: str, **environ: str) -> ListenerSettings:
    """Return the settings for a file and flags; the file is the one in the cwd."""
    (folder / "swarm.toml").write_text(text, encoding="utf-8")
    return read_settings(argv, environ, cwd=folder)


def refusal(folder: Path, text: str, *argv: str) -> str:
    """Return the message with which the settings are refused."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, *argv)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_where_nodes_keep_their_state_is_read_of_their_section(tmp_path: Path) -> None:
    """A variable that only nodes have keeps no listener from its work."""
    theirs = GROUPS + '[worker]\nstate_dir = "${WHERE}/run"'

    assert read(tmp_path, GROUPS).nodes_state_dir == tmp_path / "run"
    told = read(tmp_path, theirs, WHERE="/srv").nodes_state_dir
    assert told == Path("/srv/run")
    assert read(tmp_path, theirs).nodes_state_dir == tmp_path / "run"


def test_defaults_are_those_of_the_contract(tmp_path: Path) -> None:
    """Nothing but the groups need be said."""
    settings = read(tmp_path, GROUPS)
    group = settings.groups["w"]
    limits, backoff = group.policy.limits, group.policy.backoff

    assert (limits.report_timeout_s, limits.boot_ttl_s) == (60.0, 600.0)
    assert {limits.polling_ttl_s, limits.consuming_ttl_s, limits.stability_ttl_s} == {
        "node"
    }
    assert (limits.memory_limit_bytes, limits.memory_samples) == (None, 1)
    assert (backoff.gap_s, backoff.max_restarts, backoff.period_s) == (5.0, 5, 600.0)
    assert backoff.backoff_max_s == 300.0
    assert group.policy.stop_timeouts.shutdown_timeout_s == 60.0
    assert (group.policy.max_unavailable, group.policy.dry_run) == (None, frozenset())
    assert (group.memory_metric, group.memory_children) == ("rss", False)
    assert (settings.state_dir, settings.metrics) == (tmp_path / "run", None)


def test_logs_are_as_the_file_says_or_a_flag(tmp_path: Path) -> None:
    """INFO as text by default; a word that is none is refused."""
    text = GROUPS + 'log_level = "error"\nlog_format = "json"\n'

    default = read(tmp_path, GROUPS)
    assert (default.log_level, default.log_format) == ("info", "text")
    told = read(tmp_path, text)
    assert (told.log_level, told.log_format) == ("error", "json")
    told = read(tmp_path, text, "--log-level", "debug", "--log-format", "text")
    assert (told.log_level, told.log_format) == ("debug", "text")
    assert "--log-format" in refusal(tmp_path, GROUPS, "--log-format", "xml")


def test_flag_wins_over_group_over_listener_over_default(tmp_path: Path) -> None:
    """Each layer shows where the ones above it are silent."""
    text = """
        [listener]
        groups = ["a", "b"]
        polling_ttl = 1000
        consuming_ttl = 1000
        memory_limit = 10
        [listener.group.a]
        consuming_ttl = "2s"
        memory_limit = 20
    """

    settings = read(tmp_path, text, "--memory-limit", "2GB")
    a, b = (settings.groups[name].policy.limits for name in "ab")

    assert (a.polling_ttl_s, b.polling_ttl_s) == (1.0, 1.0)
    assert (a.consuming_ttl_s, b.consuming_ttl_s) == (2.0, 1.0)
    assert (a.memory_limit_bytes, b.memory_limit_bytes) == (2048 * 2**20,) * 2
    assert a.stability_ttl_s == "node"


@pytest.mark.parametrize(
    "key", ["memory_limit", "consuming_ttl", "polling_ttl", "stability_ttl"]
)
def test_false_turns_a_rule_off(tmp_path: Path, key: str) -> None:
    """For one group in the file, for all with a flag."""
    field = {"memory_limit": "memory_limit_bytes"}.get(key, f"{key}_s")
    text = f"{GROUPS}{key} = 5000\n[listener.group.w]\n{key} = false\n"
    flag = "--" + key.replace("_", "-")

    in_file = read(tmp_path, text).groups["w"].policy.limits
    by_flag = read(tmp_path, GROUPS, flag, "false").groups["w"].policy.limits

    assert getattr(in_file, field) is None
    assert getattr(by_flag, field) is None


def test_every_flag_is_read(tmp_path: Path) -> None:
    """All flags of the contract, with their units."""
    settings = read(
        tmp_path,
        "",
        *("--groups", "a,b", "--memory-limit", "5", "--consuming-ttl", "6000"),
        *("--polling-ttl", "7000", "--stability-ttl", "8s"),
        *("--node-report-timeout", "20000", "--node-restart-timeout", "1000"),
        *("--shutdown-timeout", "9000", "--metrics", "127.0.0.1:9464"),
        *("--state-dir", "x/y", "--dry-run"),
    )
    policy = settings.groups["b"].policy

    assert list(settings.groups) == ["a", "b"]
    assert policy.limits.memory_limit_bytes == 5 * 2**20
    assert policy.limits.consuming_ttl_s == 6.0
    assert policy.limits.polling_ttl_s == 7.0
    assert policy.limits.stability_ttl_s == 8.0
    assert policy.limits.report_timeout_s == 20.0
    assert policy.backoff.gap_s == 1.0
    assert policy.stop_timeouts.shutdown_timeout_s == 9.0
    assert policy.dry_run == {-1, 1, 2, 3, 4}
    assert policy.only_watches
    assert settings.metrics == ("127.0.0.1", 9464)
    assert settings.state_dir == tmp_path / "x/y"


def test_paths_in_the_file_are_relative_to_it(tmp_path: Path) -> None:
    """Flags are relative to the working directory, and an absolute path to nothing."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/s.toml").write_text(
        GROUPS + 'state_dir = "state"', encoding="ascii"
    )
    argv = ["--config", "etc/s.toml"]

    in_file = read_settings(argv, {}, cwd=tmp_path)
    by_flag = read_settings([*argv, "--state-dir", "here"], {}, cwd=tmp_path)

    assert in_file.state_dir == tmp_path / "etc/state"
    assert by_flag.state_dir == tmp_path / "here"


def test_flags_will_do_without_a_file(tmp_path: Path) -> None:
    """A file is needed only where it is named."""
    assert read_settings(["--groups", "w"], {}, cwd=tmp_path).groups.keys() == {"w"}
    with pytest.raises(ConfigError, match=r"cannot read .*no\.toml"):
        read_settings(["--config", "no.toml"], {}, cwd=tmp_path)


def test_only_used_variables_are_looked_up(tmp_path: Path) -> None:
    """The listener does not need the secrets of the nodes."""
    text = '[kafka]\n"sasl.password" = "${SECRET}"\n[listener]\ngroups = ["${G}"]\n'

    assert read(tmp_path, text, G="w").groups.keys() == {"w"}
    assert "G is not set" in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "argv", "words"),
    [
        ("", (), "--groups A,B"),
        ("[listener]\ngroups = []", (), "--groups A,B"),
        ("[listener]\ngroups = 7", (), "[listener] groups"),
        (GROUPS + "poling_ttl = 5", (), "did you mean 'polling_ttl'"),
        (GROUPS + "[listener.group.w]\nstate_dir = 'x'", (), "unknown key 'state_dir'"),
        (GROUPS + "[listener.group.v]\npolling_ttl = 5", (), "'v' is not in"),
        (GROUPS + "polling_ttl = -1", (), "polling_ttl"),
        (GROUPS + "polling_ttl = 0", (), "false turns the rule off"),
        (GROUPS + "polling_ttl = true", (), "polling_ttl"),
        (GROUPS + "memory_limit = '5 apples'", (), "memory_limit"),
        (GROUPS + "memory_limit = 0", (), "memory_limit"),
        (GROUPS + "memory_metric = 'vms'", (), "rss, pss, uss"),
        (GROUPS + "dry_run = [7]", (), "dry_run"),
        (GROUPS + "max_restarts = 0", (), "max_restarts"),
        (GROUPS + "node_report_timeout = 14999", (), "3 x 5000 ms"),
        (
            GROUPS + "[listener.group.w]\nnode_report_timeout = 5000\n",
            (),
            "node_report_timeout of group 'w'",
        ),
        (
            "[worker]\nliveness_interval = 30000\n" + GROUPS,
            (),
            "3 x 30000 ms",
        ),
        (GROUPS, ("--node-report-timeout", "1s"), "got 1 s"),
        (GROUPS, ("--memory-limit", "x"), "--memory-limit"),
        (GROUPS, ("--metrics", "9464"), "HOST:PORT"),
        (GROUPS, ("--nope",), "--nope"),
        (GROUPS, ("--polling",), "--polling"),
        (GROUPS, ("--polling-ttl",), "--polling-ttl"),
        ("[listener", (), "no TOML"),
        ("[worker]\nliveness_interval = 'x'\n" + GROUPS, (), "liveness_interval"),
    ],
)
def test_mistakes_are_refused_by_name(
    tmp_path: Path, text: str, argv: tuple[str, ...], words: str
) -> None:
    """One line that says what, where and what to change."""
    assert words in refusal(tmp_path, text, *argv)


def test_a_report_timeout_that_is_off_is_not_compared(tmp_path: Path) -> None:
    """No silence rule, no least value."""
    settings = read(tmp_path, GROUPS + "node_report_timeout = false")

    assert settings.groups["w"].policy.limits.report_timeout_s is None


def test_help_names_units_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    """All flags with their meaning."""
    with pytest.raises(SystemExit) as caught:
        read_settings(["--help"], {}, cwd=Path())

    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "--node-report-timeout MS" in text
    assert "(60000)" in text
    assert "--memory-limit MB" in text


def test_every_rule_key_of_the_file_has_an_effect(tmp_path: Path) -> None:
    """A key that is read and used nowhere would be a lie."""
    base = read(tmp_path, GROUPS)
    values = {
        "memory_metric": '"pss"',
        "memory_children": "true",
        "dry_run": "[3]",
        "node_report_timeout": "61000",
    }

    assert set(LISTENER) - set(RULES) == {
        *("groups", "group", "state_dir", "metrics"),
        *("log_level", "log_format"),
    }
    for key in RULES:
        changed = read(tmp_path, f"{GROUPS}{key} = {values.get(key, 77)}")
        assert changed != base, key


# --- with supervisord's own configuration ---------------------------------------------


def process_config(**changes: object) -> ProcessConfig:
    """Return the configuration of one process."""
    facts: dict[str, object] = {
        "group": "w",
        "name": "w:w_00",
        "stop_wait_s": 65.0,
        "capture_max_bytes": 65_536,
        "redirect_stderr": False,
        **changes,
    }
    return ProcessConfig(**facts)  # type: ignore[arg-type]


def test_the_longest_stopwaitsecs_is_what_a_stop_may_take(tmp_path: Path) -> None:
    """An unkillable process is told from a slow one by it."""
    configs = [process_config(), process_config(stop_wait_s=90.0)]

    fitted = fit(read(tmp_path, GROUPS), configs)

    assert fitted.groups["w"].policy.stop_timeouts.stop_wait_s == 90.0
    assert complaints(fitted, configs) == []


def test_an_unknown_group_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """The message names the nearest one."""
    settings = read(tmp_path, '[listener]\ngroups = ["swarm_worke"]\n')

    with pytest.raises(ConfigError, match="did you mean 'swarm_worker'"):
        fit(settings, [process_config(group="swarm_worker")])


def test_a_kill_before_the_shutdown_timeout_is_refused(tmp_path: Path) -> None:
    """stopwaitsecs may be equal, not shorter."""
    settings = read(tmp_path, GROUPS)

    fit(settings, [process_config(stop_wait_s=60.0)])
    with pytest.raises(ConfigError, match="raise stopwaitsecs"):
        fit(settings, [process_config(stop_wait_s=59.0)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"capture_max_bytes": 0}, "stdout_capture_maxbytes=64KB"),
        ({"redirect_stderr": True}, "redirect_stderr=false"),
    ],
)
def test_what_an_operator_must_change_is_said(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    """Supervision begins all the same."""
    (complaint,) = complaints(read(tmp_path, GROUPS), [process_config(**changes)])

    assert words in complaint


@pytest.mark.parametrize(
    ("argv", "file"),
    [
        ([], "swarm.toml"),
        (["--config", "a.toml"], "a.toml"),
        (["--dry-run", "--config=a.toml", "--groups", "w"], "a.toml"),
        (["--config", "/etc/a.toml"], "/etc/a.toml"),
        (["--help", "--nonsense", "--config"], "swarm.toml"),
    ],
)
def test_which_file_is_read_is_known_whatever_the_flags_say(
    argv: list[str], file: str, tmp_path: Path
) -> None:
    """It may be half written, and is watched for that."""
    assert file_of(argv, cwd=tmp_path) == tmp_path / file


def test_a_file_that_has_not_got_so_far_is_waited_for(tmp_path: Path) -> None:
    """One that has [listener] and names no group in it is a mistake."""
    file = tmp_path / "swarm.toml"
    for text, is_passing in (
        ("", True),
        ("[kafka]\n", True),
        ("[kafka", True),
        ("[listener]\nlog_level = 'info'\n", False),
        ("[listener]\ngroup = {}\n", False),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError) as refused:
            read_settings(["--config", str(file)], {}, cwd=tmp_path)
        assert isinstance(refused.value, PassingError) is is_passing
    file.unlink()
    with pytest.raises(PassingError):
        read_settings([], {}, cwd=tmp_path)


def test_spares_need_their_exit_code(tmp_path: Path) -> None:
    """Where there are any: else supervisord would start them again and again."""
    lacks, has = process_config(exit_codes=(78, 5)), process_config(exit_codes=(78, 6))
    settings = read(tmp_path, GROUPS)
    asked = read(tmp_path, f"{GROUPS}[worker]\nstart_nodes = 2\n")

    assert complaints(settings, [lacks]) == complaints(asked, [has]) == []
    for found in (complaints(asked, [lacks]), complaints(settings, [lacks], ["w:a"])):
        assert ["exitcodes=78,5,6" in text for text in found] == [True]
    assert complaints(settings, [lacks], ["other"]) == []
    assert asked.groups["w"].policy.start_nodes == 2
