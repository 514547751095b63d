"""What assign_domains leaves for the steps after it."""

import numpy as np
import pandas as pd
from anndata import AnnData

from spotfuse._core import tables
from spotfuse.domains import Domains


def write(found: Domains, adata: AnnData) -> None:
    """Write domains.tsv, in the input's order, domains.npz and n_domains.tsv into the current folder.

    Parameters
    ----------
    found
        Of the spots of `adata`.
    adata
        The prepared slice.
    """
    spots = adata.obs_names.to_numpy(str)
    table = pd.DataFrame({"spot": spots, "domain": found.labels, "confidence": found.confidence})
    tables.write(table.iloc[tables.in_input_order(adata)], "domains.tsv")
    arrays = {"spot": spots, "probabilities": found.probabilities}
    if found.source != "expression":  # of a group's files, all have a row a spot
        arrays["source"] = np.array(found.source)
    np.savez("domains.npz", **arrays)  # type: ignore[arg-type]
    tables.write(found.curve, "n_domains.tsv")
