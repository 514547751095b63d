"""A slice and a reference brought together: the same genes, cells with a type, counts on both sides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse import reference
from spotfuse.errors import InputError


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
    """Clean a reference that was read already; see `spotfuse.reference.clean`."""
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
    """
    same = reference.match_genes(st.var, cells.var)
    counts = sparse.csr_matrix(st.X, dtype=np.float64)[:, same.slice_index]
    cell_counts = sparse.csr_matrix(cells.X, dtype=np.float64)[:, same.reference_index]
    for name, matrix in (("slice", counts), ("reference", cell_counts)):
        if matrix.nnz and matrix.data.min() < 0:
            raise InputError(f"the {name} has negative values; give raw counts")
    seen = (np.asarray(counts.sum(axis=0)).ravel() > 0) & (np.asarray(cell_counts.sum(axis=0)).ravel() > 0)
    if not seen.any():
        raise InputError("no gene has counts in both the slice and the reference")
    cell_counts = sparse.csr_matrix(cell_counts[:, seen])
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
        sparse.csr_matrix(counts[:, seen]),
        sparse.csr_matrix(cell_counts[has_counts]),
        np.asarray(st.obsm["spatial"], dtype=np.float64)[:, :2],
        pd.Categorical(labels, categories=types).codes.astype(np.intp),
        types,
        cells.obs_names[has_counts],
        st.var_names[same.slice_index][seen],
        len(same.slice_index),
        notes,
    )
