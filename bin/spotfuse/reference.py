"""A single-cell reference: read once, cleaned, and matched to the genes of a slice."""

import re
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from anndata.utils import make_index_unique
from scipy import sparse

from spotfuse import io, tables
from spotfuse.errors import InputError

_FEW_CELLS = 5
_GENE_COLUMNS = (
    "gene_ids",
    "gene_id",
    "ensembl_id",
    "feature_id",
    "feature_name",
    "gene_symbols",
    "gene_symbol",
    "gene_names",
    "gene_name",
    "symbol",
)
_ENOUGH_GENES = 100
_LABEL_COLUMNS = ("celltype", "celltypes", "type", "label", "labels", "annotation", "cluster")


@dataclass(frozen=True)
class GeneMatch:
    """Which gene of a slice is which gene of a reference.

    Attributes
    ----------
    slice_index, reference_index
        Columns in either matrix, of shape (n_shared,), in the order of the slice's genes.
    how
        How names were compared, for people.
    """

    slice_index: npt.NDArray[np.intp]
    reference_index: npt.NDArray[np.intp]
    how: str


def read(
    path: Path | str,
    cell_type_key: str = "cell_type",
    *,
    max_cells_per_type: int = 1000,
    min_cells_per_type: int = 1,
    seed: int = 1,
) -> AnnData:
    """Read a reference and leave what a deconvolution can use.

    Counts are found in X, ``layers['counts']`` or ``raw``, and won back from normalised, logged or rooted values
    where each cell's smallest value is one count. Cells without a label or without counts go; genes that stand twice
    are added up.

    Parameters
    ----------
    path
        Counts as `spotfuse.io.read_counts` takes them: .h5ad, a 10x matrix (.h5 or folder), or a table.
    cell_type_key
        The column of ``obs`` with the cell types, or a table (.tsv, .csv or .txt, plain or .gz) of cell and type.
    max_cells_per_type
        Of a type with more cells, so many are drawn.
    min_cells_per_type
        Types with fewer cells are dropped.
    seed
        Decides which cells are drawn, whatever their order in the file.

    Returns
    -------
    AnnData with raw counts (float32 CSR) of shape (n_cells, n_genes), cells sorted by type and name, genes by name,
    ``obs['cell_type']`` and ``uns['spotfuse']`` with ``notes``: one line for each thing that was put right.

    Raises
    ------
    InputError
        When the file cannot be read, or has no such column, no counts or no cell type that can be used.
    """
    path = Path(path)
    notes: list[str] = []
    if io.is_table(cell_type_key):
        given = _read_labels(Path(cell_type_key))
        adata = io.read_counts(path, notes, names=given.index)
        adata.obs_names = tables.plain(adata.obs_names)
        twice = adata.obs_names[adata.obs_names.duplicated()]
        if len(twice):
            raise InputError(
                f"{path}: {len(twice)} cells have a name that another has, such as '{twice[0]}', and {cell_type_key} "
                "cannot tell which is which; make names unique in both, or give the types as a column of obs"
            )
        labels = tables.named_as(tables.with_first(given, adata.obs_names), adata.obs_names)
        if not labels.index.isin(adata.obs_names).any():
            raise InputError(
                f"{cell_type_key}: none of its cells is in the reference; it has '{given.index[0]}', "
                f"the reference '{adata.obs_names[0]}'"
            )
        labels, source = labels.reindex(adata.obs_names), cell_type_key
    else:
        adata = io.read_counts(path, notes)
        if cell_type_key not in adata.obs:
            raise InputError(
                f"{path}: no column '{cell_type_key}' for the cell types; "
                + (
                    io.nearest(cell_type_key, adata.obs)
                    if len(adata.obs.columns)
                    else "the counts come without columns: give a table of cell and type (.tsv, .csv) instead"
                )
            )
        labels, source = adata.obs[cell_type_key], f"{path}: column '{cell_type_key}'"
    cleaned = clean(
        sparse.csr_matrix(adata.X),
        labels,
        adata.var,
        notes=notes,
        max_cells_per_type=max_cells_per_type,
        min_cells_per_type=min_cells_per_type,
        seed=seed,
        source=source,
    )
    cleaned.uns["spotfuse"] |= {"cell_type_key": cell_type_key}
    return cleaned


def _read_labels(path: Path) -> pd.Series:
    table = tables.read(path, row="cell")
    if len(table.columns) == 1:
        return table.iloc[:, 0]
    found = label_column(table)
    if found is None:
        raise InputError(
            f"{path}: which of its {len(table.columns)} columns has the cell types? Call it cell_type, or leave the "
            f"others out ({', '.join(map(str, table.columns[:5]))})"
        )
    return table.iloc[:, found]


def label_column(table: pd.DataFrame) -> int | None:
    """Find the column that is called as those of cell types usually are.

    Parameters
    ----------
    table
        With one row a cell.

    Returns
    -------
    Its number, or None.
    """
    plain = [re.sub(r"[^a-z]", "", str(column).lower()) for column in table]
    return next((plain.index(name) for name in _LABEL_COLUMNS if name in plain), None)


def clean(
    counts: sparse.csr_matrix,
    labels: pd.Series,
    var: pd.DataFrame,
    *,
    notes: list[str],
    max_cells_per_type: int = 1000,
    min_cells_per_type: int = 1,
    seed: int = 1,
    source: str = "the reference",
) -> AnnData:
    """Leave the cells that have a label and counts; see `read`.

    Parameters
    ----------
    counts
        Raw counts of shape (n_cells, n_genes).
    labels
        The type of each cell, indexed by cell.
    var
        A row a gene, indexed by name.
    notes
        What was put right so far; grows.
    max_cells_per_type, min_cells_per_type, seed
        As for `read`.
    source
        Where the labels came from, for messages.

    Returns
    -------
    AnnData as `read` gives it.

    Raises
    ------
    InputError
        When fewer than two types have cells enough, or `max_cells_per_type` is below 1.
    """
    if not isinstance(max_cells_per_type, Integral) or max_cells_per_type < 1:
        raise InputError(f"max_cells_per_type is {max_cells_per_type!r}; it must be a whole number, at least 1")
    types = labels.astype("string").str.strip()
    missing = (types.isna() | types.str.lower().isin(tables.NO_LABEL)).to_numpy(dtype=bool)
    total = np.asarray(counts.sum(axis=1)).ravel()
    empty = total <= 0
    for dropped, why in ((missing, "have no cell type"), (empty & ~missing, "have no counts")):
        if dropped.any():
            notes.append(f"{dropped.sum()} cells of {len(dropped)} {why}; left out")
    keep = ~(missing | empty)
    if not keep.any():
        raise InputError(f"{source} gives no cell a type; name the column that has the cell types")
    types = types.fillna("").astype(str)
    n_cells = types[keep].value_counts()
    few = sorted(n_cells.index[n_cells < min_cells_per_type])
    if few:
        notes.append(f"cell types with fewer than {min_cells_per_type} cells left out: {', '.join(few)}")
        keep &= ~types.isin(few).to_numpy()
        if not keep.any():
            raise InputError(f"{source}: no cell type has {min_cells_per_type} cells; the largest has {n_cells.max()}")
    thin = sorted(n_cells.index[(n_cells < _FEW_CELLS) & (n_cells >= min_cells_per_type)])
    if thin:
        notes.append(
            "cell types whose profile rests on very few cells, take their proportions with care: "
            + ", ".join(f"{name} ({n_cells[name]})" for name in thin)
        )

    if types[keep].nunique() < 2:
        raise InputError(f"{source} has one cell type, '{types[keep].iloc[0]}'; two are needed")

    # sorted by name before any is drawn, so that the order in the file changes nothing; cells of one name by content
    names = np.array([name or "cell" for name in tables.plain(labels.index)], dtype=object)
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((np.diff(counts.indptr)[rows], total[rows], names[rows].astype(str)))]
    random = np.random.default_rng(seed)
    chosen = []
    for name in sorted(types.iloc[rows].unique()):
        of_type = rows[types.iloc[rows].to_numpy() == name]
        if len(of_type) > max_cells_per_type:
            of_type = np.sort(random.choice(len(of_type), max_cells_per_type, replace=False)).astype(np.intp)
            of_type = rows[types.iloc[rows].to_numpy() == name][of_type]
        chosen.append(of_type)
    drawn = np.concatenate(chosen)
    if len(drawn) < len(rows):
        notes.append(f"{len(drawn)} of {len(rows)} cells drawn, at most {max_cells_per_type} a type")

    matrix, var = unique_genes(counts[drawn], var, notes)
    adata = AnnData(
        matrix,
        obs=pd.DataFrame(
            {"cell_type": pd.Categorical(types.iloc[drawn])}, index=make_index_unique(pd.Index(names[drawn]))
        ),
        var=var,
    )
    adata.uns["spotfuse"] = {"notes": notes}
    return adata


def unique_genes(
    counts: sparse.csr_matrix, var: pd.DataFrame, notes: list[str]
) -> tuple[sparse.csr_matrix, pd.DataFrame]:
    """Sort genes by name and add up those that stand twice.

    Parameters
    ----------
    counts
        Of shape (n_rows, n_genes).
    var
        A row a gene, indexed by name.
    notes
        Grows when genes stand twice.

    Returns
    -------
    counts
        Of shape (n_rows, n_unique_genes), float32.
    var
        A row a gene, with the columns that may have names of genes.
    """
    names = var.index.astype(str)
    unique, position = np.unique(names.to_numpy(dtype=str), return_inverse=True)
    if len(unique) < len(names):
        notes.append(f"{len(names) - len(unique)} gene names stand more than once; their counts were added up")
    gather = sparse.csr_matrix(
        (np.ones(len(names), np.float32), (np.arange(len(names)), position)), shape=(len(names), len(unique))
    )
    first = pd.Series(np.arange(len(names))).groupby(position).first().to_numpy()
    columns = [column for column in _GENE_COLUMNS if column in var]
    kept = var.iloc[first][columns].astype(str)
    kept.index = pd.Index(unique.astype(object))
    matrix = sparse.csr_matrix(counts @ gather, dtype=np.float32)
    matrix.sort_indices()
    return matrix, kept


def match_genes(slice_var: pd.DataFrame, reference_var: pd.DataFrame) -> GeneMatch:
    """Find the genes that a slice and a reference share.

    Names are compared as they are, then Ensembl ids without their version, then regardless of case where that is
    unambiguous; the first way that finds most of what any way finds is taken. Names also come from the columns of
    `var` that usually hold symbols or ids.

    Parameters
    ----------
    slice_var, reference_var
        A row a gene, indexed by name.

    Returns
    -------
    GeneMatch

    Raises
    ------
    InputError
        When so few genes are shared that proportions would mean nothing.
    """
    found: list[GeneMatch] = []
    for ours, our_names in _namings(slice_var):
        for theirs, their_names in _namings(reference_var):
            for how, transform in (
                ("as they are", _plain),
                ("without version", _without_version),
                ("regardless of case", _without_case),
            ):
                left, right = _match(transform(our_names), transform(their_names))
                where = "" if ours == theirs == "names" else f" (slice's {ours}, reference's {theirs})"
                found.append(GeneMatch(left, right, f"compared {how}{where}"))
    most = max(len(match.slice_index) for match in found)
    best = next(match for match in found if len(match.slice_index) >= 0.9 * most)
    n_shared, smaller = len(best.slice_index), min(len(slice_var), len(reference_var))
    if n_shared < min(_ENOUGH_GENES, max(smaller // 2, 1)):
        raise InputError(
            f"the slice and the reference share {n_shared} genes: {len(slice_var)} in the slice "
            f"({', '.join(map(str, slice_var.index[:3]))} …), {len(reference_var)} in the reference "
            f"({', '.join(map(str, reference_var.index[:3]))} …); give a reference of the same species with names of "
            "the same kind"
        )
    return best


def _namings(var: pd.DataFrame) -> list[tuple[str, pd.Index]]:
    namings = [("names", pd.Index(var.index.astype(str)))]
    namings += [(f"column '{column}'", pd.Index(var[column].astype(str))) for column in _GENE_COLUMNS if column in var]
    return namings


def _plain(names: pd.Index) -> pd.Index:
    return names


def _without_version(names: pd.Index) -> pd.Index:
    return names.str.replace(r"^(ENS[A-Z]*\d+)\.\d+$", r"\1", regex=True)


def _without_case(names: pd.Index) -> pd.Index:
    return _without_version(names).str.upper()


def _match(ours: pd.Index, theirs: pd.Index) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Pair the names that occur once on either side."""
    left = pd.Series(np.arange(len(ours)), index=ours)[~ours.duplicated(keep=False)]
    right = pd.Series(np.arange(len(theirs)), index=theirs)[~theirs.duplicated(keep=False)]
    shared = left.index.intersection(right.index, sort=False)
    return left[shared].to_numpy(dtype=np.intp), right[shared].to_numpy(dtype=np.intp)
