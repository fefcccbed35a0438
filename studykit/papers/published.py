"""What the five papers printed: tables beside this file, and the few numbers that code needs by name.

`papers.csv` says who they are and on what data they worked, `values.csv` has every number that they report as a result,
with the headline number (or "table: row: column") of the run that gives ours, `findings.csv` what they conclude, as
comparisons of two headline numbers, `table_1.csv` the 36 tests of thesis 002.

Stenum, Rossi & Roemmich 2021 is PLoS Comput Biol 17:e1008935: mean absolute errors of single steps and strides, real
people overground, OpenPose on one sagittal video against three-dimensional motion capture. Thesis 002 is T. Hiemstra,
Integrated 2D video-based analysis using DeepLabCut pose estimation, Radboud University 2021: section 3, Table 1 is a
two-way repeated-measures ANOVA of 61 trials of 31 people walking, from the GPJATK data (Kwolek et al. 2019), cameras C1
and C3, alpha 0.05; section 2.4 counts labels on the wrong limb.
"""

from pathlib import Path

import pandas as pd


def printed(name: str) -> pd.DataFrame:
    """One of the tables: "papers", "values", "findings" or "table_1"."""
    return pd.read_csv(Path(__file__).with_name(f"{name}.csv"), dtype={"paper": str}, keep_default_na=False)


def published_by(paper: str, by: str = "quantity") -> pd.Series:
    """The numbers of one paper, such as "003", by quantity, or by the `key` of ours."""
    return printed("values").query("paper == @paper").set_index(by).published


FALSE_POSITIVES_PERCENT = {  # thesis 002: labels on the wrong limb, by keypoint
    name: float(published_by("002", "key")[f"wrong_limb_{name}_percent"]) for name in ("knee", "ankle", "heel", "toe")
}
STENUM = {  # mean absolute errors by quantity and unit
    tuple(key.split("_mae_")): float(error) for key, error in published_by("Stenum", "key").items()
}
