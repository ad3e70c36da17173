"""Encoders: content to vectors of one space, by name; each family of models in a module of its own."""
