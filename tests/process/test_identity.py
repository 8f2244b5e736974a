"""Who owns an id in Kafka, where two programs of a machine share a group."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from swarm_worker.config.kafka_properties import consumer_properties
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.node.identity import KEPT_S, SIGNED_EVERY_S, Claim, Identity
from swarm_worker.shared.state_files.instance_claims import (
    Signature,
    file_name,
    signature,
)
from tests.supervisord import ROOT

NOW_S = 1000.0
ORDERS = {"SUPERVISOR_GROUP_NAME": "orders", "SUPERVISOR_PROCESS_NAME": "orders_00"}
REFUNDS = {"SUPERVISOR_GROUP_NAME": "refunds", "SUPERVISOR_PROCESS_NAME": "refunds_00"}
IN_A_GROUP = {"SUPERVISOR_GROUP_NAME": "all", "SUPERVISOR_PROCESS_NAME": "node_0"}


@pytest.fixture(name="settings")
def settings_of_node_0(tmp_path: Path) -> WorkerSettings:
    """Return settings, with a state directory that is still to be made."""
    return WorkerSettings(
        node=0,
        nodes=1,
        kafka={},
        instance_prefix="host",
        state_dir=tmp_path / "run",
    )


def ids(
    settings: WorkerSettings, environ: dict[str, str], now_s: float = NOW_S
) -> tuple[Identity, str]:
    """Return an identity, and the id by which the group knows it."""
    identity = Identity.take(settings, ["billing"], environ, now_s=now_s)
    known = replace(settings, instance_ids=dict(identity.ids))
    return identity, consumer_properties(known, "billing")["group.instance.id"]


def end(identity: Identity) -> None:
    """Do what the end of a process does."""
    for claim in identity._claims:
        claim.close()


def test_a_program_alone_has_the_id_that_it_always_had(
    settings: WorkerSettings,
) -> None:
    """A swarm that is upgraded while it runs keeps its partitions."""
    first, usual = ids(settings, ORDERS)
    assert usual == "host-billing-0"

    end(first)
    assert ids(settings, ORDERS)[1] == "host-billing-0"


def test_the_node_of_a_second_program_has_its_process_in_its_id(
    settings: WorkerSettings,
) -> None:
    """Both are in the group; neither throws the other out."""
    owner, usual = ids(settings, ORDERS)
    _, second = ids(settings, REFUNDS)
    _, third = ids(settings, IN_A_GROUP)

    assert usual == "host-billing-0"
    assert second == "host-billing-refunds_00"
    assert third == "host-billing-all.node_0"
    owner.keep(now_s=NOW_S)


def test_groups_are_owned_one_by_one(settings: WorkerSettings) -> None:
    """Two programs with groups of their own are in nobody's way."""
    _, usual = ids(settings, ORDERS)
    other = Identity.take(settings, ["audit", "billing"], REFUNDS, now_s=NOW_S)

    assert usual == "host-billing-0"
    assert other.ids == {"billing": "host-billing-refunds_00"}


def test_whoever_comes_back_first_takes_no_others_id(settings: WorkerSettings) -> None:
    """After a restart of all, in any order, each is whom Kafka knows."""
    owner, _ = ids(settings, ORDERS)
    second, _ = ids(settings, REFUNDS)
    end(owner)
    end(second)

    assert ids(settings, REFUNDS, NOW_S + 10)[1] == "host-billing-refunds_00"
    assert ids(settings, ORDERS, NOW_S + 20)[1] == "host-billing-0"


def test_an_id_whose_owner_has_gone_for_good_is_free(settings: WorkerSettings) -> None:
    """A program that was renamed, or moved into a [group:x]; another boot."""
    owner, _ = ids(settings, ORDERS)
    assert ids(settings, REFUNDS, NOW_S + 2 * KEPT_S)[1] == "host-billing-refunds_00"
    end(owner)
    assert ids(settings, REFUNDS, NOW_S + KEPT_S)[1] == "host-billing-0"

    rebooted = replace(settings, state_dir=settings.state_dir / "other")
    end(ids(rebooted, ORDERS)[0])
    assert ids(rebooted, REFUNDS, NOW_S - 900)[1] == "host-billing-0"


def test_an_owner_that_lives_shows_it_each_minute(settings: WorkerSettings) -> None:
    """So that its own restart counts from its end, not from its start."""
    owner, _ = ids(settings, ORDERS)
    for minute in range(1, 11):
        owner.keep(now_s=NOW_S + minute * SIGNED_EVERY_S)
    end(owner)

    soon_s = NOW_S + 10 * SIGNED_EVERY_S + KEPT_S - 1
    assert ids(settings, REFUNDS, soon_s)[1] == "host-billing-refunds_00"


def test_a_file_that_somebody_removes_is_there_again(settings: WorkerSettings) -> None:
    """And locked: nobody else gets the id of an owner that lives."""
    owner, _ = ids(settings, ORDERS)
    (path,) = settings.state_dir.glob("*.id")
    path.unlink()
    owner.keep(now_s=NOW_S + 1)

    assert signature(path.read_text()) == Signature("orders:orders_00", 1001)
    assert Claim.take(path, "refunds:refunds_00", now_s=NOW_S + 2 * KEPT_S) is None


def test_a_child_does_not_keep_the_id_of_its_node(settings: WorkerSettings) -> None:
    """Neither by fork nor by exec: the next process of the node has it at once."""
    owner, _ = ids(settings, ORDERS)
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with sleeper:
        end(owner)
        taken = ids(settings, REFUNDS, NOW_S + KEPT_S)[1]
        sleeper.communicate(b"\n")

    assert taken == "host-billing-0"


@pytest.mark.parametrize("environ", [{}, {"SUPERVISOR_GROUP_NAME": "orders"}])
def test_a_node_by_hand_is_as_it_is_told_to_be(
    settings: WorkerSettings, environ: dict[str, str]
) -> None:
    """It owns nothing, and leaves no file."""
    assert ids(settings, environ)[1] == "host-billing-0"
    assert not settings.state_dir.exists()


def test_members_without_an_id_of_their_own_need_none(
    settings: WorkerSettings,
) -> None:
    """With ``static_membership = false`` Kafka gives the ids."""
    dynamic = replace(settings, static_membership=False)

    assert Identity.take(dynamic, ["billing"], ORDERS, now_s=NOW_S).ids == {}
    assert not settings.state_dir.exists()


def test_a_directory_that_cannot_be_used_costs_a_warning(
    settings: WorkerSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """The node joins as ever; two programs that share a group are rare."""
    settings.state_dir.write_text("no directory")

    assert ids(settings, ORDERS)[1] == "host-billing-0"
    assert "instance_id_unclaimed" in caplog.text


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_the_file_of_another_user_is_believed(settings: WorkerSettings) -> None:
    """Two programs of different users in one directory, as with ``user=``."""
    owner, _ = ids(settings, ORDERS)
    (path,) = settings.state_dir.glob("*.id")
    path.chmod(0o444)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from swarm_worker.node.identity import Claim\n"
        "os.setuid(65534)\n"
        "claim = Claim.take(Path(sys.argv[1]), 'refunds:refunds_00', now_s=1010.0)\n"
        "print(claim)\n"
    )

    def asked_by_nobody() -> str:
        return subprocess.run(
            [sys.executable, "-c", code, path.name],
            cwd=settings.state_dir,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert asked_by_nobody() == "None\n"  # locked
    end(owner)
    assert asked_by_nobody() == "None\n"  # signed a moment ago


@pytest.mark.parametrize("text", ["", "x", "x\n", "\n7", "x\nseven", "\udc80"])
def test_half_a_file_says_nothing(settings: WorkerSettings, text: str) -> None:
    """A full disk, or a KILL between its making and its first line."""
    settings.state_dir.mkdir()
    path = settings.state_dir / file_name("host-billing-0")
    path.write_bytes(os.fsencode(text))

    assert ids(settings, ORDERS)[1] == "host-billing-0"


def test_names_of_files_are_short_enough() -> None:
    """Whatever a group is called."""
    assert file_name("host-größe/λ-0") == "host-gr%C3%B6%C3%9Fe%2F%CE%BB-0.id"
    assert len(file_name("λ" * 200)) < 100
    assert file_name("λ" * 200) != file_name("λ" * 201)
