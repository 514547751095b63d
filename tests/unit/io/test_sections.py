"""Several sections in one file: never one tissue, and each readable by itself."""

import csv
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from scipy.spatial import cKDTree
from spotfuse import io, preparation
from spotfuse.__main__ import main
from spotfuse._core.errors import InputError
from spotfuse.io import _sections, _slices


def turned(place: np.ndarray, degrees: float) -> np.ndarray:
    angle, middle = np.deg2rad(degrees), place.mean(axis=0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (place - middle) @ turn + middle


def right(place: np.ndarray, distance: float) -> np.ndarray:
    return place + np.array([distance, 0])


def hexagons(side: int) -> tuple[np.ndarray, pd.DataFrame]:
    row, column = np.divmod(np.arange(side * side), side)
    column = 2 * column + row % 2
    return np.column_stack([50.0 * column, 86.6 * row]), pd.DataFrame({"array_row": row, "array_col": column})


def cells(n: int, seed: int, apart: float = 12.0, width: float = 1000.0) -> np.ndarray:
    """Cells at random places, none within another."""
    places = np.random.default_rng(seed).random((4 * n, 2)) * width
    free = np.ones(len(places), dtype=bool)
    near = cKDTree(places).query_ball_point(places, apart)
    for place, others in enumerate(near):
        if free[place]:
            free[[other for other in others if other > place]] = False
    return places[free][:n]


def joined(*parts: np.ndarray, column: str = "library_id", array: pd.DataFrame | None = None) -> AnnData:
    """Sections one after the other, as `anndata.concat` puts them, with columns that are none of sections."""
    xy, rng = np.concatenate(parts), np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            column: np.repeat([f"s{i}" for i in range(1, len(parts) + 1)], [len(part) for part in parts]),
            "cell_type": rng.choice(list("abcdef"), len(xy)),
            "domain": pd.cut(xy[:, 0], 4).astype(str),
            "fold": rng.integers(0, 2, len(xy)),
        },
        index=[f"spot{i}" for i in range(len(xy))],
    )
    if array is not None:
        obs[list(array)] = np.tile(array.to_numpy(), (len(parts), 1))
    adata = AnnData(sparse.csr_matrix(rng.poisson(2, (len(xy), 30)).astype(np.float32)), obs=obs)
    adata.obsm["spatial"] = xy
    return adata


@pytest.fixture
def two(root: Path, tmp_path: Path) -> Callable[..., Path]:
    """Two cuts of cortex in one file, the second one turned by some degrees, or shifted."""

    def write(degrees: float = 0, shift: float = 0, index_unique: str | None = "-") -> Path:
        one = anndata.read_h5ad(root / "assets/test/cortex.h5ad")
        other = one[10:].copy()
        other.obsm["spatial"] = right(turned(other.obsm["spatial"], degrees), shift)
        both = anndata.concat({"s1": one, "s2": other}, label="library_id", index_unique=index_unique)
        both.write_h5ad(tmp_path / "both.h5ad")
        return tmp_path / "both.h5ad"

    return write


@pytest.mark.parametrize("degrees", [0, 33, 90])
@pytest.mark.parametrize("index_unique", ["-", None])
def test_two_sections_are_refused_and_each_is_read_by_itself(
    two: Callable[..., Path], root: Path, degrees: float, index_unique: str | None
) -> None:
    path = two(degrees, index_unique=index_unique)
    with pytest.raises(InputError) as error:
        io.read_slice(path)
    told = str(error.value).removeprefix(str(path))
    assert "library_id (s1, s2)" in told and "library_id:s1" in told and "make-sheet" in told and len(told) < 300
    alone = io.read_slice(root / "assets/test/cortex.h5ad")
    for section, expected in (("library_id:s1", alone), ("library_id:s2", alone[10:])):
        adata = io.read_slice(path, section=section)
        assert adata.n_obs == expected.n_obs and adata.obs["library_id"].nunique() == 1
        assert abs(adata.X - expected.X).nnz == 0
        graph = preparation.spatial_graph(adata)
        assert abs(graph - preparation.spatial_graph(expected.copy())).nnz == 0
        known = io.read_annotation(path, "label", section=section)
        assert known.tolist() == expected.obs["label"].tolist() and known.index.tolist() == adata.obs_names.tolist()


def test_sections_side_by_side_are_read_and_told(two: Callable[..., Path]) -> None:
    adata = io.read_slice(two(shift=20_000))
    source, target = preparation.spatial_graph(adata).nonzero()
    assert (adata.obs["library_id"].to_numpy()[source] == adata.obs["library_id"].to_numpy()[target]).all()
    told = [note for note in adata.uns["spotfuse"]["notes"] if "side by side" in note]
    assert len(told) == 1 and "library_id (s1, s2)" in told[0]


def test_unknown_sections_are_refused_with_what_there_is(two: Callable[..., Path]) -> None:
    path = two()
    for section, message in {
        "library_id:s3": "no spot has 's3' in column 'library_id'; there are s1, s2",
        "library:s1": "no column 'library' in obs for the section; did you mean 'library_id'?",
        "s1": "section 's1' must be column:value; columns are label, in_tissue, array_row, array_col, sample_id, ",
    }.items():
        for read in (io.read_slice, _slices.read_obs):
            with pytest.raises(InputError, match=message.replace("?", r"\?")):
                read(path, section=section)


def test_a_section_is_named_by_column_and_value_whatever_they_hold(tmp_path: Path) -> None:
    adata = joined(*[hexagons(8)[0]] * 2)
    adata.obs["a:b"] = np.where(adata.obs.pop("library_id") == "s1", "1:x", "2:x")
    adata.obs["Bregma"] = np.where(adata.obs["a:b"] == "1:x", -0.29, 1.0)
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for path in (tmp_path / "a.h5ad", tmp_path / "a.zarr"):
        for section, first in {"a:b:1:x": 0, "Bregma:-0.29": 0, "Bregma:1": 64, "Bregma:1.0": 64}.items():
            assert io.read_slice(path, section=section).obs_names[0] == f"spot{first}"


def test_a_section_has_its_own_image(tmp_path: Path) -> None:
    adata = joined(*[hexagons(8)[0]] * 2)
    adata.obs["sample"] = adata.obs.pop("library_id").map({"s1": "a", "s2": "b"})
    adata.obs["library"] = adata.obs["sample"].map({"a": "V1", "b": "V2"})
    for n, library in enumerate(("V1", "V2")):
        adata.uns.setdefault("spatial", {})[library] = {
            "images": {"hires": np.full((90, 90, 3), n, np.uint8)},
            "scalefactors": {"tissue_hires_scalef": 0.1},
        }
    adata.write_h5ad(tmp_path / "a.h5ad")
    for section, library, value in (("library:V2", "V2", 1), ("sample:a", "V1", 0)):
        images = io.read_slice(tmp_path / "a.h5ad", section=section).uns["spatial"]
        assert list(images) == [library] and (images[library]["images"]["hires"] == value).all()


HEXAGONS, ARRAY = hexagons(20)
ON_EACH_OTHER = {
    "same places": [HEXAGONS, HEXAGONS],
    "jittered": [HEXAGONS, HEXAGONS + np.random.default_rng(0).normal(0, 1, HEXAGONS.shape)],
    "turned": [HEXAGONS, turned(HEXAGONS, 33)],
    "twelve": [HEXAGONS] * 12,
    "cells": [cells(800, 1), cells(800, 2)],
    "three of cells": [cells(500, 1), cells(500, 2), cells(500, 3)],
    "half of it": [cells(800, 1), right(cells(800, 2), 400)],
    "two of four": [cells(500, 1), cells(500, 2), right(cells(500, 3), 3000), right(cells(500, 4), 6000)],
}


@pytest.mark.parametrize("name", ON_EACH_OTHER)
@pytest.mark.parametrize("column", ["library_id", "Bregma", "what"])
def test_sections_of_any_kind_are_told_apart_by_their_column_alone(name: str, column: str) -> None:
    adata = joined(*ON_EACH_OTHER[name], column=column)
    assert _sections.told_apart(adata) == [column]


@pytest.mark.parametrize("name", ["jittered", "turned", "cells"])
@pytest.mark.parametrize("column", ["name_ending", "name_beginning", "z"])
def test_sections_are_told_apart_by_names_and_by_a_third_coordinate(name: str, column: str, tmp_path: Path) -> None:
    adata = joined(*ON_EACH_OTHER[name], column="section")
    section = adata.obs.pop("section").reset_index(drop=True)
    if column == "z":
        section = section.str[1:].astype(float) * 10
        adata.obsm["spatial"] = np.column_stack([adata.obsm["spatial"], section])
        section = section.astype(int).astype(str)
    else:
        form = "ACGT{0}-1-{1}" if column == "name_ending" else "{1}_ACGT{0}-1"
        adata.obs_names = [form.format(i, value) for i, value in enumerate(section)]
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=f"several sections lie on each other; column {column} "):
        io.read_slice(tmp_path / "a.h5ad")
    named = io.find_sections(tmp_path / "a.h5ad")
    assert sorted(named) == sorted(f"{column}:{value}" for value in section.unique())
    for value in section.unique():
        each = f"{column}:{value}"
        found = io.read_slice(tmp_path / "a.h5ad", section=each)
        own = (section == value).to_numpy()
        assert list(found.obs_names) == list(adata.obs_names[own])
        known = io.read_annotation(tmp_path / "a.h5ad", "cell_type", section=each)
        assert list(known) == list(adata.obs.loc[own, "cell_type"])


def test_array_places_that_come_again_are_refused_without_a_column(tmp_path: Path) -> None:
    for shift, array in ((0, ARRAY), (27, ARRAY), (0, None)):
        adata = joined(HEXAGONS, HEXAGONS + shift, array=array)
        del adata.obs["library_id"]
        adata.write_h5ad(tmp_path / "a.h5ad")
        with pytest.raises(InputError, match="no column of obs tells them apart"):
            io.read_slice(tmp_path / "a.h5ad")


def fields(n: int, n_cells: int, overlap: float) -> list[np.ndarray]:
    """Fields of view n × n, each 1000 wide; a cell where they overlap is in each of them, hardly moved."""
    rng = np.random.default_rng(0)
    tissue = cells(n * n * n_cells, 0, 400 / np.sqrt(n_cells), 1000.0 * n)
    low = 1000.0 * np.stack(np.divmod(np.arange(n * n), n), axis=1) - 500 * overlap
    inside = [tissue[((tissue >= edge) & (tissue < edge + 1000 * (1 + overlap))).all(axis=1)] for edge in low]
    return [part + rng.normal(0, 1, part.shape) for part in inside]


BEADS = np.random.default_rng(0).random((1500, 2)) * 1000
HONEST = {
    "hexagons": [HEXAGONS],
    "squares": [np.stack(np.divmod(np.arange(400), 20), axis=1) * 100.0],
    "a jittered array": [HEXAGONS + np.random.default_rng(0).normal(0, 10, HEXAGONS.shape)],
    "beads": [BEADS],
    "paired beads": [np.concatenate([cells(500, 0), cells(500, 0) + np.random.default_rng(0).normal(0, 1, (500, 2))])],
    "cells": [cells(1000, 0)],
    "cells at the places of spots": [HEXAGONS[np.random.default_rng(0).integers(0, 400, 2000)]],
    "side by side": [HEXAGONS, right(HEXAGONS, 2100)],
    "fields of view": fields(4, 60, 0),
    "fields of view that overlap": fields(4, 60, 0.1),
}


@pytest.mark.parametrize("name", HONEST)
@pytest.mark.parametrize("column", ["library_id", "fov", "what"])
def test_what_is_one_slice_is_not_refused(name: str, column: str, tmp_path: Path) -> None:
    if name.startswith("fields") and column == "library_id":
        return  # fields are no libraries
    adata = joined(*HONEST[name], column=column)
    assert _sections.told_apart(adata) == []
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert io.read_slice(tmp_path / "a.h5ad").n_obs == adata.n_obs


def test_no_real_slice_is_refused(data: Path, demo: Path) -> None:
    paths = [*demo.glob("*.h5ad"), *data.rglob("*.h5ad")]
    assert len(paths) > 40
    for path in paths:
        adata = anndata.read_h5ad(path, backed="r")
        local = "x_in_fov" in adata.obs  # cells of a reference, of which each field begins at 0
        if "spatial" in adata.obsm and not local:
            assert _sections.told_apart(adata) == [], path


def test_make_sheet_has_a_row_for_each_section(two: Callable[..., Path], demo: Path, tmp_path: Path) -> None:
    path = two()
    (tmp_path / "one.h5ad").symlink_to(demo / "her2st_H1.h5ad")
    main(["make-sheet", str(tmp_path), "--output", str(tmp_path / "sheet.csv")])
    with (tmp_path / "sheet.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["sample"], row["data"], row["section"]) for row in rows] == [
        ("both_s1", "both.h5ad", "library_id:s1"),
        ("both_s2", "both.h5ad", "library_id:s2"),
        ("one", "one.h5ad", ""),
    ]
    assert [io.read_slice(path, section=row["section"]).n_obs for row in rows[:2]] == [710, 700]


def cosmx(n_fields: int = 4) -> tuple[AnnData, np.ndarray]:
    """A slide as squidpy reads it: coordinates within each field of view, those of the slide beside them."""
    local = [cells(120, seed) for seed in range(n_fields)]
    adata = joined(*local, column="fov")
    at = np.repeat(np.arange(n_fields), 120)
    slide = np.concatenate(local) + 1000.0 * np.stack(np.divmod(at, 2), axis=1)
    adata.obs["CenterX_local_px"], adata.obs["CenterY_local_px"] = adata.obsm["spatial"].T
    for name in adata.obs["fov"].unique():
        adata.uns.setdefault("spatial", {})[name] = {
            "images": {"hires": np.zeros((1000, 1000, 3), np.uint8)},
            "scalefactors": {"tissue_hires_scalef": 1.0},
        }
    return adata, slide


def between_fields(adata: AnnData) -> float:
    source, target = preparation.spatial_graph(adata).nonzero()
    field = adata.obs["fov"].to_numpy()
    return float((field[source] != field[target]).mean())


def test_coordinates_of_the_slide_win_over_those_of_fields_of_view(tmp_path: Path) -> None:
    for key in ("spatial_fov", "obs"):
        adata, slide = cosmx()
        if key == "obs":
            adata.obs["CenterX_global_px"], adata.obs["CenterY_global_px"] = slide.T
        else:
            adata.obsm[key] = slide
        adata.write_h5ad(tmp_path / "a.h5ad")
        assert between_fields(adata) > 0.7
        found = io.read_slice(tmp_path / "a.h5ad")
        assert (found.obsm["spatial"] == slide).all() and between_fields(found) < 0.15
        told = [note for note in found.uns["spotfuse"]["notes"] if "coordinates taken from" in note]
        assert len(told) == 1 and ("spatial_fov" if key != "obs" else "CenterX_global_px") in told[0]
        assert "spatial" not in found.uns


def test_coordinates_of_fields_of_view_alone_are_refused(tmp_path: Path) -> None:
    adata, _ = cosmx()
    adata.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(InputError, match=r"fields of view lie on each other, by column fov .*section fov:s1"):
        io.read_slice(tmp_path / "a.h5ad")
    assert io.read_slice(tmp_path / "a.h5ad", section="fov:s2").n_obs == 120


@pytest.mark.parametrize("column", ["treatment", "library_id"])
def test_arrays_that_lie_on_each_other_are_told_apart_by_any_column(column: str) -> None:
    """By their own evenness, where places do not come again and no pair is far nearer than the next."""
    place = hexagons(20)[0]
    adata = joined(place, place + np.array([30, 25]), column=column)
    assert _sections.lying_on_each_other(adata.obs, adata.obsm["spatial"]) == [column]


@pytest.mark.parametrize("place", [hexagons(20)[0], cells(600, 1)], ids=["array", "cells"])
@pytest.mark.parametrize("column", ["donor", "batch", "orig.ident"])
def test_labels_of_the_spots_of_one_slice_are_no_sections(place: np.ndarray, column: str) -> None:
    adata = joined(place)
    adata.obs = pd.DataFrame({column: np.random.default_rng(0).choice(["a", "b"], len(place))}, index=adata.obs_names)
    assert _sections.lying_on_each_other(adata.obs, adata.obsm["spatial"]) == []


def test_barcodes_that_come_again_are_places_that_do(tmp_path: Path) -> None:
    place = hexagons(12)[0]
    adata = joined(place, place + np.array([30, 25]))
    barcodes = ["".join("ACGT"[i // 4**k % 4] for k in range(16)) for i in range(len(place))]
    adata.obs = pd.DataFrame(index=[f"{name}-{i}" for i in (1, 2) for name in barcodes])
    adata.write_h5ad(tmp_path / "both.h5ad")
    with pytest.raises(InputError, match=r"several sections lie on each other; column name_ending \(1, 2\) tells them"):
        io.read_slice(tmp_path / "both.h5ad")


@pytest.mark.parametrize("on_slide", [True, False])
def test_cosmx_files_take_the_columns_of_the_slide(on_slide: bool, tmp_path: Path) -> None:
    adata, slide = cosmx()
    names = pd.DataFrame({"fov": np.repeat([1, 2, 3, 4], 120), "cell_ID": np.tile(np.arange(1, 121), 4)})
    counts = pd.DataFrame(adata.X.toarray().astype(int), columns=[f"GENE{i}" for i in range(30)])
    pd.concat([names, counts], axis=1).to_csv(tmp_path / "s_exprMat_file.csv", index=False)
    table = names.assign(CenterX_local_px=adata.obsm["spatial"][:, 0], CenterY_local_px=adata.obsm["spatial"][:, 1])
    if on_slide:
        table = table.assign(x_slide_mm=slide[:, 0], y_slide_mm=slide[:, 1])
    table.to_csv(tmp_path / "s_metadata_file.csv", index=False)
    if on_slide:
        np.testing.assert_allclose(io.read_slice(tmp_path).obsm["spatial"], slide)
    else:
        with pytest.raises(InputError, match="fields of view lie on each other, by column fov"):
            io.read_slice(tmp_path)
        assert io.read_slice(tmp_path, section="fov:3").n_obs == 120
