"""COCO's average precision and recall, against pycocotools and against what they mean; detected boxes."""

import contextlib
import io
import json

import numpy as np
import pytest

from studykit.gaitlab import simulate_stills
from studykit.pose.scores.coco import (
    COCO_FIGURES,
    coco_results,
    coco_scores,
    coco_truth,
    detected_stills,
    image_ids,
    precision_curves,
    read_detections,
)
from studykit.skeletons import SKELETONS
from studykit.stills import Still, StillSet

COCO17 = SKELETONS["coco17"].keypoints


@pytest.fixture(scope="module")
def stills():
    return simulate_stills(12, seed=4, size=192, skeleton="coco17", people=4)


def crowd(rng, people=60, images=25):
    """A truth of people of all sizes in some pictures, some without keypoints, one of them a crowd region."""
    rows = []
    for number in range(people):
        size = np.exp(rng.uniform(np.log(20), np.log(300)))
        seen = rng.integers(0, 3, 17) if number % 7 else np.zeros(17, int)
        points = np.column_stack([rng.uniform(0, size, (17, 2)) + rng.uniform(0, 300, 2), seen])
        points[seen == 0] = 0
        box = [*points[:, :2].min(0), *np.ptp(points[:, :2], axis=0)]
        row = {"id": number + 1, "image_id": int(rng.integers(images)), "category_id": 1, "iscrowd": int(number == 7)}
        row |= {"bbox": box, "area": 0.6 * size**2, "num_keypoints": int((seen > 0).sum())}
        rows.append(row | {"keypoints": points.ravel().tolist()})
    pictures = [{"id": number, "width": 640, "height": 640, "file_name": f"{number}.jpg"} for number in range(images)]
    category = {"id": 1, "name": "person", "keypoints": list(COCO17)}
    return {"images": pictures, "annotations": rows, "categories": [category]}


def guesses(truth, rng):
    """Found people: most of those annotated, off by as much as OKS tells apart, some twice, and some of nobody."""
    kept = [row for row in truth["annotations"] if row["num_keypoints"] and rng.random() < 0.9]
    kept += [row for row in kept if rng.random() < 0.3]
    points = np.array([row["keypoints"] for row in kept], float).reshape(len(kept), -1, 3)
    sizes = np.sqrt([row["area"] for row in kept])[:, None, None] * np.exp(rng.normal(-3, 1, len(kept)))[:, None, None]
    points[..., :2] += sizes * rng.normal(size=points[..., :2].shape)
    points[rng.random(len(points)) < 0.1] += 500
    return coco_results([row["image_id"] for row in kept], points, rng.random(len(kept)))


def reference(truth, results):
    """The ten figures of pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = json.loads(json.dumps(truth))
        known.createIndex()
        evaluation = COCOeval(known, known.loadRes(json.loads(json.dumps(results))), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(3))
def test_coco_figures_equal_pycocotools(seed):
    rng = np.random.default_rng(seed)
    truth = crowd(rng)
    results = guesses(truth, rng)
    expected = reference(truth, results)
    assert 0.2 < expected[0] < 0.9
    np.testing.assert_allclose(list(coco_scores(truth, results).values()), expected, atol=1e-6)


@pytest.mark.real_data
def test_coco_figures_equal_pycocotools_on_real_annotations(real_data, tmp_path):
    path = real_data / "coco_mini" / "annotations" / "person_keypoints_train2017.json"
    truth = json.loads(path.read_text(encoding="utf-8"))
    for seed in range(4):
        results = guesses(truth, np.random.default_rng(seed))
        (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
        found = coco_scores(path, tmp_path / "results.json")
        np.testing.assert_allclose(list(found.values()), reference(truth, results), atol=1e-6)
    annotated = [row for row in truth["annotations"] if row["num_keypoints"]]
    points = np.array([row["keypoints"] for row in annotated], float).reshape(len(annotated), 17, 3)
    perfect = coco_results([row["image_id"] for row in annotated], points, np.ones(len(annotated)))
    assert set(coco_scores(path, perfect).values()) == {1.0}


def test_perfect_predictions_score_one_and_none_score_zero(stills):
    truth = coco_truth(stills)
    points = np.stack([still.keypoints for still in stills])
    perfect = coco_scores(truth, coco_results(image_ids(stills), points, np.ones(len(stills))))
    assert set(perfect) == set(COCO_FIGURES) and perfect["AP"] == perfect["AR"] == perfect["AP75"] == 1
    nothing = coco_scores(truth, [])
    assert nothing["AP"] == nothing["AR"] == 0
    empty = [name for name in COCO_FIGURES if np.isnan(perfect[name])]
    assert all(np.isnan(nothing[name]) == (name in empty) for name in COCO_FIGURES)
    curves = precision_curves(truth, coco_results(image_ids(stills), points, np.ones(len(stills))))
    assert len(curves) == 10 * 101 and (curves.precision == 1).all()


def test_people_of_one_scene_share_an_image_and_a_part_of_the_keypoints_can_be_scored(stills):
    shared = [stills[0], *(Still(stills[i].image, stills[i].keypoints, scene="pair") for i in (1, 2))]
    together = StillSet(shared, COCO17)
    assert image_ids(together) == [1, 2, 2]
    names = COCO17[5:]
    truth = coco_truth(together, names)
    assert len(truth["images"]) == 2 and truth["annotations"][1]["num_keypoints"] <= 12
    points = np.stack([still.keypoints[5:] for still in together])
    assert coco_scores(truth, coco_results([1, 2, 2], points, [0.5, 0.1, 0.9]))["AP"] == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda truth: truth.pop("images"), "expected images, got none"),
        (lambda truth: truth["categories"][0].pop("keypoints"), "expected a category with keypoints"),
        (lambda truth: truth["categories"][0]["keypoints"].__setitem__(0, "tail"), "that COCO has constants for"),
        (lambda truth: truth["annotations"][0].pop("area"), "annotation 1: expected an area above 0 px, got None"),
        (lambda truth: truth["annotations"][0].update(area=0), "annotation 1: expected an area above 0 px, got 0"),
        (lambda truth: truth["annotations"][0].update(image_id=77), "expected one of the file's images, got 77"),
        (lambda truth: truth["annotations"][0].update(keypoints=[1]), "expected 51 numbers for keypoints, got 1"),
        (lambda truth: [row.update(num_keypoints=0) for row in truth["annotations"]], "expected at least one person"),
    ],
)
def test_a_truth_that_cannot_be_scored_against_is_refused(stills, change, fault):
    truth = coco_truth(stills[:2])
    change(truth)
    with pytest.raises(ValueError, match=f"^annotations: .*{fault}"):
        coco_scores(truth, [])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"image_id": 99}, "row 0: expected an image of the truth, got 99"),
        ({"keypoints": [1, 2, 3]}, "row 0: expected 51 numbers for keypoints, got 3"),
        ({"score": float("nan")}, "expected a COCO file of results .*score: expected a finite number, got nan"),
    ],
)
def test_results_that_do_not_fit_are_refused(stills, change, fault):
    truth = coco_truth(stills[:1])
    rows = coco_results([1], stills[0].keypoints[None], [1])
    with pytest.raises(ValueError, match=f"^results: {fault}"):
        coco_scores(truth, [rows[0] | change])
    with pytest.raises(ValueError, match=r"\[0\]: expected score, got none"):
        coco_scores(truth, [{key: value for key, value in rows[0].items() if key != "score"}])


def test_half_written_and_missing_files_are_named(stills, tmp_path):
    truth, path = coco_truth(stills[:1]), tmp_path / "results.json"
    coco_results([1], stills[0].keypoints[None], [1], path)
    assert coco_scores(truth, path)["AP"] == 1
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.json: expected whole JSON"):
        coco_scores(truth, path)
    with pytest.raises(FileNotFoundError, match=r"none\.json: expected a COCO JSON file with the annotations"):
        coco_scores(tmp_path / "none.json", path)
    with pytest.raises(ValueError, match="expected a place for every keypoint"):
        coco_results([1], np.full((1, 17, 3), np.nan), [1])


def test_detections_become_stills(stills, tmp_path):
    truth = coco_truth(stills, SKELETONS["coco17"].keypoints[5:])
    path = tmp_path / "boxes.json"
    rows = [
        {"image_id": n, "category_id": c, "bbox": [10, 12, 40, 60], "score": 0.5} for n, c in ((2, 1), (2, 3), (1, 1))
    ]
    path.write_text(json.dumps(rows))
    found, images, scores = detected_stills(stills, read_detections(path, truth))
    assert images.tolist() == [2, 1] and scores.tolist() == [0.5, 0.5]  # category 3 is no person
    np.testing.assert_array_equal(found[0].image, stills[1].image)
    assert found[0].box == (10, 12, 40, 60) and (found[0].keypoints[:, 2] == 0).all()


@pytest.mark.parametrize(
    "content, message",
    [
        ('[{"image_id": 1', r"boxes\.json: expected whole JSON"),
        ('{"boxes": []}', r"boxes\.json: expected a COCO file of results .*: expected a valid list, got dict"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', r"\[0\]: expected category_id, got none"),
        ('[{"image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]', "an image of the truth, got 99"),
        ('[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 0, 4], "score": 1}]', "expected greater than 0, got 0"),
    ],
)
def test_detections_that_cannot_be_used_are_told(stills, tmp_path, content, message):
    path = tmp_path / "boxes.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_detections(path, coco_truth(stills, SKELETONS["coco17"].keypoints[5:]))
