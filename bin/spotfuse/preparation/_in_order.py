"""A caller's slice in the order in which all is computed, and the way back to the caller's."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse import io
from spotfuse._core import keys
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Floats
from spotfuse.preparation._qc import neutral_order, take


@dataclass(frozen=True)
class InOrder:
    """A slice whose spots stand in an order that what they hold decides, and whose genes stand by name.

    Sums, draws and starts then do not hang on how the caller's rows and columns happen to stand, and are those of the
    pipeline's steps.

    Attributes
    ----------
    adata
        The slice, of shape (n_spots, n_genes), or (n_spots, 0) without counts.
    rows
        Of each of its spots the row in the caller's slice.
    """

    adata: AnnData
    rows: npt.NDArray[np.intp]

    @classmethod
    def of(
        cls,
        adata: AnnData,
        *,
        counts: bool = False,
        obsm: Iterable[str] = (),
        obsp: Iterable[str] = (),
        anew: bool = False,
    ) -> "InOrder":
        """Bring a slice into order.

        Parameters
        ----------
        adata
            The caller's, which stays as it is. ``obs['neutral_order']`` says the order; without it, the counts do.
        counts
            Bring raw counts along, of which then a spot that has none is refused.
        obsm, obsp
            What else to bring along; `InputError` where one is not there. Coordinates come with the counts.
        anew
            Let the counts say the order, whatever `adata` says.
        """
        keys.need(adata, "obsm", *obsm)
        keys.need(adata, "obsp", *obsp)
        known = keys.ORDER in adata.obs and not anew
        X = place = None
        if counts or not known:
            X, place = counts_of(adata), io.coordinates_of(adata, "adata", Notes())
            _check(X, place, judged=keys.QC in adata.uns.get(keys.NOTE, {}))
        if known:
            rows = np.lexsort((adata.obs_names.to_numpy(str), adata.obs[keys.ORDER].to_numpy()))
        else:
            rows = neutral_order(X, adata.var_names, adata.obs_names, place)
        note = {**adata.uns.get(keys.NOTE, {}), "notes": []}
        if counts:
            whole = AnnData(X, obs=adata.obs, var=adata.var, obsm={keys.SPATIAL: place})
            ordered = take(whole, rows, np.argsort(adata.var_names))
        else:
            ordered = AnnData(obs=adata.obs.iloc[rows])
        for name in obsm:
            ordered.obsm[name] = adata.obsm[name][rows]
        for name in obsp:
            ordered.obsp[name] = _permuted(adata.obsp[name], rows)
        ordered.uns[keys.NOTE] = note
        return cls(ordered, np.asarray(rows, dtype=np.intp))

    def back[Values: (np.ndarray, sparse.csr_matrix, pd.Series, pd.DataFrame)](self, values: Values) -> Values:
        """Give what has a row for each spot in the caller's order."""
        at = np.argsort(self.rows)
        return values.iloc[at] if isinstance(values, pd.Series | pd.DataFrame) else values[at]

    def graph_back(self, graph: sparse.csr_matrix) -> sparse.csr_matrix:
        """Give a graph, of shape (n_spots, n_spots), in the caller's order."""
        return _permuted(graph, np.argsort(self.rows))


def counts_of(adata: AnnData) -> sparse.csr_matrix:
    """Give a slice's raw counts, float32 of shape (n_spots, n_genes), in whatever of X, layers or raw they are.

    Parameters
    ----------
    adata
        The slice.

    Returns
    -------
    csr_matrix; the slice's own where its X is one.

    Raises
    ------
    InputError
        Without counts, or where these are of other genes than X.
    """
    found = io.counts_of(adata, "adata", Notes())
    if not found.var_names.equals(adata.var_names):
        raise InputError("adata: its counts are in raw, of other genes than X; go on with adata.raw.to_adata()")
    return sparse.csr_matrix(found.X, dtype=np.float32)


def _check(counts: sparse.csr_matrix, place: Floats, *, judged: bool) -> None:
    """Refuse spots that nothing can be said of; quality control has judged by all genes, of which it dropped some."""
    empty = np.zeros(len(place), dtype=bool) if judged else np.diff(counts.indptr) == 0
    for bad, what in ((~np.isfinite(place).all(axis=1), "coordinates"), (empty, "counts")):
        if bad.any():
            raise InputError(f"adata: {bad.sum()} of its spots have no {what}; call sf.pp.qc first")


def _permuted(graph: Any, rows: npt.NDArray[np.intp]) -> sparse.csr_matrix:
    found = sparse.csr_matrix(graph)[rows][:, rows]
    found.sort_indices()  # sums over a spot's neighbours have one order too
    return found
