"""Merkle trees of RFC 6962 and the key-value tries of rule S-4.

Both follow the recursive definitions word by word and recompute everything at
each call.
"""

import hashlib

EMPTY = bytes(32)


def _sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(entry):
    return _sha256(b"\x00" + entry)


def _split(n):
    """The largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def root(hashes):
    """MTH of RFC 6962 section 2.1 over leaf hashes."""
    if not hashes:
        return _sha256(b"")
    if len(hashes) == 1:
        return hashes[0]
    k = _split(len(hashes))
    return _sha256(b"\x01" + root(hashes[:k]) + root(hashes[k:]))


def inclusion(index, hashes):
    """PATH of RFC 6962 section 2.1.1, the leaf's sibling first."""
    if len(hashes) == 1:
        return []
    k = _split(len(hashes))
    if index < k:
        return inclusion(index, hashes[:k]) + [root(hashes[k:])]
    return inclusion(index - k, hashes[k:]) + [root(hashes[:k])]


def consistency(size, hashes):
    """PROOF of RFC 6962 section 2.1.2 from size to all of hashes."""
    return _subproof(size, hashes, True)


def _subproof(m, hashes, whole):
    if m == len(hashes):
        return [] if whole else [root(hashes)]
    k = _split(len(hashes))
    if m <= k:
        return _subproof(m, hashes[:k], whole) + [root(hashes[k:])]
    return _subproof(m - k, hashes[k:], False) + [root(hashes[:k])]


def _bit(key, depth):
    return key[depth // 8] >> (7 - depth % 8) & 1


def trie_root(entries, depth=0):
    """The hash of a subtree; entries map 32-byte keys to canonical values."""
    if not entries:
        return EMPTY
    if len(entries) == 1:
        (key, value), = entries.items()
        return _sha256(b"\x00" + key + _sha256(value))
    left, right = _halves(entries, depth)
    return _sha256(b"\x01" + trie_root(left, depth + 1) + trie_root(right, depth + 1))


def _halves(entries, depth):
    return ({k: v for k, v in entries.items() if _bit(k, depth) == 0},
            {k: v for k, v in entries.items() if _bit(k, depth) == 1})


def trie_proof(entries, key):
    """The siblings of key's path from the root down, and the entry it ends in.

    The entry is None where the path ends in an empty subtree.
    """
    siblings, depth = [], 0
    while len(entries) > 1:
        halves = _halves(entries, depth)
        side = _bit(key, depth)
        siblings.append(trie_root(halves[1 - side], depth + 1))
        entries, depth = halves[side], depth + 1
    return siblings, next(iter(entries.items()), None)
