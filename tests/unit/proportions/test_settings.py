"""Each part of the settings decides what it is of."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse
from spotfuse import InputError, proportions
from spotfuse.proportions import (
    CellMappingSettings,
    CellTypeSettings,
    ProfileSettings,
    ReferenceSettings,
    RegressionSettings,
    Settings,
)


def made(n: int, seed: int) -> AnnData:
    """Make n cells of three types, in places."""
    random = np.random.default_rng(seed)
    profiles = np.random.default_rng(0).gamma(0.3, size=(3, 120))
    codes = np.arange(n) % 3
    X = sparse.csr_matrix(random.poisson(30 * profiles[codes] / profiles.sum(axis=1).max()).astype(np.float32))
    obs = pd.DataFrame({"cell_type": [f"type {k}" for k in codes]}, [f"c{i:03d}" for i in range(n)])
    adata = AnnData(X, obs=obs, var=pd.DataFrame(index=[f"Gene{i}" for i in range(X.shape[1])]))
    adata.obsm["spatial"] = random.random((n, 2))
    return adata


@pytest.fixture(scope="module")
def pair() -> tuple[AnnData, AnnData]:
    return made(60, 1), proportions.as_reference(made(90, 2))


@pytest.mark.parametrize(
    ("method", "other"),
    [
        ("attention_regression", Settings(regression=RegressionSettings(parts=(2, 3)))),
        ("attention_regression", Settings(profiles=ProfileSettings(common_noise=5.0))),
        ("cell_mapping", Settings(cell_mapping=CellMappingSettings(to_type=0.1))),
        ("cell_mapping", Settings(profiles=ProfileSettings(common_noise=5.0))),
        ("cell_types", Settings(cell_types=CellTypeSettings(shrinkage=0.9))),
        ("cell_types", Settings(profiles=ProfileSettings(believed=0.0))),
    ],
)
def test_another_number_gives_another_result(pair: tuple[AnnData, AnnData], method: str, other: Settings) -> None:
    def found(settings: Settings) -> np.ndarray:
        if method == "cell_types":
            return proportions.cell_types(*pair, settings=settings).table["probability"].to_numpy()
        return proportions.estimate(*pair, method, device="cpu", settings=settings).proportions.to_numpy()

    usual = found(Settings())
    np.testing.assert_array_equal(found(Settings(regression=RegressionSettings())), usual)
    assert not np.array_equal(found(other), usual)


def test_cells_are_made_of_profiles_as_told(tmp_path: Path) -> None:
    path = tmp_path / "profiles.csv"
    pd.DataFrame(np.eye(2, 5) + 1, pd.Index(["a", "b"], name="cell_type"), [f"g{i}" for i in range(5)]).to_csv(path)
    assert proportions.read_reference(path, settings=ReferenceSettings(made_cells=7)).n_obs == 14


def test_genes_that_must_be_shared_are_as_many_as_told(pair: tuple[AnnData, AnnData]) -> None:
    slice_var, reference_var = (adata.var for adata in pair)
    some = slice_var.set_axis([name if i < 30 else f"other {name}" for i, name in enumerate(slice_var.index)])
    with pytest.raises(InputError, match="share 30 genes"):
        proportions.match_genes(some, reference_var)
    assert len(proportions.match_genes(some, reference_var, least_genes=30).slice_index) == 30
