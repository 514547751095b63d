#!/usr/bin/env python3
"""Find the genes that tell each domain from the rest, those with a pattern in space, and each domain's counts."""

import argparse
from pathlib import Path

from spotfuse import cli


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--prepared", required=True, type=Path, help="prepared.h5ad")
    parser.add_argument("--domains", required=True, type=Path, help="domains.tsv")
    parser.add_argument("--n-markers", type=int, default=100, help="most genes of a domain (default 100)")


def main(args: argparse.Namespace) -> None:
    """Write markers.tsv, spatial_genes.tsv and domain_counts.tsv."""
    from spotfuse import markers, matching, spatial_genes, tables

    adata = tables.read_prepared(args.prepared)
    domains = tables.read_column(args.domains, "domain")
    found = {
        "markers.tsv": markers.find(adata, domains, n_genes=args.n_markers),
        "spatial_genes.tsv": spatial_genes.find(adata),
        "domain_counts.tsv": matching.counts(adata, domains),
    }
    for name, table in found.items():
        tables.write(table, name)


if __name__ == "__main__":
    cli.run("find_markers", __doc__, arguments, main)
