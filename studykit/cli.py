"""The command `studykit`: the study's steps one by one. Each imports what it needs only when it is called."""

import argparse
import os
import subprocess
import sys
from pathlib import Path


def main(arguments=None):
    """Entry point; returns the exit status. Faults that a user can mend are said in one sentence."""
    options = _parser().parse_args(arguments)
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
    study.add_argument("config", nargs="?", default="default", help="a scale (smoke, default, paper) or a YAML file")
    study.add_argument("--cores", type=int, default=os.cpu_count(), help="cores to use (default: all)")
    study.add_argument("--keep-going", action="store_true", help="go on with what does not need a failed notebook")
    study.add_argument("--dry-run", action="store_true", help="only say what would run")

    execute = _command(commands, "execute", _execute, "run one notebook of a study")
    execute.add_argument("config")
    execute.add_argument("notebook", help="such as 43_gait_cycles")
    execute.add_argument("--threads", type=int, default=None)

    report = _command(commands, "report", _report, "rebuild a study's index.html and summary.json")
    report.add_argument("config", nargs="?", default="default")

    _command(commands, "doctor", _doctor, "say whether this computer is ready, and for what")
    return parser


def _command(commands, name, run, text):
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    command.set_defaults(run=run)
    return command


def _config_path(name):
    """Path of a configuration named by its scale or by its file."""
    from studykit.study import project_root

    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path.absolute()
    return project_root() / "config" / f"{name}.yaml"


def _study(options):
    from studykit.lock import alone
    from studykit.plan import folders, forget_lost, plan
    from studykit.study import load_config, project_root, resolve

    path, root = _config_path(options.config), project_root()
    config = load_config(path)
    runs = plan(config)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "workflow" / "Snakefile")]
    command += ["--directory", str(root), "--config", f"study={path}", "--cores", str(options.cores)]
    # Locking is ours, so that a killed study leaves no lock behind; code counts by what it means, see plan.Run.code.
    command += ["--nolock", "--rerun-incomplete", "--rerun-triggers", "mtime", "params", "input"]
    command += ["--quiet", "all"] * (not options.dry_run)
    command += ["--keep-going"] * options.keep_going + ["--dry-run"] * options.dry_run
    reports = resolve(folders(config)["reports"])
    with alone(resolve(folders(config)["derived"]) / ".study.lock", f"study {config.name}"):
        for sentence in forget_lost(runs):
            print(sentence, file=sys.stderr)
        status = subprocess.run(command, check=False).returncode
        if options.dry_run:
            return status
        failures = [
            path.read_text(encoding="utf-8").strip()
            for name in runs
            if (path := reports / "failed" / f"{name}.txt").is_file()
        ]
        if status:
            from studykit.pages import write_study_page

            write_study_page(config, failures)
    for sentence in failures:
        print(sentence, file=sys.stderr)
    print(f"{'Report, incomplete' if status else 'Report'}: {reports / 'index.html'}")
    return status


def _execute(options):
    # jsonschema, which nbformat uses, would take a second to build a grammar that nothing here needs.
    sys.modules.setdefault("rfc3987_syntax", None)
    from studykit.execute import execute
    from studykit.study import load_config

    execute(load_config(_config_path(options.config)), options.notebook, options.threads)


def _report(options):
    from studykit.pages import write_study_page
    from studykit.study import load_config

    write_study_page(load_config(_config_path(options.config)))


def _doctor(options):
    raise NotImplementedError


if __name__ == "__main__":
    sys.exit(main())
