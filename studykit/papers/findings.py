"""What the five papers printed beside this study's numbers, and their findings, held against it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from studykit.papers.published import printed

COUNTED = ("parameters", "walks analysed", "people", "labelled frames")  # how large a thing is, not what was found
# Where ours come from.
_DATA = {"none": "", "gaitlab": "simulated", "bvh": "real walking, virtual cameras", "lsp": "LSP", "mpii": "MPII"}
_DATA |= {"lspet": "LSP extended", "coco": "COCO", "pose2sim": "real video of one person"}
_DATA["table"] = "the recordings of this study"
_SIMULATED = ("gaitlab", "bvh")
_ALIKE = ("epochs", "width", "widths", "features", "images", "pictures", "batch_size")  # or runs are not comparable
_CLOSE = 0.02  # two numbers this near, relative to the published one, are called alike


def beside(reports: str | Path, dataset: str, stills: str) -> pd.DataFrame:
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
        paper, where, quantity, published, ours, unit, ratio, data (ours), verdict; one row per published number,
        without the 36 of thesis 002's Table 1.
    """
    table, numbers = printed("values"), headlines(reports)
    table["ours"] = [_ours(reports, numbers, *row) for row in table[["run", "key", "unit"]].itertuples(index=False)]
    table["ratio"] = table.ours / table.published
    source = pd.Series(np.where(table.paper.isin(("002", "Stenum")), dataset, stills))
    told = table.ours.notna() & (table.quantity != "parameters")  # whose number depends on no data
    table["data"] = source.map(_DATA).where(told, "")
    simulated = source.isin(_SIMULATED) & ~table.quantity.isin(COUNTED)
    table["verdict"] = list(map(_verdict, table.ratio, table.run.isin(numbers), simulated))
    return table[["paper", "where", "quantity", "published", "ours", "unit", "ratio", "data", "verdict"]]


def findings(reports: str | Path, dataset: str, stills: str) -> pd.DataFrame:
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
    table, numbers = printed("findings"), headlines(reports)
    pairs = table[["larger", "smaller"]]
    ours = pairs.map(lambda source: _number(numbers, source))
    known = ours.notna().all(axis=1)
    unlike = pd.Series([", ".join(_unlike(reports, *pair)) for pair in pairs.itertuples(index=False)])
    verdict = pd.Series(np.where(ours.larger > ours.smaller, "seen here too", "not seen here"))
    verdict = verdict.where(unlike == "", "not comparable: other " + unlike)
    data = pd.Series(np.where(table.paper == "002", _DATA[dataset], _DATA[stills])).where(known, "")
    found = ours.where(known).assign(data=data, verdict=verdict.where(known, "not part of this study"))
    found.insert(0, "paper", table.paper + ", " + table["where"])
    found.insert(1, "finding", table.finding)
    return found


def headlines(reports: str | Path) -> dict[str, dict[str, float | None]]:
    """Headline numbers of all runs in a folder of reports, by run."""
    folder = Path(reports) / "headline"
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("[!.]*.json"))
    }


def counts(values: pd.DataFrame, found: pd.DataFrame) -> dict[str, int]:
    """How many published numbers and findings have ours beside them, and agree.

    Parameters
    ----------
    values, found : pandas.DataFrame
        As from `beside` and `findings`.
    """
    ours, tested = values.dropna(subset="ours"), found[found.verdict.str.contains("seen")]
    return {
        "n_published": len(values),
        "n_with_ours": len(ours),
        "n_alike": int(ours.verdict.str.startswith(("the same", "within")).sum()),
        "n_findings": len(found),
        "n_findings_looked_for": len(tested),
        "n_findings_seen": int((tested.verdict == "seen here too").sum()),
    }


def conclusion(numbers: dict[str, int], dataset: str, stills: str) -> str:
    """What the two tables say together, in Markdown.

    Parameters
    ----------
    numbers : dict
        As from `counts`.
    dataset, stills : str
    """
    said = (
        f"- Of {numbers['n_published']} published numbers {numbers['n_with_ours']} have one of ours beside them; "
        f"{numbers['n_alike']} of these are within {100 * _CLOSE:g} % of each other. "
        f"{numbers['n_published'] - numbers['n_with_ours']} belong to notebooks that are not part of this study or "
        "could not be measured in it.\n"
    )
    if looked_for := numbers["n_findings_looked_for"]:
        said += f"- Of the findings this study can look for {looked_for}; seen here too: {numbers['n_findings_seen']}, "
        said += "each in one run.\n"
    if dataset in _SIMULATED or stills in _SIMULATED:
        return said + (
            "- **None of this replicates a paper**: our numbers come from simulated people or cameras, theirs from "
            "real ones. They show that each method runs from end to end, and what it finds where the ground truth is "
            "known."
        )
    return said + "- Networks, training and people differ from the papers', so that a like number is no replication."


def _ours(reports, numbers, run, key, unit):
    """A headline number, or a cell of one of the run's tables; NaN where there is none."""
    if ":" not in key:
        return _number(numbers, f"{run} {key}")
    name, row, column = map(str.strip, key.split(":"))
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
