"""A comparison as people read it: page, cards, checklist, terminal, and where each number comes from."""
