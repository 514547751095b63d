"""How the slices of each group mix."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from spotfuse._core.tables import read_back

MIXING = [
    "group",
    "n_slices",
    "n_spots",
    "n_genes_shared",
    "n_domains",
    "ilisi",
    "ilisi_at_random",
    "ari",
    "in_common",
    "unlike",
]


def join_mixing(files: Sequence[Path]) -> pd.DataFrame:
    """Join the groups' tables of how their slices mix (`spotfuse.group.mixing`), sorted by group."""
    found = [read_back(path) for path in files]
    return pd.concat(found).sort_values("group", ignore_index=True) if found else pd.DataFrame(columns=MIXING)
