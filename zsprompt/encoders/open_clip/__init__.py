"""Every model of the open_clip library, run with its own modules."""
