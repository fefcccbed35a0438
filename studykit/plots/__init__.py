"""One style; figures by subject. Each function returns a Matplotlib figure and the table of what it shows."""
