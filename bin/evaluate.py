#!/usr/bin/env python3
"""Compare domains and proportions with what is known of the slice."""

import argparse
import json
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--data", required=True, type=Path, help="the slice's file or folder")
    command_line.choice_options(parser)
    parser.add_argument("--qc", required=True, type=Path, help="qc.tsv")
    parser.add_argument("--domains", type=Path, help="domains.tsv")
    parser.add_argument("--annotation", help="known domains: a column of the slice, or a table (.tsv, .csv, .txt, .gz)")
    parser.add_argument("--proportions", type=Path, help="proportions.tsv")
    parser.add_argument("--truth", type=Path, help="table of known proportions")


def main(args: argparse.Namespace) -> None:
    """Write scores.json."""
    from spotfuse import io, metrics
    from spotfuse._core import tables

    domains = proportions = None
    spots = tables.read_spots(args.qc).index
    if args.domains and args.annotation:
        annotation = io.read_annotation(args.data, args.annotation, **command_line.choice_of(args))
        domains = metrics.domain_scores(tables.read_column(args.domains, "domain"), annotation, spots)
    if args.proportions and args.truth:
        truth = io.read_numbers(args.truth)
        metrics.check_proportions(truth, args.truth)
        proportions = metrics.proportion_scores(tables.read_spots(args.proportions), truth)
    Path("scores.json").write_text(json.dumps({"domains": domains, "proportions": proportions}, indent=2) + "\n")


if __name__ == "__main__":
    command_line.run("evaluate", __doc__, arguments, main)
