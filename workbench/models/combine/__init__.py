"""Models made of models or of scores: ensembles, one per group, scores from elsewhere, the prior."""
