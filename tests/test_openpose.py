"""OpenPose: its layers against the published ones, pictures of several people, scales, people found."""

import json
import sys

import keras
import numpy as np
import pytest

from studykit.models.cost import memory_mb
from studykit.models.openpose import final_maps, openpose
from studykit.pose.codecs.affinity import confidence_maps
from studykit.pose.codecs.peaks import local_peaks
from studykit.pose.examples.batches import Batches
from studykit.pose.openpose import Settings, find_one, find_people, load_network, multi_scale_maps, pictures
from studykit.pose.saved_networks import save_network
from studykit.pose.scores.people import guess_missing, scene_scores, single_scores, surest_person
from studykit.pose.training import compile_model
from studykit.skeletons import SKELETONS
from studykit.stills import Still, StillSet

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
        load_network("nowhere")


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
    compile_model(model, small.losses(model), steps=5, learning_rate=0.01)
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


def test_saved_network_finds_the_same(tiny, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    save_network(tiny, TINY, tmp_path)
    assert json.loads((tmp_path / "settings.json").read_text())["features"] == 8
    model, settings = load_network(tmp_path)
    assert settings == TINY
    for ours, theirs in zip(multi_scale_maps(tiny, image), multi_scale_maps(model, image), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    people, scores = find_people(tiny, TINY, image)
    assert people.shape[1:] == (18, 3) and len(people) == len(scores)


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
