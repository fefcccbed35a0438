"""Random changes of stills for training: image, keypoints and mask move together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from studykit.stills import Still, flip, warp


@dataclass(frozen=True)
class Augmentation:
    """Random changes that keep image, keypoints and mask in step.

    Attributes
    ----------
    width, height : int
        Size of the result, px.
    scale : tuple of float
        Range of the enlargement, drawn evenly in its logarithm. 1 keeps the still's own pixels.
    rotation_deg : float
        Largest rotation, either way.
    stretch : float
        Largest logarithm of height against width, either way: people of other proportions.
    shift : float
        Largest shift of the centre as a share of the result's size, either way and axis.
    centre : {"person", "box", "image", "anywhere"} or the name of a keypoint
        What is brought to the middle before the shift: the known keypoints (or the box), the box, the image's centre,
        any point of the image, or one keypoint. Where only one leg is labelled, "person" would tell by the place of the
        picture which leg that is.
    keep_person : bool
        Enlarge and shift no more than leaves all known keypoints (or the box) in the picture.
    anywhere : float
        Share of draws that use "anywhere" whatever `centre` says, so that background is seen too.
    flip : float
        Probability of a mirror image.
    colour : float
        Strength of changes in brightness, contrast, gamma, hue and saturation, 0 (none) to 1.
    blur_px : float
        Largest standard deviation of a blur.
    noise : float
        Largest standard deviation of sensor noise, grey levels of 255.
    """

    width: int
    height: int
    scale: tuple[float, float] = (0.8, 1.25)
    rotation_deg: float = 15.0
    stretch: float = 0.0
    shift: float = 0.1
    centre: str = "person"
    keep_person: bool = False
    anywhere: float = 0.0
    flip: float = 0.0
    colour: float = 0.5
    blur_px: float = 1.0
    noise: float = 4.0

    def __call__(self, still: Still, keypoints: Sequence[str], rng: np.random.Generator) -> Still:
        """One random version of a still; `keypoints` are the names, `rng` a numpy Generator."""
        if self.flip and rng.random() < self.flip:
            still = flip(still, keypoints)
        scale = np.exp(rng.uniform(*np.log(self.scale)))
        angle = np.radians(rng.uniform(-1, 1) * self.rotation_deg)
        size = np.array([self.width, self.height])
        longer = np.exp(rng.uniform(-0.5, 0.5) * self.stretch)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn = scale * turn @ np.diag([1 / longer, longer])
        to = (size - 1) / 2 + rng.uniform(-1, 1, 2) * self.shift * size
        centre = self._centre(still, keypoints, rng)
        if self.keep_person:
            turn, to = self._keep(still, turn, to, centre)
        matrix = np.column_stack([turn, to - turn @ centre])
        out = warp(still, matrix, self.width, self.height)
        return replace(out, image=self._recolour(out.image, rng))

    def _keep(self, still, turn, to, centre):
        """The turn (2, 2), and the place in the result that `centre` goes to, such that nothing known is lost."""
        corners = still.keypoints[still.keypoints[:, 2] > 0, :2]
        if not len(corners) and still.box is not None:
            x, y, w, h = still.box
            corners = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]])
        if not len(corners):
            return turn, to
        last = np.array([self.width, self.height]) - 1
        places = (corners - centre) @ turn.T
        shrink = min(1.0, (last / np.maximum(np.ptp(places, axis=0), 1e-9)).min())
        low, high = shrink * places.min(axis=0), shrink * places.max(axis=0)
        return shrink * turn, np.clip(to, -low, np.maximum(last - high, -low))

    def _centre(self, still, keypoints, rng):
        size = np.array([still.image.shape[1], still.image.shape[0]])
        if self.centre == "anywhere" or rng.random() < self.anywhere:
            return rng.uniform(0, size)
        if self.centre == "box" and still.box is not None:
            return np.array(still.box[:2]) + (np.array(still.box[2:]) - 1) / 2
        if self.centre in keypoints and still.keypoints[list(keypoints).index(self.centre), 2] > 0:
            return still.keypoints[list(keypoints).index(self.centre), :2]
        known = still.keypoints[still.keypoints[:, 2] > 0, :2]
        if self.centre != "image" and len(known):
            return (known.min(axis=0) + known.max(axis=0)) / 2
        if self.centre != "image" and still.box is not None:
            return np.array(still.box[:2]) + np.array(still.box[2:]) / 2
        return (size - 1) / 2

    def _recolour(self, image, rng):
        strength = self.colour
        blur, noise = rng.uniform(0, 1, 2) * (self.blur_px, self.noise)
        if blur > 0.3:
            image = cv2.GaussianBlur(image, (0, 0), blur)
        if strength > 0:
            hue, saturation, brightness, contrast, gamma = rng.uniform(-1, 1, 5) * strength
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            turned = (np.arange(256) + 90 * hue) % 180
            scaled = np.clip(np.arange(256) * (1 + saturation), 0, 255)
            hsv[..., 0] = cv2.LUT(hsv[..., 0], turned.astype(np.uint8))
            hsv[..., 1] = cv2.LUT(hsv[..., 1], scaled.astype(np.uint8))
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
            level = (np.arange(256) / 255) ** np.exp(0.7 * gamma)
            level = np.clip(255 * ((level - 0.5) * (1 + 0.7 * contrast) + 0.5 + 0.3 * brightness), 0, 255)
            image = cv2.LUT(image, level.astype(np.uint8))
        if noise > 0.5:
            grain = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(noise)
            image = np.clip(image + grain, 0, 255).astype(np.uint8)
        return image
