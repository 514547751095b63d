"""Which values are raw counts, and which coordinates are the spots': taken rightly, or refused in one line."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import io
from spotfuse._core.errors import InputError
from spotfuse.io import _slices

Matrix = np.ndarray


@pytest.fixture(scope="module")
def cortex(root: Path) -> AnnData:
    """A part of the bundled cortex; every spot has a gene with one count."""
    adata = anndata.read_h5ad(root / "assets/test/cortex.h5ad")
    adata = adata[np.asarray((adata.X == 1).sum(axis=1)).ravel() > 0].copy()
    adata.X = sparse.csr_matrix(adata.X, dtype=np.float32)
    return adata


def normalised(counts: Matrix, total: float) -> Matrix:
    return counts / counts.sum(axis=1, keepdims=True) * total


def by_size_factors(counts: Matrix) -> Matrix:
    """As scuttle does: size factors average to 1, whatever the total."""
    factors = counts.sum(axis=1, keepdims=True)
    return counts / (factors / factors.mean())


def z_scores(values: Matrix) -> Matrix:
    return (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)


def pearson_residuals(counts: Matrix) -> Matrix:
    mean = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum() + 1e-12
    return (counts - mean) / np.sqrt(mean + mean**2 / 100)


def tpm(counts: Matrix) -> Matrix:
    lengths = np.random.default_rng(0).uniform(300, 9000, counts.shape[1])
    return normalised(counts / lengths, 1e6)


SCALES: dict[str, Callable[[Matrix], Matrix]] = {
    "size factors": by_size_factors,
    "10,000": lambda counts: normalised(counts, 1e4),
    "a million": lambda counts: normalised(counts, 1e6),
    "one": lambda counts: normalised(counts, 1),
    "no": lambda counts: counts,
}
ROOTS: dict[str, Callable[[Matrix], Matrix]] = {
    "log1p": np.log1p,
    "log2": lambda x: np.log2(x + 1),
    "log10": lambda x: np.log10(x + 1),
    "log1p twice": lambda x: np.log1p(np.log1p(x)),
    "sqrt": np.sqrt,
    "arcsinh": np.arcsinh,
    "nothing": lambda x: x,
}
WON_BACK = {
    f"{root} after {scale}": (lambda counts, f=SCALES[scale], g=ROOTS[root]: g(f(counts)))
    for scale in SCALES
    for root in ROOTS
} | {
    "Freeman-Tukey": lambda counts: np.sqrt(counts) + np.sqrt(counts + 1),
    "Freeman-Tukey after a million": lambda counts: (
        np.sqrt(normalised(counts, 1e6)) + np.sqrt(normalised(counts, 1e6) + 1)
    ),
    "Anscombe": lambda counts: 2 * np.sqrt(counts + 0.375),
}
REFUSED: dict[str, Callable[[Matrix], Matrix]] = {
    "binarised": lambda counts: (counts > 0).astype(float),
    "log1p rounded": lambda counts: np.round(np.log1p(normalised(counts, 1e4))),
    "log1p to one decimal": lambda counts: np.round(np.log1p(normalised(counts, 1e4)), 1),
    "log1p to two decimals": lambda counts: np.round(np.log1p(normalised(counts, 1e4)), 2),
    "log2 to two decimals": lambda counts: np.round(np.log2(1 + by_size_factors(counts)), 2),
    "log2 rounded": lambda counts: np.round(np.log2(1 + normalised(counts, 1e6))),
    "sqrt rounded": lambda counts: np.round(np.sqrt(normalised(counts, 1e6))),
    "logs of some genes, without those of one count": lambda counts: np.log2(
        1 + np.where(counts > 1, normalised(counts, 1e4), 0)
    ),
    "TPM": tpm,
    "TPM rounded": lambda counts: np.round(tpm(counts)),
    "log2 TPM": lambda counts: np.log2(1 + tpm(counts)),
    "log2 of a tenth of TPM": lambda counts: np.log2(1 + tpm(counts) / 10),
    "log of TPM of some genes": lambda counts: np.log1p(tpm(counts)[:, ::2]).repeat(2, axis=1)[:, : counts.shape[1]],
    "z-scores clipped at 0": lambda counts: np.clip(z_scores(np.log1p(normalised(counts, 1e4))), 0, 10),
    "z-scores clipped and rounded": lambda counts: np.round(np.clip(z_scores(np.log1p(counts)), 0, 10)),
    "z-scores moved": lambda counts: z_scores(counts) - z_scores(counts).min(),
    "Pearson residuals clipped": lambda counts: np.clip(pearson_residuals(counts), 0, np.sqrt(len(counts))),
    "each gene to its largest": lambda counts: counts / np.maximum(counts.max(axis=0), 1),
    "logs, each gene to its largest": lambda counts: np.log1p(counts) / np.log1p(np.maximum(counts.max(axis=0), 1)),
    "each gene to 100": lambda counts: 100 * counts / np.maximum(counts.max(axis=0), 1),
    "each gene to its standard deviation": lambda counts: counts / (counts.std(axis=0) + 1e-9),
}


def soupx(counts: Matrix) -> Matrix:
    return np.clip(counts - 0.1 * counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum(), 0, None)


def decontx(counts: Matrix) -> Matrix:
    return counts * (1 - np.random.default_rng(0).beta(1, 9, counts.shape))


def cellbender(counts: Matrix) -> Matrix:
    return np.random.default_rng(0).binomial(counts.astype(int), 0.9).astype(float)


def read(door: str, path: Path) -> tuple[AnnData, list[str]]:
    if door == "slice":
        found = io.read_slice(path)
        return found, found.uns["spotfuse"]["notes"]
    notes: list[str] = []
    if door == "memory":
        found = io.counts_of(anndata.read_h5ad(path), "adata", notes)
        return found, [note.removeprefix("adata: ") for note in notes]
    return io.read_counts(path, notes), notes


def write(adata: AnnData, X: Matrix, path: Path, dense: bool = False) -> Path:
    adata = adata.copy()
    adata.X = X.astype(np.float32) if dense else sparse.csr_matrix(X, dtype=np.float32)
    adata.write_h5ad(path)
    return path


@pytest.mark.parametrize("door", ["slice", "reference", "memory"])
@pytest.mark.parametrize("how", WON_BACK)
def test_counts_are_won_back(how: str, door: str, cortex: AnnData, tmp_path: Path) -> None:
    found, notes = read(door, write(cortex, WON_BACK[how](cortex.X.toarray().astype(float)), tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(found.X.toarray(), cortex.X.toarray())
    told = [note for note in notes if "counts were won back" in note]
    assert len(told) == (how != "nothing after no")
    if how == "log2 after size factors":
        assert told == [
            "X was log-transformed to base 2; counts were won back, the smallest value of each row taken for one count"
        ]


@pytest.mark.parametrize("door", ["slice", "reference", "memory"])
@pytest.mark.parametrize("how", REFUSED)
def test_what_is_no_counts_is_refused(how: str, door: str, cortex: AnnData, tmp_path: Path) -> None:
    path = write(cortex, REFUSED[how](cortex.X.toarray().astype(float)), tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=r"X (was|has|lies|adds up|varies).*; give raw counts") as refusal:
        read(door, path)
    assert len(str(refusal.value).removeprefix(str(path))) < 250


@pytest.mark.parametrize("door", ["slice", "reference", "memory"])
@pytest.mark.parametrize("correct", [soupx, decontx, cellbender], ids=lambda how: how.__name__)
def test_counts_corrected_for_ambient_rna_pass(correct: Callable, door: str, cortex: AnnData, tmp_path: Path) -> None:
    X = correct(cortex.X.toarray().astype(float)).astype(np.float32)
    found, notes = read(door, write(cortex, X, tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(found.X.toarray(), X)
    told = [note for note in notes if "not whole numbers; they are used as they are" in note]
    assert len(told) == (correct is not cellbender)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.poisson(0.3, (60, 40)).clip(0, 3),
        lambda rng: rng.integers(0, 5, (60, 40)),
        lambda rng: rng.integers(0, 2, (4, 6)) | np.eye(4, 6, dtype=int),
        lambda rng: rng.integers(1, 4, (12, 30)),
        lambda rng: rng.multinomial(200, rng.dirichlet(np.ones(30)), 100),
        lambda rng: rng.multinomial(10_000, rng.dirichlet(np.ones(300)), 100),
        lambda rng: rng.poisson(rng.gamma(0.5, 4, 50), (40, 50)),
        lambda rng: rng.negative_binomial(2, 0.3, (500, 20)),
        lambda rng: 2 + rng.poisson(50, (100, 30)),
        lambda rng: np.full((5, 7), 3),
        # genes of one mean, of which those that fewer spots have are counted oftener there
        lambda rng: rng.negative_binomial(r := np.geomspace(0.05, 5, 60), r / (r + 0.8), (400, 60)),
        # markers of rare cells, beside what all cells have a little of
        lambda rng: np.hstack(
            [
                rng.poisson(80, (300, 15)) * (rng.random((300, 15)) < np.linspace(0.06, 0.2, 15)),
                rng.poisson(np.linspace(0.5, 3, 15), (300, 15)),
            ]
        ),
    ],
)
def test_small_panels_of_few_counts_pass_as_they_are(draw: Callable, tmp_path: Path) -> None:
    for seed in range(20):
        counts = draw(np.random.default_rng(seed)).astype(np.float64)
        counts[:, 0] += counts.sum(axis=1) == 0
        path = tmp_path / f"{seed}.h5ad"
        AnnData(counts, obs=pd.DataFrame(index=[f"c{i}" for i in range(len(counts))])).write_h5ad(path)
        notes: list[str] = []
        np.testing.assert_array_equal(io.read_counts(path, notes).X.toarray(), counts)
        assert notes == []


def logs(counts: Matrix) -> Matrix:
    return np.log1p(normalised(counts, 1e4))


def test_a_layer_called_counts_comes_before_a_whole_x_that_is_none(cortex: AnnData, tmp_path: Path) -> None:
    counts = cortex.X.toarray()
    small = cortex[:9, :12].copy()  # too little to tell by how it varies
    for adata in (cortex, small):
        raw = adata.X.copy()
        for how in (
            lambda x: x > 0,
            lambda x: np.round(logs(x + 1e-9)),
            lambda x: np.round(np.clip(z_scores(x), 0, 9)),
        ):
            for layer in ("counts", "Counts", "raw_counts", "UMI"):
                for door in ("slice", "reference", "memory"):
                    given = adata.copy()
                    given.layers[layer] = raw
                    found, notes = read(door, write(given, how(raw.toarray()), tmp_path / "a.h5ad"))
                    np.testing.assert_array_equal(found.X.toarray(), raw.toarray())
                    assert f"counts taken from layers['{layer}']; X holds other whole numbers" in notes
    given = cortex.copy()
    given.layers["counts"] = sparse.csc_matrix(cortex.X)
    found, notes = read("slice", write(given, counts, tmp_path / "a.h5ad", dense=True))
    np.testing.assert_array_equal(found.X.toarray(), counts)
    assert notes == read("slice", write(cortex, counts, tmp_path / "b.h5ad"))[1]


def test_raw_comes_before_a_binarised_x_and_x_before_raw_otherwise(cortex: AnnData, tmp_path: Path) -> None:
    for adata in (cortex, cortex[:9, :12].copy()):
        counts = adata.X.toarray()
        given = adata.copy()
        given.raw = adata.copy()
        found, notes = read("slice", write(given, counts > 0, tmp_path / "a.h5ad"))
        np.testing.assert_array_equal(found.X.toarray(), counts)
        assert "counts taken from raw.X; X holds other whole numbers" in notes
        found, notes = read("slice", write(given[:, 3:], counts[:, 3:], tmp_path / "a.h5ad"))
        np.testing.assert_array_equal(found.X.toarray(), counts[:, 3:])
        assert not [note for note in notes if "raw" in note]


def test_a_layer_that_is_binarised_is_not_taken_for_its_name(cortex: AnnData, tmp_path: Path) -> None:
    given = cortex.copy()
    given.layers["counts"] = (cortex.X > 0).astype(np.float32)
    found, _ = read("slice", write(given, cortex.X.toarray(), tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(found.X.toarray(), cortex.X.toarray())


@pytest.mark.parametrize("door", ["slice", "reference", "memory"])
def test_the_one_layer_of_counts_is_taken_whatever_its_name(door: str, cortex: AnnData, tmp_path: Path) -> None:
    counts = cortex.X.toarray()
    given = cortex.copy()
    given.layers["exon reads"] = cortex.X
    given.layers["seen"] = (cortex.X > 0).astype(np.float32)
    given.layers["data"] = sparse.csr_matrix(logs(counts))
    path = write(given, z_scores(counts), tmp_path / "a.h5ad", dense=True)
    found, notes = read(door, path)
    np.testing.assert_array_equal(found.X.toarray(), counts)
    assert "counts taken from layers['exon reads'], which alone holds whole numbers" in notes
    given.layers["more"] = cortex.X + cortex.X
    with pytest.raises(InputError, match="several layers may be the counts; there are exon reads, more: ") as refusal:
        read(door, write(given, z_scores(counts), path, dense=True))
    assert ("as layer" in str(refusal.value)) == (door == "slice")


def test_parts_of_rna_velocity_are_not_the_counts(cortex: AnnData, tmp_path: Path) -> None:
    counts = cortex.X.toarray()
    spliced = cellbender(counts)
    given = cortex.copy()
    given.layers["spliced"], given.layers["unspliced"] = spliced, counts - spliced
    path = write(given, z_scores(counts), tmp_path / "a.h5ad", dense=True)
    with pytest.raises(
        InputError, match=r"X has negative values.*; there are spliced, unspliced: name the one of counts"
    ):
        io.read_slice(path)
    np.testing.assert_array_equal(io.read_slice(path, layer="spliced").X.toarray(), spliced)
    del given.layers["unspliced"]
    found, notes = read("slice", write(given, z_scores(counts), path, dense=True))
    np.testing.assert_array_equal(found.X.toarray(), spliced)
    assert "counts taken from layers['spliced'], which alone holds whole numbers" in notes


def test_a_layer_can_be_named(cortex: AnnData, tmp_path: Path) -> None:
    counts = cortex.X.toarray()
    given = cortex.copy()
    given.raw = cortex[:, :50].copy()
    given.layers["data"] = sparse.csr_matrix(np.log2(by_size_factors(counts) + 1))
    given.layers["counts"] = cortex.X + cortex.X
    path = write(given, counts, tmp_path / "a.h5ad")
    for layer, source, expected in (
        ("X", "X", counts),
        ("raw", "raw.X", counts[:, :50]),
        ("raw.X", "raw.X", counts[:, :50]),
        ("data", "layers['data']", counts),
        ("counts", "layers['counts']", 2 * counts),
    ):
        found = io.read_slice(path, layer=layer)
        np.testing.assert_array_equal(found.X.toarray(), expected)
        assert f"counts taken from {source}, as asked" in found.uns["spotfuse"]["notes"]
    with pytest.raises(InputError, match="no layer 'cuonts'; did you mean 'counts'"):
        io.read_slice(path, layer="cuonts")
    with pytest.raises(InputError, match=r"no layer 'ü'; there are X, raw, raw\.X, counts, data"):
        io.read_slice(path, layer="ü")


def placed(adata: AnnData, places: object, path: Path, key: str = "spatial") -> Path:
    """Write the slice with other coordinates and with no columns that may be some."""
    given = AnnData(adata.X, obs=pd.DataFrame(index=adata.obs_names), var=pd.DataFrame(index=adata.var_names))
    given.obsm[key] = places
    given.write_h5ad(path)
    return path


COLUMNS = {
    "y_x": ["y", "x"],
    "Seurat": ["imagerow", "imagecol"],
    "Space Ranger": ["pxl_row_in_fullres", "pxl_col_in_fullres"],
    "row_col": ["row", "col"],
    "capitals": ["Y", "X"],
    "centroids": ["y_centroid", "x_centroid"],
    "unusual": ["pos.Y", "pos.X"],
    "slide": ["y_slide_mm", "x_slide_mm"],
    "pixel": ["pixelrow", "pixelcol"],
    "name first": ["cell", "x", "y"],
    "name, y, x": ["barcode", "y", "x"],
    "z first": ["z", "x", "y"],
    "z last": ["x", "y", "z"],
    "y, x, z": ["y", "x", "z"],
    "index": ["index", "x", "y"],
    "two unknown": ["a", "b"],
    "name and two unknown": ["cell", "a", "b"],
}


@pytest.mark.parametrize("names", COLUMNS.values(), ids=COLUMNS)
def test_columns_of_coordinates_are_taken_by_their_names(names: list[str], cortex: AnnData, tmp_path: Path) -> None:
    x, y = cortex.obsm["spatial"].T
    known = {"z": 3.0, "index": np.arange(len(x)), "cell": list(cortex.obs_names), "a": x, "b": y}
    frame = pd.DataFrame(index=cortex.obs_names)
    for name in names:
        plain = name.lower()
        values = known.get(name, y if "y" in plain.replace("by", "") or "row" in plain else x)
        frame[name] = cortex.obs_names if name == "barcode" else values
    found = io.read_slice(placed(cortex, frame, tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(found.obsm["spatial"], np.column_stack([x, y]))
    frame.reset_index(drop="name" in names or "cell" in names).to_csv(tmp_path / "coordinates.csv", index=False)
    bare = AnnData(cortex.X, obs=pd.DataFrame(index=cortex.obs_names), var=pd.DataFrame(index=cortex.var_names))
    bare.write_h5ad(tmp_path / "b.h5ad")
    (tmp_path / "a.h5ad").unlink()
    for path in (tmp_path, tmp_path / "b.h5ad"):
        found = io.read_slice(path)
        np.testing.assert_allclose(found.obsm["spatial"], np.column_stack([x, y]))
        assert "coordinates taken from coordinates.csv" in found.uns["spotfuse"]["notes"]


@pytest.mark.parametrize("first", ["index", "index from 1", "subset's index", "one z", "three z"])
def test_an_array_may_begin_with_an_index_or_z(first: str, cortex: AnnData, tmp_path: Path) -> None:
    xy, n = cortex.obsm["spatial"], cortex.n_obs
    values = {
        "index": np.arange(n),
        "index from 1": 1 + np.arange(n),
        "subset's index": 7 + 3 * np.arange(n),
        "one z": np.full(n, 12.5),
        "three z": np.arange(n) % 3,
    }[first]
    found = io.read_slice(placed(cortex, np.column_stack([values, xy]), tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(found.obsm["spatial"], xy)
    assert "3 columns; the second and third, after an index or z, are taken" in "".join(found.uns["spotfuse"]["notes"])
    found = io.read_slice(placed(cortex, np.column_stack([xy, values]), tmp_path / "a.h5ad"))
    np.testing.assert_array_equal(found.obsm["spatial"], xy)
    assert "3 columns; the first two are taken" in "".join(found.uns["spotfuse"]["notes"])


def test_tables_of_positions_in_all_their_forms(cortex: AnnData, tmp_path: Path) -> None:
    x, y = cortex.obsm["spatial"].T
    names = list(cortex.obs_names)
    bare = AnnData(cortex.X, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=cortex.var_names))
    table = pd.DataFrame({"barcode": names, "in": 1, "row": 5, "col": 6, "y": y, "x": x})
    for name, columns, header in (
        ("spatial.csv", ["barcode", "in", "row", "col", "y", "x"], False),
        ("tissue_positions_list.csv", ["barcode", "in", "row", "col", "y", "x"], False),
        ("tissue_positions.csv", ["barcode", "y", "x"], True),
        ("positions.csv", ["barcode", "x", "y"], False),
        ("positions.csv", ["barcode", "x", "y", "in"], False),
        ("positions.csv", ["barcode", "in", "x", "y"], False),
    ):
        folder = tmp_path / f"{name}{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        bare.write_h5ad(folder / "counts.h5ad")
        table[columns].to_csv(folder / name, header=header, index=False)
        for path in (folder, folder / "counts.h5ad"):
            found = io.read_slice(path).obsm["spatial"]
            np.testing.assert_allclose(found, np.column_stack([x, y]), err_msg=f"{name} {columns}")
    seurat = pd.DataFrame({"tissue": 1, "row": 5, "col": 6, "imagerow": y, "imagecol": x}, index=names)
    seurat.to_csv(folder / "positions.csv")
    found = io.read_slice(folder)
    np.testing.assert_allclose(found.obsm["spatial"], np.column_stack([x, y]))


def test_coordinates_in_the_file_come_before_a_table_beside(cortex: AnnData, tmp_path: Path) -> None:
    cortex.write_h5ad(tmp_path / "a.h5ad")
    (tmp_path / "coordinates.csv").write_text("spot,x,y\nof another slice,1,2\n")
    np.testing.assert_array_equal(io.read_slice(tmp_path).obsm["spatial"], cortex.obsm["spatial"])


@pytest.mark.parametrize("key", ["Spatial", "X_xy", "xy_loc", "X_centroids", "spatial_fov", "my own"])
def test_coordinates_are_found_whatever_their_key(key: str, cortex: AnnData, tmp_path: Path) -> None:
    path = placed(cortex, cortex.obsm["spatial"], tmp_path / "a.h5ad", key)
    given = anndata.read_h5ad(path)
    rng = np.random.default_rng(0)
    for other in ("X_pca", "X_umap", "X_tsne", "X_scVI", "umap_harmony"):
        given.obsm[other] = rng.normal(size=(given.n_obs, 2))
    given.obsm["X_other"] = rng.normal(size=(given.n_obs, 9))
    given.write_h5ad(path)
    found = io.read_slice(path)
    np.testing.assert_array_equal(found.obsm["spatial"], cortex.obsm["spatial"])
    assert ("which alone may be that" in "".join(found.uns["spotfuse"]["notes"])) == (key != "Spatial")
    given.obsm["more"] = rng.normal(size=(given.n_obs, 2))
    given.write_h5ad(path)
    if key != "Spatial":
        with pytest.raises(InputError, match=r"any of obsm .*more.* may be the coordinates; .*spatial_key"):
            io.read_slice(path)
    found = io.read_slice(path, spatial_key=key)
    np.testing.assert_array_equal(found.obsm["spatial"], cortex.obsm["spatial"])
    assert f"coordinates taken from obsm['{key}'], as asked" in found.uns["spotfuse"]["notes"]
    with pytest.raises(InputError, match="no coordinates 'mroe' in obsm; did you mean 'more'"):
        io.read_slice(path, spatial_key="mroe")


def test_embeddings_alone_are_no_coordinates(cortex: AnnData, tmp_path: Path) -> None:
    path = placed(cortex, np.random.default_rng(0).normal(size=(cortex.n_obs, 2)), tmp_path / "a.h5ad", "X_umap")
    with pytest.raises(
        InputError, match=r"no coordinates in obsm\['spatial'\].*obsm has X_umap: name the one as spatial_key"
    ):
        io.read_slice(path)


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        *(("yes", "no"), ("Y", "N"), ("t", "f"), ("Yes", "No "), ("True", "False"), ("TRUE", "FALSE"), ("1", "0")),
        *(("1.0", "0.0"), (True, False), (1, 0), (1.0, 0.0)),
    ],
)
@pytest.mark.parametrize("as_type", [list, pd.Categorical])
def test_in_tissue_in_any_words(yes: object, no: object, as_type: Callable, cortex: AnnData, tmp_path: Path) -> None:
    from spotfuse import preparation

    given = cortex.copy()
    off = np.arange(given.n_obs) % 5 == 2
    given.obs["in_tissue"] = as_type([no if o else yes for o in off])
    given.write_h5ad(tmp_path / "a.h5ad")
    table = pd.DataFrame({"x": cortex.obsm["spatial"][:, 0], "y": cortex.obsm["spatial"][:, 1]}, index=cortex.obs_names)
    table["in_tissue"] = given.obs["in_tissue"].to_numpy()
    (tmp_path / "beside").mkdir()
    table.to_csv(tmp_path / "beside/coordinates.csv")
    bare = AnnData(cortex.X, obs=pd.DataFrame(index=cortex.obs_names), var=pd.DataFrame(index=cortex.var_names))
    bare.write_h5ad(tmp_path / "beside/counts.h5ad")
    for path in (tmp_path / "a.h5ad", tmp_path / "beside"):
        kept, table = preparation.quality_control(io.read_slice(path), min_counts=0, min_genes=0, max_mt_share=1)
        assert list(kept.obs_names) == list(cortex.obs_names[~off])
        assert set(table["reason"][off]) == {"off tissue"}


def test_in_tissue_that_says_nothing_of_some_spots(cortex: AnnData, tmp_path: Path) -> None:
    from spotfuse import preparation

    given = cortex.copy()
    unsaid = np.arange(given.n_obs) % 5 == 2
    off = np.arange(given.n_obs) % 5 == 3
    for values, expected, told in (
        (np.where(unsaid, np.nan, 1), ~unsaid, "spots, which are off the tissue, for of no other"),
        (np.where(unsaid, np.nan, 1 - off), ~off, "spots, which stay"),
        (np.where(unsaid, "", np.where(off, "no", "yes")), ~off, "spots, which stay"),
        (np.full(len(off), np.nan), off | True, None),
    ):
        given.obs["in_tissue"] = values
        given.write_h5ad(tmp_path / "a.h5ad")
        found = io.read_slice(tmp_path / "a.h5ad")
        notes = [note for note in found.uns["spotfuse"]["notes"] if "in_tissue says nothing" in note]
        assert [told in note for note in notes] == ([True] if told else [])
        kept, _ = preparation.quality_control(found, min_counts=0, min_genes=0, max_mt_share=1)
        assert list(kept.obs_names) == list(cortex.obs_names[expected])
    given.obs["in_tissue"] = ["maybe", *["yes"] * (given.n_obs - 1)]
    given.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match="column 'in_tissue' says 'maybe'; it has to say yes or no, 1 or 0"):
        io.read_slice(tmp_path / "a.h5ad")


def test_spatialdata_of_visium_hd_has_a_table_for_each_bin(cortex: AnnData, tmp_path: Path) -> None:
    import zarr

    for prefix in ("square_", "table_square_", "Mouse_square_"):
        store = tmp_path / f"{prefix}.zarr"
        root = zarr.open_group(store, mode="w")
        root.create_group("tables"), root.create_group("shapes")
        for size in (2, 8, 16):
            cortex[: 10 * size].write_zarr(store / f"tables/{prefix}{size:03d}um")
        cortex[:7].write_zarr(store / "tables/cell_segmentations")
        assert io.read_slice(store).n_obs == 80
        assert io.read_slice(store, hd_bin_size=16).n_obs == 160 and io.read_slice(store, hd_bin_size=2).n_obs == 20
        assert len(_slices.read_obs(store, hd_bin_size=16)) == 160
        assert io.read_slice(store, "visium_hd_cells").n_obs == 7
        with pytest.raises(InputError, match=r"no bins of 4 µm \(hd_bin_size\); its tables: .*square_002um"):
            io.read_slice(store, hd_bin_size=4)


def test_of_several_spatialdata_tables_the_one_with_places_is_taken(cortex: AnnData, tmp_path: Path) -> None:
    import zarr

    store = tmp_path / "a.zarr"
    root = zarr.open_group(store, mode="w")
    root.create_group("tables"), root.create_group("shapes")
    cortex.write_zarr(store / "tables/cells")
    bare = cortex[:9].copy()
    del bare.obsm["spatial"]
    bare.write_zarr(store / "tables/cluster_means")
    assert io.read_slice(store).n_obs == cortex.n_obs
    cortex[:9].write_zarr(store / "tables/nuclei")
    with pytest.raises(InputError, match=r"3 tables \(cells, cluster_means, nuclei\)"):
        io.read_slice(store)


def test_halves_are_no_roots(cortex: AnnData, tmp_path: Path) -> None:
    """Their squares are a quarter off whole numbers."""
    halves = np.where(cortex.X.toarray() > 0, cortex.X.toarray() * 10 + 15.5, 0)
    path = write(cortex, halves, tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=r"X (has|varies)"):
        io.read_counts(path, [])


def test_more_than_three_columns_without_names_are_refused(cortex: AnnData, tmp_path: Path) -> None:
    adata = cortex.copy()
    adata.obsm["spatial"] = np.column_stack([np.ones(adata.n_obs), adata.obsm["spatial"], adata.obsm["spatial"]])
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=r"obsm\['spatial'\] must have a row for each of \d+ spots and two columns"):
        io.read_slice(tmp_path / "a.h5ad")
