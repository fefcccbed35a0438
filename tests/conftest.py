"""Fixtures shared by name."""

import os
from pathlib import Path

import numpy as np
import pytest

from studykit.skeletons import SKELETONS
from studykit.tracks import build_tracks

ROOT = Path(__file__).parents[1]


def pytest_collection_modifyitems(items):
    """The longest first, so that the others run beside it."""
    items.sort(key=lambda item: item.get_closest_marker("study") is None)


@pytest.fixture(scope="session")
def real_data():
    """Folder of third-party data; tests that ask for it are marked `real_data`."""
    folder = Path(os.environ.get("STUDYKIT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"third-party data not found at {folder}; set STUDYKIT_DATA to a folder that holds it")
    return folder


def make_walk(seconds=4.0, fps=25.0, stride_s=1.1, speed_px_s=180.0, mirrored=False):
    """A right-to-left walk in image coordinates: smooth analytic curves for neck and both legs, gait11."""
    names = SKELETONS["gait11"].keypoints
    time = np.arange(round(seconds * fps)) / fps
    phase = 2 * np.pi * time / stride_s
    offsets = {"hip": (0, 90), "knee": (0, 180), "ankle": (0, 270), "heel": (12, 290), "toe": (-30, 292)}
    swing = {"hip": 2.0, "knee": 30.0, "ankle": 55.0, "heel": 57.0, "toe": 56.0}
    position = np.empty((len(time), 2, len(names)))
    neck_x = 880 - speed_px_s * time
    for k, name in enumerate(names):
        side, _, part = name.partition("_")
        if not part:
            position[:, :, k] = np.stack([neck_x, 150 + 3 * np.cos(2 * phase)], 1)
            continue
        angle = phase + (np.pi if side == "right" else 0)
        dx, dy = offsets[part]
        lift = 0.15 * swing[part] * np.clip(-np.sin(angle), 0, None)
        x = neck_x + dx - swing[part] * np.cos(angle) + (4 if side == "right" else 0)
        position[:, :, k] = np.stack([x, 150 + dy - lift], 1)
    return build_tracks(
        position,
        np.full((len(time), len(names)), 0.95),
        names,
        fps,
        width_px=960,
        height_px=540,
        source_software="analytic",
        mirrored=mirrored,
    )


@pytest.fixture
def walk():
    """Four seconds of an analytic right-to-left walk, gait11, image coordinates."""
    return make_walk()
