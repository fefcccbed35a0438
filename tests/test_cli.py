import json

import pytest

from studykit.cli import main
from studykit.gait.views import mirror
from studykit.tracks import load_tracks, save_tracks
from studykit.workflow.benchmarks import read_results, table_rows


def said(capsys, *arguments):
    """Exit status, output and messages of a command."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def deeplabcut_file(folder):
    path = folder / "walk.csv"
    rows = ["scorer,a,a,a", "bodyparts,knee,knee,knee", "coords,x,y,likelihood"]
    path.write_text("\n".join([*rows, *(f"{i},{100 + i},50,0.9" for i in range(4))]) + "\n")
    return path


def test_import_writes_tracks(capsys, tmp_path):
    out = tmp_path / "walk.nc"
    size = ("--size", 640, 480)
    status, text, _ = said(capsys, "import", deeplabcut_file(tmp_path), "--fps", 25, *size, "--out", out)
    assert status == 0 and text.startswith(f"{out}: 4 frames, 1 keypoints, 1 individuals from DeepLabCut")
    tracks = load_tracks(out)
    assert tracks.position.sel(space="x").values.ravel().tolist() == [100, 101, 102, 103]
    assert tracks.attrs["width_px"] == 640 and tracks.attrs["fps"] == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "none.csv"], "studykit check: none.csv: expected a Study table"),
        (["study", "none.yaml"], "none.yaml: expected a configuration file, got none"),
        (["fetch", "nothing"], "expected one of pose2sim-demo"),
        (["execute", "smoke", "99_none"], "studykit execute: study smoke: expected one of 00_data, 01_stills"),
    ],
)
def test_faults_are_one_sentence_and_a_status(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = said(capsys, *arguments)
    assert status == 1 and out == ""
    assert message in err and err.count("\n") == 1


def test_old_configuration_is_told_so(capsys, tmp_path):
    (tmp_path / "old.yaml").write_text("version: 0\nname: old\n")
    status, _, err = said(capsys, "study", tmp_path / "old.yaml")
    assert status == 1 and "old.yaml: expected version 1, got 0" in err


def test_check_shows_what_each_recording_holds(capsys, tmp_path, walk):
    save_tracks(walk, tmp_path / "walk.nc")
    header = "participant,sex,trial,direction,view,video,tracks,fps,mirrored,width_px,height_px\n"
    (tmp_path / "study.csv").write_text(header + "sub-01,f,1,R2L,C1,,walk.nc,25,false,960,540\n")
    status, text, err = said(capsys, "check", tmp_path / "study.csv")
    assert (status, err) == (0, "") and "no faults found" in text and "sub-01" in text
    (tmp_path / "study.csv").write_text(header + "sub-01,f,1,R2L,C1,,lost.csv,25,false,640,480\n")
    status, _, err = said(capsys, "check", tmp_path / "study.csv")
    assert status == 1 and "tracks: expected a file, got none at" in err


def test_doctor_finds_this_environment_fit(capsys):
    status, text, _ = said(capsys, "doctor")
    lines = dict(line.removeprefix("ok ").strip().split(":", 1) for line in text.splitlines() if line[:2] == "ok")
    assert status == (0 if "missing" not in text else 1)
    assert lines["Python 3.11"].strip().startswith("3.11") and "libavcodec" in lines["video in H.264"]


def test_benchmarks_are_gathered(capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("STUDYKIT_ROOT", str(tmp_path))
    (tmp_path / "benchmarks").mkdir()
    result = {"benchmark": "a", "peer": "loops", "peer_value": 2.0, "unit": "s", "peak_memory_gb": 0.1}
    code = f"""\"Ours against loops.\"
import json, pathlib
count = pathlib.Path({str(tmp_path / "count")!r})
count.write_text(count.read_text() + "i" if count.exists() else "i")
print("a table")
print(json.dumps({result} | {{"ours": [6.0, 2.0, 4.0, 10.0, 10.0][len(count.read_text()) - 1]}}))
"""
    (tmp_path / "benchmarks/a.py").write_text(code)
    (tmp_path / "benchmarks/b.py").write_text("raise SystemExit(3)\n")
    status, text, err = said(capfd, "benchmark")
    assert status == 1 and text.count("a table\n") == 3 and "b.py: stopped with status 3" in err
    gathered = json.loads((tmp_path / "reports/benchmarks.json").read_text())
    assert list(gathered) == ["a"] and gathered["a"]["machine"]["cores"] >= 1
    assert gathered["a"]["ratio"] == 2.0 and gathered["a"]["ratios"] == [1.0, 2.0, 3.0]
    assert said(capfd, "benchmark", "a", "--times", 1)[0] == 0
    row = table_rows(read_results())[0]
    assert (row["Script"], row["Ratio"], row["Spread"]) == ("a", "5", "one run")
    assert read_results()["a"]["about"] == "Ours against loops."
    (tmp_path / "benchmarks/a.py").write_text(code.replace("{'benchmark'", "{'seeds': [5.0, 4.0], 'benchmark'"))
    assert said(capfd, "benchmark", "a")[1].count("a table\n") == 1  # other runs would find the same
    assert table_rows(read_results())[0]["Spread"] == "4 to 5, 2 seeds"
    assert said(capfd, "benchmark", "c")[2] == "studykit benchmark: benchmark: expected some of a, b, got c\n"


def test_import_of_a_set_writes_a_table_and_checks_it(capsys, tmp_path, walk):
    save_tracks(walk, tmp_path / "sub-01_trial-1_cam-A.nc")
    save_tracks(mirror(walk).assign_attrs(mirrored=0), tmp_path / "sub-01_trial-1_cam-B.nc")
    (tmp_path / "calibration.mp4").touch()
    status, text, err = said(capsys, "import", tmp_path, "--out", tmp_path / "study.csv")
    assert status == 0 and "2 recordings; fill in sex" in text and "no faults found" in text
    assert "1 participants, 1 trials, 2 recordings, views A, B" in text
    assert "left out: " in err and "calibration.mp4: expected a name such as" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk.csv", "--out", "walk.mat"], "--out: expected a Study table .csv or tracks .nc, got walk.mat"),
        (["a.csv", "b.csv", "--out", "walk.nc"], "walk.nc: expected one file with its --fps and --size"),
        (["none", "--out", "study.csv"], "none: expected a file or a folder, got none"),
    ],
)
def test_import_says_what_it_wants(capsys, arguments, message):
    status, _, err = said(capsys, "import", *arguments)
    assert status == 1 and message in err
