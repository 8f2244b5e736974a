"""The file that both programs read."""

from pathlib import Path

import pytest

from swarm_worker.shared.settings import LISTENER, RULES, WORKER, ConfigError
from swarm_worker.shared.swarm_toml import Document, load


def document(tmp_path: Path, text: str) -> Document:
    """Load a file with this text."""
    path = tmp_path / "swarm.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[worker]\nconcurency = 1", r"'concurency' in \[worker\].*'concurrency'"),
        ("[workers]\n", r"'workers' in the top level.*'worker'"),
        ("[listener]\ngroup = 1", r"expected a table for \[listener.group\]"),
        ("[listener.group.g]\ngroups = []", r"'groups' in \[listener.group.g\]"),
        ("[listener.group]\ng = 3", r"expected a table for \[listener.group.g\]"),
        ("worker = 3", r"expected a table for \[worker\]"),
        ("[worker", "is no TOML"),
        ("a = '\x00'", "is no TOML"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    tmp_path: Path, text: str, told: str
) -> None:
    """A typing error is found by whichever program starts first."""
    with pytest.raises(ConfigError, match=told):
        document(tmp_path, text)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    """Absent files and directories are configuration errors."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match="cannot read"):
            load(path)
    (tmp_path / "latin").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match="is no TOML"):
        load(tmp_path / "latin")


def test_variables_come_from_the_environment(tmp_path: Path) -> None:
    """``${NAME}`` is filled in; an unset name is told with its key."""
    made = document(
        tmp_path,
        '[kafka]\n"sasl.password" = "a${P}b"\n[worker]\ninstance_prefix = "${H}"',
    )

    assert made.kafka({"P": "x"}) == {"sasl.password": "axb"}
    assert made.section("worker", WORKER, {"H": "h1"}) == {"instance_prefix": "h1"}
    with pytest.raises(ConfigError, match=r"\[kafka\] sasl.password.*variable P"):
        made.kafka({})


def test_variables_of_the_other_program_are_not_needed(tmp_path: Path) -> None:
    """The listener does not need the nodes' secrets."""
    made = document(
        tmp_path, '[kafka]\n"sasl.password" = "${P}"\n[listener]\ngroups = ["g"]'
    )

    assert made.section("listener", LISTENER, {}) == {"groups": ("g",)}


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Wherever the program starts, the file's directories are the same."""
    made = document(tmp_path, '[worker]\nstate_dir = "run/locks"')

    assert made.section("worker", WORKER, {}) == {
        "state_dir": str(tmp_path / "run/locks")
    }


def test_a_group_has_rules_of_its_own(tmp_path: Path) -> None:
    """Any rule key may be written again for one group, also one with dots."""
    made = document(tmp_path, '[listener.group."a.b"]\nmemory_limit = "1GB"')

    assert made.section("listener.group.a.b", RULES, {}) == {"memory_limit": 1024}


def test_a_wrong_value_names_its_key(tmp_path: Path) -> None:
    """What was expected, what came, and where."""
    made = document(tmp_path, "[worker]\nmax_messages = 0\n[kafka]\na.b = 1")

    with pytest.raises(ConfigError, match=r"\[worker\] max_messages: .* from 1, got 0"):
        made.section("worker", WORKER, {})
    with pytest.raises(ConfigError, match=r"in quotes"):
        made.kafka({})
