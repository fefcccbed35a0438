"""Motion of a skeleton: read from BVH, its straight walk cut out, laid along the walkway, its steps found.

A BVH file is a skeleton (offsets, channels) and a row of numbers a frame (Meredith & Maddock 2001, "Motion capture file
formats explained"). Joints become positions in metres by forward kinematics.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.signal import butter, filtfilt, find_peaks
from scipy.spatial.transform import Rotation

CMU_UNIT_M = 0.056444  # mocap.cs.cmu.edu, FAQ: one unit of an ASF file is 1/0.45 inch
# Joints under the names of the CMU skeleton (`LeftAnkle`) and of its common conversion (`LeftFoot`).
_JOINTS = {"head_top": ("Head_end",), "upper_neck": ("Head",), "shoulder": ("Shoulder", "Arm")}
_JOINTS |= {"elbow": ("Elbow", "ForeArm"), "wrist": ("Wrist", "Hand"), "hip": ("Hip", "UpLeg")}
_JOINTS |= {"knee": ("Knee", "Leg"), "ankle": ("Ankle", "Foot"), "heel": ("Heel",), "toe": ("Toe_end", "ToeBase_end")}
_MIDDLES = {"neck": "shoulder", "thorax": "shoulder", "mid_hip": "hip", "pelvis": "hip"}
_HEEL_SHARE = 0.25  # of the length from ankle to toe end, by which the heel lies behind the ankle


@dataclass(frozen=True)
class Motion:
    """A moving skeleton.

    Attributes
    ----------
    names : tuple of str
        Joints in the order of the file; an end site is `<parent>_end`.
    positions : ndarray (time, joint, 3)
        m; y is up.
    fps : float
    """

    names: tuple[str, ...]
    positions: np.ndarray
    fps: float

    def joint(self, name: str) -> np.ndarray:
        """Positions (time, 3) of one joint."""
        return self.positions[:, self.names.index(name)]


def read_bvh(path: str | Path, unit_m: float = CMU_UNIT_M) -> Motion:
    """Joint positions of a BVH file.

    Parameters
    ----------
    path : path-like
    unit_m : float
        Length of the file's unit, m.

    Returns
    -------
    Motion

    Raises
    ------
    ValueError
        If the file is no BVH, is cut short, or holds other channels than positions and rotations.
    """
    path = Path(path)
    head, found, body = path.read_text(encoding="utf-8", errors="replace").partition("MOTION")
    clock = re.match(r"\s*Frames:\s*(\d+)\s+Frame Time:\s*(\S+)", body)
    if not head.lstrip().startswith("HIERARCHY") or not found or clock is None:
        raise ValueError(f"{path}: expected a BVH file (HIERARCHY, MOTION, Frames, Frame Time), got something else")
    joints = _with_heels(_hierarchy(path, head))
    n_channels = sum(len(channels) for _, _, _, channels in joints)
    numbers = np.array(body[clock.end() :].split(), dtype=float)
    if len(numbers) != int(clock[1]) * n_channels:
        raise ValueError(
            f"{path}: expected {clock[1]} frames of {n_channels} channels, got {len(numbers)} numbers; is it cut short?"
        )
    values = numbers.reshape(-1, n_channels)
    return Motion(tuple(joint[0] for joint in joints), unit_m * _positions(joints, values), 1 / float(clock[2]))


def _hierarchy(path, text):
    """Joints as (name, index of the parent or -1, offset (3,), channels), parents first."""
    joints, open_joints = [], []
    words = iter(text.split()[1:])
    for word in words:
        if word in ("ROOT", "JOINT", "End"):
            name = next(words)
            parent = open_joints[-1] if open_joints else -1
            joints.append([f"{joints[parent][0]}_end" if word == "End" else name, parent, np.zeros(3), ()])
        elif word == "{":
            open_joints.append(len(joints) - 1)
        elif word == "}":
            open_joints.pop()
        elif word == "OFFSET":
            joints[-1][2] = np.array([float(next(words)) for _ in range(3)])
        elif word == "CHANNELS":
            joints[-1][3] = tuple(next(words) for _ in range(int(next(words))))
        else:
            raise ValueError(f"{path}: expected ROOT, JOINT, End, OFFSET or CHANNELS, got {word!r}")
    odd = {c for joint in joints for c in joint[3]} - {a + k for a in "XYZ" for k in ("position", "rotation")}
    if odd:
        raise ValueError(f"{path}: expected channels such as Xposition or Zrotation, got {sorted(odd)}")
    return joints


def _with_heels(joints):
    """Two more points, `LeftHeel` and `RightHeel`, rigid with the ankle: BVH skeletons have none.

    In the skeleton's rest pose the heel lies as low as the base of the toes and a quarter of the foot's length behind
    the ankle joint: a convention, about right for a marker on the back of the shoe.
    """
    names = [joint[0] for joint in joints]
    for side in ("Left", "Right"):
        ankle = next((names.index(side + name) for name in _JOINTS["ankle"] if side + name in names), None)
        toes = [joint for joint in joints if joint[1] == ankle] if ankle is not None else []
        if toes:
            ends = [joint for joint in joints if joint[1] == joints.index(toes[0])]
            foot = (toes[0][2] + (ends[0][2] if ends else 0)) * (1, 0, 1)
            joints.append([f"{side}Heel", ankle, toes[0][2] * (0, 1, 0) - _HEEL_SHARE * foot, ()])
    return joints


def _positions(joints, values):
    """Forward kinematics: (time, joint, 3) in the file's unit; rotations apply in the order of the channels."""
    places = np.empty((len(values), len(joints), 3))
    turns, column = [], 0
    for k, (_, parent, offset, channels) in enumerate(joints):
        here = values[:, column : column + len(channels)]
        column += len(channels)
        shift = np.tile(offset, (len(values), 1))
        moving = [c for c in channels if c.endswith("position")]
        for c in moving:
            shift[:, "XYZ".index(c[0])] = here[:, channels.index(c)]  # a position channel replaces the offset
        turning = [c for c in channels if c.endswith("rotation")]
        turn = Rotation.identity(len(values))
        if turning:
            angles = here[:, [channels.index(c) for c in turning]]
            turn = Rotation.from_euler("".join(c[0] for c in turning), angles, degrees=True)
        if parent >= 0:
            shift = places[:, parent] + turns[parent].apply(shift)
            turn = turns[parent] * turn
        places[:, k] = shift
        turns.append(turn)
    return places


def straight_walk(motion: Motion, *, min_speed_m_s: float = 0.4, max_turn_deg: float = 20.0) -> Motion:
    """The longest part of a motion that walks in one direction.

    Parameters
    ----------
    motion : Motion
    min_speed_m_s : float
        Slower than this, over a second, is standing.
    max_turn_deg : float
        A walk that leaves its direction by more has turned.

    Returns
    -------
    Motion

    Raises
    ------
    ValueError
        If no part of at least two seconds walks straight.
    """
    middle = canonical_points(motion)["mid_hip"][:, [0, 2]]
    span = max(2, round(motion.fps / 2))
    ahead = np.clip(np.arange(len(middle)) + span, 0, len(middle) - 1)
    behind = np.clip(np.arange(len(middle)) - span, 0, len(middle) - 1)
    velocity = (middle[ahead] - middle[behind]) / ((ahead - behind) / motion.fps)[:, None]
    speed, heading = np.linalg.norm(velocity, axis=1), np.arctan2(velocity[:, 1], velocity[:, 0])
    best = slice(0, 0)
    for k in range(0, len(middle), span):
        turn = np.abs((heading - heading[k] + np.pi) % (2 * np.pi) - np.pi)
        good = (speed > min_speed_m_s) & (turn <= np.radians(max_turn_deg))
        edges = np.flatnonzero(np.diff(np.r_[False, good, False]))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            if stop - start > best.stop - best.start:
                best = slice(int(start), int(stop))
    if best.stop - best.start < 2 * motion.fps:
        raise ValueError(f"expected a straight walk of 2 s, got {(best.stop - best.start) / motion.fps:.1f} s")
    return replace(motion, positions=motion.positions[best])


def lay_along(motion: Motion, direction: str) -> Motion:
    """The walk turned about the vertical to go along x; its middle at x = 0 and z = 0, the lowest toe at y = 0.

    Parameters
    ----------
    motion : Motion
    direction : {"R2L", "L2R"}
        As the first camera sees it: to the left is towards -x.

    Returns
    -------
    Motion
    """
    middle = canonical_points(motion)["mid_hip"]
    time = np.arange(len(middle))
    vx, vz = np.polyfit(time, middle[:, [0, 2]], 1)[0]
    goal = np.pi if direction == "R2L" else 0.0
    # About y, an angle a takes (x, z) = (cos b, sin b) to (cos(b - a), sin(b - a)).
    turned = Rotation.from_euler("Y", np.arctan2(vz, vx) - goal).apply(motion.positions.reshape(-1, 3))
    motion = replace(motion, positions=turned.reshape(motion.positions.shape))
    points = canonical_points(motion)
    x = points["mid_hip"][:, 0]
    floor = min(points["left_toe"][:, 1].min(), points["right_toe"][:, 1].min())
    shift = np.array([(x[0] + x[-1]) / 2, floor, points["mid_hip"][:, 2].mean()])
    return replace(motion, positions=motion.positions - shift)


def resample(motion: Motion, fps: float) -> Motion:
    """The motion at another rate, by cubic splines through every joint."""
    time = np.arange(len(motion.positions)) / motion.fps
    new = np.arange(int(time[-1] * fps + 1e-9) + 1) / fps
    return replace(motion, positions=CubicSpline(time, motion.positions)(new), fps=float(fps))


def canonical_points(motion: Motion) -> dict[str, np.ndarray]:
    """Positions {canonical name: (time, 3)}, m; neck is the middle of the shoulders, toe the end of the foot."""
    found = {}
    for point, candidates in _JOINTS.items():
        for side in ("",) if point in ("head_top", "upper_neck") else ("left", "right"):
            names = [side.capitalize() + c for c in candidates]
            name = next((n for n in names if n in motion.names), None)
            if name is None:
                raise ValueError(f"expected a joint {' or '.join(names)}, got {', '.join(motion.names)}")
            found[f"{side}_{point}" if side else point] = motion.joint(name)
    for middle, ends in _MIDDLES.items():
        found[middle] = (found[f"left_{ends}"] + found[f"right_{ends}"]) / 2
    return found


def foot_events(heel: np.ndarray, toe: np.ndarray, pelvis: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Heel strikes and toe-offs of one foot, computed from the motion, not measured by a force plate.

    Each step is found where the heel is farthest ahead of, and the toe farthest behind, the pelvis (Zeni et al. 2008,
    Gait Posture 27:710), and timed near there by acceleration (Hreljac & Marshall 2000, J Biomech 33:783, who give
    4.7 and 5.6 ms against a force plate): heel strike is the peak of the heel's upward, toe-off that of the toe's
    forward acceleration.

    Parameters
    ----------
    heel, toe, pelvis : ndarray (time, 3)
        m, x along the walk, y up.
    fps : float

    Returns
    -------
    heel_strikes, toe_offs : ndarray
        s.
    """
    forward = np.sign(pelvis[-1, 0] - pelvis[0, 0])
    time = np.arange(0, (len(heel) - 1) / fps, 1e-3)
    low_pass = butter(2, 12 / (fps / 2))  # 12 Hz, fourth order without lag

    def smooth(values, derivative=0):
        return CubicSpline(np.arange(len(values)) / fps, filtfilt(*low_pass, values))(time, derivative)

    ahead = smooth(forward * (heel[:, 0] - pelvis[:, 0]))
    behind = smooth(-forward * (toe[:, 0] - pelvis[:, 0]))
    lift, push = smooth(heel[:, 1], 2), smooth(forward * toe[:, 0], 2)
    # The heel turns back shortly before it lands; an earlier peak is the foot being slowed in the air.
    return time[_timed(ahead, lift, 0, 120)], time[_timed(behind, push, -100, 100)]


def _timed(distance, acceleration, first_ms, last_ms):
    """Highest peak of the acceleration within that time of each farthest distance."""
    peaks = find_peaks(acceleration)[0]
    steps = find_peaks(distance, distance=500, prominence=0.2)[0]  # 0.5 s, 0.2 m
    near = [peaks[(peaks >= step + first_ms) & (peaks <= step + last_ms)] for step in steps]
    return np.array([some[np.argmax(acceleration[some])] for some in near if len(some)], dtype=int)
