#!/usr/bin/env python3
"""Read a reference that is larger than memory, made in a folder: `atlas.py FOLDER [N_CELLS]`; writes atlas.md.

500,000 cells × 30,000 genes, 800 genes of each cell found, 40 types of uneven sizes; read with 4 GB of address space.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
N_GENES, N_FOUND, N_TYPES, BLOCK, LIMIT = 30_000, 800, 40, 5000, 4 * 10**9
READ = "from spotfuse import proportions as p; import sys; print(p.read_reference(sys.argv[1]).shape)"


def make(path: Path, n_cells: int) -> None:
    """Write an h5ad block by block, with counts that tell nothing."""
    random = np.random.default_rng(0)
    types = random.choice(N_TYPES, n_cells, p=np.arange(1, N_TYPES + 1) / np.arange(1, N_TYPES + 1).sum())
    obs = pd.DataFrame({"cell_type": pd.Categorical(types.astype(str))}, index=[f"cell{i}" for i in range(n_cells)])
    obs["cell_type"] = obs["cell_type"].cat.rename_categories(lambda name: f"type {name}")
    anndata.AnnData(obs=obs, var=pd.DataFrame(index=[f"gene{i}" for i in range(N_GENES)])).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        if "X" in file:
            del file["X"]
        X = file.create_group("X")
        X.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_cells, N_GENES]})
        X["indptr"] = np.arange(n_cells + 1, dtype=np.int64) * N_FOUND
        data, indices = (
            X.create_dataset(name, n_cells * N_FOUND, kind, chunks=(BLOCK * N_FOUND,))
            for name, kind in (("data", np.float32), ("indices", np.int32))
        )
        for first in range(0, n_cells, BLOCK):
            n = min(BLOCK, n_cells - first)
            place = slice(first * N_FOUND, (first + n) * N_FOUND)
            gaps = random.integers(1, 2 * N_GENES // N_FOUND - 1, (n, N_FOUND), dtype=np.int32)
            indices[place] = (np.cumsum(gaps, axis=1, dtype=np.int32) % N_GENES).ravel()
            data[place] = random.geometric(0.6, n * N_FOUND)


def main(folder: Path, n_cells: int) -> None:
    """Make, read in a process with so much memory alone, and write what that took."""
    path = folder / f"atlas_{n_cells}.h5ad"
    if not path.exists():
        make(path, n_cells)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", READ, path],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (HERE / "atlas.md").write_text(
        "# A reference larger than memory\n\nMade by `benchmarks/deconvolution/atlas.py`, with 4 GB to address.\n\n"
        "| cells × genes, values | in the file | left (cells, genes) | peak memory | processor s | s |\n"
        f"{'|---' * 6}|\n| {n_cells:,} × {N_GENES:,}, {n_cells * N_FOUND / 1e6:,.0f} million | "
        f"{path.stat().st_size / 1e9:.1f} GB | {done.stdout.strip()} | {after.ru_maxrss / 1e6:.2f} GB | {cpu:.0f} | "
        f"{time.perf_counter() - start:.0f} |\n"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500_000)
