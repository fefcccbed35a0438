"""The study as a site."""
