"""The page in a browser: it draws, it moves, it looks right in the dark and on a narrow screen, and it stays quiet."""

import json
import shutil

import pytest

from lightning_interactions.report import read_runs, write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the path")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(write_run, tmp_path_factory):
    """A report and a comparison of runs whose names are markup."""
    folder = tmp_path_factory.mktemp("pages")
    first = write_run(folder / "<img src=x onerror=alert(1)>" / "version_0")
    (first / "interactions" / "samples.json").write_text(json.dumps(SAMPLES))
    second = write_run(folder / "other" / "version_1", epochs=(0, 5, 10))
    one, two = read_runs(first), read_runs(second)
    return {
        "report": write_report(one, folder / "report.html"),
        "compare": write_report([*one, *two], folder / "compare.html", beside=two[0]),
    }


# One pixel, and a sentence whose words are markup.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
NAMES = ["a", "b", "c", "d"]
SAMPLES = {
    "samples": [
        {
            "sample": 0,
            "title": "<script>alert(2)</script>",
            "names": NAMES,
            "image": {"png": PIXEL, "width": 1, "height": 1},
            "cells": [[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 0.5, 0.5], [0.0, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]],
        },
        {
            "sample": 2,
            "names": NAMES,
            "words": [{"text": f"<img src=x onerror=alert({i})>", "variable": i} for i in range(4)],
        },
    ]
}


@pytest.fixture
def visit(browser, pages, shots):
    """Open a page; afterwards nothing must have been said, asked for or popped up."""
    troubles, opened = [], []

    def open_page(which, width=1200, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: troubles.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("data:", pages[which].as_uri()))
                else troubles.append(f"request: {request.url}")
            ),
        )
        page.goto(pages[which].as_uri())
        page.wait_for_selector(".strength-card rect.decay")
        opened.append((f"{which}-{width}-{scheme}", page))
        return page

    yield open_page
    for name, page in opened:
        page.screenshot(path=shots / f"report-{name}.png", full_page=True)
        page.close()
    assert troubles == []


def brightness(page, selector, what):
    colour = page.eval_on_selector(selector, f"element => getComputedStyle(element).{what}")
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")[:3])


def test_the_slider_goes_through_the_epochs(visit):
    page = visit("report")
    slider = page.locator("#epoch")

    assert slider.get_attribute("max") == "3"
    assert page.locator("output").inner_text() == "epoch 15 of 15"
    before = page.locator(".strength-card svg.chart").inner_html()
    slider.fill("0")
    assert page.locator("output").inner_text() == "epoch 0 of 15"
    assert page.locator(".verdict").inner_text().startswith("Untrained network")
    assert page.locator(".strength-card svg.chart").inner_html() != before


def test_all_views_are_there(visit):
    page = visit("report")

    for card in ("strength", "loss", "heat", "share"):
        assert page.locator(f".{card}-card svg.chart > *").count() > 5, card
    assert page.locator(".certificates svg").count() == 1
    assert page.locator(".samples article").count() == 3
    assert page.locator(".samples image").count() == 1
    assert page.locator(".sentence .word").nth(1).inner_text() == "<img src=x onerror=alert(1)>"
    assert "How it was measured" in page.locator("#about").inner_text()
    order = page.evaluate(
        "[...document.querySelectorAll('.standing, main, #about')].map(e => e.id || e.className || e.tagName)"
    )
    assert order == ["standing", "MAIN", "about"]
    assert page.title() == "Interactions of <img src=x onerror=alert(1)>/version_0"


def test_with_one_run_there_is_nothing_to_choose(visit):
    page = visit("report")

    assert not page.locator("#run").is_visible()
    assert not page.locator("#second-run").is_visible()


def test_two_runs_stand_side_by_side(visit):
    page = visit("compare", width=1400)

    page.wait_for_selector(".panels.two")
    titles = page.locator(".panel h2").all_inner_texts()
    assert titles == ["<img src=x onerror=alert(1)>/version_0", "other/version_1"]
    assert page.locator("#run").is_visible()
    left, right = (page.locator(".panel").nth(place).bounding_box() for place in (0, 1))
    assert left["x"] + left["width"] <= right["x"]
    assert page.locator(".certificates").count() == 2


def test_it_is_dark_where_the_reader_wants_it(visit):
    light, dark = visit("report"), visit("report", scheme="dark")

    for page, bright in ((light, True), (dark, False)):
        assert (brightness(page, "body", "backgroundColor") > 600) is bright
        assert (brightness(page, "body", "color") > 600) is not bright
        assert (brightness(page, ".certificates text", "fill") > 600) is not bright


def test_a_narrow_window_is_not_too_narrow(visit):
    page = visit("report", width=400)

    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_comparison_fits_a_narrow_window(visit):
    page = visit("compare", width=400)

    page.wait_for_selector(".panels.two")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
