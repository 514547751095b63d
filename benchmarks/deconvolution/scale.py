#!/usr/bin/env python3
"""Time and memory of bin/deconvolve.py on made-up slices, two threads; writes scale.md, which compare.py takes over.

`scale.py [N_SPOTS…]`; by default 581 spots × 2,002 cells × 882 genes × 15 types, and 100,000 × 20,000 × 2,000 × 20.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

HERE = Path(__file__).resolve().parent
BIN = HERE.parent.parent / "bin"
SMALL, LARGE = (581, 2002, 882, 15), (100_000, 20_000, 2000, 20)  # spots, cells, genes, types


def draw(random: np.random.Generator, profiles: np.ndarray, weights: np.ndarray, depth: float) -> sparse.csr_matrix:
    """Draw counts of mixtures of profiles, about so many a row."""
    parts = []
    for first in range(0, len(weights), 5000):
        mean = weights[first : first + 5000] @ profiles
        mean *= depth * random.lognormal(0, 0.4, (len(mean), 1))
        parts.append(sparse.csr_matrix(random.poisson(mean).astype(np.float32)))
    return sparse.vstack(parts, format="csr")


def make(folder: Path, n_spots: int, n_cells: int, n_genes: int, n_types: int) -> pd.DataFrame:
    """Write prepared.h5ad and reference.h5ad, and give the true proportions."""
    random = np.random.default_rng(0)
    profiles = random.gamma(0.3, 1.0, (n_types, n_genes)) + 0.01
    profiles /= profiles.sum(axis=1, keepdims=True)
    genes = pd.DataFrame(index=[f"g{i:05d}" for i in range(n_genes)])
    names = np.array([f"t{k:02d}" for k in range(n_types)])
    codes = np.arange(n_cells) % n_types
    cells = pd.DataFrame({"cell_type": pd.Categorical(names[codes])}, [f"c{i:06d}" for i in range(n_cells)])
    reference = anndata.AnnData(draw(random, profiles, np.eye(n_types)[codes], 2000), obs=cells, var=genes)
    reference.uns["spotfuse"] = {"notes": ["made up"]}
    reference.write_h5ad(folder / "reference.h5ad")
    truth = random.dirichlet(np.full(n_types, 0.15), n_spots)
    spots = pd.DataFrame({"input_row": np.arange(n_spots)}, [f"s{i:07d}" for i in range(n_spots)])
    side = int(np.ceil(np.sqrt(n_spots)))
    xy = np.c_[np.arange(n_spots) % side, np.arange(n_spots) // side].astype(float)
    st = anndata.AnnData(draw(random, profiles, truth, 1000), obs=spots, var=genes, obsm={"spatial": xy})
    st.write_h5ad(folder / "prepared.h5ad")
    print(f"{n_spots} spots, {st.X.nnz / n_spots:.0f} genes a spot seen", flush=True)
    return pd.DataFrame(truth, st.obs_names, names)


def measure(n_spots: int, n_cells: int, n_genes: int, n_types: int) -> str:
    """Run the command and give a row of the table."""
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        truth = make(folder, n_spots, n_cells, n_genes, n_types)
        command = [sys.executable, BIN / "deconvolve.py", "--sample", "made_up", "--threads", "2", "--device", "cpu"]
        command += ["--prepared", "prepared.h5ad", "--reference", "reference.h5ad", "--status", "status.json"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        status = json.loads((folder / "status.json").read_text())
        found = pd.read_csv(folder / "proportions.tsv", sep="\t", index_col=0)
        rmse = float(np.sqrt(((found - truth) ** 2).mean()).mean())
        return (
            f"| {n_spots:,} | {n_cells:,} | {n_genes:,} | {n_types} | {status['seconds']:.1f} | {seconds:.1f} "
            f"| {status['peak_rss_mb'] / 1024:.1f} | {rmse:.3f} |"
        )


def main() -> None:
    """Measure and write."""
    sizes = [(int(number), *LARGE[1:]) for number in sys.argv[1:]] or [SMALL, LARGE]
    rows = [measure(*size) for size in sizes]
    told = " ".join(["benchmarks/deconvolution/scale.py", *sys.argv[1:]])
    text = (
        f"## Time and memory\n\n`{told}` on {date.today():%d %B %Y}: `bin/deconvolve.py --threads 2` from its start to "
        f"its last file, up to 20,000 spots with the map of cells, on made-up counts (about 1,000 a spot), "
        f"{os.cpu_count()} cores.\n\n"
        "| spots | cells | genes | types | s | CPU s | GB | RMSE |\n|---|---|---|---|---|---|---|---|\n"
    )
    print(text + "\n".join(rows))
    if not sys.argv[1:]:
        (HERE / "scale.md").write_text(text + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
