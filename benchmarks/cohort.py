"""Fifty slices in one run: time, memory, what a slice owes to the others, what a changed one costs; writes cohort.md.

Run from the repository with the environment of `make setup`: `python benchmarks/cohort.py`. The slices are real ones,
each several times with another random half of its counts; pairs of mPFC slices are learned together, others alone.
Runs: the first ten slices, all of them (with `-resume`, as a cohort grows), one slice alone in a run of its own, and
all of them again after one slice's file was changed. SPOTFUSE_DATA names the folder with the slices.
"""

import argparse
import csv
import os
import platform
import re
import shutil
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared/data"))
SLICES = {  # file, number of domains, group or nothing
    "mpfc5": ("starmap_mpfc/BZ5.h5ad", 4, "mpfc"),
    "mpfc9": ("starmap_mpfc/BZ9.h5ad", 4, "mpfc"),
    "visual": ("starmap_visual_cortex/BY3_1k.h5ad", 7, ""),
    "breastA": ("her2st/A1.h5ad", 6, ""),
    "breastE": ("her2st/E1.h5ad", 4, ""),
    "breastH": ("her2st/H1.h5ad", 6, ""),
    "pancreas": ("pdac_a/st.h5ad", 4, ""),
    "starmap": ("starmap_sim_deconv/st.h5ad", 4, ""),
    "seqfish": ("seqfishplus_cortex_svz/st_grid500.h5ad", 4, ""),
    "dlpfc": ("dlpfc/151673.h5ad", 7, ""),
}
CHANGED = "visual_2"
TABLES = ("domains", "markers", "qc", "loss")
UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "KB": 2**-20, "MB": 2**-10, "GB": 1.0}


def thinned(source: Path, path: Path, seed: int) -> None:
    """Write a slice with a random half of every count."""
    adata = anndata.read_h5ad(source)
    counts = sparse.csr_matrix(adata.X)
    random = np.random.default_rng(seed)
    counts.data = random.binomial(counts.data.astype(np.int64), 0.5).astype(np.float32)
    counts.eliminate_zeros()
    anndata.AnnData(counts, obs=adata.obs[[]], var=adata.var[[]], obsm={"spatial": adata.obsm["spatial"]}).write_h5ad(
        path
    )


def sheet(folder: Path, n_slices: int) -> Path:
    """Write the slices and their sheet."""
    rows = []
    for number in range(n_slices):
        name, (file, n_domains, group) = list(SLICES.items())[number % len(SLICES)]
        copy = number // len(SLICES)
        path = folder / f"{name}_{copy}.h5ad"
        if not path.exists():
            thinned(DATA / file, path, number)
        rows.append(
            {
                "sample": path.stem,
                "data": path.name,
                "group": f"{group}_{copy}" if group else "",
                "n_domains": n_domains,
                "donor": f"donor{copy}",
                "condition": "treated" if copy % 2 else "control",
            }
        )
    pd.DataFrame(rows).to_csv(folder / f"sheet{n_slices}.csv", index=False)
    return folder / f"sheet{n_slices}.csv"


def run(folder: Path, name: str, table: Path, *options: str) -> dict[str, Any]:
    """Run the pipeline; its seconds, its tasks by step and status, and each step's largest memory."""
    results = folder / f"results_{name}"
    start = time.perf_counter()
    command = [ROOT / "tools/nextflow", "-q", "run", ROOT, "--input", table, "--outdir", results, *options]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the run {name} failed: see {folder / name}.log")
    with max(results.glob("pipeline_info/execution_trace_*.txt")).open(newline="") as lines:
        tasks = list(csv.DictReader(lines, delimiter="\t"))
    memory: dict[str, float] = {}
    for task in tasks:
        step = task["process"].split(":")[-1].lower()
        memory[step] = max(memory.get(step, 0.0), amount(task["peak_rss"]))
    return {
        "wall": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "ran": Counter(
            (task["process"].split(":")[-1].lower(), task["tag"]) for task in tasks if task["status"] == "COMPLETED"
        ),
        "n_cached": sum(task["status"] == "CACHED" for task in tasks),
        "memory": memory,
    }


def amount(text: str) -> float:
    """Gigabytes (or seconds) of Nextflow's way of writing them."""
    return sum(float(value) * UNITS[unit] for value, unit in re.findall(r"([\d.]+) ?([a-zA-Z]+)", text))


def differing(one: Path, other: Path, sample: str) -> list[str]:
    """Names of a slice's tables that two runs wrote differently."""
    return [t for t in TABLES if (one / sample / f"{t}.tsv").read_bytes() != (other / sample / f"{t}.tsv").read_bytes()]


def report(runs: dict[str, dict[str, Any]], n_slices: int, alone: list[str], others: list[str]) -> str:
    """Write it as Markdown."""
    full = runs["all"]
    steps = sorted({step for made in runs.values() for step in made["memory"]})
    changed = ", ".join(f"{step} ({tag})" if tag else step for step, tag in sorted(runs["changed"]["ran"]))
    lines = [
        "# A cohort of fifty slices",
        "",
        f"Written by `python benchmarks/cohort.py` on {datetime.now(UTC):%Y-%m-%d}; Python "
        f"{platform.python_version()}, a machine of {os.cpu_count()} processors that others used at the same time.",
        "",
        "| run | slices | tasks run | tasks cached | processor s | wall s |",
        "|---|---|---|---|---|---|",
    ]
    for name, label, count in (
        ("ten", "the first ten", 10),
        ("all", "all, `-resume`", n_slices),
        ("alone", f"`{CHANGED}` alone", 1),
        ("changed", f"all, `-resume`, after `{CHANGED}` was changed", n_slices),
    ):
        made = runs[name]
        cells = (label, count, sum(made["ran"].values()), made["n_cached"], f"{made['cpu']:.0f}", f"{made['wall']:.0f}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    lines += [
        "",
        f"Of {', '.join(TABLES)}, those of `{CHANGED}` that differ between the run of all and its run alone: "
        f"{', '.join(alone) or 'none'}; those of other slices that differ after it was changed: "
        f"{', '.join(others) or 'none'}.",
        "",
        f"What ran again after it was changed: {changed}.",
        "",
        "Largest memory of a step's tasks, GB:",
        "",
        "| step | ten slices | all |",
        "|---|---|---|",
        *(
            f"| {step} | {runs['ten']['memory'].get(step, 0):.2f} | {full['memory'].get(step, 0):.2f} |"
            for step in steps
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=50)
    parser.add_argument("--work", type=Path, default=ROOT / "work/cohort")
    parser.add_argument("--out", type=Path, default=HERE / "cohort.md", help="the table")
    args = parser.parse_args()
    folder = args.work.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    table = sheet(folder, args.slices)
    runs = {"ten": run(folder, "ten", sheet(folder, 10)), "all": run(folder, "all", table, "-resume")}
    lines = table.read_text().splitlines()
    single = folder / "alone.csv"
    single.write_text("\n".join([lines[0], *(line for line in lines if line.startswith(f"{CHANGED},"))]) + "\n")
    own = folder / "alone"  # what a folder's last run was is what -resume goes on from
    own.mkdir()
    runs["alone"] = run(own, "alone", single)
    alone = differing(folder / "results_all", own / "results_alone", CHANGED)
    thinned(DATA / SLICES[CHANGED.split("_")[0]][0], folder / f"{CHANGED}.h5ad", 1000)
    runs["changed"] = run(folder, "changed", table, "-resume")
    others = sorted(
        f"{line.split(',')[0]}/{name}"
        for line in lines[1:]
        if not line.startswith(f"{CHANGED},")
        for name in differing(folder / "results_all", folder / "results_changed", line.split(",")[0])
    )
    args.out.write_text(report(runs, args.slices, alone, others))
    print(args.out.read_text())


if __name__ == "__main__":
    main()
