"""The demo's page as a visitor has it: served on a port, opened in a browser, its form filled in."""

from __future__ import annotations

import io
import socket
import threading
from contextlib import contextmanager

import uvicorn
from PIL import Image

PATIENCE = 60_000  # milliseconds; the machine may have other things to do


class Site:
    """A served page and a browser; what its visitors ask for and what their consoles complain of is written down."""

    def __init__(self, url, browser):
        self.url, self.browser = url, browser
        self.asked, self.complaints, self.dialogs, self._visitors = [], [], [], []

    def close(self):
        """End all visits."""
        for visitor in self._visitors:
            visitor.close()

    def visit(self, ready=True, **context):
        """Return the page as a visitor of their own has it."""
        visitor = self.browser.new_context(**{"viewport": {"width": 1440, "height": 1000}} | context)
        self._visitors.append(visitor)
        visitor.set_default_timeout(PATIENCE)
        page = visitor.new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda line: line.type == "error" and self.complaints.append(line.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(self.url)
        if ready:
            page.locator("button:enabled", has_text="Check the post").wait_for()
        return page


@contextmanager
def on_a_port(app):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # a visitor who comes before the server has started waits
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


def check(page, text=None, picture=None, clip=None) -> str:
    """Fill in the form, check the post, and return the verdict that is shown then."""
    if text is not None:
        page.get_by_label("Text", exact=True).first.fill(text)
    for number, content in enumerate((picture, clip)):
        if content is not None:
            put(page, number, content)
    page.evaluate("document.querySelector('#verdict h2')?.setAttribute('data-old', '')")
    page.get_by_role("button", name="Check the post").click()
    return verdict(page)


def put(page, number, content, name="file.bin"):
    """Choose a file for the picture (0) or the clip (1)."""
    field = page.locator(".upload").nth(number)
    with page.expect_file_chooser() as chooser:
        field.get_by_role("button").first.click()
    chooser.value.set_files({"name": name, "mimeType": "application/octet-stream", "buffer": content})
    field.locator(".filename").wait_for()


def verdict(page) -> str:
    heading = page.locator("#verdict h2:not([data-old])")
    heading.wait_for()
    return heading.inner_text()


def picture(kind="PNG", size=(320, 200), **options) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (30, 120, 200)).save(file, kind, **options)
    return file.getvalue()
