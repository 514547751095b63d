"""The benchmark of proportions: tables of the right shape, inputs that are damaged as they say. Peers are not run."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse


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
