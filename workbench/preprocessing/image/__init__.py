"""Pictures: decoded to pixels, resized, augmented, and the words in them read."""
