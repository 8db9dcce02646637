"""Makes the interpreter importable as ``ptxsim``; all is skipped, with the reason, where it cannot
compile."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from ptxsim import host

reason = host.unavailable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if reason is None:
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def compiled() -> host.Compiled:
    return host.compiled()
