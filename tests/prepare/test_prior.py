"""The table of the prior is the one that the code makes."""

from __future__ import annotations

import numpy as np

from apnt.prepare.prior import LEVELS, TERMS, camera_prior, made_prior


def test_table_is_what_is_made() -> None:
    read, made = camera_prior(), made_prior()
    assert read.basis.shape == (LEVELS - 1, TERMS)
    np.testing.assert_allclose(read.mean, made.mean, atol=1e-9)
    # Directions have no sign, and another linear algebra may choose the other one.
    np.testing.assert_allclose(read.basis @ read.basis.T, made.basis @ made.basis.T, atol=1e-9)
