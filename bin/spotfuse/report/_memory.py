"""The report of a slice in memory."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from spotfuse import io, preparation
from spotfuse._core import keys
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse.report._read import Slice
from spotfuse.report._slice import page


def slice(adata: AnnData, path: Path | str, *, sample: str | None = None) -> None:
    """Write the report of a slice: a single HTML file that opens from disk and asks no network for anything.

    It shows what there is: the tissue with domains, cell types, marker genes and quality to colour it by, beside it the
    embedding, and the tables that `spotfuse.tl` wrote.

    Parameters
    ----------
    adata
        Slice of n_spots × n_genes after `spotfuse.tl.embed`, or any later call; it stays as it is.
    path
        The file, such as report.html.
    sample
        What the slice is called on the page; the name of the file without its ending, if not given.

    Raises
    ------
    InputError
        Before `spotfuse.pp.prepare`, without counts or coordinates, or when the file cannot be written.

    Examples
    --------
    >>> sf.report.slice(adata, "report.html", sample="patient 3")  # doctest: +SKIP
    """
    if not isinstance(adata, AnnData):
        raise InputError(f"adata is a {type(adata).__name__}; give an AnnData")
    keys.embedding_of(adata)
    if keys.DOMAIN in adata.obs:
        keys.need(adata, "obs", keys.CONFIDENCE)
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    note = adata.uns.get(keys.NOTE, {})
    shown = AnnData(
        preparation.counts_of(adata),
        obs=adata.obs,
        var=adata.var,
        obsm={**adata.obsm, keys.SPATIAL: io.coordinates_of(adata, "adata", Notes())},
        uns={"spatial": adata.uns.get("spatial", {}), keys.NOTE: {k: v for k, v in note.items() if _is_plain(v)}},
    )
    tables: dict[str, pd.DataFrame | None] = {name: note.get(name) for name in (*keys.TABLES, "status")}
    fit = adata.obsm.get(keys.FIT)
    tables[keys.FIT] = fit.rename_axis("spot").reset_index() if isinstance(fit, pd.DataFrame) else None
    found = {"n_spots": adata.n_obs, "n_genes": adata.n_vars}
    deconvolution = json.loads(note.get("deconvolution", "{}"))
    data = Slice.of(shown, sample or path.stem, tables, metrics=found, deconvolution=deconvolution)
    path.write_text(page(data), encoding="utf-8")


def _is_plain(value: object) -> bool:
    return not isinstance(value, pd.DataFrame | np.recarray)
