"""Spatial domains and cell-type proportions for spatial transcriptomics."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Loaded when first asked for: a command that needs one of them does not pay for, nor depend on, the others.
_HOMES = {
    "AttentionRegressionDeconv": "spotfuse.proportions",
    "InputError": "spotfuse._core.errors",
    "SpatialFusion": "spotfuse.spatialfusion",
    "clustering": "spotfuse.spatialfusion",
    "project_cell_to_spot": "spotfuse.spatialfusion",
}

__all__ = [
    "AttentionRegressionDeconv",
    "InputError",
    "SpatialFusion",
    "__version__",
    "clustering",
    "project_cell_to_spot",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'spotfuse' has no attribute {name!r}")
