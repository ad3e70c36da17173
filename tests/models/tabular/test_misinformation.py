"""Links and the author's past beside the text: each counts, changed lists are another model, nothing is required."""

import numpy as np
import pytest

from workbench import models
from workbench.errors import WorkbenchError
from workbench.preprocessing.links.extraction import FILE

QUIET = {"id": "a", "account_age_days": 300.0, "posts": 20, "prior_reports": 0, "prior_removals": 0}
LOUD = QUIET | {"prior_reports": 30}


@pytest.fixture
def posts(table, taxonomy):
    """Posts that are harmful where they have a shortened link, a loud author and a word, each adding to the odds."""

    def make(n, seed):
        rng, found = np.random.default_rng(seed), []
        for number in range(n):
            link, loud, word = rng.random(3) < 0.4
            text = " ".join([*rng.choice([f"w{i}" for i in range(30)], 4), "harmful" if word else ""])
            harm = bool(rng.logistic() < -3 + 2 * link + 2 * loud + 2 * word)
            text += f" http://bit.test/{number}" if link else f" http://news.example/{number}" * (number % 2)
            found.append({"text": text, "author": LOUD if loud else QUIET, "labels": {"abuse": harm, "nudity": harm}})
        return table(
            [{**row, "group": f"g{seed}-{n}", "post_id": f"p{seed}-{n}"} for n, row in enumerate(found)], taxonomy
        )

    return make


@pytest.mark.parametrize("learner", ["linear", "boosting"])
def test_text_links_and_author_each_count(posts, table, taxonomy, learner):
    model = models.create("misinformation", {"learner": learner, "leaf": 5}, taxonomy=taxonomy, store=None)
    model.fit(posts(900, 1), posts(200, 2), seed=0)
    assert (model.modalities, model.columns) == (("text",), ("text", "author"))
    calm, link, word = "w1 w2", "w1 w2 http://bit.test/x", "w1 w2 harmful"
    asked = [(calm, QUIET), (link, QUIET), (word, QUIET), (calm, LOUD)]
    logits = model.logits(table([{"text": text, "author": author} for text, author in asked], taxonomy))
    assert (logits[1:] > logits[0] + 0.5).all()
    partly = model.logits(table([{"text": calm}, {"author": LOUD}, {"text": " "}], taxonomy))
    assert np.isfinite(partly[:2]).all()
    assert np.isnan(partly[2]).all()


def test_the_lists_are_part_of_the_model_and_its_run(posts, taxonomy, tmp_path):
    assert models.artefacts("misinformation") == [FILE]
    assert models.artefacts("misinformation", {"links": None}) == []
    lists = tmp_path / "links.yaml"
    lists.write_text("shorteners: [bit.test]\n")
    options = {"links": str(lists), "trees": 5, "leaf": 5}
    model = models.create("misinformation", options, taxonomy=taxonomy, store=None)
    model.fit(posts(300, 1), posts(60, 2), seed=0).save(tmp_path / "model")
    lists.unlink()
    again = models.load(tmp_path / "model", taxonomy=taxonomy, store=None)
    assert again.lists.shorteners == ("bit.test",)
    np.testing.assert_array_equal(again.logits(posts(50, 3)), model.logits(posts(50, 3)))
    with pytest.raises(WorkbenchError, match="cannot read"):
        models.create("misinformation", options, taxonomy=taxonomy, store=None).fit(posts(30, 1), posts(9, 2), seed=0)


def test_an_unknown_text_model_is_refused():
    with pytest.raises(WorkbenchError, match="did you mean 'text-tfidf'"):
        models.check("misinformation", {"text": {"name": "text-tfdif"}})


def test_without_numbers_around_it_text_and_links_remain(posts, table, taxonomy):
    options = {"context": None, "learner": "linear"}
    model = models.create("misinformation", options, taxonomy=taxonomy, store=None)
    model.fit(posts(300, 1), posts(60, 2), seed=0)
    assert model.columns == ("text",)
    assert np.isnan(model.logits(table([{"author": LOUD}], taxonomy))).all()
