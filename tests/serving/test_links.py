"""Links stand in every answer, found again each time, so that a deleted text leaves none behind."""

from __future__ import annotations

from workbench.schema import Post

TEXT = "see https://youtu.be/x, http://127.0.0.1/1 and www.example.org/page"


def test_an_answer_names_the_links_of_its_text_and_what_was_found_of_each(engine):
    first, again = (engine.moderate("text", Post(post_id="p1", text=TEXT)) for _ in range(2))
    assert [(link.host, link.embed, link.suspicious) for link in first.links] == [
        ("youtu.be", True, False),
        ("127.0.0.1", False, True),
        ("www.example.org", False, False),
    ]
    assert first.links[1].signs == ("ip",)
    assert first.links[2].url == "http://www.example.org/page"
    assert again.stored
    assert first.links == again.links == engine.lookup("text", "p1").links
    assert engine.probe("text", Post(post_id="p1", text=TEXT)).links == first.links
    engine.delete("text", "p1")
    assert engine.lookup("text", "p1") is None


def test_a_post_without_links_has_none_and_one_with_many_names_the_first(engine):
    assert engine.moderate("text", Post(post_id="p1", text="mild. Really")).links == ()
    many = " ".join(f"https://a{number}.example" for number in range(50))
    assert [link.host for link in engine.moderate("text", Post(post_id="p2", text=many)).links] == [
        f"a{number}.example" for number in range(20)
    ]
