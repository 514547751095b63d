"""Cell-type proportions of spots, from a single-cell reference."""

from typing import TYPE_CHECKING

from spotfuse._core.lazy import lazily
from spotfuse.proportions._registry import METHODS
from spotfuse.proportions._settings import (
    CellMappingSettings,
    CellTypeSettings,
    ClassSettings,
    ProfileSettings,
    ReferenceSettings,
    RegressionSettings,
    Settings,
)

if TYPE_CHECKING:
    from spotfuse.metrics import evaluate
    from spotfuse.proportions._cell_mapping import map_cells, project
    from spotfuse.proportions._cell_types import CellTypes, cell_types, obs_of
    from spotfuse.proportions._classes import found_classes, of_classes
    from spotfuse.proportions._gene_matching import match_genes
    from spotfuse.proportions._methods import Proportions, estimate, options_of
    from spotfuse.proportions._reference import as_reference, read_reference
    from spotfuse.proportions.regression._model import AttentionRegressionDeconv

__all__ = [
    "METHODS",
    "AttentionRegressionDeconv",
    "CellMappingSettings",
    "CellTypeSettings",
    "CellTypes",
    "ClassSettings",
    "ProfileSettings",
    "Proportions",
    "ReferenceSettings",
    "RegressionSettings",
    "Settings",
    "as_reference",
    "cell_types",
    "estimate",
    "evaluate",
    "found_classes",
    "map_cells",
    "match_genes",
    "obs_of",
    "of_classes",
    "options_of",
    "project",
    "read_reference",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "METHODS": "spotfuse.proportions._registry",
        **dict.fromkeys(
            (
                "CellMappingSettings",
                "CellTypeSettings",
                "ClassSettings",
                "ProfileSettings",
                "ReferenceSettings",
                "RegressionSettings",
                "Settings",
            ),
            "spotfuse.proportions._settings",
        ),
        "AttentionRegressionDeconv": "spotfuse.proportions.regression._model",
        "evaluate": "spotfuse.metrics",
        **dict.fromkeys(("Proportions", "estimate", "options_of"), "spotfuse.proportions._methods"),
        **dict.fromkeys(("CellTypes", "cell_types", "obs_of"), "spotfuse.proportions._cell_types"),
        **dict.fromkeys(("found_classes", "of_classes"), "spotfuse.proportions._classes"),
        **dict.fromkeys(("map_cells", "project"), "spotfuse.proportions._cell_mapping"),
        "match_genes": "spotfuse.proportions._gene_matching",
        **dict.fromkeys(("as_reference", "read_reference"), "spotfuse.proportions._reference"),
    },
)
