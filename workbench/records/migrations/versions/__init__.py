"""One file per form of the records."""
