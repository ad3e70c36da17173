"""A post for each service, as a request brings it: what the API shows of itself, and what tests send."""

from __future__ import annotations

from typing import Any

PIXEL = (  # a PNG of one white pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEANl9ngAAAAABJRU5ErkJggg=="
)
CLIP = (  # a WebM of one second: a black frame, then a white one, 16 by 16 pixels
    "GkXfo59ChoEBQveBAULygQRC84EIQoKEd2VibUKHgQJChYECGFOAZwEAAAAAAAHWEU2bdLpNu4tTq4QVSalmU6yBoU27i1OrhBZUrmtTrIHYTb"
    "uMU6uEElTDZ1OsggEbTbuMU6uEHFO7a1OsggHA7AEAAAAAAABZAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAVSalmsirXsYMPQkBNgI1MYXZmNjIuMTIuMTAyV0GNTGF2ZjYyLj"
    "EyLjEwMkSJiECPQAAAAAAAFlSua76uAQAAAAAAADXXgQFzxYgzC6tTfkEoXZyBACK1nIN1bmSIgQCGhVZfVlA4g4EBI+ODhB3NZQDghrCBELqB"
    "EBJUw2fYc3OgY8CAZ8iaRaOHRU5DT0RFUkSHjUxhdmY2Mi4xMi4xMDJzc7JjwItjxYgzC6tTfkEoXWfIoUWjiERVUkFUSU9ORIeTMDA6MDA6MD"
    "EuMDAwMDAwMDAwAB9DtnXD54EAo6OBAACAEAIAnQEqEAAQAABHCIWFiIWEiAICAAwNYAD+/6tQgKOZgQH0ALEBAAUQrAAYADAoL/QAIAD+/TnQ"
    "ABxTu2uRu4+zgQC3iveBAfGCAXjwgQM="
)
EXAMPLES: dict[str, dict[str, Any]] = {
    "text": {"text": "Bring your own chair on Sunday.", "language": "en"},
    "image": {"image": PIXEL},
    "video": {"video": CLIP},
    "misinformation": {
        "text": "Drinking salt water cures the flu.",
        "author": {"id": "a-17", "account_age_days": 3, "prior_reports": 2, "prior_removals": 1},
    },
    "post": {"text": "Look what I found.", "image": PIXEL, "community": "gardening", "region": "NZ"},
}
