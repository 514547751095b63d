"""Every kind of slice, written out from one, comes back the same: counts, coordinates, and the first spot too."""

import argparse
import contextlib
import gzip
import importlib
import json
import re
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.io import mmwrite
from spotfuse import io
from spotfuse._core.errors import InputError
from spotfuse.io import _slices

N_SPOTS, N_GENES = 12, 30


@pytest.fixture
def slice_() -> AnnData:
    """Counts of 12 spots on Visium's hexagons and 30 genes, none of them all 0."""
    rng = np.random.default_rng(0)
    barcodes = ["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in range(N_SPOTS)]
    symbols = ["MT-CO1", "ACTB", *(f"GENE{i}" for i in range(N_GENES - 2))]
    counts = rng.poisson(1.5, (N_SPOTS, N_GENES)).astype(np.float32)
    counts[:, 1] += 1
    row, column = np.divmod(np.arange(N_SPOTS), 4)
    adata = AnnData(
        sparse.csr_matrix(counts),
        obs=pd.DataFrame({"in_tissue": 1, "array_row": row, "array_col": 2 * column + row % 2}, index=barcodes),
        var=pd.DataFrame({"gene_ids": [f"ENSG{i:011d}" for i in range(N_GENES)]}, index=symbols),
    )
    adata.obsm["spatial"] = np.column_stack([100.0 * column + 50 * (row % 2) + 7, 87.0 * row + 3])
    return adata


def positions(adata: AnnData) -> pd.DataFrame:
    """Space Ranger's table; one more spot, off the tissue, and another order."""
    table = pd.DataFrame(
        {
            "barcode": adata.obs_names,
            "in_tissue": 1,
            "array_row": adata.obs["array_row"].to_numpy(),
            "array_col": adata.obs["array_col"].to_numpy(),
            "pxl_row_in_fullres": adata.obsm["spatial"][:, 1].astype(int),
            "pxl_col_in_fullres": adata.obsm["spatial"][:, 0].astype(int),
        }
    )
    table.loc[len(table)] = ["A" * 16 + "-1", 0, 70, 70, 5000, 5000]
    first = table.iloc[:1]
    return pd.concat([first, table.iloc[:0:-1]])  # the first spot stays first: it is the one that gets lost


def write_10x_h5(adata: AnnData, path: Path, **features: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = np.array([name.encode() for name in adata.obs_names])
        matrix["data"], matrix["indices"], matrix["indptr"] = (
            adata.X.data.astype(np.int32),
            adata.X.indices,
            adata.X.indptr,
        )
        matrix["shape"] = np.array([adata.n_vars, adata.n_obs])
        table = {
            "id": adata.var["gene_ids"].to_numpy().astype("S"),
            "name": adata.var_names.to_numpy().astype("S"),
            "feature_type": np.full(adata.n_vars, b"Gene Expression"),
            "genome": np.full(adata.n_vars, b"GRCh38"),
        }
        for name, values in (table | features).items():
            matrix[f"features/{name}"] = values


def write_10x_mtx(adata: AnnData, folder: Path) -> None:
    folder.mkdir(parents=True)
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, sparse.csc_matrix(adata.X.T.astype(int)))
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.write("".join(f"{name}\n" for name in adata.obs_names))
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.writelines(
            f"{i}\t{name}\tGene Expression\n" for i, name in zip(adata.var["gene_ids"], adata.var_names, strict=True)
        )


def space_ranger_1(adata: AnnData, folder: Path) -> Path:
    (folder / "outs/spatial").mkdir(parents=True)
    write_10x_h5(adata, folder / "outs/filtered_feature_bc_matrix.h5")
    positions(adata).to_csv(folder / "outs/spatial/tissue_positions_list.csv", header=False, index=False)
    return folder


def space_ranger_2(adata: AnnData, folder: Path) -> Path:
    (folder / "spatial").mkdir(parents=True)
    write_10x_mtx(adata, folder / "filtered_feature_bc_matrix")
    positions(adata).to_csv(folder / "spatial/tissue_positions.csv", index=False)
    return folder


def space_ranger_raw_parquet(adata: AnnData, folder: Path) -> Path:
    pytest.importorskip("fastparquet")
    (folder / "spatial").mkdir(parents=True)
    write_10x_mtx(adata, folder / "raw_feature_bc_matrix")
    positions(adata).to_parquet(folder / "spatial/tissue_positions.parquet")
    return folder


def visium_hd(adata: AnnData, folder: Path) -> Path:
    """Bins carry their row and column in their names."""
    pytest.importorskip("fastparquet")
    bins = folder / "outs/binned_outputs/square_008um"
    (bins / "spatial").mkdir(parents=True)
    adata.obs_names = [f"s_008um_{i:05d}_{j:05d}-1" for i, j in adata.obs[["array_row", "array_col"]].to_numpy()]
    write_10x_h5(adata, bins / "filtered_feature_bc_matrix.h5")
    positions(adata).to_parquet(bins / "spatial/tissue_positions.parquet")
    return folder


def visium_hd_cells(adata: AnnData, folder: Path) -> Path:
    """Cells as Space Ranger 4 segments them; each is a square here."""
    (folder / "outs/segmented_outputs").mkdir(parents=True)
    adata.obs_names = [f"cellid_{i:09d}-1" for i in range(1, adata.n_obs + 1)]
    write_10x_h5(adata, folder / "outs/segmented_outputs/filtered_feature_cell_matrix.h5")
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    cells = [
        {"properties": {"cell_id": i + 1}, "geometry": {"type": "Polygon", "coordinates": [(square + xy).tolist()]}}
        for i, xy in enumerate(adata.obsm["spatial"])
    ]
    geojson = folder / "outs/segmented_outputs/cell_segmentations.geojson"
    geojson.write_text(json.dumps({"features": cells[::-1]}))
    return folder


def geo_prefixed(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    write_10x_h5(adata, folder / "GSM1_filtered_feature_bc_matrix.h5")
    positions(adata).to_csv(folder / "GSM1_tissue_positions_list.csv.gz", header=False, index=False)
    return folder


def tenx_h5(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    write_10x_h5(adata, folder / "matrix.h5")
    positions(adata).to_csv(folder / "tissue_positions.csv", index=False)
    return folder / "matrix.h5"


def tenx_mtx(adata: AnnData, folder: Path) -> Path:
    write_10x_mtx(adata, folder)
    positions(adata).to_csv(folder / "tissue_positions.csv", index=False)
    return folder


def tenx_mtx_geo(adata: AnnData, folder: Path) -> Path:
    write_10x_mtx(adata, folder)
    positions(adata).to_csv(folder / "tissue_positions_list.csv.gz", header=False, index=False)
    for path in folder.iterdir():
        path.rename(folder / f"GSM1_{path.name}")
    return folder


def xy(adata: AnnData) -> pd.DataFrame:
    return pd.DataFrame(adata.obsm["spatial"], index=adata.obs_names, columns=["x", "y"])


def spots_by_genes(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    adata.to_df().astype(int).to_csv(folder / "counts.csv")
    xy(adata).to_csv(folder / "coordinates.csv")
    return folder


def genes_by_spots(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    # as R's write.table does: the header lacks a name for the first column
    text = adata.to_df().astype(int).T.to_csv(sep="\t")
    (folder / "counts.tsv").write_text(text.split("\t", 1)[1])
    xy(adata).astype(int).to_csv(folder / "coordinates.txt", sep="\t", header=False)
    return folder / "counts.tsv"


def coordinates_inside(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    pd.concat([xy(adata), adata.to_df().astype(int)], axis=1).to_csv(folder / "all.csv.gz")
    return folder / "all.csv.gz"


def slide_seq(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    adata.to_df().astype(int).T.to_csv(folder / "MappedDGEForR.csv")
    xy(adata).set_axis(["xcoord", "ycoord"], axis=1).to_csv(folder / "BeadLocationsForR.csv", index_label="barcodes")
    return folder


def curio(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    adata = adata.copy()
    adata.obsm["X_spatial"] = adata.obsm.pop("spatial")
    adata.write_h5ad(folder / "S_anndata.h5ad")
    return folder


def merscope(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    counts = adata.to_df().astype(int).assign(**{"Blank-1": 3})
    counts.to_csv(folder / "cell_by_gene.csv", index_label="cell")
    xy(adata).set_axis(["center_x", "center_y"], axis=1).assign(fov=1).to_csv(folder / "cell_metadata.csv")
    return folder


def cosmx(adata: AnnData, folder: Path) -> Path:
    """Cells are numbered in each field of view; number 0 is what lies between them."""
    folder.mkdir()
    cells = pd.DataFrame({"fov": 1 + np.arange(adata.n_obs) // 5, "cell_ID": 1 + np.arange(adata.n_obs) % 5})
    adata.obs_names = [f"{fov}_{cell}" for fov, cell in cells.to_numpy()]
    counts = adata.to_df().astype(int).assign(NegPrb1=9, SystemControl2=1).reset_index(drop=True)
    table = pd.concat([cells, counts], axis=1)
    between = table.iloc[:1].assign(cell_ID=0)
    pd.concat([between, table]).to_csv(folder / "run_exprMat_file.csv", index=False)
    places = pd.DataFrame(adata.obsm["spatial"], columns=["CenterX_global_px", "CenterY_global_px"])
    pd.concat([cells, places], axis=1).iloc[::-1].to_csv(folder / "run_metadata_file.csv.gz", index=False)
    return folder


def gem(adata: AnnData, folder: Path) -> Path:
    """Each spot is a bin of 50 × 50 DNBs; a row a gene and DNB."""
    folder.mkdir()
    column, row = adata.obs["array_col"].to_numpy(), adata.obs["array_row"].to_numpy()
    adata._inplace_subset_obs(np.lexsort((row, column)))
    column, row = adata.obs["array_col"].to_numpy(), adata.obs["array_row"].to_numpy()
    adata.obs_names = [f"{x}_{y}" for x, y in zip(column, row, strict=True)]
    adata.obsm["spatial"] = np.column_stack([50 * column + 25.0, 50 * row + 25.0])
    lines = ["#FileFormat=GEMv0.1", "#OffsetX=0", "geneID\tx\ty\tMIDCount"]
    counts = adata.X.tocsc().astype(int)
    for gene, name in enumerate(adata.var_names):
        for at in range(counts.indptr[gene], counts.indptr[gene + 1]):
            spot, count = counts.indices[at], counts.data[at]
            shares = [count] if count == 1 else [1, count - 1]
            lines += [f"{name}\t{50 * column[spot] + 49 * i}\t{50 * row[spot] + 7}\t{n}" for i, n in enumerate(shares)]
    with gzip.open(folder / "chip.gem.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    return folder / "chip.gem.gz"


def stereo_seq_h5ad(adata: AnnData, folder: Path) -> Path:
    """What stereopy writes of a .gef: places in obs and obsm, whole numbers as floats, the chip's name in uns."""
    folder.mkdir()
    adata = adata.copy()
    adata.X = adata.X.astype(np.float64)
    adata.obs[["x", "y"]] = adata.obsm["spatial"].astype(int)
    adata.uns |= {"bin_type": "bins", "bin_size": 50, "sn": pd.DataFrame({"batch": ["-1"], "sn": ["SS2000"]})}
    adata.write_h5ad(folder / "chip.h5ad")
    return folder / "chip.h5ad"


def xenium_mtx_parquet(adata: AnnData, folder: Path) -> Path:
    pytest.importorskip("fastparquet")
    folder.mkdir()
    write_10x_mtx(adata, folder / "cell_feature_matrix")
    cells = xy(adata).set_axis(["x_centroid", "y_centroid"], axis=1).rename_axis("cell_id").reset_index()
    cells.iloc[::-1].to_parquet(folder / "cells.parquet", index=False)
    return folder


def xenium(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    control = AnnData(
        sparse.csr_matrix(np.ones((adata.n_obs, 1), np.float32)),
        obs=pd.DataFrame(index=adata.obs_names),
        var=pd.DataFrame({"gene_ids": ["NegControlProbe_1"]}, index=["NegControlProbe_1"]),
    )
    both = anndata.concat([adata, control], axis=1, merge="first")
    both.X = sparse.csr_matrix(both.X)
    kind = np.array([b"Gene Expression"] * adata.n_vars + [b"Negative Control Probe"])
    write_10x_h5(both, folder / "cell_feature_matrix.h5", feature_type=kind)
    xy(adata).set_axis(["x_centroid", "y_centroid"], axis=1).to_csv(folder / "cells.csv.gz", index_label="cell_id")
    return folder


def h5ad(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    adata.write_h5ad(folder / "slice.h5ad")
    return folder / "slice.h5ad"


def h5ad_called_h5(adata: AnnData, folder: Path) -> Path:
    return h5ad(adata, folder).rename(folder / "slice.h5")


def zarr(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    adata.write_zarr(folder / "slice.zarr")
    return folder / "slice.zarr"


def spatialdata(adata: AnnData, folder: Path) -> Path:
    """The layout of SpatialData's store, as far as it matters here."""
    import zarr

    zarr.open_group(folder / "slice.zarr", mode="w").create_group("tables")
    (folder / "slice.zarr/shapes").mkdir()
    adata.write_zarr(folder / "slice.zarr/tables/table")
    return folder / "slice.zarr"


def wkb(kind: int, *parts: bytes) -> bytes:
    return struct.pack("<BI", 1, kind) + b"".join(parts)


def outline(x: float, y: float, size: float) -> bytes:
    """A right triangle whose middle lies at x and y, with a hole."""
    corners = size * np.array([[-1, -1], [2, -1], [-1, 2], [-1, -1]]) + [x, y]
    hole = corners * 0.1
    rings = b"".join(struct.pack("<I", 4) + ring.astype("<f8").tobytes() for ring in (corners, hole))
    return wkb(3, struct.pack("<I", 2), rings)


def spatialdata_shapes(adata: AnnData, folder: Path) -> Path:
    """A table that points to shapes, which are points, polygons and multipolygons as GeoParquet keeps them."""
    pytest.importorskip("fastparquet")
    bare = adata.copy()
    places = bare.obsm.pop("spatial")
    bare.obs = pd.DataFrame({"region": "cells", "cell": range(100, 100 + bare.n_obs)}, index=bare.obs_names)
    bare.uns["spatialdata_attrs"] = {"region": "cells", "region_key": "region", "instance_key": "cell"}
    store = spatialdata(bare, folder)
    (store / "shapes/cells").mkdir()
    shapes = [
        (
            wkb(1, struct.pack("<dd", x, y)),
            outline(x, y, 3),
            wkb(6, struct.pack("<I", 2), outline(x - 2, y, 1), outline(x + 0.5, y, 2)),
        )[i % 3]
        for i, (x, y) in enumerate(places)
    ]
    table = pd.DataFrame({"geometry": shapes, "radius": 1.0}, index=bare.obs["cell"].to_numpy()).iloc[::-1]
    table.to_parquet(store / "shapes/cells/shapes.parquet", object_encoding={"geometry": "bytes"})
    return store


def spatialdata_points(adata: AnnData, folder: Path) -> Path:
    pytest.importorskip("fastparquet")
    bare = adata.copy()
    places = xy(bare)
    del bare.obsm["spatial"]
    bare.obs = pd.DataFrame({"region": "beads", "bead": bare.obs_names}, index=bare.obs_names)
    bare.uns["spatialdata_attrs"] = {"region": ["beads"], "region_key": "region", "instance_key": "bead"}
    store = spatialdata(bare, folder)
    parts = store / "points/beads/points.parquet"
    parts.mkdir(parents=True)
    places.iloc[:5].to_parquet(parts / "part.0.parquet")
    places.iloc[5:].to_parquet(parts / "part.1.parquet")
    return store


def h5ad_dense_columns(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    adata = adata.copy()
    adata.X = adata.X.toarray()
    adata.obs[["X", "Y"]] = adata.obsm.pop("spatial")
    adata.write_h5ad(folder / "slice.h5ad")
    return folder / "slice.h5ad"


def h5ad_raw(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    log = adata.copy()
    log.X = log.X.multiply(3.3).log1p().tocsr()
    log.raw = adata
    log = log[:, :5].copy()
    log.write_h5ad(folder / "slice.h5ad")
    return folder / "slice.h5ad"


def h5ad_layer(adata: AnnData, folder: Path) -> Path:
    folder.mkdir()
    scaled = adata.copy()
    scaled.layers["counts"] = scaled.X.tocsc()
    scaled.X = scaled.X.toarray() - 1.25
    scaled.write_h5ad(folder / "slice.h5ad")
    return folder / "slice.h5ad"


def h5ad_logged(adata: AnnData, folder: Path) -> Path:
    """Normalised and logged, with nothing kept; every spot has a gene with one count."""
    folder.mkdir()
    log = adata.copy()
    total = np.asarray(log.X.sum(axis=1))
    log.X = sparse.csr_matrix(log.X.multiply(1e4 / total)).log1p().astype(np.float32)
    log.uns["log1p"] = {"base": 2.0}
    log.write_h5ad(folder / "slice.h5ad")
    return folder / "slice.h5ad"


def h5ad_scaled_over_logged(adata: AnnData, folder: Path) -> Path:
    """What tutorials leave: X scaled, and in raw what was normalised and logged."""
    folder.mkdir()
    log = adata.copy()
    log.X = sparse.csr_matrix(log.X.multiply(1e4 / np.asarray(log.X.sum(axis=1)))).log1p().astype(np.float32)
    log.raw = log
    log.X = log.X.toarray() - log.X.toarray().mean(axis=0)
    log.write_h5ad(folder / "slice.h5ad")
    return folder / "slice.h5ad"


KINDS = {
    space_ranger_1: "space_ranger",
    space_ranger_2: "space_ranger",
    space_ranger_raw_parquet: "space_ranger",
    geo_prefixed: "space_ranger",
    visium_hd: "visium_hd",
    visium_hd_cells: "visium_hd_cells",
    xenium: "xenium",
    xenium_mtx_parquet: "xenium",
    merscope: "merscope",
    cosmx: "cosmx",
    slide_seq: "slide_seq",
    curio: "curio",
    gem: "gem",
    stereo_seq_h5ad: "h5ad",
    tenx_h5: "10x_h5",
    tenx_mtx: "10x_mtx",
    tenx_mtx_geo: "10x_mtx",
    spots_by_genes: "table",
    genes_by_spots: "table",
    coordinates_inside: "table",
    h5ad: "h5ad",
    h5ad_called_h5: "h5ad",
    h5ad_dense_columns: "h5ad",
    h5ad_raw: "h5ad",
    h5ad_layer: "h5ad",
    h5ad_logged: "h5ad",
    h5ad_scaled_over_logged: "h5ad",
    zarr: "zarr",
    spatialdata: "spatialdata",
    spatialdata_shapes: "spatialdata",
    spatialdata_points: "spatialdata",
}


@pytest.mark.parametrize("write", KINDS, ids=lambda write: write.__name__)
def test_every_kind_gives_the_same_slice(
    write: Callable[[AnnData, Path], Path], slice_: AnnData, tmp_path: Path
) -> None:
    path = write(slice_, tmp_path / "a folder; with 'quotes' $(and) ü")
    found = io.read_slice(path)
    assert found.uns["spotfuse"]["kind"] == KINDS[write]
    assert list(found.obs_names) == list(slice_.obs_names)
    assert list(found.var_names) == list(slice_.var_names)
    assert found.X.format == "csr" and found.X.dtype == np.float32
    np.testing.assert_array_equal(found.X.toarray(), slice_.X.toarray())
    np.testing.assert_allclose(found.obsm["spatial"], slice_.obsm["spatial"], rtol=1e-12)


def test_the_table_of_what_is_read_names_every_test(root: Path) -> None:
    text = (root / "docs/usage.md").read_text().split("## What is read")[1].split("What stands last")[0]
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[-2])}
    assert {write.__name__ for write in KINDS} <= named
    assert {name for name in named if name not in globals()} == set()


@pytest.fixture(scope="module")
def cortex(root: Path) -> AnnData:
    """A part of the bundled cortex; every gene has counts, every spot has a gene with one."""
    adata = anndata.read_h5ad(root / "assets/test/cortex.h5ad")[::4].copy()
    return adata[(adata.X == 1).getnnz(axis=1) > 0, adata.X.getnnz(axis=0) > 0].copy()


def step(name: str, folder: Path, *options: object) -> None:
    """Do what a command does, in a folder."""
    folder.mkdir(exist_ok=True)
    command = importlib.import_module(name)
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    command.arguments(parser)
    with contextlib.chdir(folder):
        command.main(parser.parse_args(list(map(str, options))))


def prepare(path: Path, folder: Path) -> AnnData:
    step("prepare_slice", folder, "--data", path, "--n-top-genes", 300, "--n-components", 10)
    return anndata.read_h5ad(folder / "prepared.h5ad")


@pytest.mark.parametrize("write", KINDS, ids=lambda write: write.__name__)
def test_every_kind_is_prepared_the_same(
    write: Callable[[AnnData, Path], Path], cortex: AnnData, tmp_path: Path
) -> None:
    """Byte for byte: counts, coordinates, components and graphs, so that domains are the same too."""
    adata = cortex.copy()
    path = write(adata, tmp_path / "kind")  # may give spots names of its own
    found = prepare(path, tmp_path / "found")
    if "array_row" not in found.obs:
        del adata.obs["array_row"], adata.obs["array_col"]
    expected = prepare(h5ad(adata, tmp_path / "h5ad"), tmp_path / "expected")
    assert list(found.obs_names) == list(expected.obs_names) and list(found.var_names) == list(expected.var_names)
    for name in ("X", "spatial_connectivities", "feature_connectivities"):
        one, other = (adata.X if name == "X" else adata.obsp[name] for adata in (found, expected))
        for part in ("data", "indices", "indptr"):
            assert getattr(one, part).tobytes() == getattr(other, part).tobytes(), (name, part)
    for name in ("spatial", "X_pca"):
        one, other = found.obsm[name], expected.obsm[name]
        if KINDS[write] == "visium_hd_cells" or "shapes" in write.__name__:  # middles of outlines
            np.testing.assert_allclose(one, other, rtol=1e-12)
        else:
            assert one.tobytes() == other.tobytes(), name
    assert list(found.obs["input_row"]) == list(expected.obs["input_row"])


def test_domains_are_the_same_whatever_the_kind(cortex: AnnData, tmp_path: Path) -> None:
    domains = []
    for write in (space_ranger_1, h5ad_logged):
        folder = tmp_path / f"{write.__name__}_steps"
        prepare(write(cortex.copy(), tmp_path / write.__name__), folder)
        step("train", folder, "--prepared", "prepared.h5ad", "--epochs", 10)
        step("assign_domains", folder, "--prepared", "prepared.h5ad", "--embedding", "embedding.npz", "--n-domains", 4)
        domains.append((folder / "domains.tsv").read_bytes())
    assert domains[0] == domains[1] and domains[0].count(b"\n") == cortex.n_obs + 1


def test_platform_chooses_between_bins_and_cells(slice_: AnnData, tmp_path: Path) -> None:
    visium_hd(slice_.copy(), tmp_path / "run")
    visium_hd_cells(slice_.copy()[:5].copy(), tmp_path / "cells")
    (tmp_path / "cells/outs/segmented_outputs").rename(tmp_path / "run/outs/segmented_outputs")
    assert io.read_slice(tmp_path / "run").n_obs == N_SPOTS
    assert io.read_slice(tmp_path / "run", "Visium HD cells").n_obs == 5


def test_without_a_reader_of_parquet_one_line_says_so(
    slice_: AnnData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for write in (space_ranger_raw_parquet, xenium_mtx_parquet, spatialdata_shapes, visium_hd):
        path = write(slice_.copy(), tmp_path / write.__name__)
        with monkeypatch.context() as patch:
            patch.setattr("spotfuse.io._common.find_spec", lambda _name: None)
            if write is visium_hd:
                found = io.read_slice(path)
                assert found.uns["spotfuse"]["unit"] == "µm" and "fastparquet" in found.uns["spotfuse"]["notes"][0]
                continue
            with pytest.raises(
                InputError, match=r"\.parquet: reading Parquet needs fastparquet or pyarrow; install one"
            ):
                io.read_slice(path)


def test_visium_hd_takes_the_bins_asked_for(slice_: AnnData, tmp_path: Path) -> None:
    if find_spec("pyarrow") is None and find_spec("fastparquet") is None:
        pytest.skip("neither fastparquet nor pyarrow, which read Parquet, is installed")
    for size in (8, 16):
        bins = tmp_path / f"outs/binned_outputs/square_{size:03d}um"
        (bins / "spatial").mkdir(parents=True)
        hd = slice_[: 24 // size * 4].copy()
        hd.obs_names = [f"s_{size:03d}um_{i:05d}_{j:05d}-1" for i, j in hd.obs[["array_row", "array_col"]].to_numpy()]
        write_10x_h5(hd, bins / "filtered_feature_bc_matrix.h5")
        positions(hd).to_parquet(bins / "spatial/tissue_positions.parquet")
    found = io.read_slice(tmp_path)
    assert found.uns["spotfuse"]["kind"] == "visium_hd"
    assert found.n_obs == 12 and io.read_slice(tmp_path, hd_bin_size=16).n_obs == 4
    np.testing.assert_array_equal(found.obsm["spatial"], slice_.obsm["spatial"])
    with pytest.raises(InputError, match="square_002um: there is no such folder; did you mean 'square_008um'"):
        io.read_slice(tmp_path, hd_bin_size=2)


def test_visium_hd_bins_without_positions_lie_where_their_barcodes_say(slice_: AnnData, tmp_path: Path) -> None:
    bins = tmp_path / "binned_outputs/square_008um"
    bins.mkdir(parents=True)
    slice_.obs_names = [f"s_008um_{i:05d}_{2 * i:05d}-1" for i in range(N_SPOTS)]
    write_10x_h5(slice_, bins / "filtered_feature_bc_matrix.h5")
    found = io.read_slice(tmp_path)
    np.testing.assert_array_equal(found.obsm["spatial"][:, 0], 16.0 * np.arange(N_SPOTS))
    np.testing.assert_array_equal(found.obsm["spatial"][:, 1], 8.0 * np.arange(N_SPOTS))


def test_gem_is_added_up_in_bins(tmp_path: Path) -> None:
    path = tmp_path / "chip.gem"
    path.write_text(
        "#FileFormat=GEMv0.1\n#OffsetX=0\ngeneID\tx\ty\tMIDCount\n"
        "A\t0\t0\t1\nA\t49\t49\t2\nB\t50\t0\t4\nA\t120\t99\t8\nB\t3\t3\t16\n"
    )
    found = io.read_slice(path)
    assert found.uns["spotfuse"]["platform"] == "stereo_seq"
    counts = pd.DataFrame(found.X.toarray(), index=found.obs_names, columns=found.var_names)
    assert counts.loc["0_0"].to_dict() == {"A": 3, "B": 16}
    assert counts.loc["1_0"].to_dict() == {"A": 0, "B": 4}
    assert counts.loc["2_1"].to_dict() == {"A": 8, "B": 0}
    np.testing.assert_array_equal(found["2_1"].obsm["spatial"], [[125, 75]])


def test_real_space_ranger_folder(data: Path) -> None:
    found = io.read_slice(data / "formats/visium_data/1.0.0")
    table = pd.read_csv(data / "formats/visium_data/1.0.0/spatial/tissue_positions_list.csv", header=None, index_col=0)
    assert found.shape == (100, 100) and found.uns["spotfuse"] == {
        "kind": "space_ranger",
        "platform": "visium",
        "unit": "pixels",
        "notes": ["53 genes without counts; quality control drops them"],
    }
    np.testing.assert_array_equal(found.obsm["spatial"], table.loc[found.obs_names, [5, 4]])
    np.testing.assert_array_equal(found.obs["in_tissue"], table.loc[found.obs_names, 1])
    image = found.uns["spatial"]["slice"]
    assert image["images"]["hires"].ndim == 3 and image["scalefactors"]["tissue_hires_scalef"] == 0.150015


def test_real_matrices_of_all_versions_agree(data: Path) -> None:
    formats = data / "formats/10x_data"
    h5, mtx = (
        io.read_counts(formats / "3.0.0" / name, [])
        for name in ("filtered_feature_bc_matrix.h5", "filtered_feature_bc_matrix")
    )
    assert h5.shape == (1107, 507) and (h5.X != mtx.X).nnz == 0
    assert list(h5.obs_names) == list(mtx.obs_names) and list(h5.var["gene_ids"]) == list(mtx.var["gene_ids"])
    old, folder = (
        io.read_counts(formats / "1.2.0" / name, [])
        for name in ("filtered_gene_bc_matrices_h5.h5", "filtered_gene_bc_matrices")
    )
    assert old.shape == (12, 343) and (old.X != folder.X).nnz == 0


def test_real_probes_are_added_up_to_genes(data: Path) -> None:
    notes: list[str] = []
    path = data / "formats/visium_data/2.1.0/raw_probe_bc_matrix.h5"
    found = io.read_counts(path, notes)
    with h5py.File(path) as file:
        kept = file["matrix/features/filtered_probes"][:]
        ids = file["matrix/features/gene_id"][:].astype(str)
        per_probe = np.bincount(file["matrix/indices"][:], file["matrix/data"][:], minlength=len(kept))
    expected = pd.Series(per_probe[kept]).groupby(ids[kept]).sum()
    assert list(found.var["gene_ids"]) == list(expected.index)
    np.testing.assert_array_equal(np.asarray(found.X.sum(axis=0)).ravel(), expected)
    assert "682 probes" in notes[0]


def test_genes_named_by_id_get_their_symbols(slice_: AnnData, tmp_path: Path) -> None:
    symbols = slice_.var_names.to_list()
    symbols[3] = symbols[2]
    slice_.var = pd.DataFrame({"feature_name": symbols}, index=slice_.var["gene_ids"])
    slice_.write_h5ad(tmp_path / "s.h5ad")
    found = io.read_slice(tmp_path / "s.h5ad")
    assert list(found.var_names[:4]) == [*symbols[:3], f"{symbols[2]}-1"]
    assert found.var["gene_ids"].iloc[0] == "ENSG00000000000"
    assert len(found.uns["spotfuse"]["notes"]) == 2


def test_swapped_coordinates_are_turned_by_the_image(slice_: AnnData, tmp_path: Path) -> None:
    wide = np.zeros((30, 40, 3), np.uint8)
    slice_.uns["spatial"] = {"s": {"images": {"hires": wide}, "scalefactors": {"tissue_hires_scalef": 0.1}}}
    upright = slice_.obsm["spatial"].copy()
    for xy, note in ((upright, None), (upright[:, ::-1], "swapped"), (upright * 3, "do not lie on the image")):
        slice_.obsm["spatial"] = xy
        slice_.write_h5ad(tmp_path / "s.h5ad")
        found = io.read_slice(tmp_path / "s.h5ad")
        assert [note in line for line in found.uns["spotfuse"]["notes"]] == ([True] if note else [])
        assert ("spatial" in found.uns) == (note is None or "lie" not in note)
        if note == "swapped":
            np.testing.assert_array_equal(found.obsm["spatial"], upright)


def test_swapped_coordinates_on_a_square_image_are_turned_by_the_array(slice_: AnnData, tmp_path: Path) -> None:
    square = {"images": {"hires": np.zeros((40, 40, 3), np.uint8)}, "scalefactors": {"tissue_hires_scalef": 0.1}}
    slice_.uns["spatial"] = {"s": square}
    upright = slice_.obsm["spatial"].copy()
    quarter = np.column_stack([350 - upright[:, 1], upright[:, 0]])  # a slide laid on its side is no mistake
    for xy, expected in ((upright, upright), (upright[:, ::-1], upright), (quarter, quarter)):
        slice_.obsm["spatial"] = xy
        slice_.write_h5ad(tmp_path / "s.h5ad")
        found = io.read_slice(tmp_path / "s.h5ad")
        np.testing.assert_array_equal(found.obsm["spatial"], expected)
        told = [note for note in found.uns["spotfuse"]["notes"] if "swapped, by the rows and columns" in note]
        assert len(told) == (xy is not expected)


def test_microns_and_pixels_of_another_image_become_pixels_of_the_full_one(slice_: AnnData, tmp_path: Path) -> None:
    row, column = slice_.obs["array_row"], slice_.obs["array_col"]
    pixels = np.column_stack([137.0 * column / 2, 137 * np.sqrt(0.75) * row]) + 40
    factors = {"tissue_hires_scalef": 0.15, "tissue_lowres_scalef": 0.045, "spot_diameter_fullres": 137 * 0.65}
    slice_.uns["spatial"] = {"s": {"images": {"hires": np.zeros((90, 90, 3), np.uint8)}, "scalefactors": factors}}
    for unit, factor in (
        ("full", 1),
        ("µm", 100 / 137),
        ("pixels of the hires", 0.15),
        ("pixels of the lowres", 0.045),
    ):
        slice_.obsm["spatial"] = pixels * factor
        slice_.write_h5ad(tmp_path / "s.h5ad")
        found = io.read_slice(tmp_path / "s.h5ad")
        np.testing.assert_allclose(found.obsm["spatial"], pixels)
        assert found.uns["spotfuse"]["unit"] == "pixels" and "spatial" in found.uns
        notes = found.uns["spotfuse"]["notes"]
        assert notes == [] if unit == "full" else f"coordinates were in {unit}" in notes[0]


@pytest.mark.parametrize(
    ("write", "unit"), [(xenium, "µm"), (space_ranger_2, "pixels"), (h5ad, "unknown"), (gem, "DNBs")]
)
def test_the_unit_of_coordinates_is_known(write: Callable, unit: str, slice_: AnnData, tmp_path: Path) -> None:
    assert io.read_slice(write(slice_, tmp_path / "s")).uns["spotfuse"]["unit"] == unit


def test_genomes_in_genes_names(slice_: AnnData, tmp_path: Path) -> None:
    plain = slice_.var_names.copy()
    slice_.var_names = "GRCh38_" + plain
    found = io.read_slice(h5ad(slice_, tmp_path / "one"))
    assert list(found.var_names) == list(plain) and "GRCh38" in found.uns["spotfuse"]["notes"][0]
    slice_.var_names = [*("GRCh38_" + plain[:20]), *("mm10___" + plain[20:])]
    found = io.read_slice(h5ad(slice_, tmp_path / "two"))
    assert list(found.var_names) == list(slice_.var_names)
    assert found.uns["spotfuse"]["notes"] == ["genes of 2 genomes (GRCh38, mm10) are kept together"]
    slice_.var_names = plain
    (tmp_path / "three").mkdir()
    genome = np.array([b"GRCh38"] * 20 + [b"mm10"] * (N_GENES - 20))
    write_10x_h5(slice_, tmp_path / "three/matrix.h5", genome=genome)
    positions(slice_).to_csv(tmp_path / "three/tissue_positions.csv", index=False)
    notes = io.read_slice(tmp_path / "three/matrix.h5").uns["spotfuse"]["notes"]
    assert notes == ["genes of 2 genomes are kept together"]


def test_empty_spots_and_genes_are_told(slice_: AnnData, tmp_path: Path) -> None:
    counts = slice_.X.toarray()
    counts[[0, 3]] = 0
    counts[:, 7] = 0
    slice_.X = sparse.csr_matrix(counts)
    found = io.read_slice(h5ad(slice_, tmp_path / "s"))
    assert found.n_obs == N_SPOTS and found.uns["spotfuse"]["notes"] == [
        "2 spots and 1 genes without counts; quality control drops them"
    ]


def test_cells_of_a_reference_need_no_place(slice_: AnnData, tmp_path: Path) -> None:
    slice_.obsm["spatial"][:] = np.nan
    slice_.obs["x"] = slice_.obs["y"] = 1
    notes: list[str] = []
    assert io.read_counts(h5ad(slice_, tmp_path / "a"), notes).n_obs == N_SPOTS
    (tmp_path / "b").mkdir()
    write_10x_h5(slice_, tmp_path / "b/cells.h5")
    (tmp_path / "b/tissue_positions.csv").write_text("of another slice")
    assert io.read_counts(tmp_path / "b/cells.h5", notes).n_obs == N_SPOTS and notes == []


def reference_10x_h5(cells: AnnData, folder: Path) -> Path:
    write_10x_h5(cells, folder / "cells.h5")
    return folder / "cells.h5"


def reference_10x_mtx(cells: AnnData, folder: Path) -> Path:
    write_10x_mtx(cells, folder / "cells")
    return folder / "cells"


def reference_cell_ranger(cells: AnnData, folder: Path) -> Path:
    (folder / "outs").mkdir()
    write_10x_h5(cells, folder / "outs/filtered_feature_bc_matrix.h5")
    write_10x_h5(cells[:3], folder / "outs/raw_feature_bc_matrix.h5")
    return folder


def reference_cells_by_genes(cells: AnnData, folder: Path) -> Path:
    cells.to_df().astype(int).to_csv(folder / "cells.csv")
    return folder / "cells.csv"


def reference_genes_by_cells(cells: AnnData, folder: Path) -> Path:
    cells.to_df().astype(int).T.to_csv(folder / "cells.tsv.gz", sep="\t")
    return folder / "cells.tsv.gz"


@pytest.mark.parametrize(
    "write",
    [
        reference_10x_h5,
        reference_10x_mtx,
        reference_cell_ranger,
        reference_cells_by_genes,
        reference_genes_by_cells,
    ],
    ids=lambda write: write.__name__,
)
@pytest.mark.parametrize("table", ["types.csv", "types.tsv", "metadata.csv.gz"])
def test_every_kind_of_reference_gives_the_same_cells(
    write: Callable[[AnnData, Path], Path], table: str, slice_: AnnData, tmp_path: Path
) -> None:
    from spotfuse import proportions

    folder = tmp_path / "a folder; with 'quotes' $(and) ü"
    folder.mkdir()
    cells = slice_.copy()
    cells.var_names = [f"gene {i}" for i in range(N_GENES)]  # names that tell nothing
    cells.obs["cell_type"] = ["eL2/3", "Übergang", "<b>T</b> cells"] * 4
    h5ad(cells, folder / "h5ad")
    if table == "types.tsv":  # without a header
        cells.obs["cell_type"].to_csv(folder / table, sep="\t", header=False)
    else:
        columns = ["cell_type"] if table == "types.csv" else ["array_row", "cell_type", "in_tissue"]
        cells.obs[columns].iloc[::-1].to_csv(folder / table)
    expected = proportions.read_reference(folder / "h5ad/slice.h5ad")
    found = proportions.read_reference(write(cells, folder), str(folder / table))
    assert list(found.obs_names) == list(expected.obs_names) and list(found.var_names) == list(expected.var_names)
    assert list(found.obs["cell_type"]) == list(expected.obs["cell_type"])
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())


def test_cells_that_a_table_does_not_label_are_left_out(slice_: AnnData, tmp_path: Path) -> None:
    from spotfuse import proportions

    names = slice_.obs_names.str.removesuffix("-1")
    (tmp_path / "types.csv").write_text(
        "cell,type\n" + "".join(f"{name},T{i % 2}\n" for i, name in enumerate(names[:9]))
    )
    found = proportions.read_reference(h5ad(slice_, tmp_path / "a"), str(tmp_path / "types.csv"))
    assert found.n_obs == 9 and "3 cells of 12 have no cell type; left out" in found.uns["spotfuse"]["notes"]


ODD_NAMES = {
    " blank": "blank",
    "blank\u00a0 ": "blank",
    "cr\r": "cr",
    "a\tb\n\x0bc": "a b c",
    "line\u2028separators\x85here\x1c": "line separators here",
    "\ufeffbom": "bom",
    "NA": "NA",
    "nan": "nan",
    "1e5": "1e5",
    "007": "007",
    "1.0": "1.0",
    "TRUE": "TRUE",
    "#first": "#first",
    "a,b": "a,b",
    'say "so"': 'say "so"',
    "'": "'",
    "e\u0301 two  blanks": "e\u0301 two  blanks",
    "x" * 1000: "x" * 1000,
}


@pytest.mark.parametrize("given", ODD_NAMES)
@pytest.mark.parametrize("write", ["h5ad", "10x_h5", "10x_mtx", "table", "table beside"])
def test_names_are_cleaned_where_they_come_in(given: str, write: str, slice_: AnnData, tmp_path: Path) -> None:
    slice_.obs_names = [f"spot{i}" for i in range(N_SPOTS - 1)] + [given]
    slice_.obs["label"] = ["a"] * (N_SPOTS - 1) + ["b"]
    if write == "h5ad":
        path = h5ad(slice_, tmp_path / "a")
    elif write == "10x_h5":
        path = tmp_path / "m.h5"
        write_10x_h5(slice_, path)
    elif write == "10x_mtx":
        path = tmp_path / "m"
        write_10x_mtx(slice_, path)
        if "\n" in given or "\t" in given or given == "cr\r":
            return  # no name of such a file
    else:
        path = tmp_path / "counts.csv"
        slice_.to_df().astype(int).to_csv(path)
    if write != "h5ad":
        xy = pd.DataFrame(slice_.obsm["spatial"], slice_.obs_names, ["x", "y"])
        xy.iloc[::-1].to_csv(tmp_path / "counts_positions.csv", sep="," if write == "table" else ";")
    found = io.read_slice(path)
    assert list(found.obs_names) == [*slice_.obs_names[:-1], ODD_NAMES[given]]
    np.testing.assert_allclose(found.obsm["spatial"], slice_.obsm["spatial"])
    np.testing.assert_array_equal(found.X.toarray(), slice_.X.toarray())
    renamed = [note for note in found.uns["spotfuse"]["notes"] if "renamed" in note]
    if "table" not in write:  # of a table's cells blanks go anyway
        assert len(renamed) == (given != ODD_NAMES[given]), renamed
    # what is known of a spot is found by either name
    slice_.obs[["label"]].to_csv(tmp_path / "known.csv")
    for annotation in [str(tmp_path / "known.csv"), *(["label"] if write == "h5ad" else [])]:
        assert io.read_annotation(path, annotation)[ODD_NAMES[given]] == "b"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["s1", "s1 "], "spots 's1' and 's1 ' have one name without blanks at its ends and control characters"),
        (["s\t1", "s 1\r"], r"spots 's\\t1' and 's 1\\r' have one name"),
        (["", "s1"], "1 of 12 spots have no name, the first in row 1"),
        (["s1", " \n"], "1 of 12 spots have no name, the first in row 2"),
        (["s1", "x" * 1001], "a spot's name has 1001 characters"),
    ],
)
def test_names_that_meet_or_are_none_are_refused(
    names: list[str], message: str, slice_: AnnData, tmp_path: Path
) -> None:
    slice_.obs_names = [*names, *slice_.obs_names[2:]]
    with pytest.raises(InputError, match=message) as error:
        io.read_slice(h5ad(slice_, tmp_path / "a"))
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_read_obs_has_every_spot_in_order(slice_: AnnData, tmp_path: Path) -> None:
    for write in (h5ad, space_ranger_1):
        obs = _slices.read_obs(write(slice_, tmp_path / write.__name__))
        assert list(obs.index) == list(slice_.obs_names)
        np.testing.assert_array_equal(obs["array_row"], slice_.obs["array_row"])


def test_row_pointers_wider_than_indices(slice_: AnnData, tmp_path: Path) -> None:
    slice_.write_h5ad(tmp_path / "slice.h5ad")
    with h5py.File(tmp_path / "slice.h5ad", "r+") as file:
        pointers = file["X/indptr"][:].astype(np.int64)
        del file["X/indptr"]
        file["X/indptr"] = pointers
    assert (io.read_slice(tmp_path / "slice.h5ad").X != slice_.X).nnz == 0


def test_write_keeps_what_a_users_table_may_hold(slice_: AnnData, tmp_path: Path) -> None:
    slice_.obs["a/b"] = pd.Categorical(["x/y", "ü"] * 6)
    slice_.obs["_index"] = range(N_SPOTS)
    slice_.obs["mixed"] = [1, "two", None, 4.5] * 3
    io.write(slice_, tmp_path / "s.h5ad")
    back = anndata.read_h5ad(tmp_path / "s.h5ad")
    assert list(back.obs["a_b"][:2]) == ["x/y", "ü"]
    with h5py.File(tmp_path / "s.h5ad") as file:
        encodings = {
            dict(file[key].attrs)["encoding-type"] for key in ("obs/_index", "var/_index", "obs/mixed/categories")
        }
    assert encodings == {"string-array"}, "older anndata reads no other text"
    assert (
        back.obs["mixed"].iloc[1] == "two"
        and back.obs["mixed"].isna().sum() == 3
        and list(back.obs["index"]) == list(range(N_SPOTS))
    )


SYMBOLS = [f"GENE{i}" for i in range(N_GENES)]
ENSEMBL = [f"ENSG{i:011d}" for i in range(N_GENES)]
ROWS = [str(i) for i in range(N_GENES)]


def named(slice_: AnnData, folder: Path, index: list[str], **columns: list) -> AnnData:
    """Give a slice of which only these names are known, as it is read."""
    slice_.var = pd.DataFrame(columns, index=index)
    return io.read_slice(h5ad(slice_, folder))


@pytest.mark.parametrize("missing", [np.nan, None, "", "nan", "NA", " "])
def test_genes_without_a_symbol_keep_their_id(missing: object, slice_: AnnData, tmp_path: Path) -> None:
    symbols = [missing, *SYMBOLS[1:-1], missing]
    found = named(slice_, tmp_path / "a", ENSEMBL, feature_name=pd.Categorical(symbols))
    assert list(found.var_names) == [ENSEMBL[0], *SYMBOLS[1:-1], ENSEMBL[-1]]
    assert found.uns["spotfuse"]["notes"][-1] == (
        "genes named by var['feature_name']; their ids are kept in var['gene_ids'], which 2 without a symbol keep as "
        "their names"
    )
    np.testing.assert_array_equal(found.X.toarray(), slice_.X.toarray())


@pytest.mark.parametrize("form", ["{symbol}|{id}", "{id}_{symbol}", "{symbol}_{id}.12", "{id}.3: {symbol}"])
def test_genes_of_symbol_and_id_are_named_by_symbol(form: str, slice_: AnnData, tmp_path: Path) -> None:
    names = [form.format(symbol=symbol, id=id_) for symbol, id_ in zip(SYMBOLS, ENSEMBL, strict=True)]
    names[0] = form.format(symbol="nan", id=ENSEMBL[0])
    found = named(slice_, tmp_path / "both", [*names[:-1], "ERCC-00002"])
    version = re.search(r"\.\d+", form)
    assert list(found.var_names[1:]) == [*SYMBOLS[1:-1], "ERCC-00002"]
    assert found.var_names[0] == found.var["gene_ids"].iloc[0] == ENSEMBL[0] + (version[0] if version else "")
    assert f"genes' names hold symbol and id ('{names[0]}'); they are named by symbol" in found.uns["spotfuse"]["notes"]
    genome = named(slice_, tmp_path / "genome", [f"GRCh38_{id_}" for id_ in ENSEMBL])
    assert list(genome.var_names) == ENSEMBL


def test_genes_that_other_programs_called_nan_get_their_id(slice_: AnnData, tmp_path: Path) -> None:
    names = ["nan", "nan-1", "", "-1", *SYMBOLS[4:]]
    found = named(slice_, tmp_path / "a", names, gene_ids=ENSEMBL)
    assert list(found.var_names) == [*ENSEMBL[:4], *SYMBOLS[4:]]
    assert found.uns["spotfuse"]["notes"][-1] == "4 genes without a symbol are named by var['gene_ids']"
    found = named(slice_, tmp_path / "b", ["", "  ", *SYMBOLS[2:]])
    assert list(found.var_names[:3]) == ["unnamed", "unnamed-1", "GENE2"]


@pytest.mark.parametrize("index", [ENSEMBL, ROWS, [f"{name}.7" for name in ENSEMBL]], ids=["ids", "rows", "versions"])
@pytest.mark.parametrize(
    "column", ["features", "gene_short_name", "feature_name", "gene_symbols", "Symbol", "hgnc_symbol", "mgi_symbol"]
)
def test_symbols_are_known_by_their_column(index: list, column: str, slice_: AnnData, tmp_path: Path) -> None:
    found = named(slice_, tmp_path / "a", index, **{"score": range(N_GENES), column: SYMBOLS, "symbols": ENSEMBL})
    assert list(found.var_names) == SYMBOLS


def test_genes_named_by_rows_take_ids_or_are_told(slice_: AnnData, tmp_path: Path) -> None:
    assert list(named(slice_, tmp_path / "a", ROWS, gene_id=ENSEMBL).var_names) == ENSEMBL
    found = named(slice_, tmp_path / "b", ROWS, mine=SYMBOLS)
    assert list(found.var_names) == ROWS
    (note,) = [note for note in found.uns["spotfuse"]["notes"] if "numbers alone" in note]
    assert "symbol_column (mine)" in note
    found = io.read_slice(tmp_path / "b/slice.h5ad", symbol_column="mine")
    assert list(found.var_names) == SYMBOLS
    with pytest.raises(InputError, match=r"no column 'yours' in var for the genes' symbols; there are mine"):
        io.read_slice(tmp_path / "b/slice.h5ad", symbol_column="yours")


@pytest.mark.parametrize("turned", [False, True])
def test_symbols_of_var_name_the_genes_of_a_bare_raw(turned: bool, slice_: AnnData, tmp_path: Path) -> None:
    """Counts are in raw, whose genes have ids alone; var has the symbols of some, by column or as their names."""
    whole = AnnData(slice_.X.copy(), var=pd.DataFrame(index=ENSEMBL))
    some = slice_[:, 10:].copy()
    some.X = some.X.toarray() - 1.5  # scaled
    some.var = (
        pd.DataFrame({"gene_ids": ENSEMBL[10:]}, index=SYMBOLS[10:])
        if turned
        else pd.DataFrame({"feature_name": SYMBOLS[10:]}, index=ENSEMBL[10:])
    )
    some.raw = whole
    found = io.read_slice(h5ad(some, tmp_path / "a"))
    assert list(found.var_names) == [*ENSEMBL[:10], *SYMBOLS[10:]]
    np.testing.assert_array_equal(found.X.toarray(), slice_.X.toarray())


def test_gene_names_are_cleaned(slice_: AnnData, tmp_path: Path) -> None:
    found = named(slice_, tmp_path / "a", ["GENE0\r", " GENE1", "GE\tNE2", *SYMBOLS[3:]])
    assert list(found.var_names) == ["GENE0", "GENE1", "GE NE2", *SYMBOLS[3:]]
    assert any(note.startswith("3 genes renamed") for note in found.uns["spotfuse"]["notes"])


def test_a_gene_of_two_genomes_is_told_apart(slice_: AnnData, tmp_path: Path) -> None:
    names = ["H19", *SYMBOLS[1:15], "H19", *(name.capitalize() for name in SYMBOLS[16:])]
    found = named(slice_, tmp_path / "a", names, genome=["GRCh38"] * 15 + ["mm10"] * 15)
    assert found.var_names[0] == "GRCh38_H19" and found.var_names[15] == "mm10_H19" and found.var_names[1] == "GENE1"
