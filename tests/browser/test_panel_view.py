"""The view of a panel in a bare page, against a kernel that the test plays: what is drawn, said and asked."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from payloads import PAYLOADS
from playwright.sync_api import Locator, Page, Route, expect

STATIC = files("gathering.notebook") / "static"
ORIGIN = "http://panel.test"
HARNESS = """<!doctype html><html lang="en"><head><title>panel</title><style>{theme}</style></head>
<body style="background: var(--jp-layout-color1, #fff); color: var(--jp-ui-font-color1, #000)"><main><h1>A page</h1><div id="here"></div></main><script type="module">
import stub from "/stub.js";
const listeners = {{}};
window.sent = [];
window.RAN = () => {{ window.ran = true; }};
window.model = {{
  get: () => "{kind}",
  on: (name, callback) => (listeners[name] ??= new Set()).add(callback),
  off: (name, callback) => listeners[name]?.delete(callback),
  send: async (message, callbacks, buffers) => {{
    window.sent.push({{ ...message, buffers: (buffers ?? []).length }});
    if (message.t === "asset") {{
      const bytes = await (await fetch("/" + message.name)).arrayBuffer();
      tell({{ t: "asset", view: message.view, name: message.name, version: "1" }}, [new DataView(bytes)]);
    }}
  }},
}};
window.tell = (message, buffers) => {{ for (const callback of [...(listeners["msg:custom"] ?? [])]) callback(message, buffers); }};
window.happen = (name) => {{ for (const callback of [...(listeners[name] ?? [])]) callback(); }};
window.close_view = await stub.render({{ model: window.model, el: document.getElementById("here") }});
window.ready = true;
</script></main></body></html>"""
LIGHT = ""
DARK = (
    ":root{--jp-layout-color1:#212121;--jp-layout-color2:#424242;--jp-content-font-color1:#fff;--jp-ui-font-color1:#fff;"
    "--jp-border-color1:#757575;--jp-brand-color1:#90caf9;--jp-ui-inverse-font-color1:#000;--jp-error-color1:#f44336;"
    "--jp-content-link-color:#64b5f6;--jp-mirror-editor-keyword-color:#4caf50;--jp-mirror-editor-string-color:#ff7070;"
    "--jp-mirror-editor-comment-color:#408080;--jp-mirror-editor-number-color:#66bb6a;--jp-mirror-editor-def-color:#50a0ff}"
)
CONTRAST = (
    ":root{--jp-layout-color1:#000;--jp-layout-color2:#000;--jp-content-font-color1:#fff;--jp-ui-font-color1:#fff;"
    "--jp-border-color1:#fff;--jp-brand-color1:#ffd700;--jp-ui-inverse-font-color1:#000;--jp-error-color1:#ff8a80;"
    "--jp-content-link-color:#8ab4f8}"
)
THEMES = {"light": LIGHT, "dark": DARK, "contrast": CONTRAST}
NO_USAGE = {"input": None, "output": None, "cached": None, "reasoning": None}
END = {
    "status": "done",
    "model": "scripted:script",
    "usage": {**NO_USAGE, "input": 12, "output": 3},
    "cost": 0.0004,
    "ms": 1500,
    "ttft": 90,
    "error": None,
    "turn": "t",
    "branch": None,
}
RICH = """A **bold** word, a [link](https://example.org), `code`, and $a^2 + b^2$.

| a | b |
|---|---|
| 1 | 2 |

```python
# a comment
def f(x): return x + 1
```

- one
- two

> quoted"""


def item(identity: str, role: str = "assistant", text: str | None = None, **fields: Any) -> dict[str, Any]:
    parts = [] if text is None else [{"k": "text", "text": text}]
    return {
        "id": identity,
        "role": role,
        "speaker": "ada" if role == "assistant" else "",
        "parts": parts,
        "images": [],
        **END,
        **fields,
    }


def call(state: str, **fields: Any) -> dict[str, Any]:
    empty = {"output": None, "error": None, "ms": None, "permission": "write", "reason": None}
    return {"id": "c1", "name": "send_mail", "arguments": {"to": "bob"}, "state": state, **empty, **fields}


@dataclass
class Kernel:
    """The other end of the comm."""

    page: Page
    view: str = ""
    seq: int = 0
    requests: list[str] = field(default_factory=list)

    def hello(self, *items: dict[str, Any], more: bool = False, **panel: Any) -> None:
        about = {
            "kind": "chat",
            "title": "Chat with ada",
            "height": 900,
            "readonly": False,
            "starters": [],
            "agent": "ada",
            "models": ["scripted:script"],
            **panel,
        }
        state = {
            "phase": "idle",
            "model": "scripted:script",
            "tokens": {"input": 12, "output": 3},
            "cost": 0.0004,
        }
        state |= {"turns": 1, "branch": 0}
        message = {"t": "hello", "v": 1, "seq": self.seq, "panel": about, "items": list(items), "more": more}
        self.tell({**message, "state": state, "view": self.view})

    def tell(self, message: dict[str, Any]) -> None:
        self.page.evaluate("message => window.tell(message)", message)

    def change(self, **message: Any) -> None:
        self.seq += 1
        self.tell({**message, "seq": self.seq})

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.page.evaluate("() => window.sent") if m["t"] == kind]

    def wait_for(self, kind: str) -> dict[str, Any]:
        self.page.wait_for_function("kind => window.sent.some((m) => m.t === kind)", arg=kind)
        found: dict[str, Any] = self.sent(kind)[-1]
        return found

    @property
    def root(self) -> Locator:
        return self.page.locator(".g-panel")


@pytest.fixture(params=["light"])
def kernel(page: Page, request: pytest.FixtureRequest) -> Kernel:
    """A panel that has said it is ready."""
    kernel = Kernel(page)
    theme, _, kind = request.param.partition(":")
    html = HARNESS.format(theme=THEMES[theme], kind=kind or "chat")

    def serve(route: Route) -> None:
        name = route.request.url.removeprefix(f"{ORIGIN}/")
        if not route.request.url.startswith(ORIGIN):
            kernel.requests.append(route.request.url)
            route.fulfill(body="")  # answered, so that the console stays silent
        elif name == "":
            route.fulfill(body=html, content_type="text/html; charset=utf-8")
        elif not (STATIC / name).is_file():
            route.fulfill(body="")
        else:
            route.fulfill(body=(STATIC / name).read_bytes(), content_type="text/javascript; charset=utf-8")

    page.route("**/*", serve)
    page.goto(f"{ORIGIN}/")
    page.wait_for_function("() => window.ready")
    kernel.view = kernel.wait_for("ready")["view"]
    return kernel


@pytest.mark.parametrize("kernel", list(THEMES), indirect=True)
def test_no_axe_violation(kernel: Kernel, request: pytest.FixtureRequest) -> None:
    """A panel with everything in it breaks no rule of axe, in the light, the dark and a high-contrast theme."""
    asked = item(
        "a2", text=None, status="open", parts=[{"k": "tool", "call": call("asked", reason="a rule")}]
    )
    failed = item("a3", status="error", error={"message": "It failed", "next": "Try again."})
    done = [
        {"k": "thinking", "text": "Hm."},
        {"k": "tool", "call": call("done", output="sent", ms=3)},
        {"k": "text", "text": RICH},
    ]
    branch = {"index": 1, "count": 2}
    kernel.hello(
        item("u1", "user", "Say **something**", branch=branch),
        item("a1", parts=done),
        item("n1", "note", "another model answers from here on"),
        item("u2", "user", "Mail bob"),
        asked,
        failed,
        models=["scripted:script", "local"],
        more=True,
    )
    expect(kernel.root.locator("math")).to_be_visible()
    kernel.root.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    kernel.page.screenshot(path=f"build/browser/view-{request.node.callspec.id}.png", full_page=True)
    results = Axe().run(
        kernel.page,
        options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    )
    assert results.violations_count == 0, results.generate_report()


def test_what_a_model_writes_runs_nothing_and_asks_for_nothing(kernel: Kernel) -> None:
    """Each payload is shown, whole and while it streams; no script runs and no request leaves the page."""
    assert len(PAYLOADS) >= 60
    kernel.hello(*(item(f"a{i}", text=text) for i, text in enumerate(PAYLOADS)))
    for i, text in enumerate(PAYLOADS):
        kernel.change(t="start", item=item(f"s{i}", status="open"))
        half = len(text) // 2
        kernel.change(t="delta", id=f"s{i}", part=0, k="text", off=0, text=text[:half])
        kernel.change(t="delta", id=f"s{i}", part=0, k="text", off=half, text=text[half:])
        kernel.change(t="end", id=f"s{i}", sizes=[len(text)], **END)
        kernel.change(
            t="tool", id=f"s{i}", part=1, call=call("done", name=text, output=text, arguments={"x": text})
        )
    expect(kernel.root.locator("[data-id^=s]")).to_have_count(len(PAYLOADS))
    expect(kernel.root.locator("math").first).to_be_attached()
    for tag in (
        "script",
        "iframe",
        "object",
        "embed",
        "img",
        "svg",
        "style",
        "link",
        "form form",
        "video",
        "audio",
    ):
        assert kernel.root.locator(tag).count() == 0, tag
    for link in kernel.root.locator("a[href]").all():
        assert str(link.get_attribute("href")).startswith(("https://", "http://", "mailto:"))
    handlers = (
        "all => all.flatMap((e) => e.getAttributeNames().filter((n) => n.startsWith('on') || n === 'style'))"
    )
    assert kernel.root.locator(".g-body *").evaluate_all(handlers) == []
    assert kernel.page.evaluate("() => window.ran") is None
    assert kernel.requests == []


def test_the_payloads_do_work_where_nothing_stops_them(kernel: Kernel) -> None:
    """The control: put into the page as HTML, payloads run and ask, so that the test above could fail."""
    kernel.page.evaluate(
        "html => { document.body.insertAdjacentHTML('beforeend', html); }", "".join(PAYLOADS[3:6])
    )
    kernel.page.wait_for_function("() => window.ran === true")
    assert kernel.requests


@pytest.mark.parametrize(
    "text",
    [
        "> " * 5000 + "x",
        "- " * 1000 + "x",
        "[" * 20_000,
        "\\(" * 20_000,
        "`" * 20_001,
        "w" * 300_000,
        "\u202e" * 5000,
    ],
    ids=["quotes", "lists", "brackets", "formulas", "ticks", "long", "bidi"],
)
def test_no_text_ends_a_panel(kernel: Kernel, text: str) -> None:
    """What the parser cannot read, or not in time, is shown as it is; the panel goes on, and never asks for it again."""
    kernel.hello()
    kernel.change(t="start", item=item("a1", status="open"))
    half = len(text) // 2
    kernel.change(t="delta", id="a1", part=0, k="text", off=0, text=text[:half])
    kernel.change(t="delta", id="a1", part=0, k="text", off=half, text=text[half:])
    kernel.change(t="end", id="a1", sizes=[len(text)], **END)
    kernel.change(t="start", item=item("a2", text="And **on**"))
    expect(kernel.root.locator("[data-id=a2] strong")).to_have_text("on")
    expect(kernel.root.locator("[data-id=a1]")).to_have_attribute("data-done", "done")
    assert kernel.sent("resync") == []


def test_a_model_that_was_refused_is_not_chosen(kernel: Kernel) -> None:
    """The list shows the model that answers, not the one that could not be had."""
    kernel.hello(models=["scripted:script", "nobody:none"])
    models = kernel.root.get_by_role("combobox", name="Model")
    models.select_option("nobody:none")
    number = kernel.wait_for("model")["n"]
    kernel.tell({"t": "refused", "view": kernel.view, "n": number, "message": "unknown provider", "next": ""})
    expect(models).to_have_value("scripted:script")
    expect(kernel.root.get_by_role("alert").first).to_have_text("unknown provider")


def test_after_sleep_the_kernel_is_asked_what_was_missed(kernel: Kernel) -> None:
    """When the page is seen again, a question of a few bytes tells of what was lost, even if nothing comes after it."""
    kernel.hello()
    kernel.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    assert kernel.wait_for("check")["last"] == 0
    kernel.hello(item("a1", text="What was missed"))
    expect(kernel.root.locator("[data-id=a1]")).to_contain_text("What was missed")


def test_messages_asked_for_twice_are_shown_once(kernel: Kernel) -> None:
    """Two presses of the button for earlier messages bring one page."""
    kernel.hello(item("a1", text="new"), more=True)
    for _ in range(2):
        kernel.root.get_by_role("button", name="Earlier messages").click()
    page = {"t": "page", "view": kernel.view, "before": "a1", "items": [item("a0", text="old")], "more": True}
    for _ in range(2):
        kernel.tell(page)
    expect(kernel.root.locator("article")).to_have_count(2)


def test_one_busy_kernel_does_not_keep_the_panels_of_another_waiting(kernel: Kernel) -> None:
    """A view whose page waits for the modules from a kernel that is silent says so, and asks its own."""
    kernel.page.evaluate(
        """async () => {
            const bytes = await (await fetch("/panel.js")).arrayBuffer();
            const fake = (answers, version) => {
                const told = new Set();
                const asked = [];
                return { asked, get: (name) => name === "version" ? version : "chat",
                    on: (name, call) => { if (name === "msg:custom") told.add(call); }, off: (name, call) => told.delete(call),
                    send: (message) => {
                        asked.push(message.t);
                        if (answers && message.t === "asset") for (const call of [...told])
                            call({ t: "asset", view: message.view, name: message.name, version: "" }, [new DataView(bytes)]);
                    } };
            };
            const stub = (await import("/stub.js")).default;
            const place = (id) => { const el = document.createElement("div"); el.id = id; document.body.append(el); return el; };
            window.silent = fake(false, "other");
            window.ready = fake(true, "other");
            stub.render({ model: window.silent, el: place("silent") });
            stub.render({ model: window.ready, el: place("ready") });
        }"""
    )
    expect(kernel.page.locator("#silent")).to_contain_text("The kernel is busy")
    expect(kernel.page.locator("#ready .g-panel")).to_be_attached()
    expect(kernel.page.locator("#silent .g-panel")).to_be_attached()
    assert kernel.page.evaluate("() => window.silent.asked.filter((t) => t === 'asset').length") == 1


def test_how_much_has_come_is_seen_while_it_comes(kernel: Kernel) -> None:
    """Tokens are estimated below an answer that grows, and who waits for a decision is said."""
    kernel.hello()
    kernel.change(t="start", item=item("a1", status="open"))
    kernel.change(t="delta", id="a1", part=0, k="text", off=0, text="word " * 80)
    expect(kernel.root.locator("[data-id=a1]")).to_contain_text("about 100 tokens so far")
    kernel.change(t="tool", id="a1", part=1, call=call("asked"))
    state = {
        "phase": "answering",
        "model": "m",
        "tokens": {"input": 0, "output": 0},
        "cost": None,
        "turns": 0,
        "branch": 0,
    }
    kernel.change(t="state", state=state)
    expect(kernel.root.get_by_role("status")).to_have_text("ada waits for your decision")
    kernel.root.get_by_role("textbox", name="Message").fill("And then?")
    kernel.root.get_by_role("textbox", name="Message").press("Enter")
    expect(kernel.root.get_by_role("alert").filter(has_text="An answer is coming")).to_be_visible()
    expect(kernel.root.get_by_role("textbox", name="Message")).to_have_value("And then?")


def test_an_answer_is_drawn_while_it_comes(kernel: Kernel) -> None:
    """Deltas become Markdown block by block, figures stand below when it is done, sentences are announced."""
    kernel.hello()
    kernel.change(t="start", item=item("a1", status="open"))
    kernel.change(t="delta", id="a1", part=0, k="text", off=0, text="# Title\n\nA **wo")
    expect(kernel.root.get_by_role("heading", name="Title", level=3)).to_be_visible()
    kernel.change(t="delta", id="a1", part=0, k="text", off=15, text="rd** 🙂. And")
    expect(kernel.root.locator("strong")).to_have_text("word")
    kernel.change(t="end", id="a1", sizes=[27], **END)
    article = kernel.root.locator("[data-id=a1]")
    expect(article).to_have_attribute("data-done", "done")
    expect(article).to_contain_text("12 in, 3 out · $0.0004 · 1.5 s")
    said = kernel.root.get_by_role("region", name="What is said")
    expect(said).to_contain_text("A word 🙂.")
    expect(said).to_contain_text("And")


def test_a_gap_is_asked_about_and_filled(kernel: Kernel) -> None:
    """When the server dropped a message the view asks for everything, and shows it."""
    kernel.hello()
    kernel.change(t="start", item=item("a1", status="open"))
    kernel.seq += 1  # a delta that never came
    kernel.change(t="delta", id="a1", part=0, k="text", off=5, text="world")
    assert kernel.wait_for("resync")["last"] == 1
    kernel.hello(item("a1", text="Hello world", status="open"))
    kernel.change(t="delta", id="a1", part=0, k="text", off=11, text="!")
    expect(kernel.root.locator("[data-id=a1]")).to_contain_text("Hello world!")


def test_a_silent_kernel_is_said_to_be_busy(kernel: Kernel) -> None:
    """Without an answer after a second the panel says that the kernel is busy, and takes it back with the answer."""
    kernel.hello()
    kernel.root.get_by_role("textbox", name="Message").fill("Hi")
    kernel.root.get_by_role("button", name="Send").click()
    expect(kernel.root.get_by_role("status")).to_contain_text("The kernel is busy")
    kernel.tell({"t": "ack", "view": kernel.view, "n": kernel.wait_for("send")["n"]})
    expect(kernel.root.get_by_role("status")).not_to_contain_text("busy")


def test_a_refused_message_is_not_lost(kernel: Kernel) -> None:
    """What the kernel did not take stands in the box again, with the reason beside it."""
    kernel.hello()
    box = kernel.root.get_by_role("textbox", name="Message")
    box.fill("A long message")
    box.press("Enter")
    number = kernel.wait_for("send")["n"]
    expect(box).to_have_value("")
    kernel.tell(
        {"t": "refused", "view": kernel.view, "n": number, "message": "a cell has it", "next": "wait"}
    )
    expect(box).to_have_value("A long message")
    expect(kernel.root.get_by_role("alert").first).to_have_text("a cell has it wait")


def test_files_are_attached_and_sent(kernel: Kernel) -> None:
    """Chosen files are listed, can be removed, and travel as buffers; too large ones are refused before."""
    kernel.hello()
    picker = kernel.root.locator("input[type=file]")
    picker.set_input_files(
        [
            {"name": "a.txt", "mimeType": "text/plain", "buffer": b"one"},
            {"name": "b.txt", "mimeType": "text/plain", "buffer": b"two"},
        ]
    )
    kernel.root.get_by_role("button", name="Remove a.txt").click()
    kernel.root.get_by_role("button", name="Send").click()
    sent = kernel.wait_for("send")
    assert (sent["files"], sent["buffers"]) == ([{"name": "b.txt", "media_type": "text/plain"}], 1)
    picker.set_input_files(
        [{"name": "big.bin", "mimeType": "text/plain", "buffer": b"x" * (9 * 1024 * 1024)}]
    )
    expect(kernel.root.get_by_role("alert").first).to_contain_text("larger than 8 MB")
    picker.set_input_files(
        [{"name": "torn.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n torn"}]
    )
    expect(kernel.root.get_by_role("alert").first).to_contain_text("torn.png cannot be read as an image")
    expect(kernel.root.get_by_role("button", name="Remove torn.png")).to_have_count(0)


def test_a_file_that_is_gone_when_it_is_sent_takes_no_words_along(kernel: Kernel, tmp_path: Path) -> None:
    """A file that was removed after it was attached is said to be, and the message stays in its box."""
    kernel.hello()
    (tmp_path / "notes.txt").write_text("one")
    kernel.root.locator("input[type=file]").set_input_files(tmp_path / "notes.txt")
    (tmp_path / "notes.txt").unlink()
    box = kernel.root.get_by_role("textbox", name="Message", exact=True)
    box.fill("Read this")
    kernel.root.get_by_role("button", name="Send").click()
    expect(kernel.root.get_by_role("alert").first).to_contain_text("A file cannot be read")
    expect(box).to_have_value("Read this")


def test_many_formulas_do_not_hold_the_page(kernel: Kernel) -> None:
    """The first two thousand are typeset in slices between which the page listens; the others stay readable as they are."""
    kernel.hello()
    kernel.page.evaluate(
        "() => { window.gaps = 0; setInterval(() => { if (document.querySelector('math')) window.gaps += 1; }, 0); }"
    )
    kernel.change(t="start", item=item("a1", text=" ".join(f"$x_{{{n}}}$" for n in range(2100))))
    expect(kernel.root.locator("math")).to_have_count(2000, timeout=30_000)
    assert kernel.page.evaluate("() => window.gaps") > 5
    expect(kernel.root.locator("[data-math]")).to_have_count(100)
    expect(kernel.root.locator("[data-math]").last).to_have_text("$x_{2099}$")


def test_a_reader_is_left_where_they_are(kernel: Kernel) -> None:
    """New text does not move somebody who reads above; a button leads to the newest; older messages come above."""
    kernel.hello(*(item(f"a{i}", text="word " * 120) for i in range(12)), more=True)
    log = kernel.root.get_by_role("log")
    log.evaluate("log => { log.scrollTop = 100; }")
    expect(kernel.root.get_by_role("button", name="Newest")).to_be_visible()
    kernel.change(t="start", item=item("last", status="open"))
    kernel.change(t="delta", id="last", part=0, k="text", off=0, text="word " * 200)
    expect(kernel.root.get_by_role("button", name="Newest")).to_be_visible()
    assert log.evaluate("log => log.scrollTop") == 100
    kernel.root.get_by_role("button", name="Newest").click()
    assert log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") < 2
    kernel.root.get_by_role("button", name="Earlier messages").click()
    assert kernel.wait_for("page")["before"] == "a0"
    kernel.tell(
        {
            "t": "page",
            "view": kernel.view,
            "before": "a0",
            "items": [item("older", text="before")],
            "more": False,
        }
    )
    expect(log.locator("article").first).to_have_attribute("data-id", "older")
    expect(kernel.root.get_by_role("button", name="Earlier messages")).not_to_be_visible()


def test_an_image_that_is_drawn_late_does_not_lose_the_end(kernel: Kernel) -> None:
    """Who sends an image sees the answer to it: what grows after it was drawn is followed."""
    big = kernel.page.evaluate(
        """() => { const one = document.createElement("canvas"); one.width = one.height = 400; return one.toDataURL().split(",")[1]; }"""
    )
    kernel.hello(*(item(f"a{i}", text="word " * 120) for i in range(12)))
    image = {"name": "", "media_type": "image/png", "data": big}
    kernel.change(t="start", item=item("u1", "user", "Look", images=[image]))
    kernel.change(t="start", item=item("last", status="open"))
    kernel.change(t="delta", id="last", part=0, k="text", off=0, text="I see $x^2$.")
    expect(kernel.root.locator("math")).to_be_visible()
    kernel.page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    log = kernel.root.get_by_role("log")
    assert log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") < 2
    expect(kernel.root.get_by_role("button", name="Newest")).not_to_be_visible()


def test_what_a_reader_unfolds_stays_under_their_eyes(kernel: Kernel) -> None:
    """A card that is opened at the end of the log is not scrolled away by its own growth."""
    parts = [{"k": "tool", "call": call("done", output="line\n" * 80)}]
    kernel.hello(*(item(f"a{i}", text="word " * 120) for i in range(12)), item("last", parts=parts))
    log = kernel.root.get_by_role("log")
    kernel.root.locator("[data-id=last] summary").click()
    expect(kernel.root.locator("[data-id=last]")).to_contain_text("Result")
    kernel.page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    expect(kernel.root.locator("[data-id=last] summary")).to_be_in_viewport()
    assert log.evaluate("log => log.scrollHeight - log.scrollTop - log.clientHeight") > 100


def test_the_keyboard_alone_is_enough(kernel: Kernel) -> None:
    """Enter sends, Shift+Enter does not, Escape stops, the arrow up edits the last message."""
    kernel.hello(item("u1", "user", "First words"), item("a1", text="Answer"))
    box = kernel.root.get_by_role("textbox", name="Message")
    box.focus()
    kernel.page.keyboard.type("one")
    kernel.page.keyboard.press("Shift+Enter")
    kernel.page.keyboard.type("two")
    kernel.page.keyboard.press("Enter")
    assert kernel.wait_for("send")["text"] == "one\ntwo"
    kernel.change(
        t="state",
        state={
            "phase": "answering",
            "model": "m",
            "tokens": {"input": 0, "output": 0},
            "cost": None,
            "turns": 0,
            "branch": 0,
        },
    )
    kernel.page.keyboard.press("Escape")
    kernel.wait_for("stop")
    box.focus()
    kernel.page.keyboard.press("ArrowUp")
    edit = kernel.root.get_by_role("textbox", name="Edit message")
    expect(edit).to_be_focused()
    expect(edit).to_have_value("First words")
    edit.fill("Other words")
    kernel.page.keyboard.press("Enter")
    assert kernel.wait_for("edit")["text"] == "Other words"


def test_an_image_of_the_person_is_shown(kernel: Kernel) -> None:
    """An image that was sent is drawn from its own bytes; a file that only says it is one is not."""
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    assert base64.b64decode(pixel)
    images = [
        {"name": "dot", "media_type": "image/png", "data": pixel},
        {
            "name": "bad",
            "media_type": "image/svg+xml",
            "data": base64.b64encode(b"<svg onload=RAN()>").decode(),
        },
    ]
    torn = {
        "name": "torn",
        "media_type": "image/png",
        "data": base64.b64encode(b"\x89PNG\r\n\x1a\n torn").decode(),
    }
    kernel.hello(item("u1", "user", "Look", images=[*images, torn]))
    expect(kernel.root.locator("img")).to_have_count(1)
    expect(kernel.root.get_by_text("This image cannot be shown")).to_be_visible()
    assert kernel.requests == []


def test_a_kernel_that_is_gone_is_said(kernel: Kernel) -> None:
    """When the comm closes, nothing can be sent any more and the way back is named."""
    kernel.hello(item("a1", text="Hi"))
    kernel.page.evaluate("() => window.happen('comm_live_update')")
    expect(kernel.root.get_by_role("status")).to_contain_text("%gathering restore")
    expect(kernel.root.get_by_role("button", name="Send")).not_to_be_visible()


# -- boards --------------------------------------------------------------------------------------------------------


def memory_rows() -> dict[str, Any]:
    row = {
        "kind": "fact",
        "tokens": 3,
        "in_context": True,
        "why": "pinned",
        "importance": 0.5,
        "pinned": False,
    }
    rows = [
        {"id": f"m{i}", "text": text, "fact": True, "score": None, **row} for i, text in enumerate(PAYLOADS)
    ]
    found = {"query": PAYLOADS[0], "rows": [{"id": "m1", "text": text, "score": 0.5} for text in PAYLOADS]}
    return {"memory": {"rows": rows, "total": len(rows), "long_term": True, "found": found}}


def trace_turn() -> dict[str, Any]:
    def said(text: str) -> dict[str, Any]:
        return {"role": "assistant", "text": text, "more": text, "parts": text, "images": 0}

    call_of = {"kind": "call", "start": 0, "ms": 5, "status": "ok", "input": 1, "output": 2}
    tool_of = {"kind": "tool", "start": 5, "ms": 1, "status": "error"}
    steps: list[dict[str, Any]] = []
    for text in PAYLOADS:
        sent = {"messages": [said(text)], "tools": text, "params": text}
        steps.append({**call_of, "id": text, "name": text, "error": text, "sent": sent, "came": [said(text)]})
        steps.append({**tool_of, "id": text, "name": text, "error": text, "arguments": text, "result": text})
    turn = {"turn_id": "t", "agent": PAYLOADS[0], "question": PAYLOADS[1], "steps": steps, "ms": 6}
    checks = [{"check": text, "passed": False, "actual": text} for text in PAYLOADS]
    row = {
        "turn_id": "t",
        "agent": PAYLOADS[0],
        "question": PAYLOADS[1],
        "calls": 1,
        "tokens": 2,
        "cost": None,
    }
    turns = {"rows": [{**row, "ms": 1, "status": "ok"}], "older": 0, "open": "t", "listed": True}
    return {"turns": turns, "turn": {**turn, "checks": checks}}


def grid_plan() -> dict[str, Any]:
    cases = [{"row": i, "id": str(i), "prompt": text} for i, text in enumerate(PAYLOADS)]
    plan = {"models": ["a", "b"], "repeats": 1, "cases": cases, "start": 0, "size": 100, "count": len(cases)}
    plan |= {"of": len(cases), "sort": "case", "down": False, "filter": "", "notes": PAYLOADS}
    return {"grid": plan, "progress": {"done": 1, "total": 2}}


@pytest.mark.parametrize(
    ("kernel", "values"),
    [("light:memory", memory_rows()), ("light:trace", trace_turn()), ("light:grid", grid_plan())],
    indirect=["kernel"],
    ids=["memory", "trace", "grid"],
)
def test_payloads_are_text_on_every_board(kernel: Kernel, values: dict[str, Any]) -> None:
    """Whatever column a payload stands in: no script runs, nothing is asked for, and it can be read."""
    columns = ("a", "b") if "grid" in values else ()
    cells = [
        item(
            f"c{i}{name}",
            text=text,
            cell={"row": str(i), "column": name, "repeat": 1},
            error={"message": text, "next": ""},
        )
        for i, text in enumerate(PAYLOADS)
        for name in columns
    ]
    kernel.hello(*cells)
    for name, value in values.items():
        kernel.change(t="data", name=name, value=value)
    expect(kernel.root.get_by_text(PAYLOADS[0]).first).to_be_visible()
    if columns:
        kernel.root.get_by_role("combobox", name="Mark what differs from").select_option("a")
    kernel.root.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    for tag in ("script", "iframe", "object", "embed", "img", "svg", "style", "link", "video", "audio"):
        assert kernel.root.locator(tag).count() == 0, tag
    assert kernel.page.evaluate("() => window.ran") is None
    assert kernel.requests == []


@pytest.mark.parametrize("kernel", ["light:grid"], indirect=True)
def test_cells_of_a_grid_fill_while_they_come(kernel: Kernel) -> None:
    """Several answers grow at once, each in its cell; what differs is marked when both are whole."""
    plan = {
        "models": ["a", "b"],
        "repeats": 1,
        "cases": [{"row": 0, "id": "1", "prompt": "Hi"}],
        "start": 0,
        "size": 10,
    }
    plan |= {"count": 1, "of": 1, "sort": "case", "down": False, "filter": "", "notes": []}
    kernel.hello(more=True)
    kernel.change(t="data", name="grid", value=plan)
    for name in "ab":
        cell = {"row": "0", "column": name, "repeat": 1}
        kernel.change(t="start", item=item(f"c{name}", status="open", cell=cell))
    kernel.root.get_by_role("combobox", name="Mark what differs from").select_option("a")
    for name, text in (("a", "the cat"), ("b", "the dog")):
        kernel.change(t="delta", id=f"c{name}", part=0, k="text", off=0, text=text)
    expect(kernel.root.locator(".g-cell").nth(1)).to_contain_text("the dog")
    for name in "ab":
        kernel.change(t="end", id=f"c{name}", sizes=[7], **END)
    expect(kernel.root.locator("ins")).to_have_text("dog")
    failed = item("cb", text="the dog", status="error", error={"message": "The service is down", "next": ""})
    kernel.change(t="start", item={**failed, "cell": {"row": "0", "column": "b", "repeat": 1}})
    kernel.root.get_by_role("combobox", name="Mark what differs from").select_option("")
    kernel.root.get_by_role("combobox", name="Mark what differs from").select_option("a")
    expect(kernel.root.get_by_text("The service is down")).to_be_visible()
    kernel.change(t="start", item=item("cb", text="the dog", cell={"row": "0", "column": "b", "repeat": 1}))
    kernel.root.get_by_role("combobox", name="Mark what differs from").select_option("")
    kernel.root.get_by_role("combobox", name="Mark what differs from").select_option("a")
    expect(kernel.root.locator("del")).to_have_text("cat")
    kernel.change(t="delta", id="elsewhere", part=0, k="text", off=0, text="on another page")
    assert kernel.sent("resync") == []
