"""The report of a miniature run."""

import html.parser
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from fovea.files import write_json
from fovea.report.audit import audit_tags
from tests.browser import Browser, needs_chromium
from tests.miniature_run import HOSTILE, audited, clean_audit, images_of, report_of, run_report, write_miniature


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose class and file names are markup; one class is absent from the test part."""
    folder = tmp_path_factory.mktemp("hostile")
    report_of(folder, classes=list(HOSTILE), absent="absent")
    return folder


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two classes, one of them positive, trained without validation."""
    folder = tmp_path_factory.mktemp("binary")
    report_of(folder, classes=["healthy", "ill"], positive="ill", name="aptos", validated=False)
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A single test image, whose name is long, of classes that are written from right to left and in Chinese."""
    folder = tmp_path_factory.mktemp("one")
    parts = {"train": 12, "val": 4, "test": 1}
    report_of(folder, classes=["سليم", "病变"], per_part=parts, absent="病变", suffix="长" * 300)
    return folder


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    report_of(folder, classes=[f"species {number}" for number in range(40)])
    return folder


def page_of(folder: Path) -> str:
    return (folder / "reports" / "report.html").read_text(encoding="utf-8")


class Elements(html.parser.HTMLParser):
    """Every start tag of a page with its attributes, and the text of all elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_of_classes_and_files_are_text_and_never_markup(hostile: Path) -> None:
    page = Elements(page_of(hostile))
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"b", "i"}
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [one for one in scripts if one.get("type") != "application/json"] == [{}]  # ours, whose hash the page names
    assert not [attributes for tag, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert {attributes["src"][:11] for tag, attributes in page.tags if tag == "img"} == {"data:image/"}
    for name in (*HOSTILE, "x<img src=x>.jpg", "Grades <i>of</i> {{ 7 * 7 }} miniature"):
        assert name in page.text


def test_the_page_names_no_address_outside_itself(hostile: Path) -> None:
    page = page_of(hostile)
    addresses = [value for _, attributes in Elements(page).tags for name, value in attributes.items()
                 if name in ("src", "href", "xlink:href", "srcset", "action", "poster")]
    addresses += re.findall(r"url\(([^)]*)\)", page)
    assert addresses
    assert not [address for address in addresses if not re.match(r"[\"']?(data:|#)", address)]
    assert "@import" not in page


def test_ids_are_unique_and_every_reference_has_its_target(hostile: Path) -> None:
    tags = Elements(page_of(hostile)).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = [attributes["href"][1:] for _, attributes in tags if attributes.get("href", "").startswith("#")]
    references += re.findall(r"url\(#([^)]*)\)", page_of(hostile))
    assert references and set(references) <= set(ids)


def test_every_image_and_chart_has_a_text_in_its_place(hostile: Path) -> None:
    for tag, attributes in Elements(page_of(hostile)).tags:
        if tag == "img":
            assert attributes["alt"]
        if attributes.get("role") == "img":
            assert len(attributes["aria-label"]) > 20


def test_figures_lie_beside_the_page_as_png(hostile: Path) -> None:
    found = {path.name for path in (hostile / "reports" / "figures").iterdir()}
    assert found == {"curves.png", "steps.png", "confusion.png", "confusion_normalised.png", "roc.png",
                     "precision_recall.png", "reliability.png"}


def test_the_same_results_give_the_same_bytes(hostile: Path, tmp_path: Path) -> None:
    report_of(tmp_path, classes=list(HOSTILE), absent="absent")
    for one in sorted((hostile / "reports").rglob("*.*")):
        assert (tmp_path / "reports" / one.relative_to(hostile / "reports")).read_bytes() == one.read_bytes(), one.name


def test_the_most_confidently_wrong_come_first(hostile: Path) -> None:
    predictions = pd.read_csv(hostile / "reports" / "predictions.csv")
    test = predictions[predictions["split"] == "test"]
    wrong = test[test["label"] != test["prediction"]]
    confidence = sorted((row[f"p_{row['prediction']}"] for _, row in wrong.iterrows()), reverse=True)[:12]
    section = page_of(hostile).split('<section id="gallery">')[1].split("</section>")[0]
    assert re.findall(r"p = ([\d.]+);", section) == [f"{value:.3f}" for value in confidence]


def test_files_with_several_pictures_are_counted(binary: Path) -> None:
    assert "1 file with several pictures, of which the first is used" in page_of(binary)


def test_only_the_demo_is_called_synthetic(hostile: Path, binary: Path) -> None:
    assert "Synthetic images" in page_of(hostile)
    assert "Synthetic" not in page_of(binary)


def test_sensitivity_and_specificity_of_the_positive_class_lead(binary: Path) -> None:
    page = Elements(page_of(binary)).text
    assert page.index("Sensitivity") < page.index("Specificity") < page.index("Balanced accuracy")


def test_a_class_absent_from_the_test_part_is_said_to_be_left_out(hostile: Path) -> None:
    page = Elements(page_of(hostile)).text
    assert "No test image of absent: what needs one is undefined" in page
    assert "nan" not in page.lower()


def test_a_run_without_validation_has_a_report(binary: Path) -> None:
    page = Elements(page_of(binary)).text
    assert "no validation part, so the last of 12 epochs is kept" in page
    assert "nan" not in page.lower()


def test_labels_to_look_at_again_are_shown_with_their_images_worst_first(hostile: Path) -> None:
    found = pd.read_csv(hostile / "reports" / "suspicious_labels.csv")
    worst = yaml.safe_load((hostile / "params.yaml").read_text())["report"]["worst"]
    section = page_of(hostile).split('<section id="labels">')[1].split("</section>")[0]
    shown = [attributes["alt"] for tag, attributes in Elements(section).tags if tag == "img"]
    expected = found.head(worst)
    assert expected["image"].str.startswith("'=").any() and len(shown) == len(expected)
    for text, (_, row) in zip(shown, expected.iterrows(), strict=True):
        name = row["image"].removeprefix("'")
        assert f"image {name}, labelled {row['label']}, suggested {row['suggested']}" in text
    assert f"{len(found)} of " in Elements(section).text


def first_screen(page: str) -> str:
    return page[: page.index("</header>")]


def test_reasons_for_caution_are_on_the_first_screen_and_lead_to_what_was_found(hostile: Path) -> None:
    notice = first_screen(page_of(hostile)).split('<aside class="notice warnings"')[1]
    assert "8 reasons for caution" in notice
    assert '<a href="#data">2 groups of identical images have different labels</a>' in notice
    assert "image size alone separates &lt;script&gt;" in notice
    assert '<a href="#results">no test image of absent: nothing is known' in notice
    assert notice.count("<li>") == 6 and "And 2 more" in notice
    card = page_of(hostile).split('<section id="card">')[1].split("</section>")[0]
    assert card.count("<li>") == 8
    for reason in ("have fewer than 20", "only 12 groups", "8 x 8 thumbnail alone",
                   "labels look wrong", "its evidence lies on a known lesion in 25%"):
        assert reason in card


def test_every_figure_of_the_first_screen_has_its_interval(hostile: Path) -> None:
    intervals = json.loads((hostile / "reports" / "intervals.json").read_text())["test"]
    first = first_screen(page_of(hostile))
    for key in ("balanced_accuracy", "accuracy", "auroc_macro", "quadratic_weighted_kappa"):
        low, high = intervals[key]
        assert f'<dd class="interval">{low:.3f}\N{EN DASH}{high:.3f}</dd>' in first


def test_the_first_screen_holds_the_model_against_colours_and_a_guess(hostile: Path) -> None:
    first = Elements(first_screen(page_of(hostile))).text
    assert first.index("this model") < first.index("8 x 8 thumbnail alone") < first.index("always the same class")
    assert "The commit it started from has no results" in first


def test_probabilities_that_are_far_from_what_is_right_are_a_reason(tmp_path: Path) -> None:
    write_miniature(tmp_path, classes=["a", "b"], per_part={"train": 12, "val": 50, "test": 50}, sure=True)
    path = tmp_path / "reports/predictions.csv"
    table = pd.read_csv(path)
    table[["p_a", "p_b"]] = 0.6 * table[["p_a", "p_b"]] + 0.2
    table.to_csv(path, index=False)
    assert "0.80 on average where 1.00 of the predictions are right" in first_screen(run_report(tmp_path))


def test_without_anything_to_distrust_the_first_screen_says_so(tmp_path: Path) -> None:
    """A part of 300 images that are all told rightly, with the certainty that they deserve."""
    write_miniature(tmp_path, classes=["a", "b"], per_part={"train": 12, "val": 150, "test": 150}, sure=True)
    audit = json.loads((tmp_path / "reports/audit.json").read_text())
    write_json(tmp_path / "reports/audit.json", clean_audit(audit))
    write_json(tmp_path / "reports/explanations.json", {"layer": {"name": "layer4", "cells": 3}, "pointing": None})
    assert "No reason for caution" in first_screen(run_report(tmp_path))


def test_copies_are_shown_and_what_was_dropped_is_named(hostile: Path) -> None:
    page = Elements(page_of(hostile))
    assert "identical pixels, different labels" in page.text
    assert "identical files, on both sides of the given split" in page.text
    assert "gone/<b>copy</b>.jpg" in page.text and "dropped, so not in the cache" in page.text
    assert "40 images that look like" in page.text and "patient <i>7</i>" in page.text
    shown = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert any(alt.startswith("Image 0 <scrip/train 1 ") for alt in shown)


def test_the_models_figure_stands_below_what_it_must_beat(hostile: Path) -> None:
    page = page_of(hostile)
    table = page[page.index("What a model must beat") : page.index("Photographs unlike the others")]
    auroc = json.loads((hostile / "reports" / "metrics.json").read_text())["test"]["auroc_macro"]
    assert table.index("8 x 8 thumbnail") < table.index("this model, test part") < table.index(f"<td>{auroc:.2f} (")


def test_images_in_which_nothing_was_found_have_a_report_that_says_so(tmp_path: Path) -> None:
    page = Elements(report_of(tmp_path, clean=True, classes=["a", "b"])).text
    for line in ("No warning: nothing was found", "No picture is there twice.", "Nothing: the files are alike",
                 "None is much darker", "The circle of the photograph was found in all 44 images."):
        assert line in page
    assert "What a model must beat" not in page


def test_shortcuts_that_were_not_looked_for_are_said_to_be_so(tmp_path: Path) -> None:
    write_miniature(tmp_path, classes=["a", "b"])
    audit = json.loads((tmp_path / "reports" / "audit.json").read_text())
    write_json(tmp_path / "reports" / "audit.json", audit | {"shortcuts": []})
    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("shortcuts: warn", "shortcuts: 'off'"))
    assert "Not looked for (split.shortcuts: off)." in Elements(run_report(tmp_path)).text


def test_the_run_is_tagged_with_its_strong_shortcuts() -> None:
    audit = audited(images_of(["a", "b"], None), ["a", "b"])
    assert audit_tags(audit, "warn") == {"fovea.shortcuts": "image size (AUROC 1.00)", "fovea.warnings": "2"}
    assert audit_tags(clean_audit(audit), "warn") == {"fovea.shortcuts": "none", "fovea.warnings": "0"}
    assert audit_tags(clean_audit(audit), False)["fovea.shortcuts"] == "off"  # what YAML makes of off


def test_a_single_test_image_has_a_report(one: Path) -> None:
    page = Elements(page_of(one)).text
    assert "1 of 1 test images" in page or "0 of 1 test images" in page
    assert "长" * 300 in page and "سليم" in page and "nan" not in page.lower()


def test_many_classes_have_a_report(many: Path) -> None:
    assert "species 39" in page_of(many)


def drawn_section(folder: Path) -> str:
    return page_of(folder).split('<section id="input">')[1].split("</section>")[0]


def test_what_the_model_gets_is_shown_for_each_class_in_the_first_epochs_of_the_full_phase(hostile: Path) -> None:
    section = Elements(drawn_section(hostile))
    shown = [attributes["alt"] for tag, attributes in section.tags if tag == "img"]
    for name in HOSTILE:
        lines = [[alt for alt in shown if alt.endswith(f" of {name}{variant}, {when}")]
                 for variant in ("", ", variant 1") for when in ("stored", "epoch 4", "epoch 5", "epoch 6")]
        assert [len(line) for line in lines] == [1] * 8, name
    assert not [alt for alt in shown if alt.endswith(("epoch 3", "epoch 7"))]


def test_with_few_classes_more_images_of_each_are_drawn(binary: Path) -> None:
    shown = [attributes["alt"] for tag, attributes in Elements(drawn_section(binary)).tags if tag == "img"]
    assert sum(alt.endswith("of ill, stored") for alt in shown) == 3


def test_of_many_classes_the_first_are_drawn_and_the_others_counted(many: Path) -> None:
    section = drawn_section(many)
    assert "of species 7, stored" in section and "of species 8, stored" not in section
    assert "32 more classes are not shown" in section


def test_images_in_which_the_crop_found_nothing_come_first(hostile: Path) -> None:
    section = drawn_section(hostile)
    names = json.loads((hostile / "reports" / "augment.json").read_text())["uncropped_images"]
    shown = [attributes["alt"] for tag, attributes in Elements(section).tags if tag == "img"]
    assert shown[:6] == [f"Image {name}, stored whole" for name in names[:6]]
    assert "found in 8 of 104 images, which are stored whole. The first 6 are shown." in section


def test_a_thousand_test_images_fit_into_15_megabytes(tmp_path: Path) -> None:
    """Noise is what a JPEG is largest of: photographs take half as much."""
    write_miniature(tmp_path, classes=["a", "b"], per_part={"train": 4, "val": 4, "test": 600}, side=224)
    page = run_report(tmp_path)
    assert page.count('class="shot"') == 1000 and "1000 are in this page" in page
    assert len(page.encode()) < 15e6


def test_the_summary_says_in_markdown_what_the_first_screen_says(hostile: Path) -> None:
    summary = (hostile / "reports/summary.md").read_text()
    figures = json.loads((hostile / "reports/metrics.json").read_text())["test"]
    assert f"| Balanced accuracy | **{figures['balanced_accuracy']:.3f}** |" in summary
    assert "**8 reasons for caution**" in summary and "<script>" not in summary


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Whatever a test opens in it: no error in the console, no request to another host."""
    with Browser(tmp_path / "profile") as browser:
        yield browser
        browser.text()  # reads what has arrived meanwhile
        assert browser.other_hosts() == [] and browser.errors == []


def open_report(browser: Browser, folder: Path) -> None:
    browser.open((folder / "reports/report.html").as_uri())
    browser.wait_for("document.readyState === 'complete' && !document.querySelector('.filters').hidden")


def shots(browser: Browser) -> list[str]:
    """Labels of the test images that are shown."""
    return list(browser.value("[...document.querySelectorAll('.shot:not([hidden]) strong')].map(one => one.innerText)"))


@needs_chromium
def test_a_cell_of_the_confusion_matrix_shows_its_images(hostile: Path, browser: Browser) -> None:
    open_report(browser, hostile)
    assert len(shots(browser)) == 12
    browser.value("""document.querySelector('.matrix button[data-actual="1"][data-predicted="2"]').click()""")
    assert shots(browser) == [f"{HOSTILE[1]} taken for {HOSTILE[2]}"] * 2
    assert browser.value("document.querySelector('.filters output').innerText") == "2 of 2 shown"


@needs_chromium
def test_test_images_are_filtered_by_class_and_error_and_more_are_shown(hostile: Path, browser: Browser) -> None:
    open_report(browser, hostile)
    choose = """(([name, value]) => { const select = document.querySelector(`select[name=${name}]`);
                select.value = value; select.dispatchEvent(new Event('change', {bubbles: true})) })"""
    browser.value(f"{choose}(['right', '0'])")
    assert len(shots(browser)) == 5 and all(" taken for " in text for text in shots(browser))
    browser.value(f"{choose}(['right', ''])")
    browser.click("Show more")
    assert len(shots(browser)) == 24
    browser.value(f"{choose}(['actual', '0'])")
    assert len(shots(browser)) == 6


@needs_chromium
def test_an_image_opens_with_its_explanation_and_its_probabilities(hostile: Path, browser: Browser) -> None:
    open_report(browser, hostile)
    browser.value("document.querySelector('.shot .open').click()")
    assert browser.value("document.querySelector('dialog').open")
    text = browser.value("document.querySelector('dialog').innerText")
    assert f"{HOSTILE[0]} taken for {HOSTILE[1]}" in text and f"{HOSTILE[0]} (its label)" in text
    assert f"what speaks for {HOSTILE[1]}" in text
    assert browser.value("document.querySelectorAll('dialog img').length") == 2
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape", windowsVirtualKeyCode=27)
    browser.wait_for("!document.querySelector('dialog').open")


@needs_chromium
def test_a_curve_tells_its_threshold_under_the_pointer_and_by_arrow_keys(hostile: Path, browser: Browser) -> None:
    open_report(browser, hostile)
    roc = "[...document.querySelectorAll('.chart')].find(one => one.ariaLabel.startsWith('ROC'))"
    x, y = browser.value(f"(() => {{ const chart = {roc}; chart.scrollIntoView({{block: 'center'}});"
                         "const box = chart.getBoundingClientRect(); return [box.x + box.width / 2, box.y + 60] })()")
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    reading = browser.value(f"{roc}.querySelector('output').innerText")
    name, _, values = reading.partition("): ")
    read = dict(one.rsplit(" ", 1) for one in values.split(", "))
    points = pd.read_csv(hostile / "reports/plots/roc.csv", keep_default_na=False, dtype=str)
    points = points[points["class"] == next(one for one in HOSTILE if name.startswith(one[:20]))]
    near = points[(points["fpr"].astype(float) - float(read["1 - specificity"])).abs() < 0.001]
    assert float(read["threshold"]) in near["threshold"].replace("", "nan").astype(float).round(3).tolist()
    browser.value(f"{roc}.focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight")
    assert browser.value(f"{roc}.querySelector('output').innerText") != reading


@needs_chromium
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", ["hostile", "many", "one"])
def test_nothing_is_wider_than_the_screen(
    request: pytest.FixtureRequest, browser: Browser, kind: str, width: int
) -> None:
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    open_report(browser, request.getfixturevalue(kind))
    assert browser.value("document.documentElement.scrollWidth") <= width


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(hostile: Path, browser: Browser, scheme: str) -> None:
    """At least 4.5 : 1, as WCAG 2.2 wants it (1.4.3), of every text on a plain background."""
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    open_report(browser, hostile)
    assert browser.value(CONTRAST) == []


CONTRAST = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = colours => { canvas.clearRect(0, 0, 1, 1); for (const colour of colours) { canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1) } return [...canvas.getImageData(0, 0, 1, 1).data] };
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !node.getClientRects().length || node.closest('svg, script, style')) continue;
    const behind = [];
    for (let one = node; one; one = one.parentElement) behind.unshift(getComputedStyle(one).backgroundColor);
    const back = rgb(['#fff', ...behind]), front = rgb(['#fff', ...behind, getComputedStyle(node).color]);
    const [high, low] = [light(back), light(front)].sort((a, b) => b - a);
    if ((high + .05) / (low + .05) < 4.5) found.push([node.className, text.slice(0, 30), back, front]);
  }
  return found.slice(0, 5);
})()"""


@needs_chromium
def test_a_browser_would_refuse_to_ask_another_host(hostile: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(page_of(hostile).replace("<main>", '<main><img src="http://127.0.0.1:9/x.png">'), encoding="utf-8")
    with Browser(tmp_path / "profile") as browser:
        browser.open(page.as_uri())
        browser.wait_for("document.readyState === 'complete'")
        browser.text()
        assert any("Content Security Policy" in error for error in browser.errors)
