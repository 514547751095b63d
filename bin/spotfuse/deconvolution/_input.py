"""A slice and a reference brought together: the same genes, cells with a type, counts on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse import graphs, reference
from spotfuse.errors import InputError

type Table = pd.DataFrame | npt.NDArray[Any] | sparse.spmatrix


@dataclass(frozen=True)
class Matched:
    """Counts over the shared genes that either side has.

    Attributes
    ----------
    counts, cells
        Raw counts, of shapes (n_spots, n_genes) and (n_cells, n_genes); no cell is empty.
    coordinates
        Of shape (n_spots, 2).
    codes
        Type of each cell, an index into `types`.
    types
        Sorted by name.
    cell_names, genes
        Names of the cells and, as the slice has them, of the genes.
    n_shared
        Genes that both sides name, with counts or not.
    notes
        What was put right, one line each.
    """

    counts: sparse.csr_matrix
    cells: sparse.csr_matrix
    coordinates: npt.NDArray[np.float64]
    codes: npt.NDArray[np.intp]
    types: list[str]
    cell_names: pd.Index
    genes: pd.Index
    n_shared: int
    notes: list[str]

    def neighbours(self, k: int) -> sparse.csr_matrix:
        """Give the spatial graph, of shape (n_spots, n_spots); without edges where there are fewer than three spots."""
        n_spots = len(self.coordinates)
        if n_spots < 3:
            return sparse.csr_matrix((n_spots, n_spots))
        spots = pd.DataFrame(index=[str(i) for i in range(n_spots)])
        return graphs.spatial_graph(AnnData(obs=spots, obsm={"spatial": self.coordinates}), k)

    def summary(self) -> dict[str, Any]:
        """Give the numbers of things."""
        return {
            "n_spots": self.counts.shape[0],
            "n_types": len(self.types),
            "n_cells": len(self.codes),
            "n_genes_shared": self.n_shared,
            "n_genes_used": len(self.genes),
            "cells_per_type": {name: int((self.codes == k).sum()) for k, name in enumerate(self.types)},
        }


def reference_cells(sc: AnnData, cell_type_key: str, max_cells_per_type: int, seed: int) -> AnnData:
    """Clean a reference that was read already; see `spotfuse.reference.clean`; `InputError` without the column."""
    if cell_type_key not in sc.obs:
        raise InputError(f"the reference has no column '{cell_type_key}' for the cell types")
    return reference.clean(
        sparse.csr_matrix(sc.X),
        sc.obs[cell_type_key],
        sc.var,
        notes=list(sc.uns.get("spotfuse", {}).get("notes", [])),
        max_cells_per_type=max_cells_per_type,
        seed=seed,
    )


def match(st: AnnData, cells: AnnData) -> Matched:
    """Keep the genes that both sides have counts of, and the cells that have some of these.

    Parameters
    ----------
    st
        Raw counts and ``obsm['spatial']``.
    cells
        From `spotfuse.reference.clean`.

    Returns
    -------
    Matched
        Counts of both, of the genes kept; types of the cells, as numbers.

    Raises
    ------
    InputError
        For negative values, and when too few genes are shared or none has counts on both sides.
    """
    same = reference.match_genes(st.var, cells.var)
    counts, cell_counts = sparse.csr_matrix(st.X), sparse.csr_matrix(cells.X)
    for name, matrix in (("slice", counts), ("reference", cell_counts)):
        if matrix.nnz and matrix.data.min() < 0:
            raise InputError(f"the {name} has negative values; give raw counts")
    in_spots = np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()[same.slice_index] > 0
    seen = in_spots & (np.asarray(cell_counts.sum(axis=0, dtype=np.float64)).ravel()[same.reference_index] > 0)
    if not seen.any():
        raise InputError("no gene has counts in both the slice and the reference")
    counts = _columns(counts, same.slice_index[seen])
    cell_counts = _columns(cell_counts, same.reference_index[seen])
    has_counts = np.asarray(cell_counts.sum(axis=1)).ravel() > 0
    labels = cells.obs["cell_type"].astype(str)
    lost = sorted(set(labels) - set(labels[has_counts]))
    labels = labels[has_counts]
    types = sorted(labels.unique())
    notes = list(dict.fromkeys(map(str, cells.uns["spotfuse"]["notes"])))  # once, though cleaned twice
    if lost:
        notes.append(f"cell types without counts in the shared genes left out: {', '.join(lost)}")
    if same.how != "compared as they are":
        notes.append(f"gene names {same.how}")
    return Matched(
        counts,
        cell_counts if has_counts.all() else sparse.csr_matrix(cell_counts[has_counts]),
        np.asarray(st.obsm["spatial"], dtype=np.float64)[:, :2],
        pd.Categorical(labels, categories=types).codes.astype(np.intp),
        types,
        cells.obs_names[has_counts],
        st.var_names[same.slice_index][seen],
        len(same.slice_index),
        notes,
    )


def _columns(counts: sparse.csr_matrix, index: npt.NDArray[np.intp]) -> sparse.csr_matrix:
    """Take columns, without another copy of a large slice where all are taken as they are."""
    whole = np.array_equal(index, np.arange(counts.shape[1]))
    return counts if whole else sparse.csr_matrix(counts[:, index])


def labels_of(celltype: pd.Series | pd.DataFrame | Sequence[str] | npt.NDArray[Any]) -> pd.Series:
    """Find the labels of cells, in a table in the column named like it, or else its first."""
    if isinstance(celltype, pd.DataFrame):
        known = [c for c in celltype if str(c).lower().replace("_", "") in ("celltype", "annotation", "label")]
        celltype = celltype[known[0]] if known else celltype.iloc[:, 0]
    return pd.Series(np.asarray(celltype, dtype=object))


def orientation(st_data: Table, sc_data: Table, n_spots: int, n_cells: int) -> tuple[bool, bool]:
    """Tell whether spots, and whether cells, are rows: by shared names, or by shapes."""
    if isinstance(st_data, pd.DataFrame) and isinstance(sc_data, pd.DataFrame):
        st_axes = [set(map(str, st_data.columns)), set(map(str, st_data.index))]
        sc_axes = [set(map(str, sc_data.columns)), set(map(str, sc_data.index))]
        shared = {(i, j): len(st_axes[i] & sc_axes[j]) for i in (0, 1) for j in (0, 1)}
        i, j = max(shared, key=lambda axes: (shared[axes], -sum(axes)))
        return i == 0, j == 0
    st_shape, sc_shape = np.shape(st_data), np.shape(sc_data)
    return st_shape[0] == n_spots, sc_shape[0] == n_cells


def to_anndata(data: Table, rows_first: bool) -> AnnData:
    """Make a slice or a reference of a table or an array."""
    if isinstance(data, pd.DataFrame):
        data = data if rows_first else data.T
        matrix = sparse.csr_matrix(data.to_numpy(dtype=np.float64))
        rows, columns = data.index.astype(str), data.columns.astype(str)
    else:
        matrix = sparse.csr_matrix(data if rows_first else data.T)
        rows, columns = (pd.RangeIndex(n).astype(str) for n in matrix.shape)
    return AnnData(matrix, obs=pd.DataFrame(index=rows), var=pd.DataFrame(index=columns))
