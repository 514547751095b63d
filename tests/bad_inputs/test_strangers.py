"""Files from strangers: none may bring another file's content into the results, run code, or make a step wait."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata import AnnData
from scipy import sparse
from spotfuse import io, proportions
from spotfuse._core import guard, tables
from spotfuse._core.errors import InputError
from spotfuse.io import _slices
from spotfuse.pipeline import check

N_SPOTS, N_GENES = 12, 120
SECRET = b"root:x:0:0:root:/root:/bin/bash\n" * 400

Way = Callable[[h5py.Group, str, Path], None]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere"
    path.mkdir()
    with h5py.File(path / "secret.h5", "w") as file:
        for name in ("X", "thing"):
            file[name] = np.full((N_SPOTS, N_GENES), 7, np.uint8)
    (path / "secret").write_bytes(SECRET)
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one slice as h5ad and as zarr of both versions."""
    folder = tmp_path_factory.mktemp("whole")
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(2, (N_SPOTS, N_GENES)), dtype=np.float32)
    adata = AnnData(
        X,
        obs=pd.DataFrame({"cell_type": ["a", "b"] * 6, "score": 0.5}, index=[f"s{i}" for i in range(N_SPOTS)]),
        var=pd.DataFrame(index=[f"G{i}" for i in range(N_GENES)]),
        obsm={"spatial": rng.random((N_SPOTS, 2))},
        layers={"counts": X.copy()},
        uns={"other": {"deep": {"thing": np.arange(4)}}},
    )
    adata.raw = adata
    adata.write_h5ad(folder / "slice.h5ad")
    for version in (2, 3):
        with anndata.settings.override(zarr_write_format=version):
            adata.write_zarr(folder / f"{version}.zarr")
    return folder


@pytest.fixture
def slice_(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole / "slice.h5ad", tmp_path))


def tenx(path: Path, old: bool) -> Path:
    """A 10x matrix in the layout of Cell Ranger 3 and later, or of 2."""
    X = sparse.csr_matrix(np.random.default_rng(0).poisson(2, (N_SPOTS, N_GENES)))
    with h5py.File(path, "w") as file:
        group = file.create_group("GRCh38" if old else "matrix")
        group["barcodes"] = np.array([f"s{i}" for i in range(N_SPOTS)], "S")
        group["data"], group["indices"], group["indptr"] = X.data, X.indices, X.indptr
        group["shape"] = [N_GENES, N_SPOTS]
        genes = np.array([f"G{i}" for i in range(N_GENES)], "S")
        for name in ("genes", "gene_names") if old else ("features/id", "features/name"):
            group[name] = genes
    path.with_name("positions.csv").write_text("spot,x,y\n" + "".join(f"s{i},{i},{i % 3}\n" for i in range(N_SPOTS)))
    return path


def external_storage(group: h5py.Group, name: str, elsewhere: Path) -> None:
    shape = group[name].shape if isinstance(group[name], h5py.Dataset) else (N_SPOTS, N_GENES)
    attributes = dict(group[name].attrs)
    del group[name]
    made = group.create_dataset(name, shape, np.uint8, external=[(str(elsewhere / "secret"), 0, int(np.prod(shape)))])
    made.attrs.update(attributes)


def external_link(group: h5py.Group, name: str, elsewhere: Path) -> None:
    del group[name]
    group[name] = h5py.ExternalLink(elsewhere / "secret.h5", "/X")


def external_link_to_nowhere(group: h5py.Group, name: str, elsewhere: Path) -> None:
    del group[name]
    group[name] = h5py.ExternalLink(elsewhere / "nowhere.h5", "/X")


def soft_link_over_an_external_one(group: h5py.Group, name: str, elsewhere: Path) -> None:
    del group[name]
    group.file["way"] = h5py.ExternalLink(elsewhere / "secret.h5", "/")
    group[name] = h5py.SoftLink("/way/X")


def virtual(group: h5py.Group, name: str, elsewhere: Path) -> None:
    shape = group[name].shape if isinstance(group[name], h5py.Dataset) else (N_SPOTS, N_GENES)
    attributes = dict(group[name].attrs)
    del group[name]
    layout = h5py.VirtualLayout(shape, np.uint8)
    layout[...] = h5py.VirtualSource(elsewhere / "nowhere.h5", "X", shape)
    group.create_virtual_dataset(name, layout, fillvalue=1).attrs.update(attributes)


def virtual_from_the_same_file(group: h5py.Group, name: str, elsewhere: Path) -> None:
    virtual(group, name, Path())


def unknown_filter(group: h5py.Group, name: str, elsewhere: Path) -> None:
    del group[name]
    space, plan = h5py.h5s.create_simple((8,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_chunk((8,))
    plan.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, (1,))
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.NATIVE_UINT8, space, plan)


WAYS: list[Way] = [
    *(external_storage, external_link_to_nowhere, external_link, soft_link_over_an_external_one),
    *(virtual, virtual_from_the_same_file, unknown_filter),
]
PLACES = ["X", "X/data", "obs/_index", "obs/score", "obs/cell_type/codes", "obsm/spatial", "raw/X", "raw/X/indices"]
PLACES += ["layers/counts", "uns/other/deep/thing", "var/_index"]
MESSAGE = r"lies in another file \((external storage|a link to another file|a virtual dataset)\), which is not read"
FILTER = r"is packed by filter 32004 \(.*\), which is not read; write it with gzip"


def spoil(path: Path, place: str, way: Way, elsewhere: Path) -> str:
    with h5py.File(path, "r+") as file:
        way(file[place].parent, place.rpartition("/")[2], elsewhere)
    return FILTER if way is unknown_filter else MESSAGE


@pytest.mark.parametrize(
    ("place", "way"), [("X", way) for way in WAYS] + [(place, way) for place in PLACES[1:] for way in WAYS[::2]]
)
def test_h5ad_whose_data_lie_elsewhere(place: str, way: Way, slice_: Path, secret: Path) -> None:
    message = spoil(slice_, place, way, secret)
    called_h5 = shutil.copy(slice_, slice_.with_name("copy.h5"))
    folder = slice_.with_name("curio")
    folder.mkdir()
    shutil.copy(slice_, folder / "a_anndata.h5ad")
    for read in (
        lambda: io.read_slice(slice_),
        lambda: io.read_slice(called_h5),
        lambda: io.read_slice(folder),
        lambda: _slices.read_obs(slice_),
        lambda: io.read_annotation(slice_, "cell_type"),
        lambda: proportions.read_reference(slice_),
        lambda: check.slice_and_truth(slice_),
        lambda: tables.read_prepared(slice_),
        lambda: tables.read_prepared(slice_, counts=False),
    ):
        with pytest.raises(InputError, match=message) as refusal:
            read()
        assert len(str(refusal.value)) < 300 + len(str(slice_))
    assert not io.find_slices(slice_.parent / "curio")


def test_datasets_to_which_no_link_leads(slice_: Path, secret: Path) -> None:
    """An attribute refers to it, as categories of anndata 0.7 do."""
    with h5py.File(slice_, "r+") as file:
        space, plan = h5py.h5s.create_simple((4,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_external(str(secret / "secret").encode(), 0, 4)
        hidden = h5py.h5d.create(file.id, None, h5py.h5t.NATIVE_UINT8, space, plan)
        file["obs/score"].attrs["categories"] = h5py.h5r.create(hidden, b".", h5py.h5r.OBJECT)
        file.flush()
        content = bytearray(slice_.read_bytes())
        at = h5py.h5o.get_info(hidden).addr
    content[at + 4 : at + 8] = (1).to_bytes(4, "little")  # an object that is counted once is not taken for deleted
    slice_.write_bytes(content)
    with pytest.raises(InputError, match=r"/obs/score, referred to lies in another file \(external storage\)"):
        io.read_slice(slice_)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("old", "name"), [(False, "data"), (False, "barcodes"), (True, "data"), (True, "shape")])
def test_10x_whose_data_lie_elsewhere(old: bool, name: str, way: Way, tmp_path: Path, secret: Path) -> None:
    (tmp_path / "run").mkdir()
    path = tenx(tmp_path / "run/matrix.h5", old)
    assert io.read_slice(path).shape == (N_SPOTS, N_GENES)
    message = spoil(path, f"{'GRCh38' if old else 'matrix'}/{name}", way, secret)
    for read in (lambda: io.read_slice(path), lambda: io.read_counts(path, [])):
        with pytest.raises(InputError, match=message):
            read()


def test_links_within_a_file_are_followed_and_cycles_end(slice_: Path) -> None:
    whole = io.read_slice(slice_)
    with h5py.File(slice_, "r+") as file:
        file.move("X", "matrix")
        file["X"] = h5py.SoftLink("/matrix")
        file["uns/again"] = file["/"]
        file["uns/itself"] = h5py.SoftLink("/uns/itself")
        for filters in ({"compression": "lzf"}, {"shuffle": True, "compression": 4, "fletcher32": True}):
            del file["matrix/data"]
            file["matrix"].create_dataset("data", data=whole.X.data, chunks=(8,), **filters)
            with guard.hdf5(slice_):
                pass
    assert (io.read_slice(slice_).X != whole.X).nnz == 0


def test_categories_as_anndata_0_7_kept_them_are_read(slice_: Path) -> None:
    with h5py.File(slice_, "r+") as file:
        codes, names = file["obs/cell_type/codes"][:], file["obs/cell_type/categories"][:]
        del file["obs/cell_type"]
        file["obs/__categories/cell_type"] = names
        file["obs/cell_type"] = codes
        for name, kind in (("obs/cell_type", "array"), ("obs/__categories/cell_type", "string-array")):
            file[name].attrs.update({"encoding-type": kind, "encoding-version": "0.2.0"})
        file["obs/cell_type"].attrs["categories"] = file["obs/__categories/cell_type"].ref
        file["obs"].attrs["encoding-version"] = "0.1.0"
    assert list(io.read_annotation(slice_, "cell_type")[:2]) == ["a", "b"]


def test_no_step_gives_another_files_bytes(slice_: Path, secret: Path, root: Path) -> None:
    with h5py.File(slice_, "r+") as file:
        for name in ("raw", "layers"):
            del file[name]
        external_storage(file, "X", secret)
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    step = [sys.executable, root / "bin/prepare_slice.py", "--sample", "S", "--data", slice_]
    run = subprocess.run(step, cwd=secret, capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "external storage" in run.stderr
    assert not (secret / "prepared.h5ad").exists()


# zarr


@pytest.fixture
def store(whole: Path, slice_: Path) -> Callable[[int], Path]:
    return lambda version: Path(shutil.copytree(whole / f"{version}.zarr", slice_.with_suffix(".zarr")))


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_of_either_version_is_read(version: int, store: Callable[[int], Path], slice_: Path) -> None:
    path = store(version)
    assert (path / "zarr.json").exists() == (version == 3)
    found, whole = io.read_slice(path), io.read_slice(slice_)
    assert (found.X != whole.X).nnz == 0 and np.array_equal(found.obsm["spatial"], whole.obsm["spatial"])


PICKLES = ["pickle", "numcodecs.pickle", "pick\\u006ce", "msgpack2", "strange", "", 7]


@pytest.mark.parametrize("codec", PICKLES)
@pytest.mark.parametrize("key", ["filters", "compressor"])
@pytest.mark.parametrize("consolidated", [False, True])
def test_zarr_2_with_unknown_codecs(key: str, codec: object, consolidated: bool, store: Callable[[int], Path]) -> None:
    path = store(2)
    metadata = path / "obsm/spatial/.zarray"
    array = json.loads(metadata.read_text())
    array[key] = (
        [{"id": "shuffle", "elementsize": 8}, {"id": "CODEC"}] if key == "filters" else {"id": "CODEC", "name": "gzip"}
    )
    if consolidated:
        metadata, array = (
            path / ".zmetadata",
            {"zarr_consolidated_format": 1, "metadata": {"obsm/spatial/.zarray": array}},
        )
    metadata.write_text(json.dumps(array).replace('"CODEC"', f'"{codec}"' if isinstance(codec, str) else str(codec)))
    with pytest.raises(InputError, match=r"zarr: \S+ asks for the codec '.*', which is not among those known"):
        io.read_slice(path)


HIDDEN = [
    "CODEC",
    {"name": "CODEC"},
    {"name": "CODEC", "id": "gzip"},
    {"name": "numcodecs.zlib", "configuration": {"id": "CODEC"}},
    {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "CODEC"}], "index_codecs": []}},
    {"name": "sharding_indexed", "configuration": {"codecs": ["bytes"], "index_codecs": [{"name": "CODEC"}]}},
    {
        "name": "sharding_indexed",
        "configuration": {"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": ["CODEC"]}}]},
    },
]


@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "pick\\u006ce"])
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("consolidated", [False, True])
def test_zarr_3_with_unknown_codecs(
    codec: str, hidden: object, consolidated: bool, store: Callable[[int], Path]
) -> None:
    path = store(3)
    metadata = path / "obsm/spatial/zarr.json"
    array = json.loads(metadata.read_text())
    array["codecs"].append(hidden)
    if consolidated:
        metadata, inner = path / "zarr.json", array
        array = json.loads(metadata.read_text())
        array["consolidated_metadata"] = {
            "kind": "inline",
            "must_understand": False,
            "metadata": {"obsm/spatial": inner},
        }
    metadata.write_text(json.dumps(array).replace("CODEC", codec))
    with pytest.raises(InputError, match=r"zarr: \S+ asks for the codec '(numcodecs\.)?pickle'"):
        io.read_slice(path)


def test_zarr_3_with_storage_transformers(store: Callable[[int], Path]) -> None:
    metadata = store(3) / "X/data/zarr.json"
    metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"storage_transformers": [{"name": "x"}]}))
    with pytest.raises(InputError, match="asks for storage transformers"):
        io.read_slice(metadata.parents[2])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("linked", ["chunk", "folder", "missing", "metadata"])
def test_zarr_whose_parts_lie_elsewhere(
    version: int, linked: str, store: Callable[[int], Path], slice_: Path, secret: Path
) -> None:
    path = store(version)
    place = path / {"chunk": "X/data/0", "missing": "X/data/0", "folder": "obsm", "metadata": "obs/zarr.json"}[linked]
    if linked in ("chunk", "missing") and version == 3:
        place = path / "X/data/c/0"
    if place.is_dir():
        shutil.move(place, secret / "moved")
    else:
        place.unlink(missing_ok=True)
    place.symlink_to(secret / {"chunk": "secret", "folder": "moved"}.get(linked, "nowhere"))
    with pytest.raises(InputError, match=r"zarr: \S+ is a link that leads out of the store; not read"):
        io.read_slice(path)
    assert io.find_slices(path.parent) == [slice_]


def test_zarr_may_be_reached_by_a_link_and_hold_links(store: Callable[[int], Path]) -> None:
    path = store(2)
    (path / "uns/again").symlink_to(path / "uns/other")
    (link := path.with_name("link.zarr")).symlink_to(path)
    assert io.read_slice(link).shape == (N_SPOTS, N_GENES)


def test_zarr_that_is_damaged_or_points_above_itself(store: Callable[[int], Path]) -> None:
    path = store(2)
    (path / "obs/.zarray").write_text("{")
    with pytest.raises(InputError, match=r"cannot be read as zarr; is it complete\? \(obs/\.zarray is not JSON\)"):
        io.read_slice(path)
    zarr.open_group(path.with_name("x.zarr"), mode="w")
    (path.with_name("x.zarr") / "loop").symlink_to("..")
    with pytest.raises(InputError, match="leads out of the store"):
        io.read_slice(path.with_name("x.zarr"))


def test_images_that_pillow_would_start_a_program_for(tmp_path: Path) -> None:
    path = tenx(tmp_path / "filtered_feature_bc_matrix.h5", old=False)
    rows = "".join(f"s{i},1,{i},{i % 3},{i},{i % 3}\n" for i in range(N_SPOTS))
    (tmp_path / "tissue_positions_list.csv").write_text(rows)
    (tmp_path / "spatial").mkdir()
    (tmp_path / "spatial/scalefactors_json.json").write_text('{"tissue_hires_scalef": 0.1}')
    (tmp_path / "spatial/tissue_hires_image.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    path.with_name("positions.csv").unlink()
    found = io.read_slice(tmp_path)
    assert "spatial" not in found.uns
    assert any(
        "tissue_hires_image.png cannot be read and is left out" in note for note in found.uns["spotfuse"]["notes"]
    )


# what is no file


@pytest.fixture(params=["a pipe", "a socket", "a device"])
def no_file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Callable[[Path], None], str]:
    """Puts something in a path's place that is there, and yet no file."""

    def put(path: Path) -> None:
        path.unlink(missing_ok=True)
        if request.param == "a pipe":
            os.mkfifo(path)
        elif request.param == "a socket":
            with socket.socket(socket.AF_UNIX) as made:
                os.chdir(path.parent)  # names of sockets may not be long
                made.bind(path.name)
        else:
            path.symlink_to("/dev/zero")

    return put, f"{request.param}, not a regular file; save its content to a file and give that"


@pytest.mark.parametrize(
    "name", ["s.h5ad", "s.h5", "s.csv", "s.csv.gz", "s.gem", "s.gem.gz", "s.tsv"], ids=lambda name: name
)
def test_data_that_are_no_file(name: str, no_file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put, message = no_file
    put(tmp_path / name)
    for read in (
        lambda: io.read_slice(tmp_path / name),
        lambda: _slices.read_obs(tmp_path / name),
        lambda: proportions.read_reference(tmp_path / name),
        lambda: io.find_slices(tmp_path) or io.read_slice(tmp_path / name),
    ):
        with pytest.raises(InputError, match=message):
            read()


@pytest.mark.parametrize("which", ["annotation", "proportions", "cell_type_key", "reference"])
def test_what_comes_with_a_slice_is_no_file(which: str, slice_: Path, no_file, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(slice_.parent)
    put, message = no_file
    put(slice_.with_name("truth.tsv"))
    given = {which: slice_.with_name("truth.tsv")}
    if which == "cell_type_key":
        given["reference"] = slice_
    with pytest.raises(InputError, match=message):
        check.slice_and_truth(
            slice_, **{k: str(v) if k in ("annotation", "cell_type_key") else v for k, v in given.items()}
        )


PARTS = {
    "space_ranger": [
        *("filtered_feature_bc_matrix/matrix.mtx", "filtered_feature_bc_matrix/barcodes.tsv"),
        *("filtered_feature_bc_matrix/features.tsv", "spatial/tissue_positions.csv", "spatial/scalefactors_json.json"),
    ],
    "table": ["counts.csv", "coordinates.csv"],
    "xenium": ["cell_feature_matrix.h5", "cells.csv.gz"],
    "cells": ["filtered_feature_cell_matrix.h5", "cell_segmentations.geojson"],
    "merscope": ["cell_by_gene.csv", "cell_metadata.csv"],
    "cosmx": ["a_exprMat_file.csv", "a_metadata_file.csv"],
    "slide_seq": ["MappedDGEForR.csv", "BeadLocationsForR.csv"],
}


@pytest.mark.parametrize(("kind", "part"), [(kind, part) for kind, parts in PARTS.items() for part in parts])
def test_part_of_a_folder_that_is_no_file(
    kind: str, part: str, no_file, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / kind
    for name in (*PARTS[kind], *(["spatial/tissue_hires_image.png"] if kind == "space_ranger" else [])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = {
            "matrix.mtx": "%%MatrixMarket matrix coordinate integer general\n2 2 2\n1 1 1\n2 2 4\n",
            "barcodes.tsv": "s0\ns1\n",
            "features.tsv": "E1\tA\tGene Expression\nE2\tB\tGene Expression\n",
            "tissue_positions.csv": "s0,1,0,0,0,0\ns1,1,1,1,5,6\n",
            "a_exprMat_file.csv": "fov,cell_ID,A,B\n1,1,2,3\n1,2,3,4\n",
        }.get(Path(name).name, ",ACTB,MT-CO1\nAAACCCGGG,1,2\nAAATTTGGG,2,1\n")
        if name.endswith(".h5"):
            tenx(folder / name, old=False)
        else:
            (folder / name).write_text(text)
    (folder / "positions.csv").unlink(missing_ok=True)
    put, message = no_file
    put(folder / part)
    with pytest.raises(InputError, match=message):
        io.read_slice(folder)


def test_folders_where_files_are_expected(slice_: Path) -> None:
    (slice_.with_name("x.h5ad")).mkdir()
    (slice_.with_name("x.csv")).mkdir()
    for read, message in (
        (lambda: io.read_slice(slice_.with_name("x.h5ad")), "x.h5ad: not a kind of folder that is known"),
        (lambda: proportions.read_reference(slice_.with_name("x.h5ad")), "x.h5ad: not a kind of folder that is known"),
        (
            lambda: io.read_annotation(slice_, str(slice_.with_name("x.csv"))),
            "x.csv: a folder where a table is expected",
        ),
    ):
        with pytest.raises(InputError, match=message):
            read()
