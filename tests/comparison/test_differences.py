"""What two models differ by: every field of the planned and of the other differences, for metrics of every kind."""

from __future__ import annotations

import pytest
from made_varied import SETTINGS, told, varied

from workbench.comparison.differences import differences, peers
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
ROWS = {"average precision": {"delta": 0.58884015, "lo": 0.277845, "hi": 0.89296732, "p": -0.21842325, "p_holm":
    0.67954519, "id": 2.4520894, "label": 4.0258383, "view": 0.85175348, "test": 3.68601, "metric": 0.44293166, "n":
    1527.2883, "positives": 714.3178, "effective": 236.04562, "prevalence": 0.7285324, "few": 0.0, "a": 0.38837419,
    "b": 0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.47024215,
    "equivalent_within": 0.41715691, "verdict": -0.28464989, "se": 0.054877113, "positive_groups": 418.80313,
    "detectable": 0.16280685, "groups_for_margin": 3886.576, "seeds_to_halve": 0.82132769, "disagreements.label":
    0.77926239, "disagreements.only_a": 112.49265, "disagreements.only_b": 87.941556, "disagreements.p": 1.0641662},
    "site": {"delta": 0.56294571, "lo": 0.32489434, "hi": 0.80898921, "p": -0.20112836, "p_holm": 1.5232059, "id":
    1.1322893, "label": 2.1332456, "view": 2.944189, "test": 3.68601, "metric": 2.60486, "n": 2377.6344, "positives":
    540.4794, "effective": 188.5315, "prevalence": 0.66265298, "few": 0.0, "a": 0.38837419, "b": 0.50797615, "pair":
    0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.42634431, "equivalent_within": 0.39768914,
    "verdict": -0.28464989, "se": 0.08232381, "positive_groups": 279.20209, "detectable": 0.18287403,
    "groups_for_margin": 4044.2164, "seeds_to_halve": -1.6950421, "disagreements.label": 0.4907608,
    "disagreements.only_a": 66.464926, "disagreements.only_b": 50.25035, "disagreements.p": 0.087852484}, "loss":
    {"delta": 0.023880622, "lo": -0.26056899, "hi": 0.29968219, "p": -0.50071618, "p_holm": -0.011573391, "id":
    3.1860233, "label": 0.88511339, "view": 0.85175348, "test": 3.68601, "metric": 1.6170521, "n": 1463.9292,
    "positives": 372.96239, "effective": 270.80298, "prevalence": 0.76324393, "few": 0.0, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.60149092,
    "equivalent_within": 0.2373078, "verdict": -0.42530636, "se": 0.048502267, "positive_groups": 220.3079,
    "detectable": 0.13978038, "groups_for_margin": 1771.3914, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.20362351, "disagreements.only_a": 43.37019, "disagreements.only_b": 45.616332, "disagreements.p": 1.0453348},
    "decisions": {"delta": 0.65150933, "lo": 0.19066693, "hi": 1.0994312, "p": -0.73037004, "p_holm": -0.033793171,
    "id": 2.2950606, "label": 0.88511339, "view": 0.85175348, "test": 3.68601, "metric": 3.104037, "n": 1463.9292,
    "positives": 372.96239, "effective": 192.71126, "prevalence": 0.71273629, "few": 0.0, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.37541036,
    "equivalent_within": 0.74957829, "verdict": -0.28464989, "se": 0.076484541, "positive_groups": 220.3079,
    "detectable": 0.23189797, "groups_for_margin": 5249.2889, "seeds_to_halve": 1.3567255, "disagreements.label":
    0.20362351, "disagreements.only_a": 43.37019, "disagreements.only_b": 45.616332, "disagreements.p": 1.0453348},
    "labels": {"delta": 0.91364632, "lo": 0.67454677, "hi": 1.1212773, "p": 0.79619271, "p_holm": 1.5232059, "id":
    1.6662068, "label": 4.0258383, "view": 0.85175348, "test": 3.68601, "metric": 3.093491, "n": 1527.2883,
    "positives": 714.3178, "effective": 236.04562, "prevalence": 0.7285324, "few": 0.0, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": 0.15881142,
    "equivalent_within": 0.65560227, "verdict": -0.28464989, "se": 0.048839731, "positive_groups": 418.80313,
    "detectable": 0.14592616, "groups_for_margin": 4360.2566, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.77926239, "disagreements.only_a": 112.49265, "disagreements.only_b": 87.941556, "disagreements.p": 1.0641662},
    "posts": {"delta": 0.025657121, "lo": -0.20933818, "hi": 0.24159666, "p": 0.49789868, "p_holm": 0.9911253, "id":
    1.2240844, "label": 4.0258383, "view": 0.85175348, "test": 3.68601, "metric": 1.9650698, "n": 1527.2883,
    "positives": 714.3178, "effective": 236.04562, "prevalence": 0.7285324, "few": 0.0, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": 0.26078071,
    "equivalent_within": 0.10924877, "verdict": -0.35258158, "se": 0.050265357, "positive_groups": 418.80313,
    "detectable": 0.14969163, "groups_for_margin": 4454.3614, "seeds_to_halve": -1.6950421, "disagreements.label":
    0.77926239, "disagreements.only_a": 112.49265, "disagreements.only_b": 87.941556, "disagreements.p": 1.0641662},
    "few": {"delta": 0.0098045563, "lo": -0.26618101, "hi": 0.48325221, "p": -0.57771472, "p_holm": 0.25762573, "id":
    0.97270762, "label": 2.6961288, "view": 0.85175348, "test": 3.68601, "metric": 1.1459978, "n": 1440.5864,
    "positives": 322.39122, "effective": 243.44481, "prevalence": 0.67044367, "few": 2.6955555, "a": 0.38837419, "b":
    0.50797615, "pair": 0.74532065, "primary": 1.2567967, "recipes": 1.4253932, "p_trained": -0.018017007,
    "equivalent_within": 0.5610612, "verdict": -0.34000164, "se": -0.076700923, "positive_groups": 194.1327,
    "detectable": -0.029559636, "groups_for_margin": 4671.8871, "seeds_to_halve": -1.4123737, "disagreements.label":
    0.62025409, "disagreements.only_a": 46.720907, "disagreements.only_b": 40.1638, "disagreements.p": 0.13324088}}
# fmt: on
# fmt: off
PEERS = {"average precision": [["pixels", "cross"], ["words", "pixels"]], "site": [["pixels", "cross"], ["words",
    "pixels"]], "loss": [["pixels", "cross"], ["prior", "words", "pixels"]], "decisions": [["pixels", "cross"],
    ["words", "pixels"]], "labels": [["pixels", "cross"], ["words", "pixels"]], "posts": [["prior", "pixels",
    "cross"], ["prior", "words", "pixels"]], "few": [["pixels", "cross"], ["words", "pixels"]]}
# fmt: on


def asked(**changed) -> Table:
    settings = SETTINGS.model_copy(update=changed)
    return Table.of(varied(), Cell.of(varied(), "test", settings.view, settings.seed), settings)


@pytest.mark.parametrize("name", ASKED)
def test_every_field_of_every_difference_is_as_it_was(name):
    table = asked(**ASKED[name])
    family = [("cross", "best-unimodal"), ("pixels", "words"), ("cross", "not there yet")]
    rows = differences(table, "words", family)
    assert [(row.a, row.b, row.primary) for row in rows] == [
        ("cross", "words", True),
        ("cross", "prior", False),
        ("pixels", "words", True),
        ("prior", "words", False),
    ]
    assert told(rows) == pytest.approx(ROWS[name], rel=2e-7)
    assert [peers(table, one) for one in ("words", "cross")] == PEERS[name]


def test_without_a_best_or_a_chosen_model_nothing_is_set_against_it():
    table = asked()
    plain = Table(table.cell, SETTINGS.model_copy(update={"pairs": ()}), *list(vars(table).values())[2:])
    assert differences(plain, None, []) == peers(plain, None) == []
