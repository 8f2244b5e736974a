"""conf/ as it is shipped, run by plain ``supervisord -n -c``.

Only the app's name and ``bootstrap.servers`` are edited, as the README says.
"""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confluent_kafka import Producer

from swarm_event_listener.supervisord.rpc import Supervisor, SupervisorUnreachable
from swarm_worker.demo.swarm import mock_broker
from tests.eventually import eventually
from tests.process.swarms import free_port
from tests.supervisord import PARENT_DEATH, ROOT, is_alive, signal_if_alive

pytestmark = pytest.mark.process

BIN = Path(sys.executable).parent
NODES = [f"swarm_worker:swarm_worker_{i:02}" for i in range(4)]
NAMED = f"{NODES[3]} is down for good: it exited"
LISTENER = "swarm_event_listener:swarm_event_listener"
APP = """
import os
from swarm_worker import App

app = App(group="shop")

@app.topic("orders")
def sell(batch):
    print("printed", flush=True)
    line = "".join(f"{batch.node} {message.value().decode()}\\n" for message in batch)
    with open(os.environ["SOLD"], "a") as sold:
        sold.write(line)
"""


@dataclass
class Installation:
    """A directory like a checkout: an app, conf/, and our programs in .venv/bin.

    Attributes:
        folder: Where supervisord is started; the app's code is there.
        conf: The copy of conf/.
        process: supervisord.
    """

    folder: Path
    conf: Path = field(init=False)
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.conf = self.folder / "conf"

    @property
    def environ(self) -> dict[str, str]:
        """What a shell has in which the virtual environment is not activated."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SOLD": str(self.folder / "sold"),
        }

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the one place where a text stands."""
        path = self.conf / file
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    def run(self) -> Supervisor:
        """Start supervisord as the README says; wait until it answers."""
        launcher = [sys.executable, str(PARENT_DEATH), str(os.getpid())]
        self.process = subprocess.Popen(
            [*launcher, str(BIN / "supervisord"), "-n", "-c", "conf/supervisord.conf"],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        rpc = Supervisor(f"unix://{self.conf}/supervisor.sock")
        eventually(lambda: _answers(rpc), within_s=20, describe="supervisord answers")
        return rpc

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run supervisorctl."""
        return subprocess.run(
            [BIN / "supervisorctl", "-c", "conf/supervisord.conf", *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def log(self, name: str) -> str:
        """Return the text of a log in conf/."""
        return (self.conf / name).read_text()

    def sold(self) -> list[str]:
        """Return what was processed."""
        path = self.folder / "sold"
        lines = path.read_text().splitlines() if path.exists() else []
        return sorted(line.partition(" ")[2] for line in lines)


def _answers(rpc: Supervisor) -> bool:
    try:
        return bool(rpc.processes())
    except SupervisorUnreachable:
        return False


def write_programs(folder: Path) -> None:
    """Write the scripts of pyproject.toml, as pip would."""
    folder.mkdir(parents=True)
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for file in told["tool"]["setuptools"]["script-files"]:
        shutil.copy(ROOT / file, folder)
    project = told["project"]
    for name, target in project["scripts"].items():
        module, _, function = target.partition(":")
        script = folder / name
        script.write_text(
            f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\n"
            f"sys.exit({function}())\n"
        )
        script.chmod(0o755)


@pytest.fixture
def installation() -> Iterator[Installation]:
    """The shipped configuration beside an app; whatever ran there has ended after."""
    made = Installation(Path(tempfile.mkdtemp(prefix="c", dir="/tmp")))
    shutil.copytree(ROOT / "conf", made.conf)
    write_programs(made.folder / ".venv" / "bin")
    (made.folder / "shop.py").write_text(APP)
    try:
        yield made
    finally:
        if hasattr(made, "process"):
            made.process.terminate()
            try:
                made.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                made.process.kill()
                made.process.wait(timeout=10)
        shutil.rmtree(made.folder, ignore_errors=True)


def pids(rpc: Supervisor) -> dict[str, int | None]:
    """Return the processes that run."""
    return {p.name: p.pid for p in rpc.processes() if p.state == "RUNNING"}


@pytest.mark.timeout(180)
def test_with_two_edits_it_runs_and_obeys_supervisorctl(
    installation: Installation,
) -> None:
    """Four nodes consume; status, stop, start, restart and shutdown as ever."""
    numbers = [f"{n:03}" for n in range(200)]
    with mock_broker("orders") as bootstrap:
        producer = Producer({"bootstrap.servers": bootstrap})
        for number in numbers:
            producer.produce("orders", number)
        producer.flush(10)
        installation.edit("supervisord.conf", " app:app ", " shop:app ")
        installation.edit("swarm.toml", "127.0.0.1:9092", bootstrap)
        rpc = installation.run()

        eventually(
            lambda: installation.sold() == numbers,
            within_s=100,
            describe="all messages are processed once",
        )
        _obeys(installation, rpc)


def _obeys(installation: Installation, rpc: Supervisor) -> None:
    before = pids(rpc)
    assert before.keys() == {*NODES, LISTENER}
    assert installation.ctl("status").returncode == 0
    eventually(
        lambda: "4 healthy" in installation.ctl("swarm", "status").stdout,
        within_s=30,
        describe="the listener finds all nodes healthy",
    )
    assert "no findings" in installation.ctl("swarm", "doctor").stdout

    assert installation.ctl("stop", NODES[1]).stdout == f"{NODES[1]}: stopped\n"
    assert rpc.process(NODES[1]).exit_code == 0
    assert installation.ctl("start", NODES[1]).stdout == f"{NODES[1]}: started\n"
    installation.ctl("restart", NODES[2])
    after = pids(rpc)
    assert after.keys() == before.keys()
    assert {n for n in before if before[n] != after[n]} == {NODES[1], NODES[2]}

    _comes_back_after_kill(rpc, NODES[3])
    _comes_back_after_kill(rpc, LISTENER)
    assert "printed" in "".join(
        installation.log(f"swarm_worker_{i:02}.log") for i in range(4)
    )
    left = [pid for pid in pids(rpc).values() if pid]
    installation.ctl("shutdown")
    assert installation.process.wait(timeout=60) == 0
    assert not any(map(is_alive, left))


def _comes_back_after_kill(rpc: Supervisor, name: str) -> None:
    pid = rpc.process(name).pid
    assert pid
    signal_if_alive(pid, signal.SIGKILL)
    eventually(
        lambda: pids(rpc).get(name, pid) != pid,
        within_s=15,
        describe=f"{name} runs again",
    )


def test_what_no_restart_can_mend_stays_down_with_its_code_to_read(
    installation: Installation,
) -> None:
    """No app of that name: EXITED with 78, one start each, and a line that says why."""
    installation.edit("supervisord.conf", " app:app ", " shop:shoq ")
    rpc = installation.run()

    def given_up() -> bool:
        infos = [rpc.process(name) for name in NODES]
        return all((i.state, i.exit_code) == ("EXITED", 78) for i in infos)

    eventually(given_up, within_s=30, describe="all nodes EXITED with 78")
    eventually(
        lambda: "listener_started" in installation.log("swarm_event_listener.log"),
        describe="the listener is there",
    )
    installation.process.send_signal(signal.SIGUSR2)  # one more turn of its loop
    eventually(
        lambda: "SIGUSR2" in installation.log("supervisord.log"),
        describe="supervisord has gone on",
    )
    assert given_up()
    log = installation.log("swarm_worker_00.log")
    assert log.count("module 'shop' has no attribute 'shoq'") == 1


def running(rpc: Supervisor) -> set[str]:
    """Return the nodes that run."""
    return pids(rpc).keys() - {LISTENER}


@pytest.mark.timeout(180)
def test_what_could_not_work_comes_up_by_itself_once_it_is_mended(
    installation: Installation,
) -> None:
    """Exit 78 is tried again, and /healthz names the nodes until they work."""
    port = free_port()
    installation.edit("supervisord.conf", " app:app ", " shop:shoq ")
    installation.edit(
        "swarm.toml",
        "[listener]\n",
        f'[listener]\nrestart_backoff_max = 3000\nmetrics = "127.0.0.1:{port}"\n',
    )
    rpc = installation.run()

    def named() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            told = response.read().decode()
        except OSError:
            return False
        finally:
            connection.close()
        return response.status == 503 and NAMED in told

    eventually(named, within_s=60, describe=f"/healthz is 503, with {NAMED!r}")
    eventually(
        lambda: installation.log("swarm_worker_00.log").count("'shoq'") > 1,
        within_s=60,
        describe="it is tried again",
    )

    (installation.folder / "shop.py").write_text(APP + "\nshoq = app\n")

    eventually(lambda: running(rpc) == set(NODES), within_s=60, describe="all run")
    told = "exit 78: tried again every 3 s"
    assert told in installation.log("swarm_event_listener.log")


@pytest.mark.timeout(180)
def test_half_a_file_at_the_start_is_waited_for(installation: Installation) -> None:
    """Neither a node nor the listener ends for good for it."""
    installation.edit("supervisord.conf", " app:app ", " shop:app ")
    path = installation.conf / "swarm.toml"
    whole = path.read_text()
    path.write_text(whole[: whole.index('"bootstrap.servers"') + 12])
    rpc = installation.run()
    told = "swarm.toml is no TOML"
    eventually(
        lambda: told in installation.log("swarm_worker_00.log"),
        within_s=60,
        describe="a node tells of it",
    )
    eventually(
        lambda: told in installation.log("swarm_event_listener.log"),
        within_s=60,
        describe="the listener tells of it",
    )

    path.write_text(whole)

    eventually(lambda: running(rpc) == set(NODES), within_s=90, describe="all run")
    eventually(
        (installation.conf / "run" / "status.json").exists,
        within_s=60,
        describe="the listener sees them",
    )


@pytest.mark.timeout(180)
def test_a_listener_does_not_end_for_a_file_that_is_being_written(
    installation: Installation,
) -> None:
    """Cut at a line's end it can be read, and is refused; the rest comes later."""
    path = installation.conf / "swarm.toml"
    whole = path.read_text()
    path.write_text(whole.replace("groups =", "# groups ="))
    rpc = installation.run()
    eventually(
        lambda: "no group to watch" in installation.log("swarm_event_listener.log"),
        within_s=60,
        describe="the listener tells of it",
    )

    path.write_text(whole)

    eventually(
        (installation.conf / "run" / "status.json").exists,
        within_s=60,
        describe="the listener works",
    )
    assert rpc.process(LISTENER).exit_code != 78


@pytest.mark.timeout(180)
def test_what_python_prints_as_it_starts_is_not_on_the_listeners_channel(
    installation: Installation,
) -> None:
    """A sitecustomize that writes at once: it is heard of all the same."""
    (installation.folder / "sitecustomize.py").write_text(
        "print('agent 1.2 loaded', flush=True)\n"
    )
    installation.edit(
        "supervisord.conf",
        "buffer_size=5000\n",
        f'buffer_size=5000\nenvironment=PYTHONPATH="{installation.folder}:{ROOT}"\n',
    )
    installation.run()

    eventually(
        (installation.conf / "run" / "status.json").exists,
        within_s=60,
        describe="the listener hears supervisord",
    )
    assert "agent 1.2 loaded" in installation.log("swarm_event_listener.log")
    assert "UNKNOWN" not in installation.log("supervisord.log")
    assert "no findings" in installation.ctl("swarm", "doctor").stdout


@pytest.mark.timeout(180)
def test_a_wrapper_that_prints_is_named(installation: Installation) -> None:
    """By the listener, which cannot help it, and by the doctor with its words."""
    wrapper = installation.folder / "wrapper"
    wrapper.write_text('#!/bin/sh\necho agent 1.2 loaded\nexec "$@"\n')
    wrapper.chmod(0o755)
    installation.edit(
        "supervisord.conf",
        "command=swarm-event-listener",
        f"command={wrapper} swarm-event-listener",
    )
    installation.run()

    found = installation.ctl("swarm", "doctor").stdout
    assert "its command prints 'agent 1.2 loaded\\n' on stdout" in " ".join(
        found.split()
    )
    eventually(
        lambda: "listener_unheard" in installation.log("swarm_event_listener.log"),
        within_s=90,
        describe="the listener ends",
    )
    log = installation.log("swarm_event_listener.log")
    assert "something was printed on its stdout" in log
    assert "nothing has come at all" not in log, "supervisord's log has told"
