"""A group's own norm is learnt, small and unknown groups stay with the global model."""

import numpy as np
import pytest

from workbench import models
from workbench.errors import WorkbenchError
from workbench.models.combine.per_group import groups


@pytest.fixture
def posts(table, taxonomy):
    """Posts in which `custom` is abuse in the isles only; the isles have a quarter of the posts, the reef very few."""

    def make(n, seed):
        rng, found = np.random.default_rng(seed), []
        for number in range(n):
            region = rng.choice(["isles", "North", "reef", None], p=[0.25, 0.7, 0.02, 0.03])
            custom, rude = rng.random(2) < 0.3
            words = [*rng.choice([f"w{i}" for i in range(20)], 3), "custom" if custom else "", "rude" if rude else ""]
            harm = bool(rude or (custom and region == "isles"))
            labels = {"abuse": harm, "nudity": bool(rng.random() < 0.02)}
            found.append({"text": " ".join(words), "region": region, "labels": labels, "group": f"g{seed}-{number}"})
        return table(found, taxonomy)

    return make


def grouped(taxonomy, **options):
    options = {"min_posts": 60, "min_positives": 10, **options}
    return models.create("per-group", options, taxonomy=taxonomy, store=None)


def test_a_groups_norm_is_learnt_and_others_keep_the_global_model(posts, table, taxonomy):
    model = grouped(taxonomy).fit(posts(1200, 1), posts(400, 2), seed=0)
    assert model.columns == ("text", "region")
    assert "isles" in model.by_group
    assert "reef" not in model.by_group  # some 24 posts are too few
    asked = [{"text": "w1 custom", "region": region} for region in ("isles", "ISLES ", "north", "reef", "moon", None)]
    logits, alone = model.logits(table(asked, taxonomy)), model.base.logits(table(asked, taxonomy))
    assert logits[0, 0] == logits[1, 0] > logits[2, 0] + 1
    np.testing.assert_array_equal(logits[3:], alone[3:])
    np.testing.assert_array_equal(logits[:, 1], alone[:, 1])  # nudity is too rare in every group
    shares = model.record["shares"]["isles"]
    assert (shares["abuse"] > 0, shares["nudity"]) == (True, 0.0)


def test_a_fixed_share_mixes_the_logits(posts, taxonomy):
    model = grouped(taxonomy, share=0.25).fit(posts(600, 1), posts(50, 2), seed=0)
    test = posts(80, 3)
    mine = np.flatnonzero(groups(test, "region") == "isles")
    expected = 0.75 * model.base.logits(test)[mine] + 0.25 * model.by_group["isles"].logits(test)[mine]
    np.testing.assert_allclose(model.logits(test)[mine, 0], expected[:, 0], rtol=1e-5)


def test_with_too_little_validation_to_choose_by_the_global_model_stays(posts, taxonomy):
    model = grouped(taxonomy).fit(posts(600, 1), posts(20, 2), seed=0)
    assert model.by_group == {}
    test = posts(50, 3)
    np.testing.assert_array_equal(model.logits(test), model.base.logits(test))


def test_groups_are_compared_in_lower_case_and_by_the_main_language(table, taxonomy):
    rows = [{"language": "en-GB", "region": " North"}, {"language": "EN_us"}, {"language": None, "region": ""}]
    made = table(rows, taxonomy)
    assert groups(made, "language").tolist() == ["en", "en", ""]
    assert groups(made, "region").tolist() == ["north", "", ""]
    assert groups(made.select(["text"]), "region").tolist() == ["", "", ""]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"base": "text-tfdif"}, "did you mean 'text-tfidf'"),
        ({"by": "author"}, "by"),
        ({"share": 2}, "between 0 and 1"),
    ],
)
def test_wrong_options_are_refused(options, said):
    with pytest.raises(WorkbenchError, match=said):
        models.check("per-group", options)
