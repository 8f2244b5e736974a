"""Apache Kafka for the tests of this folder: one for all, or one of a test's own."""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kafka import install
from tests.kafka.broker import KafkaBroker

HERE = Path(__file__).parent
BROKERS = pytest.StashKey[list[KafkaBroker]]()
ABSENT = pytest.StashKey[str]()
TIMEOUT_S = 180  # a broker of a test's own starts within its time


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder; give it time for a broker of its own."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.kafka)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Download Kafka before the first test's clock runs: it can take minutes.

    A failing download is told by the fixture that then needs it.
    """
    wanted = any("kafka_home" in getattr(i, "fixturenames", ()) for i in session.items)
    if not wanted or session.config.option.collectonly:
        return
    if install.missing_here() is None and not install.is_installed():
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line("fetching Apache Kafka through Maven, once …")
        try:
            install.classpath()
        except install.InstallError as error:
            if reporter is not None:
                reporter.write_line(str(error), red=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say once why the tests on Kafka were skipped; dots alone would hide it."""
    if ABSENT in config.stash:
        skipped = terminalreporter.getreports("skipped")
        count = sum(config.stash[ABSENT] in str(report.longrepr) for report in skipped)
        line = f"{count} tests skipped. {config.stash[ABSENT]}"
        terminalreporter.write_line(line, yellow=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the log of each broker in use to the report of a failed test."""
    report = yield
    if report.failed:
        for broker in item.config.stash.get(BROKERS, []):
            report.sections.append(("Apache Kafka", broker.log_tail()))
    return report


@pytest.fixture(scope="session")
def kafka_home(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Callable[[], Path]:
    """Skip, or with ``CI=true`` fail, where Kafka cannot run; else make directories."""
    problem = install.missing_here()
    if problem is not None:
        if install.absence_is_failure(os.environ):
            pytest.fail(problem, pytrace=False)
        pytestconfig.stash[ABSENT] = problem
        pytest.skip(problem)
    return lambda: tmp_path_factory.mktemp("kafka")


@pytest.fixture(scope="session")
def kafka(
    kafka_home: Callable[[], Path], pytestconfig: pytest.Config
) -> Iterator[KafkaBroker]:
    """The broker that tests share: never stop, freeze or reconfigure it."""
    with watched(KafkaBroker(kafka_home()), pytestconfig) as broker:
        yield broker


@pytest.fixture
def own_kafka(
    kafka_home: Callable[[], Path], pytestconfig: pytest.Config
) -> Iterator[Callable[..., KafkaBroker]]:
    """Start brokers of the test's own, to stop, kill, freeze or configure.

    ``own_kafka(config={"group.consumer.session.timeout.ms": "2000"})`` takes what
    ``KafkaBroker`` takes, and returns it running.
    """
    with ExitStack() as brokers:

        def start(**options: Any) -> KafkaBroker:
            broker = KafkaBroker(kafka_home(), **options)
            return brokers.enter_context(watched(broker, pytestconfig))

        yield start


@contextmanager
def watched(broker: KafkaBroker, config: pytest.Config) -> Iterator[KafkaBroker]:
    """Run a broker, known to the reports of tests that fail meanwhile."""
    in_use = config.stash.setdefault(BROKERS, [])
    in_use.append(broker)
    try:
        with broker:
            yield broker
    finally:
        in_use.remove(broker)
        broker.discard_data()
