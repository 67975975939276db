"""Reading, checking and renaming the weights in checkpoint files."""
