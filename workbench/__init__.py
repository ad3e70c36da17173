"""A research workbench that decides, with evidence, which model moderates a site and at which thresholds."""

import sys

from workbench.fingerprint import sources  # noqa: F401, before all else: it takes in what this process imports

if not __debug__ and "ipykernel" in sys.modules:
    raise ImportError(
        "Python runs without asserts here (-O or PYTHONOPTIMIZE), which are what a notebook checks its prose by; "
        "unset PYTHONOPTIMIZE and start the kernel again"
    )

__version__ = "0.1.0"
