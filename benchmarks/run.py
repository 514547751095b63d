"""Processor seconds and memory of each step of a run, beside those of run.md; writes run.md.

Run from the repository with the environment of `make setup`: `python benchmarks/run.py` (the demo), or with ``--quick``
(the profile test, nothing written). Wall time depends on what else runs; processor seconds and memory hardly do.
"""

import argparse
import os
import platform
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
GREW = 1.2  # from which on a figure is marked
FIGURES = ["processor_seconds", "peak_rss_mb", "modules"]


def measure(profile: str) -> tuple[pd.DataFrame, float]:
    """Run a profile from scratch; give each step's sums and maxima over its tasks, and the wall seconds."""
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.monotonic(), os.times()
        subprocess.run(
            [HERE.parent / "tools/nextflow", "run", HERE.parent, "-profile", profile],
            cwd=folder,
            env=os.environ | {"NXF_ANSI_LOG": "false"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        seconds, after = time.monotonic() - start, os.times()
        (path,) = Path(folder).glob("results/pipeline_info/steps_*.tsv")
        tasks = pd.read_csv(path, sep="\t")
    steps = tasks.groupby("step", sort=False)[FIGURES].agg(
        {"processor_seconds": "sum", "peak_rss_mb": "max", "modules": "max"}
    )
    steps.insert(0, "tasks", tasks["step"].value_counts())
    every = sum(after[2:4]) - sum(before[2:4])
    # Nextflow's Java and the shells around the commands
    steps.loc["nextflow"] = [0, every - steps["processor_seconds"].sum(), 0, 0]
    steps.loc["all"] = [len(tasks), every, steps["peak_rss_mb"].max(), 0]
    return steps.round(1), seconds


def committed(path: Path) -> pd.DataFrame:
    """Read the table of run.md."""
    rows = [line.strip("|").split("|") for line in path.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    return pd.DataFrame(cells[2:], columns=cells[0]).set_index("step")[FIGURES].astype(float)


def main() -> None:
    """Measure, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the profile test; compare nothing, write nothing")
    args = parser.parse_args()
    steps, seconds = measure("test" if args.quick else "test_full")
    print(steps.to_string())
    if args.quick:
        return
    path = HERE / "run.md"
    if path.exists():
        before = committed(path).reindex(steps.index)
        grew = (steps[FIGURES] / before).stack()
        for step, figure in grew[grew > GREW].index:
            print(f"grew: {step}, {figure}: {before.loc[step, figure]:g} -> {steps.loc[step, figure]:g}")
    table = steps.reset_index().astype({"tasks": int, "peak_rss_mb": int, "modules": int})
    lines = [table.columns, ["---"] * len(table.columns), *table.to_numpy().tolist()]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} CPUs, {seconds:.0f} s wall"
    )
    path.write_text(
        f"# A run of the demo, step by step\n\n`python benchmarks/run.py`: {about}, nothing cached.\n"
        f"Processor seconds are sums over tasks, memory (MB) and modules loaded the most of any.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
