"""Records in XMP: in each format, beside other properties, in a history, and read safely."""

import io
import json
from dataclasses import replace
from html import escape
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from scoreinv.files.read import read_picture
from scoreinv.files.write import picture_bytes
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.records import (
    MOST_BYTES,
    SOURCE_TYPES,
    Record,
    history_of,
    pixel_hash,
    records_alone,
    with_record,
)

IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
GENERATED, ALTERED = "compositeWithTrainedAlgorithmicMedia", "algorithmicallyEnhanced"
RECORD = Record(
    task="inpaint",
    settings={"seed": 3, "start": None, "kernel": {"kind": "disk", "size": 2.5, "angle": 0.0}},
    models={"inpaint": {"name": "photo", "sha256": "ab" * 32}},
    software={"scoreinv": "0.3.0", "torch": "2.9"},
    original="cd" * 32,
    inputs={"mask": "ef" * 32},
    method="conditioned",
    device="cpu",
    precision="float32",
    source_type=GENERATED,
    box=(1, 2, 30, 40),
    notes=[{"code": "object_left", "severity": "warning", "grow": 3, "text": 'a "quote" <&> é \n'}],
    result="01" * 32,
)


def packet(properties: str, attributes: str = "") -> bytes:
    """Return an XMP packet as other programs write it, with another prefix of RDF."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n <r:RDF xmlns:r="{RDF}">\n  <r:Description r:about="" '
        f'xmlns:e="{IPTC}" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:p="urn:p/" {attributes}>'
        f"{properties}</r:Description></r:RDF></x:xmpmeta>{' ' * 2000}<?xpacket end='w'?>"
    ).encode()


def properties(xmp: bytes, name: str) -> list[str]:
    """Return the texts of a property, as elements and attributes."""
    tree = ElementTree.fromstring(xmp.strip())
    return [each.text or "" for each in tree.iter(name)] + [
        each.attrib[name] for each in tree.iter() if name in each.attrib
    ]


def picture(*shape: int, dtype: type = np.uint8, **metadata) -> Picture:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    return Picture(pixels, Metadata(**metadata))


@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp", "heic", "avif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_format_has_the_record(suffix, dtype):
    if suffix == "heic":
        pytest.importorskip("pillow_heif")
    made = with_record(picture(24, 40, 3, dtype=dtype, dpi=(300.0, 300.0)), RECORD)
    content = picture_bytes(made, f"a.{suffix}")
    again = read_picture(content)
    (found,) = history_of(again.metadata.xmp)
    assert found == replace(RECORD, result=pixel_hash(made))
    assert properties(again.metadata.xmp, f"{{{IPTC}}}DigitalSourceType") == [SOURCE_TYPES + GENERATED]
    if suffix in ("png", "tif"):
        assert pixel_hash(again) == found.result
    if suffix != "heic" and dtype == np.uint8:  # Pillow knows no HEIC
        with Image.open(io.BytesIO(content)) as image:
            xmp = image.info["xmp"]
            assert history_of(xmp if isinstance(xmp, bytes) else xmp.encode()) == [found]


def test_elements_may_be_nested_a_hundred_deep_and_any_number_beside_each_other():
    """So a history may be long. The packet itself is three deep."""
    assert RECORD.xmp(packet("<p:a/>" * 300)).count(b"<p:a/>") == 300
    for depth, kept in ((97, 97), (98, 0)):
        assert RECORD.xmp(packet("<p:a>" * depth + "</p:a>" * depth)).count(b"<p:a") == kept


def test_of_what_is_too_long_for_a_jpeg_the_records_alone_are_kept():
    content = picture_bytes(with_record(picture(8, 8, 3, xmp=packet("<p:a/>" * 20_000)), RECORD), "a.jpg")
    (found,) = history_of(read_picture(content).metadata.xmp)
    assert found.settings == RECORD.settings


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        ("print", GENERATED, GENERATED),
        ("negativeFilm", ALTERED, ALTERED),
        ("negativeFilm", None, None),
        ("trainedAlgorithmicMedia", GENERATED, "trainedAlgorithmicMedia"),
        ("compositeSynthetic", ALTERED, "compositeSynthetic"),
        (GENERATED, ALTERED, GENERATED),
        ("", None, None),
        ("", ALTERED, ALTERED),
    ],
)
@pytest.mark.parametrize("form", ["attribute", "element", "resource"])
def test_the_source_type_is_of_the_whole_history(before, now, after, form):
    uri = SOURCE_TYPES + before if before else ""
    element = f"<e:DigitalSourceType>{uri}</e:DigitalSourceType>"
    xmp = {
        "attribute": packet("", f'e:DigitalSourceType="{uri}"'),
        "element": packet(element),
        "resource": packet(f'<e:DigitalSourceType r:resource="{uri}"/>'),
    }[form]
    made = replace(RECORD, source_type=now).xmp(xmp)
    expected = after or before
    assert properties(made, f"{{{IPTC}}}DigitalSourceType") == ([SOURCE_TYPES + expected] if expected else [])


BOMB = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
HOSTILE = {
    "empty": b"",
    "text": b"no XML",
    "truncated": packet("")[:200],
    "other XML": b"<a/>",
    "entities": BOMB + packet("&c;"),
    "external": b'<!DOCTYPE a SYSTEM "file:///etc/passwd">' + packet(""),
    "encoding": packet("").decode().encode("utf-16"),
    "bytes": b"\xff\xfe\x00" * 99,
    "long": packet("") + b" " * MOST_BYTES,
    "deeper than Python": packet("<p:a>" * 900 + "</p:a>" * 900),
    "deep": packet("<p:a>" * 5000 + "</p:a>" * 5000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_packets_are_replaced(name, caplog):
    assert history_of(HOSTILE[name]) == []
    assert history_of(RECORD.xmp(HOSTILE[name])) == [RECORD]
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("settings", "[]"),
        ("settings", "{"),
        ("settings", "[" * 100_000),
        ("models", '{"inpaint": 3}'),
        ("notes", '["x"]'),
        ("notes", "3"),
        ("sample", '"x"'),
        ("sample", "true"),
        ("box", "[1, 2]"),
        ("box", '"abcd"'),
        ("inputs", "null"),
    ],
)
def test_entries_of_another_form_are_left_out(name, text):
    made = RECORD.xmp().decode().replace("&quot;", '"')  # Python escapes quotes in text before 3.13
    value = json.dumps(getattr(RECORD, name)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    element = f"<scoreinv:{name}>{value}</scoreinv:{name}>" if value != "null" else ""
    broken = f"<scoreinv:{name}>{text}</scoreinv:{name}>"
    assert element in made
    made = made.replace(element, broken) if element else made.replace("<scoreinv:task>", f"{broken}<scoreinv:task>")
    assert history_of(made.encode()) == []
    assert len(history_of(RECORD.xmp(made.encode()))) == 1  # and the entry stays for others
    assert made.count("rdf:li") // 2 + 1 == RECORD.xmp(made.encode()).count(b"<rdf:li")


def test_many_attributes_take_linear_time():
    xmp = packet("", " ".join(f'p:a{number}="b"' for number in range(20_000)))
    assert RECORD.xmp(xmp).count(b"p:a") == 20_000


def test_a_long_packet_leaves_the_record_in_a_jpeg(caplog):
    made = with_record(picture(24, 40, 3, xmp=packet(f"<p:long>{'a' * 70_000}</p:long>")), RECORD)
    again = read_picture(picture_bytes(made, "a.jpg"))
    assert [record.task for record in history_of(again.metadata.xmp)] == ["inpaint"]
    assert b"p:long" not in again.metadata.xmp
    assert len(caplog.records) == 1
    assert b"p:long" in read_picture(picture_bytes(made, "a.png")).metadata.xmp


def test_the_hash_is_of_pixels():
    plain = picture(24, 40, 3)
    assert pixel_hash(replace(plain, metadata=Metadata(xmp=b"x"))) == pixel_hash(plain)
    assert pixel_hash(plain.with_pixels(plain.pixels[:, ::-1])) != pixel_hash(plain)
    assert pixel_hash(plain.with_pixels(plain.pixels.reshape(40, 24, 3))) != pixel_hash(plain)
    assert pixel_hash(plain.with_pixels(plain.pixels[..., 0])) != pixel_hash(plain)
    assert pixel_hash(plain.with_pixels(np.asfortranarray(plain.pixels))) == pixel_hash(plain)
    big = picture(4, 5, dtype=np.uint16)
    assert pixel_hash(big.with_pixels(big.pixels.astype(">u2").astype(np.uint16))) == pixel_hash(big)


def test_the_samples_of_a_run_have_one_identifier():
    assert replace(RECORD, sample=1, result="x", source_type=ALTERED).id == RECORD.id
    assert properties(RECORD.xmp(), "{urn:scoreinv:provenance/1/}id") == [RECORD.id]
    assert replace(RECORD, settings={"seed": 4}).id != RECORD.id


def drawn_text(rng: np.random.Generator) -> str:
    return "".join(rng.choice(list("aB1 .<>&\"'\n\t{}[]:,/é字\U0001f600]]>"), rng.integers(1, 12)))


def drawn_value(rng: np.random.Generator, depth: int = 2) -> Any:
    """Return a value of a setting or note, as JSON has it."""
    if depth and rng.random() < 0.3:
        return {drawn_text(rng): drawn_value(rng, depth - 1) for _ in range(3)}
    if depth and rng.random() < 0.2:
        return [drawn_value(rng, depth - 1) for _ in range(2)]
    values = (None, True, int(rng.integers(-9, 9)), float(rng.normal()), drawn_text(rng))
    return values[rng.integers(len(values))]


def drawn_record(rng: np.random.Generator) -> Record:
    def values() -> dict[str, Any]:
        return {drawn_text(rng): drawn_value(rng) for _ in range(rng.integers(3))}

    return Record(
        *(drawn_text(rng), values(), {drawn_text(rng): {"name": None, "sha256": drawn_text(rng)}}, values()),
        *(drawn_text(rng), values(), drawn_text(rng), drawn_text(rng), drawn_text(rng)),
        source_type=[None, GENERATED, ALTERED][rng.integers(3)],
        box=[None, tuple(rng.integers(0, 99, 4).tolist())][rng.integers(2)],
        notes=[values() for _ in range(rng.integers(3))],
        sample=[None, 0, 7][rng.integers(3)],
        result=drawn_text(rng),
        created=["", "2026-01-02T03:04:05Z"][rng.integers(2)],
    )


def test_drawn_records_come_back_beside_other_properties():
    """In packets of other programs with one description or two, all about one resource."""
    rng = np.random.default_rng(1)
    for number in range(24):
        about = escape(drawn_text(rng), quote=True).replace("\n", "&#10;").replace("\t", "&#9;") * (number % 2)
        second = f"</r:Description><r:Description r:about='{about}' xmlns:p='urn:p/' p:b='1'>" * (number % 3 == 0)
        title = drawn_text(rng)
        before = packet(f"<p:a>{escape(title)}</p:a>{second}").replace(b'r:about=""', f"r:about='{about}'".encode())
        records: list[Record] = []
        xmp = before if number % 5 else None
        for _ in range(rng.integers(1, 4)):
            records.append(drawn_record(rng))
            xmp = records[-1].xmp(xmp)
        assert history_of(xmp) == records
        assert history_of(records_alone(xmp)) == records
        if number % 5:
            assert properties(xmp, "{urn:p/}a") == [title]
            assert properties(xmp, "{urn:p/}b") == ["1"] * (number % 3 == 0)
            assert len(set(properties(xmp, f"{{{RDF}}}about")) - {properties(before, f"{{{RDF}}}about")[0]}) == 0
