"""What we write opens in the *movement* package (extra `interop`)."""

import numpy as np
import pytest
import xarray as xr

from studykit.formats import import_tracks, write_deeplabcut
from studykit.tracks import save_tracks

pytest.importorskip("movement", reason="extra `interop` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")


def test_movement_accepts_our_netcdf_and_computes_with_it(walk, tmp_path):
    from movement.kinematics import compute_velocity
    from movement.validators.datasets import ValidPosesInputs

    save_tracks(walk, tmp_path / "walk.nc")
    opened = xr.load_dataset(tmp_path / "walk.nc")  # as movement's guide says for its own netCDF files
    ValidPosesInputs.validate(opened)
    rebuilt = ValidPosesInputs(
        position_array=opened.position.values,
        confidence_array=opened.confidence.values,
        individual_names=list(opened.individuals.values),
        keypoint_names=list(opened.keypoints.values),
        fps=opened.attrs["fps"],
        source_software=opened.attrs["source_software"],
    ).to_dataset()
    xr.testing.assert_equal(opened, rebuilt)
    assert {key: opened.attrs[key] for key in rebuilt.attrs} == rebuilt.attrs
    velocity = compute_velocity(opened.position).sel(space="x", keypoints="neck", individuals="person")
    # The neck of the analytic walk (tests/conftest.py) moves 180 px to the left each second.
    np.testing.assert_allclose(velocity, -180, atol=1e-6)


def test_movement_filters_our_tracks_by_confidence(walk):
    from movement.filtering import filter_by_confidence

    unsure = walk.copy(deep=True)
    unsure.confidence[3, 2, 0] = 0.1
    kept = filter_by_confidence(unsure.position, unsure.confidence, threshold=0.6)
    lost = np.argwhere(np.isnan(kept.values))
    assert lost.tolist() == [[3, 0, 2, 0], [3, 1, 2, 0]]


@pytest.mark.parametrize("suffix", [".h5", ".csv"])
def test_movement_reads_our_deeplabcut_files_and_we_read_its(walk, tmp_path, suffix):
    from movement.io import load_poses, save_poses

    write_deeplabcut(walk, tmp_path / f"ours{suffix}")
    theirs = load_poses.from_dlc_file(tmp_path / f"ours{suffix}", fps=25)
    np.testing.assert_array_equal(theirs.position, walk.position)
    np.testing.assert_array_equal(theirs.confidence, walk.confidence)
    save_poses.to_dlc_file(walk, tmp_path / f"theirs{suffix}", split_individuals=False)
    xr.testing.assert_equal(import_tracks(tmp_path / f"theirs{suffix}", 25, 960, 540), walk)
