import re
from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.sparse as sp

from skreward import EmbeddingPairs


def table(pairs):
    rows = re.findall(r"<th.*?>(.*?)</th><td.*?>(.*?)</td>", pairs._repr_html_())
    return dict(rows)


def test_counts_prompts_degrees_dtype_and_memory():
    embeddings = np.ones((5, 3), dtype=np.float32)
    pairs = EmbeddingPairs(embeddings, [[0, 1], [1, 2], [1, 3]], list("aaabb"))
    assert table(pairs) == {
        "Pairs": "3",
        "Items": "5",
        "Features": "3",
        "Pairs an item is in": "1 to 3, median 1; 1 item in none",
        "Prompts": "2; 1 pair of two prompts",
        "Embeddings": "ndarray of float32, 60 bytes",
        "Index": "48 bytes",
        "As dense pairs": "72 bytes",
    }


def test_large_numbers_are_told_in_units():
    index = np.column_stack([np.arange(1500), np.arange(1500) + 1])
    told = table(EmbeddingPairs(np.zeros((1501, 400)), index))
    assert told["Pairs"] == "1,500"
    assert told["Prompts"] == "not known"
    assert told["Embeddings"] == "ndarray of float64, 4.8 MB"
    assert told["Index"] == "24.0 kB"
    assert told["As dense pairs"] == "9.6 MB"


def test_sparse_embeddings_are_told_by_what_they_store():
    rows = sp.csr_matrix(np.eye(4))
    told = table(EmbeddingPairs(rows, [[0, 1]]))["Embeddings"]
    stored = rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
    assert told == f"csr_matrix of float64, {stored} bytes"


def test_no_pairs_are_shown_too():
    told = table(EmbeddingPairs(np.eye(2), []))
    assert told["Pairs"] == "0"
    assert told["Pairs an item is in"] == "no item is in a pair"


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", 'a"b&c'])
def test_names_from_outside_are_escaped(name):
    cls = type(name, (EmbeddingPairs,), {})
    array = type(name, (np.ndarray,), {})
    html = cls(np.eye(2).view(array), [[0, 1]])._repr_html_()
    assert name not in html
    tags, texts = [], []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)
    parser.handle_data = texts.append
    parser.feed(html)
    assert set(tags) == {"table", "caption", "tbody", "tr", "th", "td"}
    assert "".join(texts).count(name) == 2
