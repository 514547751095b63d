#!/usr/bin/env python3
"""Estimate the cell types of each spot from a single-cell reference."""

import argparse
from pathlib import Path

from spotfuse import cli


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--prepared", required=True, type=Path, help="prepared.h5ad of the slice")
    parser.add_argument("--reference", required=True, type=Path, help="reference.h5ad")
    parser.add_argument("--method", default="attention_regression", choices=["attention_regression"])
    parser.add_argument("--phi", type=float, default=0.8, help="spatial autocorrelation (default 0.8)")
    parser.add_argument("--lambda-spatial", type=float, default=1.0, help="times the estimated smoothing (default 1)")
    parser.add_argument("--lambda-ridge", type=float, default=1.0, help="times the numerical ridge (default 1)")
    parser.add_argument("--n-iter", type=int, default=5, help="outer iterations (default 5)")
    parser.add_argument("--k-neighbors", type=int, default=6, help="spatial neighbours (default 6)")
    parser.add_argument("--seed", type=int, default=1, help="seed (default 1)")
    parser.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda"], help="the same on all; runs on CPU"
    )


def main(args: argparse.Namespace) -> None:
    """Write proportions.tsv, deconvolution.json and deconvolution_fit.tsv."""
    import json

    import anndata
    from spotfuse import tables
    from spotfuse.deconvolution import AttentionRegressionDeconv

    st, sc = anndata.read_h5ad(args.prepared), anndata.read_h5ad(args.reference)
    model = AttentionRegressionDeconv.from_anndata(
        st,
        sc,
        phi=args.phi,
        lambda_spatial=args.lambda_spatial,
        lambda_ridge=args.lambda_ridge,
        max_cells_per_type=sc.n_obs,
        n_iter=args.n_iter,
        n_jobs=args.threads,
        k_neighbors=args.k_neighbors,
        seed=args.seed,
    )
    proportions, _ = model.run()
    order = tables.in_input_order(st)
    tables.write(proportions.iloc[order].rename_axis("spot").reset_index(), "proportions.tsv")
    tables.write(model.fit_.iloc[order].rename_axis("spot").reset_index(), "deconvolution_fit.tsv")
    Path("deconvolution.json").write_text(json.dumps(model.summary(), indent=1) + "\n")


if __name__ == "__main__":
    cli.run("deconvolve", __doc__, arguments, main)
