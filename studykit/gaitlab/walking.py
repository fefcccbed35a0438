"""Walking: normative joint-angle curves with personal style, whose feet `contact.settle` puts on the floor.

The curves are the Fourier coefficients of Schwartz, Rozumalski & Trost (2008), J Biomech 41:1639-1650, at free speed:
norms of typically developing *children*, used here for want of equally complete open norms of adults.
"""

from dataclasses import dataclass

import numpy as np

from studykit.gaitlab.body import bone_frame, rotation
from studykit.gaitlab.contact import BALL_CONTACT, HEEL_CONTACT, Legs, settle

# [a0, a1, b1 ... a6, b6], deg; cosine and sine, phase 0 at heel strike.
SCHWARTZ = {
    "pelvic_tilt": [11.59, 0.03, 0.09, 0.41, -0.72, 0.01, 0.02, 0.15, -0.03, 0, 0.02, -0.05, 0.06],
    "pelvic_obliquity": [-0.02, 1.85, 2.12, 0.02, 0.04, -1.19, 0.22, 0.01, 0.02, 0, -0.09, 0, 0.01],
    "pelvic_rotation": [-0.04, 3.74, 2.10, 0.01, 0.01, 0.34, -0.37, 0.01, 0.02, 0.26, -0.06, 0.01, 0.01],
    "hip": [18.45, 20.87, -3.19, -3.14, -1.54, -0.1, 1.62, -0.1, -0.09, -0.27, 0.27, -0.01, 0.1],
    "knee": [22.87, -1.91, -18.75, -13.63, 7.0, -0.7, 4.31, -0.87, 0.63, -0.54, 0.73, 0.07, 0.2],
    "ankle": [0.75, -2.05, 7.09, 0.82, -7.22, -4.6, 0.86, 2.2, 0.24, -0.52, -1.38, 0.26, 0.55],
}
STANDING_TILT_DEG = SCHWARTZ["pelvic_tilt"][0]  # the pelvis of the mesh at rest has this tilt by definition
SOLE_M = 0.022  # shoes: thickness under the bare foot
JOINTS = ("hip", "knee", "ankle", "thigh")  # of `Walk.angles`; "thigh" is to the vertical, "hip" to the pelvis
SIDES = ("left", "right")


def schwartz_curve(name, phase):
    """Normative angle, deg, at phases (...) of the gait cycle, 1 a cycle."""
    mean, *waves = SCHWARTZ[name]
    angle = 2 * np.pi * np.asarray(phase, float)
    pairs = zip(waves[::2], waves[1::2], strict=True)
    return mean + sum(a * np.cos(k * angle) + b * np.sin(k * angle) for k, (a, b) in enumerate(pairs, 1))


@dataclass(frozen=True)
class Walk:
    """A posed figure over time, in the world.

    Attributes
    ----------
    rotations : ndarray (time, bones, 3, 3)
    positions : ndarray (time, bones, 3)
        Heads of the bones, m.
    angles : ndarray (time, 2 sides, len(JOINTS))
        Flexion, deg: hip (of the thigh on the pelvis), knee, ankle (dorsiflexion), thigh (to the vertical).
    events : list of (float, str, str)
        Time s, side, "heel_strike" or "toe_off"; ascending.
    contacts : ndarray (time, 2 sides, 2)
        Whether heel and ball of each foot rest on the floor.
    speed_m_s : float
    """

    rotations: np.ndarray
    positions: np.ndarray
    angles: np.ndarray
    events: list
    contacts: np.ndarray
    speed_m_s: float


@dataclass(frozen=True)
class Style:
    """How one person walks; drawn once a person. Angles in deg, lengths in m, times in s."""

    stride_s: float
    gain: dict  # of joint excursions and pelvic rotations, around 1
    offset: dict  # added to joint angles
    asymmetry: dict  # added on the left, subtracted on the right
    lean: float
    arm_swing: float
    elbow: float
    elbow_swing: float
    step_width: float
    toe_out: float


def draw_style(sex, rng):
    """A person's style. Cadence is that of comfortable walking in a short laboratory, about 1.1 m/s."""

    def normal(mean, sd, low, high):
        return float(np.clip(rng.normal(mean, sd), low, high))

    return Style(
        stride_s=120 / normal(98 if sex == "f" else 93, 4, 84, 108),
        gain={
            name: mean * normal(1, 0.07, 0.85, 1.15)
            for name, mean in {"hip": 0.9, "knee": 1, "ankle": 1, "rotation": 1, "obliquity": 1}.items()
        },
        offset={"hip": normal(0, 2, -4, 4), "knee": normal(4, 2, 1, 8), "ankle": normal(0, 2.5, -5, 5)},
        asymmetry={joint: normal(0, 1, -2, 2) for joint in ("hip", "knee", "ankle")},
        lean=normal(2.5, 1.5, -1, 6),
        arm_swing=normal(17, 4, 8, 27),
        elbow=normal(22, 6, 10, 38),
        elbow_swing=normal(9, 3, 2, 16),
        step_width=normal(0.10, 0.02, 0.06, 0.15),
        toe_out=normal(6, 3, 0, 14),
    )


def walk(figure, style, n_frames, fps, rng, direction=-1):
    """Let a person walk along x through the middle of the laboratory.

    Parameters
    ----------
    figure : Figure
    style : Style
    n_frames : int
    fps : float
    rng : numpy.random.Generator
        Of the trial: stride-to-stride variation, first step, line walked.
    direction : {-1, 1}
        Towards -x or +x.

    Returns
    -------
    Walk
    """
    pad = int(np.ceil(0.5 * fps))  # frames solved before and after, so that the ends are like the middle
    time = (np.arange(n_frames + 2 * pad) - pad) / fps
    stride_rng, gain_rng, line_rng = rng.spawn(3)
    phase, phase_at = _phases(style, time, stride_rng)
    pelvis = {
        "tilt": np.radians(schwartz_curve("pelvic_tilt", phase) - STANDING_TILT_DEG),
        "obliquity": np.radians(schwartz_curve("pelvic_obliquity", phase) * style.gain["obliquity"]),
        "rotation": np.radians(schwartz_curve("pelvic_rotation", phase) * style.gain["rotation"]),
        "sway": 0.018 * np.sin(2 * np.pi * (phase - 0.05)),  # of the hips towards the standing foot, m
    }
    # Phase of each side: (time, side); the right foot strikes half a cycle after the left.
    sided = phase[:, None] + [0.0, 0.5]
    wanted = _leg_angles(style, phase, sided, gain_rng)
    foot = _foot_points(figure)
    path, legs = settle(figure, style, foot, wanted, sided % 1, pelvis, fps)
    rotations, root, angles = _pose(figure, style, foot, path, legs, phase, sided % 1, pelvis)

    # Into the world: a slightly oblique line, its middle in the middle of the walkway, soles on the floor.
    keep = slice(pad, pad + n_frames)
    rotations, root, angles = rotations[keep], root[keep], angles[keep]
    heading = np.radians(direction * 90 + np.clip(line_rng.normal(0, 0.7), -1.5, 1.5))
    turn = rotation("y", heading)
    middle = np.array([0, 0, (root[0, 2] + root[-1, 2]) / 2])
    line = np.array([0, SOLE_M, np.clip(line_rng.normal(0, 0.04), -0.1, 0.1)])
    root = (root - middle) @ turn.T + line
    rotations = turn @ rotations
    u = sided[keep] % 1
    contacts = np.stack([(u >= a) & (u < b) for a, b in (HEEL_CONTACT, BALL_CONTACT)], axis=-1)
    return Walk(
        rotations,
        figure.bone_positions(rotations, root),
        angles,
        _events(phase_at, (n_frames - 1) / fps),
        contacts,
        float((path[keep][-1, 0] - path[keep][0, 0]) / ((n_frames - 1) / fps)) if n_frames > 1 else np.nan,
    )


def _phases(style, time, rng):
    """Phase of the left foot's cycle at each time, strides of varying length; and its inverse, phase to time."""
    first = -0.6  # s, before any frame that is solved
    n_strides = int((time[-1] - first) / style.stride_s * 1.1) + 4
    begun = rng.random()  # share of the first stride that lies before
    strides = style.stride_s * np.clip(rng.normal(1, 0.018, n_strides), 0.94, 1.06)
    start = first - begun * strides[0]
    edges = start + np.concatenate([[0], np.cumsum(strides)])
    number = np.arange(len(edges))
    return np.interp(time, edges, number), lambda phase: np.interp(phase, number, edges)


def _events(phase_at, last_s):
    """Heel strikes and toe-offs from time 0 to the last frame."""
    events = []
    for side, shift in zip(SIDES, (0.0, 0.5), strict=True):
        for name, phase in (("heel_strike", HEEL_CONTACT[0]), ("toe_off", BALL_CONTACT[1])):
            times = phase_at(np.arange(400) + phase - shift)
            times = times[np.diff(times, prepend=-np.inf) > 0]  # beyond the last stride the inverse stands still
            events += [(float(t), side, name) for t in times if 0 <= t <= last_s]
    return sorted(events)


def _leg_angles(style, phase, sided, rng):
    """Angles wanted (time, side, thigh/knee/ankle), rad; each stride has its own amplitude."""
    cycle = np.floor(sided).astype(int)
    tilt = schwartz_curve("pelvic_tilt", phase)
    wanted = np.empty((*sided.shape, 3))
    jitter = 1 + 0.02 * rng.normal(size=(cycle.max() + 2, 3))
    for j, joint in enumerate(("hip", "knee", "ankle")):
        mean = SCHWARTZ[joint][0] if joint == "hip" else 0.0
        size = style.gain[joint] * jitter[:, j]
        for s, sign in enumerate((1, -1)):
            angle = (schwartz_curve(joint, sided[:, s]) - mean) * size[cycle[:, s]] + mean
            wanted[:, s, j] = angle + style.offset[joint] + sign * style.asymmetry[joint]
    wanted[..., 0] -= tilt[:, None]  # of the thigh to the vertical
    wanted[..., 1] = np.maximum(wanted[..., 1], 2.0)
    return np.radians(wanted)


def _foot_points(figure):
    """Heel, ball and toe tip under the shoe, relative to the ankle with the foot flat: {name: (up, forward)}, m."""
    body = figure.body
    foot = figure.vertices[(body.part == 1) & np.isin(body.main_bone, ["foot_l", "ball_l"])]
    ankle, ball = figure.place["foot_l"], figure.place["ball_l"]
    up = foot[:, 1].min() - ankle[1]
    return {
        "heel": (up, foot[:, 2].min() - ankle[2] + 0.012),
        "ball": (up, ball[2] - ankle[2] + 0.005),
        "toe": (up, foot[:, 2].max() - ankle[2] - 0.01),
    }


def _pose(figure, style, foot, path, legs, phase, u, pelvis):
    """Rotations (time, bones, 3, 3), pelvis joint (time, 3) and angles (time, side, 4), walking along +z."""
    body, place, n = figure.body, figure.place, len(phase)
    turn, drop, tilt = pelvis["rotation"], pelvis["obliquity"], pelvis["tilt"]
    lean = np.radians(style.lean)
    rotations = np.empty((n, len(body.bones), 3, 3))

    def put(bone, value):
        rotations[:, body.bone[bone]] = value

    pelvis_rotation = rotation("y", -turn) @ rotation("z", drop) @ rotation("x", tilt)
    put("pelvis", pelvis_rotation)
    for bone, share in (("spine_01", 0.33), ("spine_02", 0.66), ("spine_03", 1.0)):
        twist = rotation("y", -turn * (1 - share) + 0.8 * turn * share)
        put(bone, twist @ rotation("z", drop * (1 - share)) @ rotation("x", tilt * (1 - share) + lean * share))
    trunk = rotation("y", 0.8 * turn) @ rotation("x", lean)
    put("neck_01", rotation("y", 0.3 * turn) @ rotation("x", 0.6 * lean))
    put("head", rotation("x", 0.3 * lean))

    # The pelvis joint follows from the middle of the hips.
    middle = np.column_stack([pelvis["sway"], path[:, 1], path[:, 0]])
    hips = (place["thigh_l"] + place["thigh_r"]) / 2
    root = middle - pelvis_rotation @ (hips - place["pelvis"])
    angles = np.empty((n, 2, len(JOINTS)))
    plane = Legs(figure, style, pelvis)
    state = np.column_stack([path, legs.reshape(n, 6)])
    for s, (suffix, sign) in enumerate((("_l", 1), ("_r", -1))):
        y, z, _, _ = plane.point(state, s, (0.0, 0.0))
        pitch = plane.segments(state, s)[2]
        toe_out = np.radians(sign * style.toe_out)
        # A foot that points outwards rolls along its own line: the ankle moves sideways as the foot pitches.
        rest = np.where(pitch > 0, foot["heel"][1], foot["ball"][1])
        rolled = np.cos(pitch) * rest - np.sin(pitch) * foot["heel"][0]
        ankle = np.column_stack([sign * style.step_width / 2 + np.sin(toe_out) * (rest - rolled), y, z])
        hip = root + pelvis_rotation @ (place["thigh" + suffix] - place["pelvis"])
        hinge = rotation("y", 0.5 * toe_out - 0.3 * turn)[..., 0]
        thigh, shank = _two_links(figure, hip, ankle, hinge)
        for bone, nxt, direction in (("thigh", "calf", thigh), ("calf", "foot", shank)):
            at_rest = bone_frame(place[nxt + suffix] - place[bone + suffix], [1.0, 0, 0])
            put(bone + suffix, bone_frame(direction, hinge) @ at_rest.T)
        planted = rotation("y", toe_out) @ rotation("x", -pitch)
        put("foot" + suffix, planted)
        joint = (place["ball_l"] - place["foot_l"])[1:]
        tip = np.subtract(foot["toe"], joint)
        bend = _toe_bend(u[:, s], pitch, plane.point(state, s, joint)[0], tip)
        put("ball" + suffix, planted @ rotation("x", -bend))
        angles[:, s] = _flexion(thigh, shank, pitch, tilt)
        _pose_arm(put, style, place, suffix, sign, trunk, phase + (0.5 if suffix == "_l" else 0.0))
    return rotations, root, angles


def _two_links(figure, hip, ankle, hinge):
    """Unit vectors along thigh and shank (time, 3) from hip to ankle joint, the knee bent forwards about the hinge."""
    span = ankle - hip
    length = np.linalg.norm(span, axis=1)
    reach = np.minimum(length, 0.9999 * figure.leg_length_m)
    cosine = (figure.thigh_m**2 + reach**2 - figure.shank_m**2) / (2 * figure.thigh_m * reach)
    bend = np.arccos(np.clip(cosine, -1, 1))[:, None]
    line = span / length[:, None]
    forward = np.cross(bone_frame(line, hinge)[..., 0], -line)
    thigh = np.cos(bend) * line + np.sin(bend) * forward
    shank = line * reach[:, None] - figure.thigh_m * thigh
    return thigh, shank / np.linalg.norm(shank, axis=1, keepdims=True)


def _toe_bend(u, pitch, joint_height, tip):
    """Bend (time,), rad, of the toes: flat while the heel rises, straight again soon after, never through the floor.

    `joint_height` (time,) is that of the joint they bend about, `tip` their end under the shoe (up, forward)
    from it, m.
    """
    rising = np.maximum(0, -pitch)
    end = BALL_CONTACT[1]
    relaxed = rising * np.clip(1 - (u - end) / 0.08, 0, 1) ** 2
    # The tip stands at joint_height + tip_up cos(a) + tip_forward sin(a) for toes that point up by a.
    steepest = np.arctan2(-tip[0], tip[1]) + np.arcsin(np.clip(-joint_height / np.hypot(*tip), -1, 0))
    return np.where(u < end, rising * (u > 0.35), np.maximum(relaxed, np.clip(steepest - pitch, 0, rising)))


def _flexion(thigh, shank, pitch, tilt):
    """Angles (time, 4), deg, in the sagittal plane: hip on pelvis, knee, ankle, thigh to the vertical."""
    thigh_angle = np.arctan2(thigh[:, 2], -thigh[:, 1])
    shank_angle = np.arctan2(shank[:, 2], -shank[:, 1])
    hip = thigh_angle + tilt + np.radians(STANDING_TILT_DEG)
    return np.degrees(np.column_stack([hip, thigh_angle - shank_angle, pitch - shank_angle, thigh_angle]))


def _pose_arm(put, style, place, suffix, sign, trunk, phase):
    """The arm swings against the leg of its side."""
    swing = np.radians(-3 + style.arm_swing * np.cos(2 * np.pi * phase))
    elbow = np.radians(style.elbow + style.elbow_swing * np.cos(2 * np.pi * (phase - 0.06)))
    abduction = rotation("z", np.radians(9 * sign))
    side_axis = [1.0, 0, 0]
    upper = bone_frame(place["lowerarm" + suffix] - place["upperarm" + suffix], side_axis)
    lower = bone_frame(place["hand" + suffix] - place["lowerarm" + suffix], side_axis)
    put("clavicle" + suffix, trunk)
    put("upperarm" + suffix, trunk @ abduction @ rotation("x", -swing) @ upper.T)
    bent = trunk @ abduction @ rotation("x", -swing - elbow) @ rotation("z", np.radians(-6 * sign)) @ lower.T
    put("lowerarm" + suffix, bent)
    put("hand" + suffix, bent)
