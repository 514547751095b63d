#!/usr/bin/env python3
"""Find what marks a slice's domains, score them, and bring all that the steps wrote together in one folder."""

import argparse
import json
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--parts", required=True, type=Path, help="folder with the steps' files")
    parser.add_argument("--meta", required=True, type=Path, help="the slice's row of the sample sheet, JSON")
    parser.add_argument("--params", required=True, type=Path, help="the run's parameters, JSON")
    parser.add_argument("--n-markers", type=int, default=100, help="most genes of a domain (default 100)")
    parser.add_argument("--data", type=Path, help="the slice's file or folder, where its annotation is a column of it")
    command_line.choice_options(parser)
    parser.add_argument("--annotation", help="known domains: a column of the slice, or a table (.tsv, .csv, .txt, .gz)")
    parser.add_argument("--proportions", type=Path, help="table of known proportions")
    parser.add_argument("--domain-names", type=Path, help="table of domain and name")
    parser.add_argument("--image", help="container that the step runs in, for provenance.json")


def main(args: argparse.Namespace) -> None:
    """Write a folder named as the sample; what cannot be scored is told once the rest is there."""
    from spotfuse._core import tables
    from spotfuse._core.errors import InputError, collected
    from spotfuse.pipeline import domain_names, provenance, scores, slice_folder

    meta, parameters = (json.loads(path.read_text()) for path in (args.meta, args.params))
    names = domain_names.read(args.domain_names) if args.domain_names else {}
    folder = Path(args.sample)
    folder.mkdir(exist_ok=True)
    problems: list[str] = []
    adata = tables.read_prepared(args.parts / "prepared.h5ad")
    with collected(problems):
        slice_folder.write_genes(args.parts, folder, adata, args.n_markers)
    scored = scores.of_slice(
        args.parts,
        problems,
        data=args.data,
        annotation=args.annotation,
        proportions=args.proportions,
        **command_line.choice_of(args),
    )
    adata = adata[tables.in_input_order(adata)].copy()
    figures = slice_folder.assemble(args.parts, folder, adata, meta, parameters, scored, args.annotation, names)
    slice_folder.write(args.parts, folder, adata, figures)
    told = provenance.of_slice(args.parts, meta, parameters, args.image)
    (folder / "provenance.json").write_text(json.dumps(told, indent=1) + "\n")
    if problems:
        raise InputError("; ".join(problems))


if __name__ == "__main__":
    command_line.run("collect_slice", __doc__, arguments, main)
