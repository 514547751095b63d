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
    assert list(found.columns) == _markers.MARKERS
    assert list(found["domain"]) == [1] * 5 + [2] * 5 + [3] * 5
    for domain, genes in found.groupby("domain")["gene"]:
        assert set(genes) == {f"g{i:02d}" for i in range(5 * domain - 5, 5 * domain)}
    assert (found["log_fold_change"] > 1).all() and (found["p_adjusted"] < 0.05).all() and (found["auc"] > 0.7).all()


def test_figures_are_of_counts_and_ranks(planted: tuple[AnnData, pd.Series]) -> None:
    adata, domains = planted
    found = patterns.markers(adata, domains).query("domain == 2").set_index("gene")
    values = log_normalised(adata).toarray()
    inside = (domains.loc[adata.obs_names] == "2").to_numpy()
    test = mannwhitneyu(values[inside], values[~inside], use_continuity=False, method="asymptotic")
    expected = pd.Series(false_discovery_control(test.pvalue), index=adata.var_names)
    np.testing.assert_allclose(found["p_adjusted"], expected[found.index], rtol=1e-4)
    auc = pd.Series(test.statistic / (inside.sum() * (~inside).sum()), adata.var_names)
    np.testing.assert_allclose(found["auc"], auc[found.index], rtol=1e-5)
    counts = adata.to_df()
    np.testing.assert_allclose(found["share_in"], (counts[inside] > 0).mean()[found.index])
    np.testing.assert_allclose(found["share_out"], (counts[~inside] > 0).mean()[found.index])
    sums = counts[inside].sum(), counts[~inside].sum()
    fold = np.log2((sums[0] + 1) / (sums[1] / sums[1].sum() * sums[0].sum() + 1))
    np.testing.assert_allclose(found["log_fold_change"], fold[found.index], rtol=1e-5)


def test_p_values_and_shares_are_scanpys(root: Path) -> None:
    import scanpy as sc

    adata = anndata.read_h5ad(root / "assets/test/cortex.h5ad")
    most = adata.to_df().var().idxmax()
    domains = pd.qcut(adata.to_df()[most].rank(method="first"), 3, labels=[1, 2, 3]).astype(int)
    work = AnnData(log_normalised(adata), obs=pd.DataFrame({"domain": domains.astype(str).astype("category")}))
    work.var_names = adata.var_names
    sc.tl.rank_genes_groups(work, "domain", method="wilcoxon", tie_correct=True, pts=True)
    found = patterns.markers(adata, domains, n_genes=adata.n_vars)
    assert len(found) > 20
    for domain, part in found.groupby("domain"):
        theirs = sc.get.rank_genes_groups_df(work, str(domain)).set_index("names").loc[part["gene"]]
        assert (theirs["scores"] > 0).all()
        np.testing.assert_allclose(part["p_adjusted"], theirs["pvals_adj"], rtol=1e-6)
        np.testing.assert_allclose(part["share_in"], theirs["pct_nz_group"], rtol=1e-6)
        np.testing.assert_allclose(part["share_out"], theirs["pct_nz_reference"], rtol=1e-6)


def test_what_every_spot_has_marks_no_domain() -> None:
    """As MALAT1 in a layer that lost most of its counts: a larger part of them, with no more of it."""
    rng = np.random.default_rng(4)
    inside = np.arange(200) < 60
    rate = np.where(inside[:, None], 0.4, 2.0) * np.ones(80)
    rate[:, 0] = 5  # everywhere
    rate[:, 1] = np.where(inside, 4, 0.4)  # a marker
    rate[:, 2] = np.where(inside, 9, 3)  # a marker that every spot has
    adata = AnnData(sparse.csr_matrix(rng.poisson(rate), dtype=np.float32))
    adata.var_names = ["MALAT1", "REAL", "MUCH", *(f"g{i}" for i in range(77))]
    domains = pd.Series(2 - inside, index=adata.obs_names)
    assert set(patterns.markers(adata, domains).query("domain == 1")["gene"]) == {"REAL", "MUCH"}


def test_a_gene_of_few_spots_has_no_huge_fold_change_and_comes_after_one_of_many() -> None:
    rng = np.random.default_rng(5)
    inside = np.arange(400) < 100
    rate = np.ones((400, 50))
    rate[:, 1] = np.where(inside, 0.3, 0)  # in every fourth spot inside, in none outside
    rate[:, 2] = np.where(inside, 5, 1)
    adata = AnnData(sparse.csr_matrix(rng.poisson(rate), dtype=np.float32))
    found = patterns.markers(adata, pd.Series(2 - inside, index=adata.obs_names)).query("domain == 1")
    assert list(found["gene"]) == ["2", "1"] and 2 < found["log_fold_change"].max() < 6


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
