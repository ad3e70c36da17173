"""The page: a post goes in, the verdict with its reasons comes out; written for staff who are no engineers.

Results are shown through `gr.Markdown`, which sanitises markup in the browser, and not through `gr.HTML`, which needs a
content security policy with `unsafe-eval`. Files come through `gr.File`: Gradio decodes nothing, and says nothing.
"""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import gradio as gr

from workbench.errors import WorkbenchError
from workbench.preprocessing import context, limits
from workbench.requirements import Requirements
from workbench.schema import MODALITIES, ROOT, Media, Post, visible
from workbench.serving.demo import preview, verdict
from workbench.serving.demo.examples import Example
from workbench.serving.demo.startup import UNREAL, Standing, note

if TYPE_CHECKING:
    from workbench.serving.engine import Engine

log = logging.getLogger(__name__)
CSS = Path(__file__).with_name("page.css")
FITTING = "fitting"
SERVICES = {
    FITTING: "What fits the post",
    "post": "Everything in the post",
    "text": "Text",
    "image": "Picture",
    "video": "Clip",
    "misinformation": "Misinformation",
}
ABOUT = {
    "language": ("Language", "A tag such as en or pt-BR"),
    "region": ("Region", "As the policy names it"),
    "community": ("Community", "Where it was posted"),
}
AROUND = {
    "author.account_age_days": "Account age in days",
    "author.posts": "The author's posts",
    "author.prior_reports": "Prior reports of the author",
    "author.prior_removals": "Prior removals",
    "engagement.reactions": "Reactions so far",
    "engagement.reports": "Reports so far",
    "engagement.impressions": "Views so far",
}
KEPT_HOURS = 1  # how long an uploaded file stays in the private folder
TICK = 2.0  # seconds between two looks at the start
QUEUE = 64  # events that may wait; more are told that the page is busy
AT_ONCE = 2  # posts that are scored at once for this page; the API is not held up by more
TEXT = 1_000_000  # characters
LARGEST = max(one.bytes or 0 for one in limits.stated().values())
EMPTY = "Write a text, or choose a picture or a clip, then check the post."
INTRO = f"""# Try a post

See what the model and the policy would do with a post, and why. **Nothing you try is recorded.** Files lie in a private
folder of the server's machine for about {KEPT_HOURS} hour, or until the server ends, and are then deleted.
"""
WAITING = '<div class="verdict told"><h2>The verdict appears here.</h2></div>'


class Gone:
    """Stands for an uploaded file that has been deleted meanwhile."""


def _upload(label: str) -> gr.File:
    """Return a field for a file, handed on as bytes; one that is no longer there is said to be `Gone`.

    Gradio would show a bare error. (A subclass would have Gradio write a stub file beside this module.)
    """

    def read(payload: Any) -> bytes | Gone | None:
        try:
            return given(payload)
        except OSError:
            return Gone()

    field = gr.File(label=label, type="binary", height=132, min_width=140, elem_classes="upload")
    given, field.preprocess = field.preprocess, read
    return field


def build(
    engine: Engine,
    services: Sequence[str],
    standing: Callable[[], Standing],
    examples: Sequence[Example] = (),
    *,
    needs: Requirements | None = None,
    lacking: Mapping[str, str] = MappingProxyType({}),
    max_bytes: int = LARGEST,
) -> gr.Blocks:
    """Return the page.

    services: the names of those that can be asked. standing: how far the start is, asked every few seconds until it is
    ready. needs: what the site needs of the labels that are served. lacking: of services whose preferred model cannot
    answer here, what is not installed. max_bytes: the size of the largest file taken.
    """
    title = "Try a post · Moderation workbench"
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(300, KEPT_HOURS * 3600)) as page:
        objective = f"\nWhat the site needs: {needs.objective}\n" if needs else ""
        gr.Markdown(INTRO + objective, elem_id="intro")
        state = gr.Markdown("", elem_id="standing")
        with gr.Row(elem_id="layout"):
            with gr.Column(elem_id="form"):
                fields, check, clear = _form(services, max_bytes)
            with gr.Column(elem_id="results"):
                results = [gr.Markdown(value, elem_id=name, latex_delimiters=[]) for name, value in _RESULTS.items()]
            with gr.Column(elem_id="tries"):
                buttons = _examples(examples)
        asked = {"fn": _answering(engine, lacking), "inputs": fields, "outputs": results, "api_visibility": "private"}
        asked |= {
            "concurrency_limit": AT_ONCE,
            "concurrency_id": "check",
            "show_progress_on": results[0],
            "scroll_to_output": True,
        }
        check.click(**asked)
        fill = {"outputs": fields, "api_visibility": "private", "show_progress": "hidden"}
        for button, example in zip(buttons, examples, strict=True):
            button.click(_filling(example, services), **fill).then(**asked)
        blank = [None, None, None, *[""] * (len(ABOUT) + len(AROUND))]
        nothing = [*blank, _first(services), *_RESULTS.values()]
        empty = {"fn": lambda: nothing, "outputs": [*fields, *results]}
        clear.click(**empty, api_visibility="private", show_progress="hidden")
        timer = gr.Timer(TICK)
        opened = [check, *buttons]
        look = {"fn": _looking(standing, len(opened)), "outputs": [state, timer, *opened], "api_visibility": "private"}
        look |= {"show_progress": "hidden", "concurrency_limit": None}
        page.load(**look)
        timer.tick(**look)
    return page.queue(max_size=QUEUE)


_RESULTS = {"verdict": WAITING, "answer": "", "preview": ""}


def _form(services: Sequence[str], max_bytes: int) -> tuple[list[gr.components.Component], gr.Button, gr.Button]:
    """Return the fields in the order of `_answering`, the button that checks and the one that starts over."""
    text = gr.Textbox(label="Text", lines=4, max_lines=14, placeholder="The words of the post, as they were written.")
    with gr.Row():
        picture, clip = _upload("Picture"), _upload("Clip")
    gr.Markdown(_limits(max_bytes), elem_id="limits")
    with gr.Accordion("More about the post (optional)", open=False):
        with gr.Row():
            about = [
                gr.Textbox(label=label, info=info, max_lines=1, max_length=100, min_width=120)
                for label, info in ABOUT.values()
            ]
        gr.Markdown(
            "What is known of its author and its reception; left empty, it is unknown. Services that read it say so."
        )
        with gr.Row():
            around = [
                gr.Textbox(label=label, max_lines=1, max_length=20, min_width=110) for label in AROUND.values()
            ]  # a gr.Number that nobody has filled in becomes 0 once it is shown, and 0 is known
    named = [FITTING, *services] if _first(services) == FITTING else services
    choices = [(SERVICES.get(name, name), name) for name in [*SERVICES, *services] if name in named]
    service = gr.Radio(
        list(dict.fromkeys(choices)),
        value=_first(services),
        label="Service",
        info="What is looked at and decided; each but the first is one service of the API.",
    )
    with gr.Row():
        check = gr.Button("Check the post", variant="primary", interactive=False, scale=3, min_width=160)
        clear = gr.Button("Start over", scale=1, min_width=110)
    return [text, picture, clip, *about, *around, service], check, clear


def _first(services: Sequence[str]) -> str:
    """Return what is asked where nobody chooses: the service that fits the post, where there are several."""
    return FITTING if "text" in services and len(services) > 1 else services[0]


def _fitting(services: Sequence[str], given: Sequence[str]) -> str:
    """Return the service for what a post brings: that of texts where it has one, else that of its only medium."""
    wanted = ["text"] if "text" in given else [*given] if len(given) == 1 else []
    return next((name for name in (*wanted, "post") if name in services), services[0])


def _limits(max_bytes: int) -> str:
    """Return in a sentence or two what is read, as the API states it."""
    read = limits.stated()
    return f"Pictures: {read['image'].within(max_bytes)}. Clips: {read['video'].within(max_bytes)}."


def _examples(examples: Sequence[Example]) -> list[gr.Button]:
    if not examples:
        return []
    gr.Markdown(
        "## Examples\nWords as people write them; a symbolic claim by two authors; symbolic posts of the synthetic "
        "sample, by what they bring and what they are labelled.",
        elem_id="examples",
    )
    with gr.Row(elem_id="example-buttons"):
        return [
            gr.Button(f"{example.kind}: {example.title.lower()}", size="sm", interactive=False, min_width=60)
            for example in examples
        ]


def _filling(example: Example, services: Sequence[str]) -> Callable[[], list[str | None]]:
    names = ("text", "image", "video", *ABOUT)
    service = example.service if example.service in services else _first(services)
    return lambda: [
        *(example.values.get(name) for name in names),
        *(example.around.get(name) for name in AROUND),
        service,
    ]


def _looking(standing: Callable[[], Standing], buttons: int) -> Callable[[], list[Any]]:
    """Return what shows how far the start is, ends the looking once that is settled, and opens so many buttons."""

    def look() -> list[Any]:
        now = standing()
        kind = "ready" if now.ready else "failed" if now.failed else "busy"
        bar = f'<progress max="{now.total}" value="{now.done}"></progress>' if now.total and kind == "busy" else ""
        notice = f'<div class="standing {kind}" role="status">{verdict.safe(now.sentence)}{bar}</div>'
        notice = notice if now.sentence else ""
        opened = [gr.Button(interactive=now.ready) for _ in range(buttons)]
        return [notice, gr.Timer(active=not (now.ready or now.failed)), *opened]

    return look


# ----------------------------------------------------------------------------------------------------------- answering


def _answering(engine: Engine, lacking: Mapping[str, str]) -> Callable[..., tuple[str, str, str]]:
    """Return what turns the form's fields into verdict, details and preview, and every fault into one sentence."""

    def answer(
        text: str | None,
        picture: bytes | Gone | None,
        clip: bytes | Gone | None,
        *more: Any,
    ) -> tuple[str, str, str]:
        *values, service = more
        given = dict(zip((*ABOUT, *AROUND), values, strict=True))
        about, around = ({name: given[name] for name in names} for names in (ABOUT, AROUND))
        try:
            return _answer(engine, service, _post(text, picture, clip, about, around), lacking)
        except WorkbenchError as error:
            message = str(error).rstrip(".")
            return verdict.told(f"{message[:1].upper()}{message[1:]}."), "", ""
        except Exception:
            fault = secrets.token_hex(4)
            log.exception("fault %s while a post was tried", fault)
            message = (
                "Something failed on our side and nothing was decided. Try again; if it stays, give whoever runs this"
            )
            return verdict.told(f"{message} page the fault's id {fault}."), "", ""

    return answer


def _number(value: str | float | None) -> float | None:
    """Return what a field says, None where it is empty, NaN where it says no number."""
    if value is None or not str(value).strip():
        return None
    try:
        return float(value)
    except ValueError:
        return math.nan


def _around(given: Mapping[str, str | float | None]) -> dict[str, dict[str, float]]:
    """Return author and engagement as far as they are given; raises WorkbenchError for numbers that cannot be."""
    found: dict[str, dict[str, float]] = {}
    for name, written in given.items():
        if (value := _number(written)) is None:
            continue
        whole = not name.endswith("_days")
        if not 0 <= value <= context.LARGEST or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise WorkbenchError(
                f"{AROUND[name].lower()} must be {kind} from 0 to {context.LARGEST:g}; change it or leave it empty"
            )
        group, _, field = name.partition(".")
        found.setdefault(group, {})[field] = int(value) if whole else float(value)
    return found


def _post(
    text: str | None,
    picture: bytes | Gone | None,
    clip: bytes | Gone | None,
    about: Mapping[str, str | None],
    around: Mapping[str, str | float | None],
) -> Post:
    """Return the form as a post; raises WorkbenchError for what staff can mend."""
    for medium, name in ((picture, "picture"), (clip, "clip")):
        if isinstance(medium, Gone):
            raise WorkbenchError(f"the {name} has been deleted from this machine meanwhile; choose it again")
    text = (text or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if len(text) > TEXT:
        raise WorkbenchError(f"the text has {len(text):,} characters, and at most {TEXT:,} are taken; shorten it")
    if not visible(text) and picture is None and clip is None:
        raise WorkbenchError(EMPTY)
    known = {name: value.strip() for name, value in about.items() if value and value.strip()}
    media = {name: Media(bytes=data) for name, data in (("image", picture), ("video", clip)) if data is not None}
    return Post(post_id=f"demo-{secrets.token_hex(8)}", text=text or None, **media, **known, **_around(around))


def _answer(engine: Engine, service: str, post: Post, lacking: Mapping[str, str]) -> tuple[str, str, str]:
    given = [name for name in MODALITIES if (visible(post.text) if name == "text" else getattr(post, name) is not None)]
    infos = engine.services()
    service = _fitting(list(infos), given) if service == FITTING else service
    info = infos[service]
    if not set(given) & set(info.needs):
        named = verdict.TITLES[info.needs[0]].lower()
        raise WorkbenchError(
            f"this service looks at a {named}, and the post has none; add one or choose another service"
        )
    result = engine.probe(service, post)
    policy = engine.policy(service)
    rules = {name: policy.rule(name, post.region, post.language, engine.taxonomy)[0] for name in info.labels}
    about = note(engine.bundles[service])
    other = f"Another model would answer: {lacking[service]}." if service in lacking else ""
    shown = verdict.ShownDecision(
        decision=result.decision,
        taxonomy=engine.taxonomy,
        rules={name: rule for name, rule in rules.items() if rule is not None},
        given=given,
        looks=info.modalities,
        unread=result.assessment.unread,
        alike=result.assessment.alike,
        moved=result.assessment.moved,
        missing=result.assessment.missing,
        links=result.links,
        policy_date=policy.date.isoformat() if policy.id == result.policy_id else "",
        note=f"{about} {other}".strip(),
        unreal=about == UNREAL,
    )
    media = {name: getattr(post, name).bytes if getattr(post, name) else None for name in ("image", "video")}
    return verdict.summary(shown), verdict.whole(shown), preview.sheet(media["image"], media["video"])


# ------------------------------------------------------------------------------------------------------------ mounting


def mount(app: Any, page: gr.Blocks, max_bytes: int) -> None:
    """Mount the page at `/` of an application, with every switch that Gradio leaves open closed."""
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=max_bytes,
        allowed_paths=[],
        blocked_paths=[str(ROOT)],
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", **fonts),
        css_paths=[CSS],
        app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
    )
