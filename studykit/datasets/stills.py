"""The stills of a study: taken from their source once, split into training, validation and test, and described."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.datasets.coco import coco_stills
from studykit.datasets.fetch import source_folder
from studykit.datasets.lsp import lsp_stills
from studykit.datasets.mpii import mpii_stills
from studykit.datasets.still_files import kept_stills, load_scenes, load_split, load_stills
from studykit.gaitlab import simulate_scenes, simulate_stills
from studykit.kept import code_digest
from studykit.notebook import save_table
from studykit.skeletons import SKELETONS
from studykit.stills import PSEUDO_MASK, StillSet, crop_person, limit_size, rescale, with_skeleton
from studykit.study import SETS, split_people

_LEVELS = {"seen": 2, "occluded": 1, "unknown or outside": 0}


def read_stills(name: str, folder: str | Path, part: str = "train2017") -> StillSet:
    """Real pictures of people: `lsp.lsp_stills`, `mpii.mpii_stills` or `coco.coco_stills`.

    Parameters
    ----------
    name : {"lsp", "lspet", "mpii", "coco"}
    folder : path-like
    part : str
        Of COCO.
    """
    readers = {"lsp": lsp_stills, "lspet": partial(lsp_stills, name="lspet"), "mpii": mpii_stills}
    readers["coco"] = partial(coco_stills, part=part)
    if name not in readers:
        raise ValueError(f"stills: expected one of {', '.join(readers)}, got {name!r}")
    return readers[name](folder)


def stills_of(
    stills: str,
    folder: str | Path,
    *,
    seed: int,
    count: int,
    scenes: int,
    size_px: int,
    shorter_edge_px: int = 0,
    known_joints: float = 0.88,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    source: str = "",
    part: str = "train2017",
    bodies: int = 240,
    most_people: int = 4,
    **diversity: float,
) -> pd.DataFrame:
    """Pictures of one person and of several, and who is in which set; those already there from the same are kept.

    Parameters
    ----------
    stills : str
        One of `SOURCES["stills"]`.
    folder : path-like
        Receives `people/`, `scenes/` and `split.csv`.
    seed : int
    count, scenes : int
        Pictures of one person, and of several.
    size_px : int
        Width and height of simulated pictures; longer edge of others at most.
    shorter_edge_px : int
        All pictures are brought to this shorter edge; 0: not.
    known_joints : float
        Least share of joints in the picture of one person, 0 to 1.
    fractions : sequence of float
        Of the people for each of `SETS`.
    source, part : str
        Folder of a real data set, "" for its own name; part of COCO.
    bodies, most_people : int
        Different simulated people, and how many share a scene at most.
    **diversity : float
        turned_deg and variety of simulated people, as in `gaitlab.simulate_stills`.

    Returns
    -------
    pandas.DataFrame
        One row per person: those of `still_files.save_stills`, and kind ("people" or "scenes"), set, picture, masked
        and pseudo (a mask that is a network's opinion); ``attrs["made"]`` lists the kinds that were made now.
    """
    folder, simulated = Path(folder), stills == "gaitlab"
    depends = {"stills": stills, "seed": seed, "size_px": size_px, "shorter_edge_px": shorter_edge_px}
    depends["format"] = code_digest("stills", "skeletons", "datasets/still_files")
    if simulated:
        depends |= diversity | {"bodies": bodies, "count": count, "code": code_digest("gaitlab", "cameras")}
    else:
        where = source_folder(source or stills)
        depends |= {"files": _files(where), "part": part, "code": code_digest("datasets")}

    def resized(pictures):
        return pictures.map(partial(rescale, shorter_px=shorter_edge_px)) if shorter_edge_px else pictures

    @cache
    def everyone():
        return read_stills(stills, where, part)

    def alone():
        if simulated:
            return resized(simulate_stills(count, seed, size_px, "all", people=bodies, **diversity))
        return resized(_single_people(everyone(), size_px, seed))

    people = kept_stills(folder / "people", depends, alone, known_joints=known_joints, most=count)

    def together():
        if not scenes:
            return load_stills(folder / "people")[:0]
        if not simulated:
            return resized(_several_people(everyone(), scenes, size_px, seed))
        split = split_people(people.participant, fractions, seed)  # only people of one set meet
        numbers = split.participant.str.removeprefix("person-").astype(int)
        groups = [numbers[split.set == one].tolist() for one in SETS]
        return resized(simulate_scenes(scenes, seed, size_px, "all", groups, most_people, **diversity))

    depends |= {"scenes": scenes, "most": most_people, "fractions": fractions, "people": people.participant.tolist()}
    crowd = kept_stills(folder / "scenes", depends, together)
    made = [kind for kind, table in (("people", people), ("scenes", crowd)) if "made" in table.attrs]
    crowd = crowd if len(crowd) else people[:0]
    split = save_table(split_people([*people.participant, *crowd.participant], fractions, seed), folder / "split")
    everybody = pd.concat([people.assign(kind="people"), crowd.assign(kind="scenes")]).merge(split, on="participant")
    everybody["masked"] = everybody["mask"] != ""
    everybody["pseudo"] = everybody["source"].str.endswith(PSEUDO_MASK)
    everybody["picture"] = everybody["kind"] + everybody["image"]
    everybody.attrs["made"] = made
    return everybody


def _files(folder):
    """Name, size and time of every file of a data set."""
    files = [(path, path.stat()) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [(path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns) for path, stat in files]


def _single_people(stills, longest_px, seed):
    """Everyone in a picture of their own, in random order; of a scene, with a quarter of their size around."""
    shuffled = stills.subset(np.random.default_rng([seed, 1]).permutation(len(stills)).tolist())

    def alone(still):
        return limit_size(replace(crop_person(still), scene="") if still.scene else still, longest_px)

    return StillSet(shuffled.map(alone), stills.keypoints, shuffled.participants, [""] * len(stills))


def _several_people(stills, count, longest_px, seed):
    """Some of the pictures that show several people, whole, with all annotated people in them."""
    groups = [group for group in stills.by_scene() if len(group) > 1]
    chosen = np.random.default_rng([seed, 2]).permutation(len(groups))[:count]
    some = stills.subset([i for n in sorted(chosen) for i in groups[n]])
    return some.map(partial(limit_size, longest_px=longest_px))


def training_stills(folder: str | Path, kind: str = "people") -> StillSet:
    """Stills to train on, with the keypoints of the largest skeleton they have; none of a kind that is not there."""
    stills = load_scenes(folder)["train"] if kind == "scenes" else load_split(folder)["train"]
    fitting = (SKELETONS[name].keypoints for name in ("body25", "lsp14", "mpii16", "coco17"))
    return with_skeleton(stills, next(names for names in fitting if {*names} <= {*stills.keypoints}))


def visibility_table(everybody: pd.DataFrame, keypoints: Sequence[str]) -> pd.DataFrame:
    """Share of people in whom each keypoint is seen, occluded, unknown or outside the picture, by kind of picture."""
    rows = [
        (name, *((table[f"{name}_v"] == level).mean() for level in _LEVELS.values()), kind)
        for kind, table in everybody.groupby("kind")
        for name in keypoints
    ]
    return pd.DataFrame(rows, columns=["keypoint", *_LEVELS, "pictures"])
