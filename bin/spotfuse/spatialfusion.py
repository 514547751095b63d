"""Spatial domains as users of GraphST and SpatialFusion call for them, on this package's own parts.

    model = SpatialFusion(adata, device=device, random_seed=1999, datatype="10X")
    adata = model.train()
    clustering(adata, n_clusters=7, refinement=True)
    adata.obs["domain"]

Cell types, from a single-cell reference with ``obs['cell_type']``:

    model = SpatialFusion(adata, adata_sc, random_seed=50, deconvolution=True)
    adata, adata_sc = model.train_map()
    project_cell_to_spot(adata, adata_sc, retain_percent=0.15)

What the tutorials do to the two before (``preprocess``, ``construct_interaction``, ``filter_with_overlap_gene`` …) is
left out: raw counts go in.
"""

import logging
import warnings
from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import PCA

from spotfuse import domains, embedding, io, preparation, proportions
from spotfuse._core import backend, keys, naming, progress
from spotfuse._core.errors import InputError
from spotfuse._core.notes import Notes
from spotfuse._core.types import Ints
from spotfuse.embedding import ENCODERS, Published

log = logging.getLogger(__name__)

_DATATYPES = {"10X": False, "Stereo": True, "Slide": True}
_PCA_DIMENSIONS = 20


class SpatialFusion:
    """Learn an embedding of a slice's spots with SpatialFusion's model, or with Spotfuse's own.

    Names, order and defaults of the arguments are GraphST's. Those marked *no effect* are accepted, so that scripts
    run, and warned of where they differ from their default.

    Parameters
    ----------
    adata
        Slice with raw counts in ``X``, ``layers['counts']`` or ``raw`` and coordinates in ``obsm['spatial']``, found as
        `spotfuse.io.read_slice` finds them; not changed.
        Normalising, variable genes and graphs are this package's: a ``var['highly_variable']`` is not read.
    adata_sc
        Single-cell reference of the cell mapping, with raw counts likewise and types in ``obs['cell_type']``.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` …, or a `torch.device`.
    learning_rate, weight_decay
        Of Adam.
    learning_rate_sc, lamda1, lamda2
        Of the cell mapping: of its autoencoder, and weights of its reconstruction and its contrast.
    epochs
        Steps of Adam; None for the encoder's own number, which is 600 for the published one.
    dim_input, theta
        *No effect*, as in the published program.
    dim_output
        Width of the latent embedding, a multiple of 4.
    random_seed
        Of weights, dropout, corruption and, in `clustering`, of the mixtures' starts.
    alpha, beta
        Weights of reconstruction and contrast in the loss.
    deconvolution
        *No effect*: what is called decides.
    datatype
        ``10X``, ``Stereo`` or ``Slide``: where self-loops go in the graphs, and whether rows of the embedding get
        length 1 (`spotfuse.embedding.Published`).
    encoder
        ``published``, or ``spotfuse``: then `learning_rate`, `weight_decay`, `dim_output`, `alpha`, `beta` and
        `datatype` have no effect.

    Raises
    ------
    InputError
        For what is not counts, spots without counts or coordinates, and arguments out of range.

    References
    ----------
    Long et al. 2023, Nat Commun 14:1155 (GraphST).
    """

    def __init__(
        self,
        adata: AnnData,
        adata_sc: AnnData | None = None,
        device: str | torch.device = "auto",
        learning_rate: float = 0.001,
        learning_rate_sc: float = 0.01,
        weight_decay: float = 0.0,
        epochs: int | None = None,
        dim_input: int = 3000,
        dim_output: int = 64,
        random_seed: int = 41,
        alpha: float = 10,
        beta: float = 1,
        theta: float = 0.1,
        lamda1: float = 10,
        lamda2: float = 1,
        deconvolution: bool = False,
        datatype: str = "10X",
        *,
        encoder: str = "published",
    ) -> None:
        for name, given in (("adata", adata), ("adata_sc", adata_sc)):
            if not isinstance(given, AnnData) and (given is not None or name == "adata"):
                raise InputError(f"{name} is a {type(given).__name__}; give an AnnData")
        if deconvolution and adata_sc is None:
            raise InputError("deconvolution=True needs adata_sc, a single-cell reference with obs['cell_type']")
        if datatype not in _DATATYPES:
            raise InputError(f"datatype '{datatype}' is not known; take one of {', '.join(_DATATYPES)}")
        if dim_output < 4 or dim_output % 4:
            raise InputError(f"dim_output {dim_output}: take a multiple of 4, the number of attention heads")
        if encoder not in ENCODERS:
            raise InputError(f"encoder is {encoder!r}; it must be one of {', '.join(ENCODERS)}")
        if epochs is not None and epochs < 1:
            raise InputError(f"epochs is {epochs}; it must be 1 or more")
        idle = {
            "dim_input": (dim_input, 3000),
            "theta": (theta, 0.1),
        }
        if encoder != "published":
            idle |= {
                "learning_rate": (learning_rate, 0.001),
                "weight_decay": (weight_decay, 0.0),
                "dim_output": (dim_output, 64),
                "alpha": (alpha, 10),
                "beta": (beta, 1),
            }
        _warn_of_idle(idle)
        self.adata, self.adata_sc = adata, adata_sc
        self.learning_rate_sc, self.lamda1, self.lamda2 = learning_rate_sc, lamda1, lamda2
        try:
            self.device = torch.device(device) if device != "auto" else None
        except (RuntimeError, TypeError):
            raise InputError(f"device is {device!r}; it must be auto, cpu, cuda or cuda:0 …") from None
        self.epochs, self.random_seed, self.datatype, self.encoder = epochs, random_seed, datatype, encoder
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.dim_output, self.alpha, self.beta = dim_output, alpha, beta
        self.losses: pd.DataFrame | None = None

    def train(self) -> AnnData:
        """Train, and return a copy of the slice with the embedding.

        Returns
        -------
        AnnData
            With ``obsm['emb']`` (n_spots, d), float32; ``obsm['attention']`` (n_spots, 2): the weights of the spatial
            and the feature branch; ``obsp['spatial_connectivities']`` and ``obsp['feature_connectivities']``;
            ``uns['spotfuse']``; with Spotfuse's own encoder, the components that vote beside it in `clustering`,
            ``obsm['emb_X_pca']`` and ``obsm['emb_X_pca_log']``. The published ``emb`` is the reconstructed expression,
            n_spots × 3000; this one has the same distances between spots, and so the same principal components, in
            `dim_output` columns. The history of the loss is left in `losses`.
        """
        work = preparation.InOrder.of(_counts(self.adata), counts=True, anew=True)
        preparation.prepare(work.adata)
        place = self._place()
        with progress.shown(), torch.cuda.device(place) if place.type == "cuda" else nullcontext():
            learned = embedding.train(
                work.adata,
                encoder=self._published if self.encoder == "published" else self.encoder,
                epochs=self.epochs,
                seed=self.random_seed,
                device=place.type,
                threads=torch.get_num_threads(),
            )
        self.losses = learned.losses
        adata = self.adata.copy()
        adata.obsm[keys.EMB] = work.back(learned.values)
        adata.obsm[keys.ATTENTION] = work.back(learned.attention)
        for name in (keys.SPATIAL_GRAPH, keys.FEATURE_GRAPH):
            adata.obsp[name] = work.graph_back(work.adata.obsp[name])
        if self.encoder != "published":
            for name in domains.PLAIN:
                adata.obsm[f"emb_{name}"] = work.back(work.adata.obsm[name])
        adata.uns[keys.NOTE] = {
            "encoder": self.encoder,
            "datatype": self.datatype,
            "seed": self.random_seed,
            "epochs": len(learned.losses),
        }
        return adata

    def train_map(self) -> tuple[AnnData, AnnData]:
        """Learn which cells of the reference each spot is a mixture of; see `spotfuse.proportions`.

        Returns
        -------
        adata
            A copy of the slice with ``obsm['map_matrix']`` (n_spots, n_cells), sparse, rows sum to 1; and
            ``obsm['emb_sp']``, the spots in the space where cells are mixed.
        adata_sc
            A copy of the reference with ``obsm['emb_sc']``, the cells there. Cells without a type, or without counts in
            the shared genes, have a weight of 0 everywhere, and NaN here.

        Raises
        ------
        InputError
            Without a reference, for what is not counts, or too few shared genes.
        """
        if self.adata_sc is None:
            raise InputError("train_map needs a reference: SpatialFusion(adata, adata_sc)")
        slice_, cells = _counts(self.adata), _raw(self.adata_sc, "adata_sc")
        order = _order(slice_)
        cells.obs_names = pd.Index([name or "cell" for name in naming.plain(cells.obs_names)], dtype=object)
        cells.obs_names_make_unique()
        with progress.shown():
            found = proportions.map_cells(
                slice_[order].copy(),
                cells,
                reconstruction=self.lamda1,
                contrast=self.lamda2,
                learning_rate=self.learning_rate_sc,
                max_cells_per_type=cells.n_obs,
                seed=self.random_seed,
                device=self._place(),
            )
        back = np.argsort(order)
        adata, adata_sc = self.adata.copy(), self.adata_sc.copy()
        column = cells.obs_names.get_indexer(found.cells)
        gather = sparse.csr_matrix(
            (np.ones(len(column), np.float32), (np.arange(len(column)), column)), shape=(len(column), adata_sc.n_obs)
        )
        adata.obsm["map_matrix"] = sparse.csr_matrix(found.weights[back].astype(np.float32) @ gather)
        adata.obsm["emb_sp"] = found.spot_features[back]
        adata_sc.obsm["emb_sc"] = np.full((adata_sc.n_obs, found.cell_features.shape[1]), np.nan, np.float32)
        adata_sc.obsm["emb_sc"][column] = found.cell_features
        self.losses = found.losses
        return adata, adata_sc

    def __repr__(self) -> str:
        sizes = f"{self.adata.n_obs} spots × {self.adata.n_vars} genes"
        if self.adata_sc is not None:
            sizes += f", {self.adata_sc.n_obs} cells"
        state = "not trained" if self.losses is None else "trained"
        return f"SpatialFusion({sizes}, encoder={self.encoder!r}, random_seed={self.random_seed}; {state})"

    def _place(self) -> torch.device:
        kind = backend.device("auto" if self.device is None else self.device.type)
        return torch.device(kind) if self.device is None else self.device

    def _published(self, adata: AnnData, seed: int) -> Published:
        model = Published.from_slice(
            adata,
            seed,
            beads=_DATATYPES[self.datatype],
            n_latent=self.dim_output,
            reconstruction=self.alpha,
            contrast=self.beta,
        )
        model.learning_rate, model.weight_decay = self.learning_rate, self.weight_decay
        return model


def clustering(
    adata: AnnData,
    n_clusters: int | None = 7,
    radius: int = 50,
    key: str = keys.EMB,
    method: str = "mclust",
    start: float = 0.1,
    end: float = 3.0,
    increment: float = 0.01,
    refinement: bool = False,
) -> None:
    """Divide an embedded slice into domains, in place.

    Written are ``obs['domain']`` (categorical, "1" … "K" by falling size), the same as ``obs['mclust']``,
    ``obs['domain_confidence']``, ``obsm['domain_probabilities']`` (n_spots, K) and ``obsm['emb_pca']`` (n_spots, up to
    20). See `spotfuse.domains.assign`: other than in GraphST, a consensus of mixtures at several scales of smoothing,
    and always exactly `n_clusters`.

    Parameters
    ----------
    adata
        What `SpatialFusion.train` returned.
    n_clusters
        Domains; None to choose their number.
    radius
        No effect: refinement weighs a spot's neighbours in the tissue and keeps thin layers, which a majority of the
        50 nearest spots erases.
    key
        The embedding in ``obsm``.
    method
        ``mclust``.
    start, end, increment
        Resolutions at which GraphST's Leiden method looks: no effect.
    refinement
        Let a spot's neighbours correct it.

    Raises
    ------
    InputError
        For another method, a missing embedding, or an impossible number.
    """
    if method != "mclust":
        raise InputError(
            f"method '{method}' is not offered; take 'mclust', or cluster obsm['{key}'] with scanpy.tl.{method}"
        )
    if key not in adata.obsm:
        raise InputError(f"obsm['{key}'] is not there; call clustering on what SpatialFusion(...).train() returned")
    if n_clusters is not None and not 1 <= n_clusters <= adata.n_obs:
        raise InputError(
            f"n_clusters is {n_clusters}; take a number from 1 to {adata.n_obs}, the number of spots, or None"
        )
    _warn_of_idle({"radius": (radius, 50), "start": (start, 0.1), "end": (end, 3.0), "increment": (increment, 0.01)})
    embedding = np.asarray(adata.obsm[key], dtype=np.float64)
    order = _order(adata)
    graph = adata.obsp[keys.SPATIAL_GRAPH] if keys.SPATIAL_GRAPH in adata.obsp else None
    graph = sparse.csr_matrix(preparation.spatial_graph(adata) if graph is None else graph)
    plain = {name: adata.obsm[f"emb_{name}"][order] for name in domains.PLAIN if f"emb_{name}" in adata.obsm}
    found = domains.assign(
        AnnData(
            obs=adata.obs[[]].iloc[order],
            obsm=plain if key == keys.EMB else {},
            obsp={keys.SPATIAL_GRAPH: graph[order][:, order]},
        ),
        embedding[order],
        n_clusters,
        seed=adata.uns.get(keys.NOTE, {}).get("seed", 1),
        refine=refinement,
    )
    back = np.argsort(order)
    names = [str(number) for number in range(1, found.probabilities.shape[1] + 1)]
    adata.obs[keys.DOMAIN] = pd.Categorical(found.labels[back].astype(str), categories=names)
    adata.obs["mclust"] = adata.obs[keys.DOMAIN]
    adata.obs[keys.CONFIDENCE] = found.confidence[back]
    adata.obsm[keys.PROBABILITIES] = found.probabilities[back]
    n_components = min(_PCA_DIMENSIONS, *embedding.shape)
    adata.obsm["emb_pca"] = PCA(n_components, svd_solver="full").fit_transform(embedding).astype(np.float32)


def project_cell_to_spot(adata: AnnData, adata_sc: AnnData, retain_percent: float = 0.1) -> None:
    """Sum the cell map by type, in place: a column of ``obs`` for each type, rows of all of them summing to 1.

    The same are written together as ``obsm['proportions']``, a DataFrame, which `spotfuse.pl` reads.

    Parameters
    ----------
    adata, adata_sc
        What `SpatialFusion.train_map` returned.
    retain_percent
        Share of a spot's cells, those with the largest weights, that count. Cells without a type never do.

    Raises
    ------
    InputError
        Without a map or types, for a share outside of (0, 1], and when a column of ``obs`` would be lost.
    """
    if "map_matrix" not in adata.obsm:
        raise InputError("obsm['map_matrix'] is not there; call this on what SpatialFusion(...).train_map() returned")
    if "cell_type" not in adata_sc.obs:
        raise InputError("adata_sc.obs has no column 'cell_type' for the cell types")
    labels = adata_sc.obs["cell_type"].astype("string").str.strip()
    types = pd.Categorical(labels.where(~labels.str.lower().isin(naming.NO_LABEL), None).astype(object))
    shares = pd.DataFrame(
        proportions.project(adata.obsm["map_matrix"], types, retain_percent), adata.obs_names, types.categories
    )
    there = [name for name in shares if name in adata.obs and name not in adata.uns.get("projected", [])]
    if there:
        raise InputError(f"obs has a column '{there[0]}' already, and a cell type is called so: rename one of them")
    adata.uns["projected"] = list(shares)
    adata.obsm[keys.PROPORTIONS] = shares
    for name in shares:
        adata.obs[name] = shares[name]


def _raw(adata: AnnData, name: str) -> AnnData:
    """Find raw counts, and coordinates where it is the slice, and say what was put right."""
    notes = Notes()
    found = io.counts_of(adata, name, notes)
    found = AnnData(sparse.csr_matrix(found.X, dtype=np.float32), obs=found.obs, var=found.var)
    if name == "adata":
        found.obsm["spatial"] = io.coordinates_of(adata, name, notes)
    for note in notes:
        log.warning(note)
    found.uns["spotfuse"] = {"notes": notes}
    return found


def _counts(adata: AnnData) -> AnnData:
    """Raw counts of all spots, with coordinates and the array's columns: what preparation reads."""
    raw = _raw(adata, "adata")
    array = [name for name in ("array_row", "array_col", "array_x", "array_y", "in_tissue") if name in adata.obs]
    found = AnnData(
        raw.X,
        obs=adata.obs[array].copy(),
        var=pd.DataFrame(index=raw.var_names),
        obsm={"spatial": raw.obsm["spatial"]},
        uns=dict(raw.uns),
    )
    kept, table = preparation.quality_control(found)
    if kept.n_obs < adata.n_obs:
        first = table[~table["kept"]].iloc[0]
        raise InputError(
            f"{adata.n_obs - kept.n_obs} spots of {adata.n_obs} cannot be embedded, the first of them "
            f"{first['spot']} ({first['reason']}): leave them out before"
        )
    return kept


def _order(adata: AnnData) -> Ints:
    """Give the pipeline's order of spots, in which sums, draws and starts do not hang on their names or rows."""
    values = sparse.csr_matrix(adata.layers["counts"] if adata.X is None else adata.X)
    common = np.flatnonzero(values.getnnz(axis=0) >= 3)  # what quality control keeps
    return preparation.neutral_order(
        values[:, common], adata.var_names[common], adata.obs_names, io.coordinates_of(adata, "adata", Notes())
    )


def _warn_of_idle(arguments: dict[str, tuple[float, float]]) -> None:
    given = [f"{name}={value}" for name, (value, default) in arguments.items() if value != default]
    if given:
        warnings.warn(f"without effect here: {', '.join(given)}", stacklevel=3)
