"""What one run executes, step by step: posts divided, options searched, a model trained, a detector beside it."""
