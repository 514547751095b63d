#!/usr/bin/env python3
"""Give each slice of a group its part of what was learned together, and tell how the slices mix."""

import argparse
from pathlib import Path

from spotfuse import cli


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--prepared", required=True, type=Path, help="what join_group wrote")
    parser.add_argument("--learned", required=True, type=Path, help="folder with what train and assign_domains wrote")


def main(args: argparse.Namespace) -> None:
    """Write slices/SLICE/ with the slice's part of each file, cohort/groups/GROUP.h5ad and GROUP.mixing.tsv."""
    from spotfuse import groups, io, tables

    joined = tables.read_prepared(args.prepared, counts=False)
    whole = groups.learned(joined, args.learned)
    groups.split(joined, args.learned, Path("slices"))
    Path("cohort/groups").mkdir(parents=True)
    io.write(whole, f"cohort/groups/{args.sample}.h5ad")
    tables.write(groups.mixing(whole), f"{args.sample}.mixing.tsv")


if __name__ == "__main__":
    cli.run("split_group", __doc__, arguments, main)
