"""The contract for networks: trained once, kept while nothing changed, resumed, read again, refused in one sentence."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_network
from tiny_network import ASKED, SCHEDULE, Settings, sets, stills, trained

from studykit.files import file_digest
from studykit.kept import code_digest
from studykit.pose import network as contract
from studykit.pose.network import Network, Schedule, load, train
from studykit.stills import StillSet

PACKAGE = Path(contract.__file__).parents[1]
FILES = ["history.csv", "model.keras", "settings.json", "times.json"]


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Network:
    return trained(tmp_path_factory.mktemp("networks") / "tiny")


def asked_for(call):
    """What a call asks of the network."""
    ASKED.clear()
    call()
    return list(ASKED)


def same_weights(one: Network, other: Network) -> bool:
    return all(map(np.array_equal, one.model.get_weights(), other.model.get_weights()))


def test_a_network_is_trained_saved_and_kept(first, capsys):
    assert sorted(path.name for path in first.folder.iterdir()) == FILES
    again = []
    assert asked_for(lambda: again.append(trained(first.folder))) == []
    assert capsys.readouterr().err == f"kept: {first.folder}\n"
    assert (again[0].key, again[0].settings) == (first.key, first.settings)
    assert same_weights(again[0], first) and again[0].history.equals(first.history)
    assert again[0].parameters == 3 * 9 * 4 + 4 + 2 * (4 * 9 + 1) and again[0].name == "tiny"


def test_history_has_a_row_a_pass_and_looks_where_they_were(first):
    assert list(first.history.columns) == ["step", "epoch", "loss", "validation_loss"]
    assert list(first.history.step) == [3, 6, 9, 12] and list(first.history.epoch) == [1, 2, 3, 4]
    assert list(first.history.validation_loss.notna()) == [False, True, False, True]
    assert first.seconds > 0 and 0 < first.seconds_per_image < first.seconds


def test_it_ends_with_its_best_weights(first):
    told = first.settings.look(first.model, sets())["validation_loss"]
    assert told == pytest.approx(first.history.validation_loss.min(), rel=1e-5)


@pytest.mark.parametrize("changed", ["settings", "schedule", "a pixel", "a keypoint", "code", "backend"])
def test_what_changed_is_trained_again(first, tmp_path, monkeypatch, changed):
    trained_first = trained(tmp_path)
    options = {}
    people = list(stills())
    if changed == "settings":
        options["settings"] = Settings(dropout=0.3)
    elif changed == "schedule":
        options["schedule"] = replace(SCHEDULE, learning_rate=0.04)
    elif changed == "code":
        monkeypatch.setattr(contract, "code_digest", lambda *rooms, **_: "another")
    elif changed == "backend":
        monkeypatch.setattr(contract, "keras_backend", lambda: "another")
    else:
        name = {"a pixel": "image", "a keypoint": "keypoints"}[changed]
        values = getattr(people[3], name).copy()
        values[0, 0] = 0
        people[3] = replace(people[3], **{name: values})
        options["data"] = sets() | {"train": StillSet(people, ("nose",))}
    assert trained_first.key == first.key
    assert asked_for(lambda: trained(tmp_path, **options)) == ["build", "look", "look"]
    assert asked_for(lambda: trained(tmp_path, **options)) == []


@pytest.mark.parametrize("name", ["model.keras", "history.csv", "settings.json"])
def test_a_damaged_network_is_trained_again(first, tmp_path, name):
    trained(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    again = []
    assert asked_for(lambda: again.append(trained(tmp_path))) == ["build", "look", "look"]
    assert same_weights(again[0], first)


def test_what_is_said_of_networks_does_not_make_them(tmp_path, monkeypatch):
    shutil.copytree(PACKAGE, package := tmp_path / "studykit", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr("studykit.kept._PACKAGE", package)

    def digest(room, text):
        (package / room).write_text((package / room).read_text() + text)
        code_digest.cache_clear()
        return contract.network_code()

    before = digest("pose/scores/masks.py", "")
    assert digest("pose/scores/masks.py", "\nSENTENCE = 'Masks are good.'\n") == before
    assert digest("plots/style.py", "\nBLUE = 1\n") == before
    assert digest("gaitlab/body.py", "\nLEGS = 3\n") == before
    assert digest("pose/training.py", "\nRATE = 3\n") != before
    code_digest.cache_clear()


def test_a_training_that_was_killed_goes_on(first, tmp_path, monkeypatch):
    def killed(settings, model, sets):
        if "look" in ASKED:
            raise KeyboardInterrupt
        return look(settings, model, sets)

    look = Settings.look
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        ASKED.clear()
        patch.setattr(Settings, "look", killed)
        trained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.npz"]
    resumed = []
    assert asked_for(lambda: resumed.append(trained(tmp_path))) == ["build", "look"]
    assert same_weights(resumed[0], first) and resumed[0].history.equals(first.history)
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def test_answers_are_kept_until_the_question_or_the_network_changes(first, tmp_path):
    def ask(network, people, **options):
        def predict():
            ASKED.append("predict")
            return network.settings.decode(network.model.predict_on_batch(network.settings.encode(list(people))[0]))

        return network.kept("points", {"people": people} | options, predict)

    network, other, left = trained(tmp_path), stills(3, seed=8), file_digest(tmp_path)
    found = ask(network, stills())
    assert file_digest(tmp_path) == left  # an answer is no result of the training
    assert found.shape == (10, 1, 2)
    again = load(tmp_path, made_by="a notebook")
    assert asked_for(lambda: np.testing.assert_array_equal(ask(again, stills()), found)) == []
    assert "model" not in again.__dict__
    for question in ((again, other), (again, stills(), 2)):
        options = {"flip": question[2]} if len(question) > 2 else {}
        assert asked_for(lambda q=question, o=options: ask(*q[:2], **o)) == ["predict"]
    retrained = trained(tmp_path, schedule=replace(SCHEDULE, seed=4))
    assert asked_for(lambda: ask(retrained, stills())) == ["predict"]


def test_a_kept_network_is_read_without_keras(first):
    trained(first.folder)
    code = f"""
import sys
from pathlib import Path
import tiny_network
import pkgutil
from importlib import import_module
import studykit.pose
from studykit.pose.network import load
modules = [one.name for one in pkgutil.walk_packages(studykit.pose.__path__, "studykit.pose.")]
assert {{"studykit.pose." + name for name in ("views", "topdown", "openpose", "segmentation")}} <= set(modules)
for module in modules:
    import_module(module)
network = tiny_network.trained(Path({str(first.folder)!r}))
assert load(network.folder, made_by="x").history.equals(network.history) and tiny_network.ASKED == []
sys.exit(" ".join({{"keras", "tensorflow", "studykit.models"}} & set(sys.modules)) or None)
"""
    path = os.pathsep.join([str(Path(tiny_network.__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr


def test_a_training_may_start_from_a_network(first, tmp_path):
    start = str(first.folder / "model.keras")
    begun = trained(
        tmp_path,
        schedule=Schedule(steps=1, batch_size=4, learning_rate=1e-9, recipe="adam", start_from=start),
    )
    for one, other in zip(begun.model.get_weights(), first.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert list(begun.history.columns) == ["step", "loss", "validation_loss"]
    with pytest.raises(ValueError, match="expected a checkpoint of tiny with"):
        trained(
            tmp_path / "wider",
            Settings(widths=(8,)),
            schedule=replace(SCHEDULE, start_from=start),
        )
    with pytest.raises(FileNotFoundError, match="expected a trained network, got no file"):
        trained(tmp_path / "none", schedule=replace(SCHEDULE, start_from=str(tmp_path / "none.keras")))


@pytest.mark.parametrize(
    "about, told",
    [
        (
            {"backbone": "resnet18"},
            "expected a network of contract 2, got one of version 1 of the study; run notebook 40_x again",
        ),
        ({"contract": 3}, "expected a network of contract 2, got one of contract 3; run notebook 40_x again"),
        (
            {"contract": 2, "family": "nobody", "settings": {}},
            "expected settings of a family of networks, got others .*nobody",
        ),
        (
            {"contract": 2, "family": "tiny_network", "settings": {"depth": 3}},
            "expected settings .* 'depth'.*; run notebook 40_x again",
        ),
    ],
)
def test_networks_of_another_version_are_refused_in_one_sentence(tmp_path, about, told):
    (tmp_path / "model.keras").touch()
    (tmp_path / "settings.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=rf"settings.json: {told}") as caught:
        load(tmp_path, made_by="40_x")
    assert "\n" not in str(caught.value)


def test_a_network_that_is_not_there_names_its_notebook(tmp_path):
    with pytest.raises(FileNotFoundError, match="notebook 40_x makes it"):
        load(tmp_path, made_by="40_x")


def test_a_schedule_has_one_length():
    for both in ({}, {"epochs": 2, "steps": 3}):
        with pytest.raises(ValueError, match="expected either epochs or steps"):
            Schedule(**both)


def test_no_still_to_train_on_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected at least one still"):
        train(Settings(), {"train": stills().subset([])}, tmp_path, SCHEDULE, progress=False)
