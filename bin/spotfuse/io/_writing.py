"""h5ad files that all can read."""

from pathlib import Path

import pandas as pd
from anndata import AnnData
from pandas.api.types import is_numeric_dtype

from spotfuse.io._tables import column_name


def write(adata: AnnData, path: Path | str) -> None:
    """Write an h5ad file, also when the columns a user's own file brought along are of kinds that h5ad cannot keep.

    Parameters
    ----------
    adata
        What to write; its `obs` and `var` are put right in place.
    path
        The file.
    """
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
