"""Keypoints as maps and back: each representation has `encode` beside `decode`."""
