#!/usr/bin/env python3
"""What each part of the domains is worth: ARI on the labelled slices, from plain components on; writes ablation.md.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/ablation.py`; `--quick` takes
two small slices and two seeds and prints the table, `--seeds` and `--published-seeds` set how often. `--pipeline`
measures the pipeline's result alone, on the slices of generalisation.py, and writes seeds.md. SPOTFUSE_DATA names the
folder with the slices. Truth is read here for scores alone.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "bin"))

import anndata
import generalisation
import numpy as np
import pandas as pd
import sklearn
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score
from spotfuse import domains, embedding, preparation
from spotfuse.domains import _assign, _consensus, _mixtures, _views
from spotfuse.embedding._base import Encoder
from spotfuse.embedding._spotfuse import Spotfuse
from spotfuse.preparation import averaging

DATA = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared/data"))
SLICES = {
    "151673": ("dlpfc/151673.h5ad", 7),
    "151674": ("dlpfc/151674.h5ad", 7),
    "visual cortex": ("starmap_visual_cortex/BY3_1k.h5ad", 7),
    "BZ5": ("starmap_mpfc/BZ5.h5ad", 4),
    "BZ9": ("starmap_mpfc/BZ9.h5ad", 4),
    "osmFISH": ("osmfish_ssp/osmfish.h5ad", 11),
    "H1": ("her2st/H1.h5ad", 6),
    "A1": ("her2st/A1.h5ad", 5),
    "E1": ("her2st/E1.h5ad", 3),
}
STEPS = 8  # of averaging before a single mixture; the encoder's own two are among them
DIMENSIONS = 15
LARGE = 2000  # spots
ROWS = {
    "PCA, not smoothed": "one mixture (EEE) on 15 components of logarithms",
    "PCA, smoothed": f"the same after {STEPS} steps of averaging over the tissue",
    "spatial branch": "one mixture on the encoder without its feature branch",
    "feature branch": "one mixture on the encoder without its spatial branch",
    "both branches": "one mixture on the encoder",
    "+ own covariances": "each domain has its covariance, drawn towards the common one",
    "+ consensus": "all scales, with the components of residuals and logarithms",
    "consensus, no encoder": "the components alone",
    "+ refinement": "the pipeline's result: consensus with the encoder, corrected by neighbours",
    "published": "SpatialFusion's model as published, one mixture on 15 components",
}


class OneBranch(Spotfuse):
    """The encoder with one of its branches."""

    branch = 0

    def _fuse(self, spatial: torch.Tensor, feature: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        view = self.feature_branch(feature) if self.branch else self.spatial_branch(spatial)
        return view, torch.eye(2, device=view.device)[self.branch].expand(len(view), 2)


class FeatureBranch(OneBranch):
    """The encoder without its spatial branch."""

    branch = 1


def prepared(path: Path, folder: Path) -> anndata.AnnData:
    """Prepare a slice by the pipeline's own command."""
    command = [sys.executable, str(ROOT / "bin/prepare_slice.py"), "--data", str(path), "--sample", "slice"]
    subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return anndata.read_h5ad(folder / "prepared.h5ad")


def single(
    adata: anndata.AnnData, values: np.ndarray, steps: int, n_domains: int, seed: int, *, own: bool
) -> np.ndarray:
    """Labels by one mixture."""
    average = averaging(sparse.csr_matrix(adata.obsp["spatial_connectivities"]), self_weight=0.5)
    values = np.asarray(values, dtype=np.float64)
    for _ in range(steps):
        values = average @ values
    view = _views._scores(values, DIMENSIONS)
    if own:
        found = _mixtures.mixture(view, n_domains, seed, own=True)[1]
        return np.zeros(len(view), int) if found is None else found.argmax(axis=1)
    best = _mixtures.likeliest(_mixtures.sample(view, seed), n_domains, seed)
    return np.zeros(len(view), int) if best is None else best[1]


def labellings(adata: anndata.AnnData, n_domains: int, seed: int, published: bool) -> dict[str, np.ndarray]:
    """Labels by every row of the table."""

    def embedded(which: str | Callable[[anndata.AnnData, int], Encoder]) -> np.ndarray:
        return embedding.train(adata, encoder=which, seed=seed, device="cpu").values

    left = STEPS - 2
    both = embedded("spotfuse")
    graph = sparse.csr_matrix(adata.obsp["spatial_connectivities"])
    members = _consensus.voting(
        _assign._members(_views.views(adata, both, graph), n_domains, seed, adata.n_obs >= domains.Settings().many),
        _views.telling(adata, graph),
        adata.n_obs >= domains.Settings().many,
    )
    bare = anndata.AnnData(obs=adata.obs[[]], obsp={"spatial_connectivities": graph})
    bare.obsm["X_pca_log"] = adata.obsm["X_pca_log"]
    average = averaging(graph, self_weight=0.5)
    plain = domains.assign(bare, average @ (average @ adata.obsm["X_pca"]), n_domains, seed=seed, refine=False)
    found = {
        "PCA, not smoothed": single(adata, adata.obsm["X_pca_log"], 0, n_domains, seed, own=False),
        "PCA, smoothed": single(adata, adata.obsm["X_pca_log"], STEPS, n_domains, seed, own=False),
        "spatial branch": single(adata, embedded(OneBranch.from_slice), left, n_domains, seed, own=False),
        "feature branch": single(adata, embedded(FeatureBranch.from_slice), left, n_domains, seed, own=False),
        "both branches": single(adata, both, left, n_domains, seed, own=False),
        "+ own covariances": single(adata, both, left, n_domains, seed, own=True),
        "+ consensus": _consensus.consensus(members, None).argmax(axis=1),
        "consensus, no encoder": plain.labels,
        "+ refinement": _consensus.consensus(members, graph).argmax(axis=1),
    }
    if published:
        found["published"] = single(adata, embedded("published"), 0, n_domains, seed, own=False)
    return found


def scored(adata: anndata.AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Known labels, and which spots have one that counts."""
    known = adata.obs["label"].astype(object)
    counts = (known.notna() & ~known.isin(["", "NA", "nan", "undetermined"])).to_numpy()
    return known[counts].astype(str).to_numpy(), counts


def pipeline(name: str, folder: Path, seeds: int, large: int) -> str:
    """Measure a slice's line of seeds.md: the pipeline's result by every seed."""
    whole = next(generalisation.varied([name], ["whole"]))
    kept = folder / f"{whole[0]}.h5ad"
    scores: list[float] = []
    adata = generalisation.prepared(kept, whole[3])  # with seed 1
    many = adata.n_obs >= domains.Settings().many
    for seed in range(1, (large if many else seeds) + 1):
        values = adata.obsm[generalisation.EMBEDDING]
        if many and seed > 1:  # below, the encoder has no vote
            fresh = whole[3]()
            fresh.uns["spotfuse"] = {}
            fresh, _ = preparation.clean_and_prepare(fresh)
            values = embedding.train(fresh, seed=seed, device="cpu").values
        labels = domains.assign(adata, values, int(adata.uns["n_domains"]), seed=seed).labels
        scores.append(generalisation.score(adata, labels))
    cells = [name, str(adata.n_obs), str(adata.uns["n_domains"]), f"{np.median(scores):.3f}", f"{np.ptp(scores):.3f}"]
    return "| " + " | ".join([*cells, " ".join(f"{score:.3f}" for score in scores)]) + " |"


def measured(name: str, folder: Path, seeds: int, large: int, published: int, most: int) -> dict[str, list[float]]:
    """ARI of every row by every seed."""
    file, n_domains = SLICES[name]
    adata = prepared(DATA / file, folder)
    truth, counts = scored(adata)
    scores: dict[str, list[float]] = {row: [] for row in ROWS}
    for seed in range(1, (large if adata.n_obs > LARGE else seeds) + 1):
        for row, labels in labellings(adata, n_domains, seed, seed <= published and adata.n_obs <= most).items():
            scores[row].append(float(adjusted_rand_score(truth, labels[counts])))
    return scores


def write_seeds(names: list[str], seeds: int, large: int, work: Path) -> None:
    """Write seeds.md, slice by slice; lines of other slices stay."""
    path = HERE / "seeds.md"
    kept = [line for line in path.read_text().splitlines() if line.startswith("| ") and line.split(" | ")[1].isdigit()]
    lines = {line[2:].partition(" | ")[0]: line for line in kept}
    for name in names:
        lines[name] = pipeline(name, work, seeds, large)
        print(lines[name], flush=True)
        after = path.read_text().partition("\n\n## ")
        table = [lines[name] for name in generalisation.SLICES if name in lines]
        head = SEEDS.format(seeds=seeds, large=large, many=domains.Settings().many)
        path.write_text(head + "\n".join(table) + "\n" + "".join(after[1:]).removeprefix("\n"))


SEEDS = """# The pipeline's domains, seed by seed

Adjusted Rand index with refinement and the number of labels that 3 % of the spots have, by seeds 1 to {seeds} of the
encoder and of the mixtures, 1 to {large} from {many} spots on; the spread is the largest less the smallest. Written by
`python benchmarks/domains/ablation.py --pipeline`; [number.md](number.md) has what `auto` finds.

| slice | spots | domains | median | spread | by seed |
| --- | --- | --- | --- | --- | --- |
"""


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two small slices, two seeds, nothing written")
    parser.add_argument("--seeds", type=int, default=5, help="seeds (default 5)")
    parser.add_argument("--published-seeds", type=int, default=1, help="seeds of the published model (default 1)")
    parser.add_argument("--large-seeds", type=int, help=f"seeds of slices above {LARGE} spots (default: as --seeds)")
    parser.add_argument(
        "--published-spots", type=int, default=2000, help="spots it is trained on (default: up to 2000)"
    )
    parser.add_argument("--pipeline", action="store_true", help="the pipeline's result alone; writes seeds.md")
    parser.add_argument("--slices", default=",".join(SLICES), help="some of the slices, comma-separated")
    args = parser.parse_args()
    names = ["BZ5", "H1"] if args.quick else args.slices.split(",")
    seeds = 2 if args.quick else args.seeds
    large = seeds if args.large_seeds is None else args.large_seeds
    if args.pipeline:
        every = args.slices == ",".join(SLICES)
        work = ROOT / "work/generalisation/slices"
        write_seeds(list(generalisation.SLICES) if every else names, seeds, large, work)
        return
    start = time.process_time()
    columns = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            columns[name] = measured(
                name, Path(folder), seeds, large, 0 if args.quick else args.published_seeds, args.published_spots
            )
            print(name, {row: np.round(values, 3).tolist() for row, values in columns[name].items()}, flush=True)
    said = {
        row: [
            f"{np.median(s[row]):.3f}" + (f" ({np.ptp(s[row]):.3f})" if len(s[row]) > 1 else "") if s[row] else "-"
            for s in columns.values()
        ]
        for row in ROWS
    }
    head = ["", *names]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join([row, *cells]) + " |" for row, cells in said.items()]
    print("\n".join(lines))
    if args.quick:
        return
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout
    command = " ".join(["python benchmarks/domains/ablation.py", *sys.argv[1:]])
    text = [
        "# What each part of the domains is worth",
        "",
        "Adjusted Rand index with the annotated number of domains, one set of defaults for all slices. Median of",
        f"{seeds} seeds, of {large} on slices above {LARGE} spots; in brackets the largest less the smallest. The",
        f"published model by {args.published_seeds}, on slices of at most {args.published_spots} spots. Spots",
        "without an annotation, or undetermined, are not scored.",
        "",
        f"`{command}`, {pd.Timestamp.now('UTC').date()}, commit {revision.strip()}, {versions}:",
        f"{(time.process_time() - start) / 60:.0f} CPU minutes.",
        "",
        *lines,
        "",
        *[f"- **{row}**: {meaning}." for row, meaning in ROWS.items()],
    ]
    (HERE / "ablation.md").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
