"""Whether what is given for a slice fits together."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from anndata import AnnData

from spotfuse import io, metrics, preparation
from spotfuse._core import naming
from spotfuse._core.errors import InputError, collected
from spotfuse._core.notes import Notes
from spotfuse.pipeline import domain_names as names

_LEAST_SPOTS = 3


def slice_and_truth(
    data: Path,
    *,
    n_domains: str = "auto",
    reference: Path | None = None,
    cell_type_key: str = "cell_type",
    annotation: str | None = None,
    proportions: Path | None = None,
    domain_names: Path | None = None,
    **choice: Any,
) -> AnnData:
    """Open a slice and everything that comes with it.

    Parameters
    ----------
    data, **choice
        As for `spotfuse.io.read_slice`.
    n_domains
        A number of domains, or ``auto``.
    reference, cell_type_key
        Single-cell reference and its column, or a table, of cell types.
    annotation
        Known domains, as for `spotfuse.io.read_annotation`.
    proportions
        Table of known proportions.
    domain_names
        Table of domain and name.

    Returns
    -------
    AnnData
        The slice; its notes tell what was put right, also in the reference.

    Raises
    ------
    InputError
        With everything that is wrong, joined by semicolons.
    """
    problems: list[str] = []
    adata = n_spots = None
    with collected(problems):
        adata = io.read_slice(data, **choice)
        with _named(data):
            n_spots = _usable_spots(adata)
    with collected(problems):
        _check_n_domains(n_domains, n_spots)
    types: set[str] = set()
    if reference is not None:
        with collected(problems):
            types = _check_reference(reference, cell_type_key, adata)
    if annotation and adata is not None:
        with collected(problems):
            _check_annotation(io.read_annotation(data, annotation, obs=adata.obs), annotation, adata)
    if proportions is not None:
        with collected(problems):
            _check_proportions(proportions, adata, types)
    if domain_names is not None:
        with collected(problems):
            names.read(domain_names)
    if problems or adata is None:
        raise InputError("; ".join(problems))
    return adata


def _usable_spots(adata: AnnData) -> int:
    """Count the spots that quality control keeps at the least."""
    n_spots = int(preparation.judge(adata)["kept"].sum())
    if n_spots < _LEAST_SPOTS:
        raise InputError(f"{n_spots} of {adata.n_obs} spots can be used; at least {_LEAST_SPOTS} are needed")
    return n_spots


def _check_n_domains(n_domains: str, n_spots: int | None) -> None:
    if n_domains in ("auto", ""):
        return
    if not n_domains.isascii() or not n_domains.isdigit() or int(n_domains) < 2:
        raise InputError(f"n_domains is '{n_domains}'; give a whole number from 2 on, or auto")
    if n_spots is not None and int(n_domains) > n_spots:
        raise InputError(f"n_domains is {n_domains}, but {n_spots} spots can be used; give fewer domains")


def _check_reference(path: Path, cell_type_key: str, adata: AnnData | None) -> set[str]:
    from spotfuse import proportions

    cells = proportions.read_reference(path, cell_type_key)
    types = set(cells.obs["cell_type"].astype(str))
    if adata is not None:
        with _named(path):
            match = proportions.match_genes(adata.var, cells.var)
        notes = Notes(adata.uns["spotfuse"]["notes"])
        shared = f"{len(match.slice_index)} genes shared with the slice, {match.how}"
        for note in (*cells.uns["spotfuse"]["notes"], shared):
            notes.append(f"reference: {note}")
        adata.uns["spotfuse"]["notes"] = list(notes)
    return types


def _check_annotation(known: pd.Series, annotation: str, adata: AnnData) -> None:
    where = annotation if io.is_table(annotation) else f"column '{annotation}'"
    with _named(where):
        known = metrics.labelled(known, adata.obs_names)
        if known.nunique() == 1:
            raise InputError(f"all spots are labelled '{known.iloc[0]}'; two labels are needed to score domains")


def _check_proportions(path: Path, adata: AnnData | None, types: set[str]) -> None:
    truth = io.read_numbers(path)
    metrics.check_proportions(truth, path)
    if adata is not None and truth.index.name in adata.obs_names:
        raise InputError(f"{path}: its first line is a spot, not a header; put 'spot' and the cell types above it")
    if adata is not None and not naming.named_as(truth, adata.obs_names).index.isin(adata.obs_names).any():
        raise InputError(
            f"{path}: none of its spots is in the slice; it has '{truth.index[0]}', the slice '{adata.obs_names[0]}'"
        )
    if types and not types & set(truth):
        raise InputError(
            f"{path}: none of its cell types is in the reference; it has '{truth.columns[0]}', "
            f"the reference '{min(types)}'"
        )


@contextmanager
def _named(where: Path | str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise type(error)(f"{where}: {error}") from error
