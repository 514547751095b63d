"""Cell mapping, and the calls of SpatialFusion's tutorials that do it."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy import sparse
from spotfuse import InputError, SpatialFusion, project_cell_to_spot, proportions
from spotfuse.metrics import evaluate
from spotfuse.proportions import _cell_mapping
from threadpoolctl import threadpool_limits

TYPES = ["a", "b", "c"]


def tissue(n_spots: int = 80, seed: int = 0) -> tuple[AnnData, AnnData, pd.DataFrame]:
    """Spots of one to four cells, and a reference of other cells of the same types."""
    random = np.random.default_rng(seed)
    profiles = random.dirichlet(np.full(150, 0.3), 3)
    codes = np.repeat(np.arange(3), [60, 30, 10])
    genes = pd.DataFrame(index=[f"g{i:03d}" for i in range(150)])
    cells = AnnData(
        sparse.csr_matrix(random.poisson(profiles[codes] * 1500).astype(np.float32)),
        obs=pd.DataFrame({"cell_type": np.array(TYPES)[codes]}, [f"c{i:03d}" for i in range(100)]),
        var=genes,
    )
    inside = random.multinomial(random.integers(1, 5, n_spots), [0.3, 0.3, 0.4])
    spots = AnnData(
        sparse.csr_matrix(random.poisson(inside @ profiles * 1500).astype(np.float32)),
        obs=pd.DataFrame(index=[f"s{i:03d}" for i in range(n_spots)]),
        var=genes,
        obsm={"spatial": np.c_[np.arange(n_spots) % 10, np.arange(n_spots) // 10].astype(float)},
    )
    truth = pd.DataFrame(inside / inside.sum(axis=1, keepdims=True), spots.obs_names, TYPES)
    return spots, cells, truth


@pytest.fixture(scope="module")
def mapped() -> tuple[_cell_mapping.CellMap, pd.DataFrame]:
    spots, cells, truth = tissue()
    return proportions.map_cells(spots, cells), truth


def test_weights_are_a_sparse_mixture_and_types_are_found(mapped) -> None:
    found, truth = mapped
    assert sparse.issparse(found.weights) and found.weights.shape == (80, 100)
    assert found.weights.data.min() > 0
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, atol=1e-9)
    assert evaluate(found.proportions(), truth)["RMSE"] < 0.09
    assert found.losses.iloc[-1]["reconstruction"] < 0.5 * found.losses.iloc[0]["reconstruction"]


def test_the_fit_tells_a_spot_that_is_like_no_cell() -> None:
    spots, cells, _ = tissue()
    counts = spots.X.toarray()
    counts[3] = np.random.default_rng(1).poisson(20, 150)
    spots.X = sparse.csr_matrix(counts)
    fit = proportions.map_cells(spots, cells).fit()
    assert fit["residual"].idxmax() == fit["explained"].idxmin() == "s003"
    assert fit["explained"].drop("s003").min() > 0.7


def test_candidates_bound_the_map() -> None:
    spots, cells, truth = tissue()
    found = proportions.map_cells(spots, cells, n_candidates=12)
    assert np.diff(found.weights.indptr).max() <= 12
    assert evaluate(found.proportions(), truth)["RMSE"] < 0.11


def test_a_low_temperature_takes_fewer_cells(mapped) -> None:
    spots, cells, _ = tissue()
    hot = proportions.map_cells(spots, cells, temperature=30).weights
    effective = [float(np.mean(1 / np.asarray(w.multiply(w).sum(axis=1)))) for w in (mapped[0].weights, hot)]
    assert effective[0] < 0.8 * effective[1]


def test_the_largest_weights_are_retained() -> None:
    weights = sparse.csr_matrix([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 1.0, 0.0]])
    types = pd.Categorical(["x", "y", None, "x"], categories=["x", "y"])
    np.testing.assert_allclose(proportions.project(weights, types), [[5 / 7, 2 / 7], [0.5, 0.5]])
    np.testing.assert_allclose(proportions.project(weights, types, 0.25)[0], [1, 0])
    np.testing.assert_allclose(proportions.project(weights, types, 0.75)[0], [2 / 3, 1 / 3])
    for retain in (0, 1.5):
        with pytest.raises(InputError, match="retain_percent"):
            proportions.project(weights, types, retain)


def test_the_tutorials_calls(mapped) -> None:
    spots, cells, truth = tissue()
    cells.obs["cell_type"] = pd.Categorical(cells.obs["cell_type"].where(cells.obs_names != cells.obs_names[8], "n/a"))
    cells.obs.iloc[7, 0] = np.nan
    shuffled = np.random.default_rng(0).permutation(80)
    model = SpatialFusion(spots[shuffled].copy(), cells, epochs=1200, random_seed=50, deconvolution=True, device="cpu")
    adata, adata_sc = model.train_map()
    project_cell_to_spot(adata, adata_sc, retain_percent=0.15)
    assert adata.obsm["map_matrix"].shape == (80, 100)
    assert adata.obsm["map_matrix"][:, 7:9].nnz == 0 and "n/a" not in adata.obs
    assert adata.obsm["emb_sp"].shape[1] == adata_sc.obsm["emb_sc"].shape[1]
    np.testing.assert_allclose(adata.obs[TYPES].sum(axis=1), 1, atol=1e-6)
    assert evaluate(adata.obs[TYPES], truth)["RMSE"] < 0.12
    few = adata.obs[TYPES].copy()
    project_cell_to_spot(adata, adata_sc, retain_percent=1)
    assert np.abs(few - adata.obs[TYPES]).to_numpy().max() > 0.01

    again, _ = SpatialFusion(spots, cells, random_seed=50, device="cpu").train_map()
    difference = again[adata.obs_names].obsm["map_matrix"] - adata.obsm["map_matrix"]
    assert abs(difference).max() < 1e-6
    assert "map_matrix" not in spots.obsm


def test_what_cannot_be_is_one_line() -> None:
    spots, cells, _ = tissue(20)
    with pytest.raises(InputError, match="temperature"):
        proportions.map_cells(spots, cells, temperature=0)
    with pytest.raises(InputError, match="needs a reference"):
        SpatialFusion(spots).train_map()
    with pytest.raises(InputError, match="map_matrix"):
        project_cell_to_spot(spots, cells)
    with pytest.raises(InputError, match="needs adata_sc"):
        SpatialFusion(spots, deconvolution=True)
    cells.X = -cells.X
    with pytest.raises(InputError, match="raw counts"):
        SpatialFusion(spots, cells).train_map()


def test_the_map_is_the_same_whatever_the_threads() -> None:
    """Of a reference large enough for products by several threads."""
    random = np.random.default_rng(3)
    counts = random.poisson(random.gamma(0.1, 1, (3, 8000))[random.integers(3, size=300)]).astype(np.float32)
    cells = AnnData(sparse.csr_matrix(counts), obs=pd.DataFrame({"cell_type": random.choice(TYPES, 300)}))
    cells.obs_names, cells.var_names = [f"c{i}" for i in range(300)], [f"g{i}" for i in range(8000)]
    spots = cells[:60].copy()
    spots.obsm["spatial"] = random.random((60, 2))
    before = torch.get_num_threads()
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with threadpool_limits(threads):
            found.append(proportions.map_cells(spots, cells, epochs=2))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert found[0].cell_features.tobytes() == found[1].cell_features.tobytes()
    assert found[0].weights.data.tobytes() == found[1].weights.data.tobytes()
