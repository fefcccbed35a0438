"""2D human pose estimation and two-camera gait analysis, as a study anyone can rerun."""

__version__ = "0.1.0"
