"""How good found masks and keypoints are."""
