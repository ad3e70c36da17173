"""Numbers and their uncertainty: `classification`, `intervals`, and `plots`, which draws what the others return."""
