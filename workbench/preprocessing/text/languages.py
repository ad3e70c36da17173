"""Which language a text is in, offline.

By `py3langid` (BSD, 5 MB, a naive Bayes model over byte n-grams that comes with the package and loads without pickle).
It takes a second to load, so it loads when first asked. Open doubt: confidence is that among the model's hundred-odd
languages; on a dozen words of slang it is often low and sometimes wrong.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from workbench.preprocessing.text.cleaning import ADDRESS, TextOptions, clean

ENOUGH = 10  # letters; an ideograph counts as three
READ = 2_000  # leading characters
_CLEANING = TextOptions(max_chars=READ, emoji="keep")
_NO_LANGUAGE = re.compile(rf"{ADDRESS.pattern}|(?<!\w)[@#]\w+|(?<!\w)/?[ur]/[\w-]+", re.IGNORECASE)


def language(text: str | None) -> tuple[str | None, float]:
    """Return the BCP 47 tag of a text's language and the confidence in it, 0 to 1; (None, 0.0) where it is too short.

    Addresses, handles and hashtags say nothing of the language around them and are left out; the rest must have at
    least ten letters.
    """
    plain = _NO_LANGUAGE.sub(" ", clean(text, _CLEANING))
    letters = sum(3 if character > "\u2e7f" else 1 for character in plain if character.isalpha())
    if letters < ENOUGH:
        return None, 0.0
    tag, confidence = _identifier().classify(" ".join(plain.split()))
    return (None, 0.0) if tag == "und" else (tag, float(confidence))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
