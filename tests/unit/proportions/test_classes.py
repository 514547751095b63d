"""Types that are not told apart form classes."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from spotfuse import AttentionRegressionDeconv
from spotfuse.pipeline import proportion_files
from spotfuse.proportions import ClassSettings, as_reference, estimate, found_classes, of_classes


def pair(alike: float) -> tuple[AnnData, AnnData]:
    """Make spots of four types, of which the last two have the same profile but for a share of the counts."""
    random = np.random.default_rng(0)
    profiles = random.gamma(0.3, size=(4, 150))
    profiles[3] = alike * profiles[2] + (1 - alike) * profiles[3]
    profiles /= profiles.sum(axis=1, keepdims=True)
    codes = np.arange(160) % 4
    names = np.array(["A", "B", "C", "D"])
    genes = pd.DataFrame(index=[f"Gene{i}" for i in range(150)])
    sc = AnnData(
        sparse.csr_matrix(random.poisson(300 * profiles[codes]).astype(np.float32)),
        obs=pd.DataFrame({"cell_type": names[codes]}, [f"c{i:03d}" for i in range(160)]),
        var=genes,
    )
    mix = random.dirichlet(np.full(4, 0.5), 80)
    spots = pd.DataFrame({"input_row": np.arange(80)}, [f"s{i:02d}" for i in range(80)])
    st = AnnData(sparse.csr_matrix(random.poisson(400 * mix @ profiles).astype(np.float32)), obs=spots, var=genes)
    st.obsm["spatial"] = random.random((80, 2))
    return st, as_reference(sc)


def test_types_of_nearly_one_profile_form_a_class_and_others_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    st, sc = pair(0.0)
    found = estimate(st, sc, device="cpu")
    assert found.classes.tolist() == ["A", "B", "C", "D"] and found.summary["classes"] == []
    proportion_files.write({"attention_regression": found}, st, cell_map=False)
    assert not (tmp_path / "proportions_classes.tsv").exists() and not (tmp_path / "cell_map.h5ad").exists()
    st, sc = pair(0.97)
    found = estimate(st, sc, device="cpu")
    assert found.classes.tolist() == ["A", "B", "C + D", "C + D"] and found.summary["classes"] == [["C", "D"]]
    proportion_files.write({"attention_regression": found}, st)
    table = pd.read_csv(tmp_path / "proportions_classes.tsv", sep="\t", index_col="spot")
    assert list(table) == ["A", "B", "C + D"]
    np.testing.assert_allclose(table["C + D"], found.proportions[["C", "D"]].sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-5)


def test_types_of_one_profile_are_a_class():
    st, sc = pair(1.0)
    one = sc[sc.obs["cell_type"] != "D"]
    other = sc[sc.obs["cell_type"] == "C"]
    counts = sparse.vstack([one.X, other.X])
    labels = [*one.obs["cell_type"], *["D"] * other.n_obs]
    twice = AnnData(counts, obs=pd.DataFrame({"cell_type": labels}, [f"c{i}" for i in range(len(labels))]), var=one.var)
    model = AttentionRegressionDeconv.from_anndata(st, as_reference(twice))
    model.run()
    assert model.classes_.tolist() == ["A", "B", "C + D", "C + D"]


def test_doubt_decides_and_not_the_order_of_types():
    random = np.random.default_rng(1)
    shares = pd.DataFrame(random.dirichlet(np.full(4, 5.0), 500), columns=list("abcd"))
    doubt = 0.001 * np.eye(4)
    doubt[[0, 2], [2, 0]] = -0.0009
    assert found_classes(shares, doubt).tolist() == ["a", "b", "c", "d"]  # a small doubt
    doubt *= 50
    assert found_classes(shares, doubt).tolist() == ["a + c", "b", "a + c", "d"]
    turned = [2, 3, 1, 0]
    found = found_classes(shares.iloc[:, turned], doubt[np.ix_(turned, turned)])
    assert found["a"] == found["c"] == "c + a" and found["b"] == "b"
    assert found_classes(shares, doubt, ClassSettings(correlated=0.95)).nunique() == 4
    np.testing.assert_allclose(of_classes(shares, found)["c + a"], shares["a"] + shares["c"])


def test_classes_that_a_reference_gives_are_taken():
    st, sc = pair(0.0)
    names = sc.obs["cell_type"].astype(str)
    sc.obs["class"] = names.where(names == names.iloc[0], "rest").astype("category")
    found = estimate(st, sc, device="cpu")
    assert found.classes is not None and set(found.classes) == {names.iloc[0], "rest"}
    shares = of_classes(found.proportions, found.classes)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[names.iloc[0]], found.proportions[names.iloc[0]])
