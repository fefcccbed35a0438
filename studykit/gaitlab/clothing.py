"""Clothing: the body's mesh dressed at rest, and a texture that says what colour every spot of it has.

The clothing mesh of MakeHuman (tights, skirt, hair) is displaced along its normals; which spot is shirt, trousers,
skin or shoe follows from its place on the body at rest, so hems are smooth curves whatever the mesh. The result is
baked once a person: each quad of the mesh owns a cell of `CELL` x `CELL` texels in one image.
"""

import colorsys
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from studykit.gaitlab.body import CLOTH, EYE, HAIR, SKIN, SKIRT

CELL = 6  # texels along an edge of a quad
CELLS_PER_ROW = 128
_MATERIALS = ("skin", "shirt", "trousers", "shoe", "hair", "eye", "skirt", "sole", "brow", "lips", "white")
_SKIN_TONES = ((224, 187, 160), (198, 152, 120), (141, 96, 68), (92, 58, 42), (235, 200, 178), (180, 130, 96))
_HAIR_TONES = ((28, 22, 20), (60, 40, 28), (110, 76, 46), (170, 140, 92), (120, 116, 112), (45, 30, 24))
_TROUSER_TONES = ((38, 44, 66), (58, 74, 104), (30, 30, 32), (120, 108, 86), (84, 84, 88))
_SHOE_TONES = ((35, 33, 32), (210, 208, 204), (90, 60, 40))
_PATTERNS = ("plain", "plain", "plain", "stripes", "checks", "blobs", "print")


@dataclass(frozen=True)
class Outfit:
    """What a person wears; lengths in m, sleeve and leg as shares of the limb's length."""

    sleeve: float
    trouser_leg: float
    skirt_m: float  # length below the waist; 0: trousers
    loose_top_m: float
    loose_leg_m: float
    waist_m: float  # above the lower end of the spine
    hair_m: float  # thickness; 0: bald
    long_hair_m: float  # length below the middle of the head; 0: short
    pattern: str
    pattern_size_m: float
    colours: dict  # of `_MATERIALS` and "second": RGB 0 to 255


def draw_outfit(sex, rng):
    """A random outfit; one dress for each sex's fashion, one generator, always the same number of draws."""

    def tone(tones, extra=()):
        choices = [np.array(t, float) for t in tones] + list(extra)
        return choices[rng.integers(len(choices))] * rng.uniform(0.9, 1.1)

    def any_colour(saturation, value):
        return np.array(colorsys.hsv_to_rgb(rng.random(), saturation, value)) * 255

    woman = sex == "f"
    skin, hair = tone(_SKIN_TONES), tone(_HAIR_TONES)
    shirt, second = (any_colour(rng.beta(1.2, 1.6), rng.uniform(0.15, 0.95)) for _ in range(2))
    colours = {
        "skin": skin,
        "shirt": shirt,
        "second": second,
        "trousers": tone(_TROUSER_TONES, [any_colour(0.35, 0.4)]),
        "shoe": tone(_SHOE_TONES, [any_colour(0.6, 0.6)]),
        "hair": hair,
        "eye": np.array([60.0, 50, 45]),
        "skirt": any_colour(0.5, 0.5),
        "sole": np.array([225.0, 225, 222]),
        "brow": 0.7 * hair,
        "lips": skin * [0.85, 0.62, 0.62],
        "white": np.array([225.0, 222, 216]),
    }
    skirted, long_haired, bald = rng.random(3) < ([0.2, 0.65, 0.0] if woman else [0.0, 0.05, 0.12])
    return Outfit(
        sleeve=float(rng.choice([0.12, 0.3, 0.6, 1.05] if woman else [0.28, 0.42, 1.05, 1.05])),
        trouser_leg=float(rng.choice([0.97, 0.97, 0.85, 0.5] if woman else [0.97, 0.97, 0.97, 0.5])),
        skirt_m=float(rng.uniform(0.40, 0.62)) * bool(skirted),
        loose_top_m=float(rng.uniform(0.004, 0.016 if woman else 0.022)),
        loose_leg_m=float(rng.uniform(0.003, 0.014 if woman else 0.022)),
        waist_m=float(rng.uniform(-0.13, 0.0)),
        hair_m=float(rng.choice([0.015, 0.025] if woman else [0.006, 0.012, 0.02, 0.03])) * (not bald),
        long_hair_m=float(rng.uniform(0.12, 0.30)) * bool(long_haired and not bald),
        pattern=str(rng.choice(_PATTERNS)),
        pattern_size_m=float(rng.uniform(0.02, 0.07)),
        colours={name: np.clip(colour, 0, 255) for name, colour in colours.items()},
    )


@dataclass(frozen=True)
class Dressed:
    """A dressed person at rest, ready to be posed and drawn.

    Attributes
    ----------
    figure : Figure
    vertices, normals : ndarray (V, 3) float32
    weights : ndarray (V, bones) float32
    quads : ndarray (Q, 4) int32
    two_sided : ndarray (Q,) bool
        Open surfaces (skirt, long hair), seen from both sides.
    corners : ndarray (Q, 4, 2) float32
        Place of each quad's corners in the texture, texels.
    texture : ndarray (rows, columns, 3) uint8
        Albedo.
    """

    figure: object
    vertices: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    quads: np.ndarray
    two_sided: np.ndarray
    corners: np.ndarray
    texture: np.ndarray

    def pose(self, rotations, positions):
        """Vertices and normals (V, 3) float32 of one pose: (bones, 3, 3) and heads of the bones (bones, 3)."""
        shift = positions - np.einsum("bij,bj->bi", rotations, self.figure.joints)
        transforms = np.concatenate([rotations, shift[:, :, None]], axis=2).astype(np.float32)
        blended = (self.weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
        vertices = np.einsum("vij,vj->vi", blended[:, :, :3], self.vertices) + blended[:, :, 3]
        return vertices, np.einsum("vij,vj->vi", blended[:, :, :3], self.normals)


def dress(figure, outfit, rng):
    """Put an outfit on a person; `rng` draws its wrinkles."""
    body = figure.body
    fit = _Fit(figure, outfit)
    vertices, weights = figure.vertices.copy(), body.weights
    if outfit.skirt_m:
        vertices, weights = _shortened_skirt(body, vertices, weights, outfit.skirt_m)
    wrinkle = _waves(vertices, rng, 0.10)
    vertices = vertices + vertex_normals(vertices, body.quads) * fit.thickness(wrinkle)[:, None]
    vertices = fit.with_soles(vertices)

    shown = fit.shown_quads()
    used, quads = np.unique(body.quads[shown], return_inverse=True)
    quads = quads.reshape(-1, 4).astype(np.int32)
    part = body.quad_part[shown]
    rest = vertices[used]
    attributes = np.column_stack([rest, fit.attributes[used], _waves(rest, rng, 0.06)])
    texture = _bake(fit, outfit, attributes[quads], part, rng)
    return Dressed(
        figure=figure,
        vertices=rest.astype(np.float32),
        normals=vertex_normals(rest, quads).astype(np.float32),
        weights=weights[used],
        quads=quads,
        two_sided=np.isin(part, [SKIRT, HAIR]),
        corners=_cell_corners(len(quads)),
        texture=texture,
    )


def vertex_normals(vertices, quads):
    """Unit normals (V, 3): of a quad, the cross product of its diagonals."""
    a, b, c, d = (vertices[quads[:, k]] for k in range(4))
    face = np.cross(c - a, d - b)
    normals = np.zeros_like(vertices)
    for axis in range(3):
        for corner in range(4):
            normals[:, axis] += np.bincount(quads[:, corner], face[:, axis], len(vertices))
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)


def _waves(points, rng, size_m, n=20):
    """Smooth random values from -1 to 1 (V,), waves of about `size_m`."""
    out = np.zeros(len(points))
    for _ in range(n):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction) * size_m * rng.uniform(0.5, 2)
        out += np.sin(2 * np.pi * (points @ direction) + rng.uniform(0, 2 * np.pi))
    return np.clip(out / np.sqrt(n / 2) / 1.6, -1, 1)


def _shortened_skirt(body, vertices, weights, length_m):
    """The ankle-long skirt drawn up to a length; each vertex moves as the skirt does at its new height."""
    vertices, weights = vertices.copy(), weights.copy()
    skirt = np.flatnonzero(body.part == SKIRT)
    height = vertices[skirt, 1]
    top, bottom = height.max(), height.min()
    raised = vertices[skirt].copy()
    raised[:, 1] = top - (top - height) * length_m / (top - bottom)
    weights[skirt] = weights[skirt[cKDTree(vertices[skirt]).query(raised)[1]]]
    vertices[skirt] = raised
    return vertices, weights


class _Fit:
    """Where on a person's body each vertex lies, which decides how cloth hangs and where it ends."""

    def __init__(self, figure, outfit):
        body, place, v = figure.body, figure.place, figure.vertices
        self.body, self.outfit, self.vertices = body, outfit, v
        self.main = body.main_bone

        def belongs(*bones):
            return sum(body.weights[:, body.bone[f"{bone}_{side}"]] for bone in bones for side in "lr")

        arm, leg = belongs("upperarm", "lowerarm", "hand"), belongs("thigh", "calf", "foot", "ball")
        along_arm, along_leg = np.zeros(len(v)), np.zeros(len(v))
        for side, sign in (("l", 1), ("r", -1)):
            mine = sign * v[:, 0] > 0
            shoulder, elbow, wrist = (place[f"{bone}_{side}"] for bone in ("upperarm", "lowerarm", "hand"))
            upper, lower = np.linalg.norm(elbow - shoulder), np.linalg.norm(wrist - elbow)
            on_upper = (v - shoulder) @ (elbow - shoulder) / upper
            on_lower = upper + (v - elbow) @ (wrist - elbow) / lower
            along = np.where(on_upper < upper, on_upper, on_lower) / (upper + lower)
            along_arm[mine] = along[mine]
            hip, ankle = place[f"thigh_{side}"][1], place[f"foot_{side}"][1]
            along_leg[mine] = ((hip - v[:, 1]) / (hip - ankle))[mine]
        self.arm, self.leg, self.along_arm, self.along_leg = arm, leg, along_arm, along_leg
        feet = ["foot_l", "ball_l", "foot_r", "ball_r"]
        self.foot = (body.part == CLOTH) & np.isin(self.main, feet)
        self.waist = place["spine_01"][1] + outfit.waist_m
        self.neck = place["neck_01"][1]
        self.floor = v[body.part == CLOTH, 1].min()
        self.ankle = place["foot_l"]
        skull = (body.part == SKIN) & (self.main == "head")
        middle = (v[skull, 1].max() + place["head"][1]) / 2 + 0.01
        self.skull = np.array([0, middle, v[skull, 2].mean()])
        self.mouth = place["nose"] + [0, -0.045, 0]
        self.eyes = np.array([place["left_eye"], place["right_eye"]])
        self.chest = place["spine_03"] + [0, 0.12, 0]
        self.attributes = np.column_stack([arm, along_arm, along_leg, self.foot, leg])

    def scalp(self, points):
        """Above 0 inside the hair, m: the hairline falls towards the back, and clears the ears."""
        x, y, z = np.moveaxis(points - self.skull, -1, 0)
        line = np.maximum(0.075 - 0.55 * np.clip(0.075 - z, 0, None), -0.085)
        beside_ear = np.where((np.abs(x) > 0.055) & (z > -0.005), y - 0.03, 1.0)
        return np.minimum(y - line, beside_ear)

    def thickness(self, wrinkle):
        """How far each vertex stands off the bare body (V,), m."""
        body, outfit = self.body, self.outfit

        def up_to(where, end, width):
            return np.clip((end - where) / width, 0, 1)

        on_arm, on_leg = self.arm > 0.5, self.leg > 0.5
        top = outfit.loose_top_m * np.where(on_arm, up_to(self.along_arm, outfit.sleeve, 0.05), 1)
        flare = 1 + 0.6 * np.clip(self.along_leg - 0.5, 0, 1)
        leg = outfit.loose_leg_m * np.where(on_leg, up_to(self.along_leg, outfit.trouser_leg, 0.04) * flare, 1)
        below = ~on_arm & (on_leg | (self.vertices[:, 1] < self.waist))
        hang = np.where(below, 0 if outfit.skirt_m else leg, top)
        out = np.where(body.part == CLOTH, 0.0025 + hang * (1 + 0.35 * wrinkle), 0.0)
        out[self.foot] = 0.006
        hair = (body.part == SKIN) & (self.main == "head")
        rise = np.clip(self.scalp(self.vertices) / 0.03, 0, 1)
        out[hair] = (outfit.hair_m * rise * (1 + 0.25 * wrinkle))[hair]
        return out

    def with_soles(self, vertices):
        """Feet in shoes with flat soles and a slight heel."""
        out = vertices.copy()
        sole = self.foot & (self.vertices[:, 1] < self.floor + 0.03)
        out[sole, 1] = self.floor - 0.014 - 0.008 * (self.vertices[sole, 2] < self.ankle[2] + 0.02)
        out[self.foot, 1] = np.maximum(out[self.foot, 1], self.floor - 0.022)
        return out

    def shown_quads(self):
        """Indices of the quads to draw: skin that cloth leaves bare, cloth below the neck, skirt and long hair."""
        body = self.body
        quads, part = body.quads, body.quad_part
        middle = self.vertices[quads].mean(1)
        under_collar = (self.main[quads] == "neck_01").any(1) & (middle[:, 1] < self.neck - 0.05)
        shown = ((part == SKIN) & ~under_collar) | (part == EYE)
        shown |= (part == CLOTH) & (middle[:, 1] < self.neck + 0.02)
        if self.outfit.skirt_m:
            shown |= part == SKIRT
        if self.outfit.long_hair_m:
            place = middle - self.skull
            off_face = (place[:, 2] < -0.005) | (place[:, 1] > 0.10)
            shown |= (part == HAIR) & off_face & (place[:, 1] > -self.outfit.long_hair_m)
        return np.flatnonzero(shown)

    def materials(self, part, points, arm, along_arm, along_leg, foot, leg, wrinkle):
        """Index into `_MATERIALS` (n,) of spots given by their part, place at rest and attributes."""
        index = {name: i for i, name in enumerate(_MATERIALS)}
        outfit = self.outfit
        out = np.full(len(part), index["skin"], np.int8)

        def paint(mask, name):
            out[mask] = index[name]

        cloth = part == CLOTH
        on_arm = arm > 0.5
        above = (points[:, 1] > self.waist + 0.004 * wrinkle) & (leg < 0.6)
        paint(cloth & np.where(on_arm, along_arm < outfit.sleeve, above), "shirt")
        if not outfit.skirt_m:
            paint(cloth & ~on_arm & ~above & (along_leg < outfit.trouser_leg), "trousers")
        shoe = cloth & (foot > 0.5) & (points[:, 1] < self.floor + 0.075)
        paint(shoe, "shoe")
        paint(shoe & (points[:, 1] < self.floor + 0.006), "sole")
        skin = (part == SKIN) & (arm < 0.1)
        face = np.abs(points - self.skull)
        brow = skin & (face[:, 0] < 0.05) & (face[:, 0] > 0.012) & (points[:, 2] > self.skull[2] + 0.07)
        paint(brow & (np.abs(points[:, 1] - self.skull[1] - 0.018) < 0.0035), "brow")
        lips = np.abs(points - self.mouth)
        paint(skin & (lips[:, 0] < 0.022) & (lips[:, 1] < 0.008) & (lips[:, 2] < 0.05), "lips")
        if outfit.hair_m:
            paint(skin & (self.scalp(points) > 0), "hair")
        paint(part == EYE, "white")
        gaze = np.linalg.norm(points[:, None, :2] - self.eyes[:, :2], axis=2).min(1)
        paint((part == EYE) & (gaze < 0.006), "eye")
        paint(part == HAIR, "hair")
        paint(part == SKIRT, "skirt")
        return out


def _bake(fit, outfit, corners, part, rng):
    """The texture (rows, columns, 3) uint8 from the attributes of each quad's corners (Q, 4, attributes)."""
    edge = np.arange(CELL) / (CELL - 1)
    u, v = np.meshgrid(edge, edge)
    share = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], axis=-1).reshape(-1, 4)
    n, texels = len(corners), CELL * CELL
    spots = np.matmul(share.astype(np.float32), corners.astype(np.float32)).reshape(n * texels, -1)
    points, wrinkle = spots[:, :3], spots[:, -1]
    material = fit.materials(np.repeat(part, texels), points, *spots[:, 3:].T)
    colour = np.array([outfit.colours[name] for name in _MATERIALS], np.float32)[material]
    shirt = np.flatnonzero(material == _MATERIALS.index("shirt"))
    second = _pattern(outfit, points[shirt], fit.chest, rng)
    colour[shirt[second]] = outfit.colours["second"]
    cloth = np.isin(material, [_MATERIALS.index(name) for name in ("shirt", "trousers", "skirt")])
    colour *= (1 + np.where(cloth, 0.10, 0.03) * wrinkle)[:, None]
    hair = material == _MATERIALS.index("hair")
    colour[hair] *= (1 + 0.18 * np.sin(points[hair, 0] * 420 + 5 * wrinkle[hair]))[:, None]
    texture = np.zeros((-(-n // CELLS_PER_ROW), CELLS_PER_ROW, CELL, CELL, 3), np.uint8)
    texture.reshape(-1, texels, 3)[:n] = np.clip(colour, 0, 255).astype(np.uint8).reshape(n, texels, 3)
    return texture.transpose(0, 2, 1, 3, 4).reshape(-1, CELLS_PER_ROW * CELL, 3).copy()


def _pattern(outfit, points, chest, rng):
    """Which spots of the shirt (n,) bool have its second colour."""
    shift = rng.uniform(0, 6, 3)
    u = points / outfit.pattern_size_m
    if outfit.pattern == "stripes":
        return np.sin(np.pi * u[:, 1]) > 0.3
    if outfit.pattern == "checks":
        return np.floor(u).sum(1) % 2 > 0
    if outfit.pattern == "blobs":
        return np.sin(u * [2.1, 1.7, 2.3] + shift).sum(1) > 0.5
    if outfit.pattern == "print":
        return (points[:, 2] > 0.05) & (np.abs(points[:, 0]) < 0.09) & (np.abs(points[:, 1] - chest[1]) < 0.06)
    return np.zeros(len(points), bool)


def _cell_corners(n_quads):
    """Texture places (Q, 4, 2) of the quads' corners: centres of the corner texels of their cells."""
    row, column = np.divmod(np.arange(n_quads), CELLS_PER_ROW)
    origin = np.stack([column, row], axis=-1)[:, None] * CELL
    last = CELL - 1
    return (origin + np.array([[0, 0], [last, 0], [last, last], [0, last]])).astype(np.float32)
