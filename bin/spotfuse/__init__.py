"""Spatial domains and cell-type proportions for spatial transcriptomics.

A slice from its files to its report, each call on an AnnData, in place, with ``copy=True`` for a changed copy::

    import spotfuse as sf

    adata = sf.read("outs/")              # raw counts, coordinates and image, of whatever platform
    sf.pp.qc(adata)                       # drop spots and genes of which nothing can be said
    sf.pp.prepare(adata)                  # components, and graphs of neighbours in tissue and in expression
    sf.tl.embed(adata, seed=1)            # learn an embedding of the spots
    sf.tl.domains(adata, n_domains=7)     # obs['domain'], 1 to 7 by falling size; "auto" chooses their number
    sf.tl.proportions(adata, reference)   # obsm['proportions'], from single cells with obs['cell_type']
    sf.tl.markers(adata)                  # what tells domains apart; sf.tl.spatial_genes, sf.tl.neighbourhoods
    sf.pl.domains(adata)                  # a figure; all of sf.pl
    sf.report.slice(adata, "report.html") # all of it on one page

Values are those of the pipeline's steps, whatever the order of rows and columns. What is missing is said with the call
that makes it. Several slices are learned together by ``sf.tl.join`` and ``sf.tl.split``.

==================  ====================================================================================
``read``            a slice from its files; ``write`` for h5ad
``pp``              preparation: ``qc``, ``prepare``
``tl``              ``embed``, ``domains``, ``proportions``, ``markers``, ``spatial_genes``,
                    ``neighbourhoods``, ``join``, ``split``
``pl``              figures: ``domains``, ``confidence``, ``proportions``, ``gene``, ``attention``, …
``metrics``         scores against what is known: ``domains``, ``proportions``
``report``          ``slice``: one HTML file
``SpatialFusion``   with ``clustering`` and ``project_cell_to_spot``: the calls of GraphST's tutorials
``AttentionRegressionDeconv``
                    the deconvolution on tables and arrays
``InputError``      what all refusals are: one line that says what is wrong and what to do
==================  ====================================================================================

The stages themselves, on slices in the pipeline's order, are the packages ``spotfuse.io``, ``preparation``,
``embedding``, ``domains``, ``proportions``, ``patterns``, ``group`` and ``cohort``.
"""

import os

from spotfuse._core.lazy import lazily

# threads that wait by spinning take a busy machine from the others: training took ten times as long. OpenMP reads this
# when it is loaded, so it says nothing where torch or scikit-learn were imported before
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

# loaded when first asked for: a command that needs one of them does not pay for, nor depend on, the others
_HOMES = {
    "AttentionRegressionDeconv": "spotfuse.proportions",
    "InputError": "spotfuse._core.errors",
    "SpatialFusion": "spotfuse.spatialfusion",
    "clustering": "spotfuse.spatialfusion",
    "project_cell_to_spot": "spotfuse.spatialfusion",
    "read": "spotfuse.io:read_slice",
    "write": "spotfuse.io",
    **{name: f"spotfuse.{name}" for name in ("metrics", "pl", "plot", "pp", "report", "tl")},
}

__all__ = [
    "AttentionRegressionDeconv",
    "InputError",
    "SpatialFusion",
    "__version__",
    "clustering",
    "metrics",
    "pl",
    "plot",
    "pp",
    "project_cell_to_spot",
    "read",
    "report",
    "tl",
    "write",
]

__getattr__, __dir__ = lazily(__name__, _HOMES)
