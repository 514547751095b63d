"""What the parts of a slice are called: one vocabulary for the pipeline's h5ad, the functions and the plots."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spotfuse._core.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

# obs
DOMAIN, CONFIDENCE, DOMAIN_NAME = "domain", "domain_confidence", "domain_name"
CELL_TYPE, CELL_CLASS = "cell_type", "cell_type_class"  # of slices whose spots are cells
ORDER = "neutral_order"  # the place of each spot in the order in which all is computed
# var
HIGHLY_VARIABLE = "highly_variable"
# obsm
SPATIAL = "spatial"
X_PCA, X_PCA_LOG = "X_pca", "X_pca_log"
X_PCA_ALONE, X_PCA_LOG_ALONE = "X_pca_alone", "X_pca_log_alone"  # of joined slices, as each has them alone
X_SPOTFUSE, ATTENTION = "X_spotfuse", "attention"
EMB = "emb"  # what GraphST's tutorials call an embedding
PROBABILITIES = "domain_probabilities"
PROPORTIONS, PROPORTIONS_SD, FIT, CELL_MAP = "proportions", "proportions_sd", "deconvolution_fit", "cell_map"
# obsp
SPATIAL_GRAPH, FEATURE_GRAPH = "spatial_connectivities", "feature_connectivities"
# uns, and what stands in it: tables go by the names of the pipeline's files
NOTE = "spotfuse"
CELL_TYPES = "cell_types"
DOMAINS_FROM = "domains_from"  # what was divided: expression or composition
QC, LOSS, N_DOMAINS = "qc", "loss", "n_domains"
MARKERS, SPATIAL_GENES, NEIGHBOURHOODS = "markers", "spatial_genes", "neighbourhoods"
ALIGNMENT = "alignment"
TABLES = (QC, LOSS, N_DOMAINS, MARKERS, SPATIAL_GENES, NEIGHBOURHOODS)

_MADE_BY = {
    SPATIAL: "sf.read, or put x and y of the spots there",
    **dict.fromkeys((X_PCA, X_PCA_LOG, SPATIAL_GRAPH, FEATURE_GRAPH, HIGHLY_VARIABLE), "sf.pp.prepare"),
    **dict.fromkeys((X_SPOTFUSE, ATTENTION, LOSS), "sf.tl.embed"),
    **dict.fromkeys((DOMAIN, CONFIDENCE, PROBABILITIES), "sf.tl.domains"),
    **dict.fromkeys((PROPORTIONS, PROPORTIONS_SD, FIT), "sf.tl.proportions"),
}


def need(adata: "AnnData", where: str, *names: str) -> None:
    """Refuse a slice that lacks what is needed, and name the call that makes it.

    Parameters
    ----------
    adata
        The slice.
    where
        ``obs``, ``var``, ``obsm`` or ``obsp``.
    *names
        What must be there.

    Raises
    ------
    InputError
        For the first of them that is not there.
    """
    for name in names:
        if name not in getattr(adata, where):
            call = _MADE_BY.get(name)
            told = f"; call {call} first" if call else ""
            raise InputError(f"{where}['{name}'] is not there{told}")


def note_of(adata: "AnnData") -> dict[str, Any]:
    """Give ``uns['spotfuse']``, where all is kept that is of no single spot or gene; made if it is not there."""
    note: dict[str, Any] = adata.uns.setdefault(NOTE, {})
    return note


def embedding_of(adata: "AnnData") -> str:
    """Say which embedding a slice has: Spotfuse's, else one of GraphST's calls, else the components of its counts.

    Parameters
    ----------
    adata
        The slice.

    Returns
    -------
    The key in ``obsm``.

    Raises
    ------
    InputError
        When it has none.
    """
    found = next((name for name in (X_SPOTFUSE, EMB, X_PCA) if name in adata.obsm), X_SPOTFUSE)
    need(adata, "obsm", found)
    return found


def proportions_of(adata: "AnnData") -> pd.DataFrame:
    """Give the cell types of a slice's spots by their own names, whether they stand as a table or as an array.

    Parameters
    ----------
    adata
        With ``obsm['proportions']``, a DataFrame, or an array whose columns ``uns['spotfuse']['cell_types']`` names.

    Returns
    -------
    DataFrame of shape (n_spots, n_types), float64.

    Raises
    ------
    InputError
        Without proportions, or names for them.
    """
    need(adata, "obsm", PROPORTIONS)
    values, types = adata.obsm[PROPORTIONS], adata.uns.get(NOTE, {}).get(CELL_TYPES)
    if isinstance(values, pd.DataFrame):
        written = {str(name).replace("/", "_"): str(name) for name in ([] if types is None else types)}
        return values.astype(float).set_axis([written.get(str(name), str(name)) for name in values], axis=1)
    if types is None or len(types) != values.shape[1]:
        raise InputError(
            f"obsm['{PROPORTIONS}'] has {values.shape[1]} columns without names; give a DataFrame, a column a cell type"
        )
    return pd.DataFrame(np.asarray(values, float), adata.obs_names, [str(name) for name in types])
