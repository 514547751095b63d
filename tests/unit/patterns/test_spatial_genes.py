"""Moran's I, its moments over permutations, and what it finds."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse, stats
from spotfuse import patterns
from spotfuse.patterns import _spatial_genes
from spotfuse.patterns._permutation_moments import Sums, moments
from spotfuse.preparation import log_normalised, spatial_graph

SIDE = 15


def tissue(counts: np.ndarray, side: int = SIDE) -> AnnData:
    """A square of spots in rows; the first gene makes all spots equally deep."""
    full = np.column_stack([counts.sum(axis=1).max() + 10 - counts.sum(axis=1), counts])
    names = ["rest", *(f"g{i:03d}" for i in range(counts.shape[1]))]
    adata = AnnData(sparse.csr_matrix(full, dtype=np.float32), var=pd.DataFrame(index=names))
    adata.obs_names = [f"s{i:04d}" for i in range(len(counts))]
    adata.obsm["spatial"] = np.stack(np.divmod(np.arange(side**2), side), axis=1).astype(float)
    adata.obsp["spatial_connectivities"] = spatial_graph(adata)
    return adata


def textbook(x: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Moran's I and z under randomisation, with the sums as Cliff & Ord (1981) print them."""
    n, s0 = len(x), w.sum()
    s1 = np.square(w + w.T).sum() / 2
    s2 = np.square(w.sum(axis=0) + w.sum(axis=1)).sum()
    d = x - x.mean()
    i = n / s0 * d @ w @ d / (d @ d)
    k = (d**4).mean() / (d**2).mean() ** 2
    top = n * ((n**2 - 3 * n + 3) * s1 - n * s2 + 3 * s0**2) - k * ((n**2 - n) * s1 - 2 * n * s2 + 6 * s0**2)
    variance = top / ((n - 1) * (n - 2) * (n - 3) * s0**2) - 1 / (n - 1) ** 2
    return i, (i + 1 / (n - 1)) / np.sqrt(variance)


def test_it_is_morans_i_as_scanpy_and_the_textbook_have_it():
    from scanpy.metrics import morans_i

    random = np.random.default_rng(0)
    adata = tissue(random.poisson(random.gamma(1, 2, (SIDE**2, 12))))
    table = patterns.spatial_genes(adata).set_index("gene").loc[adata.var_names]
    values, graph = log_normalised(adata).toarray().astype(float), adata.obsp["spatial_connectivities"]
    np.testing.assert_allclose(table["morans_i"], morans_i(graph, values.T), atol=1e-5)
    expected = [textbook(column, graph.toarray()) for column in values.T]
    np.testing.assert_allclose(table[["morans_i", "z"]], expected, atol=1e-3)
    np.testing.assert_allclose(table["share"], (values > 0).mean(axis=0))


def test_the_moments_are_those_of_all_permutations():
    from itertools import permutations

    random = np.random.default_rng(1)
    a, b = (np.triu(random.integers(0, 3, (6, 6)), 1).astype(float) for _ in range(2))
    a, b = a + a.T, b + b.T
    sums = [(a * b[np.ix_(p, p)]).sum() for p in permutations(range(6))]
    mean, deviation = moments(*(Sums.of_graph(sparse.csr_matrix(m)) for m in (a, b)), 6)
    assert (mean, deviation) == (pytest.approx(np.mean(sums)), pytest.approx(np.std(sums)))


@pytest.mark.parametrize("rate", [3, 0.05])
def test_of_genes_without_a_pattern_none_is_found(rate: float):
    random = np.random.default_rng(2)
    table = patterns.spatial_genes(tissue(random.poisson(rate, (900, 400)), 30))[1:]
    assert table["z"].mean() == pytest.approx(0, abs=0.15) and table["z"].std() == pytest.approx(1, abs=0.1)
    if rate > 1:
        assert stats.kstest(table["z"], "norm").pvalue > 0.05
    # of rare genes a normal distribution would find some: two spots that happen to touch
    assert (table["p_adjusted"] < 0.05).sum() == 0


def test_genes_with_a_pattern_come_first():
    random = np.random.default_rng(4)
    rate = np.full((SIDE**2, 50), 3.0)
    rate[: SIDE**2 // 2, 7], rate[: 3 * SIDE, 20] = 9, 9  # a half of the tissue, and one of its sides
    table = patterns.spatial_genes(tissue(random.poisson(rate))).query("gene != 'rest'").reset_index()
    assert set(table["gene"][:2]) == {"g007", "g020"} and (table["p_adjusted"][:2] < 1e-4).all()
    assert table["morans_i"].is_monotonic_decreasing and (table["p_adjusted"][2:] > 0.01).all()


def test_constant_genes_and_slices_without_neighbours_have_no_rows():
    counts = np.ones((SIDE**2, 3))
    counts[:5, 1] = 7
    adata = tissue(counts)
    assert set(patterns.spatial_genes(adata)["gene"]) == {"rest", "g001"}
    adata.obsp["spatial_connectivities"] = sparse.csr_matrix((SIDE**2, SIDE**2))
    table = patterns.spatial_genes(adata)
    assert table.empty and list(table) == _spatial_genes.SPATIAL_GENES


def test_layers_of_the_cortex_are_told_by_their_genes(data):
    adata = ad.read_h5ad(data / "dlpfc/151673.h5ad")
    adata.obsp["spatial_connectivities"] = spatial_graph(adata)
    assert {"MBP", "PLP1"} <= set(patterns.spatial_genes(adata)["gene"][:20])
