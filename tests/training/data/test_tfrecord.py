"""Pictures from TFRecord files, as the reference implementation reads them, and from LMDBs."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scoreinv.system.errors import InputError
from scoreinv.training.config import DataConfig
from scoreinv.training.data.pictures import load_pictures

SIDES = (8, 200)  # sides above 127 need two bytes


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(**features: bytes | tuple[int, ...]) -> bytes:
    """Serialise a tf.train.Example by hand."""
    entries = b""
    for name, value in features.items():
        kind = (
            field(1, field(1, value)) if isinstance(value, bytes) else field(3, field(1, b"".join(map(varint, value))))
        )
        entries += field(1, field(1, name.encode()) + field(2, kind))
    return field(1, entries)


def write_records(path: Path, records: list[bytes]) -> None:
    """Write a file by the writer of TensorBoard, which shares the format."""
    writer = pytest.importorskip("tensorboard.summary.writer.record_writer")
    with path.open("wb") as file:
        out = writer.RecordWriter(file)
        for record in records:
            out.write(record)
        out.flush()


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def pixels() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (side, 8, 3), np.uint8) for side in SIDES]


def test_raw_and_encoded_examples(pixels, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = pixels
    raw = [example(shape=value.transpose(2, 0, 1).shape, data=value.transpose(2, 0, 1).tobytes()) for value in pixels]
    records = [*raw, example(label=(3,), image=png(one)), example(name=b"none")]
    write_records(tmp_path / "some.tfrecords", records)
    config = DataConfig(str(tmp_path / "some.tfrecords"), scales=(1.0,))
    for cache in (None, tmp_path / "cache"):
        with caplog.at_level(logging.WARNING):
            found = load_pictures(config, 8, 3, cache=cache)
        assert found.names == ("00000000", "00000001", "00000002")
        for levels, expected in zip(found.levels, (one, other, one), strict=True):
            np.testing.assert_array_equal(levels[0], expected)
    assert (
        "00000003 is left out: 00000003: neither data with shape nor image/encoded nor image among name" in caplog.text
    )


def test_a_damaged_file_names_the_place(pixels, tmp_path: Path) -> None:
    path = tmp_path / "some.tfrecords"
    write_records(path, [example(image=png(value)) for value in pixels])
    whole = path.read_bytes()
    second = 16 + int.from_bytes(whole[:8], "little")
    for damaged in (
        whole[: second + 2] + b"\1" + whole[second + 3 :],  # the length exceeds the file
        whole[:-200],  # an interrupted copy
        whole[:-1],
        whole[: second + 9],
        whole[:second] + bytes(200),
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"some.tfrecords: .*\(damaged at byte {second}\)"):
            load_pictures(DataConfig(str(path)), 8, 3)


def test_an_lmdb(pixels, tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    with lmdb.open(str(tmp_path / "set")) as environment, environment.begin(write=True) as transaction:
        for key, value in zip((b"a1", b"b2"), pixels, strict=True):
            transaction.put(key, png(value))
    found = load_pictures(DataConfig(str(tmp_path / "set"), scales=(1.0,)), 8, 3)
    assert found.names == ("a1", "b2")
    np.testing.assert_array_equal(found.levels[1][0], pixels[1])


def test_an_lmdb_without_the_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data.mdb").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "lmdb", None)
    with pytest.raises(InputError, match="pip install lmdb"):
        load_pictures(DataConfig(str(tmp_path)), 8, 3)


def test_the_central_square_is_resized(tmp_path: Path) -> None:
    """A colour ramp, of which the reference keeps the middle; the border would be the brightest."""
    ramp = np.zeros((40, 80, 3), np.uint8)
    ramp[:, 20:60] = np.arange(40, dtype=np.uint8)[:, None, None]
    ramp[:, :20] = ramp[:, 60:] = 255
    Image.fromarray(ramp).save(tmp_path / "a.png")
    found = load_pictures(DataConfig(str(tmp_path), mode="center"), 10, 3)
    ((level,),) = found.levels
    expected = np.broadcast_to((4 * np.arange(10) + 1.5)[:, None, None], (10, 10, 3))
    assert level.shape == (10, 10, 3)
    np.testing.assert_allclose(level[1:-1], expected[1:-1], atol=1)
