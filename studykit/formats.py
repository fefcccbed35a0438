"""Keypoint files of other programs to tracks, and tracks to DeepLabCut.

DeepLabCut csv and h5 (labels and predictions, one or several animals), SLEAP .slp, OpenPose JSON (one file a frame)
and COCO keypoint results. Coordinates are taken as they are: px, x right, y down. Names that can be recognized become
canonical ones (`LAnkle`, `ankle_l` -> `left_ankle`), all others stay.
"""

import csv
import json
import os
import re
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from tables.exceptions import HDF5ExtError

from studykit.skeletons import LEG, POINTS, SKELETONS
from studykit.tracks import build_tracks, load_tracks, log_step

GAPS = ("refuse", "nan", "close")
_LEVELS = (["scorer", "bodyparts", "coords"], ["scorer", "individuals", "bodyparts", "coords"])
_KNOWN = {*POINTS, "neck", *LEG}
_BARE = {name.partition("_")[2] for name in POINTS if name.startswith("left_")}


def import_tracks(path, fps, width_px, height_px, **options):
    """Tracks from a file or folder of any known format, told apart by its suffix.

    Parameters
    ----------
    path : path-like
        `.nc` (ours), `.csv` or `.h5` (DeepLabCut), `.slp` (SLEAP), `.json` (COCO results), or a folder of OpenPose
        `.json` files.
    fps : float
        Frames per second; of a `.nc` file, its own is kept.
    width_px, height_px : int
        Size of the image; of a `.nc` file, its own is kept.
    **options
        Passed to that format's reader.

    Returns
    -------
    xarray.Dataset
        Tracks as in `studykit.tracks`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, the suffix is unknown, or the content is faulty.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a keypoint file or a folder of OpenPose JSON files, got none")
    if path.suffix == ".nc":
        return load_tracks(path)
    readers = {".csv": read_deeplabcut, ".h5": read_deeplabcut, ".slp": read_sleap, ".json": read_coco}
    reader = read_openpose if path.is_dir() else readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: expected one of .nc, {', '.join(readers)} or a folder, got {path.suffix!r}")
    return reader(path, fps, width_px, height_px, **options)


def canonical_name(name):
    """The canonical name of a keypoint, or the name itself where it is not recognized.

    Examples
    --------
    >>> [canonical_name(name) for name in ("LAnkle", "Left_wrist", "big toe R", "Hand")]
    ['left_ankle', 'left_wrist', 'right_big_toe', 'Hand']
    """
    words = [w for w in re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower()) if w]
    words = ["toe" if word == "toes" else word for word in words]
    sides = {"l": "left", "r": "right", "left": "left", "right": "right"}
    side = next((sides[w] for w in (words[:1] + words[-1:]) if w in sides), None)
    bare = "_".join(w for w in words if w not in sides)
    if side is None and bare[:1] in ("l", "r") and bare[1:] in _BARE:
        side, bare = sides[bare[0]], bare[1:]
    found = f"{side}_{bare}" if side else bare
    return found if found in _KNOWN else str(name)


def read_deeplabcut(path, fps, width_px, height_px, *, gaps=None):
    """DeepLabCut csv or h5: `CollectedData_*` labels or predictions with likelihood; one or several animals.

    Parameters
    ----------
    path : path-like
    fps, width_px, height_px
        As in `import_tracks`.
    gaps : {"refuse", "nan", "close"} or None
        What to do where frame numbers are missing: refuse, fill with NaN, or count the rows as consecutive frames.
        None: "nan" for labels, which are few frames by design, and "refuse" for predictions.

    Returns
    -------
    xarray.Dataset
        Attribute `first_frame` is the file's number of the first frame. Labels have no confidence (NaN).

    Raises
    ------
    ValueError
        If the header, the numbers or the frames are faulty.
    """
    path = Path(path)
    table = _deeplabcut_csv(path) if path.suffix == ".csv" else _deeplabcut_h5(path)
    levels = list(table.columns.names)
    if levels not in _LEVELS:
        raise ValueError(f"{path}: expected column levels {' or '.join(map(str, _LEVELS))}, got {levels}")
    columns = [dict(zip(levels, column, strict=True)) for column in table.columns]
    _check_columns(path, columns)
    labels = not any(column["coords"] == "likelihood" for column in columns)
    people = list(dict.fromkeys(column.get("individuals", "person") for column in columns))
    names = list(dict.fromkeys(column["bodyparts"] for column in columns))
    values = np.full((len(table), len(people), len(names), 3), np.nan)
    for k, column in enumerate(columns):
        who, where = people.index(column.get("individuals", "person")), names.index(column["bodyparts"])
        values[:, who, where, ["x", "y", "likelihood"].index(column["coords"])] = _numbers(path, table.iloc[:, k])
    frames = _frame_numbers(path, table.index)
    software = f"DeepLabCut, scorer {columns[0]['scorer']}"
    gaps = gaps or ("nan" if labels else "refuse")
    return _tracks(path, values, frames, names, people, (fps, width_px, height_px), software, gaps)


def _deeplabcut_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        head = [row for _, row in zip(range(5), csv.reader(file), strict=False)]
    levels = [row[0] for row in head[:4] if row and row[0] in _LEVELS[1]]
    if len(head) <= len(levels) or levels not in _LEVELS:
        got = "; ".join(",".join(row)[:40] for row in head[:3]) or "an empty file"
        raise ValueError(f"{path}: expected header rows {', '.join(_LEVELS[0])} and at least one frame, got {got}")
    # As DeepLabCut itself tells them apart: labels since 2.2 name their image in three columns.
    index = [0, 1, 2] if head[len(levels)][0] == "labeled-data" else 0
    table = pd.read_csv(path, header=list(range(len(levels))), index_col=index)
    table.columns.names = levels
    return table


def _deeplabcut_h5(path):
    try:
        with pd.HDFStore(path, mode="r") as store:
            keys = store.keys()
            table = store["df_with_missing"] if "/df_with_missing" in keys else store[keys[0]]
    except (OSError, HDF5ExtError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a DeepLabCut table in HDF5, got a file that holds none") from error
    return table


def _check_columns(path, columns):
    scorers = sorted({column["scorer"] for column in columns})
    coords = sorted({column["coords"] for column in columns})
    faults = []
    if len(scorers) > 1:
        faults.append(f"expected one scorer, got {', '.join(scorers)}; keep one person's labels")
    if coords not in (["x", "y"], ["likelihood", "x", "y"]):
        faults.append(f"expected coords x, y and likelihood, each once, got {', '.join(coords)}")
    if faults:
        raise ValueError(f"{path}: " + "; ".join(faults))


def _numbers(path, column):
    numbers = pd.to_numeric(column, errors="coerce")
    bad = numbers.isna() & column.notna()
    if bad.any():
        raise ValueError(f"{path}: expected numbers for {'/'.join(column.name[1:])}, got {column[bad].iloc[0]!r}")
    return numbers.to_numpy(dtype=float)


def _frame_numbers(path, index):
    """Frame numbers from a row index: numbers, or images such as `labeled-data/video/img0042.png`."""
    rows = ["/".join(map(str, row)) if isinstance(row, tuple) else str(row) for row in index]
    folders = sorted({row.rpartition("/")[0] for row in rows})
    if len(folders) > 1:
        raise ValueError(f"{path}: expected the frames of one video, got {len(folders)}: {', '.join(folders[:3])}")
    return _numbers_in(path, rows)


def _numbers_in(path, names):
    found = [re.search(r"(\d+)(?:\.0)?\D*$", name.rpartition("/")[2]) for name in names]
    if None in found:
        raise ValueError(f"{path}: expected a frame number in each name, got {names[found.index(None)]!r}")
    return np.array([int(match[1]) for match in found])


def read_sleap(path, fps, width_px, height_px, *, video=0, gaps="nan"):
    """SLEAP labels or predictions (.slp); where a frame has both, the hand-made label of a track counts.

    Parameters
    ----------
    path : path-like
    fps, width_px, height_px
        As in `import_tracks`.
    video : int
        Which video of the file, from 0.
    gaps : {"refuse", "nan", "close"}
        As in `read_deeplabcut`; SLEAP leaves out frames in which nobody was found.

    Returns
    -------
    xarray.Dataset
        An individual a track, or, without tracks, in the order they stand in each frame. Labels have no confidence.

    Raises
    ------
    ValueError
        If the file is no SLEAP file of format 1 or 2, or holds nothing for that video.
    """
    path = Path(path)
    try:
        with h5py.File(path) as file:
            version = float(file["metadata"].attrs["format_id"])
            metadata = json.loads(file["metadata"].attrs["json"])
            frames, instances, points, predicted = (
                file[name][:] for name in ("frames", "instances", "points", "pred_points")
            )
            tracks = [json.loads(track)[1] for track in file["tracks_json"][:]] if len(file["tracks_json"]) else []
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a SLEAP file (.slp), got one without its tables ({error})") from error
    if not 1 <= version < 3:
        raise ValueError(f"{path}: expected SLEAP format 1 or 2, got {version:g}")
    frames = frames[frames["video"] == video]
    if not len(frames):
        raise ValueError(f"{path}: expected labelled frames of video {video}, got none")
    nodes = [metadata["nodes"][node["id"]]["name"] for node in metadata["skeletons"][0]["nodes"]]
    most = max(int(n) for n in frames["instance_id_end"] - frames["instance_id_start"])
    people = tracks or [f"person_{i}" for i in range(most)]
    values = np.full((len(frames), len(people), len(nodes), 3), np.nan)
    for i, frame in enumerate(frames):
        here = instances[frame["instance_id_start"] : frame["instance_id_end"]]
        # Predictions first, so that hand-made labels (type 0) overwrite them.
        for k, instance in enumerate(sorted(here, key=lambda one: one["instance_type"], reverse=True)):
            who = instance["track"] if tracks else k
            if who >= 0:
                source = predicted if instance["instance_type"] == 1 else points
                values[i, who] = _sleap_points(source[instance["point_id_start"] : instance["point_id_end"]])
    values[..., :2] -= 0.5 if version < 1.1 else 0  # before 1.1 pixel corners lay at integers
    return _tracks(path, values, frames["frame_idx"], nodes, people, (fps, width_px, height_px), "SLEAP", gaps)


def _sleap_points(points):
    score = points["score"] if "score" in points.dtype.names else np.full(len(points), np.nan)
    values = np.stack([points["x"], points["y"], score], axis=1)
    values[~points["visible"].astype(bool)] = np.nan
    return values


def read_openpose(folder, fps, width_px, height_px, *, skeleton=None, person="largest", gaps="refuse"):
    """OpenPose JSON, one file a frame; a point that was not found (0, 0, 0) becomes NaN with confidence 0.

    Parameters
    ----------
    folder : path-like
        Holds the `.json` files of one video; the last number of each name is its frame.
    fps, width_px, height_px
        As in `import_tracks`.
    skeleton : {"body25", "body25b", "openpose18"} or None
        None: by the number of points; BODY_25 and BODY_25B, both 25, by where hips and shoulders lie.
    person : {"largest", "all"}
        Of several people in a frame: the one with the largest box, or all in the file's order, which OpenPose does
        not keep from frame to frame.
    gaps : {"refuse", "nan", "close"}
        As in `read_deeplabcut`.

    Raises
    ------
    ValueError
        If files are missing, doubled or broken, or the points are those of another skeleton.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise ValueError(f"{folder}: expected OpenPose files (.json), got none")
    if person not in ("largest", "all"):
        raise ValueError(f"person: expected 'largest' or 'all', got {person!r}")
    videos = sorted({re.sub(r"\d+(?=\D*$)", "*", file.stem) for file in files})
    if len(videos) > 1:
        raise ValueError(f"{folder}: expected the files of one video, got {len(videos)}: {', '.join(videos[:3])}")
    people = [_openpose_people(file) for file in files]
    counts = {len(points) for frame in people for points in frame}
    if len(counts) != 1:
        raise ValueError(f"{folder}: expected people with one number of points, got {sorted(counts) or 'nobody'}")
    if person == "largest":
        people = [[max(frame, key=_box_area)] if frame else [] for frame in people]
    most = max(len(frame) for frame in people)
    values = np.full((len(files), most, counts.pop(), 3), np.nan)
    for i, frame in enumerate(people):
        for k, points in enumerate(frame):
            values[i, k] = points
    values[values[..., 2] == 0, :2] = np.nan
    skeleton = _openpose_skeleton(folder, values, skeleton)
    individuals = ["person"] if person == "largest" else [f"person_{i}" for i in range(most)]
    names = SKELETONS[skeleton].keypoints
    frames = _numbers_in(folder, [file.stem for file in files])
    size = (fps, width_px, height_px)
    return _tracks(folder, values, frames, names, individuals, size, f"OpenPose, {skeleton}", gaps)


def _openpose_people(file):
    try:
        people = json.loads(file.read_text(encoding="utf-8"))["people"]
        return [np.array(one["pose_keypoints_2d"], dtype=float).reshape(-1, 3) for one in people]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file}: expected OpenPose's people with pose_keypoints_2d, got none ({error})") from error


def _box_area(points):
    seen = points[points[:, 2] > 0, :2]
    return np.prod(np.ptp(seen, axis=0)) if len(seen) else 0.0


def _openpose_skeleton(folder, values, skeleton):
    """The skeleton that fits, or a refusal of the one asked for."""
    n = values.shape[2]
    fitting = [name for name in ("body25", "body25b", "openpose18") if len(SKELETONS[name].keypoints) == n]
    if not fitting or skeleton not in (None, *fitting):
        raise ValueError(f"{folder}: expected the points of {skeleton or 'body25, body25b or openpose18'}, got {n}")
    if n != 25:
        return fitting[0]
    # BODY_25's point 8 is between the hips (9, 12); BODY_25B's point 17 is between the shoulders (5, 6).
    off = {"body25": _off_middle(values, 8, 9, 12), "body25b": _off_middle(values, 17, 5, 6)}
    likely = min(off, key=off.get)
    if not np.isfinite(off[likely]):
        if skeleton is None:
            raise ValueError(f"{folder}: expected hips or shoulders to tell body25 from body25b, got none; name it")
        return skeleton
    if skeleton not in (None, likely):
        raise ValueError(f"{folder}: expected {skeleton}, got points that lie as {likely}'s; name that one")
    return likely


def _off_middle(values, middle, end, other):
    """Median distance of a point from the middle of two others, as a share of the person's size."""
    xy = values[..., :2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frames in which nothing was seen
        size = np.linalg.norm(np.nanmax(xy, axis=2) - np.nanmin(xy, axis=2), axis=-1)
        off = np.linalg.norm(xy[:, :, middle] - (xy[:, :, end] + xy[:, :, other]) / 2, axis=-1)
        return np.nan_to_num(np.nanmedian(off / size), nan=np.inf)


def read_coco(path, fps, width_px, height_px, *, person="best", gaps="refuse"):
    """COCO keypoint results: a JSON list with `image_id`, `keypoints` (17 times x, y, v) and `score`.

    Parameters
    ----------
    path : path-like
    fps, width_px, height_px
        As in `import_tracks`.
    person : {"best", "all"}
        Of several people in an image: the one with the highest score, or all by falling score.
    gaps : {"refuse", "nan", "close"}
        As in `read_deeplabcut`; image ids are the frame numbers, so results on single photographs need "close".

    Returns
    -------
    xarray.Dataset
        Confidence is v where it runs from 0 to 1; where v is the visibility flag (0, 1, 2) it is the person's score.

    Raises
    ------
    ValueError
        If the file holds something else.
    """
    path = Path(path)
    if person not in ("best", "all"):
        raise ValueError(f"person: expected 'best' or 'all', got {person!r}")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        people = [(int(r["image_id"]), float(r["score"]), np.array(r["keypoints"], dtype=float)) for r in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected COCO results (a list with image_id, keypoints and score), got something else ({error!r})"
        ) from error
    names = SKELETONS["coco17"].keypoints
    wrong = {len(points) for _, _, points in people} - {3 * len(names)}
    if wrong or not people:
        raise ValueError(f"{path}: expected 51 numbers a person (coco17), got {sorted(wrong) or 'nobody'}")
    flags = any((points[2::3] > 1).any() for _, _, points in people)
    images = sorted({image for image, _, _ in people})
    ranked = [sorted((p for p in people if p[0] == image), key=lambda p: -p[1]) for image in images]
    most = 1 if person == "best" else max(map(len, ranked))
    values = np.full((len(images), most, len(names), 3), np.nan)
    for i, frame in enumerate(ranked):
        for k, (_, score, points) in enumerate(frame[:most]):
            values[i, k] = points.reshape(-1, 3)
            values[i, k, values[i, k, :, 2] == 0, :2] = np.nan
            if flags:
                values[i, k, :, 2] = np.where(values[i, k, :, 2] > 0, score, 0)
    individuals = ["person"] if person == "best" else [f"person_{i}" for i in range(most)]
    size = (fps, width_px, height_px)
    return _tracks(path, values, np.array(images), names, individuals, size, "COCO results", gaps)


def _tracks(path, values, frames, names, individuals, size, software, gaps):
    """Tracks from values (frame, individual, keypoint, x y confidence) and their frame numbers."""
    if gaps not in GAPS:
        raise ValueError(f"gaps: expected one of {', '.join(GAPS)}, got {gaps!r}")
    fps, width_px, height_px = size
    frames = np.asarray(frames).astype(int)
    order = np.argsort(frames, kind="stable")
    values, frames = values[order], frames[order]
    twice = frames[1:][np.diff(frames) == 0]
    if len(twice):
        raise ValueError(f"{path}: expected each frame once, got frame {twice[0]} again ({len(twice)} doubled frames)")
    if not np.isfinite(values[..., :2]).any():
        raise ValueError(f"{path}: expected coordinates, got none in any of {len(frames)} frames")
    missing = int(frames[-1] - frames[0] + 1 - len(frames))
    if missing and gaps == "refuse":
        after = frames[np.argmax(np.diff(frames) > 1)]
        raise ValueError(
            f"{path}: expected every frame from {frames[0]} to {frames[-1]}, got {missing} missing, the first after "
            f'frame {after}; pass gaps="nan" to fill them with NaN or gaps="close" if frames are not numbered'
        )
    if missing and gaps == "nan":
        filled = np.full((frames[-1] - frames[0] + 1, *values.shape[1:]), np.nan)
        filled[frames - frames[0]] = values
        values = filled
    tracks = build_tracks(
        values[..., :2].transpose(0, 3, 2, 1),
        values[..., 2].transpose(0, 2, 1),
        [canonical_name(name) for name in names],
        fps,
        width_px=width_px,
        height_px=height_px,
        individuals=individuals,
        source_software=software,
        source_file=Path(path).name,
    )
    tracks.attrs["first_frame"] = int(frames[0])
    return log_step(tracks, f"imported from {Path(path).name} ({software}); {missing} frames without a row, {gaps}")


def write_deeplabcut(tracks, path, *, scorer="studykit", images=None):
    """Write tracks as DeepLabCut does: predictions with likelihood, or, given image names, labels for training.

    Parameters
    ----------
    tracks : xarray.Dataset
        In image coordinates; several individuals are written as a multi-animal project's.
    path : path-like
        `.csv`, or `.h5` with the table `df_with_missing`.
    scorer : str
        Name of the network, or of the person who labelled.
    images : sequence of str, optional
        One `labeled-data/<video>/<image>.png` a frame: writes labels, without likelihood.

    Raises
    ------
    ValueError
        If the suffix is another, the tracks are not in image coordinates, or the images are not one a frame.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".h5"):
        raise ValueError(f"{path}: expected the suffix .csv or .h5, got {path.suffix!r}")
    if tracks.attrs["coordinate_system"] != "image":
        raise ValueError(f"{path}: expected tracks in image coordinates, got {tracks.attrs['coordinate_system']!r}")
    values = np.concatenate([tracks.position.values, tracks.confidence.values[:, None]], axis=1).transpose(0, 3, 2, 1)
    coords = ["x", "y", "likelihood"] if images is None else ["x", "y"]
    people, names = ([str(v) for v in tracks[dim].values] for dim in ("individuals", "keypoints"))
    parts = [[scorer], people, names, coords] if len(people) > 1 else [[scorer], names, coords]
    # Plain objects, so that the older pandas of DeepLabCut reads the names too.
    parts = [np.array(part, dtype=object) for part in parts]
    columns = pd.MultiIndex.from_product(parts, names=_LEVELS[len(people) > 1])
    table = pd.DataFrame(values[..., : len(coords)].reshape(len(values), -1), columns=columns)
    if images is None:
        table.index += tracks.attrs.get("first_frame", 0)
    else:
        table.index = _image_rows(path, images, len(table))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        if path.suffix == ".csv":
            table.to_csv(temporary, lineterminator="\n")
        else:
            with pd.HDFStore(temporary, mode="w") as store:
                # As DeepLabCut: predictions as a table; labels, whose rows have three names, in the fixed format.
                store.put("df_with_missing", table, format="table" if images is None else "fixed")
                # pandas 3 leaves these out, and DeepLabCut's older pandas cannot read a table without them.
                store.get_storer("df_with_missing").attrs.pandas_version = "0.15.2"
                store.get_storer("df_with_missing").attrs.nan_rep = "nan"
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _image_rows(path, images, n_frames):
    rows = [tuple(Path(image).parts) for image in images]
    if len(rows) != n_frames or any(len(row) != 3 or row[0] != "labeled-data" for row in rows):
        raise ValueError(f"{path}: expected {n_frames} images named labeled-data/<video>/<image>, got {images[:2]}")
    return pd.MultiIndex.from_tuples(rows)
