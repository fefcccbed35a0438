"""Turned pictures, what a network costs, and the figures of masks and joints."""

from dataclasses import replace

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from studykit.datasets.coco import coco_stills
from studykit.datasets.lsp import lsp_stills
from studykit.gaitlab import simulate_stills
from studykit.models.harmonic import harmonic_unet
from studykit.plots import segmentation as figures
from studykit.pose.network import Network
from studykit.pose.scores.masks import judge, pck_table
from studykit.pose.scores.turned import feature_errors, feature_turn_error, rotation_table, settle, turn, turner
from studykit.pose.segmentation import Settings, mask_origin, prepare

TINY = Settings(widths=(4, 8, 8), size_px=32, bucket_px=4, joints="softmax")


def untrained(settings, folder):
    """A network that was not trained, its batch normalization settled."""
    network = Network(folder / settings.architecture, settings, "untrained", settings.architecture, 0)
    vars(network)["model"] = settle(settings.build(), 32)
    return network


def forget(network):
    """What can only answer from what is kept."""
    vars(network)["model"] = None
    return network


@pytest.fixture(scope="module")
def people():
    return prepare(simulate_stills(4, seed=3, size=64, skeleton="body25", people=4), 32, "person")


def test_a_quarter_turn_is_numpy_s(people):
    still = people[0][0]
    quarter = turn(still, 90)
    np.testing.assert_array_equal(quarter.mask, np.rot90(still.mask))
    np.testing.assert_array_equal(quarter.image, np.rot90(still.image))
    np.testing.assert_array_equal(turn(still, 0).image, still.image)


def test_the_harmonic_network_is_as_good_on_its_side_and_the_plain_one_is_not(people, tmp_path):
    keras.utils.set_random_seed(1)
    settings = {name: replace(TINY, architecture=name, joints="none") for name in ("unet", "harmonic")}
    networks = {name: untrained(s, tmp_path) for name, s in settings.items()}
    table = rotation_table(networks, people[0], [0, 90])
    error = table.set_index(["network", "angle_deg"]).equivariance_error
    assert error["harmonic", 90] < 1e-4 and error["unet", 90] > 1e-3
    assert (error[:, 0] < 1e-6).all()
    dice = table.set_index(["network", "angle_deg"]).dice
    assert dice["harmonic", 90] == pytest.approx(dice["harmonic", 0], abs=1e-5)

    image, masks = turner(networks, people[0][0], first_deg=90)(90)
    np.testing.assert_array_equal(image, turn(people[0][0], 90).image)
    forgotten = {name: forget(network) for name, network in networks.items()}
    pd.testing.assert_frame_equal(rotation_table(forgotten, people[0], [0, 90]), table)
    again = turner(forgotten, people[0][0], first_deg=90)
    assert all(np.array_equal(mask, masks[name]) for name, mask in again(90)[1].items())
    with pytest.raises(AttributeError):
        again(45)  # that angle was not asked before


def test_features_of_5x5_filters_turn_by_30_degrees_to_one_percent():
    keras.utils.set_random_seed(1)
    model = harmonic_unet(widths=(4, 8, 8), kernel_size=5)
    assert feature_turn_error(model, "features", 30, size=128) < 0.01
    assert feature_turn_error(settle(model, size=128), "features", 90, size=128) < 1e-4


def test_errors_of_features_are_kept(tmp_path, monkeypatch):
    table = feature_errors(tmp_path / "untrained.npz", 1, 32)
    assert list(table.network.str[:7]) == ["harmoni"] * 4 + ["U-Net 3"] and list(table)[2:] == ["30 deg", "90 deg"]
    assert (table["90 deg"][:4] < 1e-3).all() and table["90 deg"][4] > 0.01
    monkeypatch.setattr(keras.utils, "set_random_seed", None)
    pd.testing.assert_frame_equal(feature_errors(tmp_path / "untrained.npz", 1, 32), table)


def test_where_no_head_is_known_no_share_is_told(people, tmp_path):
    stills, about, _ = people
    _, _, points = judge(untrained(TINY, tmp_path), stills, about.assign(head_px=np.nan))
    table = pck_table(points).set_index("keypoint")
    assert list(table.index) == ["all"] and table.n["all"] == 0 and np.isnan(table.pck["all"])


def test_figures_show_what_their_tables_say(people, tmp_path):
    stills, about, _ = people
    network = untrained(TINY, tmp_path)
    masks, _, points = judge(network, stills, about.assign(head_px=5.0))
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, 0.4], "validation_mask_loss": [0.6, 0.5]})
    joints = history.assign(mask_loss=history.loss, joints_loss=[3.0, 2.0], validation_joints_loss=[3.1, np.nan])
    maps = network.model.predict_on_batch(TINY.encode_images([stills[0]]))["joints"][0]
    drawn = {
        "histories": figures.draw_histories({"a": joints, "b": history}),
        "masks": figures.draw_masks(stills, {"a": masks}),
        "channels": figures.draw_channels(stills[0], maps, TINY.keypoints),
        "skeletons": figures.draw_skeletons(stills, masks, points, TINY.keypoints),
        "pck": figures.draw_pck({"a": pck_table(points)}),
        "seeds": figures.draw_seeds(
            pd.DataFrame({"encoding": ["a", "a", "b"], "set": "test", "seed": [1, 2, 1], "dice": [0.8, 0.9, 0.7]}),
            "Dice",
        ),
        "curves": figures.draw_curves(
            pd.DataFrame({"network": ["a", "a"], "x": [0, 1], "y": [1, 3]}), "x", "y", "x", "y"
        ),
    }
    rows = {name: len(table) for name, (_, table) in drawn.items()}
    known = sum(int((still.keypoints[:, 2] > 0).sum()) for still in stills)
    assert rows == {"histories": 4, "masks": 4, "channels": 26, "skeletons": known, "pck": 26, "seeds": 3, "curves": 2}
    lines = [
        [list(line.get_ydata()) for line in ax.lines if len(line.get_ydata())] for ax in drawn["histories"][0].axes
    ]
    assert lines == [[[0.5, 0.4], [0.6, 0.5]] * 2, [[3.0, 2.0], [3.1]]]  # the second run has no joints
    for fig, _ in drawn.values():
        plt.close(fig)


@pytest.mark.real_data
def test_masks_say_who_made_them(people, real_data):
    assert mask_origin(people[0]) == "exact"
    assert mask_origin(lsp_stills(real_data / "lsp")[:4]) == "pseudo-masks"
    assert mask_origin(coco_stills(real_data / "coco_mini")) == "drawn by hand"
