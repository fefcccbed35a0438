"""Videos and keypoint files of a folder become a Study table; their names say whose they are.

Names are BIDS-like: `sub-07_trial-2_dir-R2L_cam-C1.mp4`; what follows the camera is free, so that DeepLabCut's
`sub-07_trial-2_cam-C1DLC_resnet50_gait.h5` and OpenPose's folder `sub-07_trial-2_cam-C1_json` are understood. The
direction may be left out where keypoints can tell it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.formats import READERS, import_tracks
from studykit.gait.views import forward_speed, to_walk
from studykit.study import KEY, Recording, read_table, write_study
from studykit.tracks import save_tracks
from studykit.video import probe

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".mts", ".webm")
_SUFFIXES = (*VIDEOS, *READERS, ".nc")
COMPLETED = ("sex", "leg_length_m", "calibration")  # columns that no file of a recording can fill
_EXAMPLE = "sub-07_trial-2_dir-R2L_cam-C1"
_PART = re.compile(r"(?:^|_)(sub|trial|dir|cam)-([A-Za-z0-9]+?)(?=DLC_|[^A-Za-z0-9]|$)")


def gather_study(
    paths: Sequence[str | Path],
    table: str | Path,
    *,
    fps: float | None = None,
    size: tuple[int | None, int | None] = (None, None),
    gaps: str | None = None,
    mirrored: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """Write the Study table of some files and folders; keypoint files of other programs become tracks beside it.

    What people wrote into an earlier table of the same recordings (`COMPLETED`) is kept.

    Parameters
    ----------
    paths : sequence of path-like
        Files, and folders to look through.
    table : path-like
        CSV to write.
    fps : float, optional
        Frames per second of recordings without a video.
    size : tuple (width, height), optional
        Of their images, px.
    gaps : {"refuse", "nan", "close"}, optional
        Missing frames of keypoint files; None: as each format has it.
    mirrored : sequence of str
        Views whose files were flipped left-right after filming.

    Returns
    -------
    study : pandas.DataFrame
        The table.
    left_out : list of str
        A sentence for each file that was left out.

    Raises
    ------
    FileNotFoundError
        If a path is missing.
    ValueError
        If no name was understood, or naming all faults of the files; if `table` is there and no Study table.
    """
    table, found, left_out = Path(table), {}, []
    earlier = _completed(table)
    for path in _files(paths):
        if path.absolute() == table.absolute() or path.is_relative_to(table.parent / "tracks"):
            continue  # an earlier run wrote it
        try:
            parts = understand(path)
        except ValueError as error:
            left_out.append(str(error))
            continue
        key = parts["sub"], int(parts["trial"]), parts["cam"]
        one = found.setdefault(key, {"video": [], "tracks": [], "dir": set()})
        one["video" if path.suffix.lower() in VIDEOS else "tracks"].append(path)
        one["dir"] |= {parts["dir"]} if "dir" in parts else set()
    if not found:
        told = "; ".join(left_out[:3]) or "neither videos nor keypoint files"
        raise ValueError(f"expected files named as {_EXAMPLE}.mp4, got {told}")
    views = sorted({view for _, _, view in found})
    faults = [f"mirrored: expected views, {', '.join(views)}, got {view}" for view in mirrored if view not in views]
    options, rows = {} if gaps is None else {"gaps": gaps}, []
    for (participant, trial, view), one in sorted(found.items()):
        row = {"participant": f"sub-{participant}", "sex": "", "trial": trial, "view": view}
        try:
            rows.append(_recording(row | {"mirrored": view in mirrored}, one, table.parent, fps, *size, options))
        except (ValueError, OSError) as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    study = pd.DataFrame(rows)
    for name in earlier:
        nothing = np.nan if name == "leg_length_m" else ""
        study[name] = earlier[name].reindex(pd.MultiIndex.from_frame(study[KEY]), fill_value=nothing).array
    write_study(study, table)
    return study, left_out


def _completed(table):
    """What people wrote into an earlier table, by recording: columns of `COMPLETED`, paths from here."""
    if not table.is_file():
        return pd.DataFrame()
    earlier = read_table(table, {"participant": str, "view": str, "sex": str})
    if missing := [name for name in KEY if name not in earlier]:
        raise ValueError(f"{table}: expected a Study table to write again, got no column {missing[0]!r}; name another")
    earlier = earlier.drop_duplicates(KEY).set_index(KEY).fillna({"sex": "", "calibration": ""})
    if "calibration" in earlier:
        earlier["calibration"] = [path and str(table.parent / path) for path in earlier.calibration]
    return earlier[[name for name in COMPLETED if name in earlier]]


def understand(path: str | Path) -> dict[str, str]:
    """What a name says of its recording.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict of str to str
        sub, trial, cam, and dir if the name has it.

    Raises
    ------
    ValueError
        Saying what was not understood.
    """
    parts = dict(_PART.findall(Path(path).name))
    faults = [f"no {key}-" for key in ("sub", "trial", "cam") if key not in parts]
    if not parts.get("trial", "1").isdigit():
        faults.append(f"trial-{parts['trial']} (a whole number is wanted)")
    if parts.get("dir", "R2L") not in ("R2L", "L2R"):
        faults.append(f"dir-{parts['dir']} (R2L or L2R is wanted)")
    if faults:
        raise ValueError(f"{path}: expected a name such as {_EXAMPLE}, got {', '.join(faults)}; rename it to use it")
    return parts


def _files(paths):
    """Videos, keypoint files and folders of OpenPose files, in order; of DeepLabCut's twins the .h5."""
    files = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path}: expected a file or a folder, got none")
        if path.is_file() or _PART.search(path.name):
            files.append(path)
        else:
            files += _files(sorted(p for p in path.iterdir() if p.is_dir() or p.suffix.lower() in _SUFFIXES))
    twins = {path.with_suffix("") for path in files if path.suffix == ".h5"}
    return [path for path in files if not (path.suffix == ".csv" and path.with_suffix("") in twins)]


def _recording(row, one, folder, fps, width, height, options):
    """Row of the table: rate and size from the video or as given, direction from the name or the keypoints."""
    for kind, paths in one.items():
        if kind != "dir" and len(paths) > 1:
            raise ValueError(f"{paths[1]}: expected one file of {kind}, got {paths[0].name} too; keep one of them")
    if len(one["dir"]) > 1:
        raise ValueError(f"{(one['video'] + one['tracks'])[0]}: expected one direction, got R2L and L2R; rename one")
    video, source = ((one[kind] or [None])[0] for kind in ("video", "tracks"))
    if video is not None:
        info = probe(video)
        fps, width, height = info.fps, info.width_px, info.height_px
    speed = np.nan
    if source is not None:
        if None in (fps, width, height) and source.suffix != ".nc":
            raise ValueError(f"{source}: expected a video beside it, got none; give --fps and --size")
        tracks = import_tracks(source, fps, width, height, **options)
        fps, width, height = (tracks.attrs[key] for key in ("fps", "width_px", "height_px"))
        speed = np.nan if one["dir"] else forward_speed(to_walk(tracks))
    if not one["dir"] and not np.isfinite(speed):
        wanted = "keypoints, or dir-R2L or dir-L2R in the name, to tell the direction"
        raise ValueError(f"{video or source}: expected {wanted}, got none")
    row |= {"direction": next(iter(one["dir"]), "R2L" if speed > 0 else "L2R")}
    row |= {"video": str(video or ""), "tracks": str(source or ""), "fps": fps, "width_px": width, "height_px": height}
    if source is not None and source.suffix != ".nc":
        row["tracks"] = str(folder / "tracks" / f"{Recording(**row).name}.nc")
        save_tracks(tracks.assign_attrs(mirrored=int(row["mirrored"])), row["tracks"])
    return row
