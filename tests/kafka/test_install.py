"""What keeps Kafka from running here is said in one line; in CI it is a failure."""

import pytest

from tests.kafka.install import absence_is_failure, java_major, missing

JAVA_17 = 'openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment'
JAVA_8 = 'java version "1.8.0_402"\nJava(TM) SE Runtime Environment'


@pytest.mark.parametrize(
    ("text", "major"),
    [
        (JAVA_17, 17),
        (JAVA_8, 8),
        ('openjdk version "21" 2023-09-19', 21),
        ('openjdk version "25-ea" 2025-09-16', 25),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_java_version_is_read(text: str, major: int | None) -> None:
    """Old and new version schemes are understood, other text is no version."""
    assert java_major(text) == major


@pytest.mark.parametrize(("has_maven", "has_jars"), [(True, False), (False, True)])
def test_java_with_maven_or_jars_suffices(*, has_maven: bool, has_jars: bool) -> None:
    """Maven is needed only until the jars are there."""
    problem = missing(java_version_text=JAVA_17, has_maven=has_maven, has_jars=has_jars)

    assert problem is None


@pytest.mark.parametrize(
    ("java", "has_maven", "said"),
    [
        (None, True, "no java (JAVA_HOME or PATH), needs 17 or newer"),
        (JAVA_8, True, "java is 'java version \"1.8.0_402\"', needs 17 or newer"),
        (JAVA_17, False, "no mvn on PATH, needed once to download Kafka"),
        (None, False, "needs 17 or newer; no mvn on PATH"),
    ],
)
def test_what_is_missing_is_named_in_one_line(
    java: str | None, said: str, *, has_maven: bool
) -> None:
    """The one line names everything that is missing and what is needed."""
    problem = missing(java_version_text=java, has_maven=has_maven, has_jars=False)

    assert problem is not None
    assert said in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("environ", "fails"),
    [
        ({}, False),
        ({"CI": ""}, False),
        ({"CI": "false"}, False),
        ({"CI": "true"}, True),
    ],
)
def test_absence_fails_in_ci_only(environ: dict[str, str], *, fails: bool) -> None:
    """A required job cannot pass by skipping; a laptop without Java can."""
    assert absence_is_failure(environ) == fails
