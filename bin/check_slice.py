#!/usr/bin/env python3
"""Open all that is given for a slice, and refuse with one line what later steps could not use."""

import argparse
import json
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--data", required=True, type=Path, help="the slice's file or folder")
    command_line.choice_options(parser)
    parser.add_argument("--n-domains", default="auto", help="a number, or auto (default)")
    parser.add_argument("--reference", type=Path, help="single-cell reference: .h5ad, 10x .h5 or folder, or a table")
    parser.add_argument(
        "--cell-type-key", default="cell_type", help="its column, or a table, of cell types (default cell_type)"
    )
    parser.add_argument("--annotation", help="known domains: a column of the slice, or a table (.tsv, .csv, .txt, .gz)")
    parser.add_argument("--proportions", type=Path, help="table of known proportions")
    parser.add_argument("--domain-names", type=Path, help="table of domain and name")


def main(args: argparse.Namespace) -> None:
    """Write check.json."""
    from spotfuse import io
    from spotfuse.pipeline import check, provenance

    adata = check.slice_and_truth(
        args.data,
        **command_line.choice_of(args),
        n_domains=args.n_domains,
        reference=args.reference,
        cell_type_key=args.cell_type_key,
        annotation=args.annotation,
        proportions=args.proportions,
        domain_names=args.domain_names,
    )
    note = adata.uns["spotfuse"]
    found = {
        "kind": note["kind"],
        "platform": note["platform"],
        "n_spots": adata.n_obs,
        "n_genes": adata.n_vars,
        "n_counts": int(adata.X.nnz),  # not zero: what memory grows with
        "notes": note["notes"],
        "inputs": {
            name: provenance.digest(Path(path))
            for name, path in vars(args).items()
            if path
            and name in ("data", "annotation", "proportions", "domain_names")
            and (name != "annotation" or io.is_table(path))
        },
    }
    Path("check.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    command_line.run("check_slice", __doc__, arguments, main)
