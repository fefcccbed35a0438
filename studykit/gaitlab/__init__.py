"""The simulated two-camera gait laboratory: people who walk before two cameras, with everything known exactly.

`simulate_study` writes a whole study, `simulate_stills` draws single pictures in many poses; `load_truth`,
`truth_tracks`, `load_masks` and `project` read what is known.
"""

from studykit.gaitlab.cameras import nominal_cameras, project
from studykit.gaitlab.record import load_masks, simulate_study
from studykit.gaitlab.truth import build_truth, load_truth, save_truth, truth_tracks

__all__ = [
    "build_truth",
    "load_masks",
    "load_truth",
    "nominal_cameras",
    "project",
    "save_truth",
    "simulate_study",
    "truth_tracks",
]
