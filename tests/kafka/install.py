"""Apache Kafka's jars: what they need on this machine, and where they are.

Maven resolves ``pom.xml`` into its own local repository. The resulting classpath is
remembered in the user's cache directory under a hash of ``pom.xml``, so that Maven is
started once per version of that file. Nothing is written inside the clone.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
POM = HERE / "pom.xml"
JAVA_LEAST = 17  # Source: Kafka 4 upgrade notes, brokers need Java 17
BUILD_CLASSPATH = (
    "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath"
)
DOWNLOAD_WITHIN_S = 900.0


class InstallError(Exception):
    """Kafka's jars could not be had; the text says what to do."""


def java_major(version_text: str) -> int | None:
    """Major version from ``java -version``; None when the text names none."""
    found = re.search(r'version "(?:1\.)?(\d+)', version_text)
    return int(found[1]) if found else None


def missing(
    *, java_version_text: str | None, has_maven: bool, has_jars: bool
) -> str | None:
    """One line that says what keeps Kafka from running here; None when nothing does.

    ``java_version_text`` is None when there is no ``java``. Maven is needed only
    until the jars are there.
    """
    lacks = []
    if java_version_text is None:
        lacks.append(f"no java (JAVA_HOME or PATH), needs {JAVA_LEAST} or newer")
    else:
        major = java_major(java_version_text)
        if major is None or major < JAVA_LEAST:
            first_line = java_version_text.partition("\n")[0]
            lacks.append(f"java is {first_line!r}, needs {JAVA_LEAST} or newer")
    if not has_maven and not has_jars:
        lacks.append("no mvn on PATH, needed once to download Kafka")
    return f"Apache Kafka cannot run here: {'; '.join(lacks)}" if lacks else None


def absence_is_failure(environ: Mapping[str, str]) -> bool:
    """Whether a missing Kafka fails its tests (``CI=true``), or skips them."""
    return environ.get("CI", "").lower() == "true"


def java_command() -> str | None:
    """The ``java`` of ``JAVA_HOME``, else of ``PATH``; None when there is none."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=f"{home}/bin" if home else None)


def kafka_version() -> str:
    """Version of Apache Kafka that ``pom.xml`` asks for."""
    artifacts = POM.read_text(encoding="utf-8").partition("kafka_2.13</artifactId>")
    found = re.search(r"<version>([^<]+)</version>", artifacts[2])
    assert found is not None, f"{POM} names no version of Kafka"
    return found[1]


def missing_here() -> str | None:
    """Ask this machine what ``missing`` asks for."""
    return missing(
        java_version_text=_java_version_text(),
        has_maven=shutil.which("mvn") is not None,
        has_jars=_remembered_classpath() is not None,
    )


def classpath() -> str:
    """Kafka's runtime classpath; downloads it the first time, which may take minutes.

    Runs side by side wait for each other; a killed run leaves nothing that a later
    one could mistake for a result.

    Raises:
        InstallError: Maven failed; with the end of what it printed.
    """
    known = _remembered_classpath()
    if known is not None:
        return known
    with _alone():
        return _remembered_classpath() or _resolve()


def is_installed() -> bool:
    """Whether ``classpath`` answers without Maven."""
    return _remembered_classpath() is not None


def _java_version_text() -> str | None:
    java = java_command()
    if java is None:
        return None
    ran = subprocess.run(
        [java, "-version"], capture_output=True, text=True, check=False, timeout=60
    )
    return ran.stderr or ran.stdout


def _cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    return Path(base) / "kafka-consumer-swarm" / f"kafka-{digest}"


def _remembered_classpath() -> str | None:
    """The classpath on record, if all its jars still exist."""
    try:
        text = (_cache_dir() / "classpath").read_text().strip()
    except FileNotFoundError:
        return None
    return text if all(map(os.path.exists, text.split(os.pathsep))) else None


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other runs out of Maven; the kernel frees the lock of a killed one."""
    cache = _cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _resolve() -> str:
    """Run Maven; put its answer in place with a rename."""
    cache = _cache_dir()
    fresh = cache / "classpath.new"
    fresh.unlink(missing_ok=True)
    ran = subprocess.run(
        [
            *("mvn", "--batch-mode", "--no-transfer-progress", "--file", str(POM)),
            *(BUILD_CLASSPATH, f"-Dmdep.outputFile={fresh}", "-DincludeScope=runtime"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=DOWNLOAD_WITHIN_S,
        cwd=cache,
    )
    if ran.returncode != 0 or not fresh.exists():
        raise InstallError(f"mvn could not resolve {POM}:\n{ran.stdout[-3000:]}")
    fresh.replace(cache / "classpath")
    return (cache / "classpath").read_text().strip()
