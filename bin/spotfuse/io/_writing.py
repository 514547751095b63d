"""h5ad files that all can read."""

from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import is_numeric_dtype

from spotfuse.io._tables import column_name


def write(adata: AnnData, path: Path | str) -> None:
    """Write an h5ad file, also when columns are of kinds, or called by names, that h5ad cannot keep.

    Columns of tables in ``obsm`` with a slash in their name, such as a cell type's, are written with ``_`` for it, and
    the table as an array where two would then be called the same; of the proportions the names as they are stand in
    ``uns['spotfuse']['cell_types']``, where plots and reports find them.

    Parameters
    ----------
    adata
        What to write; its `obs` and `var` are put right in place.
    path
        The file.

    Examples
    --------
    >>> sf.write(adata, "slice.h5ad")  # doctest: +SKIP
    """
    slashed = {
        name: table
        for name, table in adata.obsm.items()
        if isinstance(table, pd.DataFrame) and any("/" in str(column) for column in table)
    }
    if slashed:
        parts = ("X", "obs", "var", "uns", "varm", "varp", "layers", "obsp", "raw")
        adata = AnnData(obsm=dict(adata.obsm), **{part: getattr(adata, part) for part in parts})
        for name, table in slashed.items():
            written = table.set_axis([str(column).replace("/", "_") for column in table], axis=1)
            adata.obsm[name] = written if written.columns.is_unique else table.to_numpy(dtype=np.float32)
    for frame in (adata.obs, adata.var):
        frame.columns = [column_name(column) for column in frame.columns]
        duplicated = frame.columns.duplicated()
        if duplicated.any():
            frame.drop(columns=frame.columns[duplicated], inplace=True)
        # text as older versions of anndata and other languages read it
        frame.index = frame.index.astype(object)
        for column in frame.columns:
            if not isinstance(frame[column].dtype, pd.CategoricalDtype) and not is_numeric_dtype(frame[column]):
                text = frame[column].astype(object).map(str, na_action="ignore")
                frame[column] = pd.Categorical(text, categories=sorted(set(text.dropna())))
    adata.write_h5ad(path, compression="gzip", compression_opts=1)
