"""The page of an estimator, to which scikit-learn's HTML representation links."""

PAGE = "https://skreward.readthedocs.io/en/latest/generated/skreward.{name}.html"


class PageMixin:
    """What scikit-learn asks an estimator for its page; goes before `BaseEstimator`."""

    _doc_link_module = "skreward"
    _doc_link_template = PAGE

    def _doc_link_url_param_generator(self):
        return {"name": type(self).__name__}
