"""Views to play with in JupyterLab, and the labeller."""
