"""Learn an embedding of the spots of a prepared slice."""

from spotfuse.encoder._training import ENCODERS, Embedding, train

__all__ = ["ENCODERS", "Embedding", "train"]
