"""Statistical parametric mapping of difference curves, and the null calibration."""

import numpy as np
import pandas as pd
import pytest
import spm1d
import xarray as xr

from studykit.stats import calibration, curves, interaction, subjects

PERCENT = np.arange(101)


def selected(values):
    """Curves (subject, percent, view) as `subjects.select` gives them."""
    return xr.DataArray(values, dims=("subject", "percent", "view"), coords={"percent": np.arange(values.shape[1])})


@pytest.fixture
def bump():
    """Twelve people whose views differ between 40 and 60 % of the cycle, by 12 px at the middle."""
    values = calibration.simulate_null(1, 12, 1, seed=11)[0, :, 0]
    values[..., 0] += 12 * np.exp(-0.5 * ((PERCENT - 50) / 5) ** 2)
    return values


def study(values, participants=None):
    """Curves (participant, trial, percent, view) as an array of one keypoint."""
    n, trials, percent, _ = values.shape
    return xr.DataArray(
        values.transpose(0, 1, 3, 2)[:, :, :, None, None],
        dims=subjects.DIMENSIONS,
        coords={
            "participant": participants or [f"sub-{i:02d}" for i in range(1, n + 1)],
            "trial": np.arange(1, trials + 1),
            "view": ["C1", "C3"],
            "keypoint": ["heel"],
            "space": ["x"],
            "percent": np.arange(percent),
        },
    )


def test_paired_t_and_its_clusters_are_those_of_spm1d(bump):
    oracle = spm1d.stats.ttest_paired(bump[..., 0], bump[..., 1]).inference(0.05, two_tailed=True)
    row = curves.paired_t(selected(bump)).iloc[0]
    np.testing.assert_allclose(row.t_max, oracle.z[np.abs(oracle.z).argmax()], rtol=1e-9)
    np.testing.assert_allclose(row.threshold, oracle.zstar, rtol=1e-9)
    assert row.p < 0.05
    found = curves.clusters(selected(bump))
    assert len(found) == len(oracle.clusters) >= 1
    np.testing.assert_allclose(found[["from_percent", "to_percent"]], [c.endpoints for c in oracle.clusters])
    np.testing.assert_allclose(found.p, [c.P for c in oracle.clusters])
    assert found.from_percent.iloc[0] < 50 < found.to_percent.iloc[0]


def test_p_crosses_alpha_exactly_at_the_threshold():
    # Random fields: the p of a peak as high as the threshold is alpha.
    differences = np.diff(calibration.simulate_null(1, 20, 1, seed=2)[0, :, 0], axis=-1)[..., 0]
    spm, _ = curves.random_field(differences)
    threshold = spm.inference(0.05, two_tailed=True).zstar
    p = 2 * spm1d.rft1d.t.sf(threshold, spm.df[1], 101, spm.fwhm, withBonf=True)
    np.testing.assert_allclose(p, 0.05, atol=1e-4)


def test_all_sign_flips_give_spm1d_s_exact_permutation_test():
    values = calibration.simulate_null(1, 8, 1, seed=5, percents=51)[0, :, 0]
    values[..., 0] += 3
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(Warning)
        oracle = spm1d.stats.nonparam.ttest_paired(values[..., 0], values[..., 1])
        found = oracle.inference(0.05, two_tailed=True, iterations=-1)
    row = curves.paired_t(selected(values), "permutation", permutations=1000).iloc[0]
    np.testing.assert_allclose(np.abs(row.t_max), np.abs(found.z).max(), rtol=1e-9)
    # spm1d interpolates the quantile between two of the 256 peaks; ours is one of them.
    peaks = np.sort(curves.flipped_peaks(values[..., 0] - values[..., 1], curves.sign_flips(8, 1000, 0)))
    assert len(peaks) == 128
    near = np.abs(peaks - row.threshold).argmin()
    assert peaks[near - 1] - 1e-9 <= found.zstar <= peaks[min(near + 1, 127)] + 1e-9


def test_permutation_p_counts_the_flips_with_as_high_a_peak():
    differences = np.random.default_rng(0).normal(size=(6, 11)).cumsum(1) + 2
    flips = curves.sign_flips(6, 64, seed=0)
    slow = [np.abs(curves.t_field(signs[:, None] * differences)).max() for signs in flips]
    np.testing.assert_allclose(curves.flipped_peaks(differences, flips), slow, rtol=1e-9)
    row = curves.paired_t(selected(np.stack([differences, 0 * differences], -1)), "permutation", permutations=64).iloc[
        0
    ]
    assert row.p == np.mean(np.array(slow) >= slow[0] * (1 - 1e-9))


def test_random_flips_repeat_with_their_seed(bump):
    rows = [curves.paired_t(selected(bump), "permutation", permutations=200, seed=seed) for seed in (1, 1, 2)]
    pd.testing.assert_frame_equal(rows[0], rows[1])
    assert rows[0].threshold.iloc[0] != rows[2].threshold.iloc[0]


def test_permutation_clusters_lie_where_the_views_differ(bump):
    found = curves.clusters(selected(bump), "permutation", permutations=500)
    assert (found.p <= 0.05).all()
    assert ((found.from_percent < 50) & (found.to_percent > 50)).sum() == 1


def test_a_percent_without_spread_is_left_out(bump):
    # Cycles that all start at 0 have no spread there; it must not blow up the smoothness.
    pinned = bump - bump[:, :1]
    whole, part = (curves.paired_t(selected(values)).iloc[0] for values in (pinned, pinned[:, 1:]))
    np.testing.assert_allclose(whole.p, part.p)
    np.testing.assert_allclose(whole.threshold, part.threshold)


def test_two_way_perspective_is_the_squared_paired_t_of_participant_means():
    # Two levels, everything within subjects: F = t^2 of the participants' mean differences.
    values = calibration.simulate_null(1, 9, 2, seed=3)[0]
    trials = subjects.select(subjects.as_curves(study(values)), "heel", "x", "trial")
    means = curves.t_field((values[..., 0] - values[..., 1]).mean(1))
    change = curves.t_field((values[:, 0, :, 0] - values[:, 0, :, 1]) - (values[:, 1, :, 0] - values[:, 1, :, 1]))
    for method in ("parametric", "permutation"):
        rows = interaction.two_way(trials, method).set_index("effect")
        np.testing.assert_allclose(rows.f_max, [(means**2).max(), (change**2).max()], rtol=1e-6)
    one_way = curves.paired_t(selected(values.mean(1)), "permutation").iloc[0]
    assert rows.p["perspective"] == one_way.p


def test_an_effect_of_the_trial_on_perspective_is_an_interaction():
    values = calibration.simulate_null(1, 12, 2, seed=4)[0]
    values[:, 0, :, 0] += 8
    values[:, 1, :, 0] -= 8
    table = interaction.two_way_table(study(values), permutations=200).set_index(["method", "effect"])
    assert table.significant["parametric", "interaction"]
    assert table.significant["permutation", "interaction"]
    assert not table.significant["parametric", "perspective"]


def test_each_test_is_refused_for_its_own_reason():
    values = calibration.simulate_null(1, 4, 2, seed=6)[0]
    four = study(values)
    table = curves.paired_t_table(four).set_index("method")
    assert table.refused["parametric"] == ""
    assert table.refused["permutation"].startswith("4 participants and 1000 permutations allow no p below 0.125")
    lost = curves.cluster_table(four).set_index("method")
    assert (lost.loc[["permutation"]].refused != "").all()
    words = curves.verdict(curves.paired_t_table(four), curves.cluster_table(four))
    assert "SPM (parametric) finds" in words
    assert "No SPM (permutation). 1 of 1 tests was refused" in words
    unequal = four.copy(deep=True)
    unequal.loc[{"trial": 2, "participant": ["sub-01", "sub-02"]}] = np.nan
    two_way = interaction.two_way_table(unequal)
    assert two_way.refused.str.startswith(
        "unbalanced: needs two trials, each had by most participants and both by 3 or more, got 1 such"
    ).all()
    assert curves.paired_t_table(unequal).refused.iloc[0] == ""
    one = curves.paired_t_table(four.isel(participant=[0]))
    assert one.refused.str.contains("needs at least 3 participants, got 1").all()
    same = four.copy(deep=True)
    same.loc[{"view": "C3"}] = four.sel(view="C1").values
    assert curves.paired_t_table(same).refused.str.contains("nothing to estimate").all()


def test_mean_curves_average_participants_not_trials():
    values = np.zeros((2, 2, 101, 2))
    values[0, 0], values[0, 1, :, 0], values[1, :, :, 0] = np.nan, 4, 2  # the first has one trial, the other two
    values[0, 1, :, 1] = 1
    table = curves.mean_curves(study(values)).set_index(["view", "percent"])
    assert table["mean"]["C1", 50] == 3
    assert table["mean"]["C1 - C3", 50] == pytest.approx((3 + 2) / 2)
    assert table["sd"]["C1", 50] == pytest.approx(np.sqrt(2))
    assert table["n"]["C1", 50] == 2


@pytest.fixture(scope="module")
def rates():
    return calibration.false_positive_rates(1000, seed=1, permutations=200)


def test_sound_tests_keep_their_level_and_trials_as_subjects_do_not(rates):
    # The bar: 3 to 7 % of 1,000 null studies at alpha 5 %.
    sound, published = rates[rates.sound], rates[~rates.sound]
    assert sound.rate.between(0.03, 0.07).all()
    assert (published.low > 0.07).all()
    assert set(sound.test) == {"RM-ANOVA", "SPM paired t", "permutation t"}
    assert (rates.low <= rates.rate).all()
    assert (rates.rate <= rates.high).all()
    words = calibration.verdict(rates)
    assert "All sound tests lie within 3 to 7 %" in words
    assert "No sound test errs more often" in calibration.verdict(rates.assign(rate=rates.rate - 0.03))
    assert "Not all sound tests" in calibration.verdict(rates.assign(rate=rates.rate + 0.05))


def test_inflation_by_trials_follows_from_their_correlation():
    # With two trials of correlation r the variance of the mean is 1 + r times what independent trials would have.
    values = calibration.simulate_null(2000, 32, 2, seed=3, percents=21)
    level = values.mean(3)
    change = level[..., 0] - level[..., 1]
    naive = change.reshape(2000, 64).var(1, ddof=1).mean() / 64
    true = change.mean((1, 2)).var(ddof=1)
    correlation = 3.0**2 / (3.0**2 + 2.0**2)
    assert true / naive == pytest.approx(1 + correlation, rel=0.1)


def test_null_studies_have_the_spreads_asked_for_and_no_effect():
    values = calibration.simulate_null(400, 16, 2, seed=9, participant_sd_px=3, trial_sd_px=2)
    change = values[..., 0] - values[..., 1]
    assert change.std((0, 1, 2)).mean() == pytest.approx(np.sqrt(13), rel=0.05)
    assert (change[:, :, 0] - change[:, :, 1]).std() / np.sqrt(2) == pytest.approx(2, rel=0.05)
    assert np.abs(change.mean((0, 1, 2))).max() < 4 * np.sqrt(9 / 6400 + 4 / 12800)
    np.testing.assert_array_equal(values, calibration.simulate_null(400, 16, 2, seed=9))
