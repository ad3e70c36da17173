"""A research workbench that decides, with evidence, which model moderates a site and at which thresholds."""

from workbench.fingerprint import sources  # noqa: F401, before all else: it takes in what this process imports

__version__ = "0.1.0"
