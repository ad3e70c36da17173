"""What a content id stands for: the content where it is kept, else what the feature store has of it.

A text by id is always the text itself, from the records or from what the job noted (`features.store.contents`): links,
language and variants are read from the words, so its answer lacks nothing. A picture or clip by id is not read where
its vectors are stored; the post then brings a reference, which the feature store resolves. A model that reads files
itself gets the file, or the request is refused. Nothing is scored without what the model would have looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from workbench.errors import WorkbenchError
from workbench.features.items import key
from workbench.features.store.contents import NotStored
from workbench.preprocessing.text.cleaning import joined_surrogates
from workbench.records.blobs import Blobs
from workbench.records.references import Reference
from workbench.schema import MODALITIES, Media, Post

if TYPE_CHECKING:
    from workbench.decisions.moderator import Moderator
    from workbench.features.store import FeatureStore, StoredVectors
    from workbench.features.store.contents import StoredContent
    from workbench.records import Entry, Records


class KeptContents:
    """The contents that records and feature store keep, by id."""

    def __init__(self, records: Records, store: FeatureStore) -> None:
        self._records, self._store = records, store

    def given(self, moderator: Moderator, modality: str, content: str) -> str | bytes | Media | None:
        """Return what a post brings by a content's id: a text, a file's bytes or a reference; None for nothing.

        Raises NotStored where the bundle reads files of that modality itself and only vectors are kept.
        """
        noted = self._noted(content, modality)
        if modality == "text":
            data = self._records.blob(content)
            data = noted[0].text if data is None and noted else data
            return None if data is None else data.decode("utf-8", "replace")
        opened = modality in moderator.modalities and modality in moderator.classifier.opens
        if noted and not opened:
            return Media(path=str(Reference(content, noted[0].bytes)))
        data = self._records.blob(content)
        if data is None and noted:
            raise NotStored(f"the model reads the {modality} itself, and only vectors of this one are kept")
        return data

    def post(self, moderator: Moderator, entry: Entry) -> Post:
        """Return a recorded post as it was sent; raises NotStored where a content of it is kept nowhere."""
        given: dict[str, Any] = {}
        for name in (name for name in MODALITIES if name in entry.features):
            content = self.given(moderator, name, entry.features[name]["id"])
            if content is None:
                raise NotStored(f"the {name} of a recorded post is not kept any more")
            given[name] = Media(bytes=content) if isinstance(content, bytes) else content
        return Post.model_validate({"post_id": entry.post_id, **entry.features, **given})

    def whole(self, post: Post) -> Post | None:
        """Return a post with the files in the place of its references; None where it has none, or one is not kept."""
        found = {name: self._records.blob(reference.id) for name, reference in references(post).items()}
        if not found or None in found.values():
            return None
        return post.model_copy(update={name: Media(bytes=data) for name, data in found.items()})

    def about(self, content: str) -> dict[str, Any] | None:
        """Return what is known of a content: as what it was sent, its size in bytes, and its vectors by encoder."""
        noted = {one.modality: one for one in self._noted(content)}
        used = [name for name in self._records.blob_kinds(content) if name not in noted]
        data = self._records.blob(content) if used or not noted else None
        if data is None and not noted:
            return None
        keys = {name: one.key for name, one in noted.items()}
        keys |= {name: key(name, data) for name in used if data is not None}
        vectors = [found for name in MODALITIES if name in keys for found in self._store.stored(name, keys[name])]
        size = next((one.bytes for one in noted.values()), None)
        return {
            "kinds": [name for name in MODALITIES if name in keys],
            "bytes": len(data) if size is None else size,
            "vectors": [_told(one) for one in vectors],
        }

    def forget(self, contents: Iterable[str]) -> None:
        """Let go of what the feature store has of contents, by id; raises WorkbenchError where it cannot now."""
        gone = []
        for content in contents:
            noted = {one.modality: one.key for one in self._noted(content)}
            used = [name for name in self._records.blob_kinds(content) if name not in noted]
            if used and (data := self._records.blob(content)) is not None:
                noted |= {name: key(name, data) for name in used}
            gone += [(content, name, of) for name, of in noted.items()]
        if gone:
            self._store.forget(gone)

    def let_go(self, blobs: Mapping[str, bytes]) -> None:
        """Let go of the vectors of contents {modality: bytes} that nothing recorded uses."""
        unused = {name: data for name, data in blobs.items() if not self._records.blob_kinds(Blobs.id_of(data))}
        self._store.forget([(Blobs.id_of(data), name, key(name, data)) for name, data in unused.items()])

    def _noted(self, content: str, modality: str | None = None) -> list[StoredContent]:
        return [] if self._store.contents is None else self._store.contents.find(content, modality)


def references(post: Post) -> dict[str, Reference]:
    """Return the contents that a post brings by reference, by modality."""
    media = {name: getattr(post, name) for name in ("image", "video")}
    found = {name: Reference.of(one.path) for name, one in media.items() if one is not None and one.bytes is None}
    return {name: reference for name, reference in found.items() if reference is not None}


def _told(stored: StoredVectors) -> dict[str, Any]:
    """Return the vectors of one content as plain values: none of a content that could not be read."""
    blocks = stored.blocks
    rows = len(blocks.values) if blocks.reasons[0] is None else 0
    return {
        "encoder": stored.encoder,
        "modality": stored.modality,
        "tier": stored.tier,
        "shape": [rows, blocks.dim],
        "variants": blocks.variants[:rows].tolist(),
        "unread": blocks.reasons[0],
        "note": blocks.notes[0],
        "values": blocks.values[:rows].astype("float32").tolist(),
    }


def clean(post: Post) -> Post:
    """Return a post as it is scored and recorded: plain strings, and media by value or by reference."""
    for name in ("image", "video"):
        media = getattr(post, name)
        if media is not None and media.bytes is None and media.path and Reference.of(media.path) is None:
            raise WorkbenchError(f"the {name} is given by a path; give its bytes")
    changed = {
        name: joined_surrogates(value)
        for name in ("post_id", "text", "community", "language", "region")
        if (value := getattr(post, name)) is not None and not value.isascii()
    }
    if post.author is not None and post.author.id is not None and not post.author.id.isascii():
        changed["author"] = post.author.model_copy(update={"id": joined_surrogates(post.author.id)})
    return post.model_copy(update=changed) if changed else post
