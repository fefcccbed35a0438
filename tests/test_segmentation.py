"""Masks and joints: batches of different sizes, preparing, training from the best epoch, scores."""

import pickle
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from studykit.gaitlab import simulate_stills
from studykit.pose.examples.batches import Buckets
from studykit.pose.network import Schedule, load, train
from studykit.pose.scores.masks import best_to_worst, dice, judge, keep_judged, pck_table, score_sets
from studykit.pose.segmentation import Settings, evenly, predict, prepare, prepare_sets, score
from studykit.pose.training import save_model, start_from
from studykit.skeletons import SKELETONS
from studykit.stills import Still, StillSet

TINY = Settings(widths=(4, 8, 8), size_px=32, bucket_px=4, augmented=False, batch_normalization=False, dropout=0.0)


@pytest.fixture(scope="module")
def people():
    return prepare(simulate_stills(9, seed=3, size=64, skeleton="all", people=9), 32, "person")


@pytest.fixture(scope="module")
def sizes():
    """Random pictures of four sizes, with masks and joints."""
    rng = np.random.default_rng(0)
    stills = []
    for n, (height, width) in enumerate([(16, 21), (14, 22), (24, 16), (15, 24), (23, 14), (13, 23)]):
        points = np.column_stack([rng.uniform(0, width, 25), rng.uniform(0, height, 25), np.full(25, 2)])
        image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        stills.append(Still(image, points.astype(np.float32), rng.random((height, width)) < 0.4, participant=str(n)))
    return StillSet(stills, SKELETONS["body25"].keypoints)


def gradient_step(settings, stills, batch_size):
    """Change of the weights and loss by plain gradient descent over one pass, summed gradients of all its images."""
    keras.utils.set_random_seed(1)
    model = settings.build()
    before = model.get_weights()
    assert set(settings.losses) == set(model.output)
    model.compile(keras.optimizers.SGD(1.0), settings.losses, jit_compile=False)
    batches = Buckets(stills, settings.encode, batch_size, settings.bucket_px, seed=0)
    total, value = [0.0 for _ in before], 0.0
    for n in range(len(batches)):
        count = len(batches.numbers(n))
        model.set_weights(before)
        value += count * float(model.train_on_batch(*batches[n], return_dict=True)["loss"])
        total = [t + count * (b - a) for t, a, b in zip(total, model.get_weights(), before, strict=True)]
    return value / len(stills), np.concatenate([np.ravel(t) / len(stills) for t in total])


def test_a_batch_of_padded_pictures_teaches_what_they_teach_one_by_one(sizes):
    # Padded to the network's own factor, batches of 4 are batches of 1 but for rounding.
    settings = replace(TINY, joints="triple")
    alone, together = (gradient_step(settings, sizes, batch_size) for batch_size in (1, 4))
    assert together[0] == pytest.approx(alone[0], rel=1e-6)
    np.testing.assert_allclose(together[1], alone[1], atol=1e-5 * np.abs(alone[1]).max())


def test_coarser_buckets_change_results_near_the_border_only_a_little(sizes):
    exact, coarse = (gradient_step(replace(TINY, bucket_px=px), sizes, size)[0] for px, size in ((4, 1), (16, 4)))
    assert coarse == pytest.approx(exact, rel=0.02)
    assert coarse != exact


def test_buckets_take_every_picture_once_a_pass_and_repeat_with_their_seed(sizes):
    batches = Buckets(sizes, TINY.encode, 2, 8, seed=5)
    for turn in (0, 1):
        numbers = np.concatenate([batches.numbers(turn * len(batches) + n) for n in range(len(batches))])
        assert sorted(numbers) == list(range(len(sizes)))
    again = Buckets(sizes, TINY.encode, 2, 8, seed=5)
    assert [list(again.numbers(n)) for n in range(8)] == [list(batches.numbers(n)) for n in range(8)]
    for n in range(len(batches)):
        images, targets = batches[n]
        assert images.shape[:3] == targets["mask"].shape[:3]
        shapes = {tuple(-(-s // 8) for s in sizes[i].image.shape[:2]) for i in batches.numbers(n)}
        assert len(shapes) == 1


def test_padding_is_unknown(sizes):
    images, targets = TINY.encode([sizes[1]])
    assert images.shape == (1, 16, 24, 3) and not images[:, 14:].any() and not images[:, :, 22:].any()
    assert np.isnan(targets["mask"][:, 14:]).all() and np.isfinite(targets["mask"][:, :14, :22]).all()


def test_predictions_have_each_picture_s_own_size_and_order(sizes):
    model = TINY.build()
    found = dict(predict(model, TINY, sizes, 4))
    assert sorted(found) == list(range(len(sizes)))
    for n, maps in found.items():
        height, width = sizes[n].image.shape[:2]
        assert maps["mask"].shape == (height, width, 2)
        alone = model.predict_on_batch(TINY.encode_images([sizes[n]]))["mask"][0, :height, :width]
        np.testing.assert_allclose(maps["mask"], alone, atol=1e-5)


def test_people_fill_their_square_and_keep_their_proportions():
    stills = simulate_stills(2, seed=3, size=64, skeleton="all", people=2)
    squares, about, left_out = prepare(stills, 32, "person")
    assert left_out == {"no mask": 0, "nobody in the mask": 0, "too few joints": 0}
    for still, square, head in zip(stills, squares, about.head_px, strict=True):
        assert square.image.shape == (32, 32, 3) and len(square.keypoints) == 25
        extent = np.ptp(np.nonzero(square.mask), axis=1).max() + 1
        assert extent == pytest.approx(32 / 1.15, abs=2)
        pair = [stills.keypoints.index(name) for name in ("upper_neck", "head_top")]
        length = np.linalg.norm(np.diff(still.keypoints[pair, :2], axis=0))
        assert head == pytest.approx(length * 32 / (1.15 * max(still.box[2:])), rel=1e-5)


def test_pictures_without_mask_or_joints_are_left_out_and_none_left_is_an_error():
    good = simulate_stills(1, seed=3, size=64, skeleton="body25", people=1)[0]
    few = good.keypoints.copy()
    few[4:, 2] = 0
    stills = [
        good,
        replace(good, mask=None),
        replace(good, mask=np.zeros_like(good.mask)),
        replace(good, keypoints=few),
    ]
    kept, about, left_out = prepare(StillSet(stills, SKELETONS["body25"].keypoints), 32)
    assert len(kept) == 1 and left_out == {"no mask": 1, "nobody in the mask": 1, "too few joints": 1}
    assert np.isnan(about.head_px).all()  # BODY_25 has no top of the head
    with pytest.raises(ValueError, match=r"expected pictures of one person .* got none of 3 \(no mask: 1, nobody"):
        prepare(StillSet(stills[1:], SKELETONS["body25"].keypoints), 32)


def test_trained_network_has_the_lowest_validation_loss_and_is_kept(people, tmp_path):
    stills, about, _ = people
    settings = replace(TINY, joints="softmax", batch_normalization=True, augmented=True, bucket_px=16)
    sets = {"train": stills[:6], "validation": stills[6:], "test": stills[:2]}
    weights = {"mask": 1.0, "joint_map": 1.0, "joints": 2.0}
    schedule = Schedule(epochs=3, batch_size=3, recipe="adam", learning_rate=0.03, loss_weights=weights, best=True)
    network = train(settings, sets, tmp_path, schedule)
    history = network.history
    assert list(history.epoch) == [1, 2, 3] and history.step.max() == 6
    kept = score(network.model, settings, sets["validation"])
    assert kept["loss"] == pytest.approx(history.validation_loss.min(), rel=1e-4)
    assert kept["loss"] == pytest.approx(kept["mask_loss"] + 2 * kept["joints_loss"], rel=1e-5)
    table = score_sets(network, sets, schedule, "mine")
    assert list(table)[:4] == ["set", "dice", "cross_entropy", "run"] and list(table.set) == list(sets)
    assert table.dice[1] == 1 - kept["mask_loss"] and table.joints_weight[1] == 2 and table.images[0] == 6

    loaded = load(tmp_path, made_by="10_train_segmentation")
    assert loaded.settings == settings
    images = settings.encode_images(list(sets["validation"]))
    np.testing.assert_array_equal(loaded.model(images)["joints"], network.model(images)["joints"])
    assert score(loaded.model, settings, sets["validation"]) == pytest.approx(kept, rel=1e-5)

    asked = sets["validation"], about[6:].reset_index(drop=True)
    masks, judged, points = judge(network, *asked)
    assert judged.dice.mean() == pytest.approx(table.dice[1], abs=1e-5)
    assert [mask.shape for mask in masks] == [(32, 32)] * 3
    assert len(points) == sum((still.keypoints[:, 2] > 0).sum() for still in sets["validation"])
    assert list(judged.dice[best_to_worst(judged, 3)]) == sorted(judged.dice, reverse=True)

    again = load(tmp_path, made_by="10_train_segmentation")
    same = judge(again, *asked)
    pd.testing.assert_frame_equal(same[1], judged)
    pd.testing.assert_frame_equal(same[2], points)
    assert all(map(np.array_equal, same[0], masks))
    assert score_sets(again, sets, schedule, "mine").equals(table)
    assert "model" not in vars(again)  # all of it was kept
    keep_judged(tmp_path, masks, judged, points)
    with np.load(tmp_path / "predictions.npz") as written:
        np.testing.assert_array_equal(written["000002"], masks[2])
    assert len(pd.read_csv(tmp_path / "points.csv")) == len(points)


def test_sets_are_drawn_by_the_seed_and_told(people):
    stills = people[0]
    parts = {"train": stills[:6], "validation": stills[6:], "test": stills[:2]}
    sets, about, table = prepare_sets(parts, 32, "whole", images=4, seed=2)
    assert [len(part) for part in sets.values()] == list(table.images) == [4, 3, 2] and len(about) == 3
    assert list(table.columns[:3]) == ["set", "people", "images"] and set(table.masks) == {"exact"}
    again = prepare_sets(parts, 32, "whole", images=4, seed=2)[0]["train"]
    other = prepare_sets(parts, 32, "whole", images=4, seed=3)[0]["train"]
    assert sets["train"].participants == again.participants != other.participants
    assert len(prepare_sets(parts, 32, "whole")[0]["train"]) == 6
    assert evenly(stills, 4).participants == stills[::2].participants[:4]


ANOTHER_PROCESS = """
import pickle, sys
from studykit.pose.network import load
from studykit.pose.scores.masks import judge
stills, about = pickle.load(open(sys.argv[1] + "/asked.pickle", "rb"))
network = load(sys.argv[1], made_by="10")
judged = judge(network, stills, about)[1]
assert "keras" not in sys.modules and "matplotlib" not in sys.modules
print(judged.dice[0], network.model.name)
"""


def test_another_process_reads_answers_without_keras_and_then_the_network(people, tmp_path):
    stills, about, _ = people
    schedule = Schedule(epochs=1, batch_size=4, recipe="adam", best=True)
    sets = {"train": stills[:4], "validation": stills[:2]}
    network = train(replace(TINY, architecture="harmonic"), sets, tmp_path, schedule)
    judged = judge(network, stills, about)[1]
    (tmp_path / "asked.pickle").write_bytes(pickle.dumps((stills, about)))
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(tmp_path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert float(told[0]) == judged.dice[0] and told[1] == "harmonic_unet"


def test_harmonic_network_fits_the_same_heads():
    model = replace(TINY, architecture="harmonic", joints="triple").build()
    shapes = {name: maps.shape[-1] for name, maps in model(np.zeros((1, 8, 8, 3), np.float32)).items()}
    assert shapes == {"mask": 2, "joint_map": 1, "joints": 26}


def test_dice_is_twice_the_common_part():
    mask = np.array([[1, 1, 0, 0]], bool)
    assert dice(mask, mask) == 1 and dice(mask, ~mask) == 0 and dice(mask & ~mask, mask & ~mask) == 1
    assert dice(mask, np.array([[0, 1, 1, 0]])) == 0.5
    assert dice(mask, np.array([[0.5, 0.5, 0, 0]])) == pytest.approx(2 * 1 / 3)
    with pytest.raises(ValueError, match=r"expected a prediction of the mask's size \(1, 4\), got \(4,\)"):
        dice(mask, mask[0])


def test_joints_are_counted_within_half_a_head():
    rows = [("neck", 3.0, 1.0, 8.0), ("neck", 5.0, 1.0, 8.0), ("nose", 4.0, 4.5, 8.0), ("nose", 0.0, 0.0, np.nan)]
    points = pd.DataFrame(rows, columns=["keypoint", "error_px", "nearest_px", "head_px"])
    table = pck_table(points).set_index("keypoint")
    assert table.n.to_dict() == {"neck": 2, "nose": 1, "all": 3}
    assert table.pck.to_dict() == pytest.approx({"neck": 0.5, "nose": 1, "all": 2 / 3})
    assert table.pck_any.to_dict() == pytest.approx({"neck": 1, "nose": 0, "all": 2 / 3})


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    save_model(replace(TINY, architecture="harmonic").build(), tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"model.keras: expected a checkpoint of unet with .*, got harmonic_unet with"):
        start_from(TINY.build(), tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(b"PK, but no network")
    with pytest.raises(ValueError, match=r"model.keras: expected a network saved by Keras, got"):
        start_from(TINY.build(), tmp_path / "model.keras")
    with pytest.raises(FileNotFoundError, match="expected a trained network, got no file"):
        start_from(TINY.build(), tmp_path / "nowhere.keras")


def test_settings_name_what_does_not_fit():
    with pytest.raises(ValueError, match=r"architecture: expected one of unet, harmonic, got 'vnet'; size_px: .* 16"):
        Settings(architecture="vnet", size_px=100)
    with pytest.raises(ValueError, match="joints: expected one of none, regression"):
        Settings(joints="heatmap")
