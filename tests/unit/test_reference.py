import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import reference
from spotfuse.errors import InputError


def make(tmp_path, X, labels, genes, cells=None, **keys):
    cells = cells or [f"c{i}" for i in range(len(X))]
    adata = AnnData(
        sparse.csr_matrix(np.asarray(X, np.float32)),
        obs=pd.DataFrame({"cell_type": labels}, index=cells),
        var=pd.DataFrame(index=list(genes)),
    )
    for key, value in keys.items():
        adata.var[key] = value
    adata.write_h5ad(tmp_path / "ref.h5ad")
    return tmp_path / "ref.h5ad"


def genes(n):
    return [f"gene{i:03d}" for i in range(n)]


def counts(n_cells, n_genes, seed=0):
    return np.random.default_rng(seed).poisson(2, (n_cells, n_genes))


def test_cells_without_label_or_counts_are_left_out_and_named(tmp_path):
    X = counts(6, 8)
    X[4] = 0
    ref = reference.read(make(tmp_path, X, ["a", "", None, " b ", "a", "nan"], genes(8)))
    assert list(ref.obs["cell_type"]) == ["a", "b"]
    assert list(ref.obs_names) == ["c0", "c3"]
    assert any("3 cells" in note and "no cell type" in note for note in ref.uns["spotfuse"]["notes"])
    assert any("1 cells" in note and "no counts" in note for note in ref.uns["spotfuse"]["notes"])


def test_duplicated_genes_are_added_up(tmp_path):
    X = counts(4, 3)
    ref = reference.read(make(tmp_path, X, list("aabb"), ["g2", "g1", "g2"]))
    assert list(ref.var_names) == ["g1", "g2"]
    np.testing.assert_array_equal(ref.X.toarray(), np.c_[X[:, 1], X[:, 0] + X[:, 2]])


def test_order_of_cells_and_genes_changes_nothing(tmp_path):
    X = counts(40, 10)
    labels = np.array(["a", "b"] * 20)
    cells = np.array([f"c{i:02d}" for i in range(40)])
    first = reference.read(make(tmp_path, X, labels, genes(10), list(cells)), max_cells_per_type=7)
    rows, columns = np.random.default_rng(1).permutation(40), np.random.default_rng(2).permutation(10)
    second = reference.read(
        make(tmp_path, X[rows][:, columns], labels[rows], np.array(genes(10))[columns], list(cells[rows])),
        max_cells_per_type=7,
    )
    assert list(first.obs_names) == list(second.obs_names)
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
    assert first.obs["cell_type"].value_counts().to_dict() == {"a": 7, "b": 7}


def test_small_types_are_kept_and_named_or_dropped_when_asked(tmp_path):
    path = make(tmp_path, counts(10, 5), list("aaaaaabccc"), genes(5))
    assert any("b (1)" in note for note in reference.read(path).uns["spotfuse"]["notes"])
    assert set(reference.read(path, min_cells_per_type=2).obs["cell_type"]) == {"a", "c"}
    with pytest.raises(InputError, match="column 'cell_type' has one cell type, 'a'; two are needed"):
        reference.read(path, min_cells_per_type=4)
    with pytest.raises(InputError, match="no cell type has 9 cells; the largest has 6"):
        reference.read(path, min_cells_per_type=9)


def test_counts_come_back_from_normalised_logs(tmp_path):
    X = counts(5, 30)
    X[:, 0] = 1  # a smallest value of one count
    logged = np.log1p(X / X.sum(axis=1, keepdims=True) * 1e4)
    ref = reference.read(make(tmp_path, logged, list("aabba"), genes(30)))
    assert sorted(map(tuple, ref.X.toarray().astype(int))) == sorted(map(tuple, X))


def test_a_wrong_column_is_one_line_that_suggests_the_right_one(tmp_path):
    path = make(tmp_path, counts(3, 3), list("abc"), genes(3))
    with pytest.raises(InputError, match=r"no column 'celltype'.*did you mean 'cell_type'"):
        reference.read(path, "celltype")
    with pytest.raises(InputError, match="no such file"):
        reference.read(tmp_path / "absent.h5ad")


def var(names, **columns):
    return pd.DataFrame(columns, index=list(names))


def test_genes_match_by_symbol_id_version_and_case():
    ids = [f"ENSG{i:011d}" for i in range(200)]
    symbols = [f"Gene{i}" for i in range(200)]
    for ours, theirs in (
        (var(symbols), var(symbols[::-1])),
        (var(ids), var([f"{name}.{i % 9}" for i, name in enumerate(ids)])),
        (var(symbols), var([name.upper() for name in symbols])),
        (var(symbols, gene_ids=ids), var(ids)),
        (var(symbols), var(ids, gene_symbols=symbols)),
    ):
        match = reference.match_genes(ours, theirs)
        assert len(match.slice_index) == 200
        expected = np.arange(200)[::-1] if theirs.index[0] == symbols[-1] else np.arange(200)
        np.testing.assert_array_equal(match.reference_index, expected)


def test_case_is_ignored_only_where_that_is_unambiguous():
    names = [f"abc{i}" for i in range(150)]
    match = reference.match_genes(var([*names, "abc0".upper()]), var([name.upper() for name in names]))
    assert len(match.slice_index) == 149


def test_too_small_an_overlap_gives_the_numbers():
    with pytest.raises(InputError, match=r"share 1 genes: 500 in the slice \(a0, a1, a2 …\), 301 in the reference"):
        reference.match_genes(var([f"a{i}" for i in range(500)]), var(["a0", *[f"b{i}" for i in range(300)]]))
    assert len(reference.match_genes(var("abcdef"), var("abcdex")).slice_index) == 5  # a small panel


def test_cells_need_no_unique_names(tmp_path):
    X = counts(6, 8)
    path = make(tmp_path, X, list("aaabbb"), genes(8), ["c0", "c1", "c2", "c0", "c1", ""])
    ref = reference.read(path)
    assert ref.obs_names.is_unique and ref.n_obs == 6 and ref.X.sum() == X.sum()
    for kind, rows in (("a", [0, 1, 2]), ("b", [3, 4, 5])):
        np.testing.assert_array_equal(ref[ref.obs["cell_type"] == kind].X.sum(axis=0).A1, X[rows].sum(axis=0))
    (tmp_path / "types.csv").write_text("cell,type\nc0,a\nc1,b\nc2,b\n")
    with pytest.raises(InputError, match=r"2 cells have a name that another has, such as 'c0'") as error:
        reference.read(path, str(tmp_path / "types.csv"))
    assert "spot" not in str(error.value).replace(str(tmp_path), "")


def test_the_order_of_cells_of_one_name_changes_nothing(tmp_path):
    X, labels = counts(40, 10), np.array(["a", "b"] * 20)
    first = reference.read(make(tmp_path, X, labels, genes(10), ["c"] * 40), max_cells_per_type=7)
    order = np.random.default_rng(1).permutation(40)
    second = reference.read(make(tmp_path, X[order], labels[order], genes(10), ["c"] * 40), max_cells_per_type=7)
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
