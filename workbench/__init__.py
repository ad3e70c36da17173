"""A research workbench that decides, with evidence, which model moderates a site and at which thresholds."""

__version__ = "0.1.0"
