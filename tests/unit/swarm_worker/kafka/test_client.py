"""What a client is made with: commits in time, and callbacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from swarm_worker.app.routing import GroupPlan
from swarm_worker.config.worker_settings import WorkerSettings
from swarm_worker.kafka.client import making
from swarm_worker.kafka.client.making import is_passing, make_consumer
from swarm_worker.kafka.client.properties import (
    commit_early,
    properties_for,
    with_callbacks,
)
from swarm_worker.process.signals import StopAsked
from swarm_worker.shared.settings import ConfigError, PassingError


def made(group: str = "g", hook: Any = dict, **kafka: Any) -> dict[str, Any]:
    """Return the properties of a group's consumer; ``_`` stands for a dot."""
    settings = WorkerSettings(
        node=0,
        nodes=1,
        kafka={name.replace("_", "."): value for name, value in kafka.items()},
        instance_prefix="vm",
        state_dir=Path(),
    )
    plan = GroupPlan(group=group, routes=(), assignments=(), configure_consumer=(hook,))
    return properties_for(plan, settings)


def test_values_that_are_compared_are_in_one_spelling() -> None:
    """librdkafka takes any case, also from a hook of the app."""
    told = made(
        hook=lambda: {"isolation.level": "Read_Uncommitted"},
        group_protocol=" Consumer",
    )

    assert told["group.protocol"] == "consumer"
    assert told["isolation.level"] == "read_uncommitted"


@pytest.mark.parametrize(
    "group", ['q"x', "q\\x", "q\nx", "q\x00x", "\udce4", "\u00e4" * 60]
)
def test_a_name_that_breaks_the_statistics_is_refused(group: str) -> None:
    """librdkafka escapes nothing; the group may stay, given a client.id."""
    with pytest.raises(ConfigError, match=r"client\.id: .*'vm-.*write \"client.id\" ="):
        made(group)

    assert made(group, client_id="c")["group.id"] == group


@pytest.mark.parametrize("group", ["q'x %s/y", "\u00e4", "x" * 300])
def test_other_names_are_taken(group: str) -> None:
    """What is written as it is."""
    assert made(group)["client.id"] == f"vm-{group}-0"


@pytest.mark.parametrize(
    ("told_ms", "set_ms", "bound_s"),
    [(1_000, 600, 1.0), (100, 60, 1.0), (1, 1, 1.0), (60_000, 36_000, 60.0)],
)
def test_commits_come_well_within_what_is_promised(
    told_ms: int, set_ms: int, bound_s: float
) -> None:
    """That is a second, or the interval that is asked for where it is longer."""
    properties: dict[str, Any] = {"auto.commit.interval.ms": told_ms}

    assert commit_early(properties) == bound_s
    assert properties == {"auto.commit.interval.ms": set_ms}


def test_a_callback_that_the_app_has_brought_is_called_too() -> None:
    """From a hook of `configure_consumer`: ours first, and none is put aside."""
    called: list[tuple[str, object]] = []
    made = with_callbacks(
        {"on_commit": lambda *facts: called.append(("app", facts)), "client.id": "c"},
        {
            "on_commit": lambda *facts: called.append(("node", facts)),
            "error_cb": lambda *facts: called.append(("error", facts)),
        },
    )

    made["on_commit"](None, [])
    made["error_cb"]("e")

    assert called == [
        ("node", (None, [])),
        ("app", (None, [])),
        ("error", ("e",)),
    ]
    assert made["client.id"] == "c"


def refused(**kafka: str) -> ConfigError:
    """Return the complaint of librdkafka about properties; ``_`` stands for a dot."""
    properties = {name.replace("_", "."): value for name, value in kafka.items()}
    base = {"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "log_level": 0}
    with pytest.raises(ConfigError) as told:
        make_consumer({**base, **properties})
    return told.value


@pytest.mark.parametrize("file", ["ca", "certificate", "key", "keystore", "crl"])
def test_a_file_that_is_away_may_come(file: str, tmp_path: Path) -> None:
    """A certificate that is being renewed; also while it is empty."""
    path = tmp_path / "file.pem"
    kafka = {"security_protocol": "SSL", f"ssl_{file}_location": str(path)}
    assert isinstance(refused(**kafka), PassingError)

    path.touch()
    assert isinstance(refused(**kafka), PassingError)


@pytest.mark.parametrize(
    "kafka",
    [
        {"foo_bar": "1"},
        {"session_timeout_ms": "abc"},
        {"session_timeout_ms": "400000"},
        {"security_protocol": "SSL", "ssl_ca_pem": "garbage"},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "FOO"},
    ],
)
def test_properties_that_cannot_work_are_a_mistake(kafka: dict[str, str]) -> None:
    """No file is to be mended but the one that was read."""
    assert not isinstance(refused(**kafka), PassingError)


def test_no_token_and_no_resources_are_passing() -> None:
    """What librdkafka says then (tried on 2.16); the constructor takes 10 s for it."""
    for code in (KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._CRIT_SYS_RESOURCE):
        assert is_passing(KafkaException(KafkaError(code)))
    assert not is_passing(TypeError("expected a string"))


def test_a_stop_within_a_constructor_in_c_is_a_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python makes a SystemError of it: the node crashed where it was to stop."""

    def make(*_: object, **__: object) -> None:
        raise SystemError("returned a result with an exception set") from StopAsked()

    monkeypatch.setattr(making, "Consumer", make)
    with pytest.raises(StopAsked):
        make_consumer({})
