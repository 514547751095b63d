#!/usr/bin/env python3
"""Read a slice, drop poor spots and genes, and add what later steps share: variable genes, components, graphs."""

import argparse
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--data", required=True, type=Path, help="the slice's file or folder")
    command_line.choice_options(parser)
    parser.add_argument("--min-counts", type=int, default=1, help="least counts of a spot (default 1)")
    parser.add_argument("--min-genes", type=int, default=1, help="least genes of a spot (default 1)")
    parser.add_argument("--max-mt-share", type=float, default=1.0, help="largest mitochondrial share (default 1: all)")
    parser.add_argument("--min-spots", type=int, default=3, help="least spots of a gene (default 3)")
    parser.add_argument("--n-top-genes", type=int, default=3000, help="variable genes (default 3000)")
    parser.add_argument("--n-components", type=int, default=50, help="principal components (default 50)")
    parser.add_argument("--n-neighbors", type=int, default=6, help="spatial neighbours off a grid (default 6)")


def main(args: argparse.Namespace) -> None:
    """Write prepared.h5ad and qc.tsv."""
    from spotfuse import io, preparation
    from spotfuse._core import tables

    adata, table = preparation.clean_and_prepare(
        io.read_slice(args.data, **command_line.choice_of(args)),
        min_counts=args.min_counts,
        min_genes=args.min_genes,
        max_mt_share=args.max_mt_share,
        min_spots=args.min_spots,
        n_top_genes=args.n_top_genes,
        n_components=args.n_components,
        n_neighbors=args.n_neighbors,
    )
    io.write(adata, "prepared.h5ad")
    tables.write(table, "qc.tsv")


if __name__ == "__main__":
    command_line.run("prepare_slice", __doc__, arguments, main)
