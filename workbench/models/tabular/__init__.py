"""Models of numbers around a post: its author, and what that says about misinformation."""
