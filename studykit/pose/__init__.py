"""From pixels to keypoints and masks: codecs, examples, training, families of networks, prediction, scores."""
