"""Learn an embedding of the spots of a prepared slice."""

from spotfuse.embedding._base import Embedding
from spotfuse.embedding._training import ENCODERS, train

__all__ = ["ENCODERS", "Embedding", "train"]
