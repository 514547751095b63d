#!/usr/bin/env python3
"""What a slice's explained share, and a spot's, have meant on spots whose cells are known; writes explained.md.

Run from the repository with the environment of `make setup`: `python benchmarks/deconvolution/explained.py`.
SPOTFUSE_DATA names the folder with the pairs. Truth is read here for scores alone.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "bin"))

import pandas as pd
import spotfuse as sf

DATA = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared/data")) / "deconvolution_pairs"


def measured(name: str) -> list[str]:
    """Give a row: the pair, its explained share, the error, and the error of the best and worst explained quarter."""
    adata = sf.read(DATA / f"{name}_spots.h5ad")
    truth = pd.read_csv(DATA / f"{name}_truth.tsv", sep="\t", index_col=0).loc[adata.obs_names]
    sf.pp.prepare(adata)
    sf.tl.proportions(adata, DATA / f"{name}_reference.h5ad")
    found = adata.obsm["proportions"].reindex(columns=truth.columns, fill_value=0)
    error = ((found - truth) ** 2).mean(axis=1) ** 0.5
    explained = adata.obsm["deconvolution_fit"]["explained"]
    low, high = explained.quantile([0.25, 0.75])
    figures = [explained.median(), error.mean(), error[explained >= high].mean(), error[explained <= low].mean()]
    return [name, *(f"{value:.2f}" for value in figures)]


def main() -> None:
    """Write the table."""
    names = sorted(path.name.removesuffix("_spots.h5ad") for path in DATA.glob("*_spots.h5ad"))
    head = ["pair", "explained, median", "error", "of the quarter explained best", "explained worst"]
    rows = [head, ["---"] * len(head), *map(measured, names)]
    (HERE / "explained.md").write_text(
        "# What the explained share has meant\n\n"
        "Sums of cells of another animal or half than the reference's; error is the root mean square over types of a\n"
        "spot's proportions against the known ones, mean over spots; made by `explained.py`.\n\n"
        + "\n".join(f"| {' | '.join(row)} |" for row in rows)
        + "\n"
    )


if __name__ == "__main__":
    main()
