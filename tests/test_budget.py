"""Amounts of memory, and how much there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from apnt import budget
from apnt.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("800m", 8 * 10**8), ("64KiB", 2**16), (123, 123), ("7", 7)],
)
def test_amounts(text: int | str, expected: int) -> None:
    assert budget.parse_bytes(text) == expected


@pytest.mark.parametrize("wrong", ["", "2 GB each", "-1GB", "GB", 0, -5, "0", True, float("nan"), None])
def test_what_is_no_amount_is_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="memory must be an amount such as 2GB"):
        budget.parse_bytes(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [1, 2])
def test_limits_of_control_groups_count(version: int, tmp_path: Path) -> None:
    most, used, cached = (
        ("memory.max", "memory.current", "inactive_file")
        if version == 2
        else ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    )
    (tmp_path / most).write_text("3000\n")
    (tmp_path / used).write_text("2000\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\n{cached} 700\n")
    assert budget._room(tmp_path) == 1700
    (tmp_path / most).write_text("max\n" if version == 2 else f"{2**63 - 4096}\n")
    assert budget._room(tmp_path) is None


def test_what_is_there_is_plausible() -> None:
    assert 0 < budget.resident() < budget.usual()
