"""Figures by subject, under one style, which holds from the first import of this room."""

from studykit.plots import style  # noqa: F401
