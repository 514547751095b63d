"""From counts to what encoders read: quality control, graphs, variable genes, components."""

from spotfuse.preparation._components import Part, add_components, fixed_signs, principal_components, smoothed
from spotfuse.preparation._graphs import averaging, between_slices, most_similar, spacing, spatial_graph, tiles
from spotfuse.preparation._in_order import InOrder, counts_of
from spotfuse.preparation._normalise import log_normalise, log_normalised, residual
from spotfuse.preparation._prepare import clean_and_prepare, prepare
from spotfuse.preparation._qc import QC_COLUMNS, judge, neutral_order, quality_control, take
from spotfuse.preparation._settings import Settings
from spotfuse.preparation._variable_genes import most_variable

__all__ = [
    "QC_COLUMNS",
    "InOrder",
    "Part",
    "Settings",
    "add_components",
    "averaging",
    "between_slices",
    "clean_and_prepare",
    "counts_of",
    "fixed_signs",
    "judge",
    "log_normalise",
    "log_normalised",
    "most_similar",
    "most_variable",
    "neutral_order",
    "prepare",
    "principal_components",
    "quality_control",
    "residual",
    "smoothed",
    "spacing",
    "spatial_graph",
    "take",
    "tiles",
]
