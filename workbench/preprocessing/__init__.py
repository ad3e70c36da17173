"""Bytes in, numbers out: text variants, pixel arrays and links from what a post holds, or why it could not be read."""
