"""What may go wrong while a study runs: kills, a full disk, damaged files, a strange place. `make test-faults`."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from tiny_study import ROOT, SHARED, make_tiny_study, ran, study, tables, write_config, write_notebook

pytestmark = pytest.mark.faults
KILLS = 20
# The two-camera part of the study, so small that it is only good to be broken.
THIN = {
    "version": 1,
    "name": "thin",
    "seed": 1,
    "dataset": "gaitlab",
    "pose": "network",
    "truth": True,
    "notebooks": {
        "00_data": {"participants": 3, "seconds": 2.5},
        "40_train_views": {
            "videos": 4,
            "frames": 6,
            "test_videos": 2,
            "width": 16.0,
            "body_px": 60.0,
            "crop_width_px": 80,
            "crop_height_px": 96,
            "radius_px": 8.0,
            "steps": 60,
        },
        "42_mirror_align": {"p_cutoff": 0.1},
        "44_perspective_anova": {"permutations": 100, "bootstrap_samples": 100},
        "50_known_truth": {"null_studies": 100},
    },
}


def thin(root):
    """The thin study in a project of its own."""
    for folder in ("notebooks", "config", "workflow"):
        shutil.copytree(ROOT / folder, root / folder)
    (root / "config/thin.yaml").write_text(json.dumps(THIN))
    return root


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The thin study, run once in peace: its project, and the seconds that it took."""
    root, start = thin(tmp_path_factory.mktemp("peace") / "project"), time.perf_counter()
    result = study(root, name="thin")
    assert result.returncode == 0, result.stderr
    assert len(tables(root, "thin")) > 20
    return root, time.perf_counter() - start


def without(root, *names):
    """Take the results of notebooks away, as if they had not run yet."""
    for name in names:
        (root / "reports/thin/runs" / f"{name}.json").unlink()


def same_tables(root, undisturbed):
    return tables(root, "thin") == tables(undisturbed[0], "thin")


def kill(running):
    """kill -9 for the study, Snakemake and all it started in one group."""
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()


def still_running(root):
    """Processes of a project, wherever they belong to."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STUDYKIT_ROOT") == str(root):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_twenty_kills_at_random_moments_change_no_table(undisturbed, tmp_path):
    root, moments = thin(tmp_path / "project"), random.Random(1)
    killed = finished = 0
    while killed < KILLS:
        running = study(root, name="thin", start=subprocess.Popen)
        try:
            running.communicate(timeout=moments.uniform(0.0, undisturbed[1] / 3))
        except subprocess.TimeoutExpired:
            kill(running)
            killed += 1
            continue
        assert running.returncode == 0 and same_tables(root, undisturbed)
        finished += 1
        for folder in ("data/derived", "reports"):
            shutil.rmtree(root / folder)
    result = study(root, name="thin")
    assert result.returncode == 0, result.stderr
    print(f"killed {killed} times, finished {finished + 1} times")
    assert same_tables(root, undisturbed)
    assert study(root, name="thin").stderr == ""


def test_nothing_goes_on_after_a_kill(tmp_path):
    root = thin(tmp_path / "project")
    running = study(root, name="thin", start=subprocess.Popen)
    for line in running.stderr:
        if "00_data: running" in line:
            break
    videos = root / "data/derived/thin/study/videos"
    deadline = time.monotonic() + 60
    while not videos.is_dir() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(still_running(root)) > 3  # study, Snakemake, notebook, its kernel, its workers
    kill(running)
    deadline = time.monotonic() + 20
    while (left := still_running(root)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


def small_disk(folder, megabytes):
    """Mount a disk of a size, or change its size; whether that is allowed here."""
    folder.mkdir(exist_ok=True)
    how = ["-o", f"size={megabytes}m"] if not folder.is_mount() else ["-o", f"remount,size={megabytes}m"]
    return subprocess.run(["mount", "-t", "tmpfs", *how, "none", folder], capture_output=True).returncode == 0


def test_full_disk_is_said_and_survived(undisturbed, tmp_path):
    place = tmp_path / "disk"
    mounted = small_disk(place, 500)
    try:
        shutil.copytree(undisturbed[0], root := place / "project", symlinks=True)
        without(root, "43_gait_cycles", "44_perspective_anova", "50_known_truth", "90_summary")
        shutil.rmtree(root / "reports/thin/tables/43_gait_cycles")
        if mounted:
            free = shutil.disk_usage(place).free
            (place / "ballast").write_bytes(bytes(free - 40_000))
            result = study(root, name="thin")
            (place / "ballast").unlink()
        else:  # no file may grow beyond this

            def limited():
                resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

            result = study(root, name="thin", start=lambda *a, **k: subprocess.run(*a, **k, preexec_fn=limited))
        print(result.stderr)
        assert result.returncode == 1
        assert "No space left on device" in result.stderr or "File too large" in result.stderr
        assert "Traceback" not in result.stderr
        result = study(root, name="thin")
        assert result.returncode == 0, result.stderr
        assert "43_gait_cycles" in ran(result) and same_tables(root, undisturbed)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", place], check=True)


def test_damaged_files_are_made_again(undisturbed, tmp_path):
    shutil.copytree(undisturbed[0], root := tmp_path / "project")
    derived = root / "data/derived/thin"
    damaged = {
        "40_train_views": derived / "view_network/model.keras",
        "42_mirror_align": next(iter(sorted((derived / "aligned").glob("*.nc")))),
        "43_gait_cycles": derived / "cycles.csv",
    }
    for path in damaged.values():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1  # a bit that fell over
        path.write_bytes(content)
    result = study(root, name="thin")
    assert result.returncode == 0, result.stderr
    assert "43_gait_cycles: cycles.csv is not as it was left; it will be made again" in result.stderr
    assert set(damaged) <= set(ran(result)) and "00_data" not in ran(result)
    assert same_tables(root, undisturbed)


def test_a_failed_notebook_stops_only_what_needs_it(tmp_path):
    root = make_tiny_study(tmp_path / "project")
    with (root / "workflow/notebooks.yaml").open("a") as file:
        file.write("40_other: {reads: [10_numbers]}\n")
    write_notebook(root / "notebooks/40_other.ipynb", "# Other", SHARED, "run.headline(one=1)")
    (root / "numbers.txt").write_text("1\n2\n")
    write_config(root, **{"10_numbers": {"source": "numbers.txt"}})
    path = root / "notebooks/20_doubles.ipynb"
    path.write_text(path.read_text().replace("for number in numbers", "for number in nobody"))
    result = study(root, "--keep-going")
    assert result.returncode == 1
    assert set(ran(result)) == {"10_numbers", "20_doubles", "40_other"}
    reports = root / "reports/tiny"
    said = (reports / "failed/20_doubles.txt").read_text()
    assert said.startswith("20_doubles: cell [6] `doubles = pd.DataFrame(") and "NameError" in said
    assert "name &#39;nobody&#39; is not defined" in (reports / "index.html").read_text()
    assert (reports / "failed/20_doubles.ipynb").is_file() and (reports / "html/40_other.html").is_file()


def test_two_studies_at_once_are_refused_in_a_sentence(tmp_path):
    root = make_tiny_study(tmp_path / "project")
    write_config(root, **{"20_doubles": {"wait_s": 8.0}})
    first = study(root, start=subprocess.Popen)
    while "10_numbers: running" not in first.stderr.readline():
        pass
    second = study(root)
    assert second.returncode == 1 and second.stderr.count("\n") == 1
    assert second.stderr.startswith("studykit study: study tiny is already running (process ")
    first.communicate()
    assert first.returncode == 0


def test_read_only_checkout_is_said_in_a_sentence(tmp_path):
    root = make_tiny_study(tmp_path / "project")
    for path in [root, *root.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    through = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []  # root minds no modes
    result = study(root, through=through)
    assert result.returncode == 1
    assert result.stderr == (
        f"studykit study: {root}: expected a folder to write in, got a read-only one; "
        "clone the project into one of yours\n"
    )
    for path in [root, *root.rglob("*")]:
        path.chmod(path.stat().st_mode | 0o200)
    assert study(root, through=through).returncode == 0


def foreign_locale(folder):
    """A locale with other characters, words and decimal points than ours, compiled where that can be done."""
    folder.mkdir()
    made = shutil.which("localedef") and subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", folder / "de_DE"], capture_output=True
    )
    return {"LOCPATH": str(folder), "LC_ALL": "de_DE"} if made and made.returncode == 0 else {"LC_ALL": "C"}


def test_strange_place_time_and_language_change_no_table(undisturbed, tmp_path):
    root = thin(tmp_path / "Zoë's Übungen & große Pläne")
    strange = {"TZ": "Pacific/Chatham", "HOME": "/dev/null"} | foreign_locale(tmp_path / "locale")
    print(strange)
    result = study(root, name="thin", **strange)
    assert result.returncode == 0, result.stderr
    assert same_tables(root, undisturbed)
    record = json.loads((root / "reports/thin/runs/00_data.json").read_text(encoding="utf-8"))
    assert record["start"][-6:] in ("+12:45", "+13:45")
    assert study(root, name="thin").stderr == ""  # nothing to be done, there and here
