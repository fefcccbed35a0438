"""The simulated two-camera gait laboratory: people who walk before two cameras, with everything known exactly.

`simulate_study` writes a whole study, `simulate_stills` draws single people in many poses and `simulate_scenes` several
in one picture; `load_truth`, `load_masks` and `project` read what is known.
"""

from studykit.cameras import project
from studykit.gaitlab.cameras import nominal_cameras
from studykit.gaitlab.film import load_masks
from studykit.gaitlab.record import Recorded, simulate_study
from studykit.gaitlab.scenes import simulate_scenes
from studykit.gaitlab.stills import simulate_stills
from studykit.truth.file import build_truth, load_truth, save_truth

__all__ = [
    "Recorded",
    "build_truth",
    "load_masks",
    "load_truth",
    "nominal_cameras",
    "project",
    "save_truth",
    "simulate_scenes",
    "simulate_stills",
    "simulate_study",
]
