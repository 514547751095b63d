"""The calls of GraphST's and SpatialFusion's tutorials."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from spotfuse import InputError, SpatialFusion, clustering, domains, embedding, preparation


@pytest.fixture(scope="module")
def tumour(demo: Path) -> AnnData:
    """Part of a real slice: 300 spots, the 500 genes with most counts."""
    whole = ad.read_h5ad(demo / "her2st_H1.h5ad")
    left = np.argsort(whole.obsm["spatial"][:, 0])[:300]
    most = np.argsort(-np.asarray(whole.X.sum(axis=0)).ravel())[:500]
    return whole[left, most].copy()


@pytest.mark.parametrize("datatype", ["10X", "Stereo", "Slide"])
def test_tutorial(tumour: AnnData, tmp_path: Path, datatype: str) -> None:
    before = tumour.copy()
    device = torch.device("cuda:1" if torch.cuda.device_count() > 1 else "cpu")
    model = SpatialFusion(tumour, device=device, random_seed=1999, epochs=15, datatype=datatype)
    adata = model.train()
    clustering(adata, n_clusters=4, radius=50, method="mclust", refinement=True)

    assert adata.obs_names.equals(tumour.obs_names) and adata.shape == tumour.shape
    assert adata.obsm["emb"].shape == (300, 64) and adata.obsm["emb_pca"].shape == (300, 20)
    lengths = np.linalg.norm(adata.obsm["emb"], axis=1)
    assert np.allclose(lengths, 1, atol=1e-4) == (datatype != "10X")
    assert isinstance(adata.obs["domain"].dtype, pd.CategoricalDtype)
    assert adata.obs["domain"].value_counts().index.tolist() == ["1", "2", "3", "4"]
    assert adata.obs["mclust"].equals(adata.obs["domain"])
    np.testing.assert_allclose(adata.obsm["domain_probabilities"].sum(axis=1), 1, rtol=1e-5)
    assert model.losses is not None and len(model.losses) == 15
    adata.write_h5ad(tmp_path / "clustered.h5ad")
    assert ad.read_h5ad(tmp_path / "clustered.h5ad").obs["domain"].equals(adata.obs["domain"])

    # the slice that was given is as it was
    assert set(tumour.obsm) == set(before.obsm) and not set(tumour.obsp) and list(tumour.var) == list(before.var)
    assert (tumour.X != before.X).nnz == 0


def test_order_and_names_of_spots_change_nothing(tumour: AnnData) -> None:
    rows = np.random.default_rng(0).permutation(300)
    shuffled = tumour[rows].copy()
    shuffled.obs_names = [f"spot{i}" for i in range(300)]
    first, second = (SpatialFusion(slice_, epochs=5).train() for slice_ in (tumour, shuffled))
    for adata in (first, second):
        clustering(adata, 3)
    np.testing.assert_array_equal(first.obsm["emb"][rows], second.obsm["emb"])
    assert first.obs["domain"].tolist() != second.obs["domain"].tolist()
    assert first.obs["domain"].iloc[rows].tolist() == second.obs["domain"].tolist()


def test_the_own_encoder_gives_what_the_pipeline_gives(tumour: AnnData) -> None:
    adata = SpatialFusion(tumour, encoder="spotfuse", random_seed=1, epochs=5).train()
    clustering(adata, 4, refinement=True)
    order = preparation.neutral_order(tumour.X, tumour.var_names, tumour.obs_names, tumour.obsm["spatial"])
    prepared = tumour[order, np.argsort(tumour.var_names)].copy()
    preparation.prepare(prepared)
    found = domains.assign(prepared, embedding.train(prepared, epochs=5, seed=1).values, 4, seed=1)
    assert adata.obs["domain"][prepared.obs_names].astype(int).tolist() == found.labels.tolist()


def test_arguments_reach_the_model(tumour: AnnData) -> None:
    def losses(**arguments: float) -> pd.DataFrame:
        model = SpatialFusion(tumour, epochs=3, **arguments)
        model.train()
        return model.losses

    usual = losses()
    np.testing.assert_allclose(losses(alpha=20)["reconstruction"].iloc[0], 2 * usual["reconstruction"].iloc[0])
    np.testing.assert_allclose(losses(beta=3)["contrast"].iloc[0], 3 * usual["contrast"].iloc[0])
    for arguments in ({"learning_rate": 0.01}, {"weight_decay": 1.0}, {"random_seed": 1}):
        assert not np.allclose(losses(**arguments)["loss"], usual["loss"], rtol=1e-3), arguments
    assert SpatialFusion(tumour, epochs=1, dim_output=16).train().obsm["emb"].shape == (300, 16)
    assert SpatialFusion(tumour, epochs=1, encoder="spotfuse").train().obsm["emb"].shape[0] == 300


def test_counts_in_a_layer_and_embeddings_from_elsewhere(tumour: AnnData) -> None:
    adata = tumour.copy()
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X.log1p()
    expected = SpatialFusion(tumour, epochs=2).train().obsm["emb"]
    np.testing.assert_array_equal(SpatialFusion(adata, epochs=2).train().obsm["emb"], expected)

    adata.obsm["mine"] = expected
    clustering(adata, 3, key="mine")
    assert adata.obs["domain"].nunique() == 3


def test_logged_counts_are_won_back_and_said(tumour: AnnData, caplog: pytest.LogCaptureFixture) -> None:
    logged = tumour.copy()
    logged.X = logged.X.log1p()
    expected = SpatialFusion(tumour, epochs=1).train().obsm["emb"]
    np.testing.assert_array_equal(SpatialFusion(logged, epochs=1).train().obsm["emb"], expected)
    assert any("adata: X was log-transformed; counts were won back" in message for message in caplog.messages)


def test_a_model_says_what_it_is(tumour: AnnData) -> None:
    model = SpatialFusion(tumour, epochs=1)
    said = "SpatialFusion(300 spots × 500 genes, encoder='published', random_seed=41; {})"
    assert repr(model) == said.format("not trained")
    model.train()
    assert repr(model) == said.format("trained")


def test_what_has_no_effect_is_said(tumour: AnnData) -> None:
    with pytest.warns(UserWarning, match=r"without effect here: dim_input=1000, theta=0\.2"):
        SpatialFusion(tumour, dim_input=1000, theta=0.2)
    with pytest.warns(UserWarning, match="without effect here: alpha=5"):
        SpatialFusion(tumour, alpha=5, encoder="spotfuse")
    adata = SpatialFusion(tumour, epochs=1).train()
    with pytest.warns(UserWarning, match="without effect here: radius=30"):
        clustering(adata, 3, radius=30)


def test_refusals(tumour: AnnData) -> None:
    with pytest.raises(InputError, match="datatype '10x'"):
        SpatialFusion(tumour, datatype="10x")
    with pytest.raises(InputError, match="multiple of 4"):
        SpatialFusion(tumour, dim_output=30)
    with pytest.raises(InputError, match="method 'leiden' is not offered"):
        clustering(tumour, 3, method="leiden")
    with pytest.raises(InputError, match=r"obsm\['emb'\] is not there"):
        clustering(tumour, 3)
    with pytest.raises(InputError, match="n_clusters is 301"):
        clustering(AnnData(obs=tumour.obs, obsm={"emb": np.ones((300, 2))}), 301)
    scaled = tumour.copy()
    scaled.X = scaled.X.toarray() - 1
    with pytest.raises(InputError, match="adata: X has negative values"):
        SpatialFusion(scaled).train()
    nowhere = tumour.copy()
    del nowhere.obsm["spatial"]
    nowhere.obs = nowhere.obs[[]]
    with pytest.raises(InputError, match="adata: no coordinates"):
        SpatialFusion(nowhere).train()
    for arguments, message in (
        ({"adata": "slice.h5ad"}, "adata is a str; give an AnnData"),
        ({"adata_sc": tumour.to_df()}, "adata_sc is a DataFrame; give an AnnData"),
        ({"encoder": "best"}, "encoder is 'best'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"device": "gpu"}, "device is 'gpu'"),
    ):
        with pytest.raises(InputError, match=message):
            SpatialFusion(**{"adata": tumour} | arguments)
    empty = tumour.copy()
    empty.X = sparse.csr_matrix(empty.X.multiply(np.arange(300)[:, None] != 7))
    with pytest.raises(InputError, match=f"1 spots of 300 cannot be embedded.*{tumour.obs_names[7]} .no counts"):
        SpatialFusion(empty).train()
