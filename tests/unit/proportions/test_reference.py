import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import proportions
from spotfuse._core.errors import InputError


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
    ref = proportions.read_reference(make(tmp_path, X, ["a", "", None, " b ", "a", "nan"], genes(8)))
    assert list(ref.obs["cell_type"]) == ["a", "b"]
    assert list(ref.obs_names) == ["c0", "c3"]
    assert any("3 cells" in note and "no cell type" in note for note in ref.uns["spotfuse"]["notes"])
    assert any("1 cells" in note and "no counts" in note for note in ref.uns["spotfuse"]["notes"])


def test_duplicated_genes_are_added_up(tmp_path):
    X = counts(4, 3)
    ref = proportions.read_reference(make(tmp_path, X, list("aabb"), ["g2", "g1", "g2"]))
    assert list(ref.var_names) == ["g1", "g2"]
    np.testing.assert_array_equal(ref.X.toarray(), np.c_[X[:, 1], X[:, 0] + X[:, 2]])


def test_order_of_cells_and_genes_changes_nothing(tmp_path):
    X = counts(40, 10)
    labels = np.array(["a", "b"] * 20)
    cells = np.array([f"c{i:02d}" for i in range(40)])
    first = proportions.read_reference(make(tmp_path, X, labels, genes(10), list(cells)), max_cells_per_type=7)
    rows, columns = np.random.default_rng(1).permutation(40), np.random.default_rng(2).permutation(10)
    second = proportions.read_reference(
        make(tmp_path, X[rows][:, columns], labels[rows], np.array(genes(10))[columns], list(cells[rows])),
        max_cells_per_type=7,
    )
    assert list(first.obs_names) == list(second.obs_names)
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())
    assert first.obs["cell_type"].value_counts().to_dict() == {"a": 7, "b": 7}


def test_small_types_are_kept_and_named_or_dropped_when_asked(tmp_path):
    path = make(tmp_path, counts(10, 5), list("aaaaaabccc"), genes(5))
    assert any("b (1)" in note for note in proportions.read_reference(path).uns["spotfuse"]["notes"])
    assert set(proportions.read_reference(path, min_cells_per_type=2).obs["cell_type"]) == {"a", "c"}
    with pytest.raises(InputError, match="column 'cell_type' has one cell type, 'a'; two are needed"):
        proportions.read_reference(path, min_cells_per_type=4)
    with pytest.raises(InputError, match="no cell type has 9 cells; the largest has 6"):
        proportions.read_reference(path, min_cells_per_type=9)


def test_counts_come_back_from_normalised_logs(tmp_path):
    X = counts(5, 30)
    X[:, 0] = 1  # a smallest value of one count
    logged = np.log1p(X / X.sum(axis=1, keepdims=True) * 1e4)
    ref = proportions.read_reference(make(tmp_path, logged, list("aabba"), genes(30)))
    assert sorted(map(tuple, ref.X.toarray().astype(int))) == sorted(map(tuple, X))


def test_a_wrong_column_is_one_line_that_suggests_the_right_one(tmp_path):
    path = make(tmp_path, counts(3, 3), list("abc"), genes(3))
    with pytest.raises(InputError, match=r"no column 'celltype'.*did you mean 'cell_type'"):
        proportions.read_reference(path, "celltype")
    with pytest.raises(InputError, match="no such file"):
        proportions.read_reference(tmp_path / "absent.h5ad")


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
        match = proportions.match_genes(ours, theirs)
        assert len(match.slice_index) == 200
        expected = np.arange(200)[::-1] if theirs.index[0] == symbols[-1] else np.arange(200)
        np.testing.assert_array_equal(match.reference_index, expected)


def test_case_is_ignored_only_where_that_is_unambiguous():
    names = [f"abc{i}" for i in range(150)]
    match = proportions.match_genes(var([*names, "abc0".upper()]), var([name.upper() for name in names]))
    assert len(match.slice_index) == 149


def test_too_small_an_overlap_gives_the_numbers():
    with pytest.raises(InputError, match=r"share 1 genes: 500 in the slice \(a0, a1, a2 …\), 301 in the reference"):
        proportions.match_genes(var([f"a{i}" for i in range(500)]), var(["a0", *[f"b{i}" for i in range(300)]]))
    assert len(proportions.match_genes(var("abcdef"), var("abcdex")).slice_index) == 5  # a small panel


def test_cells_need_no_unique_names(tmp_path):
    X = counts(6, 8)
    path = make(tmp_path, X, list("aaabbb"), genes(8), ["c0", "c1", "c2", "c0", "c1", ""])
    ref = proportions.read_reference(path)
    assert ref.obs_names.is_unique and ref.n_obs == 6 and ref.X.sum() == X.sum()
    for kind, rows in (("a", [0, 1, 2]), ("b", [3, 4, 5])):
        np.testing.assert_array_equal(ref[ref.obs["cell_type"] == kind].X.sum(axis=0).A1, X[rows].sum(axis=0))
    (tmp_path / "types.csv").write_text("cell,type\nc0,a\nc1,b\nc2,b\n")
    with pytest.raises(InputError, match=r"2 cells have a name that another has, such as 'c0'") as error:
        proportions.read_reference(path, str(tmp_path / "types.csv"))
    assert "spot" not in str(error.value).replace(str(tmp_path), "")


def test_the_order_of_cells_of_one_name_changes_nothing(tmp_path):
    X, labels = counts(40, 10), np.array(["a", "b"] * 20)
    first = proportions.read_reference(make(tmp_path, X, labels, genes(10), ["c"] * 40), max_cells_per_type=7)
    order = np.random.default_rng(1).permutation(40)
    second = proportions.read_reference(
        make(tmp_path, X[order], labels[order], genes(10), ["c"] * 40), max_cells_per_type=7
    )
    np.testing.assert_array_equal(first.X.toarray(), second.X.toarray())


def slice_of(names, **columns):
    return pd.DataFrame(columns, index=list(names))


SYMBOLS = [f"GENE{i}" for i in range(200)]
IDS = [f"ENSG{i:011d}" for i in range(200)]


@pytest.mark.parametrize(
    "prefixes", [("GRCh38_", "mm10___"), ("hg38_", "mm10_"), ("GRCh38-", "GRCm39-"), ("human_", "mouse_")]
)
@pytest.mark.parametrize("of", ["human", "mouse"])
def test_a_xenograft_is_matched_within_the_genome_of_the_reference(prefixes, of):
    """Also where a gene of the other genome has the same letters in another case, or the same name."""
    human, mouse = SYMBOLS[:150], [name.capitalize() for name in SYMBOLS]
    var = slice_of(
        [prefixes[0] + name for name in human]
        + [prefixes[1] + name for name in mouse]
        + [prefixes[0] + "H19", prefixes[1] + "H19"]
    )
    bare, rows = (human, range(150)) if of == "human" else (mouse, range(150, 350))
    match = proportions.match_genes(var, slice_of([*bare, "H19"]))
    assert list(match.slice_index) == [*rows, 350 if of == "human" else 351]
    assert list(match.reference_index) == list(range(len(bare) + 1))
    genome = prefixes[0 if of == "human" else 1].rstrip("_-")
    assert match.how == f"compared as they are (slice's names within {genome}, reference's names)"


def test_a_xenograft_whose_genomes_stand_in_a_column_or_in_the_letters_alone():
    human, mouse = SYMBOLS[::2], [name.capitalize() for name in SYMBOLS[1::2]]
    var = slice_of(human + mouse, genome=["GRCh38"] * 100 + ["mm10"] * 100)
    for each in (var, var.drop(columns="genome")):
        match = proportions.match_genes(each, slice_of(SYMBOLS))  # a human reference
        assert list(match.slice_index) == list(range(100)) and list(match.reference_index) == list(range(0, 200, 2))


def test_two_genomes_on_both_sides_are_matched_species_by_species():
    human, mouse = SYMBOLS, [name.capitalize() for name in SYMBOLS]
    ours = slice_of([f"GRCh38_{name}" for name in [*human, "H19"]] + [f"mm10___{name}" for name in [*mouse, "H19"]])
    theirs = slice_of([f"mm39_{name}" for name in [*mouse, "H19"]] + [f"hg19_{name}" for name in [*human, "H19"]])
    match = proportions.match_genes(ours, theirs)
    assert list(match.slice_index) == list(range(402))
    assert list(match.reference_index) == [*range(201, 402), *range(201)]
    assert "by species" in match.how


def test_genes_named_by_rows_cannot_be_matched():
    for ours, theirs, side in (
        (range(200), SYMBOLS, "slice"),
        (SYMBOLS, range(200), "reference"),
        (range(200), range(200), "slice"),
    ):
        with pytest.raises(InputError, match=f"the {side}'s genes are named by numbers alone") as error:
            proportions.match_genes(slice_of(map(str, ours)), slice_of(map(str, theirs)))
        assert len(str(error.value)) < 300
    entrez = [str(7157 + 997 * i) for i in range(200)]  # ids that are numbers are names
    assert len(proportions.match_genes(slice_of(entrez), slice_of(entrez)).slice_index) == 200
    assert (
        len(proportions.match_genes(slice_of(map(str, range(200)), Symbol=SYMBOLS), slice_of(SYMBOLS)).slice_index)
        == 200
    )


@pytest.mark.parametrize(
    "column",
    [
        "features",
        "gene_short_name",
        "feature_name",
        "gene_symbols",
        "Symbol",
        "hgnc_symbol",
        "external_gene_name",
        "mgi_symbol",
        "GeneName",
        "gene symbol",
    ],
)
def test_symbols_of_a_reference_are_known_by_their_column(tmp_path, column):
    for index in (IDS, [str(i) for i in range(200)]):
        ref = proportions.read_reference(make(tmp_path, counts(20, 200), ["a", "b"] * 10, index, **{column: SYMBOLS}))
        match = proportions.match_genes(slice_of(SYMBOLS), ref.var)
        assert list(ref.X.sum(axis=0).A1[match.reference_index]) == list(counts(20, 200).sum(axis=0))


def test_genes_without_a_symbol_are_not_one_gene(tmp_path):
    names = ["nan", "nan-1", "", "-1", *SYMBOLS[4:]]
    X = counts(20, 200)
    ref = proportions.read_reference(make(tmp_path, X, ["a", "b"] * 10, names, gene_ids=IDS))
    assert set(IDS[:4]) <= set(ref.var_names) and ref.n_vars == 200
    assert list(ref[:, IDS[:4]].X.sum(axis=0).A1) == list(X[:, :4].sum(axis=0))
    # without ids they are matched by nothing
    match = proportions.match_genes(slice_of(["nan", "None", *SYMBOLS[2:]]), slice_of(["nan", "none", *SYMBOLS[2:]]))
    assert list(match.slice_index) == list(range(2, 200))


BARCODES = [f"AAAC{i}-1" for i in range(40)]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (BARCODES, "has 40 labels for 40 cells, such as 'AAAC0-1'"),
        ([f"c{i // 2 if i > 20 else i}" for i in range(40)], "labels for 40 cells"),
        (np.linspace(0, 1, 40), r"has numbers such as 0\.5\d+, a score"),
        ([str(round(x, 1)) for x in np.linspace(0, 1, 40)], "a score"),
        ([True, False] * 20, "says True or False of a cell"),
        (["TRUE", "FALSE"] * 20, "says TRUE or FALSE of a cell"),
        (["yes", "no"] * 20, "says yes or no of a cell"),
    ],
)
def test_columns_that_are_no_cell_types_are_refused(tmp_path, labels, message):
    path = make(tmp_path, counts(40, 8), labels, genes(8))
    adata = anndata.read_h5ad(path)
    adata.obs["celltype_l1"] = ["a", "b"] * 20
    adata.write_h5ad(path)
    with pytest.raises(InputError, match=message) as error:
        proportions.read_reference(path)
    assert str(error.value).startswith(f"{path}: column 'cell_type'") and "there are celltype_l1" in str(error.value)


def test_numbers_for_types_are_told_and_the_names_that_group_alike(tmp_path):
    path = make(tmp_path, counts(40, 8), [0, 1, 2, 3] * 10, genes(8))
    adata = anndata.read_h5ad(path)
    adata.obs["batch"], adata.obs["named"] = ["x", "y"] * 20, ["T", "B", "NK", "DC"] * 10
    adata.write_h5ad(path)
    ref = proportions.read_reference(path)
    assert list(ref.obs["cell_type"].cat.categories) == ["0", "1", "2", "3"]
    assert ref.uns["spotfuse"]["notes"] == [
        "the cell types are numbers (0, 1, 2, 3); where they stand for names, give these: column 'named' groups the "
        "cells alike"
    ]


def test_types_that_nearly_meet_are_told(tmp_path):
    labels = ["T cell", "T cell ", "t cell", "Tcell", "B\tcell", "B cell", "NK", "DC"] * 5
    ref = proportions.read_reference(make(tmp_path, counts(40, 8), labels, genes(8)))
    assert ref.obs["cell_type"].value_counts().to_dict() == {
        "T cell": 10,
        "B cell": 10,
        "t cell": 5,
        "Tcell": 5,
        "NK": 5,
        "DC": 5,
    }
    assert ref.uns["spotfuse"]["notes"] == [
        "labels that differ by blanks at the ends or control characters are one cell type: "
        "'B\\tcell', 'B cell', 'T cell', 'T cell '",
        "cell types that differ by case or blanks alone are kept apart: 'T cell', 'Tcell', 't cell'",
    ]


def test_notes_are_never_long(tmp_path):
    labels = [f"a rather long name of a cell type, number {i // 3}" for i in range(300)]
    ref = proportions.read_reference(make(tmp_path, counts(300, 8), labels, genes(8)))
    (note,) = ref.uns["spotfuse"]["notes"]
    assert len(note) <= 300 and note.endswith("(3) … and 97 more")


@pytest.mark.parametrize("where", ["obs/__categories/cell_type", "uns/cell_type_categories"])
def test_codes_get_their_names_where_the_file_has_them(tmp_path, where):
    path = make(tmp_path, counts(40, 8), [0, 1, 2, -1] * 10, genes(8))  # -1: none
    with h5py.File(path, "a") as file:
        file[where] = np.array(["T", "B", "NK"], dtype=object)
    ref = proportions.read_reference(path)
    assert ref.obs["cell_type"].value_counts().to_dict() == {"T": 10, "B": 10, "NK": 10}
    assert ref.uns["spotfuse"]["notes"] == [
        "obs['cell_type'] has codes, which took their names from the file's categories",
        "10 cells of 40 have no cell type; left out",
    ]


def test_nothing_is_said_of_spots(tmp_path):
    logged = np.log1p(counts(40, 200) / 3)
    notes = proportions.read_reference(make(tmp_path, logged, ["a", "b"] * 20, genes(200))).uns["spotfuse"]["notes"]
    assert len(notes) == 1 and "spot" not in notes[0]


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize("labels", ["column", "table"])
def test_a_large_atlas_is_read_in_part_and_gives_the_same_reference(tmp_path, monkeypatch, kind, labels):
    random = np.random.default_rng(0)
    X = random.poisson(0.3, (400, 30))
    X[:, 0] += 1
    types = np.array(["a", "b", "c", ""])[random.integers(0, 4, 400)]
    names = [f"c{i}" for i in random.permutation(400)]
    path = make(tmp_path, X, types, genes(30), names)
    adata = anndata.read_h5ad(path)
    adata.X = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[kind](X.astype(np.float32))
    adata.write_h5ad(path)
    key = "cell_type"
    if labels == "table":
        key = str(tmp_path / "types.tsv")
        pd.DataFrame({"cell": names, "type": types}).to_csv(key, sep="\t", index=False)
    whole = proportions.read_reference(path, key, max_cells_per_type=20)
    monkeypatch.setattr("spotfuse.io._anndata._LARGE", 0)
    monkeypatch.setattr("spotfuse.io._anndata._SLAB", 100)
    part = proportions.read_reference(path, key, max_cells_per_type=20)
    assert list(part.obs_names) == list(whole.obs_names) and len(part) == 60
    assert (part.X != whole.X).nnz == 0 and list(part.obs["cell_type"]) == list(whole.obs["cell_type"])
    assert "60 of 400 cells read, at most 20 a type" in part.uns["spotfuse"]["notes"]


def test_a_damaged_atlas_is_refused_in_part_too(tmp_path, monkeypatch):
    monkeypatch.setattr("spotfuse.io._anndata._LARGE", 0)
    path = make(tmp_path, counts(20, 9), ["a", "b"] * 10, genes(9))
    with h5py.File(path, "r+") as file:
        file["X/indices"][3] = 99
    with pytest.raises(InputError, match="beyond its shape"):
        proportions.read_reference(path)


def test_types_are_merged_and_dropped_by_a_table(tmp_path):
    path = make(tmp_path, counts(8, 9), list("aabbccdd"), genes(9))
    (tmp_path / "names.csv").write_text("type,name\na,neuron\nb,neuron\nc,\nz,other\n")
    ref = proportions.read_reference(path, types=tmp_path / "names.csv")
    assert list(ref.obs["cell_type"]) == ["d", "d", "neuron", "neuron", "neuron", "neuron"]
    assert set(ref.obs_names) == {f"c{i}" for i in (0, 1, 2, 3, 6, 7)}
    (tmp_path / "names.csv").write_text("type,name\nz,neuron\n")
    with pytest.raises(InputError, match="none of its types is in the reference"):
        proportions.read_reference(path, types=tmp_path / "names.csv")


def test_classes_of_types_are_taken_from_the_table(tmp_path):
    path = make(tmp_path, counts(8, 9), list("aabbccdd"), genes(9))
    (tmp_path / "names.csv").write_text("type,name,class\na,A,neuron\nb,B,neuron\nc,C,\n")
    ref = proportions.read_reference(path, types=tmp_path / "names.csv")
    of = ref.obs.astype(str).drop_duplicates().set_index("cell_type")["class"]
    assert of.to_dict() == {"A": "neuron", "B": "neuron", "C": "C", "d": "d"}
    (tmp_path / "names.csv").write_text("type,class\na,neuron\nb,neuron\n")  # one column is the name, as ever
    ref = proportions.read_reference(path, types=tmp_path / "names.csv")
    assert set(ref.obs["cell_type"]) == {"neuron", "c", "d"} and "class" not in ref.obs
    (tmp_path / "names.csv").write_text("type,name,class\na,A,neuron\nb,A,glia\n")
    with pytest.raises(InputError, match="'A' is of class neuron and glia; a type has one class"):
        proportions.read_reference(path, types=tmp_path / "names.csv")


@pytest.mark.parametrize("scale", ["counts", "shares"])
def test_profiles_make_cells_that_have_them(tmp_path, scale):
    random = np.random.default_rng(0)
    means = random.gamma(0.5, 20, (3, 150)) * np.array([1, 2, 3])[:, None]
    given = means if scale == "counts" else means / means.sum(axis=1, keepdims=True)
    table = pd.DataFrame(given, index=pd.Index(["B cell", "T cell", "other"], name="cell_type"), columns=genes(150))
    table.to_csv(tmp_path / "profiles.csv")
    ref = proportions.read_reference(tmp_path / "profiles.csv")
    assert ref.obs["cell_type"].value_counts().to_dict() == {"B cell": 200, "T cell": 200, "other": 200}
    found = np.array([ref.X[(ref.obs["cell_type"] == name).to_numpy()].mean(axis=0).A1 for name in table.index])
    found = found if scale == "counts" else found / found.sum(axis=1, keepdims=True)
    assert np.abs(found - given).sum() < 0.06 * given.sum()
    assert any("profiles of 3 types" in note for note in ref.uns["spotfuse"]["notes"])
    table.iloc[1] = -1
    table.to_csv(tmp_path / "profiles.csv")
    with pytest.raises(InputError, match="profiles must be numbers from 0"):
        proportions.read_reference(tmp_path / "profiles.csv")
