import numpy as np

from studykit.plots.overlay import write_overlay
from studykit.skeletons import SKELETONS
from studykit.tracks import build_tracks
from studykit.video import probe, write_video


def test_views_of_different_sizes_stand_one_above_the_other(tmp_path):
    views = {}
    for name, (width, height) in {"A": (64, 96), "B": (70, 90)}.items():
        path = tmp_path / f"{name}.mp4"
        write_video((np.full((height, width, 3), 90, np.uint8) for _ in range(5)), path, 25)
        position = np.full((5, 2, 6), 20.0)
        keypoints = SKELETONS["gait6"].keypoints
        views[name] = (path, build_tracks(position, np.ones((5, 6)), keypoints, 25, width_px=width, height_px=height))
    assert write_overlay(views, tmp_path / "both.mp4", scale=0.5) == 5
    info = probe(tmp_path / "both.mp4")
    assert (info.width_px, info.height_px) == (36, 94)  # 35 wide made even; 48 and 45 high, made even
