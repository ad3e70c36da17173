"""From content to vectors: texts to windows of token ids, pictures to pixels, both through the towers in batches."""
