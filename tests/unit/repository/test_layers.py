"""The contracts of the layers hold, and each fails where an import breaks it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[3]
PACKAGES: Final = ("swarm_worker", "swarm_event_listener")
FOLDER_MODULES_MAX: Final = 15

# Contract, importing module, imported module: the import must break the contract.
BROKEN: Final = [
    ("node", "swarm_worker.shared.report", "swarm_worker.process.exit_codes"),
    ("node", "swarm_worker.reporting.progress", "swarm_worker.processing.poison"),
    ("node", "swarm_worker.processing.lane", "swarm_worker.kafka.consumer"),
    ("node", "swarm_worker.node.node", "swarm_worker.demo.app"),
    (
        "kafka",
        "swarm_worker.kafka.monitoring.monitor",
        "swarm_worker.kafka.assignment",
    ),
    ("listener", "swarm_event_listener.core.node", "swarm_event_listener.storage"),
    (
        "listener",
        "swarm_event_listener.listener.loop",
        "swarm_event_listener.ctl.session",
    ),
    (
        "listener",
        "swarm_event_listener.outlets.status",
        "swarm_event_listener.doctor.finding",
    ),
    (
        "core",
        "swarm_event_listener.core.model.rules",
        "swarm_event_listener.core.restart.restart",
    ),
    (
        "core",
        "swarm_event_listener.core.restart.stopping",
        "swarm_event_listener.core.node",
    ),
    (
        "ctl",
        "swarm_event_listener.ctl.known.node_rows",
        "swarm_event_listener.ctl.view.table",
    ),
    ("shared", "swarm_event_listener.listener.main", "swarm_worker.app"),
    ("shared", "swarm_event_listener.ctl.dead_letters", "swarm_worker.admin"),
    ("shared", "swarm_worker.shared.logs", "swarm_worker.processing.lanes"),
    ("shared", "swarm_worker.shared.settings", "confluent_kafka"),
    ("apart", "swarm_worker.demo.app", "swarm_event_listener.core.health"),
    ("apart", "swarm_worker.shared.report", "msgspec"),
    ("supervisor", "swarm_event_listener.ctl.session", "supervisor.xmlrpc"),
    ("pure", "swarm_event_listener.core.healing.guards", "time"),
    ("pure", "swarm_event_listener.core.restart.starting", "logging"),
    ("pure", "swarm_event_listener.core.model.record", "pathlib"),
    ("pure", "swarm_worker.kafka.monitoring.statistics", "threading"),
    ("pure", "swarm_worker.processing.lane", "threading"),
    ("pure", "swarm_worker.app.routing", "os"),
    ("shared-state", "swarm_worker.processing.lanes", "time"),
]


def test_the_contracts_are_kept() -> None:
    """As ``make check`` has it."""
    assert lint(ROOT).returncode == 0


@pytest.fixture(name="copy", scope="module")
def copy_of_the_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with both packages and their contracts."""
    folder = tmp_path_factory.mktemp("packages")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize(("contract", "importing", "imported"), BROKEN)
def test_an_import_against_a_contract_breaks_it(
    copy: Path, contract: str, importing: str, imported: str
) -> None:
    """The linter names the contract and the import."""
    module = copy / f"{importing.replace('.', '/')}.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(f"{text}\nimport {imported}\n", encoding="utf-8")
    try:
        linted = lint(copy, "--contract", contract)
    finally:
        module.write_text(text, encoding="utf-8")

    assert linted.returncode == 1
    assert "1 broken" in linted.stdout
    assert importing in linted.stdout
    assert imported.partition(".")[0] in linted.stdout


@pytest.mark.parametrize(
    ("contract", "package"),
    [
        ("node", "swarm_worker"),
        ("listener", "swarm_event_listener"),
        ("core", "swarm_event_listener/core"),
        ("ctl", "swarm_event_listener/ctl"),
    ],
)
def test_a_new_room_has_to_find_its_place(
    copy: Path, contract: str, package: str
) -> None:
    """What no contract names could import whatever it liked."""
    new = copy / package / "attic"
    new.mkdir()
    (new / "__init__.py").touch()
    try:
        linted = lint(copy, "--contract", contract)
    finally:
        shutil.rmtree(new)

    assert linted.returncode == 1
    assert "attic" in linted.stdout


def test_each_contract_has_an_import_that_breaks_it() -> None:
    """A contract that nothing can break proves nothing."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    contracts = {each["id"] for each in tools["importlinter"]["contracts"]}

    assert contracts == {contract for contract, _, _ in BROKEN}


def test_rooms_are_small_and_hold_more_than_one_thing() -> None:
    """A folder that one cannot overlook, or that holds one file, is no room."""
    for room, modules in rooms().items():
        assert 2 <= len(modules) <= FOLDER_MODULES_MAX, room


def rooms() -> dict[Path, list[Path]]:
    """Return the modules of each folder of both packages, but for ``__init__``."""
    return {
        init.parent: [
            path for path in init.parent.glob("*.py") if path.name != "__init__.py"
        ]
        for package in PACKAGES
        for init in (ROOT / package).rglob("__init__.py")
    }


def lint(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the linter on the packages of a folder."""
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [str(program), "--no-cache", "--no-logo", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
