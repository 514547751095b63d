"""Learn an embedding of the spots of a prepared slice."""

from spotfuse.encoder._training import Embedding, train

__all__ = ["Embedding", "train"]
