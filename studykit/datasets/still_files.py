"""Stills on disk: a folder with images, masks and one table.

A folder holds `stills.csv` (one row per person: image, mask, participant, source, scene, box, and <keypoint>_x, _y,
_v), `images/` and `masks/` as PNG. People of one scene share an image file.
"""

import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from studykit.files import write_text
from studykit.kept import fingerprint
from studykit.notebook import require, save_table
from studykit.stills import Made, Still, StillSet, known_share
from studykit.study import SETS

TABLE = "stills.csv"
_BOX = ["box_x", "box_y", "box_width", "box_height"]
_TEXTS = ["image", "mask", "participant", "source", "scene"]


def save_stills(stills: StillSet, folder: Path, *, known_joints: float = 0, most: int | None = None) -> pd.DataFrame:
    """Write stills as a folder, atomically; one that is there already is replaced.

    Parameters
    ----------
    stills : StillSet
        Loaded one at a time.
    folder : path-like
    known_joints : float
        Least share of joints in the picture (`stills.known_share`), 0 to 1; stills with fewer are left out.
    most : int, optional
        Stop after so many.

    Returns
    -------
    pandas.DataFrame
        The table of `stills.csv`.
    """
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for name in ("images", "masks"):
            (temporary / name).mkdir(parents=True)
        images, rows = {}, []
        taken = (still for still in stills if known_share(still, stills.keypoints) >= known_joints)
        for number, still in enumerate(itertools.islice(taken, most)):
            image = images.get(still.scene)
            if image is None:
                image = f"images/{number:06d}.png"
                write_png(temporary / image, cv2.cvtColor(still.image, cv2.COLOR_RGB2BGR))
                images |= {still.scene: image} if still.scene else {}
            mask = "" if still.mask is None else f"masks/{number:06d}.png"
            if mask:
                write_png(temporary / mask, still.mask.astype(np.uint8) * 255)
            box = still.box or (np.nan,) * 4
            rows.append([image, mask, still.participant, still.source, still.scene, *box, *still.keypoints.ravel()])
        if not rows:
            got = f"none of {len(stills)} that may be kept"
            raise ValueError(f"{folder}: expected stills to save, got {got}; ask for less")
        table = pd.DataFrame(rows, columns=_TEXTS + _BOX + _columns(stills.keypoints))
        save_table(table, temporary / TABLE.removesuffix(".csv"))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return table


def _columns(keypoints):
    return [f"{name}_{value}" for name in keypoints for value in "xyv"]


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an image (H, W) or (H, W, 3) BGR; OpenCV alone would only return False where it cannot."""
    if not cv2.imwrite(str(path), image):
        raise OSError(f"{path}: expected to write an image, got no file; is there space, and the folder?")


def kept_stills(folder: str | Path, depends: Any, make: Callable[[], StillSet], **options: Any) -> pd.DataFrame:
    """The table of a folder of stills, which are made only if it is not there from the same `depends`, or damaged.

    Parameters
    ----------
    folder : path-like
    depends : anything that `kept.fingerprint` takes
        All that the stills depend on, the digest of the code among it.
    make : callable
        Gives the StillSet; where it is empty, there is no folder afterwards.
    **options
        Of `save_stills`.

    Returns
    -------
    pandas.DataFrame
        As the file has it; ``attrs["made"]`` says whether the stills were made now.
    """
    folder, key = Path(folder), fingerprint([depends, options])
    mark = folder / ".made_from"  # hidden, so that it is no part of the result
    try:
        if mark.read_text(encoding="utf-8") == key:
            load_stills(folder)
            return _read_table(folder)[0]
    except (FileNotFoundError, ValueError):
        pass  # missing or damaged: made again
    stills = make()
    if not len(stills):
        shutil.rmtree(folder, ignore_errors=True)
        return pd.DataFrame(columns=_TEXTS + _BOX + _columns(stills.keypoints))
    save_stills(stills, folder, **options)
    write_text(mark, key)
    table = _read_table(folder)[0]
    table.attrs["made"] = True
    return table


def _read_table(folder):
    """The table of a folder of stills, and the names of its keypoints."""
    path = require(folder / TABLE, made_by="01_stills")
    table = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values={n: "" for n in _BOX})
    names = [name.removesuffix("_x") for name in table if name.endswith("_x") and name != "box_x"]
    if list(table) != _TEXTS + _BOX + _columns(names) or not names:
        expected = f"columns {', '.join(_TEXTS + _BOX)} and three per keypoint"
        raise ValueError(f"{path}: expected {expected}, got {', '.join(table)}; run 01_stills.ipynb again")
    return table, names


def load_stills(folder: str | Path) -> StillSet:
    """Stills of a folder written by `save_stills`; images are read when a still is asked for.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or a file that its table names is missing.
    ValueError
        If the table is not one of stills.
    """
    folder = Path(folder)
    table, names = _read_table(folder)
    named = [name for column in ("image", "mask") for name in table[column].unique() if name]
    lost = [name for name in named if not (folder / name).is_file()]
    if lost:
        raise FileNotFoundError(
            f"{folder}: expected {len(named)} images and masks as {TABLE} names them, got {len(lost)} less, such as "
            f"{lost[0]}; run 01_stills.ipynb again"
        )
    points = table[_columns(names)].to_numpy(np.float32).reshape(len(table), -1, 3)
    boxes = [None if np.isnan(box).any() else tuple(box) for box in table[_BOX].to_numpy(float).tolist()]

    def read(number):
        row = table.iloc[number]
        image = read_image(folder / row["image"])
        mask = read_mask(folder / row["mask"]) if row["mask"] else None
        texts = (row["participant"], row["source"], row["scene"])
        return Still(image, points[number].copy(), mask, boxes[number], *texts)

    return StillSet(Made(range(len(table)), read), names, table["participant"], table["scene"])


def read_image(path: str | Path) -> np.ndarray:
    """An image file as RGB (H, W, 3) uint8; grey ones become RGB, their EXIF orientation is ignored.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, cut off or no image, or not of 8 bits and one or three channels.
    """
    image = _read(path)
    if image.ndim == 2:
        return cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    if image.shape[2] != 3:
        raise ValueError(f"{path}: expected one or three channels, got {image.shape[2]}; save it without transparency")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_mask(path: str | Path) -> np.ndarray:
    """A mask file as (H, W) bool: what is brighter than half of white; errors as of `read_image`."""
    mask = _read(path)
    if mask.ndim != 2:
        raise ValueError(f"{path}: expected a mask of one channel, got {mask.shape[2]}; save it as a grey picture")
    return mask > 127


def _read(path):
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: expected an image file, got none; put it there, or take it from the table")
    data = path.read_bytes()
    whole = not data.startswith(b"\xff\xd8") or b"\xff\xd9" in data[-1024:]  # a JPEG ends with its end-of-image mark
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data and whole else None
    if image is None:
        raise ValueError(f"{path}: expected a whole image, got {len(data)} bytes that are none; copy the file again")
    if image.dtype != np.uint8:
        raise ValueError(f"{path}: expected 8 bits a channel, got {image.dtype}; save it with 8 bits")
    return image


def load_split(folder: str | Path, kind: str = "people") -> dict[str, StillSet]:
    """The study's stills by set, as notebook 01_stills wrote them.

    Parameters
    ----------
    folder : path-like
        `<derived>/stills`.
    kind : {"people", "scenes"}
        Pictures of one person each, or of several.

    Returns
    -------
    dict of str to StillSet
        "train", "validation", "test"; the same people in both kinds.

    Raises
    ------
    FileNotFoundError, ValueError
        If something is missing, or a set is empty.
    """
    folder = Path(folder)
    table = pd.read_csv(require(folder / "split.csv", made_by="01_stills"), dtype=str, keep_default_na=False)
    if kind == "scenes" and not (folder / kind).exists():
        way_out = "take stills from gaitlab, mpii or coco"
        raise ValueError(f"{folder}: expected scenes of several people, got none; {way_out}")
    part = dict(zip(table["participant"], table["set"], strict=True))
    stills = load_stills(folder / kind)
    where = np.array([part.get(name, "") for name in stills.participants])
    sets = {name: stills.subset(np.flatnonzero(where == name).tolist()) for name in SETS}
    empty = [name for name, members in sets.items() if not len(members)]
    if empty:
        raise ValueError(f"{folder}: expected {kind} in every set, got none for {', '.join(empty)}; take more of them")
    return sets


def load_scenes(folder: str | Path) -> dict[str, StillSet]:
    """Pictures of several people by set, as `load_split`; empty sets where the data have none."""
    if (Path(folder) / "scenes").is_dir():
        return load_split(folder, "scenes")
    return {name: stills[:0] for name, stills in load_split(folder).items()}


def count_sets(**kinds: dict[str, StillSet]) -> pd.DataFrame:
    """How many people and pictures are in each set: kind, set, people, pictures; a row per set that has any."""
    rows = [
        (kind, name, len(set(stills.participants)), len(stills.by_scene()))
        for kind, sets in kinds.items()
        for name, stills in sets.items()
        if len(stills)
    ]
    return pd.DataFrame(rows, columns=["kind", "set", "people", "pictures"])
