"""The name that `spotfuse.pl` had."""

from spotfuse.pl import attention, composition, confidence, domains, dots, embedding, gene, proportions

__all__ = ["attention", "composition", "confidence", "domains", "dots", "embedding", "gene", "proportions"]
