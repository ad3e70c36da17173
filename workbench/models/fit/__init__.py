"""How models are fitted: losses, options that many share, checkpoints."""
