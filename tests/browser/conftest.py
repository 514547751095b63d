"""Reports of made-up slices, opened in a real browser that may talk to nobody."""

import importlib.resources
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations, combinations_with_replacement
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

EVIL = '<img src=x onerror="window.ran=1"><script>window.ran=1</script>{{7*7}}'
GENES = ["COX6C", "CCND1", EVIL, "NA", "a/b", *(f"G{i}" for i in range(25))]
TYPES = ["B cell", EVIL.replace("ran", "ran2"), "eL2/3"]
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"),
    "--disable-sync",
)


def slice_folder(folder: Path, side: int = 18, n_more_genes: int = 0, scatter: float = 0) -> Path:
    """What collect_slice would write of a square slice with three domains, one a gene that only it has."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    row, column = (grid.ravel() for grid in np.mgrid[:side, :side])
    n = side * side
    names = [*GENES, *(f"M{i}" for i in range(n_more_genes))]
    labels = np.where(column < side * 0.5, 1, np.where(row < side * 0.6, 2, 3))
    spots = [f"spot{i}" for i in range(n - 1)] + [EVIL]
    rates = np.full((n, len(names)), 2.0)
    for domain in (1, 2, 3):
        rates[labels == domain, domain - 1] = 30
    counts = random.poisson(rates)
    proportions = random.dirichlet(np.ones(3), n)
    proportions[labels == 3] = np.nan  # as when a spot has none of the reference's genes
    confidence = random.uniform(0.5, 1, n)
    adata = ad.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(
            {
                "n_counts": counts.sum(axis=1),
                "n_genes": (counts > 0).sum(axis=1),
                "mt_share": random.uniform(0, 0.2, n),
                "domain": pd.Categorical(labels.astype(str)),
                "domain_confidence": confidence,
                "annotation": [None, *np.array(["L1", "L2", EVIL])[labels - 1][1:]],
            },
            index=spots,
        ),
        var=pd.DataFrame(index=names),
    )
    adata.obsm["spatial"] = np.column_stack([column, row]) * 100.0 + 100 + random.normal(0, scatter, (n, 2))
    adata.obsm["X_spotfuse"] = random.normal(size=(n, 6)).astype(np.float32) + labels[:, None] * [3, 1, 0, 0, 0, 0]
    adata.obsm["attention"] = random.uniform(0.2, 0.8, (n, 1)) * [1, -1] + [0, 1]
    adata.obsm["proportions"] = proportions.astype(np.float32)
    adata.uns["spatial"] = {
        "library": {
            "images": {"hires": random.uniform(0.6, 1, (200, 200, 3)).astype(np.float32)},
            "scalefactors": {"tissue_hires_scalef": 0.1, "spot_diameter_fullres": 60.0},
        }
    }
    sample = folder.name
    adata.uns["spotfuse"] = {
        "sample": {"sample": sample, "data": "x.h5ad", "annotation": "layers.tsv", "donor": EVIL},
        "platform": "visium",
        "parameters": {"seed": 1, "encoder": "spotfuse"},
        "versions": {"python": "3", "spotfuse": "0"},
        "seed": 1,
        "cell_types": TYPES,
    }
    adata.write_h5ad(folder / f"{sample}.h5ad")

    def table(name: str, **columns: object) -> None:
        pd.DataFrame(columns).to_csv(folder / f"{name}.tsv", sep="\t", index=False)

    table("domains", spot=spots, domain=labels, confidence=confidence)
    table("proportions", spot=spots, **dict(zip(TYPES, proportions.T, strict=True)))
    rank = np.arange(len(names))
    table(
        "markers",
        domain=1 + rank % 3,
        gene=names,
        log_fold_change=4 - rank / len(names),
        auc=0.99 - 0.4 * rank / len(names),
        p_adjusted=10.0 ** -(30 - 30 * rank / len(names)),
        share_in=0.9,
        share_out=rank / len(names),
    )
    table(
        "spatial_genes",
        gene=[EVIL, *[f"G{i}" for i in range(15)]],
        morans_i=0.8 - np.arange(16) / 40,
        z=20.0 - np.arange(16),
        p_adjusted=10.0 ** -(20 - np.arange(16)),
        share=0.9,
    )
    pairs = [("domain_contact", a, b) for a, b in combinations("123", 2)]
    pairs += [("cell_type_contact", a, b) for a, b in combinations_with_replacement(TYPES, 2)]
    beside = pd.DataFrame(pairs, columns=["kind", "name", "neighbour"])
    beside = beside.assign(observed=2, expected=1, log2_ratio=1.0, z=1)
    beside.to_csv(folder / "neighbourhoods.tsv", sep="\t", index=False)
    sums = {str(k): counts[labels == k].sum(axis=0) for k in (1, 2, 3)}
    table("domain_counts", gene=names, **sums)
    table(
        "qc",
        spot=[*spots, "lost"],
        n_counts=[*counts.sum(axis=1), 1],
        n_genes=[*(counts > 0).sum(axis=1), 1],
        mt_share=0.1,
        kept=[True] * n + [False],
        reason=[""] * n + [f"fewer than 5 counts {EVIL}"],
        x=[*adata.obsm["spatial"][:, 0], 100],
        y=[*adata.obsm["spatial"][:, 1], 0],
    )
    table("loss", epoch=range(50), loss=np.exp(-np.arange(50) / 10), contrast=0.5)
    found = {"told": [0.2, 0.4, 0.4], "stability": [0.5, 0.9, 0.7], "worth": [0.1, 0.3, 0.2]}
    found |= {"bic": [-3e5, -2e5, -2.5e5]}
    table("n_domains", n_domains=[2, 3, 4], **found, chosen=[0, 1, 0])
    table("status", step=["train"], seconds=[3.0], peak_rss_mb=[100], failure=[""])
    (folder / "check.json").write_text(json.dumps({"notes": [f"a note {EVIL}"]}))
    (folder / "metrics.json").write_text(
        json.dumps(
            {
                "n_spots": n,
                "n_genes": len(GENES),
                "n_domains": 3,
                "domains": {"ari": 0.9, "nmi": 0.8, "n_scored": n, "n_annotated": n},
                "proportions": None,
                "seconds": {"train": 3.0},
                "peak_rss_mb": {"train": 100},
            }
        )
    )
    return folder


def write_report(step: str, folder: Path, *options: str | Path) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, root / f"bin/{step}.py", "--debug", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def noted(folder: Path, *notes: dict) -> list[str]:
    """How steps went, as report_cohort takes it."""
    (folder / "notes.json").write_text(json.dumps(notes))
    return ["--notes", "notes.json"]


def write_cohort(folder: Path, slices: list[Path], *options: str | Path) -> Path:
    common = ["--sample", "cohort", "--sheet", "sheet.json", "--slices", *slices]
    write_report("compare_slices", folder, *common)
    write_report("report_cohort", folder, *common, "--tables", *sorted((folder / "cohort").glob("*.tsv")), *options)
    return folder / "cohort/report.html"


@pytest.fixture(scope="session")
def huge_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a slice with 501,264 spots and more markers than its page can map."""
    folder = slice_folder(tmp_path_factory.mktemp("huge") / "H1", 708, 60)
    write_report("report_slice", folder, "--sample", "H1", "--slice", folder, "--status", "report_slice.json")
    (folder / "H1.h5ad").unlink()
    return folder / "report.html"


@pytest.fixture(scope="session")
def wide_cohort_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 200 slices of 4,900 spots, each drawn and none in line with others, which compresses worst."""
    folder = tmp_path_factory.mktemp("wide")
    made = slice_folder(folder / "made", 70, scatter=30)
    sheet = [{"sample": f"S{i}", "data": "x", "reference": "r", "condition": f"c{i % 3}"} for i in range(200)]
    for row in sheet:
        (folder / row["sample"]).mkdir()
        for file in made.iterdir():
            (folder / row["sample"] / file.name.replace("made", row["sample"])).symlink_to(file)
    (folder / "sheet.json").write_text(json.dumps(sheet))
    write_cohort(folder, [folder / row["sample"] for row in sheet])
    return folder / "cohort/report.html"


@pytest.fixture(scope="session")
def large_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a slice with 5,041 spots and as many markers as a page lists."""
    folder = slice_folder(tmp_path_factory.mktemp("large") / "L1", 71, 170)
    write_report("report_slice", folder, "--sample", "L1", "--slice", folder)
    return folder / "report.html"


@pytest.fixture(scope="session")
def slice_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a made-up slice."""
    folder = slice_folder(tmp_path_factory.mktemp("slice") / "S1")
    write_report("report_slice", folder, "--sample", "S1", "--slice", folder)
    return folder / "report.html"


@pytest.fixture(scope="session")
def bare_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a slice that lost all steps after its preparation, and has no image."""
    folder = slice_folder(tmp_path_factory.mktemp("bare") / "B1")
    for name in ("domains", "proportions", "markers", "loss", "n_domains"):
        (folder / f"{name}.tsv").unlink()
    adata = ad.read_h5ad(folder / "B1.h5ad")
    adata.obs = adata.obs.drop(columns=["domain", "domain_confidence", "annotation"])
    adata.obsm = {"spatial": adata.obsm["spatial"], "X_pca": adata.obsm["X_spotfuse"]}
    adata.uns = {"spotfuse": {"sample": {"sample": "B1", "data": "x.h5ad", "annotation": "layers.tsv"}}}
    adata.write_h5ad(folder / "B1.h5ad")
    status = {"step": ["train"], "seconds": [3.0], "peak_rss_mb": [100], "failure": [f"too few spots {EVIL}"]}
    pd.DataFrame(status).to_csv(folder / "status.tsv", sep="\t", index=False)
    (folder / "metrics.json").write_text(json.dumps({"n_spots": 324, "n_genes": 30, "n_domains": None}))
    write_report("report_slice", folder, "--sample", "B1", "--slice", folder)
    return folder / "report.html"


@pytest.fixture(scope="session")
def cohort_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three slices, of which one failed."""
    folder = tmp_path_factory.mktemp("cohort")
    slices = [slice_folder(folder / name, side) for name, side in (("S1", 10), ("S2", 12))]
    (slices[1] / "domain_counts.tsv").unlink()  # nothing to be matched by
    sheet = [
        {"sample": "S2", "data": "b", "reference": "r", "condition": "case"},
        {"sample": "S1", "data": "a", "reference": "r", "condition": "control", "donor": EVIL},
        {"sample": "S3", "data": "c", "condition": "case"},
    ]
    (folder / "sheet.json").write_text(json.dumps(sheet))
    failed = {"sample": "S3", "step": "check_slice", "failure": f"c: no counts {EVIL}", "seconds": 1, "peak_rss_mb": 1}
    steps = ("check_slice", "prepare_slice", "train", "assign_domains", "prepare_reference", "deconvolve")
    notes = [failed] + [
        {"sample": name, "step": step, "failure": None, "seconds": 1, "peak_rss_mb": 1}
        for name in ("S1", "S2")
        for step in (*steps, "collect_slice", "report_slice")
    ]
    notes.append({"sample": "cohort", "step": "compare_slices", "failure": None, "seconds": 1, "peak_rss_mb": 1})
    return write_cohort(folder, slices, *noted(folder, *notes))


@pytest.fixture(scope="session")
def uncompared_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one slice where compare_slices was killed."""
    folder = tmp_path_factory.mktemp("uncompared")
    folders = [slice_folder(folder / "S1", 10)]
    note = {"sample": "S1", "step": "collect_slice", "failure": None}
    (folder / "sheet.json").write_text(json.dumps([{"sample": "S1", "data": "x", "reference": "r"}]))
    common = ["--sample", "cohort", "--sheet", "sheet.json", "--slices", *folders]
    write_report("report_cohort", folder, *common, *noted(folder, note))
    return folder / "cohort/report.html"


@pytest.fixture(scope="session")
def matched_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of five slices of three donors and one of two conditions; the last calls its domains otherwise.

    Its domain 1 is the others' 2 and the other way round, and its domain 3 is like none of theirs.
    """
    folder = tmp_path_factory.mktemp("matched")
    random = np.random.default_rng(0)
    means = random.gamma(0.5, 1, (4, len(GENES)))
    sheet, slices = [], []
    for i, (condition, donor) in enumerate(
        [("<b>case", 0), ("<b>case", 1), ("control", 2), ("control", 3), ("control", 4)]
    ):
        slices.append(slice_folder(folder / f"M{i}", 8 + 2 * i))
        order = [1, 0, 3] if i == 4 else [0, 1, 2]
        found = random.poisson(means[order] * 200 + 20)
        counts = {"gene": GENES} | {str(k): found[k - 1] for k in (1, 2, 3)}
        pd.DataFrame(counts).to_csv(slices[-1] / "domain_counts.tsv", sep="\t", index=False)
        if i == 4:
            domains = pd.read_csv(slices[-1] / "domains.tsv", sep="\t", keep_default_na=False)
            domains["domain"] = domains["domain"].replace({1: 2, 2: 1})
            domains.to_csv(slices[-1] / "domains.tsv", sep="\t", index=False)
        sheet.append({"sample": f"M{i}", "data": "x", "condition": condition, "donor": f"{EVIL} {donor}"})
    (folder / "sheet.json").write_text(json.dumps(sheet))
    return write_cohort(folder, slices)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Headless Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no chromium on this machine (Debian: apt-get install chromium; or name it in CHROMIUM)")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page; at the end of the test nothing may have gone wrong, run from a name, or left the page."""
    contexts, trouble = [], []

    def open_page(path: Path, width: int = 1280, *, forgive: str = "nothing", before: str = "", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(before)

        def refuse(route):
            if route.request.url != path.as_uri():
                trouble.append(f"request: {route.request.url[:100]}")
                return route.abort()
            return route.continue_()

        context.route(lambda url: not url.startswith(("data:", "blob:")), refuse)
        # Chromium itself warns that reading back a drawing is slow
        page.on(
            "console",
            lambda said: said.type == "error" and forgive not in said.text and trouble.append(f"console: {said.text}"),
        )
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=true]", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert not page.evaluate("window.ran || window.ran2"), "a name ran as code"
        context.close()
    assert not trouble


@pytest.fixture(scope="session")
def axe() -> str:
    """The accessibility checks of axe-core, from the Python package that brings them or the file in AXE_CORE."""
    if "AXE_CORE" in os.environ:
        return Path(os.environ["AXE_CORE"]).read_text()
    try:
        return (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text()
    except ModuleNotFoundError:
        pytest.skip("no axe-core here (pip install axe-playwright-python, or name the file in AXE_CORE)")
