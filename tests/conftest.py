"""What holds for all tests, whoever starts them, and where."""

import tempfile

from tests.signals import take_none_as_ignored

take_none_as_ignored()

# The path of a socket holds 108 bytes; pytest's folders take 60 of them.
if len(tempfile.gettempdir()) > 30:
    tempfile.tempdir = "/tmp"  # noqa: S108 - files in it are in pytest's own folder
