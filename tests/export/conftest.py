"""What eager networks and graphs are compared by."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _neighbours_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eager networks ask ``window_match`` for each neighbour's match, as graphs do.

    The operator that scores them together adds in another order. That decides between patches that are equal
    but for rounding, and alone between those: tests/nn/test_propagate.py compares the two.
    """
    monkeypatch.setattr("apnt.nn.matching.takes_strips", lambda _: False)
