"""What a report takes for the composition of slices whose spots are cells."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from spotfuse.report._read import Slice


@pytest.fixture
def adata() -> ad.AnnData:
    """Four cells of two types, one of no type, with mixtures that say something else."""
    adata = ad.AnnData(np.ones((4, 2)), obs=pd.DataFrame(index=list("abcd")))
    adata.obs["domain"] = pd.Categorical(["1", "1", "2", "2"])
    adata.obs["domain_confidence"] = 1.0
    adata.obsm["spatial"] = np.arange(8.0).reshape(4, 2)
    adata.obsm["proportions"] = pd.DataFrame({"a_b": 0.25, "c": 0.75}, adata.obs_names)
    adata.uns["spotfuse"] = {"platform": "xenium", "cell_types": ["a/b", "c"]}
    return adata


def read(adata: ad.AnnData) -> Slice:
    """The slice as its report reads it."""
    return Slice.of(adata, "s", {"markers": None}, metrics={}, deconvolution={})


def test_domains_are_made_of_cells_not_of_mixtures(adata) -> None:
    adata.obs["cell_type"] = pd.Categorical(["a/b", "c", None, "c"])
    adata.obs["cell_type_class"] = pd.Categorical(["singlet", "doublet", "no type", "unsure"])
    data = read(adata)
    assert data.unit == "cell" and data.types == ["a/b", "c"]
    np.testing.assert_array_equal(data.composition, [[0.5, 0.5], [0, 1]])


def test_without_types_of_their_own_mixtures_stay(adata) -> None:
    np.testing.assert_allclose(read(adata).composition, [[0.25, 0.75], [0.25, 0.75]])
    adata.uns["spotfuse"]["platform"] = "visium"
    assert read(adata).unit == "spot"
