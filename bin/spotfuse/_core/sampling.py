"""Some of many, always the same ones."""

import numpy as np

from spotfuse._core.types import Ints


def evenly(rows: Ints, most: int) -> Ints:
    """Take so many rows at most, evenly spaced."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))
    return np.asarray(rows[chosen])
