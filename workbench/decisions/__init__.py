"""From scores to decisions: calibrated probabilities, a policy with thresholds, and the bundle that holds it all.

`policy` and `thresholds` import nothing heavy; `moderator` is the one way from posts to decisions, whatever the entry
point.
"""
