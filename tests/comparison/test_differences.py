"""What two models differ by: every field of the planned and of the other differences, for metrics of every kind."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from made_varied import SETTINGS, told, varied

from workbench.comparison.differences import _Pair, differences, peers
from workbench.comparison.options import Family
from workbench.comparison.resampled import Cell
from workbench.comparison.table import Table

ASKED = {
    "average precision": {},
    "site": {"metric": "average_precision_site", "label": "violence", "view": "all", "alpha": 0.2},
    "loss": {"metric": "log_loss", "label": "abuse"},
    "decisions": {"metric": "f1_site", "label": "abuse"},
    "labels": {"metric": "f1_micro"},
    "posts": {"metric": "exact_match"},
    "few": {"metric": "recall", "label": "spam", "few": 200},
}
# what `told` says of the rows; another interval, test or draw of groups changes it
# fmt: off
ROWS = {"average precision": {"delta": 0.58884015, "lo": 0.35928555, "hi": 0.81601797, "p": -0.20968892, "p_holm":
    0.74677786, "id": 2.4520894, "label": 4.0258383, "view": 0.85175348, "test": 3.68601, "metric": 0.44293166, "n":
    1527.2883, "positives": 714.3178, "effective": 236.04562, "prevalence": 0.7285324, "few": 0.0, "a": 0.38837419,
    "b": 0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.43736339,
    "equivalent_within": 0.39418567, "verdict": -0.62576289, "se": 0.054531342, "positive_groups": 418.80313,
    "detectable": 0.14207334, "groups_for_margin": 2957.9702, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.77926239, "disagreements.only_a": 112.49265, "disagreements.only_b": 87.941556, "disagreements.p": 1.0641662},
    "site": {"delta": 0.56294571, "lo": 0.31579726, "hi": 0.818142, "p": -0.14200623, "p_holm": 1.5232059, "id":
    1.1322893, "label": 2.1332456, "view": 2.944189, "test": 3.68601, "metric": 2.60486, "n": 2377.6344, "positives":
    540.4794, "effective": 188.5315, "prevalence": 0.66265298, "few": 0.0, "a": 0.38837419, "b": 0.50797615, "pair":
    0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.41596311, "equivalent_within": 0.39527042,
    "verdict": -0.28464989, "se": 0.078325411, "positive_groups": 279.20209, "detectable": 0.1719147,
    "groups_for_margin": 3346.9591, "seeds_to_halve": -1.6950421, "disagreements.label": 0.4907608,
    "disagreements.only_a": 66.464926, "disagreements.only_b": 50.25035, "disagreements.p": 0.087852484}, "loss":
    {"delta": 0.023880622, "lo": -0.20967959, "hi": 0.25032529, "p": -0.48752935, "p_holm": 0.058492575, "id":
    3.1860233, "label": 0.88511339, "view": 0.85175348, "test": 3.68601, "metric": 1.6170521, "n": 1463.9292,
    "positives": 372.96239, "effective": 270.80298, "prevalence": 0.76324393, "few": 0.0, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.61730423,
    "equivalent_within": 0.21350931, "verdict": -0.42530636, "se": 0.046601632, "positive_groups": 220.3079,
    "detectable": 0.11564123, "groups_for_margin": 1031.185, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.20362351, "disagreements.only_a": 43.37019, "disagreements.only_b": 45.616332, "disagreements.p": 1.0453348},
    "decisions": {"delta": -0.01914273, "lo": -0.31394747, "hi": 0.29495496, "p": -0.75325744, "p_holm": -0.082749409,
    "id": 2.2950606, "label": 0.88511339, "view": 0.85175348, "test": 3.68601, "metric": 3.104037, "n": 1463.9292,
    "positives": 372.96239, "effective": 192.71126, "prevalence": 0.71273629, "few": 0.0, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.3432809,
    "equivalent_within": 0.29016095, "verdict": -0.42530636, "se": 0.080854027, "positive_groups": 220.3079,
    "detectable": 0.21992093, "groups_for_margin": 4727.5109, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.20362351, "disagreements.only_a": 43.37019, "disagreements.only_b": 45.616332, "disagreements.p": 1.0453348},
    "labels": {"delta": 0.23466864, "lo": 0.082100924, "hi": 0.38680952, "p": 0.81112103, "p_holm": 1.5232059, "id":
    1.6662068, "label": 4.0258383, "view": 0.85175348, "test": 3.68601, "metric": 3.093491, "n": 1527.2883,
    "positives": 714.3178, "effective": 236.04562, "prevalence": 0.7285324, "few": 0.0, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": 0.14990899,
    "equivalent_within": 0.20430991, "verdict": -0.28464989, "se": 0.049368807, "positive_groups": 418.80313,
    "detectable": 0.13146075, "groups_for_margin": 6646.099, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.77926239, "disagreements.only_a": 112.49265, "disagreements.only_b": 87.941556, "disagreements.p": 1.0641662},
    "posts": {"delta": 0.83415063, "lo": 0.65931411, "hi": 1.0054689, "p": 0.54298005, "p_holm": 1.0080395, "id":
    1.2240844, "label": 4.0258383, "view": 0.85175348, "test": 3.68601, "metric": 1.9650698, "n": 1527.2883,
    "positives": 714.3178, "effective": 236.04562, "prevalence": 0.7285324, "few": 0.0, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": 0.27191122,
    "equivalent_within": 0.56183132, "verdict": -0.35258158, "se": 0.050611678, "positive_groups": 418.80313,
    "detectable": 0.13534298, "groups_for_margin": 3767.94, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.77926239, "disagreements.only_a": 112.49265, "disagreements.only_b": 87.941556, "disagreements.p": 1.0641662},
    "few": {"delta": -1.6562954, "lo": -1.8546162, "hi": -1.2538125, "p": -0.60649773, "p_holm": 0.25762573, "id":
    0.97270762, "label": 2.6961288, "view": 0.85175348, "test": 3.68601, "metric": 1.1459978, "n": 1440.5864,
    "positives": 322.39122, "effective": 243.44481, "prevalence": 0.67044367, "few": 2.6955555, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.052621016,
    "equivalent_within": 0.64655104, "verdict": -0.34000164, "se": -0.074940205, "positive_groups": 194.1327,
    "detectable": -0.048627641, "groups_for_margin": 4184.4042, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.62025409, "disagreements.only_a": 46.720907, "disagreements.only_b": 40.1638, "disagreements.p": 0.13324088}}
# fmt: on
# fmt: off
PEERS = {"average precision": [["pixels", "cross"], ["words", "pixels"]], "site": [["pixels", "cross"], ["words",
    "pixels"]], "loss": [["pixels", "cross"], ["prior", "words", "pixels"]], "decisions": [["pixels", "cross"],
    ["words", "pixels"]], "labels": [["pixels", "cross"], ["words", "pixels"]], "posts": [["pixels", "cross"],
    ["words", "pixels"]], "few": [["prior", "pixels", "cross"], ["prior", "words", "pixels"]]}
# fmt: on


def asked(**changed) -> Table:
    settings = SETTINGS.model_copy(update=changed)
    return Table.of(varied(), Cell.of(varied(), "test", settings.view, settings.seed), settings)


@pytest.mark.parametrize("name", ASKED)
def test_every_field_of_every_difference_is_as_it_was(name):
    table = asked(**ASKED[name])
    family = Family((("cross", "best-unimodal"), ("pixels", "words"), ("cross", "not there yet")))
    rows = differences([table], "words", family)
    assert [(row.a, row.b, row.primary) for row in rows] == [
        ("cross", "words", True),
        ("cross", "prior", False),
        ("pixels", "words", True),
        ("prior", "words", False),
    ]
    assert told(rows) == pytest.approx(ROWS[name], rel=2e-7)
    assert [list(peers([table], one)["test"]) for one in ("words", "cross")] == PEERS[name]


def test_without_a_best_or_a_chosen_model_nothing_is_set_against_it():
    table = asked()
    plain = Table(table.cell, SETTINGS.model_copy(update={"pairs": ()}), *list(vars(table).values())[2:])
    assert (differences([plain], None, Family(())), peers([plain], None)) == ([], {"test": ()})


def test_three_positive_groups_of_every_label_are_enough_to_test():
    used = np.array([True, True, False])
    for groups, columns, enough in (
        ([3, 9, 0], used, True),
        ([2, 9, 9], used, False),
        ([9, 9, 9], ~used & used, False),
    ):
        cell = SimpleNamespace(positive_groups=np.array(groups))
        table = SimpleNamespace(cell=cell, compared=("roc_auc", 0, 3), columns=lambda k, columns=columns: columns)
        assert _Pair(table, ("a", "b"), "a", "b", ()).enough is enough
