"""BANKSY with its advice for domains: lambda 0.8, on Visium 0.2. Usage: run_banksy.py SLICE K OUT."""

import anndata
import numpy as np
import scanpy as sc
from _common import arguments, leiden, write
from banksy.embed_banksy import generate_banksy_matrix
from banksy.initialize_banksy import initialize_banksy

adata, n_domains, out = arguments()
sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=min(2000, adata.n_vars))
sc.pp.normalize_total(adata)
adata = adata[:, adata.var["highly_variable"]].copy()
adata.X = adata.X.toarray()
adata.obs["x"], adata.obs["y"] = np.asarray(adata.obsm["spatial"], dtype=float)[:, :2].T
visium = "array_row" in adata.obs
drawn = dict.fromkeys(("plt_edge_hist", "plt_nbr_weights", "plt_theta"), False)
graphs = initialize_banksy(adata, ("x", "y", "spatial"), num_neighbours=18 if visium else 15, max_m=1, **drawn)
weight = 0.2 if visium else 0.8
matrix = generate_banksy_matrix(adata, graphs, [weight], max_m=1, verbose=False)[1]
joined = anndata.AnnData(np.asarray(matrix.X if hasattr(matrix, "X") else matrix, dtype=np.float32))
sc.pp.pca(joined, n_comps=20)
sc.pp.neighbors(joined, n_neighbors=50)
write(out, adata, leiden(joined, n_domains))
