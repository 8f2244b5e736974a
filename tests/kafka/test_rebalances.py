"""A stop in the middle of a rebalance, on real Kafka."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from swarm_worker.app import App
from tests.eventually import eventually
from tests.kafka.broker import KafkaBroker
from tests.kafka.nodes import (
    PROTOCOLS,
    Node,
    Seen,
    await_committed,
    produce,
    settings,
    unique,
)
from tests.process.scenes import let_pass
from tests.supervisord import ROOT


def test_stop_during_a_rebalance_commits_what_was_done(
    kafka: KafkaBroker, tmp_path: Path
) -> None:
    """Kafka takes no commit until a sleeping member has rejoined, then none of before.

    A member that has asked to join gets no answer, also to its commits, before all have
    asked. The first answer is that the commit is of a generation that is over.
    """
    name = kafka.create_topic(unique("between"), 4)
    own = PROTOCOLS["cooperative"]
    program = [sys.executable, "-m", "tests.kafka.lone_node", kafka.bootstrap, name]
    arguments = [str(tmp_path / "offsets"), "10", "0", json.dumps(dict(own))]
    app, seen = App(group=name), Seen()
    app.topic(name)(seen)
    with subprocess.Popen([*program, *arguments], cwd=ROOT) as sleeper:
        stopping = Node(app, settings(kafka.bootstrap, kafka=own, node=1)).start()
        try:
            stopping.await_assigned(2)
            mine = [lane.partition for lane in stopping.consumers[0]._lanes.all()]
            os.kill(sleeper.pid, signal.SIGSTOP)
            with Node(app, settings(kafka.bootstrap, kafka=own, node=2)):
                eventually(
                    lambda: stopping.snapshot.unsteady_ms is not None,
                    describe="the rebalance has begun",
                )
                for partition in mine:
                    produce(kafka.bootstrap, name, 10, partition=partition)
                seen.await_count(20)
                stop = threading.Thread(target=stopping.stop)
                stop.start()
                let_pass(1.0)  # it is to ask for its commit before that is possible
                os.kill(sleeper.pid, signal.SIGCONT)
                stop.join()
                await_committed(kafka, name, name, dict.fromkeys(mine, 10))
            assert seen.duplicates == 0
        finally:
            stopping.stop()
            os.kill(sleeper.pid, signal.SIGCONT)
            sleeper.terminate()
