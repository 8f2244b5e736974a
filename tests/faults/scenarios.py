"""The runs that there are: chaos, chaos with real nodes on Kafka, and the soak."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.faults.kinds import weights
from tests.faults.node_faults import REAL, REPORTED
from tests.faults.stage import Load, Scenario
from tests.kafka import ledgered

CHAOS: Final = Scenario(
    command="tests.chaos",
    weights=weights(lambda kind: kind.chaos),
    illnesses=REPORTED,
    nodes=6,
    limits={
        "node_report_timeout": 2_000,
        "shutdown_timeout": 1_000,
        "node_restart_timeout": 500,
        "max_unavailable": 3,
        "stability_ttl": 3_000,
        # Back-off, too, but a short one: it would only make the run wait.
        "max_restarts": 8,
        "restart_backoff_max": 3_000,
    },
    stop_wait_s=1,
    pause_s=(0.0, 0.7),
    lasts_s=(0.5, 4.0),
    nap_s=0.8,
    peace_within_s=60.0,
)
CHAOS_ON_KAFKA: Final = replace(
    CHAOS,
    command="tests.chaos --kafka",
    weights=weights(lambda kind: kind.on_kafka),
    illnesses=REAL,
    limits={
        **CHAOS.limits,
        "node_report_timeout": 4_000,
        "consuming_ttl": 5_000,
        "stability_ttl": 15_000,
    },
    stop_wait_s=2,
    # A rebalance waits for who is ill; he waits until others, who cannot recover in it,
    # are given up after a minute.
    peace_within_s=120.0,
    load=Load(
        properties=ledgered.CLASSIC,
        session_ms=ledgered.SESSION_MS,
        per_s=200,
        rebalances=True,
        has_tokens=True,
    ),
)
_UNDER_LOAD: Final = Load(properties=ledgered.CLASSIC, session_ms=None, per_s=600)
_SOAK: Final = Scenario(
    command="tests.kafka.soak",
    weights=weights(lambda kind: kind.soak),
    illnesses=REAL,
    nodes=ledgered.NODES,
    # On a busy machine: whoever is restarted must be frozen.
    limits={**ledgered.LIMITS, "node_report_timeout": 8_000},
    stop_wait_s=5,
    pause_s=(0.1, 1.5),
    lasts_s=(0.2, 2.5),
    nap_s=2.5,
    spares_asleep=True,
    peace_within_s=90.0,
    # The default session. A client ends its own when the broker is away for so long,
    # and repeats what it did meanwhile: no bound would hold (see test_outages).
    load=_UNDER_LOAD,
)
# By the group's protocol. KIP-848: a killed node waits for its predecessor's session.
SOAKS: Final = {
    "classic": _SOAK,
    "consumer": replace(
        _SOAK,
        command="tests.kafka.soak --protocol consumer",
        limits=ledgered.LIMITS,  # a frozen node is killed before its session ends
        load=replace(
            _UNDER_LOAD,
            properties=ledgered.KIP_848,
            session_ms=ledgered.SESSION_MS,
        ),
    ),
}
