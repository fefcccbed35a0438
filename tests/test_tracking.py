"""Errors of whole films: who counts as unseen, what is judged, and the sentence about it."""

import numpy as np
import pandas as pd
import pytest

from studykit.truth import tracking
from studykit.truth.keypoints import wrong_leg_table


def some_errors(**columns):
    """Points of two people: one hidden, one on the wrong leg."""
    table = {
        "participant": ["sub-01", "sub-01", "sub-02", "sub-02", "sub-02"],
        "keypoint": ["knee", "heel", "knee", "heel", "heel"],
        "error_px": [1.0, 2.0, 3.0, 5.0, 40.0],
        "confidence": [0.9, 0.9, 0.9, 0.2, 0.9],
        "visible": [True, True, True, False, True],
        "wrong_leg": [0.0, 0.0, 0.0, 0.0, 1.0],
        "reference": "truth",
    }
    return pd.DataFrame(table | columns)


def with_people(monkeypatch, errors, parts):
    monkeypatch.setattr(tracking, "study_errors", lambda study, tracks: errors)
    split = pd.DataFrame(parts, columns=["participant", "part"])
    return tracking.tracking_errors(None, "tracks", split)


def test_people_of_the_test_part_are_unseen_and_judged_by_what_is_visible(monkeypatch):
    errors = with_people(monkeypatch, some_errors(), [("sub-01", "train"), ("sub-02", "test")])
    assert errors.people.tolist() == ["seen"] * 2 + ["unseen"] * 3
    judged = tracking.judged_errors(errors)
    assert judged.error_px.tolist() == [3, 40]
    tables = tracking.tracking_tables(errors, ("knee", "heel"), p_cutoff=0.6, limit_px=8.0)
    assert list(tables) == ["seen_visible", "unseen_hidden", "unseen_visible"]
    assert tables["unseen_hidden"].set_index("keypoint").points.to_dict() == {"knee": 0, "heel": 1, "all": 1}
    assert tracking.tracking_numbers(judged, 8.0) == {"median_error_px": 21.5, "within_8px": 0.5}
    told = tracking.tracking_verdict(judged, wrong_leg_table(judged, ("knee", "heel")), 4, 8.0)
    assert "All 4 recordings" in told and "people unseen in training the median error of visible points is 21.5" in told
    assert "50.0 % lie within 8 px. The heel is put on the wrong leg most often (100.0 %" in told


def test_where_all_were_seen_they_are_judged(monkeypatch):
    errors = with_people(monkeypatch, some_errors(reference="tracks"), [("sub-01", "both"), ("sub-02", "train")])
    judged = tracking.judged_errors(errors)
    assert judged.error_px.tolist() == [1, 2, 3, 40]
    told = tracking.tracking_verdict(judged, wrong_leg_table(judged), 4, 8.0)
    assert "For the person trained on the network and the tracks" in told and "2.5 px" in told


@pytest.mark.parametrize("limit_px", [8.0, np.inf])
def test_nothing_known_is_said_so(monkeypatch, limit_px):
    errors = with_people(monkeypatch, some_errors().iloc[:0], [("sub-01", "train")])
    judged = tracking.judged_errors(errors)
    assert tracking.tracking_numbers(judged, limit_px) == {"median_error_px": None, "within_8px": None}
    assert "errors cannot be known" in tracking.tracking_verdict(judged, wrong_leg_table(judged), 2, limit_px)
