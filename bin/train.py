#!/usr/bin/env python3
"""Learn an embedding of the spots of a prepared slice."""

import argparse
from pathlib import Path

from spotfuse.embedding import ENCODERS
from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this step."""
    parser.add_argument("--prepared", type=Path, required=True, help="what prepare_slice wrote")
    parser.add_argument(
        "--encoder", choices=list(ENCODERS), default="spotfuse", help="model to train (default spotfuse)"
    )
    parser.add_argument("--epochs", type=int, help="steps of the optimiser (default: the encoder's)")
    parser.add_argument("--seed", type=int, default=1, help="of weights, dropout and corruption (default 1)")
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to train (default auto)"
    )


def main(args: argparse.Namespace) -> None:
    """Write embedding.npz and loss.tsv."""
    from spotfuse import embedding
    from spotfuse._core import tables
    from spotfuse.pipeline import embedding_files

    # our own encoder reads none
    adata = tables.read_prepared(args.prepared, counts=args.encoder != "spotfuse")
    learned = embedding.train(
        adata, encoder=args.encoder, epochs=args.epochs, seed=args.seed, device=args.device, threads=args.threads
    )
    embedding_files.write(learned, adata)


if __name__ == "__main__":
    command_line.run("train", __doc__, arguments, main)
