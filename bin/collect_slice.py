#!/usr/bin/env python3
"""Bring what the steps wrote of a slice together in one folder."""

import argparse
import json
from pathlib import Path

from spotfuse import cli


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--parts", required=True, type=Path, help="folder with the steps' files")
    parser.add_argument("--meta", required=True, type=Path, help="the slice's row of the sample sheet, JSON")
    parser.add_argument("--params", required=True, type=Path, help="the run's parameters, JSON")
    parser.add_argument("--annotation", help="known domains: a column of the slice, or a table (.tsv, .csv, .txt, .gz)")


def main(args: argparse.Namespace) -> None:
    """Write a folder named as the sample."""
    from spotfuse import collect

    meta, parameters = (json.loads(path.read_text()) for path in (args.meta, args.params))
    adata, figures = collect.assemble(args.parts, meta, parameters, args.annotation)
    collect.write(args.parts, Path(args.sample), adata, figures)


if __name__ == "__main__":
    cli.run("collect_slice", __doc__, arguments, main)
