"""How well the network tracks whole films: errors of people seen in training and of others, in tables and in words."""

from pathlib import Path

import pandas as pd

from studykit.truth.keypoints import error_table, study_errors


def tracking_errors(study: pd.DataFrame, tracks: Path | str, split: pd.DataFrame) -> pd.DataFrame:
    """`study_errors` with a column `people`: "seen" in training, or "unseen".

    Parameters
    ----------
    study : pandas.DataFrame
        Study table.
    tracks : path-like
        Folder of `prediction.predict_study`.
    split : pandas.DataFrame
        participant and part: "train", "test" or "both".
    """
    errors = study_errors(study, tracks)
    part = errors.participant.map(split.set_index("participant").part)
    return errors.assign(people=part.map({"train": "seen", "both": "seen"}).fillna("unseen"))


def tracking_tables(
    errors: pd.DataFrame, keypoints: tuple[str, ...], *, p_cutoff: float, limit_px: float
) -> dict[str, pd.DataFrame]:
    """`error_table` of each group of people, of points that the camera sees and of hidden ones apart."""
    limits = {"p_cutoff": p_cutoff, "limit_px": limit_px}
    return {
        f"{people}_{'visible' if visible else 'hidden'}": error_table(some, keypoints, **limits)
        for (people, visible), some in errors.groupby(["people", "visible"], sort=True)
    }


def judged_errors(errors: pd.DataFrame) -> pd.DataFrame:
    """The errors that the network is judged by: of visible points of unseen people; of seen ones if all were seen."""
    return errors[errors.visible & errors.people.eq("unseen" if (errors.people == "unseen").any() else "seen")]


def tracking_numbers(judged: pd.DataFrame, limit_px: float) -> dict[str, float | None]:
    """Headline numbers: median error, px, and the share of points within `limit_px`; None where nothing is known."""
    if judged.empty:
        return {"median_error_px": None, "within_8px": None}
    return {"median_error_px": judged.error_px.median(), "within_8px": (judged.error_px <= limit_px).mean()}


def tracking_verdict(judged: pd.DataFrame, wrong: pd.DataFrame, recordings: int, limit_px: float) -> str:
    """How near the points are, and which lies on the wrong leg most often.

    Parameters
    ----------
    judged : pandas.DataFrame
        See `judged_errors`.
    wrong : pandas.DataFrame
        `keypoints.wrong_leg_table` of them.
    recordings : int
        That were tracked.
    limit_px : float
    """
    tracked = f"All {recordings} recordings are tracked."
    if judged.empty:
        return (
            f"{tracked} This study has no ground truth and no other tracks, so the errors cannot be known; look at the "
            "overlay video, and at the errors on the labelled frames in notebook 40."
        )
    who = "people unseen in training" if (judged.people == "unseen").any() else "the person trained on"
    median, within = tracking_numbers(judged, limit_px).values()
    if judged.reference.iloc[0] == "tracks":
        return (
            f"{tracked} For {who} the network and the tracks that came with the study differ by {median:.1f} px in the "
            f"median, and by at most {limit_px:g} px in {100 * within:.0f} % of the points; which of the two errs is "
            "not known."
        )
    worst = wrong.loc[wrong.wrong_leg_percent.idxmax()]
    return (
        f"{tracked} For {who} the median error of visible points is {median:.1f} px, and {100 * within:.1f} % lie "
        f"within {limit_px:g} px. The {worst.keypoint} is put on the wrong leg most often "
        f"({worst.wrong_leg_percent:.1f} % of its points; the thesis counted 0.8 to 1.6 % for its network)."
    )
