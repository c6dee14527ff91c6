import inspect
import re

import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_html_repr

import skreward
from tests.support import ROOT

ESTIMATORS = [
    thing
    for thing in (getattr(skreward, name) for name in skreward.__all__)
    if inspect.isclass(thing) and issubclass(thing, BaseEstimator)
]
NEEDED = {
    "CalibratedReward": {"estimator": skreward.BradleyTerryRegressor()},
    "ControlledReward": {"estimator": skreward.BradleyTerryRegressor()},
    "EndpointEmbeddingTransformer": {
        "url": "http://127.0.0.1:1/v1",
        "model_name": "m",
    },
    "ItemwiseTransformer": {"transformer": LogisticRegression()},
}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_html_links_to_the_page_that_the_api_list_makes(estimator):
    name = estimator.__name__
    page = f"/en/latest/generated/skreward.{name}.html"
    html = estimator_html_repr(estimator(**NEEDED.get(name, {})))
    [link] = {
        found.split("#")[0] for found in re.findall(rf'href="([^"]*{name}[^"]*)"', html)
    }
    assert link == "https://skreward.readthedocs.io" + page
    listed = (ROOT / "docs/api.rst").read_text().split("currentmodule:: ")[1]
    assert re.search(rf"^   {name}$", listed, re.MULTILINE)


def test_a_class_of_somebody_else_links_to_no_page_of_ours():
    class Theirs(skreward.BradleyTerryRegressor):
        __module__ = "theirs"

    assert Theirs()._get_doc_link() == ""
