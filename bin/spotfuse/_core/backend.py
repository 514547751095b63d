"""Where numbers are worked on: NumPy on the processor, CuPy or torch on a GPU, by one code (the array API)."""

import ctypes
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from scipy import sparse

from spotfuse._core.errors import InputError, MachineError
from spotfuse._core.types import Floats

type Array = Floats  # of whichever library


def device(name: str = "auto") -> str:
    """Decide where to work.

    Parameters
    ----------
    name
        ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.

    Returns
    -------
    ``cpu`` or ``cuda``

    Raises
    ------
    InputError
        For another name, or for ``cuda`` where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"device is {name!r}; it must be auto, cpu or cuda")
    found = name != "cpu" and _has_cuda()
    if name == "cuda" and not found:
        raise MachineError("device cuda: no CUDA device is found here; take device cpu or auto")
    return "cuda" if found else "cpu"


def _has_cuda() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")  # no driver: no need to wait for torch to be imported
    except OSError:
        return False
    import torch

    return torch.cuda.is_available()


@dataclass(frozen=True)
class Library:
    """Arrays of one kind.

    Attributes
    ----------
    xp
        Its functions, named as in the array API.
    special
        What has its `ndtr`, `log_ndtr` and `ndtri`.
    put
        Gives NumPy's array, or SciPy's CSR matrix, as one of this kind.
    get
        Gives NumPy's array of one of this kind.
    """

    xp: Any
    special: Any
    put: Callable[[Any], Any]
    get: Callable[[Any], Array]


def library(place: str = "cpu", name: str | None = None) -> Library:
    """Take NumPy on the processor; on a GPU CuPy where it is installed, else torch.

    Parameters
    ----------
    place
        As `device` gives it.
    name
        ``numpy``, ``cupy`` or ``torch``, if that is not to be chosen.
    """
    if name is None:
        on_gpu = "cupy" if importlib.util.find_spec("cupy") else "torch"
        name = on_gpu if place == "cuda" else "numpy"
    xp = importlib.import_module(f"array_api_compat.{name}")
    if name == "numpy":
        return Library(xp, importlib.import_module("scipy.special"), lambda values: values, np.asarray)
    if name == "cupy":
        matrices = importlib.import_module("cupyx.scipy.sparse")
        special = importlib.import_module("cupyx.scipy.special")
        return Library(
            xp,
            special,
            lambda values: matrices.csr_matrix(values) if sparse.issparse(values) else xp.asarray(values),
            lambda values: np.asarray(values.get()),
        )
    import torch

    def put(values: Any) -> torch.Tensor:
        if sparse.issparse(values):
            matrix: Any = torch.sparse_csr_tensor
            parts = (torch.as_tensor(part, device=place) for part in (values.indptr, values.indices, values.data))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that this layout is in beta
                return cast(torch.Tensor, matrix(*parts, size=values.shape))
        return torch.as_tensor(values, device=place)

    return Library(xp, torch.special, put, lambda values: np.asarray(values.cpu().numpy()))
