"""What the peers' programs share; each runs in its own environment, so nothing of Spotfuse is here."""

import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd


def arguments() -> tuple[anndata.AnnData, int, Path]:
    """Slice, number of domains, and where the labels go."""
    return anndata.read_h5ad(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])


def write(path: Path, adata: anndata.AnnData, domain: object, refined: object = None) -> None:
    """Write the labels, and the refined ones of tools that refine."""
    table = pd.DataFrame({"domain": np.asarray(domain).astype(str)}, index=adata.obs_names)
    if refined is not None:
        table["refined"] = np.asarray(refined).astype(str)
    table.to_csv(path, sep="\t", index_label="spot")


def leiden(adata: anndata.AnnData, n_domains: int) -> pd.Series:
    """Cluster the neighbour graph at the resolution that gives so many clusters, or nearly so many; by halving."""
    import scanpy as sc

    low, high, best = 0.0, 4.0, None
    for _ in range(25):
        resolution = (low + high) / 2
        sc.tl.leiden(adata, resolution, flavor="igraph", n_iterations=2, random_state=0)
        found = adata.obs["leiden"].nunique()
        if best is None or abs(found - n_domains) < abs(best.nunique() - n_domains):
            best = adata.obs["leiden"].copy()
        if found == n_domains:
            break
        low, high = (resolution, high) if found < n_domains else (low, resolution)
    return best


def mclust(values: np.ndarray, n_domains: int) -> np.ndarray:
    """R's Mclust with its own start, as the tutorials of GraphST and STAGATE call it."""
    from rpy2 import robjects
    from rpy2.robjects import conversion, default_converter, numpy2ri

    run = robjects.r("""function(x, k) {
        suppressMessages(library(mclust))
        set.seed(2020)
        Mclust(x, k, "EEE", verbose = FALSE)$classification
    }""")
    with conversion.localconverter(default_converter + numpy2ri.converter):
        return np.array(run(np.asarray(values, dtype=np.float64), n_domains)).astype(int)
