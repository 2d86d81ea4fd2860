"""The tab as a person meets it: TensorBoard's server in a process of its own, and a headless browser.

Screenshots are written to the test's temporary folder.
"""

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlencode

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")
expect = sync_api.expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

REPOSITORY = Path(__file__).parents[2]
HOSTILE = "<img src=x onerror=window.hurt=1>"
# The plugin is named here, because an entry point is only there in an installed package.
SERVER = """
import sys
from tensorboard import default, program
from lightning_interactions.tensorboard_plugin.plugin import InteractionsPlugin
board = program.TensorBoard(plugins=[*default.get_static_plugins(), InteractionsPlugin], subcommands=[])
board.configure(argv=["", "--host=127.0.0.1", "--port=0", "--reload_interval=1", *sys.argv[1:]])
print("address", board.launch(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def serve():
    servers = []

    def start(folder, *, fast):
        arguments = [sys.executable, "-c", SERVER, f"--logdir={folder}", f"--load_fast={str(fast).lower()}"]
        server = subprocess.Popen(  # noqa: S603
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        servers.append(server)
        address = next((line.split()[1] for line in server.stdout if line.startswith("address")), None)
        assert address, "TensorBoard did not start"
        return address

    yield start
    for server in servers:
        server.stdin.close()
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def is_complaint(message):
    # A browser asks every server for an icon; TensorBoard gives its own in its page only.
    return message.type == "error" and not message.location["url"].endswith("/favicon.ico")


@pytest.fixture
def open_page(browser, shots, request):
    """A page that must not complain."""
    complaints, pages = [], []

    def start(address, wide=1300, high=900, **options):
        page = browser.new_page(viewport={"width": wide, "height": high}, **options)
        page.set_default_timeout(20_000)
        page.on("console", lambda message: is_complaint(message) and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        pages.append(page)
        page.goto(address, wait_until="domcontentloaded")
        return page

    yield start
    for number, page in enumerate(pages):
        page.screenshot(path=shots / f"tab-{request.node.name}-{number}.png", full_page=True)
        page.close()
    assert complaints == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_run, open_logger, record_of, interactions_of):
    """Images, sentences, a run that has no fit and stops early, and a name that is markup."""
    from lightning_interactions.callback.tab import log_measurement, log_samples  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("logs")
    write_run(folder / "early", epochs=(0, 5), fitted=False)
    logger = open_logger(folder / HOSTILE)
    names = ["fine", "film", HOSTILE, "truly"]
    words = [{"text": "a", "variable": None}, *({"text": name, "variable": i} for i, name in enumerate(names))]
    samples = [{"sample": 0, "title": f"sample {HOSTILE}", "names": names, "words": words}]
    log_samples(logger, {"samples": samples}, 0)
    for epoch in (0, 10):
        log_measurement(logger, record_of(epoch) | {"phase_message": HOSTILE}, interactions_of(epoch, 1), epoch)
    logger.experiment.close()
    # Last, so that it is the one that is shown first.
    write_run(folder / "images")
    return folder


@pytest.fixture(scope="module")
def address(serve, folder):
    address = serve(folder, fast=False)
    wait_for_runs(address, 3)
    return address


@pytest.fixture
def tab(open_page, address):
    """The page of the tab alone, without TensorBoard around it."""

    def start(**options):
        page = open_page(f"{address}data/plugin_entry.html?name=interactions", **options)
        expect(page.locator(".panel .sample").first).to_be_visible()
        return page

    return start


def fetch(address, route, **query):
    with urllib.request.urlopen(f"{address}data/plugin/interactions/{route}?{urlencode(query)}", timeout=20) as answer:  # noqa: S310
        return json.load(answer)


def wait_for_runs(address, count):
    for _ in range(100):
        if len(runs := fetch(address, "runs")["runs"]) == count:
            return runs
        time.sleep(0.2)
    pytest.fail(f"TensorBoard knows {len(runs)} runs, not {count}")


def choose(page, selector, label):
    page.locator(selector).select_option(label=label)


# -- with TensorBoard around it ----------------------------------------------------------------------------------------


def test_the_tab_appears_with_data_follows_the_training_and_the_theme(serve, open_page, tmp_path, shots, write_run):
    logs = tmp_path / "logs"
    logs.mkdir()
    address = serve(logs, fast=False)
    page = open_page(address, high=1300)
    expect(page.get_by_text("No dashboards are active")).to_be_visible()
    expect(page.get_by_role("tab", name="Interactions")).to_have_count(0)

    write_run(logs / "live", epochs=(0, 5))
    wait_for_runs(address, 1)
    page.reload(wait_until="domcontentloaded")
    page.get_by_role("tab", name="Interactions").click()
    frame = page.frame_locator("iframe[src*=interactions]")
    expect(frame.locator("output")).to_have_text("epoch 5 of 5")

    write_run(logs / "live", epochs=(10,), samples=False)
    expect(frame.locator("output")).to_have_text("epoch 10 of 10", timeout=20_000)
    page.screenshot(path=shots / "tab-light.png")

    def background():
        return frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")

    assert background() == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Menu for changing light or dark theme").click()
    page.get_by_text("Dark", exact=True).click()
    expect(frame.locator("html")).to_have_class("dark")
    assert background() == "rgb(48, 48, 48)"
    page.keyboard.press("Escape")
    page.screenshot(path=shots / "tab-dark.png")


def test_both_of_tensorboards_loaders_give_the_same(serve, address, folder):
    pytest.importorskip("tensorboard_data_server", reason="the fast loader is a package of its own")
    fast = serve(folder, fast=True)

    def told(where):
        runs = wait_for_runs(where, 3)
        names = [(run["run"], run["prefix"], run["epochs"]) for run in runs]
        data = [fetch(where, "data", run=name) for name, *_ in names]
        return names, data, fetch(where, "effects", run="images", epoch=15)

    assert told(fast) == told(address)


# -- the page ----------------------------------------------------------------------------------------------------------


def test_the_newest_run_and_its_last_epoch_are_shown_first(tab):
    page = tab()

    assert page.locator("#run option:checked").text_content() == "images"
    expect(page.locator("output")).to_have_text("epoch 15 of 15")
    expect(page.locator(".verdict")).to_contain_text("overfitting since epoch 10")
    expect(page.locator(".verdict")).to_contain_text("40 % noise-like")
    expect(page.locator(".tile").nth(2)).to_contain_text("35 % … 45 %".replace(" ", "\u00a0"))


def test_the_slider_moves_everything(tab):
    page = tab()
    page.locator("#epoch").focus()
    bar = page.locator(".strength-card rect.spindle").first
    before = float(bar.get_attribute("height"))
    picked = page.locator(".sample .amount").first.text_content()
    page.keyboard.press("Home")

    expect(page.locator("output")).to_have_text("epoch 0 of 15")
    expect(page.locator("#epoch")).to_have_attribute("aria-valuetext", "untrained, epoch 0")
    expect(page.locator(".verdict")).to_contain_text("before training")
    assert float(bar.get_attribute("height")) < before
    expect(page.locator(".sample .amount").first).not_to_have_text(picked)
    cursor = float(page.locator(".loss-card .cursor").get_attribute("x1"))
    page.keyboard.press("ArrowRight")
    expect(page.locator("output")).to_have_text("epoch 5 of 15")
    assert float(page.locator(".loss-card .cursor").get_attribute("x1")) > cursor
    expect(page.locator("[aria-live]").last).to_contain_text("normal phase")


def test_play_goes_to_the_end_and_stops(tab):
    page = tab()
    page.locator("#play").click()

    expect(page.locator("output")).to_have_text("epoch 0 of 15")
    expect(page.locator("#play")).to_contain_text("Pause")
    expect(page.locator("output")).to_have_text("epoch 15 of 15")
    expect(page.locator("#play")).to_contain_text("Play")


def test_the_bars_stack_to_what_was_measured(tab, record_of):
    page = tab()
    page.locator(".strength-card summary").click()
    rows = page.locator(".strength-card tbody tr")
    record = record_of(15)
    for order in range(4):
        shown = [float(cell) for cell in rows.nth(order).locator("td").all_text_contents()]
        expected = [order + 1] + [
            record[key][order] for key in ("positive", "negative", "decay_positive", "decay_negative", "spindle")
        ]
        assert shown == pytest.approx(expected, rel=1e-2)
    # In pixels: decay, spindle and residual of the upper half of each bar end at the measured strength.
    tops = [float(line.get_attribute("y1")) for line in page.locator(".strength-card .chart line.measured").all()]
    hatched = page.locator(".strength-card .chart rect.residual").all()
    for top, block in zip(tops[::2], hatched[::2], strict=True):
        assert float(block.get_attribute("y")) == pytest.approx(top, abs=0.01)


def test_a_network_is_not_separated_from_itself(tab):
    """A fit of the reference to itself is all decay, whatever the network does."""
    page = tab()
    page.locator("#epoch").fill("1")

    expect(page.locator("output")).to_have_text("epoch 5 of 15")
    expect(page.locator(".verdict")).to_contain_text("Decay is made from this epoch")
    expect(page.locator(".tile").nth(2)).to_contain_text("this is the reference")
    assert page.locator(".strength-card .chart rect.decay").count() == 0
    assert page.locator(".strength-card .chart rect.positive").count() == 4


def test_the_run_picker_shows_another_run(tab):
    page = tab()
    choose(page, "#run", "early")

    expect(page.locator("h2")).to_have_text(["early"])
    expect(page.locator("output")).to_have_text("epoch 5 of 5")
    expect(page.locator(".share-card")).to_contain_text("have not been fitted")
    expect(page.locator(".strength-card .key")).to_contain_text("positive effects")


def test_two_runs_stand_side_by_side_on_one_scale(tab, shots):
    page = tab(high=1600)
    choose(page, "#second-run", "early")
    expect(page.locator("h2")).to_have_text(["images", "early"])
    left, right = (panel.bounding_box() for panel in page.locator(".panel").all())

    assert right["x"] >= left["x"] + left["width"]
    expect(page.locator(".panel .note").nth(1)).to_contain_text("was not measured at epoch 15; epoch 5 is shown")
    scales = [panel.locator(".strength-card text").all_text_contents() for panel in page.locator(".panel").all()]
    numbers = [[text for text in scale if text.replace(".", "").isdigit()] for scale in scales]
    assert numbers[0] == numbers[1]
    page.screenshot(path=shots / "tab-two.png")


def test_one_scale_for_all_epochs_stays_while_the_slider_moves(tab):
    page = tab()

    def scale():
        page.locator("#epoch").fill("0")
        first = page.locator(".strength-card .chart text").all_text_contents()
        page.locator("#epoch").fill("3")
        return first, page.locator(".strength-card .chart text").all_text_contents()

    first, last = scale()
    assert first != last
    choose(page, "#scale", "of all epochs")
    first, last = scale()
    assert first == last


def test_hovering_tells_the_numbers(tab, record_of):
    page = tab()
    box = page.locator(".loss-card svg.chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 30, box["y"] + box["height"] / 2)

    expect(page.locator(".tip")).to_be_visible()
    expect(page.locator(".tip")).to_contain_text(f"held-out loss {record_of(15)['held_out_loss']:.3}")
    expect(page.locator(".tip")).to_contain_text("overfitting phase")
    page.mouse.move(1, 1)
    expect(page.locator(".tip")).to_be_hidden()


@pytest.mark.parametrize("card", ["strength", "loss", "heat", "share", "samples"])
def test_every_figure_says_what_it_means(tab, card):
    page = tab()
    page.locator(f".{card}-card .help").focus()
    expect(page.locator(".tip")).to_be_visible()

    assert len(page.locator(".tip").text_content()) > 80
    page.keyboard.press("Escape")
    expect(page.locator(".tip")).to_be_hidden()


def test_a_click_on_a_curve_goes_to_its_epoch(tab):
    page = tab()
    for card in ("loss", "heat", "share"):
        chart = page.locator(f".{card}-card svg.chart")
        box = chart.bounding_box()
        chart.click(position={"x": 56, "y": box["height"] / 2})
        expect(page.locator("output")).to_have_text("epoch 0 of 15")
        chart.click(position={"x": box["width"] - 24, "y": box["height"] / 2})
        expect(page.locator("output")).to_have_text("epoch 15 of 15")


def test_charts_are_read_by_the_keyboard(tab):
    page = tab()
    chart = page.locator(".share-card svg.chart")
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tip")).to_contain_text("epoch 15")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".tip")).to_contain_text("epoch 10")
    expect(page.locator("[aria-live]").last).to_contain_text("spindle share 30")
    page.keyboard.press("Enter")
    expect(page.locator("output")).to_have_text("epoch 10 of 15")
    expect(chart).to_be_focused()


def test_everything_has_a_name_for_screen_readers(tab):
    page = tab()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, svg[role=img], section, article')]
            .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length))
            .map((one) => one.outerHTML.slice(0, 80))"""
    )

    assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en"
    for name in ("Run", "Compare with", "Scale"):
        assert page.get_by_role("combobox", name=name, exact=True).count() == 1
    assert page.get_by_role("slider", name="Measured epoch", exact=True).count() == 1
    assert "order 2, positive" in page.locator(".strength-card svg.chart").get_attribute("aria-label")


def test_an_effect_is_drawn_on_its_cells(tab, interactions_of):
    page = tab()
    sample = page.locator(".sample").first
    for index, effect in enumerate(interactions_of(15).strongest(0, 3)):
        sample.locator(".effects button").nth(index).focus()
        sign = "up" if effect.effect > 0 else "down"
        cells = sample.locator(".cell:not(.under)").all()
        on = [index for index, cell in enumerate(cells) if "on" in cell.get_attribute("class").split()]
        assert tuple(on) == effect.variables
        assert all(sign in cells[index].get_attribute("class") for index in on)


def test_names_that_are_markup_stay_text(tab, shots):
    page = tab()
    choose(page, "#run", HOSTILE)

    expect(page.locator("h2")).to_have_text(HOSTILE)
    # Lists wait until the samples of the run shown before are gone.
    expect(page.locator(".sample h4")).to_have_text([f"sample {HOSTILE}"])
    expect(page.locator(".sentence")).to_contain_text([f"a fine film {HOSTILE} truly"])
    page.locator(".effects button").first.hover()
    page.screenshot(path=shots / "tab-words.png")
    assert page.locator("main img").count() == 0
    assert page.evaluate("window.hurt") is None


def test_words_are_highlighted(tab, interactions_of):
    page = tab()
    choose(page, "#run", HOSTILE)
    words = ["fine", "film", HOSTILE, "truly"]
    effect = interactions_of(10, 1).strongest(0, 1)[0]

    expect(page.locator(".word.on")).to_have_text([words[variable] for variable in effect.variables])


@pytest.mark.parametrize("wide", [360, 600])
def test_a_narrow_window_needs_no_sideways_scrolling(tab, wide):
    page = tab(wide=wide, high=700)
    choose(page, "#second-run", HOSTILE)
    expect(page.locator(".panel")).to_have_count(2)

    assert page.evaluate("document.scrollingElement.scrollWidth") <= wide
    lefts = {panel.bounding_box()["x"] for panel in page.locator(".panel").all()}
    assert len(lefts) == 1


def test_alone_the_page_follows_the_browsers_theme(tab):
    page = tab(color_scheme="dark")
    expect(page.locator("html")).to_have_class("dark")
    page.emulate_media(color_scheme="light")
    expect(page.locator("html")).not_to_have_class("dark")


def test_without_data_the_page_says_what_to_do(serve, open_page, tmp_path):
    (tmp_path / "empty").mkdir()
    address = serve(tmp_path / "empty", fast=False)
    page = open_page(f"{address}data/plugin_entry.html?name=interactions")

    expect(page.locator(".empty")).to_contain_text("InteractionMonitor(")
    expect(page.locator(".controls")).to_be_hidden()
