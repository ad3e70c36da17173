"""The author's numbers alone: what makes a row readable, and what a post may not tell."""

import numpy as np
import pytest

from workbench import models
from workbench.errors import WorkbenchError


def profile(taxonomy, **options):
    return models.create("author-profile", {"trees": 20, "leaf": 5, **options}, taxonomy=taxonomy, store=None)


@pytest.mark.parametrize("learner", ["boosting", "linear"])
def test_more_reports_mean_more_harm_and_no_author_no_score(table, rows, taxonomy, learner):
    train, validation = table(rows(400, taxonomy, 1), taxonomy), table(rows(100, taxonomy, 2), taxonomy)
    model = profile(taxonomy, learner=learner).fit(train, validation, seed=0)
    quiet = {"id": "a", "account_age_days": 300.0, "posts": 20, "prior_reports": 0, "prior_removals": 0}
    loud = quiet | {"prior_reports": 9, "prior_removals": 2}
    posts = [{"text": "x", "author": author} for author in (quiet, loud, {"id": "a"}, None)]
    logits = model.logits(table(posts, taxonomy))
    assert (logits[1] > logits[0] + 0.5).all()
    assert np.isnan(logits[2:]).all()  # a name is no number
    assert model.modalities == ()
    assert model.columns == ("author",)


def test_columns_are_those_of_the_options(taxonomy):
    chosen = {"columns": ["created_at", "engagement", "author"]}
    assert profile(taxonomy, context=chosen).columns == ("author", "engagement", "created_at")
    with pytest.raises(WorkbenchError, match="context"):
        profile(taxonomy, context={"columns": ["labels"]})
