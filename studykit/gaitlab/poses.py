"""Poses beside walking: random ones for single pictures, and those of a recorded motion."""

from itertools import pairwise

import numpy as np

from studykit.gaitlab.body import bone_frame, rotation, unit

_SIDEWAYS = np.array([1.0, 0.0, 0.0])
_SPINE = (("spine_01", 0.33), ("spine_02", 0.66), ("spine_03", 1.0))
_CHAINS = {"leg": ("thigh", "calf", "foot"), "arm": ("upperarm", "lowerarm", "hand")}
_SUFFIXES = {"left": ("_l", 1), "right": ("_r", -1)}

# How often each kind of pose comes, and its angles in deg, uniform between two numbers; hip flexion, abduction, knee.
_KINDS = {
    "stand": (0.17, None),
    "reach": (0.15, None),
    "squat": (0.10, ((60, 110), (5, 25), (70, 125))),
    "lunge": (0.10, (((45, 85), (3, 8), (50, 95)), ((-25, 0), (3, 8), (20, 90)))),
    "sit": (0.10, ((75, 95), (0, 20), (60, 100))),
    "run": (0.14, (((25, 75), (0, 4), (40, 110)), ((-30, 5), (0, 4), (5, 60)))),
    "kick": (0.06, (((30, 95), (0, 20), (0, 40)), ((-3, 3), (2, 8), (5, 15)))),
    "bend": (0.08, None),
    "side": (0.07, ((-3, 13), (5, 40), (0, 30))),
    "lie": (0.03, None),
}
_LEAN = {"bend": (20, 90), "squat": (10, 45), "run": (3, 20), "sit": (-10, 25)}


def random_pose(figure, rng, variety=1.0):
    """A random pose of a figure, standing at the origin.

    Parameters
    ----------
    figure : Figure
    rng : numpy.random.Generator
    variety : float
        Multiplies the angles of trunk, legs and arms, 0 to 1; below 1 nobody lies down.

    Returns
    -------
    rotations : ndarray (1, bones, 3, 3)
    positions : ndarray (1, bones, 3)
        Heads of the bones, m.
    kind : str
        "stand", "reach", "squat", "lunge", "sit", "run", "kick", "bend", "side" or "lie".
    """
    kind = str(rng.choice(list(_KINDS), p=[share for share, _ in _KINDS.values()]))
    body, place = figure.body, figure.place
    rotations = np.empty((len(body.bones), 3, 3))

    def put(bone, value):
        rotations[body.bone[bone]] = value

    def spread(sd):
        return variety * np.radians(rng.normal(0, sd))

    # Trunk: the pelvis takes some of the lean, the spine the rest, evenly.
    lean = variety * np.radians(rng.uniform(*_LEAN[kind]) if kind in _LEAN else rng.normal(3, 6))
    twist = spread(12)
    bow = spread(6) + (variety * np.radians(rng.uniform(-35, 35)) if kind == "side" else 0)
    pelvis = rotation("y", spread(8)) @ rotation("z", 0.3 * bow) @ rotation("x", 0.45 * lean)
    put("pelvis", pelvis)
    for bone, share in _SPINE:
        trunk = rotation("y", share * twist) @ rotation("z", share * bow) @ rotation("x", share * 0.55 * lean)
        put(bone, pelvis @ trunk)
    trunk = pelvis @ trunk
    put("neck_01", trunk)
    put("head", trunk @ rotation("y", spread(18)) @ rotation("z", spread(6)) @ rotation("x", spread(9) - 0.5 * lean))

    leading = rng.random() < 0.5
    for side, (suffix, sign) in _SUFFIXES.items():
        hip, abduction, knee = variety * np.radians(_leg(kind, (side == "left") == leading, rng))
        thigh = pelvis @ rotation("y", sign * np.radians(rng.normal(6, 8))) @ rotation("z", sign * abduction)
        thigh = thigh @ rotation("x", -hip)
        shank = thigh @ rotation("x", knee)
        ankle = np.clip(spread(10) + 0.15 * (knee - hip), np.radians(-40), np.radians(20))
        _hang(put, place, "leg", suffix, thigh, shank)
        foot = shank @ rotation("x", -ankle)
        put("foot" + suffix, foot)
        put("ball" + suffix, foot)

        swing, raised, elbow = variety * np.radians(_arm(kind, rng))
        clavicle = np.clip((max(swing, raised) - np.radians(70)) * 0.25, 0, np.radians(25))
        put("clavicle" + suffix, trunk @ rotation("z", sign * clavicle))
        upper = trunk @ rotation("z", sign * raised) @ rotation("x", -swing)
        upper = upper @ rotation("y", -sign * np.radians(rng.normal(20, 25)))
        lower = upper @ rotation("x", -elbow)
        put("hand" + suffix, _hang(put, place, "arm", suffix, upper, lower))
    rotations = rotations[None]
    positions = figure.bone_positions(rotations, np.zeros((1, 3)))
    if kind == "lie" and variety == 1:
        down = rotation("x", -np.pi / 2)
        rotations, positions = down @ rotations, positions @ down.T
    return rotations, positions, kind


def _leg(kind, leads, rng):
    """Hip flexion, abduction and knee flexion of one leg, deg."""
    ranges = _KINDS[kind][1]
    if ranges is None:
        return rng.normal(6, 8), abs(rng.normal(5, 5)), abs(rng.normal(8, 8))
    if len(ranges) == 2:
        ranges = ranges[0] if leads else ranges[1]
    return [rng.uniform(low, high) for low, high in ranges]


def _arm(kind, rng):
    """Forward swing, abduction and elbow flexion of one arm, deg."""
    swing = rng.uniform(80, 175) if kind == "reach" else rng.uniform(-30, 60)
    raised = abs(rng.normal(12, 10)) if rng.random() < 0.7 else rng.uniform(20, 100)
    return swing, raised, min(abs(rng.normal(30, 30)), 140)


def _hang(put, place, limb, suffix, upper, lower):
    """Set the two bones of a limb whose turns start from hanging straight down; returns the lower bone's rotation."""
    a, b, c = (bone + suffix for bone in _CHAINS[limb])
    put(a, upper @ bone_frame(place[b] - place[a], _SIDEWAYS).T)
    lower = lower @ bone_frame(place[c] - place[b], _SIDEWAYS).T
    put(b, lower)
    return lower


NEEDED_JOINTS = (
    "upper_neck",
    "head_top",
    *(
        f"{side}_{joint}"
        for side in _SUFFIXES
        for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle", "toe")
    ),
)


def follow(figure, positions, names):
    """Let a figure follow a recorded motion: its bones take the directions of the recorded ones.

    The path of the hips is scaled by the ratio of the leg lengths, so feet that rest in the recording nearly rest.

    Parameters
    ----------
    figure : Figure
    positions : ndarray (time, joint, 3)
        World, m, y up.
    names : sequence of str
        Canonical names of the joints; at least `NEEDED_JOINTS`.

    Returns
    -------
    rotations : ndarray (time, bones, 3, 3)
    positions : ndarray (time, bones, 3)
        Heads of the bones, m; the lowest sole ever is at y = 0.

    Raises
    ------
    ValueError
        If a joint is missing or not finite.
    """
    names = list(names)
    missing = [name for name in NEEDED_JOINTS if name not in names]
    if missing:
        raise ValueError(f"motion: expected joints {', '.join(NEEDED_JOINTS)}, got none for {', '.join(missing)}")
    positions = np.asarray(positions, float)
    at = {name: positions[:, names.index(name)] for name in NEEDED_JOINTS}
    if not all(np.isfinite(x).all() for x in at.values()):
        raise ValueError("motion: expected finite positions, got gaps; fill them first")
    body, place = figure.body, figure.place
    rotations = np.empty((len(positions), len(body.bones), 3, 3))

    def put(bone, value):
        rotations[:, body.bone[bone]] = value

    def middle(name):
        return (at[f"left_{name}"] + at[f"right_{name}"]) / 2

    def aligned(now, hinge_now, at_rest):
        """Turn of a bone from its direction at rest to the one now, x axes kept as parallel as can be."""
        return bone_frame(now, hinge_now) @ bone_frame(at_rest, _SIDEWAYS).T

    trunk_line = middle("hip") - middle("shoulder")
    rest_line = (place["thigh_l"] + place["thigh_r"] - place["upperarm_l"] - place["upperarm_r"]) / 2
    across = {name: at[f"left_{name}"] - at[f"right_{name}"] for name in ("hip", "shoulder")}
    pelvis, trunk = (aligned(trunk_line, across[name], rest_line) for name in ("hip", "shoulder"))
    head = aligned(at["upper_neck"] - at["head_top"], across["shoulder"], place["head"] - place["head_top"])
    put("pelvis", pelvis)
    for bone, share in _SPINE:
        put(bone, _between(pelvis, trunk, share))
    put("neck_01", _between(trunk, head, 0.5))
    put("head", head)
    for side, (suffix, _) in _SUFFIXES.items():
        for limb, chain in (("leg", ("hip", "knee", "ankle", "toe")), ("arm", ("shoulder", "elbow", "wrist"))):
            bones = [bone + suffix for bone in _CHAINS[limb]]
            hinge = (pelvis if limb == "leg" else trunk)[..., 0]
            for k, (a, b) in enumerate(pairwise(chain)):
                end = place[f"{side}_big_toe"] if b == "toe" else place[bones[k + 1]]
                turn = aligned(at[f"{side}_{b}"] - at[f"{side}_{a}"], hinge, end - place[bones[k]])
                put(bones[k], turn)
            put(("ball" if limb == "leg" else "hand") + suffix, turn)
        put("clavicle" + suffix, trunk)

    recorded = sum(
        np.linalg.norm(at[f"left_{a}"] - at[f"left_{b}"], axis=1).mean()
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    )
    hips = middle("hip") * figure.leg_length_m / recorded
    hips_at_rest = (place["thigh_l"] + place["thigh_r"]) / 2
    heads = figure.bone_positions(rotations, hips + pelvis @ (place["pelvis"] - hips_at_rest))
    return rotations, heads - [0, _lowest(figure, rotations, heads), 0]


def _between(first, second, share):
    """Rotations (time, 3, 3) part of the way from one to another close by: the nearest rotation to their mixture."""
    u, _, vt = np.linalg.svd((1 - share) * first + share * second)
    return u @ vt


def _lowest(figure, rotations, positions):
    """Height of the lowest point of the bare feet at any time, m."""
    body, lowest = figure.body, np.inf
    for suffix in ("_l", "_r"):
        for bone in ("foot", "ball"):
            index = body.bone[bone + suffix]
            skin = figure.vertices[(body.part == 1) & (body.main_bone == bone + suffix)] - figure.joints[index]
            height = positions[:, index, 1, None] + rotations[:, index, 1] @ skin.T
            lowest = min(lowest, height.min())
    return lowest


def sagittal_angles(figure, rotations, positions, tilt_at_rest_deg):
    """Flexion of a posed figure that walks along x, (time, 2 sides, hip/knee/ankle/thigh), deg.

    Lines between joint centres are seen from the side, as `walking.Walk.angles` are; the foot's pitch is that of its
    bone from rest.
    """
    body = figure.body
    direction = np.sign(positions[-1, 0, 0] - positions[0, 0, 0]) or 1.0

    def pitch(vector):
        """Angle (time,) of a vector's upper end behind its lower end: 0 hanging down."""
        return np.arctan2(direction * vector[:, 0], -vector[:, 1])

    up = unit(rotations[:, body.bone["pelvis"]][..., 1])
    tilt = np.arctan2(direction * up[:, 0], up[:, 1]) + np.radians(tilt_at_rest_deg)
    angles = np.empty((len(positions), 2, 4))
    for s, (suffix, _) in enumerate(_SUFFIXES.values()):
        hip, knee, ankle = (positions[:, body.bone[bone + suffix]] for bone in _CHAINS["leg"])
        thigh, shank = pitch(knee - hip), pitch(ankle - knee)
        toes = rotations[:, body.bone["foot" + suffix]][..., 2]
        foot = np.arctan2(toes[:, 1], direction * toes[:, 0])
        angles[:, s] = np.stack([thigh + tilt, thigh - shank, foot - shank, thigh], axis=1)
    return np.degrees(angles)
