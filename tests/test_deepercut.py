"""DeepLabCut's network: its layers, losses and maps, the same on every backend."""

import keras
import numpy as np
import pytest
from other_backend import predict_on

from studykit.models.backbones import build_backbone
from studykit.models.deepercut import deepercut, offset_loss, score_loss
from studykit.pose.codecs.score_maps import decode, encode


def random_points(seed, width, height, count=6):
    rng = np.random.default_rng([seed, 9])
    return np.column_stack([rng.uniform(2, width - 3, count), rng.uniform(2, height - 3, count), np.full(count, 2)])


@pytest.mark.parametrize("neighbours", [0, 1, 2])
def test_perfect_maps_give_back_the_keypoints(neighbours):
    points = np.stack([random_points(n, 160, 96) for n in range(4)])
    maps = [encode(p, 96, 160) for p in points]
    scores = np.stack([20.0 * one["scores"][..., :6] - 10 for one in maps])
    offsets = np.stack([one["offsets"][..., :12] for one in maps])
    found = decode(scores, offsets, neighbours=neighbours)[:, 0]
    # Cells outside the disc carry no offset, but also next to no weight.
    np.testing.assert_allclose(found[..., :2], points[..., :2], atol=0.01)
    assert (found[..., 2] > 0.99).all()


def test_candidates_are_the_peaks_in_order():
    points = np.array([[20.0, 30.0, 2.0], [90.0, 60.0, 2.0]])
    (high, near), (low, far) = (encode(point[None], 96, 160).values() for point in points)
    offsets = (near + far)[..., :2]
    scores = np.where(high[..., :1] > 0, 4.0, np.where(low[..., :1] > 0, 1.0, -8.0)) - (offsets**2).sum(
        -1, keepdims=True
    )
    found = decode(scores[None], offsets[None], candidates=3)
    np.testing.assert_allclose(found[0, :2, 0, :2], points[:, :2], atol=0.01)
    np.testing.assert_allclose(found[0, :, 0, 2], 1 / (1 + np.exp([-4.0, -1.0, 8.0])), atol=0.05)


def test_unknown_keypoints_are_in_no_map():
    points = random_points(0, 64, 64)
    points[2, 2] = 0
    scores, offsets = encode(points, 64, 64).values()
    assert scores[..., 2].sum() == 0 and offsets[..., [12 + 2, 18 + 2]].sum() == 0
    assert all(scores[..., k].sum() > 0 for k in (0, 1, 3, 4, 5))


def test_score_loss_is_the_cross_entropy():
    rng = np.random.default_rng(0)
    scores, target = rng.normal(0, 3, (2, 4, 5, 3)), rng.integers(0, 2, (2, 4, 5, 3))
    p = 1 / (1 + np.exp(-scores))
    wanted = -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    got = score_loss(np.concatenate([target, np.ones_like(target)], -1).astype("float32"), scores.astype("float32"))
    np.testing.assert_allclose(float(got), wanted, rtol=1e-5)


def test_offset_loss_is_hubers_within_the_discs():
    rng = np.random.default_rng(1)
    offsets, target = rng.normal(0, 2, (2, 4, 5, 6)), rng.normal(0, 2, (2, 4, 5, 6))
    inside = rng.integers(0, 2, (2, 4, 5, 6)).astype("float32")
    got = offset_loss(np.concatenate([target, inside], -1).astype("float32"), offsets.astype("float32"))
    chosen = inside == 1
    wanted = 0.05 * keras.losses.Huber()(target[chosen][None], offsets[chosen][None])
    np.testing.assert_allclose(float(got), float(wanted), rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"output_stride": 32, "decoder": 16, "skip": True}, {"skip": True}])
@pytest.mark.parametrize("backbone, width", [("resnet18", 4), ("mobilenet_v2", 0.35)])
def test_maps_have_stride_eight_at_any_size(backbone, width, options):
    model = deepercut(5, backbone, width=width, **options)
    for height, width in ((64, 96), (96, 32)):
        maps = model(np.zeros((1, height, width, 3), "float32"))
        assert maps["scores"].shape == (1, height // 8, width // 8, 5)
        assert maps["offsets"].shape == (1, height // 8, width // 8, 10)


def test_resnet50_is_that_of_keras_applications():
    image = keras.Input((64, 64, 3))
    ours = keras.Model(image, build_backbone("resnet50", image, output_stride=32)[32])
    theirs = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3))
    for layer in ours.layers:
        if layer.weights:
            layer.set_weights(theirs.get_layer(layer.name).get_weights())
    picture = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    prepared = keras.applications.resnet.preprocess_input(picture.copy())
    np.testing.assert_allclose(ours(picture), theirs(prepared), atol=1e-4)
    # He et al. 2016: 25.6 M with the classifier, whose 2048 x 1000 weights and 1000 biases are left out.
    assert ours.count_params() == 25_636_712 - 2_049_000


def test_backbone_weights_from_a_local_file(tmp_path):
    one, other = deepercut(6, "resnet18", width=4), deepercut(9, "resnet18", width=4)
    one.save(tmp_path / "one.keras")
    copied = deepercut(9, "resnet18", width=4, weights=tmp_path / "one.keras")
    first = "conv2_block1_1_conv"
    np.testing.assert_array_equal(copied.get_layer(first).kernel, one.get_layer(first).kernel)
    assert not np.array_equal(copied.get_layer(first).kernel, other.get_layer(first).kernel)
    with pytest.raises(FileNotFoundError, match=r"no.keras: expected a file of weights"):
        deepercut(6, "resnet18", width=4, weights=tmp_path / "no.keras")
    with pytest.raises(ValueError, match="expected imagenet weights for one of resnet50"):
        deepercut(6, "resnet18", width=4, weights="imagenet")


def test_wrong_names_are_told():
    with pytest.raises(ValueError, match="backbone: expected one of resnet18"):
        deepercut(6, "vgg")
    with pytest.raises(ValueError, match="output_stride: expected 16 or 32, got 8"):
        deepercut(6, "resnet18", output_stride=8)


def test_jax_gives_the_same_maps(tmp_path):
    pytest.importorskip("jax")
    model = deepercut(6, "resnet18", width=4, output_stride=16, skip=True)
    rng = np.random.default_rng(2)
    model.set_weights([w + 0.1 * rng.random(w.shape) for w in model.get_weights()])
    picture = rng.uniform(0, 255, (1, 64, 48, 3)).astype("float32")
    theirs = predict_on("jax", model, picture, tmp_path)
    for name, ours in model.predict_on_batch(picture).items():
        size = np.abs(ours).max()
        np.testing.assert_allclose(theirs[name] / size, ours / size, atol=1e-4)
