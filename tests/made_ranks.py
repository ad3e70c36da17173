"""A small file as tiktoken has them: the 256 bytes, and a few pieces that are joined from them."""

import base64

PIECES = ("he", "the", " the", "st", "stu", "up", "id", "12", "34", "123", "aX")


def lines():
    """Return the lines of the file: each piece in base64, and its rank."""
    every = [bytes([byte]) for byte in range(256)] + [piece.encode() for piece in PIECES]
    return [f"{base64.b64encode(piece).decode()} {rank}" for rank, piece in enumerate(every)]


def write(path):
    """Write the file, and return its path as text."""
    path.write_text("\n".join(lines()))
    return str(path)
