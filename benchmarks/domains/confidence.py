#!/usr/bin/env python3
"""What a spot's confidence has meant: how often it lay in its domain's region of the annotation; writes confidence.md.

Run from the repository with the environment of `make setup`: `python benchmarks/domains/confidence.py`. SPOTFUSE_DATA
names the folder with the slices. Truth is read here for scores alone.
"""

from itertools import pairwise
from pathlib import Path

from ablation import DATA, HERE, SLICES

# isort: split
import numpy as np
import pandas as pd
import spotfuse as sf

NAMES = ("151673", "151674", "A1", "E1", "H1", "visual cortex")
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
    for name in NAMES:
        spots = in_region(DATA / SLICES[name][0])
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
