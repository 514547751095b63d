"""Reading h5ad."""

from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse
from spotfuse._core import guard


def test_counts_stay_in_the_file_and_layers_out_of_memory(tmp_path: Path):
    counts = sparse.random(30, 7, 0.3, "csr", dtype=np.float32, rng=np.random.default_rng(0))
    adata = ad.AnnData(counts, layers={"logcounts": counts.log1p()}, obsm={"spatial": np.ones((30, 2))})
    adata.write_h5ad(tmp_path / "a.h5ad")
    found = guard.read_h5ad(tmp_path / "a.h5ad", backed=True)
    assert found.shape == (30, 7) and not found.layers.keys() - {None} and "spatial" in found.obsm
    assert not isinstance(found.X, sparse.csr_matrix | np.ndarray)
    assert (sparse.csr_matrix(found.X[10:20]) != counts[10:20]).nnz == 0
