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
    np.savez("domains.npz", spot=spots, probabilities=found.probabilities)
    tables.write(found.curve, "n_domains.tsv")
