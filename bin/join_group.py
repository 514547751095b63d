#!/usr/bin/env python3
"""Join the prepared slices of a group, to be learned together."""

import argparse
from pathlib import Path

from spotfuse import cli
from spotfuse.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--slices", required=True, nargs="+", help="the slices' names")
    parser.add_argument("--prepared", required=True, nargs="+", type=Path, help="what prepare_slice wrote of each")


def main(args: argparse.Namespace) -> None:
    """Write prepared.h5ad."""
    from spotfuse import groups, io

    if len(args.slices) != len(args.prepared):
        raise InputError(f"--prepared: {len(args.prepared)} files for {len(args.slices)} slices; give one for each")
    io.write(groups.join(args.sample, dict(zip(args.slices, args.prepared, strict=True))), "prepared.h5ad")


if __name__ == "__main__":
    cli.run("join_group", __doc__, arguments, main)
