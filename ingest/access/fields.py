"""Field rules: a path of a document, and the class of what stands there. Pure.

Paths. `state` is a key; `lines[].party` a key in each element of a list; `totals.*` any key of a table whose keys are
not names of fields; `trace.**` everything below, whatever it is. The rule of the longest path counts, and a key that no
path names is hidden. The path `**` alone makes a resource of one piece, given whole or refused: that suits files. A
class may be several: then all of them must be seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

SITE = "site"
"""Class of a field that holds a site's id: who may not see that site does not see the object it stands in."""
ALL, ANY, EACH = "**", "*", "[]"
Classes = frozenset[str]


class _Hidden:
    """Stands for what is not to be seen."""


HIDDEN: Final = _Hidden()


@dataclass(slots=True)
class Node:
    """What a path has led to. `leaf`: classes of a plain content here; `deep`: of all that no longer path names."""

    keys: dict[str, Node] = field(default_factory=dict)
    leaf: Classes | None = None
    deep: Classes | None = None
    _below: dict[str, Node] = field(default_factory=dict)
    """Nodes that stand for what only `deep` names: made once, for documents have many keys."""

    def plant(self, path: str, classes: Classes) -> None:
        """Enter the rule of one path."""
        node = self
        for step in _steps(path):
            if step == ALL:
                node.deep = classes
                return
            node = node.keys.setdefault(step, Node())
        node.leaf = classes

    def rules(self) -> Iterator[Classes]:
        """Give the classes of every rule at and below."""
        yield from (one for one in (self.leaf, self.deep) if one is not None)
        for child in self.keys.values():
            yield from child.rules()

    def of(self, key: str) -> Node | None:
        """Follow one step; None where no rule leads."""
        found = self.keys.get(key)
        if found is None and key != EACH:
            found = self.keys.get(ANY)
        if self.deep is None or (found is not None and found.deep is not None):
            return found
        name = ALL if found is None else key
        if name not in self._below:
            self._below[name] = Node(deep=self.deep) if found is None else Node(found.keys, found.leaf, self.deep)
        return self._below[name]


def field_tree(rules: Mapping[str, Classes]) -> Node:
    """Grow the tree of a resource's rules."""
    root = Node()
    for path, classes in rules.items():
        root.plant(path, classes)
    return root


def is_whole(root: Node) -> bool:
    """Say whether a resource is of one piece."""
    return root.deep is not None and not root.keys


def classes_at(root: Node, path: str) -> Classes | None:
    """Give the classes that must be seen to see what stands at `path`; None where no rule leads there."""
    node: Node | None = root
    for step in _steps(path):
        node = None if node is None else node.of(step)
    if node is None:
        return None
    if node.leaf is not None:
        return node.leaf
    if node.deep is not None:
        return node.deep
    below = list(node.rules())
    # A container shows as soon as anything in it does.
    return min(below, key=len) if below else None


class Eyes:
    """What somebody sees: classes, and sites (None: all)."""

    def __init__(self, classes: Classes, sites: frozenset[str] | None) -> None:
        self._classes = classes
        self._sites = sites
        self._shown: dict[int, bool] = {}

    def look(self, document: Any, node: Node) -> Any:
        """Give what of a document may be seen; HIDDEN where nothing may."""
        if isinstance(document, dict):
            return self._table(document, node)
        if isinstance(document, list):
            element = node.of(EACH)
            if element is None or not document:
                return [] if not document and self._shows_any(node) else HIDDEN
            if not self._shows_any(element):
                return HIDDEN
            seen = (self.look(one, element) for one in document)
            return [one for one in seen if one is not HIDDEN]
        classes = node.leaf if node.leaf is not None else node.deep
        if classes is None:
            # Null in place of a table or list tells no more than the table or list would.
            return None if document is None and self._shows_any(node) else HIDDEN
        if not self._sees(classes) or (SITE in classes and not self._reaches(document)):
            return HIDDEN
        return document

    def _table(self, document: dict[str, Any], node: Node) -> Any:
        if not self._shows_any(node):
            return HIDDEN
        shown = {}
        for key, content in document.items():
            below = node.of(key)
            if below is None:
                continue
            if below.leaf is not None and SITE in below.leaf and not self._reaches(content):
                return HIDDEN
            seen = self.look(content, below)
            if seen is not HIDDEN:
                shown[key] = seen
        return shown

    def _reaches(self, site: Any) -> bool:
        return self._sites is None or site in self._sites

    def _sees(self, classes: Classes) -> bool:
        return classes <= self._classes

    def _shows_any(self, node: Node) -> bool:
        known = self._shown.get(id(node))
        if known is None:
            known = self._shown[id(node)] = any(self._sees(one) for one in node.rules())
        return known


def without_rule(document: Any, root: Node, place: str = "") -> Iterator[str]:
    """Name every field of a document that no rule leads to."""
    if isinstance(document, dict):
        for key, content in document.items():
            below, where = root.of(key), f"{place}.{key}" if place else key
            if below is None:
                yield where
            else:
                yield from without_rule(content, below, where)
    elif isinstance(document, list):
        element = root.of(EACH)
        if element is None:
            if document:
                yield place + EACH
            return
        # What one element has, most have: a set keeps a list of ten thousand from naming a field ten thousand times.
        yield from sorted({fault for one in document for fault in without_rule(one, element, place + EACH)})
    elif root.leaf is None and root.deep is None and document is not None:
        yield place or ALL


def _steps(path: str) -> Iterator[str]:
    for part in path.split("."):
        name = part
        while name.endswith(EACH):
            name = name[: -len(EACH)]
        if name:
            yield name
        yield from (EACH for _ in range((len(part) - len(name)) // len(EACH)))
