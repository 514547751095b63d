"""Slices of one group are learned together: what comes out, what is run again, and what a bad slice does to them."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest

SHEET = """sample,data,group,n_domains,annotation
left,starmap_left.h5ad,halves,4,
right,starmap_right.h5ad,halves,,
foreign,cortex.h5ad,halves,,label
broken,broken.h5ad,halves,,
alone,starmap_left.h5ad,,4,
last,starmap_left.h5ad,pair,4,
gone,broken.h5ad,pair,4,
"""
OF_GROUP = {"JOIN_GROUP", "TRAIN", "ASSIGN_DOMAINS", "SPLIT_GROUP"}
FAST = ("--epochs", "20")


@pytest.fixture(scope="module")
def together(pipeline):
    folder = pipeline.folder / "assets/test"
    (folder / "broken.h5ad").write_bytes(b"not HDF5")
    (folder / "groups.csv").write_text(SHEET)
    return pipeline.run("--input", folder / "groups.csv", *FAST, outdir="groups")


def domains(run, sample: str) -> pd.DataFrame:
    return pd.read_csv(run.outdir / sample / "domains.tsv", sep="\t")


def test_a_group_is_learned_once_and_each_slice_gets_its_part(together) -> None:
    done = together.tasks("COMPLETED")
    assert {step for step, tag in done if tag == "halves"} == OF_GROUP
    assert ("TRAIN", "left") not in done and ("TRAIN", "alone") in done
    group = ad.read_h5ad(together.outdir / "cohort/groups/halves.h5ad")
    assert set(group.obs["slice"]) == {"left", "right"} and group.n_vars == 0
    assert {"X_spotfuse", "domain_probabilities", "spatial"} <= set(group.obsm)
    for sample in ("left", "right"):
        adata = ad.read_h5ad(together.outdir / sample / f"{sample}.h5ad")
        mine = group[group.obs["slice"] == sample]
        mine = mine[pd.Index(mine.obs["spot"]).get_indexer(adata.obs_names)]
        assert list(mine.obs["domain"]) == list(adata.obs["domain"])
        assert np.array_equal(mine.obsm["X_spotfuse"], adata.obsm["X_spotfuse"])
        assert adata.uns["spotfuse"]["in_common"] > 0.7 and not adata.uns["spotfuse"]["unlike"]
        assert {path.name for path in (together.outdir / sample).iterdir()} >= {"markers.tsv", "report.html"}
        assert "learned together with the other slices of group halves" in (
            together.outdir / sample / "report.html"
        ).read_text().replace("\n", " ")
    matched = pd.DataFrame(together.table("cohort/matched_domains.tsv")).set_index(["sample", "domain"])["matched"]
    assert dict(matched["left"]) == dict(matched["right"])


def test_mixing_is_told(together) -> None:
    (row,) = together.table("cohort/mixing.tsv")
    assert (row["group"], row["n_slices"], row["n_domains"]) == ("halves", "2", "4")
    assert 1 < float(row["ilisi"]) <= 2 and abs(float(row["ari"])) < 0.1
    assert 0.7 < float(row["in_common"]) <= 1 and row["unlike"] == ""
    assert "How the slices that were learned together mix" in (together.outdir / "cohort/report.html").read_text()


def test_bad_slices_leave_their_group_alone(together) -> None:
    failures = {row["sample"]: (row["step"], row["reason"]) for row in together.table("cohort/failures.tsv")}
    assert {name: step for name, (step, _) in failures.items()} == {
        "foreign": "split_group",
        "broken": "check_slice",
        "gone": "check_slice",
    }
    assert "shares 0 of its 500 genes with left, right of group halves" in failures["foreign"][1]
    assert not (together.outdir / "foreign/domains.tsv").exists()


def test_the_last_of_a_group_is_as_if_alone(together) -> None:
    for table in ("domains.tsv", "markers.tsv"):
        assert (together.outdir / "last" / table).read_bytes() == (together.outdir / "alone" / table).read_bytes()


def test_a_changed_slice_runs_its_group_and_nothing_else(pipeline, together) -> None:
    folder = pipeline.folder / "assets/test"
    changed = ad.read_h5ad(folder / "starmap_right.h5ad")
    changed[5:].copy().write_h5ad(folder / "changed.h5ad")
    (folder / "groups.csv").write_text(SHEET.replace("starmap_right", "changed"))
    run = pipeline.run("--input", folder / "groups.csv", *FAST, "-resume", outdir="groups2")
    done = run.tasks("COMPLETED")
    assert {step for step, tag in done if tag == "halves"} == OF_GROUP
    assert {tag for _, tag in done} == {"halves", "left", "right", "foreign", "-"}
    assert {step for step, tag in done if tag == "left"} == {"COLLECT_SLICE", "REPORT_SLICE"}
    assert {step for step, tag in done if tag == "foreign"} == {"COLLECT_SLICE", "REPORT_SLICE"}  # their times are told
    assert len(domains(run, "right")) == len(domains(together, "right")) - 5


def test_slices_on_each_other_have_neighbours_there(pipeline, together) -> None:
    folder = pipeline.folder / "assets/test"
    below = ad.read_h5ad(folder / "starmap_left.h5ad")
    above = below[::-1].copy()
    above.obsm["spatial"] = above.obsm["spatial"] @ [[0, 1], [-1, 0]] + 5000  # a quarter turn
    above.write_h5ad(folder / "turned.h5ad")
    (folder / "stack.csv").write_text(
        "sample,data,group,n_domains,z\nupper,turned.h5ad,stack,4,-12.5\nleft,starmap_left.h5ad,stack,,0\n"
    )
    given = ("--input", folder / "stack.csv", "--frame", "transport", *FAST, "-resume")
    run = pipeline.run(*given, outdir="stack")
    assert run.exit_status == 0, run.output
    assert ("PREPARE_SLICE", "left") in run.tasks("CACHED")  # what a slice is alone, no group changes
    upper, left = run.table("cohort/groups/stack.alignment.tsv")
    assert (upper["slice"], upper["z"], upper["onto"], left["onto"]) == ("upper", "-12.5", "", "upper")
    assert abs(float(left["rotation"]) - 90) < 3 and left["mirrored"] == "0" and float(left["overlap"]) > 0.9
    group = ad.read_h5ad(run.outdir / "cohort/groups/stack.h5ad")
    place = pd.DataFrame(group.obsm["spatial_aligned"], index=[group.obs["spot"], group.obs["slice"]]).unstack()
    assert set(place[2]["upper"]) == {-12.5} and set(place[2]["left"]) == {0}
    apart = place.xs("upper", axis=1, level=1) - place.xs("left", axis=1, level=1)
    width = np.ptp(below.obsm["spatial"], axis=0).max()
    assert np.median(np.hypot(apart[0], apart[1])) < 0.02 * width
