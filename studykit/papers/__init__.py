"""What the five papers printed, as tables; their findings, held against this study."""
