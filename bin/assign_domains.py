#!/usr/bin/env python3
"""Divide a slice, or a group of slices, into domains by the embedding of its spots."""

import argparse
from pathlib import Path

from spotfuse._core.errors import InputError
from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this step."""
    parser.add_argument("--prepared", type=Path, required=True, help="what prepare_slice wrote")
    parser.add_argument("--embedding", type=Path, required=True, help="what train wrote")
    parser.add_argument("--n-domains", default="auto", help="number of domains, or auto (default)")
    parser.add_argument("--seed", type=int, default=1, help="of the mixtures' starts (default 1)")
    parser.add_argument(
        "--refinement",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let neighbours correct a spot (default: they do)",
    )


def main(args: argparse.Namespace) -> None:
    """Write domains.tsv, domains.npz and n_domains.tsv."""
    import numpy as np
    import pandas as pd
    from spotfuse import domains
    from spotfuse._core import tables

    try:
        n_domains = None if args.n_domains == "auto" else int(args.n_domains)
    except ValueError:
        raise InputError(f"--n-domains {args.n_domains}: take a whole number or auto") from None
    adata = tables.read_prepared(args.prepared, counts=False)
    with np.load(args.embedding) as file:
        spots, embedding = file["spot"], file["embedding"]
    if not np.array_equal(spots, adata.obs_names.to_numpy(str)):
        raise InputError(f"{args.embedding}: its spots are not those of {args.prepared}; train on that file")
    slices = adata.obs["slice"] if "group" in adata.uns["spotfuse"] else None
    found = domains.assign(adata, embedding, n_domains, slices=slices, seed=args.seed, refine=args.refinement)
    table = pd.DataFrame({"spot": spots, "domain": found.labels, "confidence": found.confidence})
    tables.write(table.iloc[tables.in_input_order(adata)], Path("domains.tsv"))
    np.savez("domains.npz", spot=spots, probabilities=found.probabilities)
    tables.write(found.curve, Path("n_domains.tsv"))


if __name__ == "__main__":
    command_line.run("assign_domains", __doc__, arguments, main)
