"""Pictures of what the other metric modules return: `curves` of one test set, `diagrams` of claims and shares."""
