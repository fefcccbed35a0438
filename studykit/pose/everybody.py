"""What networks of paper 000 detect in the study's pictures and what they cost, kept beside them.

Once a question has been answered, no network is loaded for it again.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from studykit.kept import fingerprint, kept
from studykit.notebook import require
from studykit.pose.network import Network, load, network_code
from studykit.pose.openpose import Settings, find_one, find_people, last_stage, multi_scale_maps
from studykit.pose.scores.people import Found, scene_scores, single_scores
from studykit.stills import StillSet
from studykit.study import read_study, recordings
from studykit.video import probe, read_selected

if TYPE_CHECKING:
    import keras


def maps_of(
    network: Network, image: np.ndarray, scales: Sequence[float], box_size: float = 0
) -> tuple[np.ndarray, np.ndarray, float]:
    """`multi_scale_maps` of one picture, kept beside the network; `box_size` 0: the settings'."""
    asked = {"box_size": box_size or network.settings.box_px, "scales": scales}
    return _ask(network, "maps", [image, asked], lambda model: multi_scale_maps(model, image, **asked))


def maps_by_scale(
    network: Network, image: np.ndarray, scales: Sequence[float], box_size: float = 0
) -> dict[str, tuple[np.ndarray, float]]:
    """Confidence maps of one picture, and px of the picture per cell, at each scale alone and as their mean."""
    each = {str(scale): maps_of(network, image, [scale], box_size) for scale in scales}
    each |= {"mean": maps_of(network, image, scales, box_size)}
    return {name: (maps, stride) for name, (maps, _, stride) in each.items()}


def find_everybody(network: Network, images: Sequence[np.ndarray], **reading: Any) -> tuple[list[Found], float]:
    """`find_people` in several pictures, kept beside the network.

    Returns
    -------
    found : list of (people (P, K, 3), scores (P,))
        A picture each.
    ms_per_image : float
        Network and reading, median.
    """

    def find(model: "keras.Model") -> tuple:
        found, times = [], []
        for image in images:
            start = time.perf_counter()
            found.append(find_people(model, network.settings, image, **reading))
            times.append(time.perf_counter() - start)
        return found, 1000 * float(np.median(times)) if times else float("nan")

    return _ask(network, "people", [images, reading], find)


def find_singles(network: Network, stills: StillSet, **reading: Any) -> np.ndarray:
    """`find_one` in each still, (N, K, 3), kept beside the network."""
    images = [still.image for still in stills]

    def find(model: "keras.Model") -> np.ndarray:
        return np.stack([find_one(model, network.settings, image, **reading) for image in images])

    return _ask(network, "singles", [images, reading], find)


def _ask(network, name, asked, answer):
    """What a network's last stage answers, kept beside the network."""
    key = fingerprint(asked)
    return network.kept(f"{name}-{key[:12]}", key, lambda: answer(last_stage(network.model)))


def scene_images(scenes: StillSet) -> list[np.ndarray]:
    """The picture of each scene."""
    return [scenes[numbers[0]].image for numbers in scenes.by_scene()]


def first_memory_mb(settings: Settings, image: np.ndarray, folder: Path) -> float:
    """Memory that a fresh network's first picture takes, its graph included, MB; kept in a folder."""

    def measure() -> float:
        from studykit.models.cost import memory_mb

        model = last_stage(settings.build())
        return memory_mb(lambda: find_people(model, settings, image))

    return kept(folder / ".memory.npz", [settings, image, network_code("pose/everybody")], measure)


def published_cost(folder: Path, measured: bool = True) -> pd.DataFrame:
    """What untrained networks of the published size cost for a picture of 368 px; kept in a folder.

    Parameters
    ----------
    folder : path-like
    measured : bool
        Otherwise the table is empty.

    Returns
    -------
    pandas.DataFrame
        backbone, parameters, multiply_adds, ms_per_image, memory_mb.
    """

    def measure(backbone: str) -> tuple:
        from studykit.models.cost import count_parameters, memory_mb, ms_per_image, multiply_adds

        model, shape = last_stage(Settings(backbone=backbone).build()), (368, 368, 3)
        memory = memory_mb(lambda: model.predict_on_batch(np.zeros((1, *shape), np.uint8)))
        work = count_parameters(model), multiply_adds(model, shape)
        return backbone, *work, ms_per_image(model, shape, repeats=2), memory

    def both() -> pd.DataFrame:
        return pd.DataFrame([measure("mobilenet"), measure("vgg19")], columns=columns)

    columns = ["backbone", "parameters", "multiply_adds", "ms_per_image", "memory_mb"]
    if not measured:
        return pd.DataFrame(columns=columns, dtype=float)
    return kept(folder / ".published_cost.npz", [network_code("pose/everybody")], both)


def load_networks(folder: Path, wanted: str) -> dict[str, Network]:
    """All networks of notebook 30 below a folder by name; one of them has to be there."""
    require(folder / wanted / "model.keras", made_by="30_train_openpose")
    return {path.parent.name: load(path.parent, "30_train_openpose") for path in sorted(folder.glob("*/model.keras"))}


def compare_scales(
    networks: dict[str, Network],
    singles: StillSet,
    crowd: StillSet,
    scales: Sequence[float],
    box_size: float = 0,
    threshold: float = 0.1,
) -> pd.DataFrame:
    """Accuracy and costs by network, at its own scale alone and with scale search.

    Parameters
    ----------
    networks : dict of str to Network
    singles, crowd : StillSet
        Test pictures of one person, and of several (a still per person), which may be empty.
    scales : sequence of float
    box_size, threshold
        See `openpose.find_people`.

    Returns
    -------
    pandas.DataFrame
        network, backbone, skeleton, epochs, parameters, memory_mb, scales, pck and pck_grouped (see
        `people.single_scores`), ap (the same joints, scenes), people_per_person and ms_per_image.
    """
    images = [still.image for still in singles] + scene_images(crowd)
    rows = []
    for name, network in networks.items():
        settings = network.settings
        about = [name, settings.backbone, settings.skeleton, network.history.epoch.iloc[-1], network.parameters]
        about.append(pd.read_csv(network.folder / "scores.csv").memory_mb[0])
        for some in dict.fromkeys([(1.0,), tuple(scales)]):
            found, ms = find_everybody(network, images, box_size=box_size, scales=some, threshold=threshold)
            alone = find_singles(network, singles, box_size=box_size, scales=some)
            one = single_scores(alone, found[: len(singles)], singles, settings.keypoints)
            several = scene_scores(found[len(singles) :], crowd, settings.keypoints)
            scores = one["pck"], one["pck_grouped"], several["AP"], several["people_per_person"], ms
            rows.append((*about, " ".join(f"{scale:g}" for scale in some), *scores))
    columns = "network backbone skeleton epochs parameters memory_mb scales pck pck_grouped ap people_per_person"
    return pd.DataFrame(rows, columns=[*columns.split(), "ms_per_image"])


def first_scenes(crowd: StillSet, most: int) -> StillSet:
    """The people of the first scenes."""
    return crowd.subset([n for numbers in crowd.by_scene()[:most] for n in numbers])


def first_together(crowd: StillSet) -> StillSet:
    """The people of the first scene that shows several; nobody if none does."""
    return crowd.subset(next((numbers for numbers in crowd.by_scene() if len(numbers) > 1), []))


def video_frames(study_file: Path, seconds: float, most: int = 8) -> list[tuple[str, np.ndarray]]:
    """Frames of the study's first four recordings, one every so many seconds (paper 000).

    Returns
    -------
    list of (title, frame)
        Empty without a Study table.
    """
    if not study_file.is_file():
        return []
    frames, study = [], read_study(study_file)
    for one in recordings(study[study.video != ""].drop_duplicates(["participant", "view"]).head(4)):
        info = probe(one.video)
        step = round(info.fps * seconds)
        numbers = np.arange(min(step, info.frames) // 2, info.frames, step)  # of a short film its middle
        titles = [f"{one.participant} {one.view}, {n / info.fps:.1f} s" for n in numbers]
        frames += zip(titles, read_selected(one.video, numbers), strict=True)
    return frames[:most]
