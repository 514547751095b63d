"""Figures for notebooks."""

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")
from spotfuse import InputError, pl


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
    colours = pl.domains(adata).collections[0].get_facecolor()
    assert np.allclose(colours[0, :3], np.array([0x3F, 0x90, 0xDA]) / 255)
    assert np.allclose(colours[5, :3], np.array([0xFF, 0xA9, 0x0E]) / 255)
    assert len(colours) == 36


def test_maps_show_the_values(adata):
    assert np.allclose(pl.confidence(adata).collections[0].get_array(), np.linspace(0, 1, 36))
    assert np.allclose(pl.proportions(adata, "T/B").collections[0].get_array(), adata.obsm["proportions"][:, 0])
    expected = np.log1p(1e4 * np.where(adata.obsm["proportions"][:, 0] > 0, 20 / 110, 10 / 100))
    assert np.allclose(pl.gene(adata, "B").collections[0].get_array(), expected)
    with pytest.raises(InputError, match="there are T/B, other"):
        pl.proportions(adata, "none")


def test_the_image_lies_under_its_spots(adata):
    pixels = np.zeros((10, 10, 3))
    adata.uns["spatial"] = {"x": {"images": {"hires": pixels}, "scalefactors": {"tissue_hires_scalef": 0.2}}}
    assert pl.domains(adata).images[0].get_extent() == [0, 50, 50, 0]
    assert not pl.domains(adata, image=False).images


def test_composition_is_the_mean_by_domain(adata):
    assert np.array_equal(pl.composition(adata).images[0].get_array(), np.eye(2))


def test_attention_is_the_share_of_the_spatial_branch(adata):
    adata.obsm["attention"] = np.column_stack([np.linspace(0, 1, 36), np.linspace(1, 0, 36)])
    drawn = pl.attention(adata).collections[0]
    assert np.allclose(drawn.get_array(), np.linspace(0, 1, 36)) and drawn.get_clim() == (0, 1)


def test_the_embedding_is_drawn_along_its_widest_direction(adata):
    left = adata.obsm["proportions"][:, 0]
    adata.obsm["X_spotfuse"] = np.column_stack([np.zeros(36), 9 * left, np.linspace(0, 1, 36)])
    first, second = pl.embedding(adata).collections
    across = [part.get_offsets()[:, 0].mean() for part in (first, second)]
    assert np.isclose(abs(across[0] - across[1]), 9, atol=0.1)
    assert np.allclose(first.get_facecolor()[0, :3], np.array([0x3F, 0x90, 0xDA]) / 255)


def test_dots_are_as_large_as_the_share_and_as_bright_as_the_mean(adata):
    adata.X[adata.obs["domain"] == "2", 0] = 0
    drawn = pl.dots(adata, ["A", "B"]).collections[0]
    assert np.allclose(drawn.get_sizes(), [140, 0, 140, 140])
    means = np.log1p(1e4 * np.array([20 / 110, 1.0]))
    assert np.allclose(drawn.get_array(), [1, 0, means[0] / means[1], 1])


def test_domains_of_its_group_that_a_slice_lacks_are_left_out(adata):
    adata.obs["domain"] = adata.obs["domain"].cat.rename_categories(["1", "3"]).cat.set_categories(["1", "2", "3"])
    drawn = pl.dots(adata, ["A", "B"])
    assert [label.get_text() for label in drawn.get_xticklabels()] == ["1", "3"]
    assert np.isfinite(drawn.collections[0].get_array()).all()
    assert np.array_equal(pl.composition(adata).images[0].get_array(), np.eye(2))
    assert [text.get_text() for text in pl.domains(adata).get_legend().get_texts()] == ["1", "3"]
