"""The second stage of a regression cascade (paper 004, section III; Toshev & Szegedy 2014, section 3.2).

A second network of the same kind looks at a sub-image of higher resolution around each joint that the first one found,
and says where in it the joint is.
"""

from dataclasses import dataclass, replace

import numpy as np

from studykit.pose.examples.augmentation import Augmentation
from studykit.pose.examples.crops import person_box, uncrop
from studykit.pose.topdown import Settings
from studykit.stills import flip, warp, zoom_matrix


@dataclass(frozen=True)
class JointCrop:
    """Random sub-images around joints; takes the place of an `Augmentation` in `batches.Batches`.

    Attributes
    ----------
    settings : Settings
        Of the second network, whose crops are the sub-images: `flip`, `zoom` and the changes of colour count.
    share : float
        Side of a sub-image as a share of the longer side of the person's box.
    off : float
        Largest distance of the joint from the middle, either way and axis, as a share of the sub-image: as far as the
        first stage errs.
    """

    settings: Settings
    share: float = 0.4
    off: float = 0.3

    def scale(self, still):
        """px of the sub-image a px of the still."""
        return self.settings.crop_width_px / (self.share * max(person_box(still)[2:]))

    def __call__(self, still, keypoints, rng):
        """A sub-image around one known joint, the only one that stays known."""
        settings = self.settings
        still = replace(still, mask=None)
        if rng.random() < settings.flip:
            still = flip(still, keypoints)
        joint = rng.choice(np.flatnonzero(still.keypoints[:, 2] > 0))
        scale = self.scale(still)
        drawn = Augmentation(
            *settings.size,
            scale=(scale / settings.zoom, scale * settings.zoom),
            rotation_deg=settings.rotation_deg,
            shift=self.off,
            centre=keypoints[joint],
            colour=settings.colour,
            blur_px=settings.blur_px,
            noise=settings.noise,
        )(still, keypoints, rng)
        points = drawn.keypoints.copy()
        points[np.arange(len(points)) != joint, 2] = 0
        return replace(drawn, keypoints=points)


def refine(model, joint_crop, stills, points):
    """Keypoints of the first stage, each looked at again.

    Parameters
    ----------
    model : keras.Model
        The second network.
    joint_crop : JointCrop
    stills : StillSet
    points : ndarray (N, K, 3)
        From `keypoint_network.predict_stills`, px of the still.

    Returns
    -------
    ndarray (N, K, 3)
    """
    settings = joint_crop.settings
    width, height = settings.size
    refined = []
    for still, person in zip(stills, points, strict=True):
        scale = joint_crop.scale(still)
        matrices = [zoom_matrix(scale, joint[:2], width, height) for joint in person]
        images = np.stack([warp(replace(still, mask=None), matrix, width, height).image for matrix in matrices])
        found = settings.predict(model, images, flip_test=False)
        each = np.arange(len(person))
        own = uncrop(found[each, each][:, None], np.stack(matrices))[:, 0]  # what sub-image k says of joint k
        refined.append(np.column_stack([own[:, :2], person[:, 2]]))
    return np.stack(refined)


def second_stage(settings, found, stills, *, size_px=64, share=0.4):
    """Settings and sub-images of the second network, from how far the first one errs on the validation people.

    Parameters
    ----------
    settings : Settings
        Of the first network.
    found : ndarray (N, K, 3)
        What it found in the stills.
    stills : StillSet
    size_px : int
        Side of the second network's input.
    share : float
        See `JointCrop`.

    Returns
    -------
    JointCrop
        Whose largest offset holds nine in ten of the first network's errors, but leaves the joint in the sub-image.
    """
    off = []
    for still, points in zip(stills, found, strict=True):
        known = still.keypoints[:, 2] > 0
        off.append(np.abs(points - still.keypoints)[known, :2] / (share * max(person_box(still)[2:])))
    largest = float(np.clip(np.quantile(np.concatenate(off), 0.9), 0.05, 0.4))
    closer = replace(settings, crop_width_px=size_px, crop_height_px=size_px, rotation_deg=settings.rotation_deg / 2)
    return JointCrop(closer, share, largest)
