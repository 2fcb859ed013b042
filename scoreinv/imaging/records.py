"""Provenance: how a result was made, as a record in its XMP packet.

The records of all runs are the entries of `scoreinv:history`, an ordered list of structures, the latest last. Texts are
stored as they are, other values as JSON. The IPTC's `DigitalSourceType` states whether pixels were generated
(https://cv.iptc.org/newscodes/digitalsourcetype/). Other properties of a packet are kept. Records name no person, path
or machine, and a time only on request.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from scoreinv.imaging.picture import Picture
from scoreinv.windows.boxes import Box

NAMESPACE = "urn:scoreinv:provenance/1/"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
"""The IPTC's vocabulary that defines each `SourceType`."""
SourceType = Literal["compositeWithTrainedAlgorithmicMedia", "algorithmicallyEnhanced"]
"""Edited with generative models, or altered by algorithms without them."""
_SYNTHETIC = ("trainedAlgorithmicMedia", "compositeSynthetic", "compositeWithTrainedAlgorithmicMedia")
"""Source types of pictures with generated pixels, the strongest first. A later run does not weaken them."""

MOST_BYTES = 4 << 20
"""Maximum size of an XMP packet that is parsed."""
_MOST_DEPTH = 100
"""Maximum nesting of its elements; the standard's structures need up to 15."""
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_EMPTY = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"/></x:xmpmeta>'
_PACKET = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{}\n<?xpacket end="w"?>'
_BREAKS = {"\t": "\ufdd0", "\n": "\ufdd1", "\r": "\ufdd2"}
"""Noncharacters that replace white space in attributes until the document is serialised: minidom does not escape it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """How a result was made.

    Attributes:
        task: the task, as the command is named.
        settings: the fields of the task's request.
        models: name and SHA-256 of the model of each role. A model file of the user has no name; a model that the
            caller passed as an object has neither.
        software: versions of the packages that computed the result.
        original: `pixel_hash` of the original.
        inputs: hashes of the other inputs, such as the mask.
        method, device, precision: the task's method, and the device and number format of its networks.
        threads: number of torch's CPU threads, which the order of sums depends on; None if torch computed nothing.
        source_type: None if no pixel changed.
        box: part of the original that was kept: top, left, height and width; None: all of it.
        notes: codes of the task's notes, with their values.
        sample: index among several samples; None: the first, or their mean.
        result: `pixel_hash` of the result before encoding.
        created: time of the run (ISO 8601, UTC), if requested.
    """

    task: str
    settings: dict[str, Any]
    models: dict[str, dict[str, str | None]]
    software: dict[str, str]
    original: str
    inputs: dict[str, Any] = field(default_factory=dict)
    method: str = ""
    device: str = ""
    precision: str = ""
    threads: int | None = None
    source_type: SourceType | None = None
    box: Box | None = None
    notes: list[dict[str, Any]] = field(default_factory=list)
    sample: int | None = None
    result: str = ""
    created: str = ""

    @property
    def id(self) -> str:
        """Identifier of the run, the same for all its samples."""
        run = json.dumps(asdict(replace(self, sample=None, result="", source_type=None)), sort_keys=True)
        return hashlib.sha256(run.encode()).hexdigest()[:32]

    def xmp(self, packet: bytes | None = None) -> bytes:
        """Return an XMP packet with the record as the latest entry of its history.

            image.save("result.jpg", xmp=result.provenance.xmp())

        Args:
            packet: XMP packet of the original. Its properties are kept; a damaged packet is replaced, with a warning.
        """
        document = None
        if packet is not None and (document := _parsed(packet)) is None:
            _log.warning("the XMP of the photograph cannot be read: the record of this run replaces it")
        return _extended(document or _parsed(_EMPTY.encode()), self)


def pixel_hash(picture: Picture) -> str:
    """Return the SHA-256 of a picture's mode, size, sample type and samples (rows from the top, little-endian).

    It identifies the decoded, upright picture, and does not depend on the file's format or metadata.
    """
    pixels = picture.pixels
    header = f"{picture.mode} {pixels.dtype.name} {picture.width}x{picture.height}\n"
    digest = hashlib.sha256(header.encode())
    digest.update(np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def with_record(picture: Picture, record: Record) -> Picture:
    """Return a picture with the record in its XMP, completed by the picture's hash as the `result`."""
    record = replace(record, result=pixel_hash(picture))
    return replace(picture, metadata=replace(picture.metadata, xmp=record.xmp(picture.metadata.xmp)))


def history_of(packet: bytes | None) -> list[Record]:
    """Return the records of an XMP packet, the latest last; malformed ones are left out."""
    document = None if packet is None else _parsed(packet)
    entries = [] if document is None else list(_entries(document))
    return [record for entry in entries if (record := _record(entry)) is not None]


def records_alone(packet: bytes) -> bytes | None:
    """Return an XMP packet with only the records of a packet; None if it has no records."""
    records: bytes | None = None
    for record in history_of(packet):
        records = record.xmp(records)
    return records


# --- reading ----------------------------------------------------------------------------------------------------------


def _parsed(packet: bytes) -> Any | None:
    """Return the document of a packet; None if it is damaged, too long, not RDF, or declares entities."""
    from xml.dom.minidom import parseString
    from xml.parsers import expat

    depth = 0

    def begin(*_: object) -> None:
        nonlocal depth
        if (depth := depth + 1) > _MOST_DEPTH:
            raise ValueError("its elements are nested too deeply")

    def end(*_: object) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: object) -> None:
        raise ValueError("a DTD may define entities")

    if len(packet) > MOST_BYTES:
        return None
    try:
        content = packet.strip(b"\0").decode("utf-8").strip("\ufeff \t\r\n").encode()
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = begin, end
        parser.StartDoctypeDeclHandler = refuse
        parser.Parse(content, True)
        document = parseString(content)
    except (ValueError, expat.ExpatError):
        return None
    return document if document.getElementsByTagNameNS(_RDF, "RDF") else None


def _descriptions(document: Any) -> Iterator[Any]:
    """Yield the elements that hold the properties of the picture."""
    for node in document.getElementsByTagNameNS(_RDF, "RDF")[0].childNodes:
        if node.nodeType == node.ELEMENT_NODE:
            yield node


def _properties(document: Any, namespace: str, name: str) -> Iterator[Any]:
    """Yield the elements of a property of the picture."""
    for description in _descriptions(document):
        for node in description.childNodes:
            if (node.nodeType, node.namespaceURI, node.localName) == (node.ELEMENT_NODE, namespace, name):
                yield node


def _entries(document: Any) -> Iterator[Any]:
    for history in _properties(document, NAMESPACE, "history"):
        yield from history.getElementsByTagNameNS(_RDF, "li")


def _text(element: Any) -> str:
    texts = (element.TEXT_NODE, element.CDATA_SECTION_NODE)
    return "".join(node.data for node in element.childNodes if node.nodeType in texts)


def _record(entry: Any) -> Record | None:
    """Return the record of an entry of the history; None if it is malformed."""
    # XMP allows properties as elements or attributes, of the entry or of a description in it.
    found = {node.localName: _text(node) for node in entry.getElementsByTagNameNS(NAMESPACE, "*")}
    for holder in (entry, *entry.getElementsByTagNameNS(_RDF, "Description")):
        found |= {each.localName: each.value for each in holder.attributes.values() if each.namespaceURI == NAMESPACE}
    values: dict[str, Any] = {}
    try:
        for each in fields(Record):
            if each.name in found:
                is_text = each.name in _TEXTS
                values[each.name] = found[each.name] if is_text else json.loads(found[each.name])
        record = Record(**values)
        kinds = ("settings", dict), ("models", dict), ("software", dict), ("inputs", dict), ("notes", list)
        if not all(isinstance(getattr(record, name), kind) for name, kind in kinds):
            return None
        if not all(isinstance(each, dict) for each in (*record.models.values(), *record.notes)):
            return None
        if not all(value is None or type(value) is int for value in (record.sample, record.threads)):
            return None
        if record.box is not None:
            top, left, height, width = map(int, record.box)
            record = replace(record, box=(top, left, height, width))
        return record
    except (ValueError, TypeError, RecursionError):
        return None


_TEXTS = {each.name for each in fields(Record) if str(each.type).startswith(("str", "SourceType"))}
"""Fields that are stored as text."""


# --- writing ----------------------------------------------------------------------------------------------------------


def _extended(document: Any, record: Record) -> bytes:
    """Return the packet of a document with a record."""
    about = next((each.getAttributeNS(_RDF, "about") for each in _descriptions(document)), "")
    description = document.createElementNS(_RDF, "rdf:Description")
    for prefix, uri in (("rdf", _RDF), ("Iptc4xmpExt", _IPTC), ("scoreinv", NAMESPACE)):
        description.setAttributeNS(_XMLNS, f"xmlns:{prefix}", uri)
    description.setAttributeNS(_RDF, "rdf:about", about)
    earlier = list(_entries(document))
    for old in list(_properties(document, NAMESPACE, "history")):
        old.parentNode.removeChild(old)
    source = _source_type(_without_source_type(document), record.source_type)
    if source:
        description.appendChild(_element(document, _IPTC, "Iptc4xmpExt:DigitalSourceType", source))
    entries = document.createElementNS(_RDF, "rdf:Seq")
    for entry in earlier:
        entries.appendChild(entry)
    entries.appendChild(_entry(document, record))
    history = _element(document, NAMESPACE, "scoreinv:history")
    history.appendChild(entries)
    description.appendChild(history)
    document.getElementsByTagNameNS(_RDF, "RDF")[0].appendChild(description)
    return _PACKET.format(_serialised(document)).encode()


def _serialised(document: Any) -> str:
    """Return the XML of a document, with the line breaks and tabs of attributes escaped: minidom leaves them."""
    for element in document.getElementsByTagName("*"):
        for attribute in element.attributes.values():
            for char, mark in _BREAKS.items():
                attribute.value = attribute.value.replace(char, mark)
    text = document.documentElement.toxml()
    for char, mark in _BREAKS.items():
        text = text.replace(mark, f"&#{ord(char)};")
    return text


def _element(document: Any, namespace: str, name: str, text: str = "") -> Any:
    element = document.createElementNS(namespace, name)
    if text:
        element.appendChild(document.createTextNode(text))
    return element


def _entry(document: Any, record: Record) -> Any:
    """Return the entry of the history for a record; it declares the namespace prefixes that it uses."""
    entry = _element(document, _RDF, "rdf:li")
    for prefix, uri in (("rdf", _RDF), ("scoreinv", NAMESPACE)):
        entry.setAttributeNS(_XMLNS, f"xmlns:{prefix}", uri)
    entry.setAttributeNS(_RDF, "rdf:parseType", "Resource")
    for name, value in {"id": record.id, **asdict(record)}.items():
        if value not in (None, ""):
            text = value if isinstance(value, str) else json.dumps(value)
            entry.appendChild(_element(document, NAMESPACE, f"scoreinv:{name}", text))
    return entry


def _without_source_type(document: Any) -> str:
    """Remove the picture's source type, and return its URI; empty if the picture has none."""
    found = ""
    for description in _descriptions(document):
        if description.hasAttributeNS(_IPTC, "DigitalSourceType"):
            found = description.getAttributeNS(_IPTC, "DigitalSourceType")
            description.removeAttributeNS(_IPTC, "DigitalSourceType")
    for element in list(_properties(document, _IPTC, "DigitalSourceType")):
        found = element.getAttributeNS(_RDF, "resource") or _text(element).strip()
        element.parentNode.removeChild(element)
    return found


def _source_type(before: str, now: SourceType | None) -> str:
    """Return the URI of the source type after a run: the stronger of the old and the new one, see `_SYNTHETIC`."""
    names = [before.rpartition("/")[2], now or ""]
    strongest = next((name for name in _SYNTHETIC if name in names), now)
    return before if strongest in (None, names[0]) else f"{SOURCE_TYPES}{strongest}"
