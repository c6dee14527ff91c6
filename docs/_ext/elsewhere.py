"""Links by name: within these pages, and to what other libraries document."""

import re

from docutils import nodes
from sphinx.domains.python import PyXRefRole

SKLEARN = "https://scikit-learn.org/stable"
PAGES = {
    "sklearn": SKLEARN + "/modules/generated/{name}.html",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{name}.html",
    "scipy": "https://docs.scipy.org/doc/scipy/reference/{name}.html",
}
LABELS = {
    "accuracy_score": "/modules/model_evaluation.html#accuracy-score",
    "df_output_transform": "/modules/df_output_transform.html",
    "metadata_routing": "/metadata_routing.html",
    "sphx_glr_auto_examples_miscellaneous_plot_set_output.py": "/auto_examples/"
    "miscellaneous/plot_set_output.html",
}
SHORT = {
    "Pipeline": "sklearn.pipeline.Pipeline",
    "MetadataRequest": "sklearn.utils.metadata_routing.MetadataRequest",
    "MetadataRouter": "sklearn.utils.metadata_routing.MetadataRouter",
}


class NameRole(PyXRefRole):
    """A Python name: of this class or module, or else the one that ends so."""

    def process_link(self, env, refnode, has_explicit_title, title, target):
        """Search as a name with a leading dot is searched."""
        refnode["reftype"] = "obj"
        refnode["refspecific"] = True
        return super().process_link(env, refnode, has_explicit_title, title, target)


def resolve(app, env, node, contnode):
    """Give the link to a name of another library; None where it is none."""
    target = node.get("reftarget", "")
    name = SHORT.get(target, target)
    library = name.partition(".")[0]
    if node.get("reftype") == "term":
        address = f"{SKLEARN}/glossary.html#term-{target}"
    elif node.get("refdomain") == "std" and target in LABELS:
        address = SKLEARN + LABELS[target]
    elif library in PAGES and "." in name:
        address = PAGES[library].format(name=name)
    else:
        return None
    return nodes.reference("", "", contnode, internal=False, refuri=address)


def quote_theirs(app, what, name, thing, options, lines):
    """Double the backticks of what scikit-learn documents: there one is no link."""
    if (getattr(thing, "__module__", None) or "").startswith("sklearn."):
        lines[:] = [
            re.sub(r"(?<![`:\w])`([^`]+)`(?!`)", r"``\1``", line) for line in lines
        ]


def caption(app, doctree):
    """Show what an image of a Markdown page says of itself below it."""
    for image in list(doctree.findall(nodes.image)):
        alone = isinstance(image.parent, nodes.paragraph) and len(image.parent) == 1
        if alone and image.get("alt") and doctree["source"].endswith(".md"):
            figure = nodes.figure("", image.deepcopy())
            figure += nodes.caption("", image["alt"])
            below = image.parent.next_node(descend=False, siblings=True)
            if isinstance(below, nodes.paragraph) and below.astext() == image["alt"]:
                below.parent.remove(below)  # it stood there for those who read the file
            image.parent.replace_self(figure)
            doctree.set_id(figure)


def setup(app):
    """Add the role, and look here for what no page of ours has."""
    app.add_role_to_domain("py", "name", NameRole())
    app.connect("missing-reference", resolve)
    app.connect("doctree-read", caption)
    app.connect("autodoc-process-docstring", quote_theirs, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
