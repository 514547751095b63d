"""Learn an embedding of the spots of a prepared slice."""

from typing import TYPE_CHECKING

from spotfuse._core.lazy import lazily
from spotfuse.embedding._encoders import ENCODERS

if TYPE_CHECKING:
    from spotfuse.embedding._base import Embedding, Encoder
    from spotfuse.embedding._published import Published
    from spotfuse.embedding._spotfuse import Settings
    from spotfuse.embedding._training import train

__all__ = ["ENCODERS", "Embedding", "Encoder", "Published", "Settings", "train"]

# torch takes seconds to be imported: who only wants to know which encoders there are does not wait
__getattr__, __dir__ = lazily(
    __name__,
    {
        "ENCODERS": "spotfuse.embedding._encoders",
        "Embedding": "spotfuse.embedding._base",
        "Encoder": "spotfuse.embedding._base",
        "Published": "spotfuse.embedding._published",
        "Settings": "spotfuse.embedding._spotfuse",
        "train": "spotfuse.embedding._training",
    },
)
