"""Readers of LSP, MPII and COCO: on small files of exactly their formats, and on real ones where they are at hand."""

import json
import shutil

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from studykit.datasets.stills import read_stills
from studykit.skeletons import SKELETONS
from studykit.stills import known_share

LSP14, MPII16, COCO17 = (SKELETONS[name].keypoints for name in ("lsp14", "mpii16", "coco17"))


def write_image(path, width=60, height=80, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(picture, (0, 0), 3))


# ---- LSP and LSPET


@pytest.fixture
def joints():
    """Three people, (14, 3, N): x, y and 1 for the even joints."""
    points = np.random.default_rng(0).uniform(5, 55, (14, 3, 3))
    points[:, 2] = (np.arange(14) % 2 == 0)[:, None]
    return points


def write_lsp(folder, array, digits):
    for number in range(array.shape[2]):
        write_image(folder / "images" / f"im{number + 1:0{digits}d}.jpg", seed=number)
    savemat(folder / "joints.mat", {"joints": array})
    return folder


def test_flags_of_lsp_and_of_its_extension_mean_opposite_things(tmp_path, joints):
    lsp = read_stills("lsp", write_lsp(tmp_path / "lsp", joints.transpose(1, 0, 2), 4))
    lspet = read_stills("lspet", write_lsp(tmp_path / "lspet", joints, 5))
    assert len(lsp) == len(lspet) == 3 and lsp.keypoints == lspet.keypoints == LSP14
    even = np.arange(14) % 2 == 0
    assert (lsp[1].keypoints[:, 2] == np.where(even, 1, 2)).all()  # 1 in the file: occluded
    assert (lspet[1].keypoints[:, 2] == np.where(even, 2, 1)).all()  # 1 in the file: visible
    np.testing.assert_allclose(lsp[2].keypoints[:, :2], joints[:, :2, 2], rtol=1e-6)
    np.testing.assert_array_equal(lsp[2].keypoints[:, :2], lspet[2].keypoints[:, :2])
    assert len(set(lsp.participants)) == 3 and lsp[0].mask is None and "pseudo" not in lsp[0].source


def test_joints_outside_the_image_and_those_never_placed_are_unknown(tmp_path, joints):
    joints[0, :2, 0], joints[2, :2, 0], joints[1, :2, 0] = (70, 20), (20, 79.6), (0, 0)
    still = read_stills("lspet", write_lsp(tmp_path, joints, 5))[0]
    assert still.keypoints[:4, 2].tolist() == [0, 0, 0, 1]
    x, y, _, height = still.box
    known = still.keypoints[still.keypoints[:, 2] > 0]
    assert x == known[:, 0].min() and y + height == pytest.approx(known[:, 1].max())
    assert known_share(still, LSP14) == pytest.approx(10 / 13)  # BODY_25 has no head_top


def test_masks_beside_the_images_are_marked_as_pseudo_masks(tmp_path, joints):
    folder = write_lsp(tmp_path, joints.transpose(1, 0, 2), 4)
    mask = np.zeros((80, 60), np.uint8)
    mask[10:30, 20:40] = 255
    (folder / "masks").mkdir()
    cv2.imwrite(str(folder / "masks" / "im0002.png"), mask)
    cv2.imwrite(str(folder / "masks" / "im0003.png"), mask[:50])
    stills = read_stills("lsp", folder)
    np.testing.assert_array_equal(stills[1].mask, mask > 0)
    assert stills[1].source == "lsp im0002.jpg, pseudo-mask" and stills[0].source == "lsp im0001.jpg"
    with pytest.raises(ValueError, match=r"im0003\.png: expected a mask of its image.s size \(80, 60\), got \(50,"):
        stills[2]


def test_faults_of_lsp_are_named(tmp_path, joints):
    with pytest.raises(
        FileNotFoundError, match=r"expected images and joints\.mat of the data set 'lsp'.*STUDYKIT_DATA"
    ):
        read_stills("lsp", tmp_path / "nowhere")
    folder = write_lsp(tmp_path / "et", joints, 4)
    with pytest.raises(ValueError, match=r"expected joints \(3, 14, 'N'\) of lsp, got \(14, 3, 3\); that is lspet"):
        read_stills("lsp", folder)
    with pytest.raises(FileNotFoundError, match=r"expected 3 images .*, got 3 less, such as im00001\.jpg"):
        read_stills("lspet", folder)
    (folder / "joints.mat").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"joints\.mat: expected a MATLAB file with joints"):
        read_stills("lspet", folder)


@pytest.mark.real_data
def test_real_lsp(real_data):
    stills = read_stills("lsp", real_data / "lsp")
    assert len(stills) == 1000 and stills.keypoints == LSP14
    some = [stills[i] for i in range(0, 1000, 25)]
    # In README's words 7 % of the flags are 1; taken for "visible", 93 % of the joints would be occluded.
    occluded = np.mean([still.keypoints[:, 2] == 1 for still in some])
    assert 0.02 < occluded < 0.15
    masked = [still for still in some if still.mask is not None]
    assert len(masked) > 30 and all(still.source.endswith("pseudo-mask") for still in masked)
    inside = [
        still.mask[tuple(np.rint(still.keypoints[k, 1::-1]).astype(int).clip(0, np.array(still.mask.shape) - 1))]
        for still in masked
        for k in range(14)
    ]
    assert np.mean(inside) > 0.85  # the masks were kept where 85 % of the joints fall inside
    head, ankles = LSP14.index("head_top"), LSP14.index("right_ankle")
    assert np.mean([still.keypoints[head, 1] < still.keypoints[ankles, 1] for still in some]) > 0.9


# ---- MPII


def struct(*rows):
    """MATLAB structs (1, n) of one dict a row; fields that a row lacks are empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = np.empty((1, len(rows)), [(name, object) for name in names])
    for place, row in enumerate(rows):
        for name in names:
            out[0, place][name] = row.get(name, np.zeros((0, 0)))
    return out


def person(points, flags):
    """One annotated person as in the official file, head points without `is_visible`."""
    rows = [{"x": float(x), "y": float(y), "id": k} for k, (x, y) in points.items()]
    for row in rows:
        row |= {"is_visible": flags[row["id"]]} if row["id"] not in (8, 9) else {}
    head = {"x1": 1.0, "y1": 2.0, "x2": 9.0, "y2": 9.0, "scale": 1.5, "objpos": struct({"x": 30.0, "y": 40.0})}
    return head | {"annopoints": struct({"point": struct(*rows)})}


def write_mpii(folder, flag=lambda value: value):
    points = {k: (10 + 2 * k, 5 + 3 * k) for k in range(16)}
    flags = {k: flag(k % 2) for k in range(16)}
    few = {k: points[k] for k in (0, 3, 5)}
    unlabelled = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}
    annolist = struct(
        {"image": struct({"name": "015601864.jpg"}), "annorect": struct(person(points, flags), person(few, flags)),
         "frame_sec": 11.0, "vidx": 1660},
        {"image": struct({"name": "015599452.jpg"}), "annorect": struct(unlabelled, person(points, flags)),
         "frame_sec": 9.0, "vidx": 1660},
        {"image": struct({"name": "000000001.jpg"}), "annorect": struct(unlabelled)},
        {"image": struct({"name": "000000002.jpg"}), "annorect": np.zeros((0, 0))},
    )  # fmt: skip
    release = {"annolist": annolist, "img_train": np.array([[1, 1, 0, 1]]), "version": "12"}
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": struct(release)})
    for name in ("015601864.jpg", "015599452.jpg"):
        write_image(folder / "images" / name)
    return folder


@pytest.mark.parametrize("flag", [int, str], ids=["numbers", "texts"])
def test_mpii(tmp_path, flag):
    stills = read_stills("mpii", write_mpii(tmp_path, flag))
    assert len(stills) == 3 and stills.keypoints == MPII16
    assert stills.scenes == ("015601864.jpg", "015601864.jpg", "") and stills.by_scene() == [[0, 1], [2]]
    assert set(stills.participants) == {"mpii-video-1660"}
    points = stills[0].keypoints
    np.testing.assert_array_equal(points[3, :2], [15, 13])  # MATLAB counts from 1
    assert points[[8, 9], 2].tolist() == [2, 2] and points[[0, 1], 2].tolist() == [1, 2]
    assert (stills[1].keypoints[:, 2] > 0).nonzero()[0].tolist() == [0, 3, 5]
    assert stills[2].source == "mpii 015599452.jpg, person 1" and stills[2].mask is None


def test_faults_of_mpii_are_named(tmp_path):
    folder = write_mpii(tmp_path)
    (folder / "images" / "015599452.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected 2 annotated images, got 1 less, such as 015599452\.jpg"):
        read_stills("mpii", folder)
    savemat(folder / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": struct({"annolist": np.zeros((1, 1))})})
    with pytest.raises(ValueError, match="expected the structure RELEASE of MPII"):
        read_stills("mpii", folder)
    with pytest.raises(FileNotFoundError, match="human-pose"):
        read_stills("mpii", tmp_path / "images")


# ---- COCO


def coco_person(number, image, **fields):
    points = [[10 + k, 20 + 2 * k, 2] for k in range(17)]
    points[0], points[1][2] = [0, 0, 0], 1
    row = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": 16, "area": 600.0}
    row |= {"bbox": [8.0, 15.0, 30.0, 50.0], "keypoints": np.ravel(points).tolist()}
    return row | {"segmentation": [[8.0, 15.0, 38.0, 15.0, 38.0, 65.0, 8.0, 65.0]]} | fields


def write_coco(folder, annotations):
    images = [{"id": n, "file_name": f"{n:012d}.jpg", "width": 60, "height": 80} for n in (7, 9)]
    for image in images:
        write_image(folder / "train2017" / image["file_name"], seed=image["id"])
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(COCO17), "skeleton": [[16, 14]]}
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": [category]}
    path = folder / "annotations" / "person_keypoints_train2017.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return folder


def run_lengths(mask):
    """Uncompressed run-length encoding of a mask, by columns, as COCO writes crowds."""
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    edges = np.flatnonzero(np.diff(flat.astype(int)))
    counts = np.diff(np.concatenate([[0], edges, [mask.size]]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def test_coco_masks_of_every_kind_crowds_and_scenes(tmp_path):
    block = np.zeros((80, 60), bool)
    block[15:65, 8:38] = True
    crowd = coco_person(3, 7, iscrowd=1, num_keypoints=0, keypoints=[0] * 51, segmentation=run_lengths(block))
    rows = [
        coco_person(1, 7),
        coco_person(2, 7, segmentation=run_lengths(block)),
        crowd,
        coco_person(4, 9, segmentation={"size": [80, 60], "counts": "^d0b1n0"}),
        coco_person(5, 9, num_keypoints=0, keypoints=[0] * 51),
    ]
    from pycocotools import mask as reference

    rows[3]["segmentation"]["counts"] = reference.encode(np.asfortranarray(block.astype(np.uint8)))["counts"].decode()
    stills = read_stills("coco", write_coco(tmp_path, rows))
    assert len(stills) == 3 and stills.keypoints == COCO17 and stills.by_scene() == [[0, 1], [2]]
    assert stills.scenes == ("coco-000000000007", "coco-000000000007", "") and len(set(stills.participants)) == 2
    for still in stills:
        np.testing.assert_array_equal(still.mask, block)
        assert still.box == (8, 15, 30, 50) and still.keypoints[:3, 2].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([coco_person(1, 8)], "annotation 1: expected one of the file's images, got 8"),
        ([coco_person(1, 7, keypoints=[1, 2, 2])], "annotation 1: expected 51 numbers for keypoints, got 3"),
        ([coco_person(1, 7, keypoints=[0] * 51)], "expected at least one person with keypoints, got none"),
        ([{"id": 1, "image_id": 7, "bbox": [1, 2, 3, 4]}], r"annotations\[0\]: expected keypoints, got none"),
    ],
)
def test_annotations_that_are_none_of_coco_are_refused(tmp_path, rows, fault):
    with pytest.raises(ValueError, match=rf"person_keypoints_train2017\.json: .*{fault}"):
        read_stills("coco", write_coco(tmp_path, rows))


def test_faults_of_coco_files_are_named(tmp_path):
    folder = write_coco(tmp_path, [coco_person(1, 7), coco_person(2, 9, bbox=[3.0, 4.0, 0.0, 9.0])])
    with pytest.warns(UserWarning, match="1 people of zero area are left out, such as annotation 2"):
        stills = read_stills("coco", folder)
    assert len(stills) == 1
    write_image(folder / "train2017" / "000000000007.jpg", width=40)
    with pytest.raises(ValueError, match=r"000000000007\.jpg: expected 60 x 80 px as annotated, got 40 x 80"):
        stills[0]
    (folder / "train2017" / "000000000007.jpg").unlink()
    with pytest.warns(UserWarning), pytest.raises(FileNotFoundError, match=r"got 1 less, such as 000000000007\.jpg"):
        read_stills("coco", folder)
    path = folder / "annotations" / "person_keypoints_train2017.json"
    path.write_text(path.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    with pytest.raises(ValueError, match="expected whole JSON"):
        read_stills("coco", folder)
    shutil.rmtree(folder / "train2017")
    with pytest.raises(FileNotFoundError, match="expected train2017 of the data set 'coco'"):
        read_stills("coco", folder)


@pytest.mark.real_data
def test_real_coco_masks_equal_those_of_pycocotools(real_data):
    from pycocotools import mask as reference

    folder = real_data / "coco_mini"
    stills = read_stills("coco", folder)
    path = folder / "annotations" / "person_keypoints_train2017.json"
    rows = [r for r in json.loads(path.read_text(encoding="utf-8"))["annotations"] if r["num_keypoints"]]
    assert len(stills) == len(rows) == 86 and len(stills.by_scene()) == len(set(stills.participants))
    for number in range(0, 86, 5):
        still, row = stills[number], rows[number]
        encoded = reference.merge(reference.frPyObjects(row["segmentation"], *still.image.shape[:2]))
        np.testing.assert_array_equal(still.mask, reference.decode(encoded).astype(bool))
        assert (still.keypoints[:, 2] > 0).sum() == row["num_keypoints"]
        assert still.mask.sum() == pytest.approx(row["area"], rel=0.05, abs=60)


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="stills: expected one of lsp, lspet, mpii, coco, got 'flic'"):
        read_stills("flic", tmp_path)
