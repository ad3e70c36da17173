"""A post's words: cleaned, cut into tokens, and every variant of them that undoes an obfuscation."""
