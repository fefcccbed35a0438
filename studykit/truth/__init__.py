"""The known truth: its file, reference tracks and events, errors of every step, causes of the perspective effect."""
