"""Figures for notebooks."""

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")
from spotfuse import plot


@pytest.fixture
def adata() -> ad.AnnData:
    """A 6 × 6 slice whose left half is domain 1, with twice the counts of the second gene there."""
    row, column = (grid.ravel() for grid in np.mgrid[:6, :6])
    left = column < 3
    adata = ad.AnnData(
        np.column_stack([np.full(36, 90.0), np.where(left, 20.0, 10.0)]),
        obs=pd.DataFrame(
            {
                "domain": pd.Categorical(np.where(left, "1", "2")),
                "domain_confidence": np.linspace(0, 1, 36),
                "n_counts": np.where(left, 110.0, 100.0),
            },
            index=[f"s{i}" for i in range(36)],
        ),
        var=pd.DataFrame(index=["A", "B"]),
    )
    adata.obsm["spatial"] = np.column_stack([column, row]) * 10.0
    adata.obsm["proportions"] = np.column_stack([left, ~left]).astype(np.float32)
    adata.uns["spotfuse"] = {"cell_types": np.array(["T/B", "other"])}
    return adata


def test_domains_have_the_reports_colours(adata):
    colours = plot.domains(adata).collections[0].get_facecolor()
    assert np.allclose(colours[0, :3], np.array([0x3F, 0x90, 0xDA]) / 255)
    assert np.allclose(colours[5, :3], np.array([0xFF, 0xA9, 0x0E]) / 255)
    assert len(colours) == 36


def test_maps_show_the_values(adata):
    assert np.allclose(plot.confidence(adata).collections[0].get_array(), np.linspace(0, 1, 36))
    assert np.allclose(plot.proportions(adata, "T/B").collections[0].get_array(), adata.obsm["proportions"][:, 0])
    expected = np.log1p(1e4 * np.where(adata.obsm["proportions"][:, 0] > 0, 20 / 110, 10 / 100))
    assert np.allclose(plot.gene(adata, "B").collections[0].get_array(), expected)
    with pytest.raises(KeyError, match="there are T/B, other"):
        plot.proportions(adata, "none")


def test_the_image_lies_under_its_spots(adata):
    pixels = np.zeros((10, 10, 3))
    adata.uns["spatial"] = {"x": {"images": {"hires": pixels}, "scalefactors": {"tissue_hires_scalef": 0.2}}}
    assert plot.domains(adata).images[0].get_extent() == [0, 50, 50, 0]
    assert not plot.domains(adata, image=False).images


def test_composition_is_the_mean_by_domain(adata):
    assert np.array_equal(plot.composition(adata).images[0].get_array(), np.eye(2))
