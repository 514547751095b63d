"""What unit tests share."""

import numpy as np
import pytest


@pytest.fixture
def overlapping_clusters() -> tuple[np.ndarray, np.ndarray]:
    """Four correlated clusters of 600 points that overlap, and a partition of which a third is wrong."""
    rng = np.random.default_rng(7)
    truth = rng.integers(4, size=600)
    x = (rng.normal(scale=2, size=(4, 5))[truth] + rng.normal(size=(600, 5))) @ rng.normal(size=(5, 5))
    return x, np.where(rng.random(600) < 0.67, truth, rng.integers(4, size=600))
