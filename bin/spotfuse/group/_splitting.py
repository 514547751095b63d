"""A group's slices taken apart again."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from spotfuse._core import tables
from spotfuse.group._settings import SETTINGS, Settings

log = logging.getLogger(__name__)


def split(joined: AnnData, learned: Path, folder: Path, settings: Settings = SETTINGS) -> dict[str, str]:
    """Write of each slice what train and assign_domains would have written of it alone, and in_common.json.

    Parameters
    ----------
    joined
        From `join`.
    learned
        Folder with what these steps wrote of it.
    folder
        Where the slices' folders are made.
    settings
        Of which slice's tissue too little is in common.

    Returns
    -------
    Why slices of the group were left out, by name.
    """
    slices = joined.obs["slice"].astype(str).to_numpy()
    spots = np.array([name.partition("/")[2] for name in joined.obs_names])
    domains = tables.read_back(learned / "domains.tsv")
    domains["slice"], domains["spot"] = zip(*domains["spot"].str.split("/", n=1), strict=True)
    common = json.loads(joined.uns["spotfuse"]["in_common"])
    files = {}
    for name in ("embedding.npz", "domains.npz"):
        with np.load(learned / name) as file:
            files[name] = dict(file)
    for name, part in domains.groupby("slice"):
        own = folder / str(name)
        own.mkdir(parents=True)
        rows = slices == name
        tables.write(part.drop(columns="slice"), own / "domains.tsv")
        told = {"in_common": common[name], "unlike": common[name] < settings.least_in_common}
        (own / "in_common.json").write_text(json.dumps(told) + "\n")
        for file, arrays in files.items():
            mine = {key: values[rows] for key, values in arrays.items()}
            np.savez(own / file, **(mine | {"spot": spots[rows]}))  # type: ignore[arg-type]
        for file in ("loss.tsv", "n_domains.tsv"):
            shutil.copyfile(learned / file, own / file)
    return dict(json.loads(joined.uns["spotfuse"]["left_out"]))


def learned(joined: AnnData, folder: Path) -> AnnData:
    """Give what a group's slices learned together, without their counts.

    Parameters
    ----------
    joined
        From `join`.
    folder
        Folder with what train and assign_domains wrote of it.

    Returns
    -------
    Of shape (n_spots, 0): ``obs`` with ``slice``, ``spot``, ``domain`` and ``domain_confidence``; ``obsm`` with
    ``X_spotfuse``, ``domain_probabilities``, ``spatial`` (slices side by side) and, where `joined` has it,
    ``spatial_aligned``; ``uns['spotfuse']``.
    """
    found = AnnData(obs=joined.obs[["slice"]].copy(), obsm={"spatial": joined.obsm["spatial"]})
    found.obs["spot"] = [name.partition("/")[2] for name in joined.obs_names]
    domains = tables.read_spots(folder / "domains.tsv").loc[joined.obs_names]
    with np.load(folder / "embedding.npz") as file:
        found.obsm["X_spotfuse"] = file["embedding"]
    with np.load(folder / "domains.npz") as file:
        found.obsm["domain_probabilities"] = file["probabilities"]
    names = [str(number + 1) for number in range(found.obsm["domain_probabilities"].shape[1])]
    found.obs["domain"] = pd.Categorical(domains["domain"].astype(str), categories=names)
    found.obs["domain_confidence"] = domains["confidence"].astype(np.float32)
    if "spatial_aligned" in joined.obsm:
        found.obsm["spatial_aligned"] = joined.obsm["spatial_aligned"]
    found.uns["spotfuse"] = {key: joined.uns["spotfuse"][key] for key in ("group", "n_genes_shared", "in_common")}
    return found
