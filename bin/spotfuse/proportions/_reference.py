"""A single-cell reference: read once, cleaned, and matched to the genes of a slice."""

import re
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from anndata.utils import make_index_unique
from pandas.api.types import is_numeric_dtype
from scipy import sparse

from spotfuse import io
from spotfuse._core import naming
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes, listed
from spotfuse.proportions._settings import SETTINGS, ReferenceSettings

_FEW_CELLS = 5
_EITHER_OR = ({"true", "false"}, {"yes", "no"}, {"t", "f"})
_LABEL_COLUMNS = ("celltype", "celltypes", "type", "label", "labels", "annotation", "cluster")


def read_reference(
    path: Path | str,
    cell_type_key: str = "cell_type",
    *,
    max_cells_per_type: int = 1000,
    min_cells_per_type: int = 1,
    types: Path | str | None = None,
    seed: int = 1,
    settings: ReferenceSettings = SETTINGS.reference,
) -> AnnData:
    """Read a reference and leave what a deconvolution can use.

    Counts are found in X, ``layers['counts']`` or ``raw``, and won back from normalised, logged or rooted values
    where each cell's smallest value is one count. Cells without a label or without counts go; genes that stand twice
    are added up.

    Parameters
    ----------
    path
        Counts as `spotfuse.io.read_counts` takes them: .h5ad, a 10x matrix (.h5 or folder), or a table. A table whose
        first column is called as `cell_type_key` has a row a type, its profile: cells are made of these.
    cell_type_key
        The column of ``obs`` with the cell types, or a table (.tsv, .csv or .txt, plain or .gz) of cell and type.
    max_cells_per_type
        Of a type with more cells, so many are drawn.
    min_cells_per_type
        Types with fewer cells are dropped.
    types
        A table of type and what it is to be called: types of one name are merged, those of none dropped, and those
        that it does not have stay as they are. A further column ``class`` says of which class each is.
    seed
        Decides which cells are drawn, whatever their order in the file.
    settings
        Of the cells that are made of profiles (`Settings.reference`).

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
    notes = Notes()
    given = _read_labels(Path(cell_type_key)) if io.is_table(cell_type_key) else None
    names = None if types is None else io.read_table(types, row="cell type")
    classes = None if names is None or len(names.columns) == 1 or "class" not in names else names.pop("class")
    called = None if names is None else names.iloc[:, 0]

    def labels_of(obs: pd.DataFrame) -> pd.Series:
        labels = _column(path, obs, cell_type_key) if given is None else _of_table(path, obs, given, cell_type_key)
        return labels if called is None else _renamed(labels, called, str(types))

    def draw(obs: pd.DataFrame) -> npt.NDArray[np.intp]:
        rows = _drawn(labels_of(obs), max_cells_per_type, seed)
        notes.append(f"{len(rows)} of {len(obs)} cells read, at most {max_cells_per_type} a type")
        return rows

    if (
        given is None
        and (made := _from_profiles(path, cell_type_key, max_cells_per_type, seed, notes, settings)) is not None
    ):
        adata = made
    else:
        adata = io.read_counts(path, notes, names=None if given is None else given.index, draw=draw)
    if given is not None:
        adata.obs_names = naming.plain(adata.obs_names)
    labels, source = labels_of(adata.obs), cell_type_key if given is not None else f"{path}: column '{cell_type_key}'"
    io.name_genes(path, adata, notes, of_slice=False)
    cleaned = clean_reference(
        sparse.csr_matrix(adata.X),
        labels,
        adata.var,
        notes=notes,
        max_cells_per_type=max_cells_per_type,
        min_cells_per_type=min_cells_per_type,
        seed=seed,
        source=source,
        obs=adata.obs.drop(columns=cell_type_key, errors="ignore"),
    )
    cleaned.uns["spotfuse"] |= {"cell_type_key": cell_type_key}
    if called is not None and classes is not None:
        cleaned.obs["class"] = _classes(cleaned.obs["cell_type"], called, classes, str(types))
    return cleaned


def as_reference(
    reference: AnnData | Path | str,
    cell_type_key: str = "cell_type",
    *,
    max_cells_per_type: int = 1000,
    min_cells_per_type: int = 1,
    seed: int = 1,
    settings: ReferenceSettings = SETTINGS.reference,
) -> AnnData:
    """Clean a reference, from its file or in memory; see `read_reference`, which says what is given back.

    Parameters
    ----------
    reference
        A file, or an AnnData of shape (n_cells, n_genes), which stays as it is.
    cell_type_key
        Its column of cell types; for a file also a table of cell and type.
    max_cells_per_type, min_cells_per_type, seed, settings
        As for `read_reference`.

    Raises
    ------
    InputError
        As `read_reference` does.
    """
    limits: dict[str, Any] = {
        "max_cells_per_type": max_cells_per_type,
        "min_cells_per_type": min_cells_per_type,
        "seed": seed,
    }
    if isinstance(reference, Path | str):
        return read_reference(reference, cell_type_key, settings=settings, **limits)
    if not isinstance(reference, AnnData):
        raise InputError(f"reference is a {type(reference).__name__}; give a file or an AnnData")
    notes = Notes(map(str, reference.uns.get("spotfuse", {}).get("notes", [])))
    found = io.counts_of(reference, "reference", notes)
    if cell_type_key not in reference.obs:
        raise InputError(
            f"reference: no column '{cell_type_key}' in obs for the cell types; give it as cell_type_key: "
            + io.nearest(cell_type_key, reference.obs)
        )
    named = AnnData(obs=found.obs, var=found.var)
    io.name_genes(Path("reference"), named, notes, of_slice=False)
    return clean_reference(
        sparse.csr_matrix(found.X),
        found.obs[cell_type_key],
        named.var,
        notes=notes,
        source=f"reference: column '{cell_type_key}'",
        obs=found.obs.drop(columns=cell_type_key),
        **limits,
    )


def _column(path: Path, obs: pd.DataFrame, key: str) -> pd.Series:
    if key not in obs:
        raise InputError(
            f"{path}: no column '{key}' for the cell types; "
            + (
                io.nearest(key, obs)
                if len(obs.columns)
                else "the counts come without columns: give a table of cell and type (.tsv, .csv) instead"
            )
        )
    return obs[key]


def _of_table(path: Path, obs: pd.DataFrame, given: pd.Series, source: str) -> pd.Series:
    """Give each cell the type that a table has for it."""
    cells = pd.Index(naming.plain(obs.index))
    twice = cells[cells.duplicated()]
    if len(twice):
        raise InputError(
            f"{path}: {len(twice)} cells have a name that another has, such as '{twice[0]}', and {source} "
            "cannot tell which is which; make names unique in both, or give the types as a column of obs"
        )
    labels = naming.named_as(io.with_first(given, cells), cells)
    if not labels.index.isin(cells).any():
        raise InputError(
            f"{source}: none of its cells is in the reference; it has '{given.index[0]}', the reference '{cells[0]}'"
        )
    return labels.reindex(cells)


def _renamed(labels: pd.Series, called: pd.Series, source: str) -> pd.Series:
    """Call types as a table says; those that it calls nothing are none."""
    names = pd.Series(naming.plain(labels), index=labels.index)
    called = io.with_first(called, pd.Index(names.unique()))
    if not called.index.isin(names).any():
        raise InputError(f"{source}: none of its types is in the reference; it has '{called.index[0]}'")
    return names.map(called).where(names.isin(called.index), names)


def _classes(types: pd.Series, called: pd.Series, classes: pd.Series, source: str) -> pd.Series:
    """Give each cell's class as a table says; a type without one is a class of its own."""
    pairs = pd.DataFrame({"type": called, "class": classes})[(called != "") & (classes != "")].drop_duplicates()
    twice = pairs.loc[pairs["type"].duplicated(), "type"]
    if len(twice):
        of = pairs.loc[pairs["type"] == twice.iloc[0], "class"]
        raise InputError(f"{source}: '{twice.iloc[0]}' is of class {' and '.join(of)}; a type has one class")
    text = types.astype(str)
    return text.map(pairs.set_index("type")["class"]).fillna(text).astype("category")


def _drawn(labels: pd.Series, most: int, seed: int) -> npt.NDArray[np.intp]:
    """Draw cells of each type by their names, as `clean_reference` does of those that are read."""
    names, types = (np.asarray(naming.plain(part), dtype=str) for part in (labels.index, labels))
    order = np.argsort(names, kind="stable")
    order = order[~pd.Series(types[order]).str.lower().isin(naming.NO_LABEL).to_numpy(dtype=bool)]
    random = np.random.default_rng(seed)
    chosen = []
    for kind in np.unique(types[order]):
        of_type = order[types[order] == kind]
        if len(of_type) > most:
            of_type = of_type[np.sort(random.choice(len(of_type), most, replace=False))]
        chosen.append(of_type)
    return np.sort(np.concatenate(chosen)) if chosen else np.arange(len(labels))


def _from_profiles(
    path: Path, key: str, most: int, seed: int, notes: Notes, settings: ReferenceSettings
) -> AnnData | None:
    """Make cells of the profiles of a table whose first column is that of cell types; None for what is no such table.

    A made cell has the profile's total, or what is usual where all have the same, as profiles of shares have; its genes
    vary by counting and, as those of cells of one type do, besides.
    """
    if not (io.is_table(path.name) and path.is_file()) or io.corner(path) != key:
        return None
    table = io.read_numbers(path)
    means = table.to_numpy()
    if (means < 0).any() or not means.any(axis=1).all():
        raise InputError(f"{path}: profiles must be numbers from 0, and no type's all 0; give mean counts or shares")
    totals = means.sum(axis=1)
    if np.ptp(totals) < 0.01 * totals.max():  # shares, or scaled to one depth
        means = means * settings.made_total / totals[:, None]
    each = min(settings.made_cells, most)
    random, shape = np.random.default_rng(seed), settings.made_shape
    parts = [sparse.csr_matrix(random.poisson(random.gamma(shape, mean / shape, (each, len(mean))))) for mean in means]
    types = np.repeat(table.index.to_numpy(), each)
    cells = [f"{kind} {i}" for kind in table.index for i in range(each)]
    notes.append(
        f"the reference has profiles of {len(table)} types; of each {each} cells were made, which vary as cells mostly "
        "do, so that doubt in what is found with them is a guess"
    )
    return AnnData(
        sparse.csr_matrix(sparse.vstack(parts), dtype=np.float32),
        obs=pd.DataFrame({key: types}, index=cells),
        var=pd.DataFrame(index=pd.Index(table.columns, dtype=object)),
    )


def _read_labels(path: Path) -> pd.Series:
    table = io.read_table(path, row="cell")
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


def clean_reference(
    counts: sparse.csr_matrix,
    labels: pd.Series,
    var: pd.DataFrame,
    *,
    notes: Notes,
    max_cells_per_type: int = 1000,
    min_cells_per_type: int = 1,
    seed: int = 1,
    source: str = "the reference",
    obs: pd.DataFrame | None = None,
) -> AnnData:
    """Leave the cells that have a label and counts; see `read_reference`.

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
        As for `read_reference`.
    source
        Where the labels came from, for messages.
    obs
        The columns that the labels may have been meant to be, for messages.

    Returns
    -------
    AnnData as `read_reference` gives it.

    Raises
    ------
    InputError
        When fewer than two types have cells enough, labels are no cell types, or `max_cells_per_type` is below 1.
    """
    if not isinstance(max_cells_per_type, Integral) or max_cells_per_type < 1:
        raise InputError(f"max_cells_per_type is {max_cells_per_type!r}; it must be a whole number, at least 1")
    types = pd.Series(naming.plain(labels), index=labels.index)
    missing = types.str.lower().isin(naming.NO_LABEL).to_numpy(dtype=bool)
    total = np.asarray(counts.sum(axis=1)).ravel()
    empty = total <= 0
    for dropped, why in ((missing, "have no cell type"), (empty & ~missing, "have no counts")):
        if dropped.any():
            notes.append(f"{dropped.sum()} cells of {len(dropped)} {why}; left out")
    keep = ~(missing | empty)
    if not keep.any():
        raise InputError(f"{source} gives no cell a type; name the column that has the cell types")
    _check_types(types[keep], labels[keep], notes, source, pd.DataFrame() if obs is None else obs[keep])
    n_cells = types[keep].value_counts()
    few = sorted(n_cells.index[n_cells < min_cells_per_type])
    if few:
        notes.append(f"cell types with fewer than {min_cells_per_type} cells left out: {listed(few)}")
        keep &= ~types.isin(few).to_numpy()
        if not keep.any():
            raise InputError(f"{source}: no cell type has {min_cells_per_type} cells; the largest has {n_cells.max()}")
    thin = sorted(n_cells.index[(n_cells < _FEW_CELLS) & (n_cells >= min_cells_per_type)])
    if thin:
        notes.append(
            "cell types whose profile rests on very few cells, take their proportions with care: "
            + listed(f"{name} ({n_cells[name]})" for name in thin)
        )

    if types[keep].nunique() < 2:
        raise InputError(f"{source} has one cell type, '{types[keep].iloc[0]}'; two are needed")

    # sorted by name before any is drawn, so that the order in the file changes nothing; cells of one name by content
    names = np.array([name or "cell" for name in naming.plain(labels.index)], dtype=object)
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
    adata.uns["spotfuse"] = {"notes": list(notes)}
    return adata


def _check_types(types: pd.Series, labels: pd.Series, notes: Notes, source: str, obs: pd.DataFrame) -> None:
    """Refuse labels that are no cell types, and tell which may be others than they seem."""
    names = sorted(types.unique())
    alike = [
        column
        for column in obs
        if not is_numeric_dtype(obs[column]) and 1 < obs[column].nunique() <= max(len(obs) / 2, 2)
    ]

    def refuse(why: str) -> InputError:
        return InputError(f"{source} {why}" + (f"; there are {listed(map(str, alike))}" if alike else ""))

    if {name.lower() for name in names} in _EITHER_OR:
        raise refuse(f"says {names[1]} or {names[0]} of a cell; give the column that has the cell types")
    numbers = pd.to_numeric(pd.Series(names), errors="coerce")
    if (numbers % 1 != 0).any() and numbers.notna().all():
        raise refuse(
            f"has numbers such as {names[len(names) // 2]:.20}, a score; give the column that has the cell types"
        )
    if 2 * len(names) > len(types) and len(names) > _FEW_CELLS:
        raise refuse(
            f"has {len(names)} labels for {len(types)} cells, such as '{names[0]:.30}'; a cell type has several cells: "
            "give the column that has the cell types"
        )
    if numbers.notna().all():
        codes = types.astype("category").cat.codes.to_numpy()
        same = [
            str(column)
            for column in alike
            if obs[column].nunique() == len(names) == len(pd.Series(zip(obs[column], codes, strict=True)).unique())
        ]
        notes.append(
            f"the cell types are numbers ({listed(names)}); where they stand for names, give these"
            + (f": column '{same[0]}' groups the cells alike" if same else "")
        )
    given = pd.DataFrame({"given": labels.astype(str).to_numpy(), "type": types.to_numpy()}).drop_duplicates()
    met = given[given["type"].duplicated(keep=False)].sort_values(["type", "given"])
    if len(met):
        notes.append(
            "labels that differ by blanks at the ends or control characters are one cell type: "
            + listed(map(repr, met["given"]))
        )
    plain = pd.Series(names).str.normalize("NFKC").str.lower().str.replace(r"[\s_]+", "", regex=True)
    near = [name for name, twice in zip(names, plain.duplicated(keep=False), strict=True) if twice]
    if near:
        near = sorted(near, key=lambda name: re.sub(r"\s+", "", name.lower()))
        notes.append(f"cell types that differ by case or blanks alone are kept apart: {listed(map(repr, near))}")


def unique_genes(counts: sparse.csr_matrix, var: pd.DataFrame, notes: Notes) -> tuple[sparse.csr_matrix, pd.DataFrame]:
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
    columns = [*io.gene_columns(var, (*io.IDS, *io.SYMBOLS)), *(["genome"] if "genome" in var else [])]
    kept = var.iloc[first][columns].astype(str)
    kept.columns = [io.column_name(column) for column in columns]
    kept.index = pd.Index(unique.astype(object))
    matrix = sparse.csr_matrix(counts @ gather, dtype=np.float32)
    matrix.sort_indices()
    return matrix, kept
