"""The encoders there are."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spotfuse.embedding._base import Encoder


def _spotfuse() -> "type[Encoder]":
    from spotfuse.embedding._spotfuse import Spotfuse

    return Spotfuse


def _published() -> "type[Encoder]":
    from spotfuse.embedding._published import Published

    return Published


# A further encoder is a file with its class and a row here. Rows import when they are asked for: the published encoder
# brings torch-geometric, which takes seconds.
ENCODERS: "dict[str, Callable[[], type[Encoder]]]" = {"spotfuse": _spotfuse, "published": _published}
