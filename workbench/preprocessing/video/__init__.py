"""Clips: a few of their frames, decoded in a process of its own that may be killed."""
