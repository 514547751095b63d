"""Whatever is wrong with a slice's files is one line that says where; never a traceback, never a wrong result."""

import contextlib
import gzip
import importlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from scipy import sparse
from spotfuse.__main__ import main
from spotfuse._core.errors import InputError
from spotfuse.pipeline import check, command_line

N_SPOTS, N_GENES = 20, 150
Case = Callable[["Bench"], dict[str, Any]]
CASES: list[tuple[Case, str]] = []


class Bench:
    """A folder, and a good slice and reference to be spoilt in it."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        genes = [f"G{i}" for i in range(N_GENES)]
        self.slice = AnnData(
            sparse.csr_matrix(rng.poisson(2, (N_SPOTS, N_GENES)), dtype=np.float32),
            obs=pd.DataFrame({"label": ["a", "b"] * 10}, index=[f"s{i}" for i in range(N_SPOTS)]),
            var=pd.DataFrame(index=genes),
        )
        self.slice.obsm["spatial"] = rng.random((N_SPOTS, 2))
        self.reference = AnnData(
            sparse.csr_matrix(rng.poisson(2, (12, N_GENES)), dtype=np.float32),
            obs=pd.DataFrame({"cell_type": ["T", "B"] * 6}, index=[f"c{i}" for i in range(12)]),
            var=pd.DataFrame(index=genes),
        )
        self.path = folder / "slice.h5ad"

    def write(self) -> dict[str, Any]:
        self.slice.write_h5ad(self.path)
        return {"data": self.path}

    def write_reference(self) -> dict[str, Any]:
        self.reference.write_h5ad(self.folder / "cells.h5ad")
        return self.write() | {"reference": self.folder / "cells.h5ad"}

    def edit(self, change: Callable[[h5py.File], None]) -> dict[str, Any]:
        self.write()
        with h5py.File(self.path, "r+") as file:
            change(file)
        return {"data": self.path}

    def text(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def space_ranger(self) -> Path:
        """A folder as Space Ranger 2 writes it, with an mtx matrix."""
        folder = self.folder / "run"
        X = sparse.coo_matrix(self.slice.X)
        entries = "".join(f"{g + 1} {s + 1} {int(v)}\n" for s, g, v in zip(X.row, X.col, X.data, strict=True))
        self.text(
            "run/filtered_feature_bc_matrix/matrix.mtx",
            f"%%MatrixMarket matrix coordinate integer general\n{N_GENES} {N_SPOTS} {X.nnz}\n{entries}",
        )
        self.text("run/filtered_feature_bc_matrix/barcodes.tsv", "".join(f"{s}\n" for s in self.slice.obs_names))
        self.text(
            "run/filtered_feature_bc_matrix/features.tsv",
            "".join(f"ENSG{i}\t{g}\tGene Expression\n" for i, g in enumerate(self.slice.var_names)),
        )
        self.text(
            "run/spatial/tissue_positions.csv",
            "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres\n"
            + "".join(f"{s},1,{i},{i},{i},{i}\n" for i, s in enumerate(self.slice.obs_names)),
        )
        return folder


def case(message: str) -> Callable[[Case], Case]:
    def add(make: Case) -> Case:
        CASES.append((make, message))
        return make

    return add


# files that are not what they should be


@case(r"nowhere\.h5ad: there is no such file or folder")
def missing(bench: Bench) -> dict[str, Any]:
    return {"data": bench.folder / "nowhere.h5ad"}


@case(r"link\.h5ad: there is no such file or folder \(a broken link\)")
def broken_link(bench: Bench) -> dict[str, Any]:
    (bench.folder / "link.h5ad").symlink_to("nowhere")
    return {"data": bench.folder / "link.h5ad"}


@case(r"empty\.h5ad: cannot be read as h5ad; is it complete\?")
def empty_file(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("empty.h5ad", "")}


@case(r"text\.h5ad: cannot be read as h5ad")
def text_called_h5ad(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("text.h5ad", "spot,G1\na,1\n")}


@case(r"slice\.h5ad: cannot be read as h5ad")
def truncated_h5ad(bench: Bench) -> dict[str, Any]:
    bench.write()
    content = bench.path.read_bytes()
    return {"data": bench.text("slice.h5ad", content[: len(content) // 2])}


@case(r"folder\.h5ad: not a kind of folder that is known; it holds nothing")
def folder_called_h5ad(bench: Bench) -> dict[str, Any]:
    (bench.folder / "folder.h5ad").mkdir()
    return {"data": bench.folder / "folder.h5ad"}


@case(r"not a kind of folder that is known; it holds notes\.md")
def folder_of_something_else(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("folder/notes.md", "").parent}


@case(r"slice\.doc: not a kind of file that is known; give \.h5ad")
def unknown_kind(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("slice.doc", "")}


@case(r"slice\.RDS: \.rds is not read; write it as h5ad")
def file_of_r(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("slice.RDS", "")}


@case(r"outs\.tar\.gz: \.tar\.gz is not read; unpack it and give the folder")
def packed_folder(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("outs.tar.gz", "")}


@case(r"x\.zarr: cannot be read as zarr")
def zarr_that_is_none(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("x.zarr/zarr.json", "{").parent}


@case(r"x\.zarr: no counts|not an AnnData file")
def zarr_of_something_else(bench: Bench) -> dict[str, Any]:
    zarr.open_group(bench.folder / "x.zarr", mode="w")
    return {"data": bench.folder / "x.zarr"}


@case(r"x\.zarr: 2 tables \(a, b\); leave one")
def spatialdata_of_two_tables(bench: Bench) -> dict[str, Any]:
    tables = zarr.open_group(bench.folder / "x.zarr", mode="w").create_group("tables")
    tables.create_group("a"), tables.create_group("b")
    return {"data": bench.folder / "x.zarr"}


@case(r"x\.zarr: its table has no obsm\['spatial'\]; fill it in")
def spatialdata_without_coordinates(bench: Bench) -> dict[str, Any]:
    zarr.open_group(bench.folder / "x.zarr", mode="w").create_group("tables")
    (bench.folder / "x.zarr/shapes").mkdir()
    del bench.slice.obsm["spatial"]
    bench.slice.write_zarr(bench.folder / "x.zarr/tables/table")
    return {"data": bench.folder / "x.zarr"}


@case(r"x\.zarr: obs/_index/\.zarray asks for the codec 'pickle', which is not among those known to be harmless")
def pickled_objects(bench: Bench) -> dict[str, Any]:
    bench.text("x.zarr/.zgroup", '{"zarr_format": 2}')
    bench.text("x.zarr/obs/_index/.zarray", '{"zarr_format": 2, "filters": [{"id": "pickle", "protocol": 5}]}')
    return {"data": bench.folder / "x.zarr"}


@case(r"other\.h5ad: not an AnnData file: it has no 'obs'|no counts")
def other_hdf5(bench: Bench) -> dict[str, Any]:
    with h5py.File(bench.folder / "other.h5ad", "w") as file:
        file["weights"] = np.arange(3)
    return {"data": bench.folder / "other.h5ad"}


@case(r"other\.h5: not a 10x matrix: it has no group 'matrix'")
def other_h5(bench: Bench) -> dict[str, Any]:
    with h5py.File(bench.folder / "other.h5", "w") as file:
        file["weights"] = np.arange(3)
    return {"data": bench.folder / "other.h5"}


@case(r"platform 'visum' is not known; did you mean 'visium'\?")
def unknown_platform(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"platform": "visum"}


# counts


@case("no counts; X, layers.* are all absent")
def no_counts(bench: Bench) -> dict[str, Any]:
    bench.slice.X = None
    return bench.write()


@case("X has negative values, so it was scaled; give raw counts")
def scaled(bench: Bench) -> dict[str, Any]:
    bench.slice.X = bench.slice.X.toarray() - 0.5
    return bench.write()


@case("X has NaN or infinite values")
def nan_counts(bench: Bench) -> dict[str, Any]:
    bench.slice.X.data[5] = np.nan
    return bench.write()


@case("X has NaN or infinite values")
def infinite_counts(bench: Bench) -> dict[str, Any]:
    bench.slice.X.data[5] = np.inf
    return bench.write()


@case("X was log-transformed; give raw counts")
def logged_beyond_repair(bench: Bench) -> dict[str, Any]:
    bench.slice.X = (bench.slice.X + sparse.csr_matrix(np.full(bench.slice.shape, 0.37))).log1p()
    bench.slice.uns["log1p"] = {}
    return bench.write()


@case("X was log-transformed; give raw counts")
def logged_without_a_word(bench: Bench) -> dict[str, Any]:
    mixed = bench.slice.X + sparse.csr_matrix(np.random.default_rng(0).random(bench.slice.shape))
    bench.slice.X = sparse.csr_matrix(mixed.multiply(1e4 / mixed.sum(axis=1))).log1p()
    return bench.write()


@case("all counts are 0")
def all_zero(bench: Bench) -> dict[str, Any]:
    bench.slice.X = sparse.csr_matrix(bench.slice.shape, dtype=np.float32)
    return bench.write()


@case("empty: 0 spots and 150 genes")
def no_spots(bench: Bench) -> dict[str, Any]:
    bench.slice = bench.slice[:0].copy()
    return bench.write()


@case("empty: 20 spots and 0 genes")
def no_genes(bench: Bench) -> dict[str, Any]:
    bench.slice = bench.slice[:, :0].copy()
    return bench.write()


@case("1 of 1 spots can be used; at least 3 are needed")
def one_spot(bench: Bench) -> dict[str, Any]:
    bench.slice = bench.slice[:1].copy()
    return bench.write()


@case(r"quality control leaves no spot of 20 \(20 off tissue\)")
def all_off_tissue(bench: Bench) -> dict[str, Any]:
    bench.slice.obs["in_tissue"] = 0
    return bench.write()


@case("X is damaged: an index lies beyond its shape")
def index_beyond_shape(bench: Bench) -> dict[str, Any]:
    return bench.edit(lambda file: file["X/indices"].write_direct(np.full(file["X/indices"].shape, 999, np.int32)))


@case("damaged|cannot be read as h5ad")
def pointers_that_run_backwards(bench: Bench) -> dict[str, Any]:
    def change(file: h5py.File) -> None:
        file["X/indptr"][3] = 10**6

    return bench.edit(change)


@case("X is 20 × 150, but obs has 20 rows and var has 149")
def shape_against_genes(bench: Bench) -> dict[str, Any]:
    other = bench.folder / "other.h5ad"
    bench.slice[:, 1:].copy().write_h5ad(other)

    def change(file: h5py.File) -> None:
        del file["var"]
        with h5py.File(other) as source:
            source.copy("var", file)

    return bench.edit(change)


@case("X has 3 dimensions, a matrix has two|cannot be read")
def three_dimensions(bench: Bench) -> dict[str, Any]:
    def change(file: h5py.File) -> None:
        del file["X"]
        file["X"] = np.ones((N_SPOTS, N_GENES, 2))

    return bench.edit(change)


@case("X would take [0-9]+ GB, this machine has [0-9]+ GB")
def dense_beyond_memory(bench: Bench) -> dict[str, Any]:
    def change(file: h5py.File) -> None:
        del file["X"]
        file.create_dataset("X", (10**7, 10**7), np.float32, chunks=(1000, 1000), compression="gzip")

    return bench.edit(change)


@case("data would take [0-9]+ GB")
def sparse_beyond_memory(bench: Bench) -> dict[str, Any]:
    def change(file: h5py.File) -> None:
        del file["X/data"]
        file["X"].create_dataset("data", (10**13,), np.float32, chunks=(10**6,), compression="gzip")

    return bench.edit(change)


@case("would take [0-9]+ GB")
def names_beyond_memory(bench: Bench) -> dict[str, Any]:
    def change(file: h5py.File) -> None:
        del file["obs/_index"]
        names = file["obs"].create_dataset("_index", (10**13,), h5py.string_dtype(), chunks=(10**6,))
        names.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})

    return bench.edit(change)


# names


@case("spot names must be unique; 's1' and 0 more stand twice")
def duplicated_barcodes(bench: Bench) -> dict[str, Any]:
    bench.slice.obs_names = ["s1", "s1", *bench.slice.obs_names[2:]]
    return bench.write()


# coordinates


@case(r"no coordinates; they are looked for in obsm\['spatial'\] and in obs columns such as x and y")
def no_coordinates(bench: Bench) -> dict[str, Any]:
    del bench.slice.obsm["spatial"]
    bench.slice.obs_names = [f"barcode-{i}" for i in range(N_SPOTS)]
    return bench.write()


@case(r"obsm\['spatial'\] holds no coordinates, only NaN")
def nan_coordinates(bench: Bench) -> dict[str, Any]:
    bench.slice.obsm["spatial"][:] = np.nan
    return bench.write()


@case(r"obsm\['spatial'\] must have a row for each of 20 spots and two columns")
def one_coordinate(bench: Bench) -> dict[str, Any]:
    bench.slice.obsm["spatial"] = bench.slice.obsm["spatial"][:, :1]
    return bench.write()


@case("gives all spots the same place")
def one_place(bench: Bench) -> dict[str, Any]:
    bench.slice.obsm["spatial"][:] = 3
    return bench.write()


@case("holds no coordinates, only NaN")
def coordinates_in_words(bench: Bench) -> dict[str, Any]:
    del bench.slice.obsm["spatial"]
    bench.slice.obs["x"], bench.slice.obs["y"] = "left", "up"
    return bench.write()


# Space Ranger folders


@case(r"run: no count matrix; it is looked for as filtered_feature_bc_matrix")
def space_ranger_without_matrix(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    shutil.rmtree(folder / "filtered_feature_bc_matrix")
    return {"data": folder}


@case(r"run: no table of positions; it is looked for as spatial/tissue_positions\.csv")
def space_ranger_without_positions(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    shutil.rmtree(folder / "spatial")
    return {"data": folder}


@case(r"positions\.csv: the positions are of another slice: they have 'x0', the counts 's0'")
def positions_of_another_slice(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "spatial/tissue_positions.csv"
    path.write_text(path.read_text().replace("\ns", "\nx"))
    return {"data": folder}


@case(r"positions\.csv: 2 columns where a table of positions has 6")
def positions_of_two_columns(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    bench.text("run/spatial/tissue_positions.csv", "a,1\nb,2\n")
    return {"data": folder}


@case(r"positions\.csv: spot 's0', column 'pxl_col_in_fullres': 'left' is not a number")
def positions_in_words(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "spatial/tissue_positions.csv"
    path.write_text(path.read_text().replace("s0,1,0,0,0,0", "s0,1,0,0,0,left"))
    return {"data": folder}


@case(r"positions\.csv: spot 's0' has more than one row")
def positions_twice(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "spatial/tissue_positions.csv"
    path.write_text(path.read_text().replace("\ns1,", "\ns0,"))
    return {"data": folder}


@case(r"positions\.csv: no columns for x and y; it has in_tissue, a, b, c, d")
def positions_with_another_header(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "spatial/tissue_positions.csv"
    path.write_text("barcode,tissue,a,b,c,d\n" + path.read_text().split("\n", 1)[1])
    return {"data": folder}


@case(r"positions\.csv: cannot be read as a table of positions")
def positions_empty(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    bench.text("run/spatial/tissue_positions.csv", "")
    return {"data": folder}


@case(r"tissue_positions\.parquet: (reading Parquet needs fastparquet|cannot be read as Parquet)")
def positions_in_parquet_that_is_none(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    (folder / "spatial/tissue_positions.csv").rename(folder / "spatial/tissue_positions.parquet")
    return {"data": folder}


@case(r"several tables of positions, A_tissue_positions_list\.csv and B_tissue_positions_list\.csv")
def positions_of_two_slices(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "spatial/tissue_positions.csv"
    shutil.copy(path, folder / "spatial/A_tissue_positions_list.csv")
    path.rename(folder / "spatial/B_tissue_positions_list.csv")
    return {"data": folder}


@case(r"matrix\.mtx: the matrix has 150 rows and 20 columns, but there are 150 features and 19 barcodes")
def barcodes_of_another_matrix(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "filtered_feature_bc_matrix/barcodes.tsv"
    path.write_text("\n".join(path.read_text().split("\n")[1:]))
    return {"data": folder}


@case(r"filtered_feature_bc_matrix: no barcodes\.tsv\.gz beside the matrix")
def no_barcodes(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    (folder / "filtered_feature_bc_matrix/barcodes.tsv").unlink()
    return {"data": folder}


@case(r"matrix\.mtx: ([0-9]+ values where its head says [0-9]+|cannot be read as a matrix-market file)")
def truncated_mtx(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "filtered_feature_bc_matrix/matrix.mtx"
    path.write_text(path.read_text()[:500])
    return {"data": folder}


@case(r"matrix\.mtx: the matrix has 1000000000 rows and 1000000000 columns")
def mtx_beyond_memory(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    head = "%%MatrixMarket matrix coordinate integer general\n1000000000 1000000000 1\n1 1 1\n"
    bench.text("run/filtered_feature_bc_matrix/matrix.mtx", head)
    return {"data": folder}


@case(r"matrix\.mtx: the matrix would take [0-9]+ GB")
def mtx_of_too_many_values(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "filtered_feature_bc_matrix/matrix.mtx"
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], f"{N_GENES} {N_SPOTS} 99999999999999", *lines[2:]]))
    return {"data": folder}


@case(r"barcodes\.tsv\.gz: cannot be read as text")
def truncated_gz(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "filtered_feature_bc_matrix/barcodes.tsv"
    content = gzip.compress(path.read_bytes())
    path.unlink()
    bench.text("run/filtered_feature_bc_matrix/barcodes.tsv.gz", content[:-12])
    return {"data": folder}


@case(r"scalefactors_json\.json: cannot be read as JSON")
def broken_scale_factors(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    bench.text("run/spatial/scalefactors_json.json", "{")
    bench.text("run/spatial/tissue_hires_image.png", "")
    return {"data": folder}


@case("filtered_feature_bc_matrix: negative or NaN values")
def negative_mtx(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    path = folder / "filtered_feature_bc_matrix/matrix.mtx"
    path.write_text(path.read_text().replace(" 2\n", " -2\n"))
    return {"data": folder}


@case("several matrices, A_filtered_feature_bc_matrix.h5 and B_filtered_feature_bc_matrix.h5")
def two_slices_in_a_folder(bench: Bench) -> dict[str, Any]:
    bench.text("two/A_filtered_feature_bc_matrix.h5", "")
    return {"data": bench.text("two/B_filtered_feature_bc_matrix.h5", "").parent}


# tables of counts


@case("row 'b', column 'G2': 'many' is not a number")
def counts_in_words(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("counts.csv", "spot,x,y,G1,G2\na,1,1,1,2\nb,2,2,3,many\n")}


@case("spots and genes cannot be told apart by their names")
def counts_without_hint(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("counts.csv", ",foo,bar\nfee,1,2\nfum,2,1\n")}


@case("not a table of counts; it needs a header and rows")
def counts_of_one_line(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("counts.csv", "spot,G1,G2\n")}


@case("NaN or infinite values")
def counts_with_holes(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("counts.csv", "spot,x,y,G1,G2\na,1,1,1,2\nb,2,2,3,\n")}


@case("two columns are named 'G1'")
def counts_with_a_gene_twice(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("counts.csv", "spot,x,y,G1,G1\na,1,1,1,2\nb,2,2,3,4\n")}


@case(r"counts\.csv\.gz: cannot be read as a table of counts")
def counts_truncated(bench: Bench) -> dict[str, Any]:
    rows = "".join(f"s{i},{i},{i},{i * 7 % 13},{i * 5 % 11}\n" for i in range(1, 2000))
    return {"data": bench.text("counts.csv.gz", gzip.compress(f"spot,x,y,G1,G2\n{rows}".encode())[:-2000])}


@case("no coordinates; give a folder with the counts and a table of spot, x and y")
def counts_alone(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("alone/counts.csv", ",ACTB,MT-CO1\nAAACCCGGG,1,2\nAAATTTGGG,2,1\n")}


@case("the positions are of another slice: they have 'x', the counts 'a'")
def coordinates_of_another_slice(bench: Bench) -> dict[str, Any]:
    bench.text("table/coordinates.csv", "spot,x,y\nx,1,2\ny,3,4\n")
    return {"data": bench.text("table/counts.csv", ",ACTB,MT-CO1\na,1,2\nb,2,1\n").parent}


@case("several tables of coordinates")
def coordinates_twice(bench: Bench) -> dict[str, Any]:
    bench.text("table/coordinates.csv", "spot,x,y\na,1,2\n")
    bench.text("table/positions.csv", "spot,x,y\na,1,2\n")
    return {"data": bench.text("table/counts.csv", ",ACTB,MT-CO1\na,1,2\nb,2,1\n").parent}


@case("no columns for x and y; it has long, lat, height")
def coordinates_of_other_names(bench: Bench) -> dict[str, Any]:
    bench.text("table/coordinates.csv", "spot,long,lat,height\na,1,2,3\nb,2,3,4\n")
    return {"data": bench.text("table/counts.csv", ",ACTB,MT-CO1\na,1,2\nb,2,1\n").parent}


@case(r"not a \.gem table; its columns must be geneID, x, y and MIDCount")
def gem_of_something_else(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("chip.gem", "a\tb\n1\t2\n")}


@case(r"bomb\.csv\.gz: not a table of counts; it has a line without an end")
def counts_that_unpack_to_no_end(bench: Bench) -> dict[str, Any]:
    with gzip.open(bench.folder / "bomb.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(40):
            file.write(b"0" * 2**20)
    return {"data": bench.folder / "bomb.csv.gz"}


@case(r"chip\.gem: cannot be read as a \.gem table")
def gem_in_words(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("chip.gem", "geneID\tx\ty\tMIDCount\nA\tleft\t1\t1\n")}


@case(r"no cells\.csv\.gz or cells\.parquet")
def xenium_without_cells(bench: Bench) -> dict[str, Any]:
    folder = bench.space_ranger()
    return {"data": (folder / "filtered_feature_bc_matrix").rename(bench.folder / "cell_feature_matrix").parent}


@case(r"no file \*cell_metadata\*\.csv\*")
def merscope_without_cells(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("m/cell_by_gene.csv", "cell,A,B\n1,1,2\n2,3,4\n").parent}


@case("no column 'cell_ID'")
def cosmx_without_ids(bench: Bench) -> dict[str, Any]:
    return {"data": bench.text("c/run_exprMat_file.csv", "fov,A,B\n1,1,2\n1,3,4\n").parent}


# the number of domains


def _n_domains(value: str, message: str) -> None:
    CASES.append((lambda bench: bench.write() | {"n_domains": value}, message))


for value in ("0", "1", "-3", "7.5", "many", "1e3", "²", "Ⅶ"):
    _n_domains(value, f"n_domains is '{value}'; give a whole number from 2 on, or auto")
_n_domains("21", "n_domains is 21, but 20 spots can be used; give fewer domains")


# the reference


@case(r"nowhere\.h5ad: there is no such file")
def reference_missing(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"reference": bench.folder / "nowhere.h5ad"}


@case("no column 'cell_typ' for the cell types; did you mean 'cell_type'")
def reference_without_column(bench: Bench) -> dict[str, Any]:
    return bench.write_reference() | {"cell_type_key": "cell_typ"}


@case("column 'cell_type' has one cell type, 'T'; two are needed")
def reference_of_one_type(bench: Bench) -> dict[str, Any]:
    bench.reference.obs["cell_type"] = "T"
    return bench.write_reference()


@case(r"types\.tsv: none of its cells is in the reference; it has 'q1', the reference 'c0'")
def reference_with_labels_of_other_cells(bench: Bench) -> dict[str, Any]:
    return bench.write_reference() | {"cell_type_key": str(bench.text("types.tsv", "cell\ttype\nq1\tT\nq2\tB\n"))}


@case(r"types\.csv: which of its 2 columns has the cell types\? Call it cell_type, or leave the others out \(x, y\)")
def reference_with_labels_of_many_columns(bench: Bench) -> dict[str, Any]:
    return bench.write_reference() | {"cell_type_key": str(bench.text("types.csv", "cell,x,y\nc0,T,1\nc1,B,2\n"))}


@case(r"types\.csv: there is no such file")
def reference_without_its_labels(bench: Bench) -> dict[str, Any]:
    return bench.write_reference() | {"cell_type_key": str(bench.folder / "types.csv")}


@case(r"types\.csv has one cell type, 'T'; two are needed")
def reference_with_labels_of_one_type(bench: Bench) -> dict[str, Any]:
    return bench.write_reference() | {"cell_type_key": str(bench.text("types.csv", "cell,type\nc0,T\nc1,T\n"))}


@case("no column 'cell_type' for the cell types; the counts come without columns: give a table of cell and type")
def reference_of_counts_alone(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"reference": bench.space_ranger() / "filtered_feature_bc_matrix"}


@case("gives no cell a type")
def reference_without_labels(bench: Bench) -> dict[str, Any]:
    bench.reference.obs["cell_type"] = "NA"
    return bench.write_reference()


@case(r"cells\.h5ad: .* share 0 genes")
def reference_of_other_genes(bench: Bench) -> dict[str, Any]:
    bench.reference.var_names = [f"other{i}" for i in range(N_GENES)]
    return bench.write_reference()


@case("X has negative values")
def reference_scaled(bench: Bench) -> dict[str, Any]:
    bench.reference.X = bench.reference.X.toarray() - 1
    return bench.write_reference()


# what is known


@case("no column 'Label' for the annotation; did you mean 'label'")
def annotation_without_column(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"annotation": "Label"}


@case(r"nowhere\.tsv: there is no such file")
def annotation_missing(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"annotation": str(bench.folder / "nowhere.tsv")}


@case(r"a\.csv: none of its spots is in the slice; it has 'q', the slice 's0'")
def annotation_of_another_slice(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"annotation": str(bench.text("a.csv", "spot,label\nq,A\n"))}


@case(r"a\.csv: all spots are labelled 'A'; two labels are needed")
def annotation_of_one_label(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"annotation": str(bench.text("a.csv", "spot,label\ns0,A\ns1,A\n"))}


@case("column 'label': it labels no spot of the slice")
def annotation_of_no_label(bench: Bench) -> dict[str, Any]:
    bench.slice.obs["label"] = "NaN"
    return bench.write() | {"annotation": "label"}


@case(r"a\.tsv, line 3: 1 fields where the header has 2")
def annotation_ragged(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"annotation": str(bench.text("a.tsv", "spot\tlabel\ns0\tA\ns1\n"))}


@case(r"a\.tsv: spot 's0' has more than one row")
def annotation_twice(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"annotation": str(bench.text("a.tsv", "spot\tlabel\ns0\tA\ns0\tB\n"))}


@case(r"p\.tsv: the proportions of spot 's1' sum to 1\.2, not to 1")
def proportions_that_do_not_sum(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"proportions": bench.text("p.tsv", "spot\tT\tB\ns0\t1\t0\ns1\t0.7\t0.5\n")}


@case(r"p\.tsv: spot 's0' has a negative proportion")
def proportions_negative(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"proportions": bench.text("p.tsv", "spot\tT\tB\ns0\t1.5\t-0.5\n")}


@case(r"p\.tsv: spot 's0', column 'B': 'none' is not a number")
def proportions_in_words(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"proportions": bench.text("p.tsv", "spot\tT\tB\ns0\t1\tnone\n")}


@case(r"p\.tsv: none of its spots is in the slice; it has 'q'")
def proportions_of_another_slice(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"proportions": bench.text("p.tsv", "spot\tT\tB\nq\t1\t0\n")}


@case(r"p\.tsv: its first line is a spot, not a header; put 'spot' and the cell types above it")
def proportions_without_header(bench: Bench) -> dict[str, Any]:
    return bench.write() | {"proportions": bench.text("p.tsv", "s0\t1\t0.0\ns1\t1\t0\n")}


@case(r"p\.tsv: none of its cell types is in the reference; it has 'X', the reference 'B'")
def proportions_of_other_types(bench: Bench) -> dict[str, Any]:
    return bench.write_reference() | {"proportions": bench.text("p.tsv", "spot\tX\tY\ns0\t1\t0\n")}


def run(step: str, folder: Path, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run a command as the pipeline does, in this process; give its exit status."""
    work = folder / step
    work.mkdir()
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    threads = str(len(os.sched_getaffinity(0)))  # what numba has begun with: it takes no other number later
    monkeypatch.setattr(sys, "argv", [f"{step}.py", "--sample", "S", "--threads", threads, *options])
    command = importlib.import_module(step)
    with contextlib.chdir(work), pytest.raises(SystemExit) as end:
        command_line.run(step, command.__doc__, command.arguments, command.main)
    assert list(work.iterdir()) == [], "a refused slice leaves nothing"
    return int(end.value.code or 0)


@pytest.mark.parametrize(("make", "message"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_refused_with_one_line(
    make: Case, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a b;$(c) 'd' é"
    folder.mkdir()
    given = make(Bench(folder))
    assert run("check_slice", folder, given, monkeypatch) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("S: check_slice: ") and re.search(message, line), line
    # in the pipeline a reference is read by a step of its own, which must say the same; pairs are known later
    if "reference" in given and not re.search("share 0 genes|none of its cell types is", line):
        del given["data"]
        assert run("prepare_reference", folder, given, monkeypatch) == 2
        assert capsys.readouterr().err == line.replace("check_slice", "prepare_reference") + "\n"


@pytest.mark.parametrize("make", [make for make, _ in CASES], ids=lambda make: getattr(make, "__name__", None))
def test_inspect_says_it_in_one_line_too(make: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = make(Bench(tmp_path))["data"]
    for options in ([], ["--json"]):
        try:
            main(["inspect", str(data), *options])
        except SystemExit as end:
            told = capsys.readouterr()
            assert (end.code, told.out, told.err.count("\n")) == (2, "", 1) and told.err.startswith("spotfuse: ")


def test_the_corpus_is_large() -> None:
    assert len(CASES) > 100 and len({getattr(make, "__name__", "") for make, _ in CASES}) > 80


def test_all_problems_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    given = bench.write() | {"n_domains": "x", "annotation": "labels", "reference": bench.folder / "no.h5ad"}
    with pytest.raises(
        InputError, match=r"n_domains is 'x'.*; .*no\.h5ad: there is no such file or folder; .*did you mean 'label'"
    ):
        check.slice_and_truth(**given)


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("closed", ["file", "folder", "part"])
def test_unreadable(closed: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        folder = Path(name)
        folder.chmod(0o755)
        bench = Bench(folder)
        given, place = bench.write(), bench.path
        if closed == "folder":
            (folder / "in").mkdir()
            place, given = folder / "in", {"data": bench.path.rename(folder / "in/slice.h5ad")}
        elif closed == "part":
            given = {"data": bench.space_ranger()}
            place = given["data"] / "filtered_feature_bc_matrix/matrix.mtx"
        place.chmod(0)
        try:
            with ordinary_user(), pytest.raises(InputError, match=r": may not be read; change its permissions$"):
                check.slice_and_truth(**given)
        finally:
            place.chmod(0o755)


def test_huge_values_and_markup_in_names_are_no_problem(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.slice.X.data[0] = 1e9
    bench.slice.var_names = ["<script>alert(1)</script>", *bench.slice.var_names[1:]]
    bench.slice.obs["label"] = ["</td>", "'; DROP"] * 10
    found = check.slice_and_truth(**bench.write(), annotation="label")
    assert found.X.max() == 1e9 and found.uns["spotfuse"]["notes"] == []


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_are_refused_or_read(seed: int, tmp_path: Path) -> None:
    """Bytes flipped, cut out or doubled anywhere in a file give one line or a slice, and nothing else."""
    rng = np.random.default_rng(seed)
    bench = Bench(tmp_path)
    bench.write()
    folder = bench.space_ranger()
    files = [bench.path, *sorted(path for path in folder.rglob("*") if path.is_file())]
    refused = 0
    for path in files:
        whole = path.read_bytes()
        for _ in range(8):
            at, n = rng.integers(len(whole)), rng.integers(1, 40)
            damage = (rng.bytes(n), b"", whole[at : at + n] * 2)[rng.integers(3)]
            path.write_bytes(whole[:at] + damage + whole[at + n :])
            try:
                found = check.slice_and_truth(path if path == bench.path else folder)
                assert found.n_obs > 0 and np.isfinite(found.X.data).all()
            except InputError as error:
                refused += 1
                assert "\n" not in str(error)
        path.write_bytes(whole)
    assert refused > 5
    assert anndata.read_h5ad(bench.path).n_obs == N_SPOTS
