"""OpenPose: its layers against the published ones, pictures of several people, scales, people found."""

import sys
from dataclasses import replace
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from studykit.models.cost import memory_mb
from studykit.models.openpose import final_maps, openpose
from studykit.plots import openpose as plots
from studykit.pose import everybody
from studykit.pose.codecs.affinity import confidence_maps
from studykit.pose.codecs.peaks import local_peaks
from studykit.pose.examples.batches import Batches
from studykit.pose.network import Schedule, load, train
from studykit.pose.openpose import (
    Settings,
    find_one,
    find_people,
    last_stage,
    multi_scale_maps,
    pictures,
    say_unlabelled,
)
from studykit.pose.scores.people import guess_missing, scene_scores, single_scores, surest_person
from studykit.pose.topdown import network_cost
from studykit.pose.training import compile_model
from studykit.skeletons import SKELETONS
from studykit.stills import Still, StillSet
from studykit.study import write_study
from studykit.video import write_video

TINY = Settings(width=0.1, features=8, size_px=32, box_px=32)


@pytest.fixture(scope="module")
def tiny():
    """A small network, its maps of the last stage."""
    keras.utils.set_random_seed(1)
    return final_maps(TINY.build())


@pytest.fixture(scope="module")
def vgg():
    return openpose(18, 19, "vgg19", input_shape=(64, 64, 3))


def shapes(model, *names):
    return [tuple(model.get_layer(name).kernel.shape) for name in names]


def test_vgg_form_is_that_of_the_paper(vgg):
    # Cao et al. 2017, figure 3 and the authors' pose_deploy.prototxt: kernel sizes and channels of both branches.
    assert len(vgg.output) == 12 and vgg.output["maps"].shape[1:] == (8, 8, 19) and vgg.output["pafs1"].shape[-1] == 38
    assert shapes(vgg, "block4_conv2", "narrow1", "narrow2") == [(3, 3, 512, 512), (3, 3, 512, 256), (3, 3, 256, 128)]
    assert shapes(vgg, "stage1_maps_conv3", "stage1_pafs_conv4") == [(3, 3, 128, 128), (1, 1, 128, 512)]
    assert shapes(vgg, "stage2_maps_conv1", "stage6_pafs_conv5") == [(7, 7, 128 + 57, 128), (7, 7, 128, 128)]
    assert shapes(vgg, "stage6_maps_conv6", "maps", "pafs") == [(1, 1, 128, 128), (1, 1, 128, 19), (1, 1, 128, 38)]
    # The authors' COCO model (pose_iter_440000.caffemodel) holds 52,311,446 weights.
    assert vgg.count_params() == 52_311_446


def test_first_layers_are_those_of_keras_applications(vgg):
    theirs = keras.applications.VGG19(include_top=False, weights=None, input_shape=(64, 64, 3))
    ours = keras.Model(vgg.input, vgg.get_layer("block4_conv2_relu").output)
    for layer in ours.layers:
        if layer.weights:
            layer.set_weights(theirs.get_layer(layer.name).get_weights())
    picture = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    prepared = keras.applications.vgg19.preprocess_input(picture.copy())
    wanted = keras.Model(theirs.input, theirs.get_layer("block4_conv2").output)(prepared)
    np.testing.assert_allclose(ours(picture), wanted, rtol=1e-4, atol=1e-3 * float(np.abs(wanted).max()))


def test_mobilenet_form_is_the_light_one():
    # Osokin 2018, table 1: 4.1 million parameters with one refinement stage.
    model = openpose(18, 19, "mobilenet")
    assert list(model.output) == ["maps1", "pafs1", "maps", "pafs"]
    assert 4.0e6 < model.count_params() < 4.2e6
    assert [layer.name for layer in model.layers if getattr(layer, "dilation_rate", (1, 1)) == (2, 2)][:1] == [
        "conv_dw_7"
    ]
    everywhere = openpose(18, 19, "mobilenet", width=0.1, features=8, normalise_all=True)
    kinds = [type(layer).__name__ for layer in everywhere.layers]
    assert kinds.count("BatchNormalization") == kinds.count("ReLU")
    theirs = keras.applications.MobileNet(include_top=False, weights=None)
    for name in ("conv1", "conv_dw_6", "conv_pw_11", "conv_pw_11_bn"):
        ours = model.get_layer(name)
        assert [w.shape for w in ours.weights] == [w.shape for w in theirs.get_layer(name).weights]


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="backbone: expected one of vgg19, mobilenet, got 'resnet'"):
        openpose(backbone="resnet")
    with pytest.raises(ValueError, match="skeleton: expected one of coco18, mpii15, body25, got 'lsp14'"):
        Settings(skeleton="lsp14")
    with pytest.raises(ValueError, match="size_px: expected a multiple of 8 from 24, got 100"):
        Settings(size_px=100)
    with pytest.raises(FileNotFoundError, match="notebook 30_train_openpose makes it"):
        everybody.load_networks(Path("nowhere"), "mobilenet-coco18")


def still(points, scene="", name="a", size=64):
    points = np.asarray(points, np.float32)
    image = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return Still(image, points, None, (*low, *(high - low)), name, name, scene)


def body(keypoints, x, y, size=20.0):
    """Points of one person in a box of a size whose corner is x, y."""
    rng = np.random.default_rng(5)
    points = rng.uniform((x, y), (x + size, y + size), (len(keypoints), 2))
    return np.column_stack([points, np.full(len(keypoints), 2)])


def test_people_of_a_scene_share_one_picture_with_targets_for_all():
    names = TINY.keypoints
    one, other = body(names, 4, 4), body(names, 40, 30)
    stills = StillSet([still(one, "s"), still(other, "s", "b"), still(one, name="c")], names)
    both = pictures(stills, keypoints=names)
    assert len(both) == 2 and len(both.keypoints) == 36 and both.keypoints[18] == "nose#1"
    assert (both[1].keypoints[18:, 2] == 0).all()
    x, y, w, h = both[0].box
    np.testing.assert_allclose([x, y], one[:, :2].min(axis=0), atol=1e-4)
    np.testing.assert_allclose([x + w, y + h], other[:, :2].max(axis=0), atol=1e-4)
    _, targets = TINY.encode([both[0], both[1]])
    assert list(targets) == ["maps1", "pafs1", "maps", "pafs"] and targets["maps1"] is targets["maps"]
    np.testing.assert_allclose(targets["maps"][0], confidence_maps([one, other], 64, 64, sigma_px=7), atol=1e-5)
    with pytest.raises(ValueError, match="expected stills with left_big_toe"):
        pictures(stills, keypoints=SKELETONS["body25"].keypoints)
    assert pictures(stills, keypoints=SKELETONS["body25"].keypoints, lacking=True)[0].keypoints.shape == (50, 3)


def test_flipped_examples_exchange_sides_of_every_person():
    names = TINY.keypoints
    stills = StillSet([still(body(names, 4, 4), "s"), still(body(names, 40, 30), "s")], names)
    together = pictures(stills, keypoints=names)
    still_life = {"size_px": 64, "rotation_deg": 0, "zoom": 1.0, "shift": 0, "colour": 0, "blur_px": 0, "noise": 0}
    plain, flipped = (
        Settings(flip=flip, **still_life).augmentation()(together[0], together.keypoints, np.random.default_rng(0))
        for flip in (0.0, 1.0)
    )
    plain, flipped = (one.keypoints.reshape(2, -1, 3) for one in (plain, flipped))
    nose, left, right = (names.index(name) for name in ("nose", "left_knee", "right_knee"))
    for here, there in ((left, right), (right, left)):
        away = (plain[:, here] - plain[:, nose])[:, :2]
        np.testing.assert_allclose((flipped[:, there] - flipped[:, nose])[:, :2], away * [-1, 1], atol=1e-3)


def test_steps_of_training_lower_the_loss():
    small = Settings(backbone="vgg19", width=0.05, features=8, stages=1, size_px=32, box_px=32)
    names = small.keypoints
    train = pictures(StillSet([still(body(names, 4, 4)), still(body(names, 30, 20), name="b")], names), keypoints=names)
    keras.utils.set_random_seed(1)
    model = small.build()
    compile_model(model, small.losses, steps=5, learning_rate=0.01)
    batch = Batches(train, small.encode, 2, augmentation=small.augmentation(), seed=1)[0]
    losses = [float(model.train_on_batch(*batch, return_dict=True)["loss"]) for _ in range(3)]
    assert losses[2] < losses[0]


@keras.saving.register_keras_serializable(package="tests")
class Counted(keras.layers.Layer):
    """Passes its input on and counts how often it is traced."""

    traces = 0

    def call(self, x):
        Counted.traces += 1
        return x


@pytest.fixture(scope="module")
def mean_of_cells():
    """A network without weights: mean colour of each cell of 8 x 8 px, 0 to 1, as two maps, background and a field."""
    image = keras.Input((None, None, 3))
    cells = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(Counted()(image)))
    return keras.Model(image, {"maps": cells, "pafs": cells[..., :2]})


def blobs(points, width, height, sigma_px=9.0):
    """A picture with a red and a green Gaussian."""
    y, x = np.mgrid[:height, :width]
    image = np.zeros((height, width, 3))
    for channel, (u, v) in enumerate(points):
        image[..., channel] = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma_px**2))
    return image.round().astype(np.uint8)


def test_maps_of_all_scales_lie_on_one_another(mean_of_cells):
    points = np.array([[61.3, 40.2], [120.7, 77.9]])
    image = blobs(points, 203, 131)
    alone, _, stride = multi_scale_maps(mean_of_cells, image, box_size=131, scales=(2.0,))
    maps, fields, same = multi_scale_maps(mean_of_cells, image, box_size=131)
    assert stride == same == 4 and maps.shape == (33, 51, 3) and fields.shape == (33, 51, 2)
    np.testing.assert_allclose(fields, maps[..., :2], atol=1e-6)  # some processors round three channels otherwise
    for grid, px in ((maps, 0.6), (alone, 0.3)):
        peaks = local_peaks(grid[..., :2], stride=stride, threshold=0.6)  # the grey beyond the edge is 0.5
        np.testing.assert_allclose(peaks[:, 1:3], points, atol=px)


def test_who_is_alone_is_read_from_the_highest_peaks(mean_of_cells):
    points = np.array([[61.3, 40.2], [120.7, 77.9]])
    found = find_one(mean_of_cells, TINY, blobs(points, 203, 131), box_size=131)
    np.testing.assert_allclose(found[:, :2], points, atol=1)


def test_beyond_the_picture_lies_grey(mean_of_cells):
    # Paper 000, section 4: PadValue = 128. 100 x 60 px at their own size are 13 x 8 cells; half of the last is grey.
    maps, _, stride = multi_scale_maps(mean_of_cells, np.zeros((60, 100, 3), np.uint8), box_size=60, scales=(1.0,))
    assert stride == 8 and maps.shape == (8, 13, 3)
    np.testing.assert_allclose(maps[0, 12], 128 / 255 / 2, atol=1e-6)
    np.testing.assert_allclose(maps[7, 0], 128 / 255 / 2, atol=1e-6)
    assert (maps[:7, :12] == 0).all()


def test_new_sizes_do_not_make_new_graphs(mean_of_cells):
    for width in (64, 96):
        multi_scale_maps(mean_of_cells, np.zeros((80, width, 3), np.uint8), box_size=80, scales=(1.0,))
    before = Counted.traces
    for width in (72, 104, 128, 200):
        multi_scale_maps(mean_of_cells, np.zeros((80, width, 3), np.uint8), box_size=80)
    assert Counted.traces == before


def test_truth_as_prediction_scores_one_and_nobody_scores_nothing():
    names = SKELETONS["openpose18"].keypoints
    bodies = [body(names, 4, 4), body(names, 40, 30, size=15.0), body(names, 10, 8, size=40.0)]
    scenes = StillSet([still(bodies[0], "s"), still(bodies[1], "s", "b"), still(bodies[2], name="c")], names)
    found = [(np.stack(bodies[:2]), np.array([2.0, 1.0])), (bodies[2][None], np.ones(1))]
    perfect = scene_scores(found, scenes, names)
    assert perfect["AP"] == perfect["AR"] == perfect["people_per_person"] == 1
    nobody = (np.zeros((0, 18, 3)), np.zeros(0))
    assert scene_scores([nobody, nobody], scenes, names)["AP"] == 0
    alone = scenes.subset([0, 2])
    single = single_scores(np.stack([bodies[0], bodies[2]]), [(bodies[0][None], np.ones(1)), nobody], alone, names)
    assert single["pck"] == single["AR"] == 1 and single["pck_grouped"] == 0.5


def test_missing_joints_are_wrong_and_get_a_place_of_their_own():
    person = np.array([[10.0, 20, 0.9], [30, 40, 0.8], [np.nan, np.nan, 0]])
    np.testing.assert_allclose(guess_missing(person[None])[0, 2], [20, 30, 0])
    assert not guess_missing(np.full((1, 3, 3), np.nan))[..., :2].any()
    points, scores = surest_person([(person[None], np.array([3.0])), (np.zeros((0, 3, 3)), np.zeros(0))], 3)
    assert points.shape == (2, 3, 3) and np.isnan(points[1, :, 0]).all() and list(scores) == [3, 0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is known on Linux only")
def test_memory_of_a_call_is_its_peak():
    # 100 million bytes, given back at the end of the call.
    assert 95 < memory_mb(lambda: np.ones(12_500_000).sum()) < 130
    assert memory_mb(lambda: None) < 5


@pytest.fixture(scope="module")
def crowd():
    """Two people alone and two in one picture."""
    names = TINY.keypoints
    bodies = [body(names, 4, 4), body(names, 40, 30), body(names, 10, 8, size=40.0), body(names, 30, 4)]
    where = [("s", "a"), ("s", "b"), ("", "c"), ("", "d")]
    return StillSet([still(one, *at) for one, at in zip(bodies, where, strict=True)], names)


@pytest.fixture(scope="module")
def trained(crowd, tmp_path_factory):
    """A folder with one network, trained for a step."""
    folder = tmp_path_factory.mktemp("openpose")
    sets = {"train": pictures(crowd, keypoints=TINY.keypoints), "validation": crowd.subset([2, 3])}
    network = train(TINY, sets, folder / "tiny", Schedule(epochs=1, batch_size=2), progress=False)
    assert np.isfinite(network.history[["loss", "maps1_loss", "pafs_loss", "validation_loss"]]).all(axis=None)
    pd.DataFrame({"memory_mb": [12.5]}).to_csv(folder / "tiny/scores.csv", index=False)
    return folder


def test_a_network_answers_as_it_did_before(crowd, trained, monkeypatch):
    network = load(trained / "tiny", "30_train_openpose")
    assert network.settings == TINY
    singles, scenes = crowd.subset([2, 3]), crowd.subset([0, 1])
    images = [still.image for still in singles] + everybody.scene_images(scenes)
    assert len(images) == 3
    table = everybody.compare_scales({"tiny": network}, singles, scenes, [0.5, 1.0], threshold=0.01)
    assert (
        table.scales.tolist() == ["1", "0.5 1"] and table.epochs.tolist() == [1, 1] and (table.memory_mb == 12.5).all()
    )
    alone = everybody.find_singles(network, singles, scales=(1.0,), box_size=0)
    found, ms = everybody.find_everybody(network, images, threshold=0.01, scales=(1.0,), box_size=0)
    model = last_stage(network.model)
    np.testing.assert_array_equal(alone[1], find_one(model, TINY, singles[1].image))
    people, scores = find_people(model, TINY, images[2], threshold=0.01)
    np.testing.assert_array_equal(found[2][0], people)
    assert people.shape[1:] == (18, 3) and len(people) == len(scores) and ms > 0
    maps, fields, stride = everybody.maps_of(network, images[2], [0.5, 1.0])
    asked = multi_scale_maps(model, images[2], box_size=32, scales=[0.5, 1.0])
    np.testing.assert_array_equal(maps, asked[0])
    np.testing.assert_array_equal(fields, asked[1])
    assert stride == asked[2] == 16
    cost = network_cost(network, part=last_stage)
    assert list(cost) == ["parameters", "multiply_adds", "training_s", "ms_per_image"]
    memory = everybody.first_memory_mb(TINY, images[0], trained)

    def refuse(*_):
        raise AssertionError("asked again")

    monkeypatch.setattr(type(network), "model", property(refuse))
    monkeypatch.setattr(Settings, "build", refuse)
    again = everybody.load_networks(trained, "tiny")
    assert list(again) == ["tiny"]
    pd.testing.assert_frame_equal(everybody.compare_scales(again, singles, scenes, [0.5, 1.0], threshold=0.01), table)
    by_scale = everybody.maps_by_scale
    np.testing.assert_array_equal(everybody.maps_of(again["tiny"], images[2], [0.5, 1.0])[0], maps)
    assert network_cost(again["tiny"], part=last_stage) == cost
    assert everybody.first_memory_mb(TINY, images[0], trained) == memory or np.isnan(memory)
    with pytest.raises(AssertionError, match="asked again"):
        by_scale(again["tiny"], images[2], [0.7])


def test_maps_of_each_scale_and_their_mean_are_drawn(crowd, trained):
    network = load(trained / "tiny", "30_train_openpose")
    by_scale = everybody.maps_by_scale(network, crowd[0].image, [0.5, 1.0])
    assert {name: stride for name, (_, stride) in by_scale.items()} == {"0.5": 32, "1.0": 16, "mean": 16}
    drawn = plots.draw_maps_by_scale(crowd[0].image, by_scale, TINY.keypoints)
    assert list(drawn) == ["maps_at_0.5", "maps_at_1.0", "maps_at_mean"]
    table = plots.scale_table(drawn)
    assert table.scale.tolist() == ["0.5"] * 4 + ["1.0"] * 4 + ["mean"] * 4
    everyone = plots.draw_networks({"tiny": network}, [crowd[0].image], threshold=0.01)
    assert list(everyone) == ["skeletons_tiny"]
    assert plots.draw_frames(network, []) is None
    fig, data = plots.draw_losses(network.history)
    assert list(data)[:2] == ["epoch", "step"] and len(fig.axes) == 2
    plt.close("all")


def test_pictures_are_chosen_evenly(crowd):
    stills = [replace(crowd[n % 4], scene="", source=f"{n}, of many") for n in range(17)]
    found = [(crowd[0].keypoints[None], np.ones(1))] * 17
    fig, data = plots.draw_detected(stills, found, TINY.body)
    assert list(dict.fromkeys(data.picture)) == [str(n) for n in range(0, 16, 2)]
    assert everybody.first_scenes(crowd, 2).scenes == ("s", "s", "")
    assert len(everybody.first_together(crowd)) == 2 and len(everybody.first_together(crowd[2:])) == 0
    plt.close(fig)


def test_films_give_a_frame_every_so_often_short_ones_their_middle(tmp_path):
    assert everybody.video_frames(tmp_path / "nowhere.csv", 5.0) == []
    greys = [np.full((48, 64, 3), 10 * n, np.uint8) for n in range(20)]
    write_video(greys, tmp_path / "walk.mp4", fps=10.0)  # 2 s
    row = {"participant": "anna", "sex": "f", "trial": 1, "direction": "R2L", "view": "left", "tracks": ""}
    row |= {"video": str(tmp_path / "walk.mp4"), "fps": 10.0, "mirrored": False, "width_px": 64, "height_px": 48}
    write_study(pd.DataFrame([row]), tmp_path / "study.csv")
    for seconds, expected_s in ((5.0, [1.0]), (1.0, [0.5, 1.5])):
        frames = everybody.video_frames(tmp_path / "study.csv", seconds)
        assert [title for title, _ in frames] == [f"anna left, {time:.1f} s" for time in expected_s]
        assert np.allclose([frame.mean() for _, frame in frames], [100 * time for time in expected_s], atol=4)


def test_lacking_labels_are_named(crowd):
    names = SKELETONS["body25"].keypoints
    assert say_unlabelled(crowd, names).startswith(
        "**No picture has labels of left_big_toe, left_small_toe, left_heel,"
    )
    assert say_unlabelled(crowd, TINY.keypoints) == ""


def test_scenes_without_people_have_no_score(crowd):
    scores = scene_scores([], crowd[:0], TINY.keypoints)
    assert np.isnan([scores["AP"], scores["people_per_person"]]).all()


def test_published_cost_is_measured_only_if_wanted(tmp_path):
    columns = ["backbone", "parameters", "multiply_adds", "ms_per_image", "memory_mb"]
    table = everybody.published_cost(tmp_path, measured=False)
    assert table.empty and list(table) == columns and not list(tmp_path.iterdir())
