"""Heads on an encoder's embeddings: what they are made of, how they are trained, and the models built on them."""
