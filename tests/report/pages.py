"""Reading a page: it must be valid, alone, and open to everybody."""

import re
from itertools import pairwise
from xml.etree.ElementTree import tostring

import html5lib

# Elements that load or run something, or lead somewhere.
LOADING = {"script", "link", "img", "iframe", "object", "embed", "audio", "video"}
LOADING |= {"base", "form", "source", "image", "foreignObject"}


def read_page(html):
    """Parse a page strictly, and check what holds of every one; gives its root."""
    html.encode()
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    root = parser.parse(html)
    elements = [(local(e.tag), e) for e in root.iter() if isinstance(e.tag, str)]
    _check_alone(html, elements)
    _check_ids(elements)
    _check_open_to_all(elements)
    return root


def local(name):
    return name.rpartition("}")[2]


def text_of(root):
    return " ".join("".join(root.itertext()).split())


def _check_alone(html, elements):
    for tag, element in elements:
        assert tag not in LOADING, tostring(element)[:200]
        for name, value in element.attrib.items():
            name = local(name)
            assert not name.startswith("on"), tostring(element)[:200]
            if name in ("href", "src", "action", "srcset", "data", "xlink:href"):
                assert value.startswith("#"), value
            assert not re.search(r"url\((?!#)", value), value
    head = html[: html.index("</head>")]
    assert "default-src 'none'" in head
    style = head[head.index("<style>") :]
    assert "url(" not in style
    assert "@import" not in style


def _check_ids(elements):
    ids = [e.attrib["id"] for _, e in elements if "id" in e.attrib]
    assert len(set(ids)) == len(ids)
    for _, element in elements:
        for name, value in element.attrib.items():
            if local(name) == "href":
                assert value[1:] in ids
            if name in ("aria-labelledby",):
                assert value in ids
            for wanted in re.findall(r"url\(#([^)]+)\)", value):
                assert wanted in ids


def _check_open_to_all(elements):
    tags = [tag for tag, _ in elements]
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    for before, after in pairwise(levels):
        assert after <= before + 1
    for tag, element in elements:
        children = [local(child.tag) for child in element]
        if tag == "table":
            assert children[0] == "caption"
            assert "".join(element[0].itertext()).strip()
        if tag == "th":
            assert element.attrib["scope"] in ("row", "col", "rowgroup")
        if tag == "svg":
            assert element.attrib["role"] == "img"
            assert element.attrib["aria-label"].strip()
        if tag == "figure":
            assert children == ["svg", "figcaption"]
    assert dict(elements)["html"].attrib["lang"] == "en"
    assert "main" in tags
    assert "nav" in tags
