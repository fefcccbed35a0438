"""Two-way repeated-measures ANOVA, 61 x 101 x 2: sums of squares in NumPy against pingouin.rm_anova.

Both give the same F, epsilon and corrected p, which is checked first. CPU time of all threads, best of
several, in one run.
"""

import json
import resource
import time

import numpy as np
import pandas as pd
import pingouin

from studykit.stats.anova import f_tests
from studykit.stats.calibration import simulate_null


def best(function, repeats):
    times = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(10):
            function()
        times.append((time.process_time() - start) / 10)
    return min(times)


def main():
    values = simulate_null(1, 61, 1, seed=1)[0, :, 0]
    subject, percent, view = (index.ravel() for index in np.indices(values.shape))
    table = pd.DataFrame({"subject": subject, "time": percent, "view": view, "value": values.ravel()})

    def theirs():
        return pingouin.rm_anova(table, dv="value", within=["time", "view"], subject="subject")

    ours, peer = f_tests(values), theirs().set_index("Source")
    for effect, source in {"time": "time", "perspective": "view", "interaction": "time * view"}.items():
        got = [ours[effect][name] for name in ("F", "epsilon", "p_gg")]
        np.testing.assert_allclose(got, peer.loc[source, ["F", "eps", "p_GG_corr"]].to_numpy(float), rtol=1e-7)
    stack = simulate_null(50, 61, 1, seed=2)[:, :, 0]
    rows = {
        "pingouin.rm_anova": 1000 * best(theirs, 3),
        "studykit, one study": 1000 * best(lambda: f_tests(values), 10),
        "studykit, a study of a stack of 50": 1000 * best(lambda: f_tests(stack), 3) / 50,
    }
    for name, milliseconds in rows.items():
        print(f"{name:36s} {milliseconds:9.3f} ms")
    peer_value, ours_value = rows["pingouin.rm_anova"], rows["studykit, one study"]
    result = {
        "benchmark": "anova",
        "ours": round(ours_value, 4),
        "peer": "pingouin.rm_anova",
        "peer_value": round(peer_value, 4),
        "unit": "ms",
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
