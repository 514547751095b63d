"""From counts to a slice's report and the cohort's, for every number of domains, given or found."""

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from commands import run
from scipy import sparse
from spotfuse._core import tables


def reported(adata: AnnData, n_domains: int | str, folder: Path, sample: str = "S") -> str:
    """Take a slice through all its steps; give what its report says of the number of domains."""
    adata.write_h5ad(folder / "slice.h5ad")
    run(folder, "prepare_slice", "--data", "slice.h5ad")
    run(folder, "train", "--prepared", "prepared.h5ad", "--epochs", 5, "--device", "cpu")
    embedded = ("--prepared", "prepared.h5ad", "--embedding", "embedding.npz")
    run(folder, "assign_domains", *embedded, "--n-domains", n_domains)
    (folder / "meta.json").write_text(json.dumps({"sample": sample}))
    (folder / "params.json").write_text("{}")
    run(folder, "collect_slice", "--parts", ".", "--meta", "meta.json", "--params", "params.json", sample=sample)
    run(folder, "report_slice", "--slice", sample, sample=sample)
    (page,) = [*folder.rglob("report.html")]
    text = " ".join(page.read_text().split())
    one = text.find("The slice is one domain")
    return text[one if one >= 0 else text.index("The number of domains, ") :][:600]


def made(n_spots: int) -> AnnData:
    """Three programs of 40 genes in three stripes."""
    random = np.random.default_rng(0)
    place = np.stack(np.divmod(np.arange(n_spots), int(np.ceil(n_spots**0.5))), axis=1) * 100.0
    programs = random.gamma(1, 2, size=(3, 40)) + 0.3
    counts = random.poisson(programs[(3 * place[:, 0] / (place[:, 0].max() + 1)).astype(int)])
    names = pd.DataFrame(index=[f"s{i}" for i in range(n_spots)])
    return AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=names, obsm={"spatial": place})


@pytest.mark.parametrize("n_domains", [1, 2, 9, 15])
def test_every_number_is_reported(tmp_path: Path, n_domains: int) -> None:
    said = reported(made(60), n_domains, tmp_path)
    assert said.startswith(f"The number of domains, {n_domains}, was given.")
    assert tables.read_back(tmp_path / "domains.tsv")["domain"].nunique() == n_domains


@pytest.mark.parametrize("n_spots", [3, 5, 10, 20])
def test_auto_takes_small_tissue_to_its_report(tmp_path: Path, n_spots: int) -> None:
    said = reported(made(n_spots), "auto", tmp_path)
    n_domains = tables.read_back(tmp_path / "domains.tsv")["domain"].nunique()
    assert said.startswith(f"The number of domains, {n_domains}, ") and "was given" not in said


def test_spots_that_are_all_alike_are_one_domain(tmp_path: Path) -> None:
    adata = made(40)
    adata.X = sparse.csr_matrix(np.tile(adata.X[:1].toarray(), (40, 1)))
    said = reported(adata, "auto", tmp_path)
    assert said.startswith("The number of domains, 1, is the only one found: it could be compared with no other.")
    run(tmp_path, "compare_slices", "--sheet", _sheet(tmp_path), "--slices", "S")
    run(tmp_path, "report_cohort", "--sheet", _sheet(tmp_path), "--slices", "S")
    assert tables.read_back(tmp_path / "cohort/metrics.tsv")["n_domains"].tolist() == [1]


def _sheet(folder: Path) -> Path:
    (folder / "sheet.json").write_text(json.dumps([{"sample": "S", "data": "slice.h5ad"}]))
    return folder / "sheet.json"


@pytest.mark.parametrize("name", ["her2st_H1", "dlpfc_151673"])
def test_auto_on_real_slices_says_how_it_came(demo: Path, tmp_path: Path, name: str) -> None:
    adata = anndata.read_h5ad(demo / f"{name}.h5ad")
    adata = adata[np.argsort(adata.obsm["spatial"][:, 0], kind="stable")[:250]].copy()
    said = reported(adata, "auto", tmp_path)
    curve = tables.read_back(tmp_path / "n_domains.tsv")
    chosen = curve[curve["chosen"] == 1].iloc[0]
    if chosen["n_domains"] == 1:
        assert said.startswith("The slice is one domain: ")
        return
    assert said.startswith(f"The number of domains, {chosen['n_domains']:.0f}, was chosen without labels: the domains")
    assert f"agree by {chosen['stability']:.2f} of 1" in said
    assert ("largest number tried" in said) == (chosen["n_domains"] == curve["n_domains"].max())
