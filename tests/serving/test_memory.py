"""What memory serving takes: measured in a process of its own, kept with the bundle, stated on the model's card."""

from __future__ import annotations

import shutil

import made_comparison as made
import pytest
from huggingface_hub import ModelCard

from workbench.artifacts import write_json
from workbench.bench import memory
from workbench.decisions import bundle as bundles
from workbench.decisions import card
from workbench.decisions.moderator import Moderator
from workbench.errors import WorkbenchError
from workbench.report import cards
from workbench.schema import declared, visible


@pytest.mark.slow
def test_a_bundle_is_measured_by_itself_and_its_cards_say_it(bundle, tmp_path):
    study = tmp_path / "tiny"
    study.mkdir()
    run = made.write(study, "cross", made.good(), modalities=made.BOTH, record=made.RECORD)
    shutil.copytree(bundle("clip-cross"), run.folder / "bundle" / "0")
    comparison = made.compared([run], pairs=[]).plain() | {"made_from": made.PLAN | {"runs": {"cross": run.key}}}
    write_json(study / "comparison.json", comparison)
    target, before = f"{study}.yaml:cross", Moderator.load(run.folder / "bundle" / "0").model_id
    assert f"- memory in serving: not measured; `workbench bench memory {target}` does it" in cards.model_card(
        made.compared([run], pairs=[]), run
    )

    (line, place) = memory.command(target, "cpu")
    found = bundles.memory(run.folder / "bundle" / "0")["cpu"]
    # The encoder's libraries alone take more than 100; torch alone more than the interpreter.
    assert 100 < found.baseline_mb < found.host_mb - 100
    assert found.host_mb < 4000
    assert (found.accelerator_mb, found.texts, found.with_media) == (None, 64, 8)
    assert found.decoders_mb > 10  # clips are decoded by processes beside it
    assert line == f"{target}: {found.words}; required are at most 24 GB: met"
    assert place == f"cards: {study / 'cards'}"
    said = ModelCard.load(study / "cards" / "cross.md").content
    assert f"- memory in serving: {found.words}\n" in said
    assert "- peak memory in training, MiB: 300" in said
    assert f"- {found.words}\n" in card.show(run.folder / "bundle" / "0")
    assert Moderator.load(run.folder / "bundle" / "0").model_id == before


def test_what_is_scored_at_once_is_what_a_server_scores_at_once():
    texts, media = memory.batches(64, 8)
    assert (len(texts), len(media)) == (64, 8)
    assert all(map(visible, texts["text"].to_pylist()))
    there = declared(texts)
    assert not (there["image"] | there["video"]).any()
    there = declared(media)
    assert (there["image"].sum(), there["video"].sum()) == (4, 4)


def test_what_is_no_bundle_is_refused_before_a_process_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "ProcessPoolExecutor", None)
    with pytest.raises(WorkbenchError, match="holds no bundle"):
        memory.measure(tmp_path)
    with pytest.raises(WorkbenchError, match="has no finished run"):
        list(memory.command(str(tmp_path / "none.yaml"), "cpu"))


def test_each_device_is_remembered_and_a_torn_file_is_as_good_as_none(tmp_path):
    assert bundles.memory(tmp_path) == {}
    numbers = {"baseline_mb": 500, "host_mb": 1700, "decoders_mb": 120, "texts": 64, "with_media": 8}
    about = {"hardware": "a chip", "measured": "2026-12-01", "versions": {"torch": "2"}}
    cpu = bundles.ServingMemory(device="cpu", accelerator_mb=None, **numbers, **about)
    cuda = bundles.ServingMemory(device="cuda", accelerator_mb=2048, **numbers, **about)
    for one in (cpu, cuda, cpu):
        bundles.remember(tmp_path, one)
    assert bundles.memory(tmp_path) == {"cpu": cpu, "cuda": cuda}
    assert cuda.words == (
        "on cuda 1,700 MiB at the peak (500 of Python and torch, 1,200 of the model), 120 MiB of the processes that "
        "decode clips, 2,048 MiB allocated there; scoring 64 texts at once and 8 posts with media; 2026-12-01, a chip, "
        "torch 2"
    )
    large = cuda.model_copy(update={"accelerator_mb": 30_000})
    assert [memory._held(one).rpartition(" ")[2] for one in (cuda, large)] == ["met", "missed"]
    (tmp_path / bundles.MEMORY).write_text('{"cpu": {"device": "cpu"}, "cuda"')
    assert bundles.memory(tmp_path) == {}
