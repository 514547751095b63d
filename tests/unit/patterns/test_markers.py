from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.stats import false_discovery_control, mannwhitneyu
from spotfuse import patterns
from spotfuse.patterns import _markers
from spotfuse.preparation import log_normalised

N_SPOTS, N_GENES = 90, 60


@pytest.fixture
def planted() -> tuple[AnnData, pd.Series]:
    """Three domains of 30, 40 and 20 spots; genes 0–4 are high in the first, 5–9 in the second, 10–14 in the third."""
    rng = np.random.default_rng(1)
    domain = np.repeat([1, 2, 3], [30, 40, 20])
    rate = np.full((N_SPOTS, N_GENES), 1.0)
    for k in (1, 2, 3):
        rate[np.ix_(domain == k, np.arange(5 * k - 5, 5 * k))] = 5
    spots, genes = [f"s{i:02d}" for i in range(N_SPOTS)], [f"g{i:02d}" for i in range(N_GENES)]
    adata = AnnData(
        sparse.csr_matrix(rng.poisson(rate), dtype=np.float32),
        obs=pd.DataFrame(index=spots),
        var=pd.DataFrame(index=genes),
    )
    return adata, pd.Series(domain.astype(str), index=spots).sample(frac=1, random_state=0)


def test_planted_genes_come_first(planted: tuple[AnnData, pd.Series]) -> None:
    found = patterns.markers(*planted, n_genes=5)
    assert list(found.columns) == ["domain", "gene", "log_fold_change", "p_adjusted", "share_in", "share_out"]
    assert list(found["domain"]) == [1] * 5 + [2] * 5 + [3] * 5
    for domain, genes in found.groupby("domain")["gene"]:
        assert set(genes) == {f"g{i:02d}" for i in range(5 * domain - 5, 5 * domain)}
    assert (found["log_fold_change"] > 1).all() and (found["share_in"] > found["share_out"]).all()


def test_statistics_are_wilcoxons(planted: tuple[AnnData, pd.Series]) -> None:
    adata, domains = planted
    found = patterns.markers(adata, domains, n_genes=N_GENES).query("domain == 2").set_index("gene")
    values = log_normalised(adata).toarray()
    inside = (domains.loc[adata.obs_names] == "2").to_numpy()
    test = mannwhitneyu(values[inside], values[~inside], use_continuity=False, method="asymptotic")
    expected = pd.Series(false_discovery_control(test.pvalue), index=adata.var_names)
    np.testing.assert_allclose(found["p_adjusted"], expected[found.index], rtol=1e-4)
    higher = test.statistic > inside.sum() * (~inside).sum() / 2
    assert set(found.index) == set(adata.var_names[higher])
    counts = adata.to_df()
    np.testing.assert_allclose(found["share_in"], (counts[inside] > 0).mean()[found.index])
    np.testing.assert_allclose(found["share_out"], (counts[~inside] > 0).mean()[found.index])


def test_figures_are_scanpys(root: Path) -> None:
    import scanpy as sc

    adata = anndata.read_h5ad(root / "assets/test/cortex.h5ad")
    domains = pd.Series(np.arange(adata.n_obs) % 3 + (np.arange(adata.n_obs) > 100) + 1, index=adata.obs_names)
    work = AnnData(log_normalised(adata), obs=pd.DataFrame({"domain": domains.astype(str).astype("category")}))
    work.var_names = adata.var_names
    sc.tl.rank_genes_groups(work, "domain", method="wilcoxon", tie_correct=True, pts=True)
    found = patterns.markers(adata, domains, n_genes=adata.n_vars)
    assert set(found["domain"]) == {1, 2, 3, 4}
    for domain, part in found.groupby("domain"):
        theirs = sc.get.rank_genes_groups_df(work, str(domain)).set_index("names")
        assert set(part["gene"]) == set(theirs.index[theirs["scores"] > 0])
        theirs = theirs.loc[part["gene"]]
        assert (np.diff(theirs["scores"]) <= 0).all()
        np.testing.assert_allclose(part["log_fold_change"], theirs["logfoldchanges"], rtol=1e-5)
        np.testing.assert_allclose(part["p_adjusted"], theirs["pvals_adj"], rtol=1e-6)
        np.testing.assert_allclose(part["share_in"], theirs["pct_nz_group"], rtol=1e-6)
        np.testing.assert_allclose(part["share_out"], theirs["pct_nz_reference"], rtol=1e-6)


def test_domains_of_one_spot_or_of_all_have_no_markers(planted: tuple[AnnData, pd.Series]) -> None:
    adata, domains = planted
    one = domains.copy()
    one["s00"] = "4"
    assert set(patterns.markers(adata, one)["domain"]) == {1, 2, 3}
    none = patterns.markers(adata, pd.Series("1", index=domains.index))
    assert none.empty and list(none.columns) == _markers.MARKERS


def test_order_of_spots_and_genes_changes_nothing(planted: tuple[AnnData, pd.Series]) -> None:
    adata, domains = planted
    adata.X[:, 20] = adata.X[:, 21]  # a tie
    rng = np.random.default_rng(2)
    shuffled = adata[rng.permutation(N_SPOTS), rng.permutation(N_GENES)].copy()
    pd.testing.assert_frame_equal(patterns.markers(adata, domains), patterns.markers(shuffled, domains), rtol=1e-4)
