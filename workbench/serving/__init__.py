"""Serving: what won a study, unchanged, behind an API and a demo.

`config` reads `serving.yaml`, `engine` is the one way from a post to a recorded decision, `service` is the API on it.
"""
