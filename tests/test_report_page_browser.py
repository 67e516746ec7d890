"""The page in a real browser: the browser of generations is driven, nothing is fetched, nothing overflows."""

from __future__ import annotations

import json
import shutil

import pytest

from alarm.report.render import render_report
from tests.browsable_runs import HOSTILE, PROMPTS, prompt_id, write_browsable

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
if not (CHROMIUM and DRIVER):
    pytest.skip("install chromium and chromium-driver to test the page in a browser", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="install the `test` extra to drive a browser")

from selenium.common.exceptions import StaleElementReferenceException  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    results = tmp_path_factory.mktemp("results")
    write_browsable(results)
    page = next(path for path in render_report(results, "tiny") if path.name == "report.html")
    return page.as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, address):
    """The page freshly opened at desktop width; afterwards nothing was fetched and nothing complained."""
    show(browser, width=1280, scheme="light")
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(address)
    wait_for_items(browser)
    yield browser
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    fetched = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert fetched and all(url.startswith(("file:", "data:")) for url in fetched)


def show(browser, *, width: int, scheme: str) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wishes.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def choose(page, control: str, value: str) -> None:
    Select(page.find_element(By.ID, f"g-{control}")).select_by_value(value)


def wait_for_items(page) -> None:
    """The list is filled after the page has loaded, and its first items may be replaced at once."""
    WebDriverWait(page, 30, ignored_exceptions=[StaleElementReferenceException]).until(lambda _: ids(page))


def ids(page) -> list[str]:
    return [title.text for title in page.find_elements(By.CSS_SELECTOR, ".item h3")]


def texts(page, selector: str) -> list[str]:
    return [element.text for element in page.find_elements(By.CSS_SELECTOR, selector)]


def count(page) -> str:
    return page.find_element(By.ID, "g-count").text


def search(page, words: str) -> None:
    field = page.find_element(By.ID, "g-search")
    field.clear()
    field.send_keys(words)


def test_the_task_is_chosen_and_prompts_are_paged(page):
    assert count(page) == f"{PROMPTS} of {PROMPTS} prompts" and len(ids(page)) == 8
    assert texts(page, ".item summary")[0] == "Who built it, and when?"
    choose(page, "task", "wmt")
    assert texts(page, ".given p")[:2] == ["Ein Hund 0 <i>läuft</i>.", "A dog is running."]
    page.find_element(By.ID, "g-next").send_keys(Keys.ENTER)
    assert ids(page) == [prompt_id(number) for number in range(8, PROMPTS)]
    assert not page.find_element(By.ID, "g-next").is_enabled()


def test_disagreement_filters_and_orders(page):
    choose(page, "task", "wmt")
    choose(page, "show", "differ")
    assert ids(page) == [prompt_id(number) for number in (0, 1, 3, 4)]
    choose(page, "show", "disagree")
    assert ids(page) == [prompt_id(1), prompt_id(3)], "where the reward's favourite is not gold's"
    choose(page, "sort", "lost")
    assert ids(page) == [prompt_id(3), prompt_id(1)]
    assert texts(page, ".item .flag") == [f"the reward's choice loses {lost} gold" for lost in ("0.40", "0.30")]
    choose(page, "show", "all")
    choose(page, "sort", "spread")
    assert ids(page)[:4] == [prompt_id(number) for number in (0, 3, 1, 4)]
    choose(page, "seed", "2")
    choose(page, "show", "differ")
    assert ids(page) == [] and count(page).startswith("No prompt")
    page.find_element(By.ID, "g-reset").click()
    assert count(page) == f"{PROMPTS} of {PROMPTS} prompts"


def test_methods_and_seeds_decide_which_answers_are_shown(page):
    choose(page, "task", "wmt")
    assert texts(page, ".item:first-child .who") == ["SFT policy\nholistic_only", "alarm"], "equal answers together"
    choose(page, "seed", "all")
    assert texts(page, ".item:first-child .who") == ["SFT policy\nholistic_only 1 2\nalarm 2", "alarm 1"]
    page.find_element(By.CSS_SELECTOR, "#g-methods input[value=sft]").send_keys(Keys.SPACE)
    page.find_element(By.CSS_SELECTOR, "#g-methods input[value=holistic_only]").send_keys(Keys.SPACE)
    assert texts(page, ".item:first-child .who") == ["alarm 1", "alarm 2"]
    focus = "return document.activeElement.value"
    assert page.execute_script(focus) == "holistic_only", "the keyboard stays where it was"


def test_rewards_are_coloured_where_they_lie(page):
    choose(page, "task", "wmt")
    search(page, "id:" + prompt_id(4))
    assert ids(page) == [prompt_id(4)]
    (mark,) = page.find_elements(By.CSS_SELECTOR, ".answers mark")
    assert mark.text == "a dogs", "characters are counted, not units of UTF-16"
    assert mark.get_attribute("class") == "below" and "grammar error rate: reward −1.00" in mark.get_attribute("title")
    page.find_element(By.ID, "g-numbers").click()
    assert texts(page, ".answers mark sup") == ["−1.00"]
    page.find_element(By.ID, "g-numbers").click()
    search(page, "id:" + prompt_id(1))
    marks = page.find_elements(By.CSS_SELECTOR, ".answers mark")
    cut = [mark.get_property("textContent") for mark in marks]
    assert cut == ["Dog ", "dog", " dog."], "overlapping spans are cut where they begin and end"
    shades = [mark.value_of_css_property("background-color") for mark in marks]
    assert shades[0] == shades[1] != shades[2], "the stronger reward decides where two overlap"
    chips = page.find_elements(By.CSS_SELECTOR, ".answers .chip")
    assert [chip.text for chip in chips] == ["+0.00", "+2.00"]
    choose(page, "aspect", "none")
    assert page.find_elements(By.CSS_SELECTOR, ".answers mark") == []
    choose(page, "task", "long_form_qa")
    search(page, "id:" + prompt_id(2))
    assert [mark.get_attribute("class") for mark in page.find_elements(By.CSS_SELECTOR, ".answers mark")] == ["above"]


def test_what_a_model_wrote_is_text(page):
    choose(page, "task", "wmt")
    search(page, "<IMG SRC")
    assert ids(page) == [prompt_id(3)]
    assert any(text.startswith(HOSTILE) for text in texts(page, ".answers .text"))
    assert page.find_elements(By.CSS_SELECTOR, "#g-list img, #g-list b, #g-list i, #g-list script") == []
    assert page.title == "Results at scale tiny"


def test_a_view_has_an_address(page, address):
    choose(page, "task", "wmt")
    choose(page, "seed", "all")
    choose(page, "show", "disagree")
    search(page, "dog dog?&=#")
    search(page, "dog dog")
    page.find_element(By.ID, "g-numbers").click()
    # The address follows a moment after the last key.
    WebDriverWait(page, 30).until(lambda _: "numbers" in page.current_url and "%23" not in page.current_url)
    here, shown = page.current_url, ids(page)
    assert shown == [prompt_id(1)]
    page.get("about:blank")
    page.get(here)
    wait_for_items(page)
    assert ids(page) == shown and page.find_element(By.ID, "g-numbers").is_selected()
    assert Select(page.find_element(By.ID, "g-seed")).first_selected_option.text == "all"
    link = page.find_element(By.CSS_SELECTOR, ".item header a")
    assert "id%3A" + prompt_id(1) in link.get_attribute("href")
    link.click()
    WebDriverWait(page, 30).until(lambda _: "show=" not in page.current_url)
    wait_for_items(page)
    assert ids(page) == [prompt_id(1)]
    page.get(address + "#generations?task=nope&seed=9&page=99&methods=alarm,nope&%E0%A4%A")
    page.refresh()
    wait_for_items(page)
    assert texts(page, ".item:first-child .who") == ["alarm"], "what an address asks in vain is left out"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(page, width, scheme):
    show(page, width=width, scheme=scheme)
    choose(page, "task", "wmt")
    page.execute_script("for (const details of document.querySelectorAll('details')) details.open = true")
    # Not the window's own width: a phone's window grows with what overflows it.
    wide = page.execute_script(
        "return [...document.body.querySelectorAll('*')].filter((e) => !e.closest('.scroll, .bar nav, .unseen, .skip')"
        " && e.getBoundingClientRect().right > arguments[0] + 1).map((e) => e.outerHTML.slice(0, 120))",
        width,
    )
    assert wide == [] and page.execute_script("return document.documentElement.scrollWidth") <= width


def test_text_is_legible_in_both_themes(page):
    contrasts = {}
    for scheme in ("light", "dark"):
        show(page, width=1280, scheme=scheme)
        contrasts[scheme] = {selector: page.execute_script(CONTRAST, selector) for selector in LEGIBLE}
    assert all(value >= 4.5 for values in contrasts.values() for value in values.values()), contrasts
    colour = "return getComputedStyle(document.body).backgroundColor"
    dark = page.execute_script(colour)
    button = page.find_element(By.ID, "theme")
    seen = []
    for _ in range(3):
        button.click()
        seen.append((button.accessible_name, page.execute_script(colour) == dark))
    assert seen == [("Theme: light", False), ("Theme: dark", True), ("Theme: auto", True)]


LEGIBLE = ("body", ".intro", ".heat td.win .line", ".heat td.loss .line", ".heat td.win .paper", "td .line", ".item dt")
CONTRAST = """
const luminance = (rgb) => {
  const parts = rgb.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
};
// The browser itself converts whatever colour space a style ends in.
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
const paint = (colours) => {
  canvas.clearRect(0, 0, 1, 1);
  for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
  return [...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((part) => part / 255);
};
const worst = [...document.querySelectorAll(arguments[0])].map((element) => {
  const grounds = [];
  for (let e = element; e; e = e.parentElement) grounds.unshift(getComputedStyle(e).backgroundColor);
  const ground = luminance(paint(grounds));
  const ink = luminance(paint([...grounds, getComputedStyle(element).color]));
  return (Math.max(ground, ink) + 0.05) / (Math.min(ground, ink) + 0.05);
});
return worst.length ? Math.min(...worst) : 0;
"""
