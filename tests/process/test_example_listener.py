"""conf/listeners/mail_on_restart.py under a real supervisord, with a mail server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import TextIO

import pytest

from tests.awaits import await_restarted
from tests.eventually import eventually
from tests.process.swarms import Swarm
from tests.supervisord import ROOT

pytestmark = pytest.mark.process

EXAMPLE = ROOT / "conf" / "listeners" / "mail_on_restart.py"
ADDED = """
[eventlistener:mailer]
command = {python} EXAMPLE --to ops@example.org --smtp 127.0.0.1:PORT OPTIONS
events = REMOTE_COMMUNICATION
buffer_size = 1000
startsecs = 0
stderr_logfile = {folder}/mailer.log

[eventlistener:witness]"""


class MailServer:
    """Takes mails, as much of SMTP as that needs."""

    def __init__(self) -> None:
        self.mails: list[str] = []
        self.is_open = True
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            with client, client.makefile("rw", encoding="utf-8", newline="") as lines:
                self._talk(lines)

    def _talk(self, lines: TextIO) -> None:
        def say(text: str) -> None:
            lines.write(f"{text}\r\n")
            lines.flush()

        say("220 test")
        while line := lines.readline():
            if line.upper().startswith("DATA"):
                say("354 go on")
                mail = ""
                while (part := lines.readline()) != ".\r\n":
                    mail += part
                self.mails.append(mail)
            say("221 bye" if line.upper().startswith("QUIT") else "250 ok")

    def close(self) -> None:
        """End it."""
        self.is_open = False
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[MailServer]:
    """Yield a mail server."""
    server = MailServer()
    yield server
    if server.is_open:
        server.close()


def mailing(port: int, on: str = "") -> dict[str, tuple[tuple[str, str], ...]]:
    """Return the option of a swarm with the example in it."""
    section = ADDED.replace("EXAMPLE", str(EXAMPLE)).replace("PORT", str(port))
    return {"replace": (("\n[eventlistener:witness]", section.replace("OPTIONS", on)),)}


def test_a_restart_is_mailed_with_its_reason(
    start_swarm: Callable[..., Swarm], server: MailServer
) -> None:
    """One mail for one restart, from the published events alone."""
    swarm = start_swarm(nodes=1, **mailing(server.port))
    pid = swarm.tell(0, consume_age_ms=9_000, in_flight=["orders/1@7"])
    await_restarted(swarm, 0, than=pid)
    eventually(lambda: server.mails, describe="a mail")
    swarm.daemon.rpc.send_event("swarm.node.recovered", "{}")  # not asked for
    swarm.daemon.rpc.send_event("theirs", "no json")

    (mail,) = server.mails
    assert "Subject: w:w_00 on " in mail
    assert ": stopping" in mail
    assert f"pid: {pid}" in mail
    assert "status: 2" in mail
    assert "orders/1@7" in mail
    assert swarm.daemon.state("mailer:mailer") == "RUNNING"


def test_every_event_says_the_same_of_a_restart(
    start_swarm: Callable[..., Swarm], server: MailServer
) -> None:
    """Also the last one, when more is known; and a mail server may be gone."""
    on = "--on stopping,started,recovered"
    swarm = start_swarm(nodes=1, **mailing(server.port, on))
    pid = swarm.tell(0, consume_age_ms=9_000)
    new_pid = await_restarted(swarm, 0, than=pid)
    eventually(lambda: len(server.mails) == 3, describe="three mails")

    assert [f"pid: {pid}" in mail for mail in server.mails] == [True] * 3
    assert "cause: rule" in server.mails[2]
    assert f"new_pid: {new_pid}" in server.mails[2]

    server.close()
    swarm.tell(0, consume_age_ms=9_000)
    eventually(
        lambda: "not_mailed node=w:w_00" in swarm.daemon.file("mailer.log"),
        within_s=20,
        describe="a line on stderr",
    )
    assert swarm.daemon.state("mailer:mailer") == "RUNNING"
