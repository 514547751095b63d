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
    parser.add_argument(
        "--domains-from",
        default="expression",
        choices=["expression", "composition", "both"],
        help="what is divided: expression (default), the cell types of the spots, or both",
    )
    parser.add_argument("--proportions", type=Path, help="what deconvolve wrote, for all but expression")
    parser.add_argument("--seed", type=int, default=1, help="of the mixtures' starts (default 1)")
    parser.add_argument(
        "--refinement",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="let neighbours correct a spot (default: they do)",
    )


def main(args: argparse.Namespace) -> None:
    """Write domains.tsv, domains.npz and n_domains.tsv."""
    from spotfuse import domains
    from spotfuse._core import tables
    from spotfuse.pipeline import domain_files, embedding_files

    if args.domains_from != "expression" and args.proportions is None:
        raise InputError(f"--domains-from {args.domains_from}: also give --proportions, which deconvolve writes")
    adata = tables.read_prepared(args.prepared, counts=False)
    found = domains.assign(
        adata,
        embedding_files.read(args.embedding, adata, args.prepared),
        command_line.number_of_domains(args.n_domains),
        slices=adata.obs["slice"] if "group" in adata.uns["spotfuse"] else None,
        seed=args.seed,
        refine=args.refinement,
        composition=None if args.proportions is None else tables.read_spots(args.proportions).reindex(adata.obs_names),
        domains_from=args.domains_from,
    )
    domain_files.write(found, adata)


if __name__ == "__main__":
    command_line.run("assign_domains", __doc__, arguments, main)
