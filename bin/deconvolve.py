#!/usr/bin/env python3
"""Estimate the cell types of each spot from a single-cell reference."""

import argparse
from pathlib import Path

from spotfuse.pipeline import command_line
from spotfuse.proportions import METHODS

MAPPED_SPOTS = 20_000  # the map takes longer than the proportions, and most of the memory


def phi(text: str) -> float | str:
    """Read a number, or that it is to be estimated."""
    return text if text == "estimated" else float(text)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--prepared", required=True, type=Path, help="prepared.h5ad of the slice")
    parser.add_argument("--reference", required=True, type=Path, help="reference.h5ad")
    parser.add_argument(
        "--method",
        default="attention_regression",
        choices=[*METHODS, "both"],
        help="how proportions are found (default attention_regression; both: proportions.tsv is its)",
    )
    parser.add_argument(
        "--output", default="cells", choices=["cells", "molecules"], help="what shares are of (default cells)"
    )
    parser.add_argument(
        "--cell-map",
        default="auto",
        choices=["auto", "always", "never"],
        help=f"say of which cells each spot is made (default auto: for up to {MAPPED_SPOTS:,} spots)",
    )
    parser.add_argument("--phi", type=phi, default=0.8, help="spatial autocorrelation, or 'estimated' (default 0.8)")
    parser.add_argument(
        "--lambda-cell", type=float, default=1.0, help="hold of proportions on a spot's cells (default 1)"
    )
    parser.add_argument("--lambda-spatial", type=float, default=1.0, help="times the estimated smoothing (default 1)")
    parser.add_argument("--lambda-ridge", type=float, default=1.0, help="times the numerical ridge (default 1)")
    parser.add_argument("--n-iter", type=int, default=5, help="outer iterations (default 5)")
    parser.add_argument("--k-neighbors", type=int, default=6, help="spatial neighbours (default 6)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the cell mapping's weights (default 1)")
    parser.add_argument(
        "--retain-percent",
        type=float,
        default=1.0,
        help="share of a spot's cells, the heaviest, that the cell mapping counts (default 1)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed (default 1)")
    parser.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda"], help="where to work (default auto)"
    )


def main(args: argparse.Namespace) -> None:
    """Write proportions, their uncertainty, the cells of each spot or the types of cells, and how all that went."""
    from spotfuse import io, proportions
    from spotfuse._core import guard, tables
    from spotfuse.pipeline import proportion_files

    st, sc = tables.read_prepared(args.prepared), guard.read_h5ad(args.reference)
    shared = {name: getattr(args, name) for name in ("output", "k_neighbors", "seed", "device", "threads")}
    found = {}
    for method in ("attention_regression", "cell_mapping") if args.method == "both" else (args.method,):
        own = {name: getattr(args, name) for name in proportions.options_of(method)}
        found[method] = proportions.estimate(st, sc, method, **shared, **own)
    typed = proportions.cell_types(st, sc, seed=args.seed) if io.holds_cells(st) else None
    mapped = args.cell_map == "always" or (args.cell_map == "auto" and st.n_obs <= MAPPED_SPOTS)
    proportion_files.write(found, st, typed, cell_map=mapped)


if __name__ == "__main__":
    command_line.run("deconvolve", __doc__, arguments, main)
