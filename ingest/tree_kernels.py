"""Compiled kernels of intake: the salted hash trees of many envelopes at once.

Theory of operation. The trees are those of `metering.disclosure`. 128 messages are hashed abreast: each of the 64 steps
of SHA-256 (FIPS 180-4) is one short loop over 128 lanes, which the compiler turns into vector instructions. A reading
costs an HMAC for its salt, one or two blocks for its leaf, and two for a node of the tree.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
import numpy.typing as npt

from allocation_engine.compiled import compiled
from ingest.sweep_kernels import Int64Array, Records, UInt8Array

UInt32Array = npt.NDArray[np.uint32]
LANES = 128
BLOCK = 64
SALT = 16


def _first_primes(count: int) -> list[int]:
    primes: list[int] = []
    number = 2
    while len(primes) < count:
        if all(number % prime for prime in primes):
            primes.append(number)
        number += 1
    return primes


def _cube_root(number: int) -> int:
    root = 1 << (number.bit_length() // 3 + 1)
    while (less := (2 * root + number // root**2) // 3) < root:
        root = less
    return root


# FIPS 180-4: the first 32 bits of the fractional parts of the square and cube roots of the first primes.
_INITIAL = np.array([isqrt(prime << 64) & 0xFFFFFFFF for prime in _first_primes(8)], np.uint32)
_ROUNDS = np.array([_cube_root(prime << 96) & 0xFFFFFFFF for prime in _first_primes(64)], np.uint32)


@compiled
def _turn(word: np.uint32, places: int) -> np.uint32:
    return np.uint32(np.uint32(word >> np.uint32(places)) | np.uint32(word << np.uint32(32 - places)))


@compiled
def _expand(words: UInt32Array, step: int, spare: UInt32Array) -> None:
    """Replace the oldest word of each lane's schedule by the next one."""
    now, second, tenth, last = step & 15, (step + 1) & 15, (step + 9) & 15, (step + 14) & 15
    for lane in range(LANES):
        one, two = words[second, lane], words[last, lane]
        low = np.uint32(_turn(one, 7) ^ _turn(one, 18) ^ np.uint32(one >> np.uint32(3)))
        high = np.uint32(_turn(two, 17) ^ _turn(two, 19) ^ np.uint32(two >> np.uint32(10)))
        spare[lane] = np.uint32(words[now, lane] + low + words[tenth, lane] + high)
    for lane in range(LANES):
        words[now, lane] = spare[lane]


@compiled
def _compress(state: UInt32Array, words: UInt32Array, work: UInt32Array, spare: UInt32Array) -> None:
    """Take one block of each lane into its state. FIPS 180-4, 6.2.2; the eight variables turn instead of moving.

    New values go to `spare` first, so that the compiler need not fear to overwrite what it reads, and makes vectors.
    """
    for place in range(8):
        for lane in range(LANES):
            work[place, lane] = state[place, lane]
    for step in range(64):
        if step >= 16:
            _expand(words, step, spare[0])
        a, b, c, d = -step & 7, (1 - step) & 7, (2 - step) & 7, (3 - step) & 7
        e, f, g, h = (4 - step) & 7, (5 - step) & 7, (6 - step) & 7, (7 - step) & 7
        key, now = _ROUNDS[step], step & 15
        for lane in range(LANES):
            ve, va, vb = work[e, lane], work[a, lane], work[b, lane]
            mixed = np.uint32(_turn(ve, 6) ^ _turn(ve, 11) ^ _turn(ve, 25))
            chosen = np.uint32(work[g, lane] ^ np.uint32(ve & np.uint32(work[f, lane] ^ work[g, lane])))
            first = np.uint32(work[h, lane] + mixed + chosen + key + words[now, lane])
            most = np.uint32(np.uint32(va & vb) | np.uint32(work[c, lane] & np.uint32(va | vb)))
            spare[0, lane] = np.uint32(work[d, lane] + first)
            spare[1, lane] = np.uint32(first + np.uint32(_turn(va, 2) ^ _turn(va, 13) ^ _turn(va, 22)) + most)
        for lane in range(LANES):
            work[d, lane] = spare[0, lane]
            work[h, lane] = spare[1, lane]
    for place in range(8):
        for lane in range(LANES):
            state[place, lane] = np.uint32(state[place, lane] + work[place, lane])


@compiled
def _keyed(octets: UInt8Array, sweeps: Records, pad: int) -> UInt32Array:
    """The state of HMAC after its key, which is each sweep's seed under `pad` (RFC 2104); a column per sweep."""
    count = len(sweeps)
    keyed = np.empty((8, count), np.uint32)
    state, words, work, spare = _lanes()
    for begin in range(0, count, LANES):
        lanes = min(LANES, count - begin)
        for lane in range(lanes):
            at = sweeps[begin + lane].seed_at
            for place in range(16):
                word = np.uint32(0)
                for octet in range(4 * place, 4 * place + 4):
                    one = octets[at + octet] if octet < SALT else np.uint8(0)
                    word = np.uint32(np.uint32(word << np.uint32(8)) | np.uint32(one ^ np.uint8(pad)))
                words[place, lane] = word
        _begin(state)
        _compress(state, words, work, spare)
        for place in range(8):
            for lane in range(lanes):
                keyed[place, begin + lane] = state[place, lane]
    return keyed


@compiled
def _lanes() -> tuple[UInt32Array, UInt32Array, UInt32Array, UInt32Array]:
    """State, schedule, and room to work in."""
    state, words = np.zeros((8, LANES), np.uint32), np.zeros((16, LANES), np.uint32)
    return state, words, np.zeros((8, LANES), np.uint32), np.zeros((2, LANES), np.uint32)


@compiled
def _begin(state: UInt32Array) -> None:
    for place in range(8):
        for lane in range(LANES):
            state[place, lane] = _INITIAL[place]


@compiled
def _end_words(words: UInt32Array, used: int, octets: int) -> None:
    """Pad messages that end with word `used`, of `octets` in all."""
    for place in range(used, 16):
        fill = np.uint32(0x80000000) if place == used else np.uint32(0)
        for lane in range(LANES):
            words[place, lane] = fill
    for lane in range(LANES):
        words[15, lane] = np.uint32(8 * octets)


@compiled
def _fill_leaf(line: UInt8Array, octets: UInt8Array, begin: int, length: int, block: int) -> None:
    """Write one block of a leaf's message into `line`: 00 and the salt are left out, then the reading, then the end."""
    line[:] = 0
    offset = BLOCK * block
    first, last = max(offset, 1 + SALT), min(offset + BLOCK, 1 + SALT + length)
    for place in range(first, last):
        line[place - offset] = octets[begin + place - 1 - SALT]
    if offset <= 1 + SALT + length < offset + BLOCK:
        line[1 + SALT + length - offset] = 0x80
    if block == (SALT + length + 9) // BLOCK:
        bits = 8 * (1 + SALT + length)
        for place in range(8):
            line[BLOCK - 1 - place] = (bits >> (8 * place)) & 0xFF


@compiled
def _load(words: UInt32Array, lane: int, line: UInt8Array) -> None:
    for place in range(16):
        at = 4 * place
        words[place, lane] = (
            np.uint32(np.uint32(line[at]) << np.uint32(24))
            | np.uint32(np.uint32(line[at + 1]) << np.uint32(16))
            | np.uint32(np.uint32(line[at + 2]) << np.uint32(8))
            | np.uint32(line[at + 3])
        )


@compiled
def _hash_leaves(octets: UInt8Array, readings: Records, salts: UInt32Array, begin: int, nodes: UInt32Array) -> None:
    """SHA-256 of 00, salt and encoded reading, for the 128 readings from `begin` on."""
    state, words, work, spare = _lanes()
    line = np.empty(BLOCK, np.uint8)
    _begin(state)
    lanes = min(LANES, len(readings) - begin)
    longest = 1
    for block in range(1 << 30):
        if block == longest:
            return
        for lane in range(lanes):
            row = readings[begin + lane]
            length = row.end - row.begin
            blocks = (SALT + length + 9) // BLOCK + 1
            longest = max(longest, blocks)
            if block < blocks:
                _fill_leaf(line, octets, row.begin, length, block)
                _load(words, lane, line)
                if block == 0:
                    words[0, lane] |= np.uint32(salts[0, lane] >> np.uint32(8))
                    for place in range(1, 4):
                        words[place, lane] |= np.uint32(salts[place - 1, lane] << np.uint32(24))
                        words[place, lane] |= np.uint32(salts[place, lane] >> np.uint32(8))
                    words[4, lane] |= np.uint32(salts[3, lane] << np.uint32(24))
        _compress(state, words, work, spare)
        for lane in range(lanes):
            row = readings[begin + lane]
            if block == (SALT + row.end - row.begin + 9) // BLOCK:
                for place in range(8):
                    nodes[place, begin + lane] = state[place, lane]


@compiled
def _leaves(octets: UInt8Array, sweeps: Records, readings: Records) -> UInt32Array:
    """The leaf of each reading, a column each. Its salt is the HMAC of its index under its sweep's seed."""
    inner, outer = _keyed(octets, sweeps, 0x36), _keyed(octets, sweeps, 0x5C)
    state, words, work, spare = _lanes()
    nodes = np.empty((8, len(readings)), np.uint32)
    for begin in range(0, len(readings), LANES):
        lanes = min(LANES, len(readings) - begin)
        for lane in range(lanes):
            sweep = readings[begin + lane].sweep
            words[0, lane] = begin + lane - sweeps[sweep].first
            for place in range(8):
                state[place, lane] = inner[place, sweep]
        _end_words(words, 1, BLOCK + 4)
        _compress(state, words, work, spare)
        for lane in range(lanes):
            sweep = readings[begin + lane].sweep
            for place in range(8):
                words[place, lane] = state[place, lane]
                state[place, lane] = outer[place, sweep]
        _end_words(words, 8, BLOCK + 32)
        _compress(state, words, work, spare)
        _hash_leaves(octets, readings, state, begin, nodes)
    return nodes


@compiled
def _hash_pairs(lefts: Int64Array, parents: Int64Array, pairs: int, nodes: UInt32Array) -> None:
    """SHA-256 of 01, left and right node, written where the parent belongs; no pair behind reads from there."""
    state, words, work, spare = _lanes()
    for begin in range(0, pairs, LANES):
        lanes = min(LANES, pairs - begin)
        _begin(state)
        for lane in range(lanes):
            carried = np.uint32(1)
            for place in range(16):
                word = nodes[place & 7, lefts[begin + lane] + (place >> 3)]
                words[place, lane] = np.uint32(np.uint32(carried << np.uint32(24)) | np.uint32(word >> np.uint32(8)))
                carried = word
        _compress(state, words, work, spare)
        for lane in range(lanes):
            words[0, lane] = nodes[7, lefts[begin + lane] + 1] << np.uint32(24) | np.uint32(0x800000)
        for place in range(1, 16):
            for lane in range(LANES):
                words[place, lane] = 520 if place == 15 else 0
        _compress(state, words, work, spare)
        for lane in range(lanes):
            for place in range(8):
                nodes[place, parents[begin + lane]] = state[place, lane]


@compiled
def tree_roots(octets: UInt8Array, sweeps: Records, readings: Records) -> UInt8Array:
    """Give the root over the readings of each sweep, 32 octets a row; of no worth where it is not ok or has none.

    A level at a time: neighbours are joined, a last single node moves up (the split of RFC 9162 from below).
    """
    nodes = _leaves(octets, sweeps, readings)
    widths = sweeps["count"].copy()
    lefts, parents = np.empty(len(readings), np.int64), np.empty(len(readings), np.int64)
    pairs = 1
    while pairs:
        pairs = 0
        for place in range(len(sweeps)):
            for index in range(widths[place] // 2):
                lefts[pairs] = sweeps[place].first + 2 * index
                parents[pairs] = sweeps[place].first + index
                pairs += 1
        _hash_pairs(lefts, parents, pairs, nodes)
        for place in range(len(sweeps)):
            first, width = sweeps[place].first, widths[place]
            if width % 2 == 1:
                nodes[:, first + width // 2] = nodes[:, first + width - 1]
            widths[place] = (width + 1) // 2
    roots = np.zeros((len(sweeps), 32), np.uint8)
    for place in range(len(sweeps)):
        for octet in range(32 if sweeps[place].count else 0):
            word = nodes[octet // 4, sweeps[place].first]
            roots[place, octet] = (word >> np.uint32(24 - 8 * (octet % 4))) & np.uint32(0xFF)
    return roots
