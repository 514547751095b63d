"""Some of many, always the same ones."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Points = npt.NDArray[np.floating]
Codes = npt.NDArray[np.int64]


def evenly(rows: Codes, most: int) -> Codes:
    """Take so many rows at most, evenly spaced."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))
    return np.asarray(rows[chosen])
