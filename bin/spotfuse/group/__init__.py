"""Slices that are learned together: joined before the encoder, taken apart after the domains."""

from spotfuse.group._frames import FRAMES, align, join_in_frame
from spotfuse.group._joining import Common, join
from spotfuse.group._mixing import mixing
from spotfuse.group._settings import Settings
from spotfuse.group._splitting import learned, split

__all__ = ["FRAMES", "Common", "Settings", "align", "join", "join_in_frame", "learned", "mixing", "split"]
