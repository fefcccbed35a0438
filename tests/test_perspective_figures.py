"""Figures of notebook 44: each shows what its tables say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from studykit.plots.perspective import draw_agreement, draw_cycles, draw_differences, draw_mixed_models
from studykit.stats import agreement, subjects
from studykit.stats import curves as spm

VIEWS = ["C1", "C3"]


@pytest.fixture(scope="module")
def curves():
    """Six people; the heel's y differs by 5 px in the first half of the cycle, toe's views are copies of each other."""
    shape = (6, 1, 2, 2, 2, 41)
    values = np.random.default_rng(1).normal(0, 0.3, shape)
    values[:, :, 0, 0, 1, :20] += 5
    values[:, :, 1, 1] = values[:, :, 0, 1]
    names = [[f"sub-{n}" for n in range(6)], [1], VIEWS, ["heel", "toe"], ["x", "y"], np.linspace(0, 100, 41)]
    return xr.DataArray(values, dict(zip(subjects.DIMENSIONS, names, strict=True)), subjects.DIMENSIONS)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def panel(fig, title):
    return next(axis for axis in fig.axes if axis.get_title() == title)


def test_each_view_is_a_curve_within_its_spread(curves):
    means = spm.mean_curves(curves)
    fig, data = draw_cycles(means, VIEWS, "px")
    assert [axis.get_title() for axis in fig.axes] == ["x of heel", "x of toe", "y of heel", "y of toe"]
    wanted = means[(means.keypoint == "heel") & (means.space == "y") & (means["view"] == "C3")]
    axis = panel(fig, "y of heel")
    np.testing.assert_allclose(axis.lines[1].get_ydata(), wanted["mean"])
    low, high = axis.collections[1].get_datalim(axis.transData).intervaly
    np.testing.assert_allclose([low, high], [(wanted["mean"] - wanted.sd).min(), (wanted["mean"] + wanted.sd).max()])
    assert set(data["view"]) == set(VIEWS)
    assert draw_cycles(means[:0], VIEWS, "px") is None


def test_differences_show_band_margin_and_clusters(curves):
    band, _ = agreement.equivalence_table(curves, 3.0)
    clusters = spm.cluster_table(curves, permutations=50)
    fig, data = draw_differences(spm.mean_curves(curves), VIEWS, band, clusters, 3.0, "px")
    heel, toe = panel(fig, "y of heel"), panel(fig, "y of toe")
    assert data is band and len(heel.collections) == 1
    np.testing.assert_allclose(heel.lines[0].get_ydata(), band[(band.space == "y") & (band.keypoint == "heel")]["mean"])
    bars = [line for line in heel.lines if line.get_linewidth() == 2]
    found = clusters[(clusters.keypoint == "heel") & (clusters.space == "y")]
    assert [list(bar.get_xdata()) for bar in bars] == found[["from_percent", "to_percent"]].to_numpy().tolist()
    assert len(bars) >= 2  # by both methods
    assert {line.get_ydata()[0] for line in toe.lines} >= {-3, 0, 3}  # refused: its panel stays, with the margin
    assert not [line for line in toe.lines if line.get_linewidth() == 2]
    one = curves[:, :, :1]  # one view has no difference
    tables = agreement.equivalence_table(one, 3.0)[0], spm.cluster_table(one, permutations=50)
    fig, _ = draw_differences(spm.mean_curves(one), VIEWS[:1], *tables, 3.0, "px")
    assert len(fig.axes) == 4 and not any(np.ptp(line.get_ydata()) > 0 for axis in fig.axes for line in axis.lines)


def test_intervals_of_agreement_and_of_mixed_models(curves):
    agreed = agreement.agreement_table(curves, samples=50)
    fig, data = draw_agreement(agreed, VIEWS, 3.0, "px")
    assert data is agreed and fig.axes[0].get_ylabel() == "C1 - C3 (px)"
    assert [tick.get_text() for tick in fig.axes[0].get_xticklabels()] == list(agreed.space + " of " + agreed.keypoint)
    one = {"quantity": "stride_time_s", "mean": 2.0, "difference": 0.1, "low": 0.0, "high": 0.2, "refused": ""}
    models = pd.DataFrame([one | {"boot_low": 0.05, "boot_high": 0.15}, {"quantity": "speed_m_s", "refused": "why"}])
    fig, data = draw_mixed_models(models, VIEWS)
    assert data.difference.tolist() == [5.0] and data.quantity.tolist() == ["stride_time_s"]
    assert fig.axes[0].get_yticklabels()[0].get_text() == "Stride time"
    fig, data = draw_mixed_models(models.assign(refused="why"), VIEWS)
    assert data.empty and fig.axes[0].texts[0].get_text() == "no model: see the table"
