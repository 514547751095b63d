#!/usr/bin/env python3
"""Find the genes that tell each domain from the rest, those with a pattern in space, and each domain's counts."""

import argparse
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--prepared", required=True, type=Path, help="prepared.h5ad")
    parser.add_argument("--domains", required=True, type=Path, help="domains.tsv")
    parser.add_argument("--n-markers", type=int, default=100, help="most genes of a domain (default 100)")


def main(args: argparse.Namespace) -> None:
    """Write markers.tsv, spatial_genes.tsv and domain_counts.tsv."""
    from spotfuse import patterns
    from spotfuse._core import tables

    adata = tables.read_prepared(args.prepared)
    domains = tables.read_column(args.domains, "domain")
    found = {
        "markers.tsv": patterns.markers(adata, domains, n_genes=args.n_markers),
        "spatial_genes.tsv": patterns.spatial_genes(adata),
        "domain_counts.tsv": patterns.pseudobulk_counts(adata, domains),
    }
    for name, table in found.items():
        tables.write(table, name)


if __name__ == "__main__":
    command_line.run("find_markers", __doc__, arguments, main)
