#!/usr/bin/env python3
"""Bring what the steps wrote of a slice together in one folder."""

import argparse
import json
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--parts", required=True, type=Path, help="folder with the steps' files")
    parser.add_argument("--meta", required=True, type=Path, help="the slice's row of the sample sheet, JSON")
    parser.add_argument("--params", required=True, type=Path, help="the run's parameters, JSON")
    parser.add_argument("--annotation", help="known domains: a column of the slice, or a table (.tsv, .csv, .txt, .gz)")
    parser.add_argument("--domain-names", type=Path, help="table of domain and name")
    parser.add_argument("--image", help="container that the step runs in, for provenance.json")


def main(args: argparse.Namespace) -> None:
    """Write a folder named as the sample."""
    from spotfuse.pipeline import domain_names, provenance, slice_folder

    meta, parameters = (json.loads(path.read_text()) for path in (args.meta, args.params))
    names = domain_names.read(args.domain_names) if args.domain_names else {}
    adata, figures = slice_folder.assemble(args.parts, meta, parameters, args.annotation, names)
    slice_folder.write(args.parts, Path(args.sample), adata, figures)
    told = provenance.of_slice(args.parts, meta, parameters, args.image)
    (Path(args.sample) / "provenance.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    command_line.run("collect_slice", __doc__, arguments, main)
