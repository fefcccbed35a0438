import io
import json
import re
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from studykit.files import write_text
from studykit.notebook import Run, lighter_png, lighter_svg, require, save_figure, save_table


@pytest.fixture(autouse=True)
def plain_style():
    """Matplotlib's own, whatever other tests have imported."""
    with plt.style.context("default"):
        yield


def test_headline_keeps_numbers_and_says_what_could_not_be_measured(tmp_path):
    Run("41_pose", tmp_path, tmp_path).headline(n=np.int64(3), within_8px=np.float32(0.5), error_px=np.nan, speed=None)
    kept = json.loads((tmp_path / "headline/41_pose.json").read_text(encoding="utf-8"))
    assert kept == {"n": 3, "within_8px": 0.5, "error_px": None, "speed": None}


def test_headline_of_a_variant_has_its_own_folder(tmp_path):
    Run("20_train/resnet18", tmp_path, tmp_path).headline(**{"pck_0.2": 0.25})
    assert json.loads((tmp_path / "headline/20_train/resnet18.json").read_text()) == {"pck_0.2": 0.25}


def test_headline_refuses_what_is_no_number(tmp_path):
    with pytest.raises(TypeError, match=r"41_pose: expected a number .*'error'.*ndarray"):
        Run("41_pose", tmp_path, tmp_path).headline(error=np.zeros(3))


def test_table_has_ten_digits_and_unix_lines(tmp_path):
    table = pd.DataFrame({"view": ["C1", "C3"], "value": [1 / 3, 2.0], "n": [1, 2]})
    assert save_table(table, tmp_path / "tables/a.b") is table
    assert (tmp_path / "tables/a.b.csv").read_bytes() == b"view,value,n\nC1,0.3333333333,1\nC3,2,2\n"


def test_required_input_names_the_notebook_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"curves.nc: not there yet; notebook 43_gait_cycles makes it"):
        require(tmp_path / "curves.nc", made_by="43_gait_cycles")
    assert require(tmp_path, made_by="anyone") == tmp_path


def test_a_write_that_fails_keeps_the_earlier_file(tmp_path):
    write_text(tmp_path / "a.json", "before")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.json", "after \udcff")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "before"


def test_photographs_in_figures_are_kept_small(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 1), dtype=np.uint8)
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
    left.imshow(np.repeat(noise, 3, axis=2))
    right.imshow(np.dstack([noise] * 4))  # transparent: no JPEG holds it
    fig.savefig(tmp_path / "plain.svg"), fig.savefig(tmp_path / "plain.png", bbox_inches="tight")
    save_figure(fig, tmp_path / "kept", pd.DataFrame({"x": [1]}))
    for kind in ("svg", "png"):
        assert (tmp_path / f"kept.{kind}").stat().st_size < 0.8 * (tmp_path / f"plain.{kind}").stat().st_size
    svg = (tmp_path / "kept.svg").read_text()
    assert svg.count("data:image/jpeg;base64") == svg.count("data:image/png;base64") == 1
    drawn, plain = (plt.imread(tmp_path / f"{name}.png")[..., :3] for name in ("kept", "plain"))
    assert abs(drawn - plain).mean() < 0.01


def test_small_dots_on_photographs_keep_their_colour(tmp_path):
    fig, ax = plt.subplots(figsize=(6, 6))
    photograph = np.random.default_rng(0).normal(128, 30, (60, 60, 3)).clip(0, 255).astype(np.uint8)
    ax.imshow(photograph, interpolation="bicubic")
    ax.scatter([20, 40], [30, 30], s=9, c=["#E69F00", "#CC79A7"])
    fig.canvas.draw()
    places = ax.transData.transform([(20, 30), (40, 30)]).astype(int)
    fig.savefig(buffer := io.BytesIO(), format="png", dpi=fig.dpi)
    light = lighter_png(buffer.getvalue())
    assert len(light) < len(buffer.getvalue())
    drawn = plt.imread(io.BytesIO(light), format="png")[::-1]
    for (x, y), colour in zip(places, ("#E69F00", "#CC79A7"), strict=True):
        np.testing.assert_allclose(drawn[y, x, :3], to_rgb(colour), atol=0.08)


def test_lines_in_light_figures_are_where_they_were(tmp_path):
    fig, ax = plt.subplots()
    ax.plot(np.random.default_rng(0).normal(size=50), "o-")
    ax.set_title("a < b > c")
    fig.savefig(tmp_path / "plain.svg")
    plt.close(fig)
    light = lighter_svg((tmp_path / "plain.svg").read_bytes())
    places = []
    for svg in ((tmp_path / "plain.svg").read_bytes(), light):
        paths = [element.get("d", "") for element in ElementTree.fromstring(svg).iter()]
        places.append([float(number) for number in re.findall(r"-?\d+\.?\d*", " ".join(paths))])
    np.testing.assert_allclose(*places, atol=0.01)
    assert len(light) < 0.85 * (tmp_path / "plain.svg").stat().st_size
