"""A slice and a reference brought together: the same genes, cells with a type, counts on both sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse

from spotfuse import io, preparation
from spotfuse._core import naming
from spotfuse._core.errors import InputError
from spotfuse._core.naming import _are_names, align, aligned, by_own_names, unnamed
from spotfuse._core.notes import Notes, listed
from spotfuse.proportions import _gene_matching, _reference
from spotfuse.proportions._settings import SETTINGS

type Table = AnnData | pd.DataFrame | npt.NDArray[Any] | sparse.spmatrix
type Places = AnnData | pd.DataFrame | npt.NDArray[Any]
type Labels = str | pd.Series | pd.DataFrame | Mapping[Any, str] | Sequence[str] | npt.NDArray[Any]


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
        return preparation.spatial_graph(AnnData(obs=spots, obsm={"spatial": self.coordinates}), k)

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


def match(st: AnnData, cells: AnnData, least_genes: int = SETTINGS.reference.least_genes) -> Matched:
    """Keep the genes that both sides have counts of, and the cells that have some of these.

    Parameters
    ----------
    st
        Raw counts and ``obsm['spatial']``.
    cells
        From `spotfuse.proportions.clean_reference`.
    least_genes
        Genes that both must share.

    Returns
    -------
    Matched
        Counts of both, of the genes kept; types of the cells, as numbers.

    Raises
    ------
    InputError
        When too few genes are shared or none has counts on both sides.
    """
    same = _gene_matching.match_genes(st.var, cells.var, least_genes)
    counts, cell_counts = sparse.csr_matrix(st.X), sparse.csr_matrix(cells.X)
    seen = _has_counts(counts)[same.slice_index] & _has_counts(cell_counts)[same.reference_index]
    if not seen.any():
        raise InputError("no gene has counts in both the slice and the reference")
    counts = _columns(counts, same.slice_index[seen])
    cell_counts = _columns(cell_counts, same.reference_index[seen])
    has_counts = np.asarray(cell_counts.sum(axis=1)).ravel() > 0
    labels = cells.obs["cell_type"].astype(str)
    lost = sorted(set(labels) - set(labels[has_counts]))
    labels = labels[has_counts]
    types = sorted(labels.unique())
    notes = Notes(dict.fromkeys(map(str, cells.uns["spotfuse"]["notes"])))  # once, though cleaned twice
    if lost:
        notes.append(f"cell types without counts in the shared genes left out: {listed(lost)}")
    if not_seen := int((np.asarray(counts.sum(axis=1)).ravel() == 0).sum()):
        notes.append(
            f"{not_seen} spots of {counts.shape[0]} have no counts of the genes used; their proportions are the mean "
            "of the others'"
        )
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


def _has_counts(counts: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    """Tell which columns have any, without the copies that sums of columns make."""
    return np.asarray(counts.T @ np.ones(counts.shape[0], counts.dtype) > 0)


def _columns(counts: sparse.csr_matrix, index: npt.NDArray[np.intp]) -> sparse.csr_matrix:
    """Take columns, without another copy of a large slice where all are taken as they are."""
    whole = np.array_equal(index, np.arange(counts.shape[1]))
    return counts if whole else sparse.csr_matrix(counts[:, index])


@dataclass(frozen=True)
class _Counts:
    """Counts with what their rows and columns are called, as they were given or turned.

    Attributes
    ----------
    name
        Of the argument.
    X
        Of shape (n_rows, n_genes).
    rows
        Their names.
    var
        A row a gene, indexed by name.
    turns
        Whether it may lie the other way.
    """

    name: str
    X: sparse.csr_matrix
    rows: pd.Index
    var: pd.DataFrame
    turns: bool

    def ways(self) -> list["_Counts"]:
        """Give the two ways in which it may lie, as given first."""
        if not self.turns:
            return [self]
        turned = _Counts(self.name, self.X.T, self.var.index, pd.DataFrame(index=self.rows), True)
        return [self, turned]


def read(
    sc_data: Table,
    st_data: Table,
    st_coordinates: Places | None,
    celltype: Labels,
    *,
    max_cells_per_type: int,
    seed: int,
) -> tuple[AnnData, AnnData, pd.Index]:
    """Bring together what `AttentionRegressionDeconv` is given; see there.

    Returns
    -------
    st
        The slice, for `match`.
    cells
        The reference, as `spotfuse.proportions.clean_reference` leaves it, with the notes of both.
    spots
        Names of the spots, as given.

    Raises
    ------
    InputError
        For what does not fit together, naming the argument.
    """
    notes = Notes(map(str, sc_data.uns.get("spotfuse", {}).get("notes", [])) if isinstance(sc_data, AnnData) else ())
    st, sc = (_counts(data, name, notes) for data, name in ((st_data, "st_data"), (sc_data, "sc_data")))
    places = _places(st_coordinates, st_data, st, notes)
    labels = _labels(celltype, sc_data, sc, notes)
    st, sc = _oriented(st, sc, places.index, labels.index)
    _check_genes(st.var.index, sc.var.index)
    where, whose = (
        align(part.rows, part.name, given, what)
        for part, given, what in ((st, places.index, "st_coordinates"), (sc, labels.index, "celltype"))
    )
    X, var = _raw(st, notes), st.var.set_axis(_gene_names(st.var.index))
    if not var.index.is_unique:
        told = Notes()
        X, var = _reference.unique_genes(X, var, told)
        notes += [f"st_data: {note}" for note in told]
    spots = AnnData(
        X,
        obs=pd.DataFrame(index=naming.text_index(range(len(st.rows)))),
        var=var,
        obsm={"spatial": _xy(places.iloc[where], notes)},
    )
    cells = _reference.clean_reference(
        _raw(sc, notes),
        labels.iloc[whose].set_axis(naming.text_index(sc.rows)),
        sc.var.set_axis(_gene_names(sc.var.index)),
        notes=notes,
        max_cells_per_type=max_cells_per_type,
        seed=seed,
        source="celltype",
    )
    return spots, cells, st.rows


def _gene_names(names: pd.Index) -> pd.Index:
    """Give text; genes that have no names and go by position are called gene 0, gene 1 and so on."""
    return naming.text_index(f"gene {i}" for i in range(len(names))) if unnamed(names) else naming.text_index(names)


def _counts(data: Table, name: str, notes: Notes) -> _Counts:
    if isinstance(data, AnnData):
        found = io.counts_of(data, name, notes)
        return _Counts(name, found.X, found.obs_names, found.var, False)
    if isinstance(data, pd.DataFrame):
        first = data.iloc[:, 0] if data.shape[1] > 1 else None
        if unnamed(data.index) and first is not None and _are_names(first):
            data = data.iloc[:, 1:].set_axis(pd.Index(first))
        return _Counts(name, io.matrix(data, name), data.index, pd.DataFrame(index=data.columns), True)
    X = io.matrix(data, name)
    rows, columns = (pd.RangeIndex(n).astype(str) for n in X.shape)
    return _Counts(name, X, rows, pd.DataFrame(index=columns), True)


def _raw(given: _Counts, notes: Notes) -> sparse.csr_matrix:
    X = sparse.csr_matrix(given.X)
    return io.counts_in(X, given.name, "the table", notes) if given.turns else X


def _places(given: Places | None, st_data: Table, st: _Counts, notes: Notes) -> pd.DataFrame:
    if given is None:
        if not isinstance(st_data, AnnData):
            raise InputError("st_coordinates is missing: give x and y of each spot, or st_data as an AnnData with them")
        return pd.DataFrame(io.coordinates_of(st_data, "st_data", notes), st.rows)
    if isinstance(given, AnnData):
        return pd.DataFrame(io.coordinates_of(given, "st_coordinates", notes), given.obs_names)
    if not isinstance(given, pd.DataFrame):
        values = np.asarray(given)
        if values.ndim != 2:
            raise InputError(f"st_coordinates must have two columns, x and y; its shape is {values.shape}")
        given = pd.DataFrame(values)
    return by_own_names(given, st.rows.append(st.var.index))


def _xy(places: pd.DataFrame, notes: Notes) -> npt.NDArray[np.float64]:
    """Give x and y, by the names of columns or as the only two that are numbers."""
    pair = io.coordinate_columns(places)
    if pair is None:
        numbers = [i for i in range(places.shape[1]) if pd.to_numeric(places.iloc[:, i], errors="coerce").notna().any()]
        if len(numbers) != 2:
            named = ", ".join(str(column)[:20] for column in places.columns[:8])
            raise InputError(
                f"st_coordinates must have two columns of numbers, x and y; it has "
                f"{len(numbers)} of numbers ({named}): give the two, or name them x and y"
            )
        table = places.iloc[:, numbers]
    else:
        table = places[list(pair)]
    if any(dtype.kind == "c" for dtype in table.dtypes):
        raise InputError("st_coordinates holds complex numbers where x and y of each spot are expected")
    xy = np.asarray(table.apply(pd.to_numeric, errors="coerce"), dtype=np.float64)
    lost = np.flatnonzero(~np.isfinite(xy).all(axis=1))
    if len(lost):
        raise InputError(
            f"st_coordinates: no x and y for {len(lost)} of {len(xy)} spots, the first of them "
            f"'{str(places.index[lost[0]])[:40]}': leave them out of st_data"
        )
    if len(xy) > 1 and not np.ptp(xy, axis=0).any():
        raise InputError("st_coordinates gives all spots the same place")
    return io.in_range(xy, "st_coordinates", notes)


def _labels(celltype: Labels, sc_data: Table, sc: _Counts, notes: Notes) -> pd.Series:
    """Give the type of each cell, indexed by what the cells are called there."""
    if isinstance(celltype, str):
        if not isinstance(sc_data, AnnData):
            raise InputError(f"celltype '{celltype}' names a column, and sc_data is no AnnData: give each cell's type")
        if celltype not in sc_data.obs:
            raise InputError(f"celltype: sc_data.obs has no column '{celltype}'; {io.nearest(celltype, sc_data.obs)}")
        return sc_data.obs[celltype]
    if isinstance(celltype, pd.DataFrame):
        return _label_column(by_own_names(celltype, sc.rows.append(sc.var.index)), notes)
    if isinstance(celltype, Mapping):
        celltype = pd.Series(dict(celltype), dtype=object)
    if not isinstance(celltype, pd.Series):
        values = np.asarray(celltype, dtype=object)
        if values.ndim == 2 and 1 in values.shape:
            values = values.ravel()
        if values.ndim != 1:
            raise InputError(f"celltype: give one type a cell; it has the shape {values.shape}")
        celltype = pd.Series(values)
    return celltype


def _label_column(table: pd.DataFrame, notes: Notes) -> pd.Series:
    """Take the column that is called like it, else the only one whose text can be types."""
    if table.shape[1] == 1:
        return table.iloc[:, 0]
    found = _reference.label_column(table)
    if found is None:
        fitting = [i for i in range(table.shape[1]) if _can_be_types(table.iloc[:, i])]
        if len(fitting) != 1:
            which = fitting or range(table.shape[1])
            raise InputError(
                f"celltype: which of its {table.shape[1]} columns has the types? Give that one ("
                + ", ".join(str(table.columns[i])[:30] for i in which[:6])
                + (" …)" if len(which) > 6 else ")")
            )
        found = fitting[0]
        notes.append(f"celltype: types taken from its column '{table.columns[found]}'")
    return table.iloc[:, found]


def _can_be_types(column: pd.Series) -> bool:
    known = column.dropna().astype(str)
    is_text = bool(pd.to_numeric(known, errors="coerce").isna().any()) and not pd.api.types.is_bool_dtype(column)
    return is_text and 2 <= known.nunique() <= len(known) / 2


def _oriented(st: _Counts, sc: _Counts, places: pd.Index, labels: pd.Index) -> tuple[_Counts, _Counts]:
    """Lay spots and cells in rows: so that they fit what is given for them, then so that most genes are shared."""

    def fit(way: tuple[_Counts, _Counts]) -> tuple[int, int]:
        spots, cells = way
        fitting = (aligned(spots.rows, places) is not None) + (aligned(cells.rows, labels) is not None)
        ours, theirs = (naming.text_index(part.var.index) for part in way)
        if unnamed(ours) or unnamed(theirs):
            return fitting, len(ours) if ours.equals(theirs) else 0
        return fitting, len(ours.unique().intersection(theirs.unique()))

    return max(product(st.ways(), sc.ways()), key=fit)


def _check_genes(st: pd.Index, sc: pd.Index) -> None:
    """Refuse genes without names on one side, and different numbers of them without names on both."""
    bare = {"st_data": unnamed(st), "sc_data": unnamed(sc)}
    if all(bare.values()) and len(st) != len(sc):
        raise InputError(
            f"st_data has {len(st)} genes and sc_data {len(sc)}, without names: give DataFrames or AnnData, whose "
            "genes have names, or the same genes in one order"
        )
    if sum(bare.values()) == 1:
        without, with_names = sorted(bare, key=lambda name: not bare[name])
        raise InputError(
            f"{with_names} names its genes and {without} does not: give both as DataFrames or AnnData, or both as "
            "arrays of the same genes in one order"
        )
