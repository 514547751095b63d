"""Cell-type proportions of spots, from a single-cell reference."""

from spotfuse.deconvolution._evaluation import evaluate
from spotfuse.deconvolution._model import AttentionRegressionDeconv

__all__ = ["AttentionRegressionDeconv", "evaluate"]
