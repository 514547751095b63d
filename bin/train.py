#!/usr/bin/env python3
"""Learn an embedding of the spots of a prepared slice."""

import argparse
from pathlib import Path

from spotfuse.pipeline import command_line


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this step."""
    parser.add_argument("--prepared", type=Path, required=True, help="what prepare_slice wrote")
    parser.add_argument(
        "--encoder", choices=["spotfuse", "published"], default="spotfuse", help="model to train (default spotfuse)"
    )
    parser.add_argument("--epochs", type=int, help="steps of the optimiser (default: the encoder's)")
    parser.add_argument("--seed", type=int, default=1, help="of weights, dropout and corruption (default 1)")
    parser.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="where to train (default auto)"
    )


def main(args: argparse.Namespace) -> None:
    """Write embedding.npz and loss.tsv."""
    import numpy as np
    from spotfuse import embedding
    from spotfuse._core import tables

    # only the published encoder reads counts
    adata = tables.read_prepared(args.prepared, counts=args.encoder == "published")
    learned = embedding.train(
        adata, encoder=args.encoder, epochs=args.epochs, seed=args.seed, device=args.device, threads=args.threads
    )
    np.savez("embedding.npz", spot=adata.obs_names.to_numpy(str), embedding=learned.values, attention=learned.attention)
    tables.write(learned.losses, Path("loss.tsv"))


if __name__ == "__main__":
    command_line.run("train", __doc__, arguments, main)
