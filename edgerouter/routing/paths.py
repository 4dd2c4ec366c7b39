"""Exact paths by dictionary, prefixes by a tree of texts: cost follows the path's length, not the number of rules."""

from __future__ import annotations

from mypy_extensions import i64

from edgerouter.http.exchange import Exchange
from edgerouter.routing.bucket import Bucket
from edgerouter.routing.entry import LOWEST, Entry
from edgerouter.rules.branches import Branch
from edgerouter.rules.predicates import PATH


class Node:
    """One branching of the tree. ``prefix`` is the whole text from the root to here, ``depth`` its length; children
    by the character that follows. ``only`` is the bucket's, one step nearer."""

    def __init__(self, owner: int, prefix: str) -> None:
        self.only: Entry | None = None
        self.bucket: Bucket | None = None
        self.children: dict[str, Node] | None = None
        self.prefix = prefix
        self.depth: i64 = len(prefix)
        self.owner = owner

    def copy(self, owner: int) -> Node:
        """An independent copy; children and bucket are shared until they are changed."""
        node = Node(owner, self.prefix)
        node.put(self.bucket)
        children = self.children
        node.children = None if children is None else children.copy()
        return node

    def put(self, bucket: Bucket | None) -> None:
        """Set the bucket; again when its content changed."""
        self.bucket = bucket
        self.only = None if bucket is None else bucket.only

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
        self.children[child.prefix[self.depth]] = child


class PathIndex:
    """All entries of one host. Rules without a path condition stand under the empty prefix. ``only`` is the one entry
    of a host that has no other and asks for no path."""

    def __init__(self, owner: int) -> None:
        self.only: Entry | None = None
        self.top: i64 = LOWEST  # no entry here has a higher priority
        self.exact: dict[str, Bucket] | None = None
        self.root = Node(owner, "")
        self.owner = owner

    def find(self, exchange: Exchange, path: str, best: Entry | None) -> Entry | None:
        """The best entry that matches and is better than ``best``, or ``best``."""
        if best is not None and best.priority > self.top:
            return best
        only = self.only
        if only is not None:
            return only if best is None or only.before(best) else best
        exact = self.exact
        if exact is not None:
            bucket = exact.get(path)
            if bucket is not None:
                best = bucket.find(exchange, best)
        return self._find_prefix(exchange, path, best)

    def _find_prefix(self, exchange: Exchange, path: str, best: Entry | None) -> Entry | None:
        """Walk down by the characters that tell children apart; the texts between are compared at buckets only."""
        node = self.root
        size = len(path)
        while True:
            only = node.only
            if only is not None:
                if not path.startswith(node.prefix):
                    return best
                if best is None or only.before(best):
                    best = only
            else:
                bucket = node.bucket
                if bucket is not None:
                    if not path.startswith(node.prefix):
                        return best
                    best = bucket.find(exchange, best)
            children = node.children
            if children is None or node.depth >= size:
                return best
            child = children.get(path[node.depth])
            if child is None:
                return best
            node = child

    def add(self, entry: Entry, branch: Branch) -> None:
        """Insert under the branch's path condition; this index must belong to the builder that calls."""
        if branch.path_kind == PATH:
            self._exact(branch.path).add(entry, branch)
        else:
            node = self._node(branch.path)
            bucket = _owned(node.bucket, self.owner)
            bucket.add(entry, branch)
            node.put(bucket)
        if entry.priority > self.top:
            self.top = entry.priority
        self._settle()

    def remove(self, entry: Entry, branch: Branch) -> None:
        """Take out what ``add`` put in, and what is empty then."""
        if branch.path_kind == PATH:
            bucket = self._exact(branch.path)
            bucket.remove(entry, branch)
            if bucket.empty():
                self._drop(branch.path)
        else:
            self._remove_prefix(entry, branch)
        if self.empty():
            self.top = LOWEST
        self._settle()

    def empty(self) -> bool:
        """True when nothing is left."""
        return not self.exact and self.root.bucket is None and not self.root.children

    def copy(self, owner: int) -> PathIndex:
        """An independent copy; what is below is shared until it is changed."""
        index = PathIndex(owner)
        exact = self.exact
        index.exact = None if exact is None else exact.copy()
        index.root = self.root.copy(owner)
        index.top = self.top
        index.only = self.only
        return index

    def _settle(self) -> None:
        root = self.root
        self.only = root.only if self.exact is None and not root.children else None

    def _exact(self, path: str) -> Bucket:
        if self.exact is None:
            self.exact = {}
        bucket = _owned(self.exact.get(path), self.owner)
        self.exact[path] = bucket
        return bucket

    def _drop(self, path: str) -> None:
        exact = self.exact
        if exact is not None:
            del exact[path]
            if not exact:
                self.exact = None

    def _node(self, prefix: str) -> Node:
        """The node of exactly this prefix, made where it is missing."""
        node = self.root
        while node.depth < len(prefix):
            char = prefix[node.depth]
            children = node.children
            if children is None or char not in children:
                child = Node(self.owner, prefix)
                node.attach(child)
                return child
            child = node.own_child(char, self.owner)
            shared = _common(child.prefix, prefix, node.depth)
            if shared < child.depth:
                between = Node(self.owner, prefix[:shared])
                between.attach(child)
                node.attach(between)
                child = between
            node = child
        return node

    def _remove_prefix(self, entry: Entry, branch: Branch) -> None:
        node = self._node(branch.path)
        bucket = _owned(node.bucket, self.owner)
        bucket.remove(entry, branch)
        node.put(None if bucket.empty() else bucket)
        if node.bucket is None:
            self._prune(branch.path)

    def _prune(self, prefix: str) -> None:
        """Drop empty ends along the prefix, and join nodes that no longer branch."""
        trail = [self.root]
        while trail[-1].depth < len(prefix):
            node = trail[-1]
            trail.append(node.own_child(prefix[node.depth], self.owner))
        while len(trail) > 1:
            node = trail.pop()
            if node.bucket is not None or (node.children is not None and len(node.children) > 1):
                return
            children = trail[-1].children
            assert children is not None
            char = node.prefix[trail[-1].depth]
            if node.children:
                children[char] = next(iter(node.children.values()))
                return
            del children[char]


def _owned(bucket: Bucket | None, owner: int) -> Bucket:
    if bucket is None:
        return Bucket(owner)
    return bucket if bucket.owner == owner else bucket.copy(owner)


def _common(one: str, other: str, start: int) -> int:
    """How many characters both texts have in common, given that those before ``start`` are the same."""
    size = min(len(one), len(other))
    for i in range(start, size):
        if one[i] != other[i]:
            return i
    return size
