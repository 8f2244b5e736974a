"""Mistakes in configuration: one line that says what to change, exit 78, no join."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarm_worker.node import main
from swarm_worker.process.last_act import LastAct
from swarm_worker.process.signals import Inbox
from tests.nodes import ROOT, SETTINGS, TOKEN_SETTINGS, node

APPS = """\
from swarm_worker import App

empty = App()
good = App(group="g")
good.topic("orders")(print)
two = App(group="g")
two.topic("orders", nodes=[0])(print)
twice = App(group="g")
twice.topic("orders", partitions={0: [0], 1: [0]})(print)
token = App(group="g")
token.topic("orders")(print)
token.configure_consumer(lambda: {"group.id": "other"})
quoted = App(group='q"x')
quoted.topic("orders")(print)
number = 5
"""


def run(
    folder: Path, *argv: str, settings: str | None = SETTINGS
) -> subprocess.CompletedProcess[str]:
    """Run ``swarm-worker`` to its end, with these apps and settings."""
    (folder / "apps.py").write_text(APPS)
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    (folder / "routed.py").write_text(
        "from swarm_worker import App\nApp().topic('orders')(print)\n"
    )
    if settings is not None:
        (folder / "swarm.toml").write_bytes(settings.encode(errors="surrogateescape"))
    return subprocess.run(
        [sys.executable, "-m", "swarm_worker", *argv],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("check", [[], ["--check"]], ids=["start", "check"])
@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["apps:good", "--nodes", "2", "--node", "2"], "node id 2 is beyond the 2"),
        (["apps:god"], "did you mean 'good'"),
        (["apps:number"], "expected apps:number to be a swarm_worker.App, got int"),
        (["apps"], "module:attribute"),
        ([".apps:good"], "name of a module"),
        (["apps:empty"], "no handlers"),
        (["apps:two", "--nodes", "2", "--node", "1"], "node 1 of 2 has no topics"),
        (["apps:twice", "--nodes", "2"], "partition 0 is claimed twice"),
        (["apps:token"], "app.configure_consumer group.id is set by the node itself"),
        (["apps:quoted"], "[kafka] client.id: expected a text without quotation mark"),
        (["routed:app"], "name of a Kafka group"),
        (["apps:good", "--exclude-topics", "order"], "did you mean 'orders'"),
        (["apps:good", "--colour"], "unrecognized arguments"),
    ],
)
def test_a_wrong_start_is_refused(
    tmp_path: Path, argv: list[str], told: str, check: list[str]
) -> None:
    """With and without --check alike."""
    it = run(tmp_path, *argv, *check)

    assert (it.returncode, it.stdout) == (78, "")
    assert it.stderr.count("\n") == 1
    assert it.stderr.startswith("swarm-worker: ")
    assert told in it.stderr


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (SETTINGS + "concurency = 2", "did you mean 'concurrency'"),
        (SETTINGS + "concurrency = 'two'", "[worker] concurrency: expected"),
        (SETTINGS + "max_wait_time = -5", "[worker] max_wait_time: expected"),
        (SETTINGS + "instance_prefix = '${NO_SUCH}'", "variable NO_SUCH is not set"),
        ('[kafka]\n"bootstrap.servers" = "x"\nfoo = 1', 'property: "foo"'),
        ('[kafka]\n"bootstrap.servers" = "x"\n"fetch.min.bytes" = "z"', "fetch.min"),
        ('[kafka]\n"bootstrap.servers" = "x"\n"group.id" = "g"', "group.id is set by"),
    ],
)
def test_a_wrong_file_is_refused(
    tmp_path: Path, settings: str | None, told: str
) -> None:
    """librdkafka's complaints too, in its own words."""
    it = run(tmp_path, "apps:good", settings=settings)

    assert it.returncode == 78
    assert it.stderr.count("\n") == 1
    assert told in it.stderr


@pytest.mark.parametrize(
    ("argv", "settings", "told"),
    [
        (["nowhere.apps:good"], SETTINGS, "no module 'nowhere'"),
        (["apps.nowhere:good"], SETTINGS, "no module 'apps.nowhere'"),
        (["nothing:app"], SETTINGS, "module 'nothing' has no attribute 'app'"),
        (["folder:app"], SETTINGS, "module 'folder' has no attribute 'app'"),
        (["apps:good", "--config", "none.toml"], SETTINGS, "cannot read none.toml"),
        (["apps:good"], None, "no --config given and no swarm.toml"),
        (["apps:good"], "", "bootstrap.servers is missing"),
        (["apps:good"], "[kafka]\n", "bootstrap.servers is missing"),
        (["apps:good"], SETTINGS[: len(SETTINGS) // 2], "swarm.toml is no TOML"),
        (["apps:good"], f"{SETTINGS}#\udcff", "swarm.toml is no TOML"),
        (
            ["apps:good"],
            SETTINGS.replace(
                "[worker]",
                '"security.protocol" = "SSL"\n"ssl.ca.location" = "none.pem"\n[worker]',
            ),
            "[kafka] Failed to create consumer: ssl.ca.location failed",
        ),
    ],
)
def test_what_may_be_there_at_the_next_start_is_no_end_for_good(
    tmp_path: Path, argv: list[str], settings: str | None, told: str
) -> None:
    """A deploy that is half done: exit 1, after which supervisord starts it again."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "nothing.py").touch()
    for flags, code in ([], 1), (["--check"], 78):
        it = run(tmp_path, *argv, *flags, settings=settings)

        assert (it.returncode, it.stdout) == (code, "")
        assert it.stderr.count("\n") == 1
        assert it.stderr.startswith("swarm-worker: ")
        assert told in it.stderr


def test_a_file_that_may_not_be_read_yet_is_no_end_for_good(tmp_path: Path) -> None:
    """A folder in its place stands for it: to root all files are open."""
    (tmp_path / "swarm.toml").mkdir()

    assert run(tmp_path, "apps:good", settings=None).returncode == 1
    assert run(tmp_path, "apps:good", "--check", settings=None).returncode == 78


def test_supervisord_is_not_kept_busy_with_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It starts a node again at once: one that lacks a file takes a moment to end."""
    waits: list[float] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(select, "select", lambda *told: waits.append(told[-1]))

    supervised = {"SUPERVISOR_ENABLED": "1"}
    assert main.run(["apps:good"], {}, Inbox(), LastAct()) == 1
    assert main.run(["apps:good", "--check"], supervised, Inbox(), LastAct()) == 78
    assert waits == []
    assert main.run(["apps:good"], supervised, Inbox(), LastAct()) == 1
    assert waits == [main.START_AGAIN_S]


def test_a_token_that_does_not_come_is_no_end_for_good(tmp_path: Path) -> None:
    """An outage of the token endpoint would leave a whole group down."""
    (tmp_path / "untold.py").write_text(
        "from swarm_worker import App\n"
        "app = App(group='g')\n"
        "app.topic('orders')(print)\n"
        "def token(_): raise OSError('503')\n"
        "app.configure_consumer(lambda: {'oauth_cb': token})\n"
    )

    it = run(tmp_path, "untold:app", settings=TOKEN_SETTINGS)

    assert (it.returncode, it.stdout) == (1, "")
    assert it.stderr == (
        "swarm-worker: [kafka] OAuth token not set within 10 seconds timeout\n"
    )


def test_an_error_inside_the_apps_import_is_a_crash(tmp_path: Path) -> None:
    """Exit 1 and the traceback: it may be a deploy that is half done."""
    for flags in ([], ["--check"]):
        it = run(tmp_path, "broken:app", *flags)
        assert it.returncode == 1
        assert "nothing_of_that_name" in it.stderr
        assert "broken.py" in it.stderr


def test_a_check_tells_who_consumes_what_and_hides_secrets(tmp_path: Path) -> None:
    """All nodes, the settings in force; nothing is written or joined."""
    secret = SETTINGS.replace("[worker]", '"sasl.password" = "hush"\n[worker]')

    it = run(tmp_path, "apps:good", "--nodes", "2", "--check", settings=secret)

    assert (it.returncode, it.stderr) == (0, "")
    for text in (
        "node 1 of 2",
        "group g",
        "orders -> builtins.print",
        "2000 ms",
        "log_level = ",
    ):
        assert text in it.stdout
    assert "start_nodes = all" in it.stdout
    assert "hush" not in it.stdout
    assert "warning" not in it.stdout
    assert not (tmp_path / "run").exists()


def test_a_check_warns_of_a_time_that_is_hardly_meant(tmp_path: Path) -> None:
    """With the line to write; it can run."""
    rare = SETTINGS.replace("[worker]", '"statistics.interval.ms" = 3600000\n[worker]')

    it = run(tmp_path, "apps:good", "--check", settings=rare)

    assert (it.returncode, it.stderr) == (0, "")
    assert "warning: [kafka] statistics.interval.ms is 3600000: lag" in it.stdout
    assert 'write "statistics.interval.ms" = 5000\n' in it.stdout


@pytest.mark.parametrize(
    "line",
    [
        '"sasl.password" = ["hush-hush"]',
        'sasl.password = "hush-hush"',
        '"session.timeout.ms" = "hush-hush"',
        '"ssl.key.password" = "hush-hush"',
        '"sasl.oauthbearer.client.secret" = "hush-hush"',
        '"sasl.oauthbearer.assertion.private.key.passphrase" = "hush-hush"',
        '"ssl.key.pem" = "hush-hush"\n"security.protocol" = "SSL"',
        '"sasl.pasword" = "hush-hush"',
        '"client.rack" = "${RACK}"',
    ],
)
def test_no_value_for_kafka_is_shown_that_may_be_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """Neither by what is refused nor by a check that is content."""
    monkeypatch.setenv("RACK", "hush-hush")
    told = SETTINGS.replace("[worker]", f"{line}\n[worker]")

    it = run(tmp_path, "apps:good", "--check", settings=told)

    assert it.returncode in {0, 78}
    assert it.stderr or "kafka\n" in it.stdout
    assert "hush" not in it.stdout + it.stderr


def test_a_check_is_about_all_nodes_unless_one_is_named(tmp_path: Path) -> None:
    """What would leave node 1 down is told before the deploy."""
    assert run(tmp_path, "apps:two", "--nodes", "2", "--check").returncode == 78
    named = run(tmp_path, "apps:two", "--nodes", "2", "--node", "0", "--check")
    assert named.returncode == 0


def test_a_check_can_be_interrupted(tmp_path: Path) -> None:
    """Its answer is not known then: not 0."""
    with node(tmp_path, "--check", supervised=False, moods={"IMPORT": "hang"}) as it:
        it.await_logged("now=IMPORT")
        it.send(signal.SIGINT)
        assert it.await_end() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_state_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    """The message says who may not write where, and which setting names another."""
    (tmp_path / "run").mkdir(mode=0o755)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from swarm_worker.node.slot import Slot\n"
        "os.setuid(65534)\n"
        "try: Slot.take(Path(sys.argv[1]), 's')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    it = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert it.stdout.startswith("ConfigError cannot use slot")
    assert "as uid 65534: Permission denied" in it.stdout
