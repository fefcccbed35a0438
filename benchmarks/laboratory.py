"""The simulated laboratory: processor time of a 960x540 frame, and of its rasteriser against a plain z-buffer.

A whole trial of 5 s and two views on one core: walk, pictures, masks, truth, H.264. The bar is 60 ms a frame. The plain
z-buffer is NumPy's, every triangle's pixels at once; both fill the same depth buffer, which is checked first.
"""

import json
import resource
import tempfile
import time

import cv2
import numpy as np

from studykit.gaitlab import nominal_cameras, simulate_study
from studykit.gaitlab.body import load_body
from studykit.gaitlab.clothing import draw_outfit, dress
from studykit.gaitlab.render import FAR_M, Light, _empty, _faces_camera, _triangles, _view, draw_person
from studykit.gaitlab.walking import draw_style, walk


def best(function, repeats):
    """Least processor time of a call, ms."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def plain_z_buffer(x, y, z, triangles, shape):
    """Depth buffer (height, width) of triangles (T, 3) of vertices at image places x, y (V,) and depths z (V,)."""
    height, width = shape
    a, b, c = triangles.T
    low_x, low_y = (np.ceil(np.minimum(np.minimum(w[a], w[b]), w[c])).astype(int).clip(0) for w in (x, y))
    high_x, high_y = (
        np.floor(np.maximum(np.maximum(w[a], w[b]), w[c])).astype(int).clip(None, size - 1)
        for w, size in ((x, width), (y, height))
    )
    columns = np.maximum(high_x - low_x + 1, 0)
    count = columns * np.maximum(high_y - low_y + 1, 0)
    of = np.repeat(np.arange(len(triangles)), count)
    offset = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    row, column = offset // columns[of] + low_y[of], offset % columns[of] + low_x[of]
    ax, bx, cx, ay, by, cy = (w[k][of] for w in (x, y) for k in (a, b, c))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = ((bx - column) * (cy - row) - (by - row) * (cx - column)) / area
        second = ((cx - column) * (ay - row) - (cy - row) * (ax - column)) / area
    third = 1 - first - second
    inside = (first >= 0) & (second >= 0) & (third >= 0)
    of, row, column = of[inside], row[inside], column[inside]
    weights = np.stack([first[inside], second[inside], third[inside]])
    deep = 1 / (weights / z[triangles[of]].T).sum(0)
    buffer = np.full(shape, FAR_M)
    np.minimum.at(buffer, (row, column), deep)
    return buffer


def rasterisers():
    """Milliseconds of OpenCV's rasteriser and of the plain one for one person at twice the resolution."""
    rng = np.random.default_rng(1)
    figure = load_body().figure("m", rng)
    style = draw_style("m", rng)
    dressed = dress(figure, draw_outfit("m", rng), rng)
    walked = walk(figure, style, 25, 25.0, rng)
    posed = dressed.pose(walked.rotations[8], walked.positions[8])
    camera = nominal_cameras()["C1"]
    layer = draw_person(dressed, *posed, camera, Light())
    height, width = layer.coverage.shape
    u, v, z = camera.matrix[:, :3] @ posed[0].T.astype(float) + camera.matrix[:, 3:]
    x, y = u / z - layer.left, v / z - layer.top
    quads = dressed.quads[_faces_camera(x, y, dressed.quads) | dressed.two_sided]
    prepared = _triangles(x, y, z, quads, width, height)
    triangles = quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    fine = (2 * height, 2 * width)

    def ours():
        return cv2.triangleRasterizeDepth(*prepared, _empty(*fine), *_view())

    def peer():
        return plain_z_buffer(2 * x + 0.5, 2 * y + 0.5, z, triangles, fine)

    ours_deep, peer_deep = ours(), peer()
    both = (ours_deep < FAR_M) & (peer_deep < FAR_M)
    assert ((ours_deep < FAR_M) != (peer_deep < FAR_M)).mean() < 1e-3
    assert np.percentile(np.abs(ours_deep - peer_deep)[both], 99) < 1e-3
    drawn = best(lambda: draw_person(dressed, *posed, camera, Light()), 20)
    return best(ours, 20), best(peer, 10), drawn


def main():
    cv2.setNumThreads(1)
    frame_ms = []
    for seed in range(3):
        with tempfile.TemporaryDirectory() as folder:
            study = simulate_study(folder, participants=1, trials=1, seed=seed, workers=1, progress=False)
        frame_ms.append(1000 * study.attrs["cpu_s"] / study.attrs["rendered_frames"])
    ours, peer, drawn = rasterisers()
    for name, milliseconds in {
        "a frame, with truth, mask and encoding": min(frame_ms),
        "  of this, drawing the person": drawn,
        "depth buffer, OpenCV's rasteriser": ours,
        "depth buffer, plain NumPy z-buffer": peer,
    }.items():
        print(f"{name:40s} {milliseconds:8.2f} ms")
    result = {
        "benchmark": "laboratory",
        "ours": round(ours, 3),
        "peer": "plain NumPy z-buffer, depth of one person at 2x",
        "peer_value": round(peer, 3),
        "unit": "ms",
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        "others": {
            "a frame with truth, mask and encoding, ms": round(min(frame_ms), 2),
            "frames/s of one core": round(1000 / min(frame_ms), 1),
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
