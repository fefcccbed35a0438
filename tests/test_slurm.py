"""A study on a SLURM cluster of one node, started for the test: as here, and through a job that is killed."""

import getpass
import os
import shutil
import socket
import subprocess
import time

import pytest
from tiny_study import ROOT, make_tiny_study, ran, study, tables, write_config

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun")
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="SLURM is not installed (Debian: slurm-wlm)"),
]
NODE = """\
ClusterName=one
SlurmctldHost={host}
SlurmctldPort={port}
SlurmdPort={other_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MinJobAge=300
NodeName={host} CPUs={cores} RealMemory=12000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port():
    with socket.socket() as one:
        one.bind(("", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Environment of a cluster of one node, this computer; its daemons end with the tests."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
    facts = {"host": socket.gethostname().partition(".")[0], "user": getpass.getuser(), "cores": os.cpu_count()}
    ports = {"port": free_port(), "other_port": free_port()}
    (folder / "slurm.conf").write_text(NODE.format(folder=folder, **facts, **ports))
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    # The executor takes SLURM's variables away from its jobs; an installed cluster has its configuration in /etc.
    (folder / "srun").write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    (folder / "srun").chmod(0o755)
    munge = [f"--{name.replace('_', '-')}={folder}/munge.{name}" for name in ("socket", "pid_file", "log_file")]
    munge += [f"--key-file={folder}/munge.key", f"--seed-file={folder}/munge.seed"]
    daemons = [["munged", "--force", "--foreground", *munge], ["slurmctld", "-D"], ["slurmd", "-D"]]
    with (folder / "daemons.log").open("w") as log:
        started = [subprocess.Popen(one, env=environment, stdout=log, stderr=log) for one in daemons]
        deadline = time.monotonic() + 60
        while " idle " not in asked(["sinfo"], environment) and time.monotonic() < deadline:
            time.sleep(0.5)
        up = " idle " in asked(["sinfo"], environment)
        if up:
            yield {"SLURM_CONF": environment["SLURM_CONF"], "PATH": f"{folder}:{os.environ['PATH']}"}
        for one in reversed(started):
            one.terminate()
            one.wait()
    if not up:
        pytest.skip(f"SLURM does not start here: {(folder / 'slurmctld.log').read_text()[-500:]}")


def asked(command, environment):
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


@pytest.fixture
def profile(tmp_path):
    """The project's profile, in a hurry; without a database of jobs, SLURM's queue knows how they ended."""
    folder = shutil.copytree(ROOT / "workflow/profiles/slurm", tmp_path / "profile")
    with (folder / "config.yaml").open("a") as file:
        file.write("slurm-init-seconds-before-status-checks: 2\nseconds-between-status-checks: 2\n")
        file.write("slurm-status-command: squeue\n")
    return folder


def test_a_cluster_finds_what_this_computer_finds_though_a_job_is_killed(cluster, profile, tmp_path):
    here, there = (make_tiny_study(tmp_path / name / "project") for name in ("here", "there"))
    assert study(here).returncode == 0
    write_config(there, **{"20_doubles": {"wait_s": 15.0}})
    running = study(there, "--profile", str(profile), start=subprocess.Popen, **cluster)
    waiting = there / "data/derived/tiny/waiting"
    deadline = time.monotonic() + 240
    while not waiting.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    jobs = asked(["squeue", "--noheader", "--format=%i %C %m %l %k"], os.environ | cluster).splitlines()
    assert len(jobs) == 1
    number, cores, memory, limit, about = jobs[0].split(" ", 4)
    assert (cores, memory, limit) == ("1", "3000M", "13:00") and "20_doubles" in about  # 2 x 1 GB + 1; 3 x 1 min + 10
    subprocess.run(["scancel", "--signal=KILL", "--full", number], env=os.environ | cluster, check=True)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert tables(there) == tables(here) != {}
    again = study(there, "--profile", str(profile), **cluster)
    assert again.returncode == 0 and ran(again) == []
