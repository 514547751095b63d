"""Slices that are learned together: joined before the encoder, taken apart after the domains."""

from spotfuse.group._frames import align
from spotfuse.group._joining import Common, join
from spotfuse.group._mixing import mixing
from spotfuse.group._splitting import learned, split

__all__ = ["Common", "align", "join", "learned", "mixing", "split"]
