"""Heads of the U-Nets for a mask and joints at once (paper 003, section II-D3)."""

from collections.abc import Callable

import keras
from keras import layers

from studykit.models.unet import mask_head


def mask_and_joints_head(joints: str, count: int) -> Callable[[keras.KerasTensor], dict[str, keras.KerasTensor]]:
    """A head for `unet` or `harmonic_unet`.

    Parameters
    ----------
    joints : str
        Encoding, one of `joint_maps.JOINTS`.
    count : int
        Joints of the skeleton.

    Returns
    -------
    callable
        From features to outputs by name: `mask`, two channels of a softmax; `joint_map`, one linear channel, with
        "regression" and "triple"; `joints`, 1 + count channels of a softmax, with all encodings but "regression".
    """

    def head(features):
        outputs = {"mask": mask_head(features)}
        if joints in ("regression", "triple"):
            outputs["joint_map"] = layers.Conv2D(1, 1, dtype="float32", name="joint_map")(features)
        if joints in ("softmax", "regression_softmax", "triple"):
            scores = layers.Conv2D(1 + count, 1, name="joint_scores")(features)
            outputs["joints"] = layers.Softmax(dtype="float32", name="joints")(scores)
        return outputs

    return head
