"""The benchmark of proportions: tables of the right shape, inputs that are damaged as they say. Peers are not run."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.optimize import nnls
from spotfuse import AttentionRegressionDeconv


@pytest.fixture
def compare(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("QUICK", "1")
    monkeypatch.setenv("PEERS", "")
    monkeypatch.setattr(sys, "path", [str(root / "benchmarks/deconvolution"), *sys.path])
    import compare

    return compare


def given() -> tuple[AnnData, AnnData, pd.DataFrame]:
    """Thirty spots of one to five cells of four types."""
    random = np.random.default_rng(0)
    profiles, codes = random.dirichlet(np.full(80, 0.3), 4), np.repeat(np.arange(4), 20)
    inside = random.multinomial(random.integers(1, 6, 30), np.full(4, 0.25))
    genes = pd.DataFrame(index=[f"g{i:02d}" for i in range(80)])
    sc = AnnData(sparse.csr_matrix(random.poisson(profiles[codes] * 900).astype(np.float32)), var=genes)
    sc.obs["cell_type"] = np.array(list("abcd"))[codes]
    sc.uns["spotfuse"] = {"notes": []}
    st = AnnData(sparse.csr_matrix(random.poisson(inside @ profiles * 900).astype(np.float32)), var=genes)
    st.obsm["spatial"] = np.c_[np.arange(30) % 6, np.arange(30) // 6].astype(float)
    return st, sc, pd.DataFrame(inside / inside.sum(axis=1, keepdims=True), st.obs_names, list("abcd"))


def test_table(compare: ModuleType) -> None:
    table = compare.pooled([given()], [compare.ours, compare.least_squares, compare.card])
    assert list(table.columns) == ["RMSE", "mean RMSE of the parts", "PCC", "JS", "CPU s", "in 90 % interval"]
    assert list(table.index[:3]) == ["Spotfuse", "Spotfuse, regression alone", "NNLS"]
    assert table["RMSE"].between(0, 0.2).all() and table.loc["Spotfuse", "in 90 % interval"] > 0.7
    lines = compare.markdown(table).splitlines()
    assert len(lines) == 2 + len(table) and lines[2].startswith("| Spotfuse | 0.0")


def test_damage(compare: ModuleType) -> None:
    st, sc, _ = given()
    changed = {name: change(given()) for name, change in compare.DAMAGE.items()}
    share = changed["counts thinned to 20 %"][0].X.sum() / st.X.sum()
    assert 0.18 < share < 0.22
    assert changed["a type missing from the reference"][1].obs["cell_type"].nunique() == 3
    assert changed["a type of the reference not in the tissue"][1].obs["cell_type"].nunique() == 5
    few = changed["few cells a spot (no share below a third)"]
    assert 0 < few[0].n_obs < st.n_obs and few[2].where(few[2] > 0).min().min() > 0.3
    other = changed["reference from another platform (log-normal, σ 0.5)"][1]
    assert other.shape == sc.shape and abs(other.X - sc.X).sum() > 0


@pytest.fixture
def generalisation(compare: ModuleType) -> ModuleType:
    import generalisation

    return generalisation


def test_variants(generalisation: ModuleType) -> None:
    st, sc, truth = given()
    changed = {name: change(given()) for name, change in generalisation.VARIANTS.items()}
    assert changed["half of the genes"][0].n_vars == changed["half of the genes"][1].n_vars == st.n_vars / 2
    many, _, known = changed["pooled 2 × 2"]
    assert many.n_obs == 9 and many.X.sum() == st.X.sum() and list(known.index) == list(many.obs_names)
    np.testing.assert_allclose(known.iloc[0], truth.iloc[[0, 1, 6, 7]].mean())
    assert 0.18 < changed["reference thinned to 20 %"][1].X.sum() / sc.X.sum() < 0.22
    more = sc[np.r_[0:20, 0:80]].copy()
    more.obs_names_make_unique()
    few = generalisation.few_reference_cells((st, more, truth))[1]
    assert few.obs["cell_type"].value_counts().max() <= 25


def test_least_squares_and_candidates(generalisation: ModuleType) -> None:
    st, sc, _ = given()
    found = generalisation.least_squares(st, sc)
    assert tuple(found) == generalisation.LEAST_SQUARES
    B = np.array([sc.X.toarray()[sc.obs["cell_type"] == kind].mean(axis=0) for kind in "abcd"])
    expected = np.array([nnls(B.T, x)[0] for x in st.X.toarray()])
    np.testing.assert_allclose(found["NNLS, counts"], expected / expected.sum(axis=1, keepdims=True), atol=1e-6)
    model = AttentionRegressionDeconv.from_anndata(st, sc, n_jobs=1)
    tables, interval = generalisation.candidates(model)
    proportions, _ = model.run()
    pd.testing.assert_frame_equal(tables[generalisation.DEFAULT], proportions)
    for mine, its in zip(interval, model.interval_, strict=True):
        pd.testing.assert_frame_equal(mine, its)


def test_halves_choose_without_the_families_they_are_scored_on(generalisation: ModuleType) -> None:
    others = [name for name in generalisation.MIXTURES if name != generalisation.DEFAULT]
    rmse = dict.fromkeys(generalisation.LEAST_SQUARES, 0.1) | {
        generalisation.BEFORE: 0.11,
        generalisation.DEFAULT: 0.09,
    }
    rows = [
        {"pair": pair, "variant": variant, "method": method, "RMSE": rmse.get(method, 0.1), "PCC": 0.5, "JSD": 0.3}
        for pair in generalisation.PAIRS
        for variant in generalisation.VARIANTS
        for method in (*rmse, *others)
    ]
    tables = generalisation.report(pd.DataFrame(rows).assign(covered=0.9)).split("\n\n")
    assert len(tables) == 4 and tables[0].count("0.0900 / 0.500 / 0.300") == len(generalisation.PAIRS)
    for line in tables[3].splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1:6] == [generalisation.DEFAULT, "0.900", "0.900", "0.900", "1.100"]
