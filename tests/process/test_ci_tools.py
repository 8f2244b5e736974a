"""What the build server installs, with an apt-get that is played here."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.supervisord import ROOT

pytestmark = pytest.mark.process

NEEDED = (
    *("bash", "chmod", "env", "grep", "mktemp", "rm", "sh", "tee", "timeout", "true"),
)
USER_ID = "#!/bin/sh\necho {}\n"
SUDO = '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n'
NO_SUDO = "#!/bin/sh\nexit 1\n"
APT_GET = """#!/bin/sh
echo "$@" >> {folder}/calls
[ -x {folder}/usr/sbin/policy-rc.d ] && {folder}/usr/sbin/policy-rc.d
echo "policy $?" >> {folder}/calls
{does}
"""
FAILS = """
echo "Reading package lists..."
echo "E: Failed to fetch http://x  Temporary failure resolving 'x'" >&2
echo "E: Unable to fetch some archives" >&2
exit 100
"""


@dataclass(frozen=True)
class Machine:
    """A folder with all commands that there are."""

    folder: Path

    def has(self, name: str, text: str = "#!/bin/sh\n") -> None:
        """Put a command there."""
        path = self.folder / "bin" / name
        path.write_text(text, "utf-8")
        path.chmod(0o755)

    def has_apt_get(self, does: str = "") -> None:
        """Put apt-get there."""
        self.has("apt-get", APT_GET.format(folder=self.folder, does=does))

    def run(self) -> str:
        """Run `.ci/tools`; return what it says."""
        environ = {"PATH": str(self.folder / "bin"), "DPKG_ROOT": str(self.folder)}
        ran = subprocess.run(
            [ROOT / ".ci" / "tools"], env=environ, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    @property
    def calls(self) -> str:
        """What apt-get was called with, and what it was told of starting services."""
        path = self.folder / "calls"
        return path.read_text("utf-8") if path.exists() else ""

    @property
    def policy(self) -> Path:
        """What tells Debian's packages whether they may start services."""
        return self.folder / "usr" / "sbin" / "policy-rc.d"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a shell, and neither browser nor promtool."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "usr" / "sbin").mkdir(parents=True)
    for name in NEEDED:
        path = shutil.which(name)
        assert path is not None, name
        (tmp_path / "bin" / name).symlink_to(path)
    machine = Machine(tmp_path)
    machine.has("id", USER_ID.format(0))
    return machine


def test_what_is_missing_is_installed_and_not_started(machine: Machine) -> None:
    """Nothing that is here already; the word on services does not stay."""
    machine.has("chromium-browser")
    machine.has_apt_get()

    assert machine.run() == ""
    update, told, install, told_again = machine.calls.splitlines()
    assert update.split()[-1] == "update"
    assert install.split()[-4:] == [
        *("install", "--no-install-recommends", "chromium-driver", "prometheus")
    ]
    assert (told, told_again) == ("policy 101", "policy 101")
    assert not machine.policy.exists()


def test_a_machines_own_word_on_services_stays(machine: Machine) -> None:
    """As in Debian's images."""
    machine.policy.write_text("#!/bin/sh\nexit 104\n", "utf-8")
    machine.policy.chmod(0o755)
    machine.has_apt_get()

    assert machine.run() == ""
    assert "policy 104" in machine.calls
    assert "exit 104" in machine.policy.read_text("utf-8")


def test_where_all_is_there_nothing_is_asked_for(machine: Machine) -> None:
    """On a build server that has them, and on the second run."""
    machine.has_apt_get(FAILS)
    for name in ("chromium", "chromedriver", "promtool"):
        machine.has(name)

    assert machine.run() == ""
    assert machine.calls == ""


def test_why_it_cannot_be_had_is_one_line(machine: Machine) -> None:
    """The first thing that apt-get complains of."""
    machine.has_apt_get(FAILS)

    assert machine.run() == (
        "apt-get: E: Failed to fetch http://x  Temporary failure resolving 'x'\n"
    )
    assert not machine.policy.exists()


def test_without_apt_get_that_is_why(machine: Machine) -> None:
    """On another system than Debian."""
    assert machine.run() == "there is no apt-get\n"


def test_who_is_not_root_becomes_so(machine: Machine) -> None:
    """Where no password is asked for."""
    machine.has("id", USER_ID.format(1000))
    machine.has("sudo", SUDO)
    machine.has_apt_get()

    assert machine.run() == ""
    assert machine.calls.count("policy 101") == 2
    assert not machine.policy.exists()


@pytest.mark.parametrize("has_sudo", [True, False])
def test_without_root_that_is_why(machine: Machine, *, has_sudo: bool) -> None:
    """It does not wait for a password."""
    machine.has("id", USER_ID.format(1000))
    machine.has_apt_get()
    if has_sudo:
        machine.has("sudo", NO_SUDO)

    assert machine.run() == "apt-get needs root\n"
    assert machine.calls == ""
