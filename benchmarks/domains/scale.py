"""Time and memory from preparation to labels against the number of spots; writes scale.md.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/scale.py 3639 30000 100000`.
Slices are tiled from a real one: copies side by side, each with another random half of every count, so that no two
tiles are equal. Each step runs as the pipeline runs it, in a process of its own, whose seconds, processor seconds and
peak memory are those that the operating system counted. SPOTFUSE_DATA names the folder with the slices.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

HERE = Path(__file__).resolve().parent
BIN = HERE.parent.parent / "bin"
DEMO = HERE.parent.parent / "assets/demo/dlpfc_151673.h5ad"
DATA = Path(os.environ.get("SPOTFUSE_DATA", HERE.parent.parent.parent / "shared/data"))
SLICES = {"151673": "dlpfc/151673.h5ad", "osmfish": "osmfish_ssp/osmfish.h5ad"}
N_DOMAINS = {"151673": 7, "osmfish": 11}
KEPT = 0.5  # share of the counts that each tile keeps
STEPS = ("prepare_slice", "train", "assign_domains")


def tile(source: Path, path: Path, n_spots: int, seed: int = 0) -> None:
    """Write a slice of so many spots, tile by tile: the counts of a million do not fit in memory twice."""
    adata = anndata.read_h5ad(source)
    adata = adata[:, adata.X.getnnz(axis=0) > 0]
    counts = sparse.csr_matrix(adata.X)
    place = np.asarray(adata.obsm["spatial"], dtype=float)[:, :2]
    place -= place.min(axis=0)
    size = place.max(axis=0) * 1.02  # the gap is about one spot wide
    n_tiles = -(-n_spots // adata.n_obs)
    columns = int(np.ceil(np.sqrt(n_tiles * size[1] / size[0])))
    random = np.random.default_rng(seed)
    labels, places, lengths = [], [], []
    with h5py.File(path, "w") as file:
        group = file.create_group("X")
        stored = {
            name: group.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(2**18,))
            for name, kind in (("data", np.float32), ("indices", np.int32))
        }
        for number in range(n_tiles):
            thinned = counts[: n_spots - number * adata.n_obs].copy()
            if n_tiles > 1:
                thinned.data = random.binomial(thinned.data.astype(np.int64), KEPT).astype(np.float32)
                thinned.eliminate_zeros()
            for name, dataset in stored.items():
                before = len(dataset)
                dataset.resize(before + thinned.nnz, axis=0)
                dataset[before:] = getattr(thinned, name)
            lengths.append(np.diff(thinned.indptr))
            places.append(place[: thinned.shape[0]] + size * np.array([number % columns, number // columns]))
            labels.append(adata.obs["label"].astype(str).to_numpy()[: thinned.shape[0]])
        indptr = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
        group.create_dataset("indptr", data=indptr)
        group.attrs.update(
            {"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": (n_spots, adata.n_vars)}
        )
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        obs = pd.DataFrame(
            {"label": pd.Categorical(np.concatenate(labels))}, index=[f"spot_{i:07d}" for i in range(n_spots)]
        )
        anndata.io.write_elem(file, "obs", obs)
        anndata.io.write_elem(file, "var", pd.DataFrame(index=adata.var_names))
        anndata.io.write_elem(file, "obsm", {"spatial": np.concatenate(places)})


def measured(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Run a command; its wall seconds, processor seconds and peak memory in GB."""
    start = time.perf_counter()
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: see {folder / 'log'}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def run(name: str, n_spots: int, folder: Path, threads: int, device: str) -> list[dict[str, object]]:
    """Measure the three steps on one slice."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "slice.h5ad"
    if not source.exists():
        bundled = name == "151673" and not (DATA / SLICES[name]).exists()
        tile(DEMO if bundled else DATA / SLICES[name], source, n_spots)
    options = {
        "prepare_slice": ["--data", str(source)],
        "train": ["--prepared", "prepared.h5ad", "--device", device],
        "assign_domains": [
            *("--prepared", "prepared.h5ad", "--embedding", "embedding.npz"),
            *("--n-domains", str(N_DOMAINS[name])),
        ],
    }
    rows = []
    for step in STEPS:
        command = [sys.executable, str(BIN / f"{step}.py"), "--sample", name, "--threads", str(threads)]
        wall, processor, memory = measured(command + options[step], folder)
        rows.append({"slice": name, "spots": n_spots, "step": step, "wall": wall, "cpu": processor, "memory": memory})
        print(f"{name} {n_spots} {step}: {wall:.0f} s, processor {processor:.0f} s, {memory:.2f} GB", flush=True)
    return rows


def report(work: Path, threads: int) -> str:
    """Write all that was measured as Markdown, a line a slice, with the slope of time against spots."""
    rows = pd.DataFrame([row for path in sorted(work.glob("*/measured.json")) for row in json.loads(path.read_text())])
    lines = [
        "# Time and memory against spots",
        "",
        f"Written by `python benchmarks/domains/scale.py` on {datetime.now(UTC):%Y-%m-%d}; Python "
        f"{platform.python_version()}, {threads} threads on a machine of {os.cpu_count()} processors that others used "
        "at the same time: compare processor seconds. Each step is a process of its own, from reading its input to "
        "writing its result; memory is the peak of the largest. The slope is that of log processor seconds against log "
        "spots, from the line before and from the first.",
        "",
        "| slice | spots | prepare_slice | train | assign_domains | processor s | wall s | peak GB | slope | overall |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, slices in rows.groupby("slice", sort=True):
        before: list[tuple[int, float]] = []
        for n_spots, steps in slices.groupby("spots", sort=True):
            steps = steps.set_index("step")
            total = steps["cpu"].sum()
            slopes = [np.log(total / t) / np.log(n_spots / n) for n, t in before[-1:] + before[:1]]
            cells = [f"{steps.loc[step, 'cpu']:.0f}" for step in STEPS]
            cells += [f"{total:.0f}", f"{steps['wall'].sum():.0f}", f"{steps['memory'].max():.2f}"]
            cells += [f"{slope:.2f}" for slope in slopes] or ["", ""]
            lines.append(f"| {name} | {n_spots:,} | " + " | ".join(cells) + " |")
            before.append((n_spots, total))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spots", type=int, nargs="*", default=[3639, 30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument("--slice", choices=SLICES, default="151673")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--work", type=Path, default=HERE.parent.parent / "work/scale")
    parser.add_argument("--out", type=Path, default=HERE / "scale.md", help="the table")
    args = parser.parse_args()
    work = args.work.resolve() / args.device
    for n_spots in args.spots:
        folder = work / f"{args.slice}_{n_spots}"
        if not (folder / "measured.json").exists():
            rows = run(args.slice, n_spots, folder, args.threads, args.device)
            (folder / "measured.json").write_text(json.dumps(rows))
            for path in folder.glob("*.h5ad"):  # gigabytes
                path.unlink()
    args.out.write_text(report(work, args.threads))
    print(args.out.read_text())


if __name__ == "__main__":
    main()
