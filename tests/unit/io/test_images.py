"""Whatever stands in uns['spatial'], no slice is lost by it, and an image that can be shown is shown."""

import base64
import io as bytes_io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from PIL import Image
from scipy import sparse
from spotfuse import io
from spotfuse._core.errors import InputError
from spotfuse.io._images import pixels_of

SIDE = 30
RGB = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
FACTORS = {"tissue_hires_scalef": 0.1, "spot_diameter_fullres": 20.0}


def library(image: Any = RGB, **changed: Any) -> dict[str, Any]:
    return {"slice": {"images": {"hires": image}, "scalefactors": FACTORS} | changed}


def adata(stored: Any) -> AnnData:
    row, column = (axis.ravel() for axis in np.mgrid[:8, :8])
    X = sparse.csr_matrix(np.random.default_rng(1).poisson(2, (64, 40)), dtype=np.float32)
    found = AnnData(
        X, obs=pd.DataFrame(index=[f"s{i}" for i in range(64)]), var=pd.DataFrame(index=[f"G{i}" for i in range(40)])
    )
    found.obsm["spatial"] = np.column_stack([column, row]) * 30.0 + 20
    found.uns["spatial"] = stored
    return found


with_nan = (RGB / 255).astype(np.float32)
with_nan[3, 4] = np.nan
alpha = np.dstack([RGB, np.full((SIDE, SIDE), 255, np.uint8)])
clear = np.dstack([RGB, np.zeros((SIDE, SIDE), np.uint8)])

KEPT = {  # what is shown
    "as_scanpy_keeps_it": (library(), RGB),
    "from_0_to_1": (library((RGB / 255).astype(np.float32)), RGB),
    "from_0_to_255": (library(RGB.astype(np.float64)), RGB),
    "int64": (library(RGB.astype(np.int64)), RGB),
    "uint16": (library(RGB.astype(np.uint16) * 257), np.rint(RGB * 255.0 / RGB.max()).astype(np.uint8)),
    "grey": (library(RGB[:, :, 0]), np.repeat(RGB[:, :, :1], 3, axis=2)),
    "grey_of_one_channel": (library(RGB[:, :, :1]), np.repeat(RGB[:, :, :1], 3, axis=2)),
    "opaque": (library(alpha), RGB),
    "transparent": (library(clear), np.full_like(RGB, 255)),
    "colours_first": (library(np.moveaxis(RGB, 2, 0)), RGB),
    "one_pixel_nan": (library(with_nan), np.where(np.isnan(with_nan), 255, RGB)),
    "is_single_beside": ({"is_single": np.True_} | library(), RGB),
    "without_a_library": (library()["slice"], RGB),
    "another_name": (
        library(images={"downscaled": RGB}, scalefactors={"tissue_downscaled_scalef": 0.1}),
        RGB,
    ),
    "a_path_beside": (library(images={"hires": RGB, "lowres": "/etc/passwd"}), RGB),
    "factors_as_text": (library(scalefactors={"tissue_hires_scalef": "0.1"}), RGB),
    "factors_in_arrays": (library(scalefactors={"tissue_hires_scalef": np.array([0.1])}), RGB),
    "diameter_of_none": (library(scalefactors={"tissue_hires_scalef": 0.1, "spot_diameter_fullres": "wide"}), RGB),
    "odd_metadata": (library(metadata={"source": "a", "more": {"b": np.arange(3)}}), RGB),
    "a_library_that_is_none": (library() | {"other": 7}, RGB),
}
LOST = {
    "no_dictionary": ([1, 2, 3], r"holds ndarray and no libraries; the image is left out"),
    "text": ("tissue.png", r"holds str and no libraries"),
    "table": (pd.DataFrame({"a": [1.0]}), r"holds DataFrame and no libraries"),
    "library_of_text": ({"slice": "tissue.png"}, r"uns\['spatial'\]\['slice'\] is no library of images"),
    "path": (library("/data/tissue.png"), r"hires \(not the values of an image\)"),
    "bytes": (library(np.frombuffer(b"\x89PNG", "S1")), r"hires \(not the values of an image\)"),
    "names": (library(np.array([["a", "b"]])), r"hires \(not the values of an image\)"),
    "two_channels": (library(RGB[:, :, :2]), r"hires \(not the values of an image\)"),
    "five_channels": (library(np.ones((9, 9, 5))), r"hires \(not the values of an image\)"),
    "four_axes": (library(RGB[None]), r"hires \(not the values of an image\)"),
    "empty": (library(np.zeros((0, 5, 3))), r"hires \(not the values of an image\)"),
    "nan": (library(np.full((9, 9, 3), np.nan)), r"hires \(not the values of an image\)"),
    "complex": (library(RGB * 1j), r"hires \(not the values of an image\)"),
    "nested": (library({"data": RGB}), r"hires \(not the values of an image\)"),
    "no_factors": ({"slice": {"images": {"hires": RGB}}}, r"hires \(without its scale factor\)"),
    "factors_of_another_size": (library(scalefactors={"tissue_lowres_scalef": 1.0}), r"hires \(without its scale"),
    "factors_in_a_list": (library(scalefactors=[1.0, 2.0]), r"without its scale factor"),
    **{
        f"factor_{name}": (
            library(scalefactors={"tissue_hires_scalef": value}),
            "not positive numbers left out: tissue",
        )
        for name, value in {
            **{"zero": 0.0, "negative": -0.1, "nan": np.nan, "infinite": np.inf, "words": "wide"},
            **{"nested": {"value": 0.1}, "two": np.array([0.1, 0.2])},
        }.items()
    },
    "images_in_a_list": (library(images=np.ones(3)), None),
    "no_images": ({"slice": {"scalefactors": FACTORS}}, None),
    "nothing": ({}, None),
    "an_empty_library": ({"slice": {}}, None),
    "only_is_single": ({"is_single": np.False_}, None),
}


@pytest.mark.parametrize("name", KEPT)
def test_kept(name: str, tmp_path: Path) -> None:
    stored, expected = KEPT[name]
    adata(stored).write_h5ad(tmp_path / "s.h5ad")
    found = io.read_slice(tmp_path / "s.h5ad")
    [entry] = found.uns["spatial"].values()
    assert np.array_equal(entry["images"]["hires"], expected) and entry["images"]["hires"].dtype == np.uint8
    assert entry["scalefactors"]["tissue_hires_scalef"] == 0.1
    assert np.array_equal(found.obsm["spatial"], adata(None).obsm["spatial"])


@pytest.mark.parametrize("name", LOST)
def test_left_out_and_told(name: str, tmp_path: Path) -> None:
    stored, note = LOST[name]
    adata(stored).write_h5ad(tmp_path / "s.h5ad")
    found = io.read_slice(tmp_path / "s.h5ad")
    assert found.shape == (64, 40)
    assert not any(entry["images"] for entry in found.uns.get("spatial", {}).values())
    notes = found.uns["spotfuse"]["notes"]
    assert all(len(line) <= 300 for line in notes)
    assert (note is None) or any(re.search(note, line) for line in notes), notes
    found.write_h5ad(tmp_path / "again.h5ad")


def test_images_that_cannot_be_read_or_held(tmp_path: Path) -> None:
    path = tmp_path / "s.h5ad"
    for key, change in (
        ("encoding", lambda entry: entry["hires"].attrs.update({"encoding-type": "of tomorrow"})),
        ("huge", lambda entry: entry.create_dataset("fullres", (10**7, 10**7, 3), np.uint8, chunks=(99, 99, 3))),
    ):
        adata(library()).write_h5ad(path)
        with h5py.File(path, "r+") as file:
            change(file["uns/spatial/slice/images"])
        found = io.read_slice(path)
        assert "spatial" not in found.uns and found.shape == (64, 40), key
        assert any(line.startswith("uns['spatial'] is left out") for line in found.uns["spotfuse"]["notes"])


def test_pixels_of_integers_without_end() -> None:
    assert pixels_of(np.array([[0, 2**64 - 1]], np.uint64))[0, :, 0].tolist() == [0, 255]
    assert pixels_of(np.array([[0, 1e300]]))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("attributes", ["cells", 7, [1, 2], {"region": {"a": 1}}, {"region": np.nan}, {}])
def test_odd_attributes_of_spatialdata(attributes: object, tmp_path: Path) -> None:
    slice_ = adata({})
    slice_.uns["spatialdata_attrs"] = attributes
    xy = slice_.obsm.pop("spatial")
    slice_.obs["x"], slice_.obs["y"] = xy.T
    slice_.write_h5ad(tmp_path / "s.h5ad")
    assert np.array_equal(io.read_slice(tmp_path / "s.h5ad").obsm["spatial"], xy)


def test_elements_of_spatialdata_lie_in_the_store(tmp_path: Path) -> None:
    for name in ("../elsewhere", str(tmp_path / "elsewhere"), "..", ""):
        slice_ = adata({})
        del slice_.obsm["spatial"]
        slice_.obs["region"], slice_.obs["cell"] = name, range(64)
        slice_.uns["spatialdata_attrs"] = {"region": name, "region_key": "region", "instance_key": "cell"}
        slice_.write_h5ad(tmp_path / "s.h5ad")
        with pytest.raises(InputError, match="no name of an element"):
            io.read_slice(tmp_path / "s.h5ad")


@pytest.mark.parametrize(
    "name", ["grey", "is_single_beside", "another_name", "factors_as_text", "two_channels", "no_images"]
)
def test_through_the_steps_into_the_report(name: str, tmp_path: Path, root: Path) -> None:
    stored, expected = (KEPT | LOST)[name]
    adata(stored).write_h5ad(tmp_path / "s.h5ad")
    (tmp_path / "meta.json").write_text('{"sample": "S"}')
    for step, *options in (
        ("prepare_slice", "--data", "s.h5ad"),
        ("collect_slice", "--parts", ".", "--meta", "meta.json", "--params", "meta.json"),
        ("report_slice", "--slice", "S"),
    ):
        subprocess.run([sys.executable, root / f"bin/{step}.py", "--sample", "S", *options], cwd=tmp_path, check=True)
    shown = re.search(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", (tmp_path / "report.html").read_text())
    assert (shown is not None) == (name in KEPT)
    if shown:
        picture = np.asarray(Image.open(bytes_io.BytesIO(base64.b64decode(shown[1]))), float)
        assert picture.shape == (SIDE, SIDE, 3) and np.corrcoef(picture.ravel(), expected.ravel())[0, 1] > 0.5
