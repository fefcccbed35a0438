"""What the five papers printed, and where this study has a number to hold beside it.

The numbers of thesis 002's Table 1 stand in `stats.published`.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.papers.thesis import FALSE_POSITIVES_PERCENT, SIGNIFICANT, SUBJECTS

# Paper: who, and on what data its numbers were found.
PAPERS = {
    "000": ("Weiss Cohen, Vitali & Regazzoni 2023", "pictures of walking patients; prints no figure of accuracy"),
    "001": ("Vyshnivskyi, Liashenko & Yeromina 2023", "COCO 2017"),
    "002": ("Hiemstra 2021", "GPJATK, 61 walks of 31 people"),
    "003": ("Altinigne 2019", "LSP, MPII and fashion pictures; masks and joints by Mask-RCNN and OpenPose"),
    "004": ("Saha et al.", "LSP"),
    "Stenum": ("Stenum, Rossi & Roemmich 2021", "real people overground, OpenPose against motion capture"),
}
# Stenum, Rossi & Roemmich 2021, PLoS Comput Biol 17:e1008935: mean absolute errors of single steps and strides, real
# people overground, OpenPose on one sagittal video against three-dimensional motion capture.
STENUM = {
    ("heel_strike", "s"): 0.02,
    ("toe_off", "s"): 0.02,
    ("stride_time", "s"): 0.02,
    ("step_length", "m"): 0.049,
    ("speed", "m_s"): 0.10,
    ("hip", "deg"): 4.0,
    ("knee", "deg"): 5.6,
    ("ankle", "deg"): 7.4,
}
_OURS = {
    "none": "",
    "gaitlab": "simulated",
    "bvh": "real walking, virtual cameras",
    "pose2sim": "real video of one person",
    "table": "the recordings of this study",
    "lsp": "LSP",
    "lspet": "LSP extended",
    "mpii": "MPII",
    "coco": "COCO",
}
_SIMULATED = ("gaitlab", "bvh")
_COUNTED = ("parameters", "walks analysed", "people", "labelled frames")  # how large a thing is, not what was found
_ALIKE = ("epochs", "width", "widths", "features", "images", "pictures", "batch_size")  # or runs are not comparable
_CLOSE = 0.02  # two numbers this near, relative to the published one, are called alike

# paper | where | quantity | published | unit | our run | its headline number, or table: row: column
_VALUES = """
001 | Table 1 | AP | 70.4 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AP
001 | Table 1 | AP .5 | 88.6 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AP50
001 | Table 1 | AP .75 | 77.8 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AP75
001 | Table 1 | AP (M) | 67 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AP_M
001 | Table 1 | AP (L) | 76.9 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AP_L
001 | Table 1 | AR | 76.2 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AR
001 | Table 1 | AR .5 | 93 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AR50
001 | Table 1 | AR .75 | 83 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AR75
001 | Table 1 | AR (M) | 71.9 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AR_M
001 | Table 1 | AR (L) | 82.4 | % | 22_simple_baselines | table_1: network.str.startswith('simple_baseline'): AR_L
003 | Table I | training Dice, U-Net | 0.9711 | | 10_train_segmentation/unet-none | train_dice
003 | Table I | training Dice, harmonic | 0.964 | | 10_train_segmentation/harmonic-none | train_dice
003 | Table I | validation Dice, U-Net | 0.9192 | | 10_train_segmentation/unet-none | validation_dice
003 | Table I | validation Dice, harmonic | 0.911 | | 10_train_segmentation/harmonic-none | validation_dice
003 | Table I | training time, U-Net | 6.5 | h | 11_unet_vs_harmonic | table_1: quantity.str.startswith('training time') and network == 'U-Net': ours
003 | Table I | training time, harmonic | 30 | h | 11_unet_vs_harmonic | table_1: quantity.str.startswith('training time') and network != 'U-Net': ours
003 | Table II | training Dice, Mask + Reg. | 0.899 | | 10_train_segmentation/unet-regression | train_dice
003 | Table II | training Dice, Mask + Softmax | 0.978 | | 10_train_segmentation/unet-softmax | train_dice
003 | Table II | training Dice, Mask + Reg. Softmax | 0.975 | | 10_train_segmentation/unet-regression_softmax | train_dice
003 | Table II | training Dice, Triple Model | 0.896 | | 10_train_segmentation/unet-triple | train_dice
003 | Table II | training MSE, Mask + Reg. | 11.35 | | 12_masks_with_joints | table_2: set == 'train' and quantity == 'squared_error' and encoding == 'Mask + Reg.': ours
003 | Table II | training MSE, Triple Model | 11.92 | | 12_masks_with_joints | table_2: set == 'train' and quantity == 'squared_error' and encoding == 'Triple Model': ours
003 | Table II | training cross entropy, Mask + Softmax | 0.022 | | 12_masks_with_joints | table_2: set == 'train' and quantity == 'cross_entropy' and encoding == 'Mask + Softmax': ours
003 | Table II | training cross entropy, Mask + Reg. Softmax | 0.007 | | 12_masks_with_joints | table_2: set == 'train' and quantity == 'cross_entropy' and encoding == 'Mask + Reg. Softmax': ours
003 | Table II | training cross entropy, Triple Model | 0.076 | | 12_masks_with_joints | table_2: set == 'train' and quantity == 'cross_entropy' and encoding == 'Triple Model': ours
003 | Table II | validation Dice, Mask + Reg. | 0.888 | | 10_train_segmentation/unet-regression | validation_dice
003 | Table II | validation Dice, Mask + Softmax | 0.922 | | 10_train_segmentation/unet-softmax | validation_dice
003 | Table II | validation Dice, Mask + Reg. Softmax | 0.921 | | 10_train_segmentation/unet-regression_softmax | validation_dice
003 | Table II | validation Dice, Triple Model | 0.886 | | 10_train_segmentation/unet-triple | validation_dice
003 | Table II | validation MSE, Mask + Reg. | 14.74 | | 12_masks_with_joints | table_2: set == 'validation' and quantity == 'squared_error' and encoding == 'Mask + Reg.': ours
003 | Table II | validation MSE, Triple Model | 14.74 | | 12_masks_with_joints | table_2: set == 'validation' and quantity == 'squared_error' and encoding == 'Triple Model': ours
003 | Table II | validation cross entropy, Mask + Softmax | 0.056 | | 12_masks_with_joints | table_2: set == 'validation' and quantity == 'cross_entropy' and encoding == 'Mask + Softmax': ours
003 | Table II | validation cross entropy, Mask + Reg. Softmax | 0.014 | | 12_masks_with_joints | table_2: set == 'validation' and quantity == 'cross_entropy' and encoding == 'Mask + Reg. Softmax': ours
003 | Table II | validation cross entropy, Triple Model | 0.084 | | 12_masks_with_joints | table_2: set == 'validation' and quantity == 'cross_entropy' and encoding == 'Triple Model': ours
004 | Table 01 | parameters | 27583068 | | 21_regression_cnn | parameters_at_paper_size
004 | Fig. 04 | epoch after which the losses part | 25 | | 21_regression_cnn | parting_epoch
004 | section VI | test MSE, unit not printed | 0.0878 | | 21_regression_cnn | mse_shares
"""  # noqa: E501

# paper | where | what it says | our run, number | is larger than | our run, number; or a number
_FINDINGS = """
000 | section 2 | COCO's skeleton is found better than MPII's | 30_train_openpose/mobilenet-coco18 pck | 30_train_openpose/mobilenet-mpii15 pck
000 | section 5 | MobileNet gives more accurate skeletons than VGG | 30_train_openpose/mobilenet-coco18 pck | 30_train_openpose/vgg19-coco18 pck
002 | section 3 | the view changes some curves, trials as subjects | 44_perspective_anova significant_as_published | 0
002 | beyond it | the same, people as subjects and sound tests | 44_perspective_anova significant_sound | 0
003 | Table I | the U-Net's masks are better than the harmonic network's | 10_train_segmentation/unet-none validation_dice | 10_train_segmentation/harmonic-none validation_dice
003 | Table I | the harmonic network trains longer | 11_unet_vs_harmonic harmonic_to_plain_time_ratio | 1
003 | section II-D | joints in channels make better masks | 10_train_segmentation/unet-softmax validation_dice | 10_train_segmentation/unet-none validation_dice
003 | section II-D | joints in one map make worse masks | 10_train_segmentation/unet-none validation_dice | 10_train_segmentation/unet-regression validation_dice
003 | section II-D | all three outputs together make worse masks | 10_train_segmentation/unet-none validation_dice | 10_train_segmentation/unet-triple validation_dice
004 | Fig. 04 | after epoch 25 validation and training loss part | 21_regression_cnn loss_ratio_at_end | 21_regression_cnn loss_ratio_at_25
"""  # noqa: E501


def published_values():
    """Every number that the papers report as a result, but for the 36 rows of thesis 002's Table 1.

    Returns
    -------
    pandas.DataFrame
        paper, where, quantity, published, unit, run, key (of the run's headline, or "table: row: column").
    """
    names = ["paper", "where", "quantity", "published", "unit", "run", "key"]
    rows = _rows(_VALUES)
    rows += [
        ("002", "section 2.1", "walks analysed", SUBJECTS, "", "44_perspective_anova", "n_trials"),
        ("002", "section 2.1", "people", 31, "", "44_perspective_anova", "n_participants"),
        ("002", "section 2.2", "labelled frames", 200, "", "40_train_views", "labelled_frames"),
        (
            "002",
            "Table 1",
            "curves with a perspective effect, of 12",
            SIGNIFICANT["perspective"],
            "",
            "44_perspective_anova",
            "significant_as_published",
        ),
    ]
    for name, percent in FALSE_POSITIVES_PERCENT.items():
        key = f"wrong_limb_{name}_percent"
        rows.append(("002", "section 2.4", f"labels on the wrong limb, {name}", percent, "%", "42_mirror_align", key))
    for (name, unit), error in STENUM.items():
        what, shown = f"mean absolute error, {name.replace('_', ' ')}", {"m_s": "m/s", "deg": "°"}.get(unit, unit)
        rows.append(("Stenum", "results", what, error, shown, "50_known_truth", f"{name}_mae_{unit}"))
    table = pd.DataFrame(rows, columns=names).astype({"published": float})
    return table.sort_values("paper", kind="stable", ignore_index=True)


def published_by(paper):
    """The numbers of one paper, a pandas.Series by quantity."""
    return published_values().query("paper == @paper").set_index("quantity").published


def beside(reports, dataset, stills):
    """Every published number beside ours.

    Parameters
    ----------
    reports : path-like
        The study's folder of reports.
    dataset, stills : str
        Where its walks and its pictures come from, as in the configuration.

    Returns
    -------
    pandas.DataFrame
        paper, where, quantity, published, ours, unit, ratio, data (ours), verdict; a row a published number.
    """
    table = published_values()
    numbers = headlines(reports)
    table["ours"] = [_ours(reports, numbers, row.run, row.key, row.unit) for row in table.itertuples()]
    table["ratio"] = table.ours / table.published
    source = np.where(table.paper.isin(("002", "Stenum")), dataset, stills)
    counted = table.quantity.isin(_COUNTED)
    table["data"] = np.where(table.ours.notna(), [_OURS[name] for name in source], "")
    table.loc[table.quantity == "parameters", "data"] = ""  # whatever the data
    table["verdict"] = [
        _verdict(row.ratio, row.run in numbers, name in _SIMULATED and not size)
        for row, name, size in zip(table.itertuples(), source, counted, strict=True)
    ]
    return table[["paper", "where", "quantity", "published", "ours", "unit", "ratio", "data", "verdict"]]


def findings(reports, dataset, stills):
    """What the papers conclude, and whether it is so in this study.

    Parameters
    ----------
    reports : path-like
    dataset, stills : str

    Returns
    -------
    pandas.DataFrame
        paper, finding, larger, smaller (ours, as the paper has them), data, verdict.
    """
    numbers, rows = headlines(reports), []
    for paper, where, finding, larger, smaller in _rows(_FINDINGS):
        left, right = (_number(numbers, source) for source in (larger, smaller))
        left, right = (left, right) if np.isfinite([left, right]).all() else (np.nan, np.nan)
        unlike = _unlike(reports, larger, smaller)
        verdict = "not part of this study"
        if np.isfinite(right):
            verdict = "seen here too" if left > right else "not seen here"
            verdict = f"not comparable: other {', '.join(unlike)}" if unlike else verdict
        data = _OURS[dataset if paper == "002" else stills] if np.isfinite(left) else ""
        rows.append((f"{paper}, {where}", finding, left, right, data, verdict))
    return pd.DataFrame(rows, columns=["paper", "finding", "larger", "smaller", "data", "verdict"])


def headlines(reports):
    """Headline numbers of all runs in a folder of reports, dict of run to dict."""
    folder = Path(reports) / "headline"
    paths = sorted(folder.rglob("[!.]*.json"))
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in paths
    }


def conclusion(values, found, dataset, stills):
    """What the two tables say together, in Markdown.

    Parameters
    ----------
    values, found : pandas.DataFrame
        As from `beside` and `findings`.
    dataset, stills : str

    Returns
    -------
    str
    """
    ours, tested = values.dropna(subset="ours"), found[found.verdict.isin(("seen here too", "not seen here"))]
    close = (ours.ratio - 1).abs() <= _CLOSE
    lines = [
        f"- Of {len(values)} published numbers {len(ours)} have one of ours beside them; {close.sum()} of these are "
        f"within {100 * _CLOSE:g} % of each other. {len(values) - len(ours)} belong to notebooks that are not part of "
        "this study or could not be measured in it.",
    ]
    if len(tested):
        seen = (tested.verdict == "seen here too").sum()
        lines.append(
            f"- Of the findings this study can look for {len(tested)}; seen here too: {seen}, each in one run."
        )
    used = {_OURS[dataset]: dataset, _OURS[stills]: stills}
    simulated = [name for name in used.values() if name in _SIMULATED]
    if simulated:
        lines.append(
            "- **None of this replicates a paper**: ours is from simulated people or cameras, theirs from real ones. "
            "It shows that each method runs from end to end, and what it finds where the truth is known."
        )
    else:
        lines.append("- Networks, training and people differ from the papers', so that alike is not replicated.")
    return "\n".join(lines)


def _rows(text):
    return [tuple(part.strip() for part in line.split("|")) for line in text.strip().splitlines()]


def _ours(reports, numbers, run, key, unit):
    """A headline number, or a cell of one of the run's tables; NaN where there is none."""
    if ":" not in key:
        return _number(numbers, f"{run} {key}")
    name, row, column = (part.strip() for part in key.split(":"))
    path = Path(reports) / "tables" / run / f"{name}.csv"
    found = pd.read_csv(path).query(row, engine="python") if path.is_file() else pd.DataFrame()
    value = float(found[column].iloc[0]) if len(found) else np.nan
    return 100 * value if unit == "%" else value


def _number(numbers, source):
    run, _, key = source.partition(" ")
    if not key:
        return float(source)
    value = numbers.get(run, {}).get(key)
    return np.nan if value is None else float(value)


def _unlike(reports, *sources):
    """In which settings, beside the one that is compared, two trained networks differ."""
    paths = [Path(reports) / "runs" / f"{source.partition(' ')[0]}.json" for source in sources]
    settings = [json.loads(path.read_text(encoding="utf-8"))["parameters"] for path in paths if path.is_file()]
    return [name for name in _ALIKE if len(settings) == 2 and len({str(given.get(name)) for given in settings}) == 2]


def _verdict(ratio, there, simulated):
    if np.isnan(ratio):
        return "not measured in this study" if there else "not part of this study"
    if abs(ratio - 1) <= _CLOSE:
        said = "the same" if ratio == 1 else f"within {100 * _CLOSE:g} %"
    elif 0.5 < ratio < 2:
        said = f"{100 * abs(ratio - 1):.0f} % {'higher' if ratio > 1 else 'lower'}"
    else:
        said = f"{ratio:.0f} times as high" if ratio >= 10 else f"{ratio:.2g} times as high"
    return f"{said}, simulated: no replication" if simulated else said
