"""The page in a real browser."""

import base64
import io
import re
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from support.browser import Visitor, chromium, read
from support.client import pixels
from support.held import SOON, served
from support.process import started
from support.processes import cpu_seconds, wait_for
from support.shaken import SHAKE
from support.small_model import save_small

import scoreinv
from scoreinv.files.read import read_picture
from scoreinv.files.write import write_picture
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.blur import kernel_from_text, picture_of_kernel
from scoreinv.operators.kernels import normalised
from scoreinv.system.errors import ScoreinvError
from scoreinv.tasks.select import Prompt, Selected, Size
from scoreinv.web import jobs
from scoreinv.web.album import Album
from scoreinv.web.many import Batch
from scoreinv.web.photo import GoneError
from scoreinv.web.sessions import Sessions

SAVE = "import('/static/session.js').then(session => session.save())"
CPU = ("--device", "cpu")
EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory):
    """The page, with a small model."""
    model = save_small(tmp_path_factory.mktemp("model") / "small.safetensors")
    with started(tmp_path_factory.mktemp("served"), "--model", model, "--color-model", model, *CPU) as (_, found):
        yield found


@pytest.fixture(scope="module")
def browser():
    with chromium() as launched:
        yield launched


@pytest.fixture
def visit(browser):
    """Open a link in a window of its own, in which there must be no error."""
    opened: list[Visitor] = []

    def visit(link: str, **window: Any) -> Visitor:
        opened.append(Visitor(browser, link, **window))
        return opened[-1]

    yield visit
    for one in opened:
        assert one.errors == []
        one.context.close()


@pytest.fixture
def visitor(visit, link):
    opened = visit(link)
    yield opened
    assert opened.hosts == {link.split("/")[2]}  # nobody else was asked for anything


@pytest.fixture
def painter(visitor, tmp_path):
    """A visitor who has opened a photograph."""
    visitor.open(photo(tmp_path))
    return visitor


@pytest.fixture
def server():
    """A server whose jobs wait until the test frees its model."""
    with served() as held:
        yield held


@pytest.fixture
def guest(visit, server):
    """A visitor of that server."""
    return visit(server.link)


def photo(folder: Path, height: int = 120, width: int = 160, name: str = "photo.png", **kind) -> Path:
    write_picture(folder / name, Picture(pixels(height=height, width=width, **kind)))
    return folder / name


@pytest.mark.parametrize(("name", "kind"), [("photo.png", {}), ("deep.tif", {"dtype": np.uint16})])
def test_paint_fill_and_download(visitor, tmp_path, name, kind):
    """Known pixels are those of the file, bit for bit, in its own format and depth."""
    path = photo(tmp_path, name=name, **kind)
    visitor.open(path)
    assert visitor.page.is_disabled("#fill")
    visitor.paint((0.3, 0.3), (0.5, 0.6), (0.6, 0.3))
    hole = visitor.mask()
    assert hole.shape == (120, 160)
    assert 0.01 < hole.mean() < 0.2
    visitor.fill()
    content = visitor.saved("#download")
    before, after = read_picture(path).pixels, read_picture(content).pixels
    assert content[:4] == path.read_bytes()[:4]
    assert (after.dtype, after.shape) == (before.dtype, before.shape)
    assert (after[~hole] == before[~hole]).all()
    assert (after[hole] != before[hole]).any(-1).mean() > 0.5


def test_a_stroke_is_what_its_pixels_say(visitor, tmp_path):
    """All pixels within half the brush's size of the line, also where the pointer jumped."""
    visitor.open(photo(tmp_path, 200, 300))
    visitor.page.evaluate("document.getElementById('size').value = 50")
    visitor.page.dispatch_event("#size", "input")
    diameter = int(visitor.text("#size-px").split()[0])
    visitor.paint((0.2, 0.25), (0.8, 0.75), steps=1)
    y, x = np.mgrid[:200, :300] + 0.5
    a, b = np.array([60.0, 50.0]), np.array([240.0, 150.0])
    along = np.clip(((x - a[0]) * (b - a)[0] + (y - a[1]) * (b - a)[1]) / ((b - a) @ (b - a)), 0, 1)
    distance = np.hypot(x - a[0] - along * (b - a)[0], y - a[1] - along * (b - a)[1])
    hole = visitor.mask()
    assert hole[distance < diameter / 2 - 1].all()
    assert not hole[distance > diameter / 2 + 1].any()


def test_undo_redo_eraser_and_keys(visitor, tmp_path):
    first = visitor.open_painted(photo(tmp_path))
    visitor.paint((0.5, 0.2), (0.5, 0.8))
    both = visitor.mask()
    assert both.sum() > first.sum()
    visitor.press("Control+z")
    assert (visitor.mask() == first).all()
    visitor.press("Control+Shift+Z")
    assert (visitor.mask() == both).all()
    visitor.press("Control+z", "Control+z")
    assert visitor.page.is_disabled("#mask-save")
    visitor.press("Control+y", "e")
    visitor.paint((0.5, 0.2), (0.5, 0.8))
    assert 0 < visitor.mask().sum() < first.sum()
    size = visitor.text("#size-px")
    visitor.press("]", "]")
    assert visitor.text("#size-px") != size
    visitor.press("[", "[")
    assert visitor.text("#size-px") == size
    visitor.click("#mask-clear")
    assert visitor.page.is_disabled("#mask-save")
    visitor.click("#undo")
    assert visitor.page.is_enabled("#mask-save")


def test_undo_while_a_stroke_is_drawn_takes_that_back(visitor, tmp_path):
    first = visitor.open_painted(photo(tmp_path))
    for key, expected in (("Control+z", first), ("Control+y", None)):
        visitor.paint((0.5, 0.2), (0.5, 0.5), (0.5, 0.8), keys=(key,))
        assert expected is None or (visitor.mask() == expected).all()
    both = visitor.mask()
    assert both[30:60, 80].all()
    assert not both[80:, 80].any()  # the stroke had ended
    visitor.press("Control+z")
    assert (visitor.mask() == first).all()
    visitor.press("Control+z")
    assert visitor.page.is_disabled("#mask-save")
    visitor.press("Control+y")
    assert (visitor.mask() == first).all()


@pytest.mark.parametrize(
    "event",
    [
        {"key": "]", "altKey": True, "ctrlKey": True},  # the same with AltGr, as Windows tells it
        {"key": "ъ", "code": "BracketRight"},
    ],
)
def test_keys_of_other_keyboards(painter, event):
    size = painter.text("#size-px")
    press = "event => document.body.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...event }))"
    painter.page.evaluate(press, event)
    assert painter.text("#size-px") != size
    painter.paint((0.2, 0.5), (0.8, 0.5))
    for kept in ({"key": "w", "code": "KeyZ", "ctrlKey": True}, {"key": "z", "ctrlKey": True, "altKey": True}):
        painter.page.evaluate(press, kept)
        assert painter.page.is_enabled("#fill")
    painter.page.evaluate(press, {"key": "я", "code": "KeyZ", "ctrlKey": True})
    assert painter.page.is_disabled("#fill")


def test_space_pans_and_the_wheel_zooms_about_its_place(painter):
    start = painter.place(0.5, 0.5)
    painter.click("#tools [data-tool=eraser]")
    painter.click("#tools [data-tool=mask]")  # which does not keep the keyboard
    painter.choose("task", "restore")
    painter.page.mouse.move(*start)
    painter.page.keyboard.down("Space")
    painter.paint((0.5, 0.5), (0.6, 0.5))
    painter.page.keyboard.up("Space")
    moved = painter.place(0.5, 0.5)
    assert moved[0] > start[0] + 20
    assert painter.page.is_disabled("#mask-save")  # nothing was painted
    corner = painter.place(0, 0)
    painter.page.mouse.move(*moved)
    scale = painter.text("#fit")
    painter.page.mouse.wheel(0, -300)
    painter.until("was => document.getElementById('fit').textContent != was", scale)
    assert np.allclose(painter.place(0.5, 0.5), moved, atol=1)
    assert painter.place(0, 0)[0] < corner[0] - 20
    painter.press("0")
    assert np.allclose(painter.place(0.5, 0.5), start, atol=1)


def test_a_mask_file(painter, tmp_path):
    given = np.random.default_rng(0).random((120, 160)) > 0.5
    Image.fromarray(given).save(tmp_path / "mask.png")
    painter.paint((0.2, 0.5), (0.8, 0.5))
    painted = painter.mask()
    painter.page.set_input_files("#mask-file", tmp_path / "mask.png")
    painter.begins("hole", "5")
    assert (painter.mask() == given).all()
    painter.press("Control+z")
    assert (painter.mask() == painted).all()
    Image.fromarray(given[:50]).save(tmp_path / "small.png")
    painter.page.set_input_files("#mask-file", tmp_path / "small.png")
    assert "The mask is 160x50, but the photo is 160x120" in painter.error()
    assert (painter.mask() == painted).all()


def test_damage_is_found_and_added_to_the_hole(visitor):
    """The slider then marks more or less of it at once, and leaves what was painted, and what was erased."""
    path = EXAMPLES / "damaged" / "astronaut.png"
    visitor.open(path)
    visitor.paint((0.1, 0.9), (0.2, 0.9))
    painted = visitor.mask()
    painted_share = visitor.text("#hole")
    visitor.click("#damage")
    visitor.until("was => document.getElementById('hole').textContent != was", painted_share)
    mask = visitor.mask()
    # The page computes in bfloat16 where the processor does, which moves a mark that is nearly sure: a band of it.
    least, most = (scoreinv.find_damage(read(path.read_bytes()), sensitivity=of) for of in (0.4, 0.6))
    assert least.any()
    assert most.mean() < 0.2
    assert (least | painted)[~mask].mean() < 1e-3
    assert mask[~(most | painted)].mean() < 1e-3

    def move(sensitivity: float) -> np.ndarray:
        before = visitor.text("#hole")
        visitor.slide("damage-sensitivity", sensitivity)
        visitor.until("was => document.getElementById('hole').textContent != was", before)
        return visitor.mask()

    y, x = np.argwhere(mask & ~painted).mean(0).astype(int)
    visitor.click("#tools [data-tool=eraser]")
    visitor.paint((x / 512 - 0.1, y / 512), (x / 512 + 0.1, y / 512))
    erased = mask & ~visitor.mask()
    assert erased.any()
    less, more = move(0.1), move(0.9)
    for now in (less, more):
        assert now[painted].all()
        assert not now[erased].any()
    assert less.sum() < more.sum()
    assert (less & ~more).mean() < 1e-3  # an eye that is marked as a whole is known for one
    visitor.press(*["Control+z"] * 3)  # what the slider did, the eraser, what was found
    assert (visitor.mask() == painted).all()


def test_all_is_done_by_the_keyboard(visitor, tmp_path):
    """What has the focus when it goes away hands it on."""
    visitor.open(photo(tmp_path, channels=1))

    def focused() -> str:
        return visitor.page.evaluate("document.activeElement.id")

    visitor.press("Tab")
    visitor.press("ArrowRight", on="[name=task][value=fill]")
    visitor.press("Enter", on="#colorize", then="comparing")
    assert focused() == "keep"
    visitor.press("ArrowRight", on="[name=compare][value=result]")
    visitor.page.wait_for_selector("#divider")  # shown with the next frame
    visitor.press("End", on="#divider")
    visitor.page.wait_for_selector("#divider[aria-valuenow='100']")
    visitor.press("Space", on="#back", then="painting")
    assert focused() == "colorize"
    visitor.press("b")
    visitor.paint((0.4, 0.5), (0.6, 0.5))
    visitor.press("Tab")
    visitor.press("Enter", on="#fill", then="comparing")
    visitor.press("Enter", on="#again")
    visitor.results(3)  # with the coloured one
    visitor.press("Enter", on="#thumbs button:nth-child(1)")
    assert visitor.text("#thumbs button:nth-child(1)") == "Result 1"
    assert visitor.page.get_attribute("#thumbs button:nth-child(1)", "title") == "--seed 0"
    assert visitor.page.get_attribute("#thumbs button:nth-child(1)", "aria-pressed") == "true"
    visitor.press("Enter", on="#keep", then="painting")
    assert visitor.page.is_disabled("#fill")  # where the focus would go
    assert visitor.page.evaluate("document.activeElement.value") == "fill"  # its task
    visitor.press("?")
    assert visitor.page.evaluate("document.getElementById('help').open")
    visitor.press("Escape")
    assert not visitor.page.evaluate("document.getElementById('help').open")


def test_an_old_photograph_is_restored(visitor, tmp_path):
    """With the mask and strokes that are painted; otherwise with detected damage, at the chosen sensitivity."""
    visitor.open(photo(tmp_path, channels=1))
    visitor.paint((0.3, 0.2), (0.7, 0.2))
    visitor.click("#tools [data-tool=colour]", "#swatches button[title='red']")
    visitor.paint((0.2, 0.6), (0.8, 0.6))
    visitor.choose("task", "restore")
    visitor.run("#restore")
    assert visitor.codes() == ["damage_given", "kind_gray", "tone_too_small", "filled", "noise_removed", "colors_drawn"]
    assert len(visitor.text("#note p").splitlines()) == 6
    assert visitor.page.is_hidden("#exact")  # more than the hole may have changed
    after = visitor.result()
    assert after.shape == (120, 160, 3)
    row = after[72, 40:120].astype(int)
    assert (row[:, 0] > row[:, 1] + 10).mean() > 0.8
    visitor.click("#back", "#mask-clear")
    visitor.slide("restore-keep_grain", 0.4)
    for sensitivity in (0, 0.9):
        visitor.slide("restore-sensitivity", sensitivity)
        assert visitor.text("#restore-sensitivity + output") == ("90 %" if sensitivity else "auto")
        visitor.run("#restore")
        assert "damage_given" not in visitor.codes()
        visitor.click("#back")
        visitor.slide("restore-tone", 1)
    for step in ("inpaint", "colorize", "denoise"):
        visitor.page.uncheck(f"#restore-{step}")
    assert visitor.page.is_hidden("#restore-keep_grain")
    visitor.slide("restore-tone", 0)
    visitor.page.check("#restore-keep_tint")
    visitor.click("#restore")
    assert visitor.error() == "Keep a sepia tint leaves nothing to do: every step is off."
    visitor.page.check("#restore-inpaint")
    visitor.click("#restore")
    visitor.until("['comparing', 'painting'].includes(document.body.dataset.state)")
    asked = visitor.queries("restore")
    sent = [urlsplit(url).query for url in visitor.asked if "/layers" in url]
    assert sent == ["of=mask", f"of=strokes&beside={asked[0]['mask'][0]}"]
    off = {"tone": ["0"], "denoise": ["false"], "colorize": ["false"], "keep_tint": ["true"]}
    changed = [{name: value for name, value in query.items() if name != "seed"} for query in asked]
    assert [sorted(changed[0]), *changed[1:]] == [
        ["mask", "strokes"],
        {"keep_grain": ["0.4"]},
        {"keep_grain": ["0.4"], "sensitivity": ["0.9"], "tone": ["1"]},
        {"inpaint": ["false"], **off},
        {"sensitivity": ["0.9"], **off},
    ]


def test_noise_size_and_blur_are_improved(visitor, tmp_path):
    """Each has its settings and one result; an enlarged one is shown where the photograph was."""
    visitor.open(photo(tmp_path, 60, 80))
    visitor.choose("task", "improve")
    assert visitor.page.is_hidden("#tools [data-tool=eraser]")  # nothing is painted for an improvement
    assert visitor.page.is_hidden("#size")
    place = visitor.page.locator("#denoise").bounding_box()
    visitor.until("document.getElementById('seconds').textContent !== ''")
    assert visitor.page.locator("#denoise").bounding_box() == place  # it does not move while it is pressed
    visitor.page.fill("#denoise-noise", "12")
    visitor.run("#denoise")
    assert visitor.codes() == []
    assert visitor.page.is_hidden("#note")
    assert visitor.page.is_hidden("#again")
    visitor.click("#back")
    visitor.choose("improve", "deblur")
    visitor.choose("deblur-blur", "motion")
    assert visitor.page.is_visible("#deblur-angle")
    visitor.run("#deblur")
    assert "noise_estimated" in visitor.codes()
    visitor.click("#back")
    visitor.choose("improve", "upscale")
    visitor.choose("upscale-factor", "3")
    corner = visitor.place(1, 1)
    visitor.run("#upscale")
    assert np.allclose(visitor.place(1, 1), corner)
    assert "240" in visitor.text("#title")
    assert visitor.result().shape == (180, 240, 3)
    visitor.keep()
    assert "240" in visitor.text("#title")
    asked = [url.rpartition("/")[2] for url in visitor.asked if re.search("/(denoise|deblur|upscale)", url)]
    assert asked == ["denoise?noise=12", "deblur?blur=motion", "upscale?factor=3"]


def test_a_kernel_is_chosen_shown_and_downloaded_and_the_mask_limits_its_work(visitor, tmp_path):
    write_picture(tmp_path / "kernel.png", picture_of_kernel(SHAKE))
    path = photo(tmp_path)
    visitor.open(path)
    visitor.slide("size", 100)
    visitor.paint((0.3, 0.4), (0.7, 0.6))
    hole = visitor.mask()
    visitor.page.click("label:has([name=task][value=improve])")
    visitor.page.click("label:has([name=improve][value=deblur])")
    visitor.page.set_input_files("#kernel", tmp_path / "kernel.png")
    visitor.page.click("#deblur")
    visitor.wait("comparing")
    before, after = read_picture(path).pixels, read(visitor.saved("#download"))
    assert (after[~hole] == before[~hole]).all()
    assert (after[hole] != before[hole]).any(-1).mean() > 0.5
    kernel = normalised(SHAKE, "the kernel")
    visitor.until("width => document.querySelector('#note .kernel').naturalWidth === width", kernel.shape[1])
    (tmp_path / "downloaded.png").write_bytes(visitor.saved("#note a:has(.kernel)"))
    np.testing.assert_allclose(kernel_from_text(str(tmp_path / "downloaded.png")), kernel, atol=1e-5)
    visitor.page.click("#back")
    visitor.page.set_input_files("#kernel", path)
    visitor.page.click("#deblur")
    assert "kernel is 160x120" in visitor.error()


def test_the_grain_to_keep_is_previewed_and_downloaded_as_a_run_gives_it(visitor, tmp_path):
    opaque = np.dstack([pixels(height=120, width=160), np.full((120, 160), 255, np.uint8)])
    write_picture(tmp_path / "photo.png", Picture(opaque))  # with alpha it is shown without loss
    visitor.open(tmp_path / "photo.png")
    visitor.choose("task", "improve")
    visitor.page.fill("#denoise-noise", "25")

    def result(slider: str, share: float) -> Any:
        """Set the grain to keep, run the task, and return the downloaded pixels."""
        visitor.slide(slider, share)
        if slider == "blend-keep_grain":
            assert visitor.page.evaluate("""() => {
                document.getElementById("blend-keep_grain").dispatchEvent(new Event("change"));
                return document.getElementById("download").inert; // until it is made
            }""")
            visitor.until("share => import('/static/views.js').then(v => v.result().blend?.keep_grain === share)", 0.7)
            visitor.idle()
        else:
            visitor.run("#denoise")
        return visitor.result()

    expected = result("denoise-keep_grain", 0.7)
    assert visitor.page.input_value("#blend-keep_grain") == "0.7"
    assert visitor.page.is_hidden("#blend-opacity")  # it would do the same
    shown = visitor.drawn()
    visitor.click("#back")
    without = result("denoise-keep_grain", 0)
    assert (without != expected).any()
    assert difference(visitor.drawn(), shown) > 5
    visitor.slide("blend-keep_grain", 0.7)
    assert difference(visitor.drawn(), shown) < 1
    assert (result("blend-keep_grain", 0.7) == expected).all()
    assert visitor.page.locator("#thumbs button").count() == 2  # the result has changed
    assert visitor.drawn() == shown
    visitor.reload("comparing")
    assert visitor.page.input_value("#blend-keep_grain") == "0.7"
    asked = [urlsplit(url).query for url in visitor.asked if re.search(r"/(denoise|blend)\?", url)]
    assert asked == ["noise=25&keep_grain=0.7", "noise=25", "noise=25&keep_grain=0.7"]  # none for the preview


def difference(first: str, second: str) -> float:
    """Return the mean difference of two drawn pictures, in grey levels."""
    before, after = (read(base64.b64decode(each.partition(",")[2])).astype(int) for each in (first, second))
    return abs(before - after).mean()


def test_results_are_kept_and_undo_goes_back_to_any(painter):
    """Another adds, and four do; so does a fill of the same hole after a look at the marks, and no other."""
    painter.paint((0.3, 0.5), (0.7, 0.5))
    hole = painter.mask()
    painter.run("#fill", results=1)
    assert painter.page.evaluate("document.querySelector('[name=compare]:checked').value") == "result"
    first = painter.result()
    painter.run("#again", results=2)
    assert painter.shown_result() == "Result 2"
    second = painter.result()
    assert (first != second).any()
    painter.run("#four", results=6)
    assert painter.page.locator("#thumbs button").all_inner_texts() == [f"Result {n}" for n in range(1, 7)]
    painter.click("#thumbs button:nth-child(2)")
    for number in (6, 5, 4, 3, 2, 1):
        painter.press("Control+z")
        assert painter.shown_result() == f"Result {number}"
    assert (painter.result() == first).all()
    painter.press("Control+z", then="painting")
    assert (painter.mask() == hole).all()
    painter.press("Control+y", "Control+y", then="comparing")
    assert (painter.result() == second).all()
    painter.keep()
    painter.run("#undo")
    assert painter.shown_result() == "Result 2"
    assert painter.page.locator("#thumbs button").count() == 6
    painter.click("#back")
    painter.run("#fill", results=7)
    painter.click("#back")
    painter.paint((0.3, 0.2), (0.7, 0.2))
    painter.run("#fill", results=8)  # with other marks, in the same gallery
    painter.choose("compare", "side")
    painter.until("document.querySelectorAll('#labels .tag').length === 9")  # drawn with the next frame
    seeds = [query["seed"][0] for query in painter.queries("fill")]
    assert seeds == ["0", "1", "2", "3", "4", "5", "6", "0"]
    assert sum("/layers?of=" in url for url in painter.asked) == 2  # saving the mask sends it, too


def test_before_is_a_key_or_a_button_that_is_held_down(painter):
    before = painter.drawn()
    painter.paint((0.1, 0.5), (0.3, 0.5))
    painter.fill()
    after = painter.drawn()
    assert after != before  # the result, at once
    painter.page.keyboard.down("x")
    assert painter.drawn() == before
    assert painter.page.is_visible("#labels .tag")
    painter.page.keyboard.up("x")
    assert painter.drawn() == after
    for button in ("#before", "#marks"):
        painter.page.hover(button)
        painter.page.mouse.down()
        assert painter.drawn() == before
        painter.page.mouse.up()
        assert painter.drawn() == after
    painter.choose("compare", "divider")
    painter.page.wait_for_selector("#divider")
    share = int(painter.page.get_attribute("#divider", "aria-valuenow"))
    left, right = (painter.place(x, 0.5)[0] / painter.page.locator("#stage").bounding_box()["width"] for x in (0, 1))
    assert abs(share / 100 - (left + 0.2 * (right - left))) < 0.05  # it begins at the hole


def test_results_are_compared_and_one_is_kept(visitor, tmp_path):
    path = photo(tmp_path)
    visitor.open(path)
    first = visitor.drawn()
    visitor.paint((0.3, 0.5), (0.7, 0.5))
    hole = visitor.mask()
    visitor.run("#fill", results=1)
    visitor.run("#four", results=5)
    visitor.choose("compare", "side")
    assert visitor.page.locator("#labels .tag").all_inner_texts() == ["before", *(f"result {n}" for n in range(1, 6))]
    visitor.click("#thumbs button:nth-child(3)")
    chosen = visitor.result()
    visitor.keep()
    kept = visitor.result()
    assert (kept == chosen).all()
    assert visitor.text("#title").startswith("photo_inpainted_2")
    assert visitor.drawn() != first
    visitor.press("Control+z", then="comparing")
    assert visitor.text("#title").split()[0] == "photo"
    visitor.click("#back")
    assert visitor.drawn() == first
    assert (visitor.mask() == hole).all()
    assert (visitor.result() == read_picture(path).pixels).all()
    visitor.press("Control+z", then="comparing")
    visitor.page.reload()  # which takes up what was shown last
    visitor.results(5)
    assert visitor.shown_result() == "Result 3"
    assert (visitor.result() == chosen).all()


def test_the_divider_shows_before_and_after(painter):
    painter.paint((0.1, 0.5), (0.9, 0.5))
    painter.fill()
    painter.choose("compare", "divider")

    def drawn() -> np.ndarray:
        painter.page.mouse.move(5, 5)
        return read(painter.page.locator("#base").screenshot())

    painter.page.wait_for_selector("#divider")  # shown with the next frame; what is hidden takes no focus
    painter.press("End", on="#divider")
    painter.page.wait_for_selector("#divider[aria-valuenow='100']")
    before = drawn()
    painter.press("Home")
    painter.page.wait_for_selector("#divider[aria-valuenow='0']")
    assert (before != drawn()).any()
    _, y = painter.place(0, 0.5)
    middle = painter.place(0.5, 0.5)
    painter.page.mouse.move(painter.page.locator("#stage").bounding_box()["x"] + 1, y)
    painter.page.mouse.down()
    painter.page.mouse.move(*middle, steps=4)
    painter.page.mouse.up()
    painter.until("Math.abs(document.getElementById('divider').ariaValueNow - 50) < 5")


def begin_fill(visitor: Visitor, folder: Path) -> np.ndarray:
    """Open a photograph, paint a hole and have it filled, until the model is waited for; returns the hole."""
    hole = visitor.open_painted(photo(folder), 0.3)
    visitor.click("#fill")
    visitor.begins("job-text", "Preparing")
    return hole


def test_cancel_and_what_comes_after(guest, server, tmp_path):
    hole = begin_fill(guest, tmp_path)
    assert guest.page.get_by_role("progressbar", name="Filling the mask").is_visible()
    assert guest.text("#job-text").endswith(" 0 %")
    guest.click("#cancel")
    wait_for(lambda: server.jobs[0].should_stop())
    server.model.free.set()
    guest.idle()
    assert (guest.mask() == hole).all()
    assert server.jobs[0].state == "cancelled"
    guest.fill()


def test_cancelling_while_the_result_comes(guest, server, tmp_path):
    hole = guest.open_painted(photo(tmp_path), 0.3)
    server.model.free.set()
    request = guest.held_back("**/view", lambda: guest.click("#fill"))
    guest.click("#cancel")
    guest.begins("job-text", "Stopping")
    request.continue_()
    guest.wait("painting")
    assert (guest.mask() == hole).all()
    assert server.jobs[0].state == "done"


@pytest.mark.parametrize(("path", "then"), [("**/layers?*", "cancel"), ("**/fill?*", "open")])
def test_cancelling_while_the_request_is_sent(guest, server, tmp_path, path, then):
    """The press counts at once, and a job that the server has begun all the same is stopped."""
    guest.open_painted(photo(tmp_path), 0.3)
    sent: list[Any] = []
    guest.page.route(path, lambda route: sent.append(route))
    guest.click("#fill")
    guest.begins("job-text", "Sending")
    wait_for(lambda: guest.page.evaluate("1") and sent)  # the browser's events come while it is asked for something
    if then == "cancel":
        guest.click("#cancel")
    else:
        guest.open_another(photo(tmp_path, name="other.png"))
        assert guest.page.is_disabled("#fill")  # nothing is painted on it
    guest.wait("painting")
    if path != "**/layers?*":
        sent[0].continue_()
        wait_for(lambda: guest.page.evaluate("1") and len(server.jobs) == 1 and server.jobs[0].should_stop())
    guest.page.unroute(path)
    assert guest.page.is_hidden("#error")
    guest.press("b")
    guest.paint((0.2, 0.5), (0.8, 0.5))
    guest.click("#fill")
    server.model.free.set()
    guest.wait("comparing")
    assert [job.state for job in server.jobs] == ["cancelled"] * (path != "**/layers?*") + ["done"]


def ask_in_tab(visitor: Visitor, tab: Any, path: Path) -> None:
    """Open a photograph in a tab, and ask for a fill, until the server has been asked."""
    visitor.page = tab
    visitor.open_painted(path, 0.3)
    visitor.click("#fill")
    visitor.until("!document.getElementById('job-text').textContent.startsWith('Sending')")


def test_two_tabs_wait_for_each_other_and_a_closed_one_does_not_keep_the_other(guest, server, tmp_path, monkeypatch):
    path = photo(tmp_path)
    tabs = [guest.page, guest.tab()]
    for tab in tabs:
        ask_in_tab(guest, tab, path)
    guest.until("document.getElementById('job-text').textContent.includes('one job is before this one')")
    monkeypatch.setattr(jobs, "SHORT_TIMEOUT", 0.0)
    tabs[0].close()
    wait_for(lambda: server.jobs[0].should_stop())
    server.model.free.set()
    guest.wait("comparing")
    assert [job.state for job in server.jobs] == ["cancelled", "done"]


def test_a_job_that_fails_after_the_page_was_loaded_anew(guest, server, tmp_path):
    hole = begin_fill(guest, tmp_path)
    guest.page.reload()
    guest.begins("job-text", "Preparing")
    server.model.error = ScoreinvError("the model is broken")
    server.model.free.set()
    assert guest.error() == "The model is broken."
    guest.wait("painting")
    assert (guest.mask() == hole).all()
    guest.reload("painting")  # the photograph is still there


def test_a_save_is_tried_again_when_the_server_responds(painter):
    painter.page.evaluate(SAVE)
    painter.page.route("**/api/sessions/*", lambda route: route.abort())
    painter.paint((0.2, 0.5), (0.8, 0.5))
    assert "does not respond" in painter.error()
    painter.page.unroute("**/api/sessions/*")
    hole = painter.mask()
    with painter.page.expect_response("**/api/sessions/*"):
        pass
    painter.reload("painting")
    assert (painter.mask() == hole).all()
    assert painter.questions == []


def test_a_photograph_that_was_left_can_be_continued_and_forgotten(visitor, tmp_path):
    """In another tab, with its settings, which the next photograph does not get; no question is asked."""
    hole = visitor.open_painted(photo(tmp_path))
    visitor.page.check("#go")
    visitor.choose("task", "restore")
    visitor.click("#restore-enlarge label:has([value='2'])")
    visitor.open_another(photo(tmp_path, name="other.png"))
    assert visitor.page.input_value("[name=task]:checked") == "fill"
    assert not visitor.page.is_checked("#go")
    assert visitor.page.is_checked("[name=restore-enlarge][value='']")
    visitor.until("document.querySelectorAll('#kept li').length === 1")
    visitor.click("#open")
    assert visitor.page.locator("#kept span").all_inner_texts() == ["Continue with photo"]
    visitor.page.close()
    visitor.page = visitor.tab()
    visitor.click("text=Continue with photo", then="painting")
    assert visitor.page.input_value("[name=task]:checked") == "restore"
    assert visitor.page.is_checked("[name=restore-enlarge][value='2']")
    assert (visitor.mask() == hole).all()
    visitor.press("Control+z")
    assert visitor.page.is_disabled("#mask-save")
    visitor.press("Control+y")
    assert (visitor.mask() == hole).all()
    assert visitor.questions == []
    visitor.click("#forget", then="empty")
    assert visitor.page.locator("#kept span").all_inner_texts() == ["Continue with other"]
    visitor.click("#kept .forget")
    visitor.until("document.querySelectorAll('#kept li').length === 0")


def test_kept_photographs_are_listed_once_with_their_pictures(guest, server, tmp_path):
    """A file is listed again only if it was changed; those that the server no longer has are named."""
    missing: list[str] = []
    guest.page.on("response", lambda answer: answer.status == 404 and missing.append(answer.url))
    path, other = photo(tmp_path), photo(tmp_path, name="other.png")

    def opened(file: Path, listed: list[str]) -> None:
        guest.open_another(file)
        guest.wait("painting")
        wait_for(lambda: guest.page.locator("#kept span").all_text_contents() == listed)

    opened(path, [])
    opened(other, ["Continue with photo"])
    opened(path, ["Continue with other"])
    guest.press("b")
    guest.paint((0.2, 0.5), (0.8, 0.5))
    opened(path, ["Continue with photo", "Continue with other"])
    guest.click("#open")
    guest.until("[...document.querySelectorAll('#kept img')].map((each) => each.naturalWidth).join() === '160,160'")
    assert re.search(r"\d\d:\d\d", guest.text("#kept small >> nth=0"))
    sessions = guest.page.evaluate("JSON.parse(localStorage.sessions).map(({ key }) => key)")
    for key in sessions[1:]:
        guest.page.evaluate("key => fetch(`/api/sessions/${key}`, { method: 'DELETE' }).then(() => null)", key)
    guest.reload("painting")
    guest.begins("lost", "No longer kept: photo, other.")
    assert missing == []


def test_two_tabs_do_not_overwrite_each_other(visitor, tmp_path):
    visitor.open_painted(photo(tmp_path))
    visitor.page.evaluate(SAVE)
    first, visitor.page = visitor.page, visitor.tab()
    visitor.click("text=Continue with photo", then="painting")
    visitor.paint((0.2, 0.2), (0.8, 0.2))
    both = visitor.mask()
    visitor.page.evaluate(SAVE)
    second, visitor.page = visitor.page, first
    visitor.paint((0.2, 0.8), (0.8, 0.8))
    assert "another tab" in visitor.error()
    visitor.reload("painting")
    assert (visitor.mask() == both).all()
    second.close()


def test_nothing_is_done_with_a_photograph_while_another_is_opened(painter, tmp_path):
    other = photo(tmp_path, name="other.png")
    request = painter.held_back("**/view", lambda: painter.page.set_input_files("#file", other))
    painter.paint((0.2, 0.5), (0.8, 0.5))
    assert painter.page.is_disabled("#fill")
    assert painter.page.evaluate("document.querySelector('main').inert")
    request.continue_()
    painter.until("document.title.startsWith('other')")
    painter.until("!document.querySelector('main').inert")
    painter.press("b")
    painter.paint((0.2, 0.5), (0.8, 0.5))
    assert painter.page.is_enabled("#fill")
    assert painter.questions == []


def test_of_two_photographs_the_last_that_was_asked_for_is_opened(visitor, tmp_path):
    """Whichever comes first, while a page that is loaded anew takes up its own."""
    visitor.open(photo(tmp_path, name="slow.png"))
    request = visitor.held_back("**/view", visitor.page.reload)
    visitor.open_another(photo(tmp_path, name="last.png"))
    visitor.until("document.getElementById('busy').hidden")
    request.continue_()
    visitor.page.wait_for_timeout(500)  # in which it would be shown
    assert visitor.text("#title").startswith("last")
    assert visitor.page.is_hidden("#busy")
    visitor.page.reload()
    visitor.until("document.title.startsWith('last')")


def test_the_photograph_is_edited_while_a_task_runs(guest, server, tmp_path):
    """The result has the marks that were sent; it waits in the gallery, since the marks were changed."""
    hole = begin_fill(guest, tmp_path)
    guest.paint((0.2, 0.7), (0.8, 0.7))
    both = guest.mask()
    assert both.sum() > hole.sum()
    server.model.free.set()
    guest.until("document.querySelectorAll('#thumbs button').length === 1")
    guest.idle()
    assert guest.page.evaluate("document.body.dataset.state") == "painting"
    assert (guest.mask() == both).all()
    guest.run("#thumbs button")
    before, after = read_picture(tmp_path / "photo.png").pixels, guest.result()
    assert (after[~hole] == before[~hole]).all()
    guest.press("Control+z", then="painting")
    assert (guest.mask() == both).all()


def test_the_brush_fills_when_it_is_released(guest, server, tmp_path):
    """What is painted meanwhile is filled next; undo goes back through both."""
    guest.open(photo(tmp_path))
    guest.page.check("#go")
    guest.paint((0.2, 0.3), (0.8, 0.3))
    guest.begins("job-text", "Preparing")
    guest.paint((0.2, 0.7), (0.8, 0.7))
    server.model.free.set()
    guest.begins("hole", "Select")
    guest.idle()
    assert len(server.jobs) == 2
    before, after = read_picture(tmp_path / "photo.png").pixels, guest.result()
    changed = (before != after).any(-1)
    assert changed[36].any()
    assert changed[84].any()
    assert guest.text("#title").startswith("photo_inpainted ")
    assert guest.page.is_disabled("#mask-save")
    guest.click("#undo")
    hole = guest.mask()  # of the second stroke
    assert hole[84, 80]
    assert not hole[36, 80]
    for _ in range(3):
        guest.click("#undo")
    assert guest.text("#title").startswith("photo ")
    assert guest.page.is_disabled("#undo")


def test_the_button_of_a_note_does_a_step_anyway(visitor, tmp_path):
    """The strength of a step, and the opacity of a result, are kept with it."""
    y, x = np.mgrid[:120, :160]
    colours = np.stack([90 + 0.4 * x, 120 + 0.3 * y, 160 - 0.3 * x], -1).astype(np.uint8)
    write_picture(tmp_path / "colours.png", Picture(colours))
    visitor.open(tmp_path / "colours.png")
    visitor.choose("task", "restore")
    for step in ("inpaint", "denoise"):
        visitor.page.uncheck(f"#restore-{step}")
    visitor.slide("restore-tone", 0)
    visitor.slide("restore-saturation", 1.5)
    visitor.click("#restore")
    visitor.run("#note button")
    assert "colors_replaced" in visitor.codes()
    asked = visitor.queries("restore")
    assert [query.get("recolor") for query in asked] == [None, ["true"]]
    assert [query["saturation"] for query in asked] == [["1.5"], ["1.5"]]
    full = visitor.result().astype(float)
    visitor.slide("blend-opacity", 0.5, "change")
    visitor.until("import('/static/views.js').then(views => Boolean(views.result().blend))")
    half = visitor.result().astype(float)
    assert abs(half - (full + colours) / 2).max() <= 0.51
    visitor.reload("comparing")
    assert visitor.page.input_value("#blend-opacity") == "0.5"


@pytest.mark.opencv
def test_a_photograph_is_framed_first(visitor, tmp_path):
    """Each step can be undone, with the marks before it."""
    hole = visitor.open_painted(photo(tmp_path))
    visitor.click("#frame summary")

    def title(width: int, height: int) -> None:
        expected = f"{width} \u00d7 {height}"
        visitor.until("size => document.getElementById('title').textContent.includes(size)", expected)

    visitor.click("#turn-right")
    title(120, 160)
    assert visitor.page.is_disabled("#mask-save")
    turned = visitor.result()
    assert (turned == np.rot90(pixels(height=120, width=160), -1)).all()
    visitor.click("#crop")
    visitor.paint((0.25, 0.25), (0.75, 0.75))
    title(60, 80)
    visitor.press("Control+z")
    for ratio, end, size in (("1.5", (0.9, 0.5), (60, 40)), ("1.5", (0.5, 0.9), (30, 45)), ("1", (0.3, 0.3), (36, 36))):
        title(120, 160)
        visitor.page.select_option("#ratio", ratio)
        visitor.click("#crop")
        visitor.paint((0, 0) if ratio == "1" else (0.25, 0.25), end)
        title(*size)
        visitor.press("Control+z")
    title(120, 160)
    visitor.click("#cut-border")
    assert visitor.error() == "No paper border was found."
    visitor.press("Control+z")
    title(160, 120)
    assert (visitor.mask() == hole).all()
    for angle in (5, 3):  # both of the photograph that was opened
        visitor.slide("straighten-angle", angle, "change")
        visitor.until("angle => import('/static/views.js').then(v => v.sheet().straight?.angle === angle)", angle)
    sizes = [int(side) for side in re.findall(r"\d+", visitor.text("#title"))]
    assert sizes[0] > 145


def test_steps_that_are_asked_for_at_once_are_all_done(painter):
    """Two turns are two turns; of several angles the last counts, of the picture before."""
    painter.page.evaluate("() => [1, 2].forEach(() => document.getElementById('turn-left').click())")
    painter.until("import('/static/views.js').then(views => views.sheet().picture.photo.width === 160)")
    painter.until("import('/static/page.js').then(({ history }) => history.done.length === 2)")
    assert (painter.result() == pixels(height=120, width=160)[::-1, ::-1]).all()
    painter.page.evaluate("""() => [2, 3, 4].forEach((angle) => {
        document.getElementById("straighten-angle").value = angle;
        document.getElementById("straighten-angle").dispatchEvent(new Event("change"));
    })""")
    painter.until("import('/static/views.js').then(views => views.sheet().straight?.angle === 4)")
    assert painter.page.evaluate("import('/static/page.js').then(({ history }) => history.done.length)") < 5


def test_equal_masks_have_equal_fingerprints_and_others_have_not(painter):
    prints = painter.page.evaluate("""async () => {
        const { fingerprint } = await import("/static/jobs.js");
        const { Layer } = await import("/static/layer.js");
        const of = (at) => {
            const layer = new Layer(64, 64);
            layer.begin();
            layer.line(at % 64, Math.floor(at / 64), at % 64, Math.floor(at / 64), 0.5, 1);
            layer.end();
            return fingerprint(JSON.stringify(layer.mask()));
        };
        return [of(9), ...[...Array(2000).keys()].map(of)];
    }""")
    assert prints[0] == prints[10]
    assert len({*prints}) == 2000


def test_many_photographs_are_restored(visitor, tmp_path):
    for name in ("a.png", "b.png"):
        photo(tmp_path, 60, 80, name=name, channels=1)
    for name in ("c.png", "d.txt", ".e.txt"):
        (tmp_path / name).write_text("no picture")
    visitor.page.set_input_files("#file", sorted(tmp_path.iterdir()))
    visitor.wait("many")
    visitor.until("document.querySelectorAll('#cards button').length === 3")
    visitor.until("document.querySelector('#note p').textContent.startsWith('d.txt left out')")
    assert visitor.text("#cards [data-state=failed]").startswith("c.png: ")
    visitor.page.uncheck("#restore-inpaint")
    visitor.click("#restore")
    visitor.until("document.querySelectorAll('#cards [data-state=done]').length === 2")
    visitor.idle()
    assert visitor.text("#note") == "2 photographs are finished, 1 failed."
    with zipfile.ZipFile(io.BytesIO(visitor.saved("#zip"))) as archive:
        assert archive.namelist() == ["a_restored.png", "b_restored.png", "manifest.csv"]
    visitor.click("#cards button:nth-child(1)")
    assert visitor.page.locator("#look-images img").count() == 2
    visitor.click("#look button")
    visitor.reload("many")
    visitor.until("document.querySelectorAll('#cards [data-state=done]').length === 2")
    visitor.page.close()
    visitor.page = visitor.tab()
    visitor.click("text=Continue with 3 photographs")
    visitor.until("document.querySelectorAll('#cards [data-state=done]').length === 2")
    visitor.click("#forget", then="empty")
    assert visitor.page.locator("#kept li").count() == 0


def test_one_mask_is_removed_from_many_photographs(visitor, tmp_path):
    paths = [photo(tmp_path, 60, 80, name=name) for name in ("a.png", "b.png")]
    hole = np.zeros((60, 80), bool)
    hole[20:30, 30:45] = True
    write_picture(tmp_path / "mask.png", Picture(np.uint8(255) * hole))
    visitor.page.set_input_files("#file", paths)
    visitor.wait("many")
    visitor.until("document.querySelectorAll('#cards button').length === 2")
    visitor.page.click("label:has([name=task][value=fill])")
    visitor.slide("damage-sensitivity", 0.9)  # has no effect on a mask
    visitor.page.set_input_files("#mask-all", tmp_path / "mask.png")
    visitor.click("#fill")
    visitor.until("document.querySelectorAll('#cards [data-state=done]').length === 2")
    visitor.idle()
    with zipfile.ZipFile(io.BytesIO(visitor.saved("#zip"))) as archive:
        assert archive.namelist() == ["a_inpainted.png", "b_inpainted.png", "manifest.csv"]
        changed = read(archive.read("b_inpainted.png")) != read_picture(paths[1]).pixels
    assert changed[hole].any(-1).mean() > 0.5
    assert not changed[~hole].any()


def test_photographs_that_the_server_no_longer_holds(guest, tmp_path, monkeypatch):
    guest.open(photo(tmp_path))
    monkeypatch.setattr("scoreinv.web.app.Album.get", gone)
    guest.click("#download")
    assert guest.error() == "It is gone."
    guest.page.reload()
    guest.page.wait_for_selector("#error")
    assert guest.page.evaluate("sessionStorage.session") is None


def test_marks_that_the_server_no_longer_holds_are_sent_again(guest, server, tmp_path, monkeypatch):
    server.model.free.set()
    guest.open_painted(photo(tmp_path))
    guest.run("#fill", results=1)
    (dropped,) = sent_masks(guest)
    held = Album.get
    monkeypatch.setattr(Album, "get", lambda album, key: gone() if key == dropped else held(album, key))
    guest.run("#again", results=2)
    assert len(set(sent_masks(guest))) == 2


def sent_masks(visitor: Visitor) -> list[str]:
    """The keys of the masks by which fills were asked for."""
    return [query["mask"][0] for query in visitor.queries("fill")]


def test_the_first_tool_points_at_objects_where_that_is_installed(guest, server, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for encoder, tool in ((lambda _: None, "object"), (None, "mask")):
        server.objects.encoder = encoder
        guest.page.goto(server.link)
        guest.until("tool => document.body.dataset.tool === tool", tool)


def test_one_click_leaves_out_the_fragments_of_an_object_and_takes_them_in(guest, server, tmp_path, monkeypatch):
    class Fixed:
        """A selection of one object with a tip."""

        def select(self, prompt: Prompt, size: Size | None = None) -> Selected:
            return Selected(body, body, "middle", 1.0, tip)

    body, tip = np.zeros((2, 120, 160), bool)
    body[50:90, 60:100] = tip[40:50, 78:82] = True
    server.objects.encoder = lambda _: Fixed()
    monkeypatch.setattr("scoreinv.web.app.propose_shadow", lambda picture, mask: None)
    guest.open(photo(tmp_path))
    for clicks in (1, 2):
        guest.click("#tools [data-tool=object]")
        guest.page.mouse.click(*guest.place(0.5, 0.55))
        guest.page.wait_for_selector("#object-fragments")
        assert guest.page.is_checked("#object-fragments")
        for _ in range(clicks):
            guest.click("#object-fragments")
        guest.click("#object-add")
        guest.until("document.getElementById('object-add').disabled")
        hole = guest.mask()
        assert hole[body].all()
        assert hole[43, 80] == (clicks == 2)
        assert guest.page.is_hidden("#object-fragments")


def test_further_clicks_keep_the_size_of_the_first(guest, server, tmp_path, monkeypatch):
    """The third click was sent without it, so that the selection shrank to the likeliest again."""

    class Sizes:
        def select(self, prompt: Prompt, size: Size | None = None) -> Selected:
            chosen = (size or "middle") if len(prompt.clicks) == 1 else None
            mask = np.ones((120, 160), bool)
            return Selected(mask, mask, chosen, 1.0, ~mask)

        def next_size(self, prompt: Prompt, size: Size | None) -> Size:
            return "large"

    server.objects.encoder = lambda _: Sizes()
    monkeypatch.setattr("scoreinv.web.app.propose_shadow", lambda picture, mask: None)
    guest.open(photo(tmp_path))
    guest.click("#tools [data-tool=object]")
    for place in ((0.5, 0.5), (0.5, 0.5), (0.4, 0.5), (0.6, 0.5)):
        with guest.page.expect_response(re.compile(r"/shadow\?")):
            guest.page.mouse.click(*guest.place(*place))
    assert [query["size"] for query in guest.queries("shadow")] == [["middle"], *[["large"]] * 3]


def test_a_fill_of_half_the_photograph_is_asked_for_first(painter, tmp_path):
    half = np.zeros((120, 160), bool)
    half[:, :80] = True
    Image.fromarray(half).save(tmp_path / "half.png")
    painter.page.set_input_files("#mask-file", tmp_path / "half.png")
    painter.page.wait_for_selector("#fill:enabled")
    painter.page.evaluate("() => { window.confirm = (words) => !(window.asked = words); }")
    painter.click("#fill")
    painter.until("'asked' in window && !document.body.hasAttribute('data-working')")
    question = r"50 % of the picture is in the mask: .* takes about \d+ s\. Fill it\?"
    assert re.match(question, painter.page.evaluate("asked"))
    assert not [url for url in painter.asked if "/fill?" in url]
    painter.page.evaluate("() => { window.confirm = () => true; }")
    painter.fill()
    painter.page.evaluate("() => { delete window.asked; }")
    painter.run("#again", results=2)
    assert sum("/large?" in url for url in painter.asked) == 2  # not for another result


def test_the_edge_of_the_mask_is_previewed_and_softened(visitor, tmp_path):
    path = photo(tmp_path)
    visitor.open(path)
    visitor.slide("size", 75)
    visitor.paint((0.3, 0.5), (0.7, 0.5))
    hole = visitor.mask()
    pixels_of = "[...(stage.edge?.pixels.values() ?? [])].flatMap((tile) => [...tile]).filter(Boolean).length"
    shown = f"import('/static/page.js').then(({{ stage }}) => {pixels_of})"
    assert visitor.page.evaluate(shown) == 0
    counts = []
    for setting, value in (("grow", 4), ("grow", -3), ("feather", 5)):
        before = visitor.page.evaluate(shown)
        visitor.slide(f"fill-{setting}", value)
        visitor.until(f"before => {shown}.then((count) => count !== before)", before)
        counts.append(visitor.page.evaluate(shown))
    assert counts[2] > counts[1] > 0
    assert counts[0] > 0
    visitor.slide("fill-grow", 0)
    visitor.fill()
    assert visitor.page.input_value("#blend-feather") == "5"
    before, soft = read_picture(path).pixels.astype(int), visitor.result().astype(int)
    visitor.slide("blend-feather", 0, "change")
    visitor.until("import('/static/views.js').then(views => !views.result().blend)")
    hard = visitor.result().astype(int)
    assert (soft[~hole] == before[~hole]).all()
    assert abs(soft - before)[hole].mean() < 0.9 * abs(hard - before)[hole].mean()
    assert [query.get("feather") for query in visitor.queries("fill")] == [None]


def test_the_panel_shows_whole_labels_and_opening_chooses_the_first_tool(visitor, tmp_path):
    visitor.page.set_viewport_size({"width": 1400, "height": 900})
    visitor.open(photo(tmp_path))
    style = visitor.page.evaluate("({ ...getComputedStyle(document.getElementById('fill')) })")
    assert (visitor.page.is_disabled("#fill"), style["opacity"]) == (True, "1")
    assert "/" not in style["backgroundColor"]  # no alpha: texts scroll below it
    visitor.click("#tools [data-tool=object]")
    visitor.choose("task", "restore")
    wide = "[...document.querySelectorAll('#object button')].some((each) => each.scrollWidth > each.clientWidth)"
    assert not visitor.page.evaluate(wide)
    visitor.click("#tools [data-tool=eraser]")
    visitor.page.set_input_files("#file", photo(tmp_path, name="other.png"))
    visitor.until("document.title.startsWith('other') && document.body.dataset.tool === 'object'")


def gone(*_: object) -> None:
    raise GoneError("It is gone.")


def test_a_file_that_is_too_large_is_not_sent(guest, tmp_path, limit):
    path = photo(tmp_path)
    limit(upload_bytes=1 << 20)
    path.write_bytes(path.read_bytes() + bytes(1 << 20))
    guest.page.set_input_files("#file", path)
    assert guest.error() == "photo.png is larger than 1 MB: use the command line for it."
    assert not [url for url in guest.asked if "/api/photos" in url]


def wait_for_the_state(visitor: Visitor) -> None:
    """Wait until the server has the job, and the saved state its key."""
    visitor.until("import('/static/jobs.js').then(jobs => Boolean(jobs.current()?.key) || jobs.current() === null)")
    visitor.until("import('/static/session.js').then(session => session.save()).then(() => true)")


def test_a_page_that_is_loaded_anew_goes_on(visitor, tmp_path):
    path = photo(tmp_path, 300, 400)
    hole = visitor.open_painted(path)
    visitor.click("#fill")
    wait_for_the_state(visitor)
    visitor.reload("comparing")
    after = visitor.result()
    before = read_picture(path).pixels
    assert (after[~hole] == before[~hole]).all()
    assert (after[hole] != before[hole]).any()
    visitor.reload("comparing")  # the result is still there
    visitor.run("#again", results=2)
    first, second = visitor.queries("fill")
    assert second == first | {"seed": ["1"]}
    assert second["mask"]
    visitor.click("#back")
    assert (visitor.mask() == hole).all()
    visitor.reload("painting")


def test_errors_are_sentences_on_the_page(visitor, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    visitor.page.set_input_files("#file", tmp_path / "notes.txt")
    assert visitor.error().startswith("notes.txt: ")
    assert visitor.page.locator("#error").bounding_box()["width"] > 200
    visitor.click("#error button")
    assert visitor.page.is_hidden("#error")
    visitor.open_painted(photo(tmp_path))
    visitor.page.route("**/api/**", lambda route: route.abort())
    visitor.click("#fill")
    assert "does not respond" in visitor.error()
    visitor.wait("painting")


def test_drop_and_paste(visitor, tmp_path):
    path = photo(tmp_path)
    for event, field in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        visitor.page.evaluate(
            """([event, field, bytes]) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(bytes)], `by ${event}.png`, { type: "image/png" }));
                const kind = event === "drop" ? DragEvent : ClipboardEvent;
                window.dispatchEvent(new kind(event, { [field]: transfer, bubbles: true, cancelable: true }));
            }""",
            [event, field, list(path.read_bytes())],
        )
        visitor.until("e => document.getElementById('title').textContent.includes(e)", f"by {event}")


def test_fingers_paint_and_two_of_them_stretch(visit, link, tmp_path):
    """On a phone, whose pixels are finer than those of the page."""
    phone = visit(link, viewport={"width": 390, "height": 760}, device_scale_factor=3, has_touch=True, is_mobile=True)
    phone.open(photo(tmp_path))
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.page.evaluate("document.getElementById('base').width") == 3 * 390
    fingers = phone.context.new_cdp_session(phone.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    a, b = phone.place(0.3, 0.5), phone.place(0.7, 0.5)
    touch("touchStart", a)
    for step in range(1, 6):
        touch("touchMove", (a[0] + (b[0] - a[0]) * step / 5, a[1]))
    touch("touchEnd")
    hole = phone.mask()
    assert hole[60, 50:110].all()
    before = phone.text("#hole")
    touch("touchStart", a)
    touch("touchStart", a, b)
    touch("touchMove", (a[0] - 40, a[1]), (b[0] + 40, b[1]))
    touch("touchEnd")
    wider = phone.place(0.7, 0.5)[0] - phone.place(0.3, 0.5)[0]
    assert wider > 1.3 * (b[0] - a[0])
    assert (phone.mask() == hole).all()
    assert phone.text("#hole") == before
    phone.fill()
    keep, back = (phone.page.locator(name).bounding_box() for name in ("#keep", "#back"))
    assert keep["x"] + keep["width"] <= back["x"]
    phone.choose("compare", "divider")
    phone.page.wait_for_selector("#divider")
    split = "import('/static/page.js').then(page => page.stage.split)"
    share, bar = phone.page.evaluate(split), phone.page.locator("#divider").bounding_box()
    a, b = (bar["x"] + bar["width"] / 2, 150), (60, 260)
    wide = phone.place(1, 0)[0] - phone.place(0, 0)[0]
    touch("touchStart", a)  # one finger on the divider, then another beside it
    touch("touchMove", (a[0] + 20, a[1]))
    touch("touchStart", (a[0] + 20, a[1]), b)
    touch("touchMove", (a[0] + 60, a[1] - 40), (b[0] - 40, b[1] + 40))
    touch("touchEnd")
    assert phone.page.evaluate(split) == share
    assert phone.place(1, 0)[0] - phone.place(0, 0)[0] > 1.2 * wide


def test_a_tablet_folds_the_panel_away_and_dark_mode_is_dark(visit, link, tmp_path):
    tablet = visit(link, viewport={"width": 820, "height": 1180}, color_scheme="dark")
    tablet.open(photo(tmp_path))
    narrow = tablet.page.locator("#stage").bounding_box()["width"]
    tablet.click("#fold")
    assert tablet.page.is_hidden("#panel")
    assert tablet.page.locator("#stage").bounding_box()["width"] == 820
    tablet.click("#fold")
    assert tablet.page.locator("#stage").bounding_box()["width"] == narrow
    colours = [
        tablet.page.evaluate(f"getComputedStyle(document.querySelector('{name}')).backgroundColor")
        for name in ("header", "#panel")
    ]
    assert all(max(map(int, re.findall(r"\d+", colour)[:3])) < 64 for colour in colours)


def test_other_pages_get_nothing(guest, server, tmp_path):
    """A page of another origin, open in the same browser, can neither write nor read here."""
    guest.open(photo(tmp_path))
    key = guest.page.evaluate("import('/static/page.js').then(page => page.stage.picture.photo.key)")
    work = f"{server.link}api/photos/{key}/damage"  # for which a key is enough
    fetched = "([link, options]) => fetch(link, options).then(answer => answer.type, () => 'refused')"
    with served() as other:
        page = guest.context.browser.new_context(bypass_csp=True).new_page()
        page.goto(other.link)
        for options in ({}, {"method": "POST", "body": "x"}, {"method": "POST", "mode": "no-cors", "body": "x"}):
            for path in (f"{server.link}api/photos", work):
                assert page.evaluate(fetched, [path, options]) in ("refused", "opaque")
        assert server.jobs == []
        page.context.close()
    assert guest.page.evaluate(fetched, [work, {"method": "POST"}]) == "basic"
    assert len(server.jobs) == 1


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory):
    """The page, with the models that are bundled, and its process."""
    pytest.importorskip("onnxruntime")
    with started(tmp_path_factory.mktemp("bundled"), *CPU) as (process, found):
        yield found, process.pid


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs the CPU time of a process")
@pytest.mark.parametrize(("by", "suffix"), [("mouse", "png"), ("keyboard", "tif")])
def test_an_object_is_removed(visit, bundled, tmp_path, by, suffix):
    """Open, point, fill, try another twice, go back to the first, download: known pixels are kept to the bit.

    By the keyboard alone but for the file, since the browser's own window asks for it. What it took is printed (-s), of
    the second case with models that are loaded already: twenty seconds are wanted on two idle cores.
    """
    link, server = bundled
    pixels = read((EXAMPLES / "photos" / "moose.jpg").read_bytes())
    path = tmp_path / f"moose.{suffix}"
    write_picture(path, Picture(pixels))
    visitor = visit(link)

    def press(button: str) -> None:
        visitor.click(button) if by == "mouse" else visitor.press("Enter", on=button)

    begun, before = time.monotonic(), cpu_seconds(server)
    visitor.open(path)
    if by == "mouse":
        visitor.click("#tools [data-tool=object]")
        visitor.page.mouse.click(*visitor.place(0.5, 0.55))
    else:
        visitor.press("o")
        visitor.page.fill("#place", "384, 282")
        visitor.press("Enter", on="#place")
    visitor.until("!document.getElementById('object-add').disabled")
    pointed = time.monotonic() - begun
    press("#fill")
    visitor.results(1)
    for count in (2, 3):
        press("#again")
        visitor.results(count)
    if by == "mouse":
        visitor.click("#thumbs button:nth-child(1)")
    else:
        visitor.press("Control+z", "Control+z")
    assert visitor.shown_result() == "Result 1"
    content = visitor.saved("#download")
    waited, spent = time.monotonic() - begun, cpu_seconds(server) - before
    print(f"\n{by}, {suffix}: {waited:.1f} s, {spent:.1f} s computed, pointed at after {pointed:.1f} s")
    after = read_picture(content).pixels
    press("#back")
    hole = visitor.mask()
    assert 0.03 < hole.mean() < 0.5
    assert (after[~hole] == pixels[~hole]).all()
    assert (after[hole] != pixels[hole]).any(-1).mean() > 0.5


def test_a_format_that_was_chosen_stays(visitor, tmp_path):
    """Until another photograph is opened, whose own comes first."""
    path = photo(tmp_path, name="photo.jpg")
    visitor.open(path)
    visitor.page.select_option("#format", "PNG")
    visitor.paint((0.3, 0.5), (0.7, 0.5))
    visitor.fill()
    visitor.keep()
    assert visitor.page.input_value("#format") == "PNG"
    visitor.press("Control+z")
    assert visitor.page.input_value("#format") == "PNG"
    visitor.open(path)
    visitor.until("() => document.querySelector('#format').value === 'JPEG'")


def test_a_download_shows_its_progress_and_has_the_chosen_quality(visitor, tmp_path):
    visitor.open(photo(tmp_path, name="photo.jpg"))
    full = visitor.saved("#download")
    visitor.page.fill("#download-quality", "20")
    with visitor.page.expect_download() as download:
        request = visitor.held_back("**/file?*", lambda: visitor.click("#download"))
        assert visitor.page.is_disabled("#download")  # one at a time
        assert visitor.text("#download") == "Preparing …"
        request.continue_()
    assert download.value.suggested_filename == "photo.jpg"
    assert Path(download.value.path()).stat().st_size < len(full) / 2
    visitor.until("document.getElementById('download').textContent === 'Download'")
    assert visitor.page.is_enabled("#download")
    visitor.page.fill("#download-quality", "200")
    visitor.click("#download")
    assert visitor.error() == "The quality must be from 1 to 100, not 200."
    visitor.page.select_option("#format", "PNG")
    assert visitor.page.is_hidden("#download-quality")
    assert visitor.result().shape == (120, 160, 3)


def test_seven_tabs_do_not_keep_each_other(guest, server, tmp_path):
    """A browser has six connections to a server, for all its tabs."""
    path, first = photo(tmp_path), guest.page
    for number in range(6):
        ask_in_tab(guest, guest.tab() if number else first, path)
    guest.page = guest.tab()
    guest.open(path)
    first.click("#cancel")
    wait_for(lambda: server.jobs[0].should_stop())


def test_a_job_begins_and_the_page_is_loaded_anew_while_an_earlier_state_is_saved(guest, tmp_path, monkeypatch):
    """The state with the job is sent after it, and no question is asked."""
    came, both, save = [], threading.Event(), Sessions.save
    in_order = threading.Lock()

    def slowly(self: Sessions, key: str, state: bytes, after: int) -> int:
        came.append(after)
        if len(came) == 2:
            both.set()
        with in_order:
            assert both.wait(SOON)
            return save(self, key, state, after)

    monkeypatch.setattr(Sessions, "save", slowly)
    guest.open(photo(tmp_path))
    wait_for(lambda: came)
    guest.paint((0.2, 0.5), (0.8, 0.5))
    guest.click("#fill")
    guest.begins("job-text", "Preparing")
    guest.page.reload()
    guest.begins("job-text", "Preparing")
    assert (came[:2], guest.questions) == ([0, 1], [])


def test_a_page_that_stays_after_its_last_save(guest, tmp_path, monkeypatch):
    """States that were sent at once follow each other; after a failure the page saves again."""
    came, save = [], Sessions.save
    guest.open(photo(tmp_path))
    guest.page.evaluate(SAVE)

    def failing(self: Sessions, key: str, state: bytes, after: int) -> int:
        came.append(after)
        if len(came) <= 3:
            raise OSError("the disk is full")
        return save(self, key, state, after)

    monkeypatch.setattr(Sessions, "save", failing)
    ending = "session.changed(), window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    guest.page.evaluate(f"import('/static/session.js').then(session => {{ for (const _ of '123') {ending}; }})")
    wait_for(lambda: len(came) == 4)
    assert [after - came[3] for after in sorted(came[:3])] == [0, 1, 2]
    assert guest.page.is_hidden("#error")


def test_an_error_of_the_save_before_another_photograph_opens(guest, tmp_path):
    guest.open(photo(tmp_path))
    guest.page.evaluate(SAVE)
    guest.page.route("**/api/sessions/*", lambda route: route.abort())
    guest.page.evaluate("import('/static/session.js').then(session => (session.changed(), session.leave()))")
    assert "does not respond" in guest.error()


def test_a_photograph_changed_in_another_tab_can_be_deleted(painter):
    other = painter.context.new_page()
    other.goto(painter.page.url)
    other.click("text=Continue with photo")
    saved = "import('/static/session.js').then(session => (session.changed(), session.save()))"
    other.wait_for_selector("body[data-state=painting]")
    other.evaluate(saved)
    other.close()
    painter.paint((0.2, 0.8), (0.8, 0.8))
    assert "another tab" in painter.error()
    painter.click("#forget", then="empty")
    painter.page.reload()
    painter.until("document.body.dataset.state === 'empty'")
    assert painter.page.is_hidden("#kept")


def test_many_photographs_are_opened_while_one_is_sent(visitor, tmp_path):
    slow = photo(tmp_path, name="slow.png")
    request = visitor.held_back("**/view", lambda: visitor.page.set_input_files("#file", slow))
    visitor.page.set_input_files("#file", [photo(tmp_path, 60, 80, name=name) for name in ("a.png", "b.png")])
    visitor.until("document.querySelectorAll('#cards button').length === 2")
    request.continue_()
    visitor.page.wait_for_timeout(300)  # in which it would be shown
    assert visitor.page.evaluate("document.body.dataset.state") == "many"
    assert visitor.page.is_hidden("#busy")
    assert not visitor.page.evaluate("document.querySelector('main').inert")


def test_an_earlier_opacity_does_not_replace_a_later_one(visitor, tmp_path):
    visitor.open_painted(photo(tmp_path))
    visitor.fill()
    request = visitor.held_back(
        "**/blend?*", lambda: [visitor.slide("blend-opacity", opacity, "change") for opacity in (0.6, 1)]
    )
    with visitor.page.expect_response("**/blend?*"):
        request.continue_()
    visitor.page.wait_for_timeout(300)  # in which it would be shown
    assert visitor.page.input_value("#blend-opacity") == "1"
    assert visitor.page.evaluate("import('/static/views.js').then(views => views.result().blend ?? null)") is None


def test_a_tool_chosen_during_a_stroke_ends_it(painter):
    """A stroke with the brush was continued by the eraser."""
    painter.paint((0.2, 0.5), (0.6, 0.5), (0.4, 0.5), keys=("o",))
    hole = painter.mask()
    assert hole[60, [40, 64, 90]].all()
    assert painter.page.evaluate("import('/static/page.js').then(({ history }) => history.done.length)") == 1


def test_many_photographs_are_kept_if_the_server_does_not_respond(guest, tmp_path):
    guest.page.set_input_files("#file", [photo(tmp_path, 60, 80, name=name) for name in ("a.png", "b.png")])
    guest.until("sessionStorage.batch !== undefined")
    guest.page.route("**/api/batches/*", lambda route: route.abort())
    guest.page.reload()
    assert "does not respond" in guest.error()
    guest.page.unroute("**/api/batches/*")
    guest.click("text=Continue with 2 photographs")
    guest.until("document.querySelectorAll('#cards button').length === 2")


def test_photographs_that_are_sent_stay_apart_from_those_opened_meanwhile(guest, tmp_path, monkeypatch):
    first, second = ([photo(tmp_path, name=f"{letter}{n}.png") for n in range(3)] for letter in "ab")
    stored: list[tuple[Path, str]] = []
    coming, other = threading.Event(), threading.Event()
    add = Batch.add

    def held(batch: Batch, name: str, content: bytes) -> str:
        if name == first[0].name:
            coming.set()
            assert other.wait(SOON)
        stored.append((batch.folder, name))
        return add(batch, name, content)

    monkeypatch.setattr(Batch, "add", held)
    guest.page.set_input_files("#file", first)
    assert coming.wait(SOON)
    guest.page.set_input_files("#file", second)
    guest.until("document.querySelectorAll('#cards button').length === 3")
    with guest.page.expect_response(lambda answer: first[0].name in answer.url):
        other.set()
    guest.page.evaluate("new Promise((done) => setTimeout(done, 300))")  # the next file would be sent
    assert guest.page.locator("#cards button").count() == 3
    folders = {folder for folder, _ in stored}
    assert sorted([name for at, name in stored if at == folder] for folder in folders) == [
        [first[0].name],
        [path.name for path in second],
    ]


def test_a_phone_on_its_side_shows_the_photograph(visit, link, tmp_path):
    width, height = 700, 360
    phone = visit(link, viewport={"width": width, "height": height}, has_touch=True, is_mobile=True)
    assert "Open a photograph" in phone.text("#empty")
    assert "Drop" not in phone.text("#empty")
    phone.open(photo(tmp_path))
    stage, panel, tools = (phone.page.locator(name).bounding_box() for name in ("#stage", "#panel", "#tools"))
    assert stage["height"] > 200
    assert stage["x"] <= tools["x"]
    assert tools["x"] + tools["width"] <= stage["x"] + stage["width"]
    assert panel["x"] >= stage["x"] + stage["width"] - 1
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= width
