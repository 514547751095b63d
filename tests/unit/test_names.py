"""Names of any kind go through all steps, and mean the same at the end."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from commands import run
from scipy import sparse
from spotfuse import metrics
from spotfuse._core import naming, tables

SIDE, N_GENES = 8, 120
ALPHABET = [*"abc019\t\r\n\v\x1c\x85\u2028 '\"#,;|\\/%&<>{}$`-+=.:_()[]*?~^!@", "NA", "é", "中", "🧬", "e5"]
ODD = ["NA", "nan", "None", "null", "1e5", "007", "1.0", "-1", "inf", "TRUE", "#x", '"', "'", "a,b", "a\tb", "x" * 900]
OURS = ["spot", "domain", "confidence", "sample", "name", "share", "reason", "gene", "1", "kind"]  # our own columns


def step(name: str, folder: Path, *options: object) -> None:
    """Do what a command does, in a folder, and note that it went well."""
    run(folder, name, *options, sample=folder.name)
    note = {"sample": folder.name, "step": name, "failure": None, "seconds": 1.0, "peak_rss_mb": 10}
    (folder / f"{folder.name}.{name}.status.json").write_text(json.dumps(note))


def made_up(rng: np.random.Generator, n: int) -> list[str]:
    """Give so many names that stay apart, and are some, once they are cleaned."""
    found: dict[str, str] = {naming.plain([name])[0]: name for name in ODD}
    while len(found) < n:
        name = "".join(rng.choice(ALPHABET, rng.integers(1, 9)))
        found.setdefault(naming.plain([name])[0], name)
        found.pop("", None)
    return list(found.values())[:n]


def tissue(rng: np.random.Generator, spots: list[str], genes: list[str], types: list[str]) -> tuple[AnnData, AnnData]:
    """Give a slice of three stripes, and a reference of whose types each stripe has two at most."""
    profiles = rng.gamma(0.5, 4, (len(types), N_GENES))
    xy = np.array([(i % SIDE, i // SIDE) for i in range(SIDE**2)], float) * 100
    stripe = (xy[:, 0] // 267).astype(int)
    truth = np.zeros((SIDE**2, len(types)))
    for k in range(3):
        truth[stripe == k, k], truth[stripe == k, 3 + k] = 0.75, 0.25
    st = AnnData(
        sparse.csr_matrix(rng.poisson(10 * truth @ profiles).astype(np.float32)),
        obs=pd.DataFrame({"stripe": pd.Categorical(np.array([" one", "two ", "three\t3"])[stripe])}, index=spots),
        var=pd.DataFrame(index=genes),
        obsm={"spatial": xy},
    )
    st.uns["truth"] = truth
    kind = np.repeat(np.arange(len(types)), 20)
    cells = AnnData(
        sparse.csr_matrix(rng.poisson(profiles[kind]).astype(np.float32)),
        obs=pd.DataFrame({"cell_type": np.array(types)[kind]}, index=[f"c{i}" for i in range(len(kind))]),
        var=pd.DataFrame(index=genes),
    )
    return st, cells


@pytest.mark.parametrize("seed", range(2))
def test_odd_names_go_through_all_steps(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    spots, genes = made_up(rng, SIDE**2), made_up(rng, N_GENES)
    types = OURS if seed == 0 else [*made_up(rng, 40)[30:]]
    clean = {name: naming.plain([name])[0] for name in (*spots, *genes, *types)}
    st, cells = tissue(rng, spots, genes, types)
    truth = pd.DataFrame(st.uns.pop("truth"), index=spots, columns=types)
    cells.write_h5ad(tmp_path / "reference.h5ad")
    truth.to_csv(tmp_path / "truth.csv")
    st.obs.to_csv(tmp_path / "annotation.csv")
    slices = []
    for name in ("A", "B"):
        folder = tmp_path / "work" / name
        folder.mkdir(parents=True)
        order = np.arange(SIDE**2) if name == "A" else rng.permutation(SIDE**2)
        st[order].write_h5ad(folder / "slice.h5ad")
        given = ("--data", "slice.h5ad", "--annotation", "stripe" if name == "A" else tmp_path / "annotation.csv")
        reference = ("--reference", tmp_path / "reference.h5ad")
        step("check_slice", folder, *given, *reference, "--proportions", tmp_path / "truth.csv")
        step("prepare_slice", folder, "--data", "slice.h5ad", "--n-components", 10)
        step("train", folder, "--prepared", "prepared.h5ad", "--epochs", 5, "--device", "cpu")
        step("assign_domains", folder, "--prepared", "prepared.h5ad", "--embedding", "embedding.npz", "--n-domains", 3)
        step("prepare_reference", folder, *reference)
        step("deconvolve", folder, "--prepared", "prepared.h5ad", "--reference", "reference.h5ad", "--device", "cpu")
        (folder / "meta.json").write_text(json.dumps({"sample": name, "condition": " x "}))
        (folder / "params.json").write_text("{}")
        collected = ("--parts", ".", "--meta", "meta.json", "--params", "params.json")
        step("collect_slice", folder, *given, *collected, "--proportions", tmp_path / "truth.csv")
        step("report_slice", folder, "--slice", folder / name)
        slices.append(folder / name)

        # every name is there, once, and says the same in every table
        adata = anndata.read_h5ad(folder / name / f"{name}.h5ad")
        expected = [clean[spots[i]] for i in order]
        assert list(adata.obs_names) == expected
        assert set(adata.var_names) <= {clean[gene] for gene in genes}
        proportions = tables.read_spots(folder / name / "proportions.tsv")
        assert list(proportions.index) == expected
        assert sorted(proportions.columns) == sorted(clean[kind] for kind in types)
        np.testing.assert_allclose(adata.obsm["proportions"], proportions, atol=1e-5)
        assert list(adata.uns["spotfuse"]["cell_types"]) == list(proportions.columns)
        known = truth.set_axis([clean[kind] for kind in types], axis=1).iloc[order][proportions.columns]
        assert np.sqrt(np.mean((proportions.to_numpy() - known.to_numpy()) ** 2)) < 0.06
        domains = tables.read_spots(folder / name / "domains.tsv")
        assert list(domains.index) == expected and list(adata.obs["domain"].astype(int)) == list(domains["domain"])
        stripes = st.obs["stripe"].astype(str).set_axis([clean[spot] for spot in spots])
        assert metrics.domain_scores(domains["domain"], stripes, domains.index)["ari"] > 0.8
        scores = json.loads((folder / name / "metrics.json").read_text())
        assert scores["domains"]["ari"] > 0.8 and scores["domains"]["n_scored"] == SIDE**2
        assert scores["proportions"]["rmse"] < 0.1
        for table in ("markers", "spatial_genes", "domain_counts"):
            there = tables.read_back(folder / name / f"{table}.tsv")["gene"]
            assert set(there) <= set(adata.var_names) and len(there), table
        counts = tables.read_back(folder / name / "domain_counts.tsv").set_index("gene")
        sums = pd.Series(np.asarray(adata.X.sum(axis=0)).ravel(), adata.var_names)
        assert (counts.sum(axis=1) == sums[counts.index]).all()
        beside = tables.read_back(folder / name / "neighbourhoods.tsv")
        assert set(beside.loc[beside["kind"] == "cell_type_contact", "name"]) == set(proportions.columns)
        assert list(tables.read_spots(folder / name / "qc.tsv").index) == expected

    cohort = tmp_path / "cohort"
    cohort.mkdir()
    sheet = [{"sample": name, "data": "slice.h5ad", "reference": "r", "annotation": "a"} for name in "AB"]
    (cohort / "sheet.json").write_text(json.dumps(sheet))
    step("compare_slices", cohort, "--sheet", "sheet.json", "--slices", *slices)
    compared = sorted((cohort / "cohort").glob("*.tsv"))
    step("report_cohort", cohort, "--sheet", "sheet.json", "--slices", *slices, "--tables", *compared)
    composition = tables.read_back(cohort / "cohort/composition.tsv")
    for name, folder in zip("AB", slices, strict=True):
        shares = composition[(composition["sample"] == name) & (composition["kind"] == "cell_type")]
        means = tables.read_spots(folder / "proportions.tsv").mean()
        assert dict(zip(shares["name"], shares["share"], strict=True)) == pytest.approx(dict(means), abs=1e-5)
    markers = tables.read_back(cohort / "cohort/markers.tsv")
    assert set(markers["gene"]) <= {clean[gene] for gene in genes} and len(markers)


@pytest.mark.parametrize("method", ["attention_regression", "cell_mapping"])
def test_types_that_nothing_tells_apart_share_evenly(method: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    st, cells = tissue(rng, [f"s{i}" for i in range(SIDE**2)], [f"G{i}" for i in range(N_GENES)], list("ABCDEF"))
    truth = pd.DataFrame(st.uns.pop("truth"), st.obs_names, list("ABCDEF"))
    twins = cells[cells.obs["cell_type"] == "A"].copy()
    twins.obs["cell_type"], twins.obs_names = "A2", [f"t{i}" for i in range(twins.n_obs)]
    same = cells[[0] * 60].copy()
    same.obs["cell_type"] = ["A", "B", "C"] * 20
    st.write_h5ad(tmp_path / "slice.h5ad")
    step("prepare_slice", tmp_path, "--data", "slice.h5ad", "--n-components", 10)
    found = {}
    for name, each in (("twins", anndata.concat([cells, twins])), ("same", same)):
        each.write_h5ad(tmp_path / f"{name}.h5ad")
        step("prepare_reference", tmp_path, "--reference", f"{name}.h5ad")
        given = ("--prepared", "prepared.h5ad", "--reference", "reference.h5ad", "--method", method, "--device", "cpu")
        step("deconvolve", tmp_path, *given)
        found[name] = tables.read_spots(tmp_path / "proportions.tsv")
        notes = json.loads((tmp_path / "deconvolution.json").read_text())["notes"]
        assert method == "cell_mapping" or any("share evenly: A, " in note for note in notes)
    assert list(found["twins"].columns) == ["A", "A2", *"BCDEF"]
    np.testing.assert_allclose(found["twins"]["A"], found["twins"]["A2"], atol=1e-6)
    whole = found["twins"].assign(A=found["twins"]["A"] + found["twins"]["A2"]).drop(columns="A2")
    assert np.sqrt(np.mean((whole - truth) ** 2, axis=None)) < (0.06 if method == "attention_regression" else 0.2)
    np.testing.assert_allclose(found["same"], 1 / 3, atol=1e-4)
