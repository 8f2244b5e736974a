"""The node's settings from flags, environment and file."""

from math import inf
from pathlib import Path

import pytest

from swarm_worker.config import config
from swarm_worker.config.kafka_properties import consumer_properties
from swarm_worker.reporting.schedule import Limits
from swarm_worker.shared.kafka_timeouts import slips
from swarm_worker.shared.settings import ConfigError

KAFKA = '[kafka]\n"bootstrap.servers" = "127.0.0.1:9092"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of ``swarm.toml``, in a folder beside the working directory."""
    (tmp_path / "here").mkdir()
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "conf" / "swarm.toml"


def read(
    file: Path, text: str = KAFKA, *flags: str, **environ: str
) -> config.Invocation:
    """Read the settings with this text in the file."""
    file.write_text(text, encoding="utf-8")
    return config.read(["m:app", "--config", str(file), *flags], environ)


def test_defaults_are_those_of_the_contract(file: Path) -> None:
    """With nothing but a broker to talk to."""
    settings = read(file).settings

    assert (settings.node, settings.nodes) == (0, 1)
    assert (settings.concurrency, settings.max_messages) == (1, 500)
    assert (settings.max_wait_s, settings.liveness_interval_s) == (1.0, 5.0)
    assert settings.shutdown_timeout_s == 60.0
    assert settings.dead_letter_after_s == 3600.0
    assert settings.static_membership
    assert settings.instance_prefix
    assert settings.max_poll_interval_ms == 300_000
    assert settings.state_dir == file.parent / "run"


def test_max_retries_may_never_count_alone(file: Path) -> None:
    """False is for ever, 0 at once."""

    def after_s(value: str) -> float:
        text = f"{KAFKA}[worker]\ndead_letter_after = {value}\n"
        return read(file, text).settings.dead_letter_after_s

    assert [after_s(value) for value in ("false", "0", '"30min"')] == [inf, 0.0, 1800.0]


def test_a_flag_wins_over_the_file(file: Path) -> None:
    """A flag's path is relative to the working directory, the file's to the file."""
    text = KAFKA + '[worker]\nstate_dir = "locks"\n'

    assert read(file, text).settings.state_dir == file.parent / "locks"
    picked = read(file, text, "--state-dir", "x", "--node", "2", "--nodes", "4")
    assert picked.settings.state_dir == Path.cwd() / "x"
    assert (picked.settings.node, picked.settings.nodes) == (2, 4)


def test_logs_are_as_the_file_says_or_a_flag(file: Path) -> None:
    """INFO as text by default; a word that is none is refused."""
    text = KAFKA + '[worker]\nlog_level = "warning"\nlog_format = "json"\n'

    default = read(file).settings
    assert (default.log_level, default.log_format) == ("info", "text")
    told = read(file, text).settings
    assert (told.log_level, told.log_format) == ("warning", "json")
    flags = ("--log-level", "debug", "--log-format", "text")
    told = read(file, text, *flags).settings
    assert (told.log_level, told.log_format) == ("debug", "text")
    with pytest.raises(ConfigError, match="log-level"):
        read(file, KAFKA, "--log-level", "LOUD")


LISTENED = """
[listener]
groups = ["w"]
consuming_ttl = "10s"
stability_ttl = false
[listener.group.w]
polling_ttl = 7000
"""


def test_a_node_knows_the_limits_that_its_listener_reads(file: Path) -> None:
    """Its own group's before all groups', max.poll.interval.ms where none is set."""
    own = read(file).settings.limits
    assert own == Limits(polling_ms=300_000, consuming_ms=300_000, stability_ms=600_000)

    told = read(file, KAFKA + LISTENED, SUPERVISOR_GROUP_NAME="w").settings.limits
    assert told == Limits(polling_ms=7_000, consuming_ms=10_000, stability_ms=None)
    told = read(file, KAFKA + LISTENED, SUPERVISOR_GROUP_NAME="x").settings.limits
    assert told.polling_ms == 300_000

    wrong = KAFKA + '[listener]\nconsuming_ttl = "soon"\n'
    assert read(file, wrong).settings.limits == own  # the listener refuses to start


def test_without_a_flag_the_file_is_in_the_working_directory(file: Path) -> None:
    """./swarm.toml, and a clear word where there is none."""
    with pytest.raises(ConfigError, match=r"no --config given and no swarm.toml in /"):
        config.read(["m:app"], {})

    (Path.cwd() / "swarm.toml").write_text(KAFKA, encoding="utf-8")
    assert config.read(["m:app"], {}).settings.state_dir == Path.cwd() / "run"
    assert file.parent != Path.cwd()


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "required: APP"),
        (["m:app", "--nod", "1"], "unrecognized arguments: --nod"),
        (["m:app", "--node"], "expected one argument"),
        (["m:app", "--node", "-1"], "--node: expected a whole number from 0, got '-1'"),
        (["m:app", "--nodes", "0"], "--nodes: expected a whole number from 1, got 0"),
        (["m:app", "--include-topics", "a,,b"], "expected no empty text"),
        (["m:app", "--config", "none.toml"], "cannot read none.toml"),
    ],
)
def test_a_wrong_command_line_is_a_configuration_error(
    argv: list[str], told: str
) -> None:
    """Exit 78, not argparse's 2."""
    with pytest.raises(ConfigError, match=told):
        config.read(argv, {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "bootstrap.servers is missing"),
        ('[kafka]\n"bootstrap.server" = "x"', "did you mean 'bootstrap.server'"),
        (KAFKA + '"group.id" = "g"', r'group.id is set by the node.*group="name"'),
        (KAFKA + '"group.instance.id" = "g"', "instance_prefix"),
        (KAFKA + '"enable.auto.commit" = true', "enable.auto.commit is set by the"),
        (KAFKA + '"enable.auto.offset.store" = 1', "after its handler"),
        (KAFKA + '"enable.auto.x" = 1', "enable.auto.x is set by the node"),
        (KAFKA + '"statistics.interval.ms" = 0', "stability_ttl = false"),
        (KAFKA + '"max.poll.interval.ms" = "5s"', "max.poll.interval.ms: expected"),
        (KAFKA + '"session.timeout.ms" = "45s"', "session.timeout.ms: expected"),
        (KAFKA + "[worker]\nliveness_interval = 499", "at least 500 ms, got 499"),
        (KAFKA + "[worker]\nmax_wait_time = 0", "max_wait_time: expected more than 0"),
        (KAFKA + '[worker]\nmax_wait_time = "5min"', "less than max.poll.interval.ms"),
        (KAFKA + "[worker]\nshutdown_timeout = -1", r"shutdown_timeout: .*got -1"),
        (KAFKA + "[worker]\nconcurrency = 0", "concurrency: expected"),
        (KAFKA + "[worker]\nconcurrency = 1001", "from 1 to 1000 .each is a thread"),
        (KAFKA + '"session.timeout.ms" = 45', 'write "session.timeout.ms" = 45000'),
        (KAFKA + '"heartbeat.interval.ms" = 45000', "session ends before a heartbeat"),
        (KAFKA + '[worker]\ninstance_prefix = "${NO}"', "variable NO is not set"),
    ],
)
def test_a_wrong_file_is_refused_by_key(file: Path, text: str, told: str) -> None:
    """The message names the key and what to do instead."""
    with pytest.raises(ConfigError, match=told):
        read(file, text)


def test_help_tells_units_defaults_and_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--help is enough to run a node."""
    with pytest.raises(SystemExit) as raised:
        config.read(["--help"], {})

    told = capsys.readouterr().out
    assert raised.value.code == 0
    for word in ("module:attribute", "ms between reports (5000)", "78", "TTIN"):
        assert word in told


# --- what Kafka is told ---------------------------------------------------------------


def test_offsets_are_stored_by_the_node_and_committed_each_second(file: Path) -> None:
    """The delivery guarantee stands on these."""
    properties = consumer_properties(read(file).settings, "billing")

    assert properties["group.id"] == "billing"
    assert properties["enable.auto.offset.store"] is False
    assert properties["enable.auto.commit"] is True
    assert properties["auto.commit.interval.ms"] == 1_000


def test_what_the_user_sets_wins_over_our_defaults(file: Path) -> None:
    """A default is a default."""
    ours = consumer_properties(read(file).settings, "g")
    assert ours["auto.offset.reset"] == "error"
    assert ours["fetch.queue.backoff.ms"] == 10
    assert ours["reconnect.backoff.max.ms"] == 2_000
    assert ours["statistics.interval.ms"] == 5_000

    text = KAFKA + '"auto.offset.reset" = "earliest"\n"fetch.queue.backoff.ms" = 5\n'
    theirs = consumer_properties(read(file, text).settings, "g")
    assert theirs["auto.offset.reset"] == "earliest"
    assert theirs["fetch.queue.backoff.ms"] == 5


def test_an_instance_id_is_stable_and_unique(file: Path) -> None:
    """Prefix, group and node: the same over restarts, another for each node."""
    text = KAFKA + '[worker]\ninstance_prefix = "vm7"\n'
    settings = read(file, text, "--node", "3", "--nodes", "4").settings

    properties = consumer_properties(settings, "billing")
    assert properties["group.instance.id"] == "vm7-billing-3"

    dynamic = read(file, text + "static_membership = false\n").settings
    assert "group.instance.id" not in consumer_properties(dynamic, "billing")


def test_a_report_timeout_leaves_room_for_three_reports(file: Path) -> None:
    """Also that of one group; off is off."""

    def check(listener: str) -> None:
        made = read(file, KAFKA + "[worker]\nliveness_interval = 2000\n" + listener)
        config.check_report_timeout(made.document, made.settings, {})

    check("")
    check("[listener]\nnode_report_timeout = 6000")
    check("[listener]\nnode_report_timeout = false")
    with pytest.raises(ConfigError, match=r"\[listener\] node_report_timeout: .*6000"):
        check("[listener]\nnode_report_timeout = 5999")
    with pytest.raises(ConfigError, match=r"\[listener.group.g\] node_report_timeout"):
        check("[listener.group.g]\nnode_report_timeout = 100")


def test_a_group_without_a_report_timeout_has_the_listeners(file: Path) -> None:
    """Not the default, which may be too short for reports that are far apart."""
    text = """[worker]
liveness_interval = "30s"
[listener]
node_report_timeout = "2min"
[listener.group.g]
max_restarts = 3
"""
    made = read(file, KAFKA + text)
    config.check_report_timeout(made.document, made.settings, {})


@pytest.mark.parametrize("told", ["10s", None])
def test_a_time_that_is_none_is_not_judged(told: object) -> None:
    """librdkafka refuses it in its own words; the checks go by the default."""
    times = {"session.timeout.ms": told, "heartbeat.interval.ms": 3_000}

    assert list(slips(times)) == []
