"""The page in a real browser: of a real swarm, and of swarms that are invented."""

from __future__ import annotations

import copy
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from swarm_event_listener.outlets.metrics.server import MetricsServer, Snapshot
from tests.awaits import await_restarted
from tests.eventually import eventually
from tests.process import pictures
from tests.process.browser import ENTER, SHIFT, SPACE, TAB, Browser, browsing
from tests.process.pictures import FOR_EVER_S
from tests.process.swarms import Swarm

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

WIDE: Final = (1280, 900)
PHONE: Final = (375, 812)

# What has the focus: its text, whether a person sees that, and whether it is in view.
_FOCUS: Final = """
const e = document.activeElement, style = getComputedStyle(e);
const box = e.getBoundingClientRect();
return {
  text: (e.labels?.[0] || e).textContent.trim(),
  isSeen: style.outlineStyle === "solid" && parseFloat(style.outlineWidth) >= 2,
  isInView: box.top >= 0 && box.left >= 0 &&
    box.bottom <= innerHeight && box.right <= innerWidth,
  isOpen: e.getAttribute("aria-expanded"),
};
"""

# The least contrast of any text with what is behind it, after WCAG 2.
_CONTRAST: Final = """
const parts = color => color.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
function behind(e) {
  for (; e; e = e.parentElement) {
    const color = parts(getComputedStyle(e).backgroundColor);
    if (color.length === 3 || color[3] > 0) return color;
  }
}
const hasText = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
const found = [...document.body.querySelectorAll("*")];
return found.filter(e => e.checkVisibility() && hasText(e)).map(e => {
  const both = [light(parts(getComputedStyle(e).color)), light(behind(e))];
  return [(Math.max(...both) + .05) / (Math.min(...both) + .05), e.textContent];
}).sort((x, y) => x[0] - y[0])[0];
"""


_CURVES: Final = (
    "return [...document.querySelectorAll('.node svg')]"
    ".filter(e => e.checkVisibility()).length"
)
_CARDS: Final = (
    "return [...document.querySelectorAll('.node')].map(e => e.innerText"
    ".replace(/\\s+/g, ' '))"
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Yield one browser for all tests here."""
    with browsing(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@dataclass
class Page:
    """The page in a browser, and the server that it asks."""

    browser: Browser
    server: MetricsServer
    url: str

    def open(self, scene: dict[str, Any], size: tuple[int, int] = WIDE) -> Browser:
        """Return the browser with a scene on a screen of some size."""
        pictures.show(self.server, scene)
        self.browser.resize(*size)
        self.browser.prefer("light")
        self.browser.open(self.url)
        pictures.await_drawn(self.browser, scene)
        return self.browser


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    """Yield one server for all invented swarms."""
    with pictures.served(pictures.scenes()["empty"]) as (server, url):
        yield Page(chromium, server, url)


def tabbed(browser: Browser, count: int) -> list[dict[str, Any]]:
    """Press Tab so many times; give what had the focus each time."""
    found = []
    for _ in range(count):
        browser.press(TAB)
        found.append(browser.run(_FOCUS))
    return found


# --- by keyboard ----------------------------------------------------------------------


def test_tab_reaches_all_that_can_be_operated_in_order(page: Page) -> None:
    """From top to bottom; what has the focus is in view, and is seen to have it."""
    scene = pictures.scenes()["backing_off"]
    found = tabbed(page.open(scene), 10)

    assert [focus["text"] for focus in found] == [
        *("Skip to the nodes", "Skip to the restarts"),
        *("only nodes that are not healthy", "curves"),
        *("swarm_worker_02", "swarm_worker_03"),
        *("swarm_worker_00✓ healthy", "swarm_worker_01✓ healthy"),
        *("swarm_worker_02↻ backing off", "swarm_worker_03… booting"),
    ]
    assert [focus for focus in found if not focus["isSeen"]] == []
    assert [focus for focus in found if not focus["isInView"]] == []


def test_moments_are_told_with_their_zone(page: Page) -> None:
    """Who looks may be in another zone than the machine, and than whoever he tells."""
    shown = page.open(pictures.scenes()["backing_off"]).run(
        "return [document.getElementById('at').textContent,"
        "document.querySelector('.restarts time').title,"
        "new Date().toLocaleTimeString([], {timeZoneName: 'short'}).split(' ').pop()]"
    )

    assert shown[0].endswith(shown[2])
    assert shown[1].endswith(shown[2])


def test_what_was_stopped_on_purpose_is_neither_well_nor_ill(page: Page) -> None:
    """It is counted apart; the tab and the list of those that need somebody pass."""
    scene = copy.deepcopy(pictures.scenes()["healthy"])
    for node in scene["nodes"][:2]:
        node.update(health="stopped by operator", state="STOPPED", pid=None, now=None)
    left = len(scene["nodes"]) - 2

    seen = page.open(scene).run(
        "return [document.title, document.getElementById('sum').textContent,"
        "document.querySelector('section h2').textContent,"
        "document.getElementById('ill').children.length]"
    )

    assert seen[0] == "Kafka swarm"
    assert seen[1] == f"{left} of {left} nodes healthy, 2 stopped"
    assert seen[2].endswith(f": {left} of {left} healthy, 2 stopped")
    assert seen[3] == 0


def test_the_first_keys_skip_to_the_content(page: Page) -> None:
    """Past the header to the nodes, and past a hundred nodes to the restarts."""
    scene = pictures.scenes()["hundred"]
    page.open(scene).press(TAB, ENTER, TAB)
    node = page.browser.run(_FOCUS)
    page.open(scene).press(TAB, TAB, ENTER)
    restarts = page.browser.run(_FOCUS)

    assert node["text"].startswith("swarm_worker_00")
    assert restarts["text"] == "Restarts and deaths"
    assert restarts["isInView"]


@pytest.mark.parametrize("key", [ENTER, SPACE])
def test_a_card_is_opened_and_closed_by_key(page: Page, key: str) -> None:
    """It stays so, and keeps the focus, while the page draws what is new."""
    scene = pictures.scenes()["healthy"]
    later = copy.deepcopy(scene)
    later["nodes"][0]["pid"] = 9_999
    before = tabbed(page.open(scene), 5)[-1]
    page.browser.press(key)
    pictures.show(page.server, later)
    eventually(
        lambda: "pid 9999" in page.browser.run("return document.body.textContent"),
        describe="the new pid on the page",
    )
    after = page.browser.run(_FOCUS)
    curves = page.browser.run(_CURVES)
    page.browser.press(key)
    again = page.browser.run(_FOCUS)

    assert before["text"] == after["text"] == "swarm_worker_00✓ healthy"
    assert [focus["isOpen"] for focus in (before, after, again)] == [
        *("true", "false", "true")
    ]
    assert curves == 3 * 5


def test_choices_are_made_by_key(page: Page) -> None:
    """Space leaves the ill nodes only; Shift and Tab go back."""
    scene = pictures.scenes()["hundred"]
    page.open(scene).press(TAB, TAB, TAB, SPACE)
    seen = page.browser.run(
        "return [...document.querySelectorAll('.node')]"
        ".filter(e => e.checkVisibility()).length"
    )
    page.browser.press(TAB, held=SHIFT)
    back = page.browser.run(_FOCUS)

    assert seen == sum(node["health"] != "healthy" for node in scene["nodes"]) == 6
    assert back["text"] == "Skip to the restarts"


def test_an_ill_node_among_a_hundred_is_a_key_away(page: Page) -> None:
    """Its link gives it the focus, and brings it into view."""
    scene = pictures.scenes()["hundred"]
    links = tabbed(page.open(scene), 10)[4:]
    page.browser.press(ENTER)
    focus = page.browser.run(_FOCUS)

    assert [link["text"] for link in links][:2] == [
        "swarm_worker_00",
        "swarm_worker_17",
    ]
    assert focus["text"] == "swarm_worker_85↻ backing off"
    assert focus["isInView"]


def test_a_link_keeps_the_focus_while_others_come_and_go(page: Page) -> None:
    """Also when its own node is ill in another way; it stands in the same order."""
    scene = pictures.scenes()["hundred"]
    links = tabbed(page.open(scene), 6)[4:]
    ill = page.browser.run(
        "const ill = shown.nodes.filter(n => n.health !== 'healthy'); "
        "shown.nodes[1].health = 'held'; ill[0].health = 'healthy'; "
        "ill[1].health = 'waiting'; draw(shown); "
        "return [...$('ill').children].map(item => item.textContent)"
    )

    assert links[-1]["text"] == "swarm_worker_17"
    assert page.browser.run(_FOCUS)["text"] == "swarm_worker_17"
    assert ill[:2] == ["swarm_worker_01 held", "swarm_worker_17 waiting"]
    assert len(ill) == len(set(ill)) == 6


def test_of_many_ill_nodes_some_are_counted(page: Page) -> None:
    """Twenty links, and how many more there are at this moment."""
    scene = pictures.scenes()["hundred"]
    last = page.open(scene).run(
        "return [90, 91, 20].map(many => { shown.nodes.forEach((n, i) => { "
        "n.health = i < many ? 'held' : 'healthy' }); draw(shown); const items = "
        "$('ill').children; return [items.length, items[items.length - 1].textContent]"
        "})"
    )

    assert last == [
        [21, "and 70 more"],
        [21, "and 71 more"],
        [20, "swarm_worker_19 held"],
    ]


@pytest.mark.parametrize("scene", ["backing_off", "empty"])
def test_nothing_is_written_anew_that_has_not_changed(page: Page, scene: str) -> None:
    """Who listens to the page, or marks a line of it, is not disturbed."""
    changes = page.open(pictures.scenes()[scene]).run(
        "const seen = new MutationObserver(() => 0); const of = {childList: true, "
        "subtree: true, characterData: true}; for (const id of ['sum', 'at', "
        "'trouble', 'ill', 'groups', 'legend', 'restarts']) seen.observe($(id), of); "
        "draw(shown); return seen.takeRecords().length"
    )

    assert changes == 0


# --- what it says ---------------------------------------------------------------------


def test_a_card_shows_the_last_report_in_groups(page: Page) -> None:
    """Not the last point of its curves, which may be 20 s older."""
    scene = pictures.scenes()["healthy"]
    scene["nodes"][0]["now"].update(
        {"lag": 7_654, "uptime_s": 200_000, "errors": 3, "dead_letters": 1}
    )
    browser = page.open(scene)
    opened = browser.run(_CARDS)[0]
    browser.press(TAB, TAB, TAB, TAB, SPACE)
    closed = browser.run(_CARDS)[0]

    assert "RUNNING · pid 4711 · reported 3 s ago Host memory 271 MB" in opened
    assert "up 2 d 7 h App rate 912/s" in opened
    assert "in flight: orders/0@482110 for 1.3 s, orders/7@511" in opened
    assert "errors: 3 · dead letters: 1 Kafka lag 7654" in opened
    assert opened.endswith("3 partitions · 3 brokers")
    assert closed.endswith("up 2 d 7 h · 271 MB · 3 partitions · lag 7654 · 912/s")


def test_of_a_node_that_has_not_reported_what_is_known_is_shown(page: Page) -> None:
    """Its process's own figures; nothing stands in for those of a report."""
    booting = page.open(pictures.scenes()["backing_off"]).run(_CARDS)[3]

    assert booting.endswith(
        "RUNNING · pid 4714 no report yet Host memory 31 MB ≤ 512 MB up 1 s"
    )


def test_a_node_that_is_stopped_shows_no_figures(page: Page) -> None:
    """Neither of its last process, nor curves; one that backs off has its curves."""
    scene = pictures.scenes()["backing_off"]
    scene["nodes"][0] = pictures.node(0, "stopped by operator")
    browser = page.open(scene)
    stopped, _, backing_off, _ = browser.run(_CARDS)
    browser.press(TAB, TAB, TAB, TAB, SPACE)

    assert stopped == "swarm_worker_00 ■ stopped by operator STOPPED · no process"
    assert "memory \N{EN DASH} ≤ 512 MB App" in backing_off
    assert browser.run(_CARDS)[0] == stopped
    assert browser.run(_CARDS)[2].endswith(
        "orders/3@4711 was in flight each time it failed"
    )


def test_a_spare_is_counted_apart_and_shows_no_figures(page: Page) -> None:
    """Nothing is wrong with it, and it is none of those that are to run."""
    browser = page.open(
        pictures.data([pictures.node(0), pictures.node(1, "spare")], [])
    )

    assert browser.run(_CARDS)[1].startswith("swarm_worker_01 ○ spare STOPPED")
    heading = "return document.querySelector('h2').textContent"
    assert browser.run(heading) == "swarm_worker: 1 of 1 healthy, 1 spare"


def test_a_late_report_and_an_old_page_are_said(page: Page) -> None:
    """A clock that stands still beside figures that look new tells nobody."""
    scene = pictures.scenes()["all_words"]
    browser = page.open(scene)
    cards = browser.run(_CARDS)
    before = browser.run("return document.body.className")
    page.server.show(Snapshot(metrics=None, trouble="", made_at_s=-FOR_EVER_S))
    eventually(
        lambda: browser.run("return document.body.className") == "old",
        describe="the page knows that it is old",
    )

    assert "last report 45 s ago" in cards[7]
    assert "stands still for 5 min: orders/3, orders/11" in cards[8]
    assert before == ""
    assert browser.run("return $('trouble').textContent") == "the listener stands still"


def test_a_listener_that_is_frozen_is_said(page: Page) -> None:
    """It takes what it is asked, and never answers."""
    browser = page.open(pictures.scenes()["healthy"])
    thaw = threading.Event()
    page.server._loop.call_soon_threadsafe(thaw.wait)
    try:
        eventually(
            lambda: browser.run("return document.body.className") == "old",
            within_s=30,
            describe="the page knows that it is old",
        )
    finally:
        thaw.set()
    trouble = "return $('trouble').textContent"
    old = browser.run(trouble)
    eventually(lambda: not browser.run(trouble), within_s=30, describe="a new answer")

    assert old == "the listener does not answer; what is shown is old"
    assert browser.run("return document.body.className") == ""


def test_each_cause_has_its_own_mark(page: Page) -> None:
    """On the axis, in the legend, and beside its restart."""
    scene = pictures.scenes()["all_words"]
    scene["restarts"] += pictures.scenes()["backing_off"]["restarts"]
    marks = page.open(scene).run(
        "return ['axis', 'legend', 'restarts'].map(id => [...new Set([...$(id)"
        ".querySelectorAll('.mark')].map(e => e.textContent + ' ' + "
        "e.classList[1]))].sort())"
    )
    words = page.browser.run("return $('legend').innerText")

    assert marks[0] == marks[1] == marks[2]
    assert marks[0] == sorted(
        [
            *("-1 rule", "1 rule", "2 rule", "3 rule", "4 rule"),
            *(" roll", "↻ exited", "■ fatal"),
            *("K died", "M died", "S died", "E died", "† died"),
        ]
    )
    assert "roll: 4" in words
    assert "too much memory: 1" in words
    assert "killed for memory: 1" in words


def test_a_restart_has_a_way_to_its_story(page: Page) -> None:
    """By key, below its line, and there it stays while others come."""
    scene = pictures.scenes()["healthy"]
    later = copy.deepcopy(scene)
    later["restarts"].append({**scene["restarts"][0], "node": "w:x"})
    browser = page.open(scene)
    browser.run("document.querySelector('.restarts button').focus()")
    browser.press(ENTER)
    told = "return document.querySelector('.story:not([hidden]) pre').textContent"
    eventually(lambda: browser.run(told), describe="the story")
    pictures.show(page.server, later)
    address = "return document.querySelector('.story a').pathname"
    eventually(
        lambda: browser.run(address).startswith("/story/w%3Ax/"),
        describe="one more restart",
    )

    opened = "return [...document.querySelectorAll('.story')].map(e => !e.hidden)"
    assert browser.run(opened) == [False, True, False, False, False]
    assert browser.run(_FOCUS)["text"] == "story"
    assert "/srv/app/orders.py:7 in bill" in browser.run(told)


def test_partitions_are_shown_with_their_lag(page: Page) -> None:
    """Most lag first; those that are not known are said."""
    browser = page.open(pictures.scenes()["healthy"])
    text = browser.run("return $('partitions').innerText.replace(/\\s+/g, ' ')")
    page.open(pictures.scenes()["empty"])

    assert "billing: lag 12470 and that of 1 not known, 12 partitions" in text
    assert "orders/0 swarm_worker_00 6236 62.4 s" in text
    assert "and 6 more with less lag" in text
    assert "Partitions of swarm_worker:swarm_worker_03 are not known" in text
    assert browser.run("return $('partitions').checkVisibility()") is False


def test_of_many_nodes_without_known_partitions_some_are_named(page: Page) -> None:
    """A swarm of an older version has none that has told of them."""
    told = page.open(pictures.scenes()["healthy"]).run(
        "const node = {node: 'w:x', why: 'none'}; partitions({kafka_groups: [], "
        "not_known: Array(400).fill(node)}); return [...$('lags').children].slice(-2)"
        ".map(e => e.textContent)"
    )

    assert told == [
        "Partitions of w:x are not known: none",
        "nor those of 392 nodes more",
    ]


def test_a_roll_under_way_is_said(page: Page) -> None:
    """Beside its group's name."""
    browser = page.open(pictures.scenes()["roll"])
    shown = "return document.querySelector('.rolling').checkVisibility() && "
    told = browser.run(f"{shown} document.querySelector('.rolling').textContent")
    page.open(pictures.scenes()["healthy"])

    assert told.startswith("a roll is under way: 1 of 4 done")
    assert browser.run(f"{shown} true") is False


# --- as it looks ----------------------------------------------------------------------


@pytest.mark.parametrize("width", [320, 768])
def test_nothing_is_wider_than_the_screen(page: Page, width: int) -> None:
    """From the narrowest phone on: a page is scrolled in one direction."""
    for name, scene in pictures.scenes().items():
        widest = page.open(scene, (width, 800)).run(
            "return document.documentElement.scrollWidth"
        )

        assert widest <= width, name


def test_names_of_the_shipped_configuration_take_one_line(page: Page) -> None:
    """On cards and among the restarts."""
    browser = page.open(pictures.scenes()["backing_off"])
    heights = browser.run(
        "const names = document.querySelectorAll('.name, .restarts time + span');"
        "return [...names].map(e => {"
        "  const text = new Range(); text.selectNodeContents(e);"
        "  return text.getBoundingClientRect().height; })"
    )

    assert len(heights) == 4 + 6
    assert max(heights) < 30


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(page: Page, scheme: str) -> None:
    """In dark and light its contrast is 4.5 at least, WCAG's AA."""
    for name, scene in pictures.scenes().items():
        page.open(scene, PHONE).prefer(scheme)
        least, text = page.browser.run(_CONTRAST)

        assert least >= 4.5, (name, text)


def test_a_hundred_nodes_are_drawn_at_once(page: Page) -> None:
    """Curves that are as they were cost nothing: far less time than until the next."""
    browser = page.open(pictures.scenes()["hundred"])
    browser.press(TAB, TAB, TAB, TAB, SPACE)
    took_ms = browser.run(
        "const began = performance.now(); draw(shown); document.body.offsetHeight; "
        "return performance.now() - began"
    )

    browser.run("document.querySelector('.node svg').id = 'kept'; draw(shown)")

    assert browser.run(_CURVES) == 500
    assert browser.run("return $('kept') !== null")
    assert took_ms < 500


# --- of a real swarm ------------------------------------------------------------------


def test_nodes_and_restarts_are_seen_and_no_text_is_markup(
    start_swarm: Callable[..., Swarm], chromium: Browser
) -> None:
    """Each node has its card; a restart its reason, whatever a message is called."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    swarm = start_swarm(nodes=2, toml=f'metrics = "127.0.0.1:{port}"')
    evil = "<img src=x onerror=document.title='evil'>"
    pid = swarm.tell(0, stalled_ms=9_000, stalled=[f"{evil}/1"])
    await_restarted(swarm, 0, than=pid)

    url = f"http://127.0.0.1:{port}/"
    chromium.open(url)

    def page() -> str:
        text = str(chromium.run("return document.documentElement.innerHTML"))
        return text if "2 of 2 nodes healthy" in text else ""

    text = eventually(page, within_s=30, describe="two healthy nodes on the page")
    asked = chromium.run(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert 'data-node="w:w_00"' in text
    assert 'data-node="w:w_01"' in text
    assert "status 2: a batch took too long: consuming_ttl: stalled" in text
    assert "back after" in text
    assert "&lt;img src=x" in text
    assert "<img" not in text
    assert "<title>Kafka swarm</title>" in text
    assert set(asked) <= {f"{url}data.json", f"{url}partitions.json", "data:,"}


def test_pictures_are_made(page: Page, tmp_path: Path) -> None:
    """To be looked at: ``python -m tests.process.pictures FOLDER`` makes all."""
    page.open(pictures.scenes()["backing_off"]).screenshot(tmp_path / "page.png")

    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
