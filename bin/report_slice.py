#!/usr/bin/env python3
"""Write one slice's report: a single HTML file that opens from disk and asks no network for anything."""

import argparse
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--slice", type=Path, required=True, help="folder that collect_slice wrote")


def main(args: argparse.Namespace) -> None:
    """Write report.html."""
    from spotfuse import report

    Path("report.html").write_text(report.of_slice(args.slice, args.sample), encoding="utf-8")


if __name__ == "__main__":
    command_line.run("report_slice", __doc__, arguments, main)
