"""What single notebooks ask: tokens, frames, rare labels, evasion, annotation, pretraining."""
