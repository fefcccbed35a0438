"""Repeated-measures ANOVA, who counts as a subject, and the paper's Table 1."""

import numpy as np
import pandas as pd
import pingouin
import pytest
import xarray as xr
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from studykit.papers import thesis
from studykit.papers.published import printed
from studykit.stats import anova, subjects
from studykit.stats.calibration import simulate_null

POINTS = ("neck", "hip")


def long_table(values):
    subject, time, view = np.indices(values.shape)
    columns = {"subject": subject, "time": time, "view": view, "value": values}
    return pd.DataFrame({name: column.ravel() for name, column in columns.items()})


@pytest.fixture
def curves():
    """Eight people, two trials, two views; the hip of view C1 is 20 px further."""
    values = np.concatenate([simulate_null(2, 8, 2, seed, percents=26) for seed in (1, 2)])
    values = values.reshape(2, 2, 8, 2, 26, 2)  # keypoint, space, participant, trial, percent, view
    values[1, 0, ..., 0] += 20
    return xr.DataArray(
        values.transpose(2, 3, 5, 0, 1, 4),
        dims=subjects.DIMENSIONS,
        coords={
            "participant": [f"sub-{i:02d}" for i in range(1, 9)],
            "trial": [1, 2],
            "view": ["C1", "C3"],
            "keypoint": list(POINTS),
            "space": ["x", "y"],
            "percent": np.arange(0, 101, 4),
        },
        attrs={"unit": "px"},
    )


@pytest.mark.parametrize("shape", [(12, 7, 2), (5, 21, 2), (9, 4, 3), (61, 101, 2)])
def test_sums_of_squares_of_null_studies_equal_pingouin(shape):
    # Oracle: pingouin 0.7 rm_anova, whose two-way epsilon is that of R's afex. The last shape is thesis 002's.
    values = np.random.default_rng(3).normal(size=shape).cumsum(1)
    values += np.random.default_rng(4).normal(size=(shape[0], 1, 1))
    table = anova.rm_anova(xr.DataArray(values, dims=("subject", "percent", "view"))).set_index("effect")
    sizes = pingouin.rm_anova(long_table(values), "value", ["view", "time"], "subject", effsize="np2").np2
    names = ["F", "df1", "df2", "p", "epsilon", "p_gg"]
    for effect, ours in anova.f_tests(values).items():
        np.testing.assert_allclose([ours[name] for name in names], table.loc[effect, names].to_numpy(float), rtol=1e-8)
    np.testing.assert_allclose(table.eta2_partial, sizes, rtol=1e-8)
    np.testing.assert_allclose(table.df2_gg, table.epsilon * table.df2, rtol=1e-12)
    assert list(table.index) == list(anova.EFFECTS) and (table.n_subjects == shape[0]).all()


def test_anova_equals_statsmodels():
    values = np.random.default_rng(5).normal(size=(6, 5, 2)).cumsum(1)
    ours = anova.f_tests(values)
    table = AnovaRM(long_table(values), "value", "subject", within=["time", "view"]).fit().anova_table
    for effect, source in {"perspective": "view", "time": "time", "interaction": "time:view"}.items():
        got = [ours[effect][name] for name in ("F", "df1", "df2", "p")]
        np.testing.assert_allclose(got, table.loc[source].to_numpy(), rtol=1e-8)


def test_a_stack_of_studies_gives_each_study_s_numbers():
    values = simulate_null(3, 6, 2, seed=7, percents=31)[:, :, 0]
    stacked = anova.f_tests(values)
    for i, study in enumerate(values):
        for effect, numbers in anova.f_tests(study).items():
            for name, number in numbers.items():
                np.testing.assert_allclose(np.broadcast_to(stacked[effect][name], 3)[i], number, rtol=1e-9)


def test_perspective_f_is_the_squared_paired_t_of_cycle_means():
    # With two views the main effect of perspective is the paired t test of each subject's mean over the cycle.
    values = simulate_null(1, 10, 1, seed=8)[0, :, 0]
    means = values.mean(1)
    t, p = stats.ttest_rel(means[:, 0], means[:, 1])
    found = anova.f_tests(values)["perspective"]
    np.testing.assert_allclose([found["F"], found["p"], found["epsilon"]], [t**2, p, 1], rtol=1e-9)


def test_trials_or_participants_are_subjects(curves):
    trials = anova.perspective_anova(curves, "trial")
    people = anova.perspective_anova(curves, "participant")
    assert set(trials.df2[trials.effect == "perspective"]) == {15}
    assert set(people.df2[people.effect == "perspective"]) == {7}
    hip = people[(people.keypoint == "hip") & (people.space == "x") & (people.effect == "perspective")].iloc[0]
    assert hip.significant_holm
    assert hip.p_holm >= hip.p_gg
    assert anova.count_significant(people, corrected=True) >= 1
    words = anova.verdict(trials, people)
    assert "16 trials" in words
    assert "8 participants" in words
    assert "x of hip" in words
    short = anova.in_short(people)
    assert short.curve.tolist() == ["x of neck", "y of neck", "x of hip", "y of hip"]
    assert short.perspective[2] == f"F(1, 7) = {hip.F:.3g}, p < 0.001"


def test_conclusion_counts_curves(curves):
    tables = [anova.perspective_anova(curves, unit) for unit in ("trial", "participant")]
    equivalence = pd.DataFrame({"p": [0.01, 0.2, 0.01, np.nan], "equivalent": [True, False, True, False]})
    words = anova.conclusion(*tables, equivalence, "3 px")
    assert f"after Holm: {anova.count_significant(tables[1], corrected=True)} of 4" in words
    assert "curves equivalent within 3 px: 2 of 4" in words
    refused = [table.assign(refused="why") for table in tables]
    words = anova.conclusion(*refused, equivalence.assign(p=np.nan), "3 px")
    assert words.count("not tested") == 3


def test_curves_without_a_dimension_are_refused(curves):
    turned = anova.perspective_anova(curves.transpose(), "trial")
    pd.testing.assert_frame_equal(turned, anova.perspective_anova(curves, "trial"))
    with pytest.raises(ValueError, match=r"expected the dimensions .*\['percent'\] missing"):
        subjects.as_curves(curves.isel(percent=0))


def test_one_ill_curve_is_refused_and_the_rest_go_on(curves):
    ill = curves.copy(deep=True)
    ill.loc[{"keypoint": "neck", "space": "y", "view": "C3"}] = np.nan
    table = anova.perspective_anova(ill, "participant")
    refused = table[table.refused != ""]
    assert refused[["keypoint", "space"]].to_numpy().tolist() == [["neck", "y"]]
    assert "no trial has complete cycles in every view (participants: 8; at least 3" in refused.refused.iloc[0]
    assert table.F.notna().sum() == 9
    copied = curves.copy(deep=True)
    copied.loc[{"view": "C3"}] = curves.sel(view="C1").values
    assert anova.perspective_anova(copied, "trial").refused.str.contains("copies of each other").all()


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        ({"participant": ["sub-01"]}, "needs at least 3 participants, got 1"),
        ({"view": ["C1"]}, r"needs two views of each trial, got 1 \(C1\)"),
    ],
)
def test_too_little_data_is_refused_with_the_reason(curves, keep, reason):
    for unit in ("trial", "participant"):
        table = anova.perspective_anova(curves.sel(keep), unit)
        assert table.refused.str.contains(reason).all()
        assert anova.count_significant(table) is None
    words = anova.verdict(table, table)
    assert words.startswith("No ANOVA. 4 of 4 tests were refused")


def test_an_incomplete_trial_is_left_out_and_listed(curves):
    ill = curves.copy(deep=True)
    ill.loc[{"participant": "sub-03", "trial": 2, "view": "C1"}] = np.nan
    ill.loc[{"participant": "sub-05", "trial": 1, "view": "C3", "keypoint": "hip", "space": "x", "percent": 40}] = (
        np.nan
    )
    table = anova.perspective_anova(ill, "trial").set_index(["keypoint", "space", "effect"]).n_subjects
    assert table["neck", "x", "time"] == 15
    assert table["hip", "x", "time"] == 14
    lost = subjects.exclusions(ill)
    assert len(lost) == 5
    assert lost.reason.value_counts().to_dict() == {"no curve": 4, "not finite at every percent": 1}
    assert subjects.exclusions(curves).empty
    people = subjects.select(subjects.as_curves(ill), "hip", "x", "participant")
    assert dict(zip(people.participant.values, people.trial.values, strict=True))["sub-03"] == 1


def test_published_p_values_follow_from_published_f():
    # Thesis 002, Table 1: F and p of the perspective effect; df = (1, 60), 61 trials as subjects.
    table = printed("table_1")
    rows = table[table.effect == "perspective"]
    np.testing.assert_allclose(stats.f.sf(rows.F, 1, thesis.SUBJECTS - 1), rows.p, rtol=0, atol=1e-5)
    assert len(table) == 36
    counts = table[table.p < 0.05].groupby("effect").size().to_dict()
    assert counts == thesis.SIGNIFICANT


def test_published_time_effects_are_greenhouse_geisser_corrected():
    # Were they not, the numerator would have one degree of freedom less than a cycle has samples.
    rows = printed("table_1").set_index("effect").loc["time"]
    implied = np.array([thesis.implied_df(row.F, row.p) for row in rows.itertuples()])
    assert implied.min() > 1.5
    assert implied.max() < 8


def test_paper_and_ours_stand_side_by_side(curves):
    ours = anova.perspective_anova(curves, "trial")
    words = thesis.verdict(ours, "trial", 0.05)
    assert "of 4 curves" in words
    assert f"perspective {anova.count_significant(ours)} (paper 5 of 12); time 4 (paper 12 of 12)" in words
    assert "time not tested" in thesis.verdict(ours.assign(refused="why"), "trial", 0.05)
    block = thesis.beside(ours, "perspective")
    row = block.set_index("body part").loc["x-value of hip"]
    assert row["F (paper)"] == 4.077560
    assert row["df (paper)"] == "1.00, 60.0"
    assert row["df (ours)"] == "1.00, 15.0"
    assert block.set_index("body part").loc["x-value of ankle", "F (ours)"] != row["F (ours)"]
    assert block["body part"].tolist()[:2] == ["x-value of ankle", "y-value of ankle"]  # the paper's order
    assert len(block) == 12


def test_holm_is_the_step_down_of_bonferroni():
    table = pd.DataFrame({"p": [0.01, 0.04, np.nan, 0.03], "family": ["a", "a", "a", "a"]})
    # By hand: 3 * 0.01, then 2 * 0.03, then max(0.06, 0.04); the refused test does not count.
    np.testing.assert_allclose(subjects.holm(table, "p"), [0.03, 0.06, np.nan, 0.06])
