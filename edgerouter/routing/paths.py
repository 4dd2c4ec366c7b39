"""Exact paths by dictionary, prefixes by a tree of texts: cost follows the path's length, not the number of rules."""

from __future__ import annotations

from mypy_extensions import i64

from edgerouter.http.exchange import Exchange
from edgerouter.routing.bucket import Bucket
from edgerouter.routing.entry import LOWEST, Entry
from edgerouter.rules.branches import Branch
from edgerouter.rules.predicates import PATH


class Node:
    """One branching of the tree: ``label`` is the text from the node above to here; children by first character."""

    def __init__(self, owner: int, label: str) -> None:
        self.owner = owner
        self.label = label
        self.bucket: Bucket | None = None
        self.children: dict[str, Node] | None = None

    def copy(self, owner: int) -> Node:
        """An independent copy; children and bucket are shared until they are changed."""
        node = Node(owner, self.label)
        node.bucket = self.bucket
        children = self.children
        node.children = None if children is None else children.copy()
        return node

    def own_child(self, char: str, owner: int) -> Node:
        """The child of that character, to be changed."""
        children = self.children
        assert children is not None
        child = children[char]
        if child.owner != owner:
            child = child.copy(owner)
            children[char] = child
        return child

    def attach(self, child: Node) -> None:
        """Add a child, or replace the one of the same character."""
        if self.children is None:
            self.children = {}
        self.children[child.label[0]] = child


class PathIndex:
    """All entries of one host. Rules without a path condition stand under the empty prefix."""

    def __init__(self, owner: int) -> None:
        self.owner = owner
        self.exact: dict[str, Bucket] = {}
        self.root = Node(owner, "")
        self.top: i64 = LOWEST  # no entry here has a higher priority

    def find(self, exchange: Exchange, path: str, best: Entry | None) -> Entry | None:
        """The best entry that matches and is better than ``best``, or ``best``."""
        if best is not None and best.priority > self.top:
            return best
        bucket = self.exact.get(path)
        if bucket is not None:
            best = bucket.find(exchange, best)
        node = self.root
        position = 0
        size = len(path)
        while True:
            bucket = node.bucket
            if bucket is not None:
                best = bucket.find(exchange, best)
            children = node.children
            if children is None or position >= size:
                return best
            child = children.get(path[position])
            if child is None or not path.startswith(child.label, position):
                return best
            position += len(child.label)
            node = child

    def add(self, entry: Entry, branch: Branch) -> None:
        """Insert under the branch's path condition; this index must belong to the builder that calls."""
        self._bucket(branch).add(entry, branch)
        if entry.priority > self.top:
            self.top = entry.priority

    def remove(self, entry: Entry, branch: Branch) -> None:
        """Take out what ``add`` put in, and what is empty then."""
        if branch.path_kind == PATH:
            bucket = self._bucket(branch)
            bucket.remove(entry, branch)
            if bucket.empty():
                del self.exact[branch.path]
        else:
            self._remove_prefix(entry, branch)
        if self.empty():
            self.top = LOWEST

    def empty(self) -> bool:
        """True when nothing is left."""
        return not self.exact and self.root.bucket is None and not self.root.children

    def copy(self, owner: int) -> PathIndex:
        """An independent copy; what is below is shared until it is changed."""
        index = PathIndex(owner)
        index.exact = self.exact.copy()
        index.root = self.root.copy(owner)
        index.top = self.top
        return index

    def _bucket(self, branch: Branch) -> Bucket:
        if branch.path_kind != PATH:
            node = self._node(branch.path)
            node.bucket = _owned(node.bucket, self.owner)
            return node.bucket
        bucket = _owned(self.exact.get(branch.path), self.owner)
        self.exact[branch.path] = bucket
        return bucket

    def _node(self, prefix: str) -> Node:
        """The node of exactly this prefix, made where it is missing."""
        node = self.root
        position = 0
        while position < len(prefix):
            children = node.children
            if children is None or prefix[position] not in children:
                child = Node(self.owner, prefix[position:])
                node.attach(child)
                return child
            child = node.own_child(prefix[position], self.owner)
            shared = _common(child.label, prefix, position)
            if shared < len(child.label):
                child = self._split(node, child, shared)
            position += shared
            node = child
        return node

    def _split(self, parent: Node, child: Node, size: int) -> Node:
        """Put a node between: the first ``size`` characters of the child's label."""
        between = Node(self.owner, child.label[:size])
        child.label = child.label[size:]
        between.attach(child)
        parent.attach(between)
        return between

    def _remove_prefix(self, entry: Entry, branch: Branch) -> None:
        node = self._node(branch.path)
        bucket = _owned(node.bucket, self.owner)
        bucket.remove(entry, branch)
        node.bucket = None if bucket.empty() else bucket
        if node.bucket is None:
            self._prune(branch.path)

    def _prune(self, prefix: str) -> None:
        """Drop empty ends along the prefix, and join nodes that no longer branch."""
        trail = [self.root]
        position = 0
        while position < len(prefix):
            child = trail[-1].own_child(prefix[position], self.owner)
            trail.append(child)
            position += len(child.label)
        while len(trail) > 1:
            node = trail.pop()
            if node.bucket is not None:
                return
            parent = trail[-1]
            assert parent.children is not None
            if not node.children:
                del parent.children[node.label[0]]
            elif len(node.children) == 1:
                self._join(parent, node)
                return
            else:
                return

    def _join(self, parent: Node, node: Node) -> None:
        assert node.children is not None
        only = node.own_child(next(iter(node.children)), self.owner)
        only.label = node.label + only.label
        parent.attach(only)


def _owned(bucket: Bucket | None, owner: int) -> Bucket:
    if bucket is None:
        return Bucket(owner)
    return bucket if bucket.owner == owner else bucket.copy(owner)


def _common(label: str, prefix: str, position: int) -> int:
    """How many characters of the label the prefix has from the position on; at least 1."""
    size = min(len(label), len(prefix) - position)
    for i in range(size):
        if label[i] != prefix[position + i]:
            return i
    return size
