"""The runner of all tests: what it reads off pytest's last line."""

from __future__ import annotations

import pytest

from tests.__main__ import counts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "= 23 failed, 1274 passed in 979.23s (0:16:19) =",
            {"failed": 23, "passed": 1274},
        ),
        ("=== 3 passed, 2 skipped, 1 warning in 1.2s ===", {"passed": 3, "skipped": 2}),
        ("= 1 error in 0.1s =", {"error": 1}),
        ("Killed", {}),
    ],
)
def test_the_counts_of_a_part_are_read(line: str, expected: dict[str, int]) -> None:
    """Passed, failed, skipped and errors count; warnings do not."""
    assert dict(counts(line)) == expected
