"""Where names lead: a class is imported from ``aiomultipart``, wherever it is defined; what is private is not shown."""

from __future__ import annotations

import inspect
import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.intersphinx import resolve_reference_any_inventory
from sphinx.transforms import SphinxTransform

import aiomultipart

PUBLIC = set(aiomultipart.__all__)
LINKED = {name: f"aiomultipart.{name}" for name in PUBLIC} | {
    "MultipartRoute": "aiomultipart.integrations.fastapi.MultipartRoute",
    "ObjectStoreTarget": "aiomultipart.integrations.objectstore.ObjectStoreTarget",
    "RangeResponse": "aiomultipart.integrations.starlette.RangeResponse",
}
# Where others define what they offer elsewhere.
ELSEWHERE = {
    "URL": "yarl.URL",
    "CIMultiDictProxy": "multidict.CIMultiDictProxy",
    "CIMultiDict": "multidict.CIMultiDict",
    "MultiMapping": "multidict.MultiMapping",
    "Callable": "collections.abc.Callable",
    "StreamResponse": "aiohttp.web.StreamResponse",
    "BaseRequest": "aiohttp.web.BaseRequest",
    "aiohttp.web_request.Request": "aiohttp.web.Request",
}
# What a signature says, and what it is to say: protocols by what people have, and no word of what is only within.
SIGNATURES = (
    (r" \| ~?[\w.]*\b(?:Source|Cursor)\b", ""),
    (r"~?[\w.]*\bUnset \| |\b \| ~?[\w.]*\bUnset\b", ""),
    (r"\bUNSET\b", "..."),
    (r"~?[\w.]*\bAiohttpResponse\b", "~aiohttp.ClientResponse"),
    (r"~?[\w.]*\bHttpxResponse\b", "~httpx.Response"),
    (r"~?[\w.]*\b_F\b", "type"),
    (r"<object object at 0x\w+>|<_Missing[^>]*>", "..."),
)

CONSTANT = re.compile(r"\b((\w+): [^=,]*= )(_?[A-Z][A-Z_]+)\b(?!\.)")  # a parameter whose default is a constant


def default_of(obj: object, parameter: str, shown: str) -> str:
    """A default as people write it; ``shown`` is a constant's name, which may be private."""
    try:
        value = inspect.signature(obj).parameters[parameter].default  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError):
        return shown
    if shown in PUBLIC:
        return shown
    if not isinstance(value, int):
        return "..."
    if parameter == "mode":
        return oct(value)
    for size in (2**20, 2**10):
        if value >= size and not value % size:
            return f"{value // size} * {' * '.join(['1024'] * (2 if size == 2**20 else 1))}"
    return str(value)


def shorten(_app: Sphinx, *subject: object) -> tuple[str | None, ...]:
    """A signature without internals."""
    texts = []
    *_, obj, _, signature, returns = subject
    if isinstance(signature, str):
        signature = CONSTANT.sub(lambda found: found[1] + default_of(obj, found[2], found[3]), signature)
    for text in (signature, returns):
        for pattern, shown in SIGNATURES:
            text = re.sub(pattern, shown, text) if isinstance(text, str) else None
        texts.append(text)
    return tuple(texts)


def public_bases(_app: Sphinx, _name: str, _obj: object, _options: object, bases: list[type]) -> None:
    """In place of a base class that is private, its own nearest one that is not."""
    for number, base in enumerate(bases):
        kind = getattr(base, "__origin__", base)  # a generic class stands there with its parameters
        if kind.__module__.startswith("aiomultipart.") and kind.__name__ not in PUBLIC:
            bases[number] = next((above for above in kind.__mro__ if above.__name__ in PUBLIC), object)


def resolve(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.reference | None:
    """Find what is documented as ``aiomultipart.Name``, or by another project."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    name = target.rpartition(".")[2]
    found = env.domains.python_domain.objects.get(f"aiomultipart.{name}")
    if found is not None and (target == name or target.startswith("aiomultipart.")):
        uri = app.builder.get_relative_uri(node["refdoc"], found.docname)
        return nodes.reference("", "", content, internal=True, refuri=f"{uri}#{found.node_id}")
    elsewhere = ELSEWHERE.get(target) or ELSEWHERE.get(name)
    if elsewhere is None:
        return None
    node["reftarget"], node["reftype"] = elsewhere, "class"
    return resolve_reference_any_inventory(env, False, node, content)


class LiteralNames(SphinxTransform):
    """The landing page is made of the README, which has no roles: there a name in double backticks is a link."""

    default_priority = 400  # before references are resolved

    def apply(self, **_: object) -> None:
        """Wrap each literal that names something public."""
        if self.env.docname != self.config.root_doc:
            return
        for literal in list(self.document.findall(nodes.literal)):
            name = next((word for word in re.findall(r"\w+", literal.astext()) if word in LINKED), None)
            if name is not None and not isinstance(literal.parent, nodes.reference | addnodes.pending_xref):
                link = addnodes.pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=LINKED[name], refdoc=self.env.docname, refwarn=True
                )
                literal.replace_self(link)
                link += literal


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-process-bases", public_bases)
    app.connect("missing-reference", resolve)
    app.add_transform(LiteralNames)
    return {"parallel_read_safe": True}
