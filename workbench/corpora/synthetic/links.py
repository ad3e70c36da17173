"""Links in posts of the synthetic world: addresses on domains reserved for examples, so that none leads anywhere.

The domain tells the kind; path and numbers are fresh for every post. Source: RFC 2606 and RFC 6761 (reserved names).
"""

from __future__ import annotations

import numpy as np

from workbench.corpora.synthetic.causes import LINKS

DOMAINS = {
    "host": ("https://video.example.com/v/{code}", "https://photos.example.com/p/{code}", "https://watch.example.net/{code}"),
    "site": (
        "https://www.harbour-news.example/{word}/{number}",
        "https://forum.example.org/{word}/{number}",
        "https://{word}-shop.example/{number}",
    ),
    "short": ("http://bit.test/{code}", "http://go2.example/{code}", "http://tiny.invalid/{code}"),
}  # fmt: skip
assert set(DOMAINS) == set(LINKS) - {"none"}
_WORDS = ("boats", "bread", "chess", "clocks", "ferry", "garden", "lamps", "maps", "music", "tools")
_SIGNS = np.array(list("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"))


def address(link: int, rng: np.random.Generator) -> str:
    """Return a fresh address of a kind of link, as an index into LINKS other than `none`."""
    forms = DOMAINS[LINKS[link]]
    form = forms[rng.integers(len(forms))]
    code = "".join(_SIGNS[rng.integers(0, len(_SIGNS), 5)])
    return form.format(code=code, word=_WORDS[rng.integers(len(_WORDS))], number=rng.integers(1000, 10_000))
