"""Kinds of arrays, as annotations name them."""

from typing import Any

import numpy as np
import numpy.typing as npt

type Array = npt.NDArray[Any]
type Floats = npt.NDArray[np.float64]
type Floats32 = npt.NDArray[np.float32]
type Ints = npt.NDArray[np.int64]
