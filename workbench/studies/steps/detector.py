"""The detector of unusual posts that a study may ask for: fitted once a run, and put beside every seed's moderator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from workbench.decisions.out_of_distribution import OutOfDistribution, OutOfDistributionOptions
from workbench.decisions.thresholds import OUT_OF_DISTRIBUTION
from workbench.features import encoder_files
from workbench.features.store import FeatureStore
from workbench.schema import inputs
from workbench.studies.steps.training import Material, Ready


class DetectorOptions(OutOfDistributionOptions):
    """What the detector compares, and from where on a person looks."""

    at: float = Field(
        0.99, gt=0, lt=1, description="A person looks at posts more unusual than this share of validation posts."
    )


def asked(policy: Mapping[str, Any]) -> DetectorOptions | None:
    """Return the detector that a study's policy asks for, None where it asks for none.

    Raises WorkbenchError for options that are none.
    """
    return (
        DetectorOptions.parse(policy[OUT_OF_DISTRIBUTION], f"policy.{OUT_OF_DISTRIBUTION}")
        if OUT_OF_DISTRIBUTION in policy
        else None
    )


def files(policy: Mapping[str, Any]) -> list[Path]:
    """Return the files that the detector's encoder is read from; raises WorkbenchError where there are none."""
    options = asked(policy)
    return [] if options is None else encoder_files(options.encoder)


def detect(ready: Sequence[Ready], material: Material, policy: Mapping[str, Any], store: FeatureStore) -> list[Ready]:
    """Return the moderators with the detector that `policy` asks for, and with policies that ask it.

    Scores and thresholds stay what they are. Raises WorkbenchError for options that are none, and where no training or
    no validation post can be read.
    """
    options = asked(policy)
    if options is None:
        return list(ready)
    known = OutOfDistributionOptions(**options.model_dump(exclude={"at"}))
    train, validation = (inputs(material.sets[name]) for name in ("train", "validation"))
    detector = OutOfDistribution.fit(train, validation, store=store, options=known)
    equipped = []
    for trained in ready:
        moderator = trained.moderator.with_detector(detector)
        rules = moderator.policy.model_copy(update={"out_of_distribution_at": options.at})
        equipped.append(replace(trained, moderator=moderator.with_policy(rules)))
    return equipped
