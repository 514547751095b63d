#!/usr/bin/env python3
"""What a spot's confidence has meant: how often it lay in its domain's region of the annotation; writes confidence.md.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/confidence.py`. SPOTFUSE_DATA
names the folder with the slices. Truth is read here for scores alone.
"""

import os
import sys
from itertools import pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "bin"))

import numpy as np
import pandas as pd
import spotfuse as sf

DATA = Path(os.environ.get("SPOTFUSE_DATA", ROOT.parent / "shared/data"))
SLICES = {
    "151673": "dlpfc/151673.h5ad",
    "151674": "dlpfc/151674.h5ad",
    "A1": "her2st/A1.h5ad",
    "E1": "her2st/E1.h5ad",
    "H1": "her2st/H1.h5ad",
    "visual cortex": "starmap_visual_cortex/BY3_1k.h5ad",
}
EDGES = [0, 0.6, 0.8, 0.95, 1]


def in_region(path: Path) -> pd.DataFrame:
    """Give of each annotated spot its confidence, and whether it lies in the region that most of its domain is in."""
    adata = sf.read(path)
    known = adata.obs["label"].astype("string")
    sf.pp.prepare(adata)
    sf.tl.embed(adata)
    sf.tl.domains(adata, int(known.nunique()))
    found = adata.obs[["domain", "domain_confidence"]].assign(known=known.reindex(adata.obs_names)).dropna()
    main = pd.crosstab(found["domain"], found["known"]).idxmax(axis=1)
    right = found["domain"].map(main).astype(str) == found["known"]
    return pd.DataFrame({"confidence": found["domain_confidence"], "right": right})


def main() -> None:
    """Write the table."""
    lines = ["slice | " + " | ".join(f"{low:g} to {high:g}" for low, high in pairwise(EDGES))]
    lines.append("---|" * 4 + "---")
    for name, file in SLICES.items():
        spots = in_region(DATA / file)
        groups = spots.groupby(pd.cut(spots["confidence"], EDGES, include_lowest=True), observed=False)["right"]
        cells = [f"{np.mean(part):.0%} of {len(part)}" if len(part) else "–" for _, part in groups]
        lines.append(f"{name} | " + " | ".join(cells))
    text = "\n".join(f"| {line} |" if not line.startswith("---") else f"|{line}|" for line in lines)
    (HERE / "confidence.md").write_text(
        "# What a spot's confidence has meant\n\n"
        "Of the annotated spots of each confidence, the share in the region that most of their domain lies in, with\n"
        "as many domains as there are regions, seed 1; made by `confidence.py`.\n\n" + text + "\n"
    )


if __name__ == "__main__":
    main()
