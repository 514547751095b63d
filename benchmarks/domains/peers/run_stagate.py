"""STAGATE (its maintained distribution) as its tutorial calls it. Usage: run_stagate.py SLICE K OUT."""

import scanpy as sc
import STAGATE_pyG
import torch
from _common import arguments, mclust, write

adata, n_domains, out = arguments()
sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=min(3000, adata.n_vars))
sc.pp.normalize_total(adata, target_sum=1e4)
sc.pp.log1p(adata)
STAGATE_pyG.Cal_Spatial_Net(adata, k_cutoff=6, model="KNN")
adata = STAGATE_pyG.train_STAGATE(adata, device=torch.device("cpu"))
write(out, adata, mclust(adata.obsm["STAGATE"], n_domains))
