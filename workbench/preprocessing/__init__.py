"""Bytes in, readings out: what a person could see in a post's text and picture, or why it could not be read."""
