"""Links in texts: found and brought to one form, never fetched."""
