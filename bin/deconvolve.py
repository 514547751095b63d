#!/usr/bin/env python3
"""Estimate the cell types of each spot from a single-cell reference."""

import argparse
from pathlib import Path

from spotfuse.pipeline import command_line


def phi(text: str) -> float | str:
    """Read a number, or that it is to be estimated."""
    return text if text == "estimated" else float(text)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--prepared", required=True, type=Path, help="prepared.h5ad of the slice")
    parser.add_argument("--reference", required=True, type=Path, help="reference.h5ad")
    parser.add_argument(
        "--method",
        default="attention_regression",
        choices=["attention_regression", "cell_mapping", "both"],
        help="how proportions are found (default attention_regression; both: proportions.tsv is its)",
    )
    parser.add_argument(
        "--output", default="cells", choices=["cells", "molecules"], help="what shares are of (default cells)"
    )
    parser.add_argument("--phi", type=phi, default=0.8, help="spatial autocorrelation, or 'estimated' (default 0.8)")
    parser.add_argument(
        "--lambda-cell", type=float, default=1.0, help="hold of proportions on a spot's cells (default 1)"
    )
    parser.add_argument("--lambda-spatial", type=float, default=1.0, help="times the estimated smoothing (default 1)")
    parser.add_argument("--lambda-ridge", type=float, default=1.0, help="times the numerical ridge (default 1)")
    parser.add_argument("--n-iter", type=int, default=5, help="outer iterations (default 5)")
    parser.add_argument("--k-neighbors", type=int, default=6, help="spatial neighbours (default 6)")
    parser.add_argument("--temperature", type=float, default=1.0, help="of the cell mapping's weights (default 1)")
    parser.add_argument(
        "--retain-percent",
        type=float,
        default=1.0,
        help="share of a spot's cells, the heaviest, that the cell mapping counts (default 1)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed (default 1)")
    parser.add_argument(
        "--device", default="auto", choices=["auto", "cpu", "cuda"], help="where to work (default auto)"
    )


def main(args: argparse.Namespace) -> None:
    """Write the proportions, their uncertainty, the cells of each spot, and how all that went."""
    import json

    import pandas as pd
    from anndata import AnnData
    from scipy import sparse
    from spotfuse._core import backend, guard, tables
    from spotfuse.proportions import AttentionRegressionDeconv

    device = backend.device(args.device)
    st, sc = tables.read_prepared(args.prepared), guard.read_h5ad(args.reference)
    order = tables.in_input_order(st)
    shared = {
        "max_cells_per_type": sc.n_obs,
        "k_neighbors": args.k_neighbors,
        "output": args.output,
        "seed": args.seed,
        "device": device,
    }

    def write(table: pd.DataFrame, name: str) -> None:
        tables.write(table.iloc[order], name, index="spot")

    def write_map(weights: sparse.csr_matrix, cells: pd.Index, types: pd.Series) -> None:
        """Write which cells a spot is made of."""
        chosen = pd.DataFrame({"cell_type": pd.Categorical(types)}, index=cells)
        spots = pd.DataFrame(index=st.obs_names[order])
        AnnData(weights[order].astype("float32"), obs=spots, var=chosen).write_h5ad("cell_map.h5ad", compression="gzip")

    summary = {}
    if args.method != "cell_mapping":
        model = AttentionRegressionDeconv.from_anndata(
            st,
            sc,
            phi=args.phi,
            lambda_cell=args.lambda_cell,
            lambda_spatial=args.lambda_spatial,
            lambda_ridge=args.lambda_ridge,
            n_iter=args.n_iter,
            n_jobs=args.threads,
            **shared,
        )
        proportions, _ = model.run()
        summary = model.summary()
        weights = model.map_cells()
    if args.method != "attention_regression":
        from spotfuse import proportions

        mapped = proportions.map_cells(st, sc, temperature=args.temperature, **shared)
        shares = mapped.proportions(args.retain_percent)
    if args.method == "cell_mapping":
        write(shares, "proportions.tsv")
        write(mapped.fit(), "deconvolution_fit.tsv")
        write_map(mapped.weights, mapped.cells, pd.Series(mapped.types))
        summary = mapped.summary
    else:
        write(proportions, "proportions.tsv")
        write(model.uncertainty_, "proportions_sd.tsv")
        write(model.fit_, "deconvolution_fit.tsv")
        write_map(weights, model.cells_, model.cell_types_)
        if args.method == "both":
            write(shares, "proportions_cell_mapping.tsv")
            summary["cell_mapping"] = mapped.summary
    Path("deconvolution.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    command_line.run("deconvolve", __doc__, arguments, main)
