"""The command `studykit`: the study's steps one by one. Each imports what it needs only when it is called."""

import argparse
import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status. Faults that a user can mend are said in one sentence."""
    options = _parser().parse_args(arguments)
    # jsonschema, which nbformat uses, would take a second or more to build a grammar that nothing here needs.
    sys.modules.setdefault("rfc3987_syntax", None)
    try:
        return options.run(options) or 0
    except (ValueError, OSError, RuntimeError) as error:
        print(f"studykit {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"studykit {options.command}: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(prog="studykit", description="A study of human pose and two-camera gait.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    study = _command(commands, "study", _study, "run a whole study, or what has changed of it")
    study.add_argument("config", nargs="?", default="default", help="a scale (default, smoke, masks) or a YAML file")
    study.add_argument("--cores", type=int, default=os.cpu_count(), help="cores to use (default: all)")
    study.add_argument("--keep-going", action="store_true", help="go on with what does not need a failed notebook")
    study.add_argument("--profile", help="folder of a Snakemake profile, for a cluster: docs/cluster.md")
    study.add_argument("--gpus", type=int, default=0, help="GPUs, one for each notebook that trains (default: 0)")
    study.add_argument("--dry-run", action="store_true", help="only say what would run")

    execute = _command(commands, "execute", _execute, "run one notebook of a study")
    execute.add_argument("config")
    execute.add_argument("notebook", help="such as 43_gait_cycles")

    report = _command(commands, "report", _report, "rebuild a study's index.html and summary.json")
    report.add_argument("config", nargs="?", default="default")

    results = _command(commands, "check-results", _check_results, "say which numbers of a study have moved")
    results.add_argument("config", nargs="?", default="default")

    expecting = _command(commands, "expect", _expect, "keep what finished studies found as what to expect of a scale")
    expecting.add_argument("config", help="the scale")
    expecting.add_argument("others", nargs="*", metavar="STUDY", help="studies of the same scale with other seeds")
    expecting.add_argument("--add", action="store_true", help="add the one study to what is kept: another processor")

    simulate = _command(commands, "simulate", _simulate, "film simulated people with the two-camera laboratory")
    simulate.add_argument("folder", help="receives study.csv, videos, truth")
    simulate.add_argument("--participants", type=int, default=4)
    simulate.add_argument("--trials", type=int, default=2, help="of each participant; directions alternate")
    simulate.add_argument("--seconds", type=float, default=5.0, help="of each trial")
    simulate.add_argument("--seed", type=int, default=1)

    fetch = _command(commands, "fetch", _fetch, "bring third-party data, or say where to ask for it")
    fetch.add_argument("name", help="such as pose2sim-demo")

    check = _command(commands, "check", _check, "look through a Study table and every file that it names")
    check.add_argument("table", help="CSV, see docs/own-data.md")

    importing = _command(
        commands, "import", _import, "turn keypoint files and videos into a Study table, or into tracks"
    )
    kinds = "DeepLabCut .csv or .h5, SLEAP .slp, COCO .json, .trc, or a folder of OpenPose .json"
    importing.add_argument("files", nargs="+", metavar="FILE", help=f"{kinds}; for a Study also videos and folders")
    importing.add_argument("--out", required=True, help="what to write: a Study table .csv, or tracks .nc of one file")
    importing.add_argument("--fps", type=float, help="frames per second, where there is no video")
    importing.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="of the image, px, likewise")
    importing.add_argument("--gaps", choices=("refuse", "nan", "close"), help="missing frames (default: the format's)")
    importing.add_argument("--mirrored", nargs="*", default=[], metavar="VIEW", help="views stored flipped left-right")

    benchmark = _command(commands, "benchmark", _benchmark, "run scripts in benchmarks/ and keep what they found")
    benchmark.add_argument("names", nargs="*", metavar="NAME", help="such as anova (default: every script)")
    benchmark.add_argument("--times", type=int, default=3, help="runs of each, for the spread (default: 3)")
    _command(commands, "doctor", _doctor, "say what this computer has for the study")
    return parser


def _command(commands, name, run, text):
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def _config_path(name):
    """Path of a configuration named by its scale or by its file."""
    from studykit.files import project_root

    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path.absolute()
    return project_root() / "config" / f"{name}.yaml"


def _study(options):
    from studykit.files import project_root, resolve
    from studykit.workflow.configuration import load_config
    from studykit.workflow.lock import alone
    from studykit.workflow.plan import folders, forget_lost, plan

    path, root = _config_path(options.config), project_root()
    config = load_config(path)
    runs = plan(config)
    if not os.access(root, os.W_OK):
        raise OSError(
            f"{root}: expected a folder to write in, got a read-only one; clone the project into one of yours"
        )
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "workflow" / "Snakefile")]
    command += ["--directory", str(root), "--config", f"study={path}", f"gpus={options.gpus}"]
    if options.profile:  # whose cluster counts cores and GPUs
        command += ["--profile", str(Path(options.profile).absolute())]
    else:
        command += ["--cores", str(options.cores), "--resources", f"gpu={options.gpus}"]
    # Locking is ours, so that a killed study leaves no lock behind; code counts by what it does, see plan.Run.code.
    command += ["--nolock", "--rerun-incomplete", "--rerun-triggers", "mtime", "params", "input"]
    command += ["--keep-going"] * options.keep_going + ["--dry-run"] * options.dry_run
    derived, reports = (resolve(folders(config)[kind]) for kind in ("derived", "reports"))
    if (derived / "done").is_dir():
        raise ValueError(
            f"{derived}: expected results of this version of the study, got those of an earlier one (it holds done/); "
            f"remove them by `make clean SCALE={config.name}`, or rename the study"
        )
    with alone(derived / ".study.lock", f"study {config.name}"):
        for sentence in forget_lost(runs):
            print(sentence, file=sys.stderr)
        quiet = ["--quiet", "all"] * (not options.dry_run)
        status = subprocess.run(command + quiet, env=os.environ | _cache(root), check=False).returncode
        if options.dry_run:
            return status
        failed = {name: reports / "failed" / f"{name}.txt" for name in runs}
        failures = {name: path.read_text(encoding="utf-8").strip() for name, path in failed.items() if path.is_file()}
        if status:
            from studykit.site.pages import write_study_page

            write_study_page(config, failures.values())
    if failures:
        print(f"Stopped: {', '.join(failures)}; what follows from it has not run", file=sys.stderr)
    elif status:
        print(f"Stopped: Snakemake itself; this says why: {shlex.join(command)}", file=sys.stderr)
    print(f"{'Report, incomplete' if status else 'Report'}: {reports / 'index.html'}")
    return status


def _cache(root):
    """Where Snakemake keeps its cache: in the project if there is no home to keep it in."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    with contextlib.suppress(OSError):
        if cache.is_absolute():  # otherwise nobody knows of a home
            cache.mkdir(parents=True, exist_ok=True)
    return {} if os.access(cache, os.W_OK) else {"XDG_CACHE_HOME": str(root / ".snakemake" / "cache")}


def _execute(options):
    from studykit.workflow.configuration import load_config
    from studykit.workflow.execution import execute

    execute(load_config(_config_path(options.config)), options.notebook)


def _report(options):
    from studykit.site.pages import write_study_page
    from studykit.workflow.configuration import load_config

    write_study_page(load_config(_config_path(options.config)))


def _check_results(options):
    from studykit.workflow.expected import moved, read_expected, read_numbers

    expected = read_expected(_expected_path(options))
    said = moved(read_numbers(_summary_path(options.config)), expected)
    print(*said, sep="\n", end="\n" * bool(said))
    print(f"{options.config}: {len(said)} numbers have moved, {len(expected)} were expected")
    return 1 if said else 0


def _expect(options):
    from studykit.notebook import save_table
    from studykit.workflow.expected import expect, read_expected, read_numbers, widen

    path, studies = _expected_path(options), [read_numbers(_summary_path(s)) for s in (options.config, *options.others)]
    if options.add and options.others:
        raise ValueError(f"--add: expected one study, got {len(studies)}")
    table = widen(read_expected(path), studies[0]) if options.add else expect(studies)
    save_table(table, path.with_suffix(""))
    print(f"{path}: {len(table)} numbers of {table.seeds.max()} studies")


def _summary_path(name):
    """Summary of a study named by its scale or by its configuration."""
    from studykit.files import project_root

    return project_root() / "reports" / Path(name).stem / "summary.json"


def _expected_path(options):
    from studykit.files import project_root

    return project_root() / "reports" / "expected" / f"{Path(options.config).stem}.csv"


def _simulate(options):
    from studykit.datasets import prepare

    sizes = {"participants": options.participants, "trials": options.trials, "seconds": options.seconds}
    study = prepare("gaitlab", options.folder, seed=options.seed, **sizes)
    print(f"{len(study)} recordings: {Path(options.folder) / 'study.csv'}")


def _fetch(options):
    from studykit.datasets.fetch import fetch

    folder = fetch(options.name)
    if folder is not None:
        print(folder)


def _check(options):
    import tempfile

    from studykit.datasets.table import check_recordings, describe, table_study

    with tempfile.TemporaryDirectory() as folder:
        study = table_study(options.table, folder)
        print(check_recordings(study).drop(columns="fault").to_string(index=False))
    print(*describe(study), sep="\n")
    print(f"{options.table}: no faults found")


def _import(options):
    suffix = Path(options.out).suffix
    if suffix not in (".csv", ".nc"):
        raise ValueError(f"--out: expected a Study table .csv or tracks .nc, got {options.out}")
    if suffix == ".nc":
        _import_tracks(options)
    else:
        _import_study(options)


def _import_tracks(options):
    from studykit.formats import import_tracks
    from studykit.tracks import save_tracks

    if len(options.files) > 1 or options.fps is None or options.size is None:
        raise ValueError(f"{options.out}: expected one file with its --fps and --size; a .csv takes many")
    gaps = {} if options.gaps is None else {"gaps": options.gaps}
    tracks = import_tracks(options.files[0], options.fps, *options.size, **gaps)
    save_tracks(tracks.assign_attrs(mirrored=int(bool(options.mirrored))), options.out)
    sizes = f"{tracks.sizes['time']} frames, {tracks.sizes['keypoints']} keypoints, {tracks.sizes['individuals']}"
    print(f"{options.out}: {sizes} individuals from {tracks.attrs['source_software']}")


def _import_study(options):
    from studykit.datasets.gather import gather_study

    size = tuple(options.size or (None, None))
    given = {"fps": options.fps, "size": size, "gaps": options.gaps, "mirrored": options.mirrored}
    study, left_out = gather_study(options.files, options.out, **given)
    print(*(f"left out: {sentence}" for sentence in left_out), sep="\n", end="\n" * bool(left_out), file=sys.stderr)
    print(f"{options.out}: {len(study)} recordings; fill in sex and, for metres, leg_length_m")
    options.table = options.out
    _check(options)


def _benchmark(options):
    from studykit.workflow.benchmarks import run_benchmarks

    stopped = run_benchmarks(options.names, options.times)
    print(*stopped, sep="\n", end="\n" * bool(stopped), file=sys.stderr)
    return 1 if stopped else 0


def _doctor(_options):
    import importlib.util
    import shutil

    from studykit.files import project_root
    from studykit.kept import keras_backend
    from studykit.workflow.provenance import machine, versions

    found, root, backend = machine(), project_root(), keras_backend()
    disk_gb, installed = shutil.disk_usage(root).free / 1e9, importlib.util.find_spec
    wants = [  # what, whether it is there, what there is, what to do otherwise
        ("Python 3.11", sys.version_info[:2] == (3, 11), versions()["python"], "install it, then make setup"),
        ("2 cores", found["cores"] >= 2, f"{found['cores']} ({found['processor']})", "give the study twice the time"),
        ("6 GB of memory", found["memory_gb"] >= 6, f"{found['memory_gb']:.0f} GB", "close other programs, --cores 1"),
        ("5 GB of free disk", disk_gb >= 5, f"{disk_gb:.0f} GB in {root}", "make room there"),
        ("a project folder to write in", os.access(root, os.W_OK), str(root), "clone it into a folder of your own"),
        ("packages as in the lock", *_locked(root), "make setup, or the conda environment anew"),
        ("Keras and its backend", all(map(installed, ("keras", backend))), backend, f"pip install {backend}"),
        ("JupyterLab and its widgets", all(map(installed, ("jupyterlab", "anywidget"))), "make lab", "make setup"),
        ("video in H.264", *_h264(), "make setup"),
    ]
    for want, good, what, remedy in wants:
        print(f"{'ok     ' if good else 'missing'}  {want}: {what}{'' if good else f'; {remedy}'}")
    for name, what in {
        "sbatch": "SLURM, for the scale paper on a cluster",
        "nvidia-smi": "an NVIDIA GPU, for KERAS_BACKEND=jax or torch",
        "chromium": "a browser for make test-lab",
    }.items():
        print(f"{'ok     ' if shutil.which(name) else 'absent '}  {name}: optional, {what}")
    print(", ".join(f"{package} {version}" for package, version in versions().items()))
    return 0 if all(good for _, good, _, _ in wants) else 1


def _locked(root):
    """Whether the packages installed are those of the lock; those needed only for development may be absent."""
    import importlib.metadata
    import re

    lock = root / "requirements.lock"
    if not lock.is_file():
        return True, "there is no lock here"
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE))
    installed = {
        re.sub(r"[-_.]+", "-", found.name).lower(): found.version for found in importlib.metadata.distributions()
    }
    different = sorted(name for name in installed.keys() & locked.keys() if installed[name] != locked[name])
    other = [f"{name} {installed[name]} for {locked[name]}" for name in different]
    return not other, ", ".join(other[:3]) or f"{len(installed.keys() & locked.keys())} packages"


def _h264():
    """Whether PyAV's own copy of FFmpeg reads and writes H.264; no ffmpeg command is needed."""
    try:
        import av

        av.codec.Codec("h264", "r"), av.codec.Codec("libx264", "w")
    except (ImportError, ValueError) as error:
        return False, str(error)
    return True, f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"


if __name__ == "__main__":
    sys.exit(main())
