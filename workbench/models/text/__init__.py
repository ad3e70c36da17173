"""Models of texts: n-grams, word vectors, tokens, transformers."""
