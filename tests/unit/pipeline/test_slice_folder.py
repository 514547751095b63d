import json
import os
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import io
from spotfuse._core import tables
from spotfuse._core.colours import domain_colours
from spotfuse._core.keys import proportions_of

SPOTS = ["c", "a", "d", "b"]  # the input's order
TYPES = ["eL2/3", "Übergang", "T cells"]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """What the steps leave of a slice of four spots, sorted by name."""
    folder = tmp_path / "parts"
    folder.mkdir()
    names = sorted(SPOTS)
    adata = AnnData(
        sparse.csr_matrix(np.arange(1, 13, dtype=np.float32).reshape(4, 3)),
        obs=pd.DataFrame(
            {"label/known": list("wxyz"), "domain": list("klmn"), "input_row": [SPOTS.index(n) for n in names]},
            index=names,
        ),
        var=pd.DataFrame({"highly_variable": True}, index=["g1", "g2", "g3"]),
    )
    adata.obsm["spatial"] = np.arange(8.0).reshape(4, 2)
    chain = sparse.diags([np.ones(3), np.ones(3)], [1, -1], format="csr")
    adata.obsp["spatial_connectivities"] = adata.obsp["feature_connectivities"] = chain
    adata.uns["spotfuse"] = {
        "kind": "h5ad",
        "platform": "other",
        "n_spots_input": 5,
        "notes": ["a note"],
        "prepare": {},
    }
    io.write(adata, folder / "prepared.h5ad")
    domains = pd.DataFrame({"spot": SPOTS, "domain": [1, 2, 1, 3], "confidence": [1, 0.5, 0.25, 0.75]})
    tables.write(domains, folder / "domains.tsv")
    embedding = np.arange(8.0, dtype=np.float32).reshape(4, 2)
    np.savez(folder / "embedding.npz", spot=np.array(names), embedding=embedding, attention=embedding / 8)
    np.savez(folder / "domains.npz", spot=np.array(names), probabilities=np.eye(4, 3, dtype=np.float32))
    proportions = pd.DataFrame(np.eye(4, 3), columns=TYPES)
    proportions.insert(0, "spot", SPOTS)
    tables.write(proportions, folder / "proportions.tsv")
    for step, seconds in (("train", 12.5), ("deconvolve", 3.25)):
        note = {"sample": "S", "step": step, "failure": None, "seconds": seconds, "peak_rss_mb": 700}
        note["versions"] = {"python": "3.12.1", "torch": "2.9"} if step == "train" else {"scipy": "1.14"}
        (folder / f"S.{step}.status.json").write_text(json.dumps(note))
    tables.write(pd.DataFrame({"spot": [*SPOTS, "dropped"]}), folder / "qc.tsv")
    (tmp_path / "layers.tsv").write_text("spot\tlayer\nc\tL1\na\tL2\nd\tL1\nb\tL2\n")
    return folder


def collect(parts: Path, root: Path, *options: str) -> Path:
    """Run the command beside the parts."""
    (parts.parent / "meta.json").write_text(json.dumps({"sample": "S", "donor/age": "<b>7</b>", "group": None}))
    (parts.parent / "params.json").write_text(json.dumps({"seed": 3, "encoder": "spotfuse", "list": [1], "none": None}))
    command = [sys.executable, root / "bin/collect_slice.py", "--sample", "S", "--parts", "parts"]
    command += ["--meta", "meta.json", "--params", "params.json", *options]
    subprocess.run(command, cwd=parts.parent, check=True, env=os.environ | {"PYTHONPATH": str(root / "bin")})
    return parts.parent / "S"


def test_a_slice_comes_back_whole_in_the_inputs_order(parts: Path, root: Path) -> None:
    folder = collect(parts, root, "--annotation", "layers.tsv")
    adata = anndata.read_h5ad(folder / "S.h5ad")
    assert list(adata.obs_names) == SPOTS
    assert list(adata.obs["domain"]) == ["1", "2", "1", "3"] and list(adata.obs["domain"].cat.categories) == [
        "1",
        "2",
        "3",
    ]
    assert list(adata.obs["input_domain"]) == ["m", "k", "n", "l"]
    assert adata.obs["domain_confidence"].tolist() == [1, 0.5, 0.25, 0.75]
    assert list(adata.obs["label_known"]) == ["y", "w", "z", "x"] and "input_row" not in adata.obs
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(adata.X.toarray()[:, 0], np.array([1, 4, 7, 10])[order])
    np.testing.assert_array_equal(adata.obsm["X_spotfuse"][:, 0], np.array([0, 2, 4, 6])[order])
    np.testing.assert_array_equal(adata.obsm["domain_probabilities"], np.eye(4, 3)[order])
    np.testing.assert_array_equal(adata.obsm["spatial"][:, 0], np.array([0, 2, 4, 6])[order])
    assert (adata.obsm["proportions"].dtypes == np.float32).all()
    assert list(adata.obsm["proportions"]) == ["eL2_3", *TYPES[1:]] and list(proportions_of(adata)) == TYPES
    np.testing.assert_array_equal(adata.obsm["proportions"], np.eye(4, 3))
    graph = pd.DataFrame(adata.obsp["spatial_connectivities"].toarray(), SPOTS, SPOTS)
    assert graph.loc["a", "b"] == graph.loc["c", "d"] == 1 and graph.loc["a", "c"] == 0
    note = adata.uns["spotfuse"]
    assert list(note["cell_types"]) == TYPES
    assert note["sample"] == {"sample": "S", "donor_age": "<b>7</b>"}
    assert note["parameters"] == {"seed": 3, "encoder": "spotfuse", "list": "[1]"} and note["seed"] == 3
    assert (
        note["versions"]["torch"] == "2.9"
        and note["versions"]["scipy"] == "1.14"
        and note["scores"]["domains"] == json.loads((folder / "metrics.json").read_text())["domains"]
    )
    assert list(note["notes"]) == ["a note"]
    figures = json.loads((folder / "metrics.json").read_text())
    assert 0.5 < figures["domains"].pop("nmi") < 1
    assert figures == {
        "n_spots": 4,
        "n_genes": 3,
        "n_domains": 3,
        "domains": {"ari": pytest.approx(4 / 7), "n_scored": 4, "n_annotated": 4},
        "proportions": None,
        "seconds": {"train": 12.5, "deconvolve": 3.25},
        "peak_rss_mb": {"deconvolve": 700, "train": 700},
    }
    for name in ("domains.tsv", "proportions.tsv"):
        assert (folder / name).read_bytes() == (parts / name).read_bytes()
    assert list(pd.read_csv(folder / "status.tsv", sep="\t")["step"]) == ["train", "deconvolve"]


def test_known_domains_are_kept_whether_in_a_table_or_a_column(parts: Path, root: Path) -> None:
    adata = anndata.read_h5ad(parts / "prepared.h5ad")
    adata.obs["annotation"] = list("efgh")
    adata.obs["n_counts"], adata.obs["input_n_counts"] = 7.0, list("pqrs")  # a column of the slice called as ours
    adata.obs["input_domain"] = "other"
    io.write(adata, parts / "prepared.h5ad")
    (parts.parent / "known layers.tsv").write_text("a\tL1\nz\tL2\nd\tNA\nb\tL2\n")  # no header; z is not there
    obs = anndata.read_h5ad(collect(parts, root, "--annotation", "known layers.tsv") / "S.h5ad").obs
    assert obs["annotation"].astype(object).where(obs["annotation"].notna(), "").tolist() == ["", "L1", "", "L2"]
    assert list(obs["input_annotation"]) == ["g", "e", "h", "f"]
    assert list(obs["input_input_domain"]) == ["m", "k", "n", "l"] and set(obs["input_domain"]) == {"other"}
    known = {"label/known": "ywzx", "domain": "mknl", "annotation": "gehf", "n_counts": "rpsq"}
    for column, labels in known.items():
        obs = anndata.read_h5ad(collect(parts, root, "--annotation", column) / "S.h5ad").obs
        assert list(obs["annotation"]) == list(labels)


def test_whatever_parts_exist_are_enough(parts: Path, root: Path) -> None:
    for path in parts.iterdir():
        if path.name != "prepared.h5ad":
            path.unlink()
    folder = collect(parts, root)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("S.h5ad", "metrics.json", "provenance.json", "status.tsv")
    ]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["n_domains"] is None and metrics["domains"] is None and metrics["seconds"] == {}
    assert "domain" not in anndata.read_h5ad(folder / "S.h5ad").obs


def test_scanpy_finds_what_it_looks_for(parts: Path, root: Path) -> None:
    import matplotlib
    import scanpy as sc

    matplotlib.use("Agg")
    few = anndata.read_h5ad(parts / "prepared.h5ad")
    rows = np.repeat(np.arange(4), 20)  # each spot twenty times, with a gene that marks its domain
    domains = np.array([2, 3, 1, 1])[rows]
    counts = np.full((80, 3), 3) + 20 * (domains[:, None] == [1, 2, 3]) + np.arange(80)[:, None] % 4
    names = [f"{spot}{i}" for i, spot in enumerate(few.obs_names[rows])]
    adata = AnnData(sparse.csr_matrix(counts.astype(np.float32)), pd.DataFrame(index=names), few.var)
    adata.obs["input_row"], adata.obsm["spatial"] = np.arange(80), np.stack(np.divmod(np.arange(80), 9), axis=1) * 1.0
    chain = sparse.diags([np.ones(79), np.ones(79)], [1, -1], format="csr")
    adata.obsp["spatial_connectivities"], adata.uns["spotfuse"] = chain, few.uns["spotfuse"]
    for name in ("embedding.npz", "domains.npz", "proportions.tsv"):
        (parts / name).unlink()
    io.write(adata, parts / "prepared.h5ad")
    tables.write(pd.DataFrame({"spot": names, "domain": domains, "confidence": 1.0}), parts / "domains.tsv")
    tables.write(pd.DataFrame({"spot": names}), parts / "qc.tsv")
    known = pd.DataFrame({"spot": names, "known": np.array(["L2", "other", "L10", "L10"])[rows]})
    known.to_csv(parts.parent / "known.tsv", sep="\t", index=False)
    folder = collect(parts, root, "--annotation", "known.tsv")
    adata = anndata.read_h5ad(folder / "S.h5ad")
    library = adata.uns["spatial"]["S"]
    assert library["scalefactors"]["spot_diameter_fullres"] > 0 and (library["images"]["hires"] == 255).all()
    assert list(adata.uns["domain_colors"]) == domain_colours(["1", "2", "3"])
    assert list(adata.obs["annotation"].cat.categories) == ["L2", "L10", "other"]
    assert list(adata.uns["annotation_colors"]) == domain_colours(["2", "1", "3"])
    totals = adata.X.toarray().sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        adata.layers["logcounts"].toarray(), np.log1p(1e4 * adata.X.toarray() / totals), rtol=1e-5
    )
    first, written = sc.get.rank_genes_groups_df(adata, "1"), tables.read_back(folder / "markers.tsv").iloc[0]
    assert list(first["names"]) == [written["gene"]] == ["g1"]
    assert np.isclose(first["logfoldchanges"][0], written["log_fold_change"])
    assert np.isclose(first["scores"][0], written["log_fold_change"] * (2 * written["auc"] - 1))
    assert first["pvals_adj"][0] == written["p_adjusted"] < 1e-9
    sc.pl.rank_genes_groups_dotplot(adata, n_genes=1, dendrogram=False, show=False)
    sc.pl.spatial(adata, color=["domain", "annotation"], show=False)


def test_an_image_stands_under_the_sample_s_name(parts: Path, root: Path) -> None:
    adata = anndata.read_h5ad(parts / "prepared.h5ad")
    image = np.full((4, 4, 3), 200, np.uint8)
    factors = {"tissue_hires_scalef": 0.5, "spot_diameter_fullres": 7.0}
    adata.uns["spatial"] = {"V1_long_id": {"images": {"hires": image}, "scalefactors": factors}}
    io.write(adata, parts / "prepared.h5ad")
    spatial = anndata.read_h5ad(collect(parts, root) / "S.h5ad").uns["spatial"]
    assert list(spatial) == ["S"] and spatial["S"]["scalefactors"]["spot_diameter_fullres"] == 7
    np.testing.assert_array_equal(spatial["S"]["images"]["hires"], image)


def test_domains_have_the_names_that_were_given(parts: Path, root: Path) -> None:
    (parts.parent / "names.tsv").write_text("domain\tname\n1\tL2/3, ENC1\n2\t\n9\tno such\n")
    folder = collect(parts, root, "--domain-names", "names.tsv")
    adata = anndata.read_h5ad(folder / "S.h5ad")
    assert list(adata.obs["domain_name"]) == ["L2/3, ENC1", "2", "L2/3, ENC1", "3"]
    assert json.loads(adata.uns["spotfuse"]["domain_names"]) == {"1": "L2/3, ENC1"}
    assert list(tables.read_spots(folder / "domains.tsv")["name"]) == list(adata.obs["domain_name"])


@pytest.mark.parametrize(
    ("platform", "name", "first"),
    [
        ("visium", "domains_loupe.csv", "Barcode,Spotfuse domain,Spotfuse cell type\nc,domain 1,eL2/3"),
        ("xenium", "domains_xenium_explorer.csv", "cell_id,group\nc,domain 1"),
    ],
)
def test_viewers_of_a_platform_import_domains(parts: Path, root: Path, platform: str, name: str, first: str) -> None:
    adata = anndata.read_h5ad(parts / "prepared.h5ad")
    adata.uns["spotfuse"]["platform"] = platform
    io.write(adata, parts / "prepared.h5ad")
    folder = collect(parts, root)
    assert [path.name for path in folder.glob("*.csv")] == [name]
    assert (folder / name).read_text().startswith(first)


def test_provenance_tells_inputs_parameters_and_versions(parts: Path, root: Path) -> None:
    (parts / "check.json").write_text(json.dumps({"inputs": {"data": {"bytes": 3, "sha256": "ab"}}}))
    told = json.loads((collect(parts, root, "--image", "spotfuse/core:1") / "provenance.json").read_text())
    assert told["image"] == "spotfuse/core:1" and told["inputs"]["data"]["sha256"] == "ab"
    assert told["parameters"]["seed"] == 3 and told["sheet"]["donor/age"] == "<b>7</b>"
    assert told["steps"]["train"]["versions"]["torch"] == "2.9"


def test_what_cannot_be_scored_is_told_and_costs_the_slice_nothing_else(parts: Path, root: Path) -> None:
    (parts.parent / "other.tsv").write_text("spot\tB cell\nc\t1\na\t1\n")
    with pytest.raises(subprocess.CalledProcessError) as error:
        collect(parts, root, "--annotation", "layers.tsv", "--proportions", "other.tsv")
    assert error.value.returncode == 2
    figures = json.loads((parts.parent / "S/metrics.json").read_text())
    assert figures["domains"]["n_scored"] == 4 and figures["proportions"] is None
    assert {"S.h5ad", "domains.tsv", "provenance.json"} <= {path.name for path in (parts.parent / "S").iterdir()}


def test_types_of_cells_stand_in_the_slice(parts: Path, root: Path) -> None:
    """Types called by numbers stay text, and cells like no type have none."""
    types = pd.DataFrame({"cell": SPOTS, "first_type": ["01", "2", "01", ""], "probability": [0.9, 0.4, 0.8, 0]})
    types["second_type"], types["class"] = ["2", "01", "2", ""], ["singlet", "unsure", "doublet", "no type"]
    tables.write(types, parts / "cell_types.tsv")
    folder = collect(parts, root)
    obs = anndata.read_h5ad(folder / "S.h5ad").obs
    assert obs["cell_type"].astype(object).where(obs["cell_type"].notna(), "").tolist() == ["01", "2", "01", ""]
    assert list(obs["cell_type_class"]) == ["singlet", "unsure", "doublet", "no type"]
    assert (folder / "cell_types.tsv").read_bytes() == (parts / "cell_types.tsv").read_bytes()
