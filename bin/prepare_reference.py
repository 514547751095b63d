#!/usr/bin/env python3
"""Read and clean a single-cell reference."""

import argparse
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--reference", required=True, type=Path, help="raw counts: .h5ad, 10x .h5 or folder, or a table"
    )
    parser.add_argument(
        "--cell-type-key", default="cell_type", help="its column, or a table, of cell types (default cell_type)"
    )
    parser.add_argument("--max-cells-per-type", type=int, default=1000, help="cells drawn of a type (default 1000)")
    parser.add_argument("--min-cells-per-type", type=int, default=1, help="types with fewer go (default 1: none)")
    parser.add_argument(
        "--cell-type-names", type=Path, help="table of type and its new name: the same to merge, none to drop"
    )
    parser.add_argument("--seed", type=int, default=1, help="decides which cells are drawn (default 1)")


def main(args: argparse.Namespace) -> None:
    """Write reference.h5ad."""
    from spotfuse import proportions

    adata = proportions.read_reference(
        args.reference,
        args.cell_type_key or "cell_type",
        max_cells_per_type=args.max_cells_per_type,
        min_cells_per_type=args.min_cells_per_type,
        types=args.cell_type_names,
        seed=args.seed,
    )
    adata.write_h5ad("reference.h5ad", compression="gzip", compression_opts=1)


if __name__ == "__main__":
    command_line.run("prepare_reference", __doc__, arguments, main)
