"""The routes of the page: photographs, masks, tasks, downloads and errors."""

import asyncio
import io
import json
import mimetypes
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from fastapi import FastAPI, HTTPException, Request
from PIL import Image
from support.client import OPAQUE, PORT, asked, boxed, client, done, ended, hole, opened, pixels, png, read

import scoreinv.web
from scoreinv import tasks
from scoreinv.files.read import decode, read_picture
from scoreinv.files.write import picture_bytes, write_picture
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import dilate
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.options import FOUND_GROW
from scoreinv.web import body
from scoreinv.web import photo as photo_module
from scoreinv.web.photo import boxed_bits, unboxed
from scoreinv.web.work import UNCHANGED

STATIC = Path(scoreinv.web.__file__).parent / "static"


@pytest.fixture
def browser():
    with client() as opened:
        yield opened


def test_the_page_has_all_its_files_and_nothing_from_elsewhere(browser):
    page = browser.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = set(re.findall(r'(?:src|href)="(/[^"]*)"', page.text))
    for path in STATIC.glob("*.js"):
        named |= {f"/static/{name}" for name in re.findall(r'(?:from|import) "\./([^"]+)"', path.read_text())}
    assert len(named) > 10
    assert {path: browser.get(path).status_code for path in named} == dict.fromkeys(named, 200)
    assert {f"/static/{path.name}" for path in STATIC.iterdir()} - {"/static/index.html"} == named
    for path in STATIC.iterdir():
        elsewhere = set(re.findall(r"(?:https?:)?//[\w.]+\w", re.sub(r"(?m)^ *//.*", "", path.read_text())))
        assert elsewhere <= {"http://www.w3.org"}, path  # the name of SVG


def test_no_style_or_script_stands_in_the_page():
    """The content security policy would not let them run."""
    page = (STATIC / "index.html").read_text()
    assert re.search(r"<style|<script>|style=| on\w+=", page) is None


def test_answers_have_their_headers_whatever_they_are(browser):
    for answer in (browser.get("/"), browser.get("/nowhere"), browser.get("/", headers={"host": "evil.example"})):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "*" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert not {name for name in answer.headers if name.startswith("access-control")}


def test_scripts_have_their_type_where_the_system_says_otherwise(monkeypatch):
    mimetypes.init()
    monkeypatch.setitem(mimetypes.types_map, ".js", "text/plain")
    with client() as browser:
        answer = browser.get("/static/page.js")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/javascript")


@pytest.mark.parametrize("path", ["docs", "openapi.json", "static/", "static/..%2fapp.py"])
def test_absent_routes(browser, path):
    answer = browser.get(f"/{path}")
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 4])
def test_a_photograph_comes_back_as_it_was_sent(browser, channels, dtype, tmp_path):
    before = pixels(channels, dtype)
    photo = opened(browser, png(before))
    assert (photo["width"], photo["height"], photo["bits"]) == (40, 24, 8 * before.itemsize)
    assert photo["formats"][0] == photo["kind"] == "PNG"
    assert ("JPEG" in photo["formats"]) == (channels in (1, 3))  # which has no transparency
    for kind, suffix in {"PNG": ".png", "TIFF": ".tif"}.items():
        answer = browser.get(f"/api/photos/{photo['key']}/file", params={"kind": kind})
        assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''photo{suffix}"
        write_picture(tmp_path / f"command{suffix}", Picture(before))
        assert answer.content == (tmp_path / f"command{suffix}").read_bytes()
        assert (read_picture(answer.content).pixels == before).all()


def test_a_photograph_of_a_phone(browser):
    """It comes back as HEIC, JPEG or PNG."""
    pytest.importorskip("pillow_heif")
    photo = opened(browser, picture_bytes(Picture(pixels()), "a.heic"))
    assert (photo["kind"], photo["note"]) == ("HEIC", None)
    assert photo["formats"][0] == "HEIC"
    files = {kind: browser.get(f"/api/photos/{photo['key']}/file", params={"kind": kind}) for kind in photo["formats"]}
    assert files["HEIC"].headers["content-disposition"].endswith("photo.heic")
    assert {kind: decode(answer.content).kind for kind, answer in files.items()} == {kind: kind for kind in files}
    assert {"PNG", "JPEG", "TIFF", "WebP", "HEIC", "AVIF"} == set(files)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_view_is_the_photograph(browser, channels, dtype, limit):
    before = pixels(channels, dtype)
    photo = opened(browser, png(before))
    shown = read(browser.get(f"/api/photos/{photo['key']}/view").content)
    levels = before / np.iinfo(dtype).max * 255
    assert shown.shape == before.shape
    assert abs(shown - levels).mean() < 6
    limit(view_pixels=240)
    assert read(browser.get(f"/api/photos/{photo['key']}/view").content).shape[:2] == (12, 20)


def test_the_format_is_the_photographs_own(browser, tmp_path):
    for suffix, kind, written in ((".jpg", "JPEG", "JPEG"), (".webp", "WebP", "WebP"), (".gif", "GIF", "PNG")):
        Image.fromarray(pixels()).save(tmp_path / f"a{suffix}")
        photo = opened(browser, (tmp_path / f"a{suffix}").read_bytes(), f"a{suffix}")
        assert (photo["kind"], photo["formats"][0]) == (kind, written)
        file = browser.get(f"/api/photos/{photo['key']}/file", params={"kind": written})
        assert file.content[:4] in (b"\xff\xd8\xff\xe0", b"RIFF", b"\x89PNG")
    refused = browser.get(f"/api/photos/{photo['key']}/file", params={"kind": "EXE"})
    assert (refused.status_code, refused.json()["error"][:4]) == (422, "EXE:")


def test_names_are_names(browser):
    for name, stem in {
        "../../etc/passwd.png": "passwd",
        "C:\\pictures\\lake.png": "lake",
        "a\x1b[2J\n.png": "a\\x1b[2J\\n",
        "Großmutter „1912“.png": "Großmutter „1912“",
        "": "photo",
        "x" * 5000: "x" * 120,
    }.items():
        photo = opened(browser, png(pixels()), name)
        assert photo["name"] == stem
        answer = browser.get(f"/api/photos/{photo['key']}/file", params={"kind": "PNG"})
        assert re.fullmatch(r"attachment; filename\*=UTF-8''[\w%.~-]+\.png", answer.headers["content-disposition"])


def codes(end: dict[str, Any]) -> list[str]:
    """Return the codes of a job's notes."""
    return [note["code"] for note in end["notes"]]


def made(browser, end: dict[str, Any]) -> bytes:
    """Return the file of a job's result."""
    return browser.get(f"/api/photos/{end['photo']['key']}/file?kind=PNG").content


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_fill_keeps_known_pixels_and_another_seed_fills_otherwise(browser, dtype):
    before = pixels(3, dtype)
    photo = opened(browser, png(before))
    fills = []
    for seed, name in ((0, "photo_inpainted"), (3, "photo_inpainted_3")):
        end = done(browser, f"/api/photos/{photo['key']}/fill", png(hole()), seed=seed)
        assert (end["state"], end["notes"], end["another"], end["photo"]["name"]) == ("done", [], True, name)
        assert end["note"] is None
        fills.append(read_picture(made(browser, end)).pixels)
    for after in fills:
        assert after.dtype == dtype
        assert (after[~hole()] == before[~hole()]).all()
        assert (after[hole()] != before[hole()]).any()
    assert (fills[0] != fills[1]).any()
    end = done(browser, f"/api/photos/{photo['key']}/fill", png(hole()), grow=2)
    changed = (read_picture(made(browser, end)).pixels != before).any(-1)
    assert (changed & ~hole()).any()
    assert not (changed & ~dilate(hole(), 2)).any()


def test_colours_of_another_photograph(browser):
    """It may have another size. A grey one is refused, and so is any by a model without references."""
    photo = opened(browser, png(pixels(1)), "old.png")
    path = f"/api/photos/{photo['key']}"
    refused, coloured = (
        browser.post(f"{path}/layers", content=png(content), headers=OPAQUE, params={"of": "like"})
        for content in (pixels(1, height=30), pixels(height=30) // np.array([1, 2, 4], np.uint8))
    )
    assert (refused.status_code, refused.json()["error"].startswith("The reference photograph")) == (422, True)
    end = done(browser, f"{path}/colorize", like=coloured.json()["key"])
    assert (end["state"], "scene" in end["error"]) == ("failed", True)


def test_damage_is_found(browser):
    scratched = pixels() // 2
    scratched[8:13, 10:17] = 255
    photo = opened(browser, png(scratched), "old.png")
    path = f"/api/photos/{photo['key']}/damage"

    def found(sensitivity: float) -> np.ndarray:
        mask = done(browser, path, sensitivity=sensitivity)["photo"]
        assert mask["name"] == "old_damage"
        return unboxed(browser.get(f"/api/photos/{mask['key']}/bits").json(), hole().shape)

    assert (found(0.5) == dilate(hole(), FOUND_GROW)).all()  # as the commands enlarge it
    healthy = opened(browser, png(pixels() // 2))
    end = done(browser, f"/api/photos/{healthy['key']}/damage")
    assert (end["photo"], codes(end)) == (None, ["damage_none"])
    assert browser.post(f"{path}?sensitivity=2", headers=OPAQUE).status_code == 422
    assert read(made(browser, done(browser, path, sensitivity=1.0))).all()


@pytest.mark.parametrize("task", ["restore", "colorize"])
def test_the_first_result_has_mean_colours_and_others_are_samples(task, browser, monkeypatch):
    requests: list[Any] = []
    run = getattr(tasks, f"{task}_picture")

    def record(inputs: Any, request: Any, *given: Any) -> Any:
        requests.append((request.estimate, request.seed))
        return run(inputs, request, *given)

    monkeypatch.setattr(tasks, f"{task}_picture", record)
    path = f"/api/photos/{opened(browser, png(pixels(1)))['key']}/{task}"
    settings = {"inpaint": False, "denoise": False, "tone": 0} if task == "restore" else {}
    for seed in (0, 1, 2):
        assert done(browser, path, seed=seed, **settings)["another"]
    assert requests == [(None, 0), ("sample", 1), ("sample", 2)]


def test_steps_of_a_restoration_are_left_out(browser):
    path = f"/api/photos/{opened(browser, png(pixels(1)))['key']}/restore"
    left_out = {"colorize": False, "denoise": False, "tone": 0}
    end = done(browser, path, png(hole()), **left_out)
    assert codes(end) == ["damage_given", "kind_gray", "filled"]
    assert read(made(browser, end)).shape == (24, 40)
    refused = asked(browser, path, png(hole()), inpaint=False)
    assert (refused.status_code, refused.json()["error"].startswith("The mask needs ")) == (422, True)


def test_mask_and_strokes_of_a_restored_photograph(browser, limit):
    """They are held till both are there, also where they take more than the album is meant to hold."""
    limit(album_bytes=1)
    strokes = np.zeros((24, 40, 4), np.uint8)
    strokes[4:20, 5:35] = 200, 40, 40, 255
    with client() as small:
        path = f"/api/photos/{opened(small, png(pixels(1)))['key']}"
        assert asked(small, f"{path}/restore", png(hole()), png(strokes)).status_code == 202
        beside = small.post(f"{path}/layers?beside=gone", content=boxed(hole()), headers=OPAQUE)
        assert beside.status_code == 404
    path = f"/api/photos/{opened(browser, png(pixels(1)))['key']}/restore"
    end = done(browser, path, png(hole()), png(strokes))
    assert "damage_given" in codes(end)
    after = read(made(browser, end)).astype(int)[4:20, 5:35]
    assert (after[..., 0] > after[..., 1] + 10).mean() > 0.8
    refused = asked(browser, f"{path}?strokes={opened(browser, png(strokes[1:]), 'strokes')['key']}")
    assert (refused.status_code, refused.json()["error"][:9]) == (422, "The hints")
    for wrong in ({"strokes": "gone"}, {"mask": "gone"}):
        assert browser.post(path, headers=OPAQUE, params=wrong).status_code == 404


def test_noise_blur_and_size_are_improved(browser):
    """The settings that are sent are used; estimated noise has a note."""
    photo = opened(browser, png(pixels()))
    path = f"/api/photos/{photo['key']}"
    for kind, query, name, size in (
        ("denoise", {"noise": 20}, "photo_denoised", (40, 24)),
        ("upscale", {"factor": 3}, "photo_upscaled", (120, 72)),
        ("deblur", {"blur": "motion", "size": 3, "angle": 30}, "photo_deblurred", (40, 24)),
    ):
        end = done(browser, f"{path}/{kind}", **query)
        assert (end["state"], end["another"]) == ("done", False), end
        assert end["photo"]["name"] == name
        assert (end["photo"]["width"], end["photo"]["height"]) == size
    assert "noise_estimated" in codes(end)
    (action,) = end["actions"]
    kernel = browser.get(f"/api/photos/{action['kernel']}/file", params={"kind": "PNG"}).content
    layer = browser.post(f"{path}/layers", content=kernel, headers=OPAQUE, params={"of": "kernel"}).json()["key"]
    again = done(browser, f"{path}/deblur", kernel=layer)
    files = [browser.get(f"/api/photos/{each['photo']['key']}/file?kind=PNG").content for each in (end, again)]
    assert np.abs(np.subtract(*(np.asarray(Image.open(io.BytesIO(each)), int) for each in files))).max() <= 1
    for wrong in ("denoise?noise=-1", "upscale?factor=5", "deblur?blur=disk&size=0", "deblur?blur=/etc/passwd&size=2"):
        assert browser.post(f"{path}/{wrong}", headers=OPAQUE).status_code == 422
    end = done(browser, f"{path}/deblur")  # the blur is estimated, which needs more pixels
    assert (end["state"], "128x128 pixels" in end["error"]) == ("failed", True)
    smooth = opened(browser, png(np.full((24, 40, 3), 90, np.uint8)))
    end = done(browser, f"/api/photos/{smooth['key']}/denoise")
    assert (end["photo"], codes(end)) == (None, ["noise_low"])


def changed(browser, photo, what, **query) -> np.ndarray:
    """Return the pixels of the photograph that a route makes of another."""
    answer = browser.post(f"/api/photos/{photo['key']}/{what}", params=query, headers=OPAQUE)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["key"] != photo["key"]
    assert (made["name"], made["kind"], made["note"]) == (photo["name"], photo["kind"], None)
    return read(browser.get(f"/api/photos/{made['key']}/file?kind=PNG").content)


def test_a_photograph_is_framed(browser):
    before = pixels()
    photo = opened(browser, png(before))
    assert (changed(browser, photo, "turn") == np.rot90(before, -1)).all()
    assert (changed(browser, photo, "turn", quarters=2) == before[::-1, ::-1]).all()
    assert (changed(browser, photo, "crop", box="3,2,10,5") == before[2:7, 3:13]).all()
    assert (changed(browser, photo, "straighten", angle=0) == before).all()
    paper = np.pad(pixels(height=60, width=80) // 2, ((9, 9), (12, 12), (0, 0)), constant_values=250)
    cut = changed(browser, opened(browser, png(paper)), "border")
    assert abs(np.subtract(cut.shape, (60, 80, 3))).max() <= 2
    path = f"/api/photos/{photo['key']}"
    for wrong in (
        "crop?box=1,2,3",
        "crop?box=1,2,3,x",
        "crop?box=90,0,3,3",
        "crop?box=0,0,nan,3",
        "straighten?angle=46",
        "border",
    ):
        answer = browser.post(f"{path}/{wrong}", headers=OPAQUE)
        assert (answer.status_code, list(answer.json())) == (422, ["error"]), wrong


def test_a_result_is_blended_with_its_photograph(browser):
    before, after = np.full((24, 40, 3), 40, np.uint8), np.full((24, 40, 3), 240, np.uint8)
    photo, result = opened(browser, png(before)), opened(browser, png(after), "result.png")

    def blended(**query) -> np.ndarray:
        answer = browser.post(f"/api/photos/{photo['key']}/blend", params=query, headers=OPAQUE)
        assert answer.json()["name"] == "result"
        return read(browser.get(f"/api/photos/{answer.json()['key']}/file?kind=PNG").content)[..., 0]

    assert (blended(result=result["key"], opacity=0.25) == 90).all()
    mask = opened(browser, png(hole()))
    soft = blended(result=result["key"], feather=1, mask=mask["key"])
    assert (soft[8, 10:17] == 140).all()
    assert (soft[9:12, 11:16] == 240).all()
    wider = blended(result=result["key"], feather=1, mask=mask["key"], grow=1)
    assert (wider[7, 10:17] == 140).all()
    assert (wider[8:13, 11:16] == 240).all()


def test_the_profile_is_shown_if_it_fits(browser):
    for mode, kept in ((b"RGB ", True), (b"GRAY", False)):
        profile = bytes(16) + mode + bytes(108)
        photo = opened(browser, picture_bytes(Picture(pixels(), Metadata(icc=profile)), "a.tif"))
        shown = Image.open(io.BytesIO(browser.get(f"/api/photos/{photo['key']}/view").content))
        assert (shown.info.get("icc_profile") == profile) == kept


def test_forms_have_the_ranges_and_defaults_of_the_requests(browser):
    controls = {
        form: {each["name"]: each for each in fields} for form, fields in browser.get("/api/forms").json().items()
    }
    saturation, noise, factor = (
        controls["colorize"]["saturation"],
        controls["deblur"]["noise"],
        controls["upscale"]["factor"],
    )
    assert (saturation["value"], saturation["range"], saturation["needs"]) == (None, [0, 10], "")
    assert controls["restore"]["saturation"] == saturation | {"needs": "colorize"}
    assert (noise["range"], noise["form"]) == ([0, 255], [0, 255, 0])
    assert (factor["value"], factor["choices"]) == (2, [[2, "2"], [3, "3"], [4, "4"]])
    assert [value for value, _ in controls["restore"]["enlarge"]["choices"]] == [None, 2, 3, 4]
    assert [value for value, _ in controls["deblur"]["blur"]["choices"]] == [None, "disk", "motion", "gaussian"]
    page = (STATIC / "index.html").read_text()
    assert set(re.findall(r'data-form="(\w+)"', page)) == {form for form, fields in controls.items() if fields}
    ranges = re.findall(r'<input id="([\w-]+)"[^>]*(?:min|max)=', page)
    assert ranges == ["size"]  # of the brush


def test_the_time_of_an_improvement_is_estimated(browser, monkeypatch):
    monkeypatch.setattr("scoreinv.tasks.duration._seconds", lambda do: 2.0)
    path = f"/api/photos/{opened(browser, png(pixels()))['key']}/seconds"

    def seconds(**query):
        return browser.get(path, params=query).json()["seconds"]

    assert seconds(work="denoise") == 2.0
    assert seconds(work="upscale", factor=2) == pytest.approx(2.0 * 24 * 40 / 96**2)
    assert browser.get(path, params={"work": "fill"}).status_code == 422


def test_healthy_photographs_have_no_result_and_estimates_no_other(browser):
    y, x = np.mgrid[:60, :128] / 128  # too small to detect fading
    smooth = np.stack([0.2 + 0.4 * x, 0.2 + 0.4 * y, 0.6 - 0.4 * x], axis=-1)
    noisy = smooth + 0.05 * np.random.default_rng(0).standard_normal(smooth.shape)
    for values, changed in ((smooth, False), (noisy, True)):
        photo = opened(browser, png(np.rint(255 * values).clip(0, 255).astype(np.uint8)))
        path = f"/api/photos/{photo['key']}/restore"
        end = done(browser, path, seed=2)
        assert (end["state"], end["photo"] is not None, end["another"]) == ("done", changed, False), end["note"]
        assert codes(end)[0] == "damage_none"
        assert end["note"].startswith(UNCHANGED) == (not changed)
        assert [button["settings"] for button in end["actions"]] == [
            {"tone": 1.0},
            *([] if changed else [{"noise": 5}]),
            {"recolor": True},
        ]
        for button in end["actions"]:
            assert asked(browser, path, **button["settings"]).status_code == 202


def test_masks_are_read_as_the_commands_read_them(browser):
    path = f"/api/photos/{opened(browser, png(pixels()))['key']}/mask"
    answer = browser.post(path, content=png(hole()), headers=OPAQUE)
    assert answer.json()["box"] == [10, 8, 7, 5]
    assert (unboxed(answer.json(), hole().shape) == hole()).all()
    for content, said in (
        (png(np.ones((24, 40), bool)), "inverted, holes and known pixels are swapped."),
        (png(hole())[:60], "The mask: damaged or incomplete PNG file"),
    ):
        answer = browser.post(path, content=content, headers=OPAQUE)
        assert (answer.status_code, said in answer.json()["error"]) == (422, True)
        assert "`" not in answer.json()["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"box": [38, 8, 7, 5]},
        {"box": [-1, 8, 7, 5]},
        {"box": [0, 0, 40, 24]},
        {"bits": "!"},
        {"box": None},
    ],
)
def test_masks_that_do_not_fit_are_refused(browser, wrong):
    path = f"/api/photos/{opened(browser, png(pixels()))['key']}/layers"
    mask = boxed_bits(hole())
    for sent in (mask | wrong, {"#ff0000": mask | wrong}, {"red": mask}, {"#ff0000": 1}):
        answer = browser.post(path, content=json.dumps(sent), headers=OPAQUE)
        assert (answer.status_code, answer.json()["error"][:9]) == (422, "The mask ")


def test_strokes_are_a_mask_for_each_colour(browser):
    path = f"/api/photos/{opened(browser, png(pixels()))['key']}/layers?of=strokes"
    other = np.roll(hole(), 9, axis=1)
    sent = {"#c2443a": boxed_bits(hole()), "#3f7fbf": boxed_bits(other)}
    layer = browser.post(path, content=json.dumps(sent), headers=OPAQUE).json()["key"]
    strokes = read(browser.get(f"/api/photos/{layer}/file?kind=PNG").content)
    assert (strokes[hole()] == (194, 68, 58, 255)).all()
    assert (strokes[other] == (63, 127, 191, 255)).all()
    assert not strokes[~(hole() | other)].any()


def test_files_that_are_no_photographs_or_strokes_are_refused(browser):
    photo, stream = opened(browser, png(pixels(1))), io.BytesIO()
    Image.fromarray(pixels()).save(stream, "TIFF", save_all=True, append_images=[Image.fromarray(pixels() // 2)])
    for content, said in ((b"MZ\x90", "not a supported picture"), (stream.getvalue(), "save one as a separate file")):
        answer = browser.post("/api/photos?name=a.jpg", content=content, headers=OPAQUE)
        assert (answer.status_code, answer.json()["error"].startswith("a.jpg: ")) == (422, True)
        assert said in answer.json()["error"]
    answer = asked(browser, f"/api/photos/{photo['key']}/colorize", strokes=png(pixels()))
    assert (answer.status_code, "need an alpha channel" in answer.json()["error"]) == (422, True)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
def test_other_types_are_refused(browser, kind):
    """Forms of other pages can send no others, but for `multipart`, without being asked by the browser first."""
    answer = browser.post("/api/photos", content=png(pixels()), headers=OPAQUE | {"content-type": kind})
    assert (answer.status_code, answer.json()["error"]) == (415, "Send a picture file.")


def test_long_files_are_refused_by_what_they_say_and_by_what_they_are(browser, limit):
    limit(upload_bytes=1 << 20)
    read_bytes = 0

    def endless():
        nonlocal read_bytes
        while read_bytes < 1 << 26:
            read_bytes += 1 << 16
            yield bytes(1 << 16)

    for content, stated in ((bytes((1 << 20) + 1), {}), (endless(), {}), (b"", {"content-length": "9" * 5000})):
        answer = browser.post("/api/photos", content=content, headers=OPAQUE | stated)
        assert (answer.status_code, "larger than 1 MB" in answer.json()["error"]) == (413, True)


def test_uploads_share_twice_the_memory_of_one(limit):
    limit(upload_bytes=10)
    content = get_args(body.Content)[1].dependency
    owner = FastAPI()
    owner.state.uploading = 0

    def upload(*parts: bytes) -> Any:
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive() -> Any:
            return messages.pop(0)

        headers = [(b"content-type", b"image/png")]
        return content(Request({"type": "http", "app": owner, "headers": headers}, receive))

    async def run() -> None:
        first = upload(bytes(5), bytes(5))
        assert len(await anext(first)) == 10
        second = upload(bytes(5))
        assert len(await anext(second)) == 5
        with pytest.raises(HTTPException) as refused:
            await anext(upload(bytes(5), bytes(5)))
        assert refused.value.status_code == 503
        await first.aclose()
        assert len(await anext(upload(bytes(10)))) == 10
        await second.aclose()

    asyncio.run(run())
    assert owner.state.uploading == 0


@pytest.mark.parametrize(
    ("work", "query", "error"),
    [
        ("colorize", {"seed": -1}, "Seed must be from 0 to 9,223,372,036,854,775,807, not -1."),
        ("denoise", {"noise": 256}, "Noise level must be a number from 0 to 255, not 256.0."),
        ("denoise", {"keep_grain": 2}, "Grain to keep must be from 0 to 1, not 2.0."),
        ("damage", {"sensitivity": 2}, "Sensitivity must be from 0 to 1, not 2.0."),
        ("upscale", {"factor": 5}, "Enlargement factor must be from 2 to 4, not 5."),
    ],
)
def test_a_wrong_setting_is_named_by_its_label(browser, work, query, error):
    photo = opened(browser, png(pixels()))
    answer = asked(browser, f"/api/photos/{photo['key']}/{work}", **query)
    assert (answer.status_code, answer.json()["error"]) == (422, error)


def test_results_that_do_not_fit_in_memory(browser, limit):
    photo = opened(browser, png(pixels()))
    limit(memory=30_000)
    path = f"/api/photos/{photo['key']}"
    assert asked(browser, f"{path}/upscale", factor=2).status_code == 202
    for answer in (asked(browser, f"{path}/upscale", factor=4), asked(browser, f"{path}/restore", enlarge=4)):
        assert (answer.status_code, "A result of this size" in answer.json()["error"]) == (422, True)


def no_decoding(monkeypatch):
    def refused(*_: object) -> None:
        raise AssertionError("was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", refused)


def test_a_photograph_that_does_not_fit_in_memory_is_not_decoded(browser, monkeypatch, limit):
    """Some bytes may stand for 400 megapixels of four samples of 16 bits."""
    content = picture_bytes(Picture(pixels(4, np.uint16)), "test.png")
    no_decoding(monkeypatch)
    limit(memory=24 * 40 * 24 - 1)
    answer = browser.post("/api/photos?name=a.file", content=content, headers=OPAQUE)
    assert answer.status_code == 422
    assert re.match(r"a\.file: opening it needs about [\d.]+ GB of memory", answer.json()["error"])


@pytest.mark.parametrize("what", ["mask", "layers?of=strokes"])
def test_masks_are_measured_upright_before_they_are_decoded(browser, monkeypatch, what):
    """One may lie on its side, as cameras store what they turn."""
    path, stream, exif = f"/api/photos/{opened(browser, png(pixels()))['key']}/{what}", io.BytesIO(), Image.Exif()
    exif[274] = 6  # is to be turned
    Image.fromarray(hole().T[::-1]).save(stream, "PNG", exif=exif)
    assert browser.post(path, content=stream.getvalue(), headers=OPAQUE).status_code < 300
    no_decoding(monkeypatch)
    answer = browser.post(path, content=png(hole(24, 41)), headers=OPAQUE)
    assert (answer.status_code, " is 41x24, but the photo is 40x24 " in answer.json()["error"]) == (422, True)


@pytest.mark.parametrize("channels", [3, 4])
def test_very_long_photographs_are_shown(browser, channels):
    """JPEG ends at 65,500 pixels, and browsers earlier."""
    photo = opened(browser, png(np.zeros((3, 70_000, channels), np.uint8)))
    shown = browser.get(f"/api/photos/{photo['key']}/view")
    assert shown.status_code == 200
    assert read(shown.content).shape[:2] == (1, photo_module._VIEW_SIDE)


def test_unexpected_errors_are_answered_as_others(monkeypatch):
    """With the headers that guard the page, and a sentence."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("scoreinv.web.photo.Photo.view", broken)
    with client(raises=False) as browser:
        photo = opened(browser, png(pixels()))
        answer = browser.get(f"/api/photos/{photo['key']}/view")
    assert answer.status_code == 500
    assert answer.json()["error"].startswith("Something unexpected went wrong (ZeroDivisionError)")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_who_goes_in_the_middle_of_an_upload_is_no_error():
    scope = {
        **{"type": "http", "method": "POST", "path": "/api/photos", "raw_path": b"/api/photos", "query_string": b""},
        "headers": [(name.encode(), value.encode()) for name, value in {"host": f"127.0.0.1:{PORT}", **OPAQUE}.items()],
    }
    messages = iter([{"type": "http.request", "body": b"part", "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    with client() as browser:
        asyncio.run(browser.app(scope, receive, send))
    assert sent[0]["status"] == 499


def test_unknown_keys(browser):
    for path in ("/api/photos/x", "/api/photos/x/view", "/api/photos/x/file?kind=PNG", "/api/jobs/x"):
        answer = browser.get(path)
        assert (answer.status_code, "again" in answer.json()["error"]) == (404, True)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ScoreinvError("the model gave values that are not finite"), "The model gave values that are not finite."),
        (InputError("my photo 2.png: is damaged"), "my photo 2.png: is damaged."),
        (MemoryError(), "not enough memory"),
        (ZeroDivisionError("x"), "(ZeroDivisionError)"),
    ],
)
def test_work_that_fails_says_so_and_the_next_is_done(browser, monkeypatch, error, said):
    def fails(*_: object) -> None:
        raise error

    photo = opened(browser, png(pixels()))
    with monkeypatch.context() as patch:
        patch.setattr(tasks.PreparedFill, "draw", fails)
        end = done(browser, f"/api/photos/{photo['key']}/fill", png(hole()))
    assert (end["state"], said in end["error"]) == ("failed", True)
    assert done(browser, f"/api/photos/{photo['key']}/fill", png(hole()))["state"] == "done"


def test_a_job_whose_page_was_away_says_so(browser, monkeypatch):
    for patience in ("TIMEOUT", "SHORT_TIMEOUT"):
        monkeypatch.setattr(f"scoreinv.web.jobs.{patience}", -1)
    photo = opened(browser, png(pixels()))
    job = asked(browser, f"/api/photos/{photo['key']}/fill", png(hole())).json()["job"]
    assert browser.post(f"/api/jobs/{job}/left", headers=OPAQUE).status_code == 204
    end = ended(browser, job)
    assert (end["state"], "page was closed" in end["note"]) == ("cancelled", True)
