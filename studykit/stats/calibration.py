"""How often each test finds a perspective effect where there is none."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from studykit.stats import anova, curves

_CHUNK = 50  # studies held in memory at once
_HARMONICS = 6  # of the random shapes; fewer are smoother


def simulate_null(
    n_studies: int,
    participants: int,
    trials: int,
    seed: int | Sequence[int] = 0,
    percents: int = 101,
    participant_sd_px: float = 3.0,
    trial_sd_px: float = 2.0,
) -> np.ndarray:
    """Curves of studies without a perspective effect, although the views of each person do differ.

    Every participant has a smooth difference between the views (the two legs, the place on the walkway) that all the
    participant's trials share, and every trial one more (a camera that was moved); both have the mean zero over
    participants, so that there is no perspective effect in the population. Half of each variance is an offset, half
    a shape of the first harmonics of the cycle with falling power.

    Parameters
    ----------
    n_studies, participants, trials, percents : int
    seed : int or sequence of int
    participant_sd_px, trial_sd_px : float
        Spread of the difference between views: between people, and between one person's trials, px. Their
        intraclass correlation is participant_sd^2 / (participant_sd^2 + trial_sd^2), 0.69 as they stand.

    Returns
    -------
    ndarray (study, participant, trial, percent, view)
        px
    """
    rng = np.random.default_rng([*np.atleast_1d(seed), participants, trials])
    phase = 2 * np.pi * np.linspace(0, 1, percents)
    order = np.arange(1, 1 + _HARMONICS)
    power = 1.0 / order**2
    scale, angle = np.sqrt(0.5 * power / power.sum())[:, None], order[:, None] * phase
    basis = np.concatenate([np.full((1, percents), np.sqrt(0.5)), scale * np.cos(angle), scale * np.sin(angle)])

    def smooth(*shape):
        return rng.standard_normal((*shape, len(basis))) @ basis

    walk = 100 * np.cos(phase) + 25 * np.sin(2 * phase)
    person = walk + 10 * smooth(n_studies, participants, 1, 1)
    # Each view carries its own part, so that the difference of two views has the spreads asked for.
    own = participant_sd_px / np.sqrt(2) * smooth(n_studies, participants, 1, 2)
    own = own + trial_sd_px / np.sqrt(2) * smooth(n_studies, participants, trials, 2)
    return np.moveaxis(person + own, -1, -2)


def false_positive_rates(
    n_studies: int,
    participants: int = 32,
    trials: int = 2,
    seed: int = 0,
    alpha: float = 0.05,
    permutations: int = 500,
    **null: float,
) -> pd.DataFrame:
    """Share of null studies in which each test is significant.

    Parameters
    ----------
    n_studies : int
    participants, trials : int
        Of each study.
    seed : int
    alpha : float
        Level of every test.
    permutations : int
        Of the permutation test; 0 leaves it out, and so do too few participants for a p below alpha.
    **null
        Spreads and shape, handed to `simulate_null`.

    Returns
    -------
    pandas.DataFrame
        test, effect, unit ("trial" as published, "participant"), sound (bool), rate, low, high (95 % Wilson interval
        of the rate), n_studies.
    """
    testable = permutations and 2.0 ** (1 - participants) <= alpha
    flips = curves.sign_flips(participants, permutations, seed) if testable else []
    anywhere, found = "anywhere in the cycle", []
    for start in range(0, n_studies, _CHUNK):
        size = min(_CHUNK, n_studies - start)
        values = simulate_null(size, participants, trials, [seed, start], **null)
        means = values.mean(2)
        subjects = {"trial": values.reshape(size, -1, *values.shape[3:]), "participant": means}
        tests = {unit: anova.f_tests(people) for unit, people in subjects.items()}
        for effect, unit in itertools.product(("perspective", "interaction"), tests):
            found.append(("RM-ANOVA", effect, unit, tests[unit][effect]["p_gg"]))
        for unit, people in subjects.items():
            p = [curves.random_field(one)[1] for one in people[..., 0] - people[..., 1]]
            found.append(("SPM paired t", anywhere, unit, p))
        if testable:
            p = [curves.judged(curves.flipped_peaks(one, flips), alpha)[1] for one in means[..., 0] - means[..., 1]]
            found.append(("permutation t", anywhere, "participant", p))
    keys = ["test", "effect", "unit"]
    found = pd.DataFrame(found, columns=[*keys, "p"]).explode("p").set_index(keys).p < alpha
    rows = []
    for (test, effect, unit), positives in found.groupby(keys, sort=False).sum().items():
        interval = stats.binomtest(int(positives), n_studies).proportion_ci(0.95, method="wilson")
        rows.append((test, effect, unit, unit == "participant", positives / n_studies, *interval, n_studies))
    return pd.DataFrame(rows, columns=[*keys, "sound", "rate", "low", "high", "n_studies"])


def verdict(rates: pd.DataFrame, alpha: float = 0.05) -> str:
    """What the calibration says, in words.

    Parameters
    ----------
    rates : pandas.DataFrame
        From `false_positive_rates`.
    alpha : float

    Returns
    -------
    str
    """
    wrong, sound = rates[~rates.sound], rates[rates.sound]
    worst = wrong.sort_values("rate").iloc[-1]
    if sound.rate.between(0.6 * alpha, 1.4 * alpha).all():
        judged = f"All sound tests lie within {60 * alpha:.2g} to {140 * alpha:.2g} %."
    elif (sound.rate <= 1.4 * alpha).all():
        judged = "No sound test errs more often than allowed; with so few people some err less and miss more."
    else:
        judged = "Not all sound tests keep their level: read their p values with care."
    return (
        f"In {rates.n_studies.max()} studies without any perspective effect, tests that take trials as subjects find "
        f"one in {100 * wrong.rate.min():.1f} to {100 * wrong.rate.max():.1f} % (worst: {worst.test}, {worst.effect}), "
        f"tests that take participants in {100 * sound.rate.min():.1f} to {100 * sound.rate.max():.1f} %; "
        f"{100 * alpha:g} % were allowed. {judged}"
    )
