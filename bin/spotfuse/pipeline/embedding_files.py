"""What train leaves for the steps after it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from anndata import AnnData

from spotfuse._core import tables
from spotfuse._core.errors import InputError


def write(learned: Any, adata: AnnData) -> None:
    """Write embedding.npz and loss.tsv into the current folder.

    Parameters
    ----------
    learned
        `spotfuse.embedding.Embedding` of the spots of `adata`.
    adata
        The prepared slice.
    """
    np.savez("embedding.npz", spot=adata.obs_names.to_numpy(str), embedding=learned.values, attention=learned.attention)
    tables.write(learned.losses, "loss.tsv")


def read(path: Path, adata: AnnData, prepared: Path) -> npt.NDArray[Any]:
    """Read what `write` wrote of a slice.

    Parameters
    ----------
    path
        embedding.npz.
    adata, prepared
        The prepared slice, and its file.

    Returns
    -------
    ndarray of shape (n_spots, d)

    Raises
    ------
    InputError
        Where it is another slice's.
    """
    with np.load(path) as file:
        spots, embedding = file["spot"], file["embedding"]
    if not np.array_equal(spots, adata.obs_names.to_numpy(str)):
        raise InputError(f"{path}: its spots are not those of {prepared}; train on that file")
    return np.asarray(embedding)
