"""SpaGCN without histology, as its tutorial calls it. Usage: run_spagcn.py SLICE K OUT."""

import random

import numpy as np
import scanpy as sc
import SpaGCN
import torch
from _common import arguments, write

adata, n_domains, out = arguments()
adata.var_names_make_unique()
sc.pp.normalize_total(adata)
sc.pp.log1p(adata)
x, y = np.asarray(adata.obsm["spatial"], dtype=float)[:, :2].T
adjacency = SpaGCN.calculate_adj_matrix(x=x, y=y, histology=False)
size = np.median(np.sort(adjacency, axis=1)[:, 1])  # its bounds are meant for neighbours some pixels apart
length = SpaGCN.search_l(0.5, adjacency, start=size / 100, end=size * 100, tol=0.01, max_run=100)
seeds = {"r_seed": 100, "t_seed": 100, "n_seed": 100}
resolution = SpaGCN.search_res(
    adata, adjacency, length, n_domains, start=0.7, step=0.1, tol=5e-3, lr=0.05, max_epochs=20, **seeds
)
random.seed(100)
torch.manual_seed(100)
np.random.seed(100)
model = SpaGCN.SpaGCN()
model.set_l(length)
model.train(adata, adjacency, init_spa=True, init="louvain", res=resolution, tol=5e-3, lr=0.05, max_epochs=200)
domain = np.asarray(model.predict()[0])
shape = "hexagon" if "array_row" in adata.obs else "square"
refined = SpaGCN.refine(sample_id=adata.obs_names.tolist(), pred=domain.tolist(), dis=adjacency, shape=shape)
write(out, adata, domain, refined)
