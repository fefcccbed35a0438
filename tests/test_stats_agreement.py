"""Equivalence, agreement and mixed models."""

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.formula.api as smf
import xarray as xr
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from studykit.stats import agreement, calibration, mixed, subjects


def curves_of(values):
    """Curves (participant, trial, percent, view) as an array of one keypoint."""
    n, trials, percent, _ = values.shape
    return xr.DataArray(
        values.transpose(0, 1, 3, 2)[:, :, :, None, None],
        dims=subjects.DIMENSIONS,
        coords={
            "participant": [f"sub-{i:02d}" for i in range(1, n + 1)],
            "trial": np.arange(1, trials + 1),
            "view": ["C1", "C3"],
            "keypoint": ["heel"],
            "space": ["x"],
            "percent": np.arange(percent),
        },
        attrs={"unit": "px"},
    )


@pytest.fixture
def null_study():
    return curves_of(calibration.simulate_null(1, 14, 2, seed=21)[0])


def test_equivalence_is_the_two_one_sided_tests(null_study):
    # Oracles: statsmodels' and pingouin's TOST of paired samples at single percents.
    people = subjects.select(null_study, "heel", "x", "participant")
    table = agreement.equivalence(people, delta=3.0)
    for percent in (0, 33, 80):
        first, second = people.values[:, percent].T
        np.testing.assert_allclose(table.p[percent], ttost_paired(first, second, -3.0, 3.0)[0], rtol=1e-9)
        np.testing.assert_allclose(
            table.p[percent], pingouin.tost(first, second, bound=3.0, paired=True)["pval"].iloc[0], rtol=1e-6
        )
        interval = stats.ttest_rel(first, second).confidence_interval(0.90)
        np.testing.assert_allclose(table.loc[percent, ["low", "high"]].to_numpy(float), interval)
    inside = (table.low > -3) & (table.high < 3)
    assert (inside == table.equivalent).all()


def test_the_smallest_delta_is_where_equivalence_begins(null_study):
    _, summary = agreement.equivalence_table(null_study, 3.0)
    edge = summary.smallest_delta[0]
    for delta, equivalent in ((edge * 0.999, False), (edge * 1.001, True)):
        band, summary = agreement.equivalence_table(null_study, delta)
        assert summary.equivalent[0] == equivalent
        assert band.equivalent.all() == equivalent
        assert (summary.share_percent[0] == 100) == equivalent


def test_margins_have_units():
    assert agreement.margin("px", 3, 18) == 3
    assert agreement.margin("mm", 3, 18) == 18
    assert agreement.margin("m", 3, 18) == 0.018
    with pytest.raises(ValueError, match="expected the unit px, mm or m, got 'deg'"):
        agreement.margin("deg", 3, 18)
    with pytest.raises(ValueError, match="above 0"):
        agreement.margin("px", 0, 18)


def test_single_trial_spread_recovers_both_variances():
    # Bland & Altman 2007, section 3: variance of one measurement's difference = between + within.
    rng = np.random.default_rng(0)
    count = rng.integers(1, 5, 4000)
    trials = [rng.normal(rng.normal(0, 3), 2, n) for n in count]
    mean = np.array([t.mean() for t in trials])
    within = np.array([((t - t.mean()) ** 2).sum() for t in trials])
    assert agreement.single_trial_sd(count.astype(float), mean, within) == pytest.approx(np.sqrt(13), rel=0.03)
    once = np.ones(50)
    assert agreement.single_trial_sd(once, mean[:50], 0 * once) == pytest.approx(mean[:50].std(ddof=1))


def test_agreement_row(null_study):
    table = agreement.agreement_table(null_study, samples=500, seed=1)
    row = table.iloc[0]
    change = (null_study.sel(view="C1") - null_study.sel(view="C3")).squeeze()
    means = change.mean(("trial", "percent")).values
    assert row.bias == pytest.approx(means.mean())
    assert row.d_z == pytest.approx(pingouin.ttest(means, 0)["T"].iloc[0] / np.sqrt(14))
    assert agreement.with_intervals(table).bias[0].startswith(f"{row.bias:.3g} ({row.bias_low:.3g} to ")
    interval = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (row.bias_low, row.bias_high) == pytest.approx(tuple(interval))
    people = change.mean("trial").values
    assert row.rmsd == pytest.approx(np.sqrt((people**2).mean(1)).mean())
    for name in ("loa_lower", "loa_upper", "rmsd", "d_z", "icc_mean", "icc_range"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    assert row.loa_lower + row.loa_upper == pytest.approx(2 * row.bias)
    assert row.loa_upper - row.bias > 1.96 * means.std(ddof=1)  # one trial varies more than a mean of two
    pd.testing.assert_frame_equal(table, agreement.agreement_table(null_study, samples=500, seed=1))
    assert agreement.agreement_table(null_study, samples=500, seed=2).rmsd_low[0] != row.rmsd_low


def test_icc_of_shrout_and_fleiss():
    # Shrout & Fleiss 1979, Table 2 and 4: six targets, four judges, ICC(2,1) = 0.29.
    ratings = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert agreement.icc(ratings)[0] == pytest.approx(0.29, abs=0.005)


def test_bootstrap_interval_covers_the_mean():
    # 95 % intervals of a mean, 30 people: about 95 of 100 hold the true one.
    rng = np.random.default_rng(2)
    held = 0
    for study in range(200):
        values = rng.normal(1.0, 2.0, 30)
        low, high = agreement.bootstrap(lambda i, values=values: values[i].mean(-1), 30, 400, seed=study)
        held += low <= 1.0 <= high
    assert 0.89 <= held / 200 <= 0.99


def test_agreement_in_words(null_study):
    _, summary = agreement.equivalence_table(null_study, 50.0)
    table = agreement.agreement_table(null_study, samples=100)
    words = agreement.verdict(summary, table, 50.0, "px")
    assert "equivalent over the whole cycle in 1 of 1 curves" in words
    assert f"{table.rmsd[0]:.3g} px apart" in words


def test_one_participant_is_described_without_inference(null_study):
    one = null_study.isel(participant=[0])
    _, summary = agreement.equivalence_table(one, 3.0)
    table = agreement.agreement_table(one)
    change = (one.sel(view="C1") - one.sel(view="C3")).squeeze()
    assert table.rmsd[0] == pytest.approx(np.sqrt((change.mean("trial") ** 2).mean()).item())
    assert table.bias[0] == pytest.approx(change.mean().item())
    assert table.note[0] == "1 participant: described, no interval"
    assert table[["bias_low", "rmsd_low", "loa_lower", "icc_mean", "d_z"]].isna().all(axis=None)
    assert agreement.with_intervals(table).rmsd[0] == f"{table.rmsd[0]:.3g}"
    words = agreement.verdict(summary, table, 3.0, "px")
    assert "px apart" in words
    assert "Nothing said about equivalence: 1 of 1 tests was refused: needs at least 3 participants, got 1" in words
    nobody = agreement.agreement_table(one * np.nan)
    assert agreement.verdict(summary, nobody, 3.0, "px").startswith("Nothing said about agreement.")


def scalar_table(n=12, trials=2, effect=0.0, seed=0, sd_trial=0.03):
    """Step lengths in m: participant, perspective within participant, trial, residual."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(n):
        level, own = 0.65 + rng.normal(0, 0.1), effect + rng.normal(0, 0.02)
        for trial in range(1, trials + 1):
            here = level + rng.normal(0, sd_trial)
            for view, sign in (("C1", 0.5), ("C3", -0.5)):
                value = here + sign * own + rng.normal(0, 0.01)
                rows.append((f"sub-{person:02d}", trial, view, value))
    return pd.DataFrame(rows, columns=["participant", "trial", "view", "step_length_m"])


def test_balanced_mixed_model_is_the_paired_t_test_of_participant_means():
    # Two views, everybody two trials, interior variances: the REML test has this closed form.
    table = scalar_table(seed=4)
    found = mixed.mixed_table(mixed.scalars(table)).iloc[0]
    means = table.groupby(["participant", "view"]).step_length_m.mean().unstack()  # noqa: PD010
    t, p = stats.ttest_rel(means.C1, means.C3)
    assert found.note == ""
    assert found.difference == pytest.approx((means.C1 - means.C3).mean(), rel=1e-6)
    assert (found.t, found.p) == pytest.approx((t, p), rel=1e-3)
    assert found.df == 11
    assert found.boot_low < found.difference < found.boot_high
    assert found.boot_high - found.boot_low == pytest.approx(found.high - found.low, rel=0.25)


def test_unbalanced_mixed_model_equals_statsmodels():
    table = scalar_table(seed=5, effect=0.05)
    table = table.drop(table[(table.participant == "sub-03") & (table.trial == 2)].index)
    found = mixed.mixed_table(mixed.scalars(table)).iloc[0]
    table["perspective"] = np.where(table.view == "C1", 0.5, -0.5)
    model = smf.mixedlm(
        "step_length_m ~ perspective",
        table,
        groups="participant",
        re_formula="~perspective",
        vc_formula={"trial": "0 + C(trial)"},
    )
    oracle = model.fit(method="lbfgs")
    assert found.difference == pytest.approx(oracle.fe_params["perspective"], rel=1e-3)
    assert found.t == pytest.approx(oracle.tvalues["perspective"], rel=1e-3)
    assert found.significant
    assert found.n_trials == 23


def test_singular_fits_are_said():
    # The views' errors cancel in every trial, so that a person's trial means do not vary at all.
    table = scalar_table(seed=1, sd_trial=0.0)
    person = table.groupby("participant").step_length_m.transform("mean")
    trial = table.groupby(["participant", "trial"]).step_length_m.transform("mean")
    table["step_length_m"] += person - trial
    found = mixed.mixed_table(mixed.scalars(table))
    assert "singular: no variance of trial" in found.note[0]
    assert np.isfinite(found.p[0])
    assert "1 of 1 fits are singular" in mixed.verdict(found)
    # People, trials and views all have the same mean: every variance is zero, and the full model cannot be fitted.
    size = table.groupby("participant").step_length_m.transform("mean")
    sign = np.where(table.view == "C1", 1, -1) * np.where(table.trial == 1, 1, -1)
    found = mixed.mixed_table(mixed.scalars(table.assign(step_length_m=1 + size * sign))).iloc[0]
    assert found.note == "singular: no variance of participant and perspective and trial"
    assert found.difference == pytest.approx(0, abs=1e-6)
    assert found.p == pytest.approx(1)


def test_one_trial_each_leaves_only_the_participant_random():
    found = mixed.mixed_table(mixed.scalars(scalar_table(trials=1, seed=6))).iloc[0]
    assert found.random == "participant"
    assert np.isnan(found.sd_trial)


def test_mixed_refusals_go_by_quantity():
    table = scalar_table(effect=0.1, seed=7).assign(side="left", stride_time_s=np.nan, cadence=100.0)
    table.loc[table.participant < "sub-02", "stride_time_s"] = 1.1
    found = mixed.mixed_table(mixed.scalars(table)).set_index("quantity")
    assert found.refused["step_length_m"] == ""
    assert found.significant["step_length_m"]
    assert "needs at least 3 participants with both views of a trial, got 2" in found.refused["stride_time_s"]
    assert "nothing to estimate" in found.refused["cadence"]
    assert "The view changes 1 of 1 quantities" in mixed.verdict(found.reset_index())
    alone = mixed.mixed_table(mixed.scalars(table[table.view == "C1"]))
    assert (alone.refused != "").all()
    assert mixed.verdict(alone).startswith("No mixed model.")
    with pytest.raises(ValueError, match="none named"):
        mixed.scalars(table.drop(columns="view"))


def test_ranges_of_motion_by_joint():
    angles = xr.DataArray(
        np.array([0.0, 60.0, 5.0, -10.0, 20.0, np.nan]).reshape(1, 1, 1, 2, 3),
        dims=("participant", "trial", "view", "joint", "percent"),
        coords={"participant": ["sub-01"], "trial": [1], "view": ["C1"], "joint": ["knee", "hip"]},
        name="angles",
    )
    table = mixed.ranges_of_motion(angles)
    assert table.knee_range_deg.tolist() == [60.0]
    assert table.hip_range_deg.isna().all()
    assert mixed.scalars(table).quantity.tolist() == ["knee_range_deg"]
