"""Pages in memory: which stay, who may take whose frame, and what is counted."""

from __future__ import annotations

import os
import threading

import google_crc32c
import numpy as np
import pytest

from vecdb.errors import DataCorruption, StorageError, Unavailable
from vecdb.kernels.addresses import bytes_at
from vecdb.kernels.crc32c import page_checksums
from vecdb.storage.files import damaged_part
from vecdb.storage.page_cache import PageCache, PageCounts
from vecdb.storage.page_engines import ThreadsEngine
from vecdb.storage.page_reader import PageFile, PageReader
from vecdb.testing.faults import flip_bit

PAGE = 4096
PAGES = 400
FRAME = PAGE + 48  # what a frame costs


class Source:
    """A file of pages that begin with a checksum of the rest."""

    page_bytes = PAGE

    def __init__(self, path, seed):
        self.content = np.random.default_rng(seed).integers(0, 256, (PAGES, PAGE), np.uint8)
        sums = [google_crc32c.value(page[8:].tobytes()) for page in self.content]
        self.content[:, :4] = np.array(sums, "<u4")[:, np.newaxis].view(np.uint8)
        path.write_bytes(self.content.tobytes())
        self.path = path
        self.file = PageFile(path, self.content.nbytes)

    def check(self, addresses, pages):
        sums = np.empty(len(addresses), np.uint32)
        page_checksums(addresses, PAGE, 8, sums)
        for address, page, right in zip(addresses, pages, sums, strict=True):
            if bytes_at(int(address), 4).tobytes() != right.tobytes():
                raise damaged_part(self.path, int(page) * PAGE, f"page {page}")

    def holds(self, addresses, pages):
        """Whether the pages' bytes stand there."""
        return all(
            (bytes_at(int(address), PAGE) == self.content[page]).all()
            for address, page in zip(addresses, pages, strict=True)
        )


class CountingReader(PageReader):
    """``spoil``: pieces from now on that arrive with a bit flipped; ``fail``: an error to raise."""

    def __init__(self):
        super().__init__(ThreadsEngine())
        self.batches = []
        self.spoil = 0
        self.fail = None

    def read_batch(self, files, file_of, offsets, nbytes, addresses):
        super().read_batch(files, file_of, offsets, nbytes, addresses)
        self.batches.append(len(offsets))
        for address in addresses[: self.spoil]:
            bytes_at(int(address), nbytes)[100] ^= 1
            self.spoil -= 1
        if self.fail is not None:
            raise self.fail


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return Source(tmp_path_factory.mktemp("pages") / "a", 1)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return Source(tmp_path_factory.mktemp("pages") / "b", 2)


@pytest.fixture
def reader():
    reader = CountingReader()
    yield reader
    reader.close()


@pytest.fixture
def open_cache(reader):
    return lambda frames: PageCache(frames * FRAME, PAGE, reader)


def hold(cache, source, pages):
    """The counts of a ``hold``, whose pages are right."""
    pages = np.asarray(pages, np.int64)
    with cache.hold([(source, pages)]) as held:
        assert source.holds(held.addresses[0], pages)
        return held.counts


def hits(cache, source, pages):
    return hold(cache, source, pages).cache_hits


def assert_at_rest(cache):
    """Nobody holds anything, and every frame that has a page is found by it, once."""
    assert cache._holders == 0
    assert not cache._pins.any()
    listed = cache._table[cache._table >= 0]
    assert sorted(listed) == np.flatnonzero(cache._keys[:, 0] >= 0).tolist()
    assert len({tuple(key) for key in cache._keys[listed].tolist()}) == len(listed)


def test_pages_are_read_once_and_counted(open_cache, source, reader):
    cache = open_cache(10)
    assert hold(cache, source, [3, 1, 2]) == PageCounts(
        pages_read=3, bytes_read=3 * PAGE, read_calls=3, cache_hits=0
    )
    assert hold(cache, source, [1, 5, 3]) == PageCounts(
        pages_read=1, bytes_read=PAGE, read_calls=1, cache_hits=2
    )
    assert hits(cache, source, []) == 0
    assert reader.batches == [3, 1]


def test_pages_of_several_sources_are_read_in_one_batch(open_cache, source, other, reader):
    cache = open_cache(10)
    hold(cache, other, [7])
    first, second, none = np.array([7, 9]), np.array([9, 7]), np.array([], np.int64)
    with cache.hold([(source, first), (source, none), (other, second)]) as held:
        assert source.holds(held.addresses[0], first)
        assert len(held.addresses[1]) == 0
        assert other.holds(held.addresses[2], second)
        assert (held.counts.pages_read, held.counts.cache_hits) == (3, 1)
    with cache.hold([]) as held:
        assert held.addresses == []
    assert reader.batches == [1, 3]


def test_cache_never_has_more_than_its_bytes(open_cache, source, reader):
    for frames in (0, 1, 7, 100):
        cache = open_cache(frames)
        assert cache.memory_bytes == frames * FRAME
        hold(cache, source, range(200))
        assert cache.memory_bytes == frames * FRAME
        assert hits(cache, source, range(200)) == frames
    assert PageCache(FRAME - 1, PAGE, reader).memory_bytes == 0
    assert PageCache(-5, PAGE, reader).memory_bytes == 0


def test_pages_asked_for_again_and_again_stay(open_cache, source):
    cache = open_cache(12)
    hold(cache, source, range(4))
    for round_ in range(40):
        assert hits(cache, source, range(4)) == 4
        hold(cache, source, range(10 + 6 * round_, 16 + 6 * round_))


def test_frame_that_is_held_is_not_taken(open_cache, source, reader):
    cache = open_cache(4)
    kept = np.arange(4)
    with cache.hold([(source, kept)]) as held:
        for _ in range(2):  # what found no frame is not kept
            assert hold(cache, source, range(50, 60)).pages_read == 10
        assert hits(cache, source, [2, 70]) == 1
        assert source.holds(held.addresses[0], kept)
    assert hits(cache, source, range(4)) == 4
    assert hold(cache, source, range(50, 60)).pages_read == 10
    assert hits(cache, source, range(50, 60)) == 4


def test_page_that_two_read_at_once_is_right_in_both(open_cache, source):
    cache = open_cache(4)
    pages = np.array([1, 2])

    class Nested(Source):
        """Asks for the same pages while its own are read, and verified."""

        def __init__(self):
            self.__dict__.update(source.__dict__)

        def check(self, addresses, pages):
            super().check(addresses, pages)
            assert hold(cache, source, pages).pages_read == 2

    with cache.hold([(Nested(), pages)]) as held:
        assert source.holds(held.addresses[0], pages)
    assert_at_rest(cache)
    assert hits(cache, source, pages) == 2
    assert hold(cache, source, range(10, 14)).pages_read == 4  # and no frame was lost
    assert hits(cache, source, range(10, 14)) == 4


# --------------------------------------------------------------------------------------- damage


def test_page_damaged_on_its_way_is_read_again(open_cache, source, reader):
    cache = open_cache(10)
    reader.spoil = 1
    counts = hold(cache, source, [1, 2])
    assert (counts.pages_read, counts.read_calls) == (2, 4)
    assert hits(cache, source, [1, 2]) == 2


def test_damaged_page_is_an_error_each_time_and_frees_its_frames(tmp_path, open_cache, reader):
    damaged = Source(tmp_path / "damaged", 3)
    flip_bit(damaged.path, 6 * PAGE + 77, 3)
    cache = open_cache(5)
    for _ in range(3):
        with pytest.raises(DataCorruption, match="page 6") as caught:
            hold(cache, damaged, [4, 5, 6, 7])
        assert caught.value.offset == 6 * PAGE
    assert hold(cache, damaged, range(10, 15)).pages_read == 5
    assert hits(cache, damaged, range(10, 15)) == 5


def test_read_that_fails_frees_its_frames(open_cache, source, reader):
    cache = open_cache(5)
    reader.fail = StorageError("cannot read")
    with pytest.raises(StorageError, match="cannot read"):
        hold(cache, source, range(5))
    reader.fail = None
    assert hold(cache, source, range(5)).pages_read == 5
    assert hits(cache, source, range(5)) == 5


def test_error_of_the_holder_frees_its_frames(open_cache, source):
    cache = open_cache(3)
    with pytest.raises(ValueError, match="mine"), cache.hold([(source, np.arange(3))]):
        raise ValueError("mine")
    assert hold(cache, source, range(10, 13)).pages_read == 3
    assert hits(cache, source, range(10, 13)) == 3


def test_pages_of_another_size_are_a_mistake(source, reader):
    with pytest.raises(AssertionError, match="frames of 8192"):
        hold(PageCache(0, 2 * PAGE, reader), source, [0])


# -------------------------------------------------------------------------- sizes, drops, the end


def test_larger_cache_keeps_its_pages(open_cache, source):
    cache = open_cache(3)
    for frames in (3, 4, 20, 300):
        cache.resize(frames * FRAME)
        assert hits(cache, source, range(3)) == (0 if frames == 3 else 3)
    hold(cache, source, range(300))
    assert hits(cache, source, range(300)) == 300


def test_smaller_cache_forgets_and_gives_memory_back(open_cache, source):
    cache = open_cache(30)
    pages = np.arange(30)
    with cache.hold([(source, pages)]) as held:
        addresses = held.addresses[0]
    cache.resize(10 * FRAME)
    assert cache.memory_bytes == 10 * PAGE + 30 * 48
    assert sum(bytes_at(int(address), PAGE).any() for address in addresses) == 10
    assert hits(cache, source, range(30)) == 10
    cache.resize(30 * FRAME)
    hold(cache, source, range(30))
    assert hits(cache, source, range(30)) == 30


def test_pages_held_outlive_a_smaller_cache_and_no_longer(open_cache, source):
    cache = open_cache(8)
    pages = np.arange(8)
    with cache.hold([(source, pages)]) as outer:
        cache.resize(0)
        assert hold(cache, source, pages).pages_read == 8
        cache.resize(6 * FRAME)
        assert hold(cache, source, range(20, 26)).pages_read == 6  # no frame is free yet
        assert source.holds(outer.addresses[0], pages)
        addresses = outer.addresses[0]
    assert not bytes_at(int(addresses[6]), PAGE).any()
    hold(cache, source, range(6))
    assert hits(cache, source, range(6)) == 6


def test_dropped_source_frees_its_frames_and_no_others(open_cache, source, other):
    cache = open_cache(40)
    hold(cache, source, range(20))
    hold(cache, other, range(20))
    cache.drop(source)
    assert hits(cache, other, range(20)) == 20
    assert hold(cache, source, range(20)).pages_read == 20


def test_close_waits_for_those_who_hold(open_cache, source):
    cache = open_cache(4)
    order = []

    def close():
        cache.close()
        order.append("closed")

    thread = threading.Thread(target=close)
    with cache.hold([(source, np.arange(4))]) as held:
        thread.start()
        while not cache._closed:
            pass
        assert source.holds(held.addresses[0], np.arange(4))
        thread.join(0.05)
        order.append("let go")
    thread.join()
    assert order == ["let go", "closed"]
    assert cache.memory_bytes == 0
    with pytest.raises(Unavailable, match="closed"):
        hold(cache, source, [0])
    cache.close()
    cache.drop(source)


@pytest.mark.parametrize("frames", [0, 4])
def test_pages_are_not_shared_with_a_forked_child(frames, open_cache, source):
    cache = open_cache(frames)
    with cache.hold([(source, np.arange(4))]) as held:
        child = os.fork()
        if child == 0:
            for address in held.addresses[0]:
                bytes_at(int(address), PAGE)[:] = 0
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert source.holds(held.addresses[0], np.arange(4))


@pytest.mark.parametrize("frames", [0, 9, 60])
def test_threads_never_see_a_wrong_page(frames, open_cache, source, other, reader):
    cache = open_cache(frames)
    wrong, asked, counted = [], [], []

    def work(seed):
        rng = np.random.default_rng(seed)
        for turn in range(80):
            wanted = [
                (one, np.unique(rng.zipf(1.2, rng.integers(1, 20)) % PAGES))
                for one in (source, other)
            ]
            with cache.hold(wanted) as held:
                if turn % 20 == seed:
                    cache.resize(int(rng.integers(0, 2 * frames + 1)) * FRAME)
                if turn % 27 == seed:
                    cache.drop(other)
                for (one, pages), addresses in zip(wanted, held.addresses, strict=True):
                    if not one.holds(addresses, pages):
                        wrong.append((one.path.name, pages))
            asked.append(sum(len(pages) for _, pages in wanted))
            counted.append(held.counts)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(asked) == 4 * 80
    found = [one.cache_hits + one.pages_read for one in counted]
    assert found == asked
    assert sum(one.pages_read for one in counted) == sum(reader.batches)
    assert_at_rest(cache)
