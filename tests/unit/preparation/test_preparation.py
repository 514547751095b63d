import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import preparation
from spotfuse._core.errors import InputError
from spotfuse.preparation import _components, _normalise


def counts(n_spots: int = 300, n_genes: int = 80, seed: int = 0) -> AnnData:
    """Two halves of a square, each with its own genes."""
    rng = np.random.default_rng(seed)
    place = rng.random((n_spots, 2))
    mean = np.ones((n_spots, n_genes))
    mean[place[:, 0] > 0.5, : n_genes // 4] *= 6
    depth = rng.lognormal(0, 0.5, (n_spots, 1))
    adata = AnnData(sparse.csr_matrix(rng.poisson(mean * depth).astype(np.float32)), obsm={"spatial": place})
    return adata[np.asarray(adata.X.sum(axis=1)).ravel() > 0].copy()


def parts(adata: AnnData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    dense = adata.X.toarray().astype(np.float32)
    totals = dense.sum(axis=1, keepdims=True)
    return dense, totals, dense.sum(axis=0) / totals.sum()


def test_log_scale_and_residuals_are_what_they_are_called():
    dense, totals, share = parts(counts())
    np.testing.assert_allclose(np.expm1(_normalise.log_scale(dense, totals, share)).sum(axis=1), 1e4, rtol=1e-4)
    np.testing.assert_allclose(
        preparation.log_normalised(counts()).toarray(), np.log1p(dense / totals * 1e4), rtol=1e-4
    )
    mean = totals * share
    expected = (dense - mean) / np.sqrt(mean + mean**2 / 100)
    np.testing.assert_allclose(preparation.residual(dense, totals, share), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("transform", [_normalise.log_scale, preparation.residual])
def test_components_are_those_of_the_dense_standardised_matrix(transform, monkeypatch):
    monkeypatch.setattr(_components, "_BLOCK", 70)
    adata = counts()
    dense, totals, share = parts(adata)
    values = transform(dense, totals, share).astype(float)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    assert standard.max() < 10  # nothing is clipped here
    scores = preparation.principal_components([(sparse.csr_matrix(adata.X), totals)], 6, transform)
    left, singular, _ = np.linalg.svd(standard, full_matrices=False)
    expected = (left * singular)[:, :6]
    expected *= np.sign((expected * scores).sum(axis=0))
    np.testing.assert_allclose(scores, expected, atol=5e-3)


def test_prepare_fills_the_slice_and_repeats_itself():
    adata, again = counts(), counts()
    before = adata.X.copy()
    preparation.prepare(adata, n_top_genes=40, n_components=10)
    preparation.prepare(again, n_top_genes=40, n_components=10)
    assert (adata.X != before).nnz == 0
    assert adata.var["highly_variable"].sum() == 40
    for name in ("X_pca", "X_pca_log"):
        assert adata.obsm[name].shape == (adata.n_obs, 10)
        assert adata.obsm[name].dtype == np.float32
        assert np.array_equal(adata.obsm[name], again.obsm[name])
    for name in ("spatial_connectivities", "feature_connectivities"):
        assert (adata.obsp[name] != again.obsp[name]).nnz == 0
        assert adata.obsp[name].shape == (adata.n_obs, adata.n_obs)


def test_depth_does_not_lead_the_components():
    adata = counts()
    depth = np.asarray(adata.X.sum(axis=1)).ravel()
    half = adata.obsm["spatial"][:, 0] > 0.5
    preparation.prepare(adata)
    for name in ("X_pca", "X_pca_log"):
        assert abs(np.corrcoef(adata.obsm[name][:, 0], half)[0, 1]) > 0.9
    first = adata.obsm["X_pca_log"][:, 0]  # residuals of deep spots are larger: they say more
    within = [abs(np.corrcoef(first[part], np.log(depth[part]))[0, 1]) for part in (half, ~half)]
    assert max(within) < 0.5


@pytest.mark.parametrize(("n_spots", "n_genes"), [(30, 33), (12, 500), (4, 3)])
def test_few_spots_or_genes(n_spots, n_genes):
    adata = counts(n_spots, n_genes)
    preparation.prepare(adata)
    assert adata.obsm["X_pca"].shape[1] == min(50, adata.n_obs - 1, n_genes - 1)
    assert np.isfinite(adata.obsm["X_pca"]).all()
    assert adata.var["highly_variable"].all()


def test_too_little_is_refused_in_one_line():
    with pytest.raises(InputError, match="n_components is 0; it must be at least 1"):
        preparation.prepare(counts(10, 10), n_components=0)
    with pytest.raises(InputError, match="2 spots"):
        preparation.prepare(counts(2, 10))
