"""
Three memories: what a load may return, and when others see a store.

    Sequential   one memory, and every step at once for all: what one thinks one has
    TotalStore   x86: stores wait in a queue of their own thread and leave it in order
    Weak         ARM and weaker: each word has its own time

Each is an unchanging value with steps that give the values it may become, so
that the checker can try all of them. Words are named by anything hashable and
begin as zero. A word has one writer, as everywhere in the segment.

`Weak` keeps for each word the list of all that was ever stored there. A load
may return any of them that is not older than what this thread has seen of this
word, or than what its last fence assured it of; so stores of another thread
become visible in any order, and loads of this one are answered in any order. A
fence of the *writer* settles what it has stored so far, and a fence of the
*reader* brings it up to what is settled; only both together order anything, as
on the machine. This is more freedom than ARM takes: two readers may disagree
about the order of two writers, and an address that was computed from a load
does not have to wait for it.

One freedom is missing: a store that overtakes an earlier load of its own
thread. No program here needs it looked for: readers store nothing, and what a
writer loads was settled before it was forked, or is its own.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

Word = Hashable


class Frozen(dict[Word, int]):
    """A dictionary that is never changed in place, and so can be a part of a state."""

    def __hash__(self) -> int:  # type: ignore[override]
        """Hash the content."""
        return hash(frozenset(self.items()))

    def put(self, word: Word, value: int) -> "Frozen":
        """Give a copy in which the word has this value."""
        copy = Frozen(self)
        copy[word] = value
        return copy


class Memory(Protocol):
    """What the checker asks of a memory. A step that gives no successor has to wait."""

    @classmethod
    def begin(cls, words: Mapping[Word, int], thread_count: int) -> Self:
        """Give the memory before the first step."""

    def load(self, thread: int, word: Word) -> "list[tuple[int, Self]]":
        """Give each value that a load may return, and the memory after it."""

    def store(self, thread: int, word: Word, value: int) -> Self:
        """Store; who sees it when is the memory's affair."""

    def fence(self, thread: int) -> Self | None:
        """Order all that the thread did before all that it does after, or None while that has to wait."""

    def drift(self) -> "list[Self]":
        """Give what may happen without any thread's doing."""


@dataclass(frozen=True)
class Sequential:
    """Every step is seen by everyone at once."""

    words: Frozen

    @classmethod
    def begin(cls, words: Mapping[Word, int], thread_count: int) -> Self:
        """Give the memory before the first step."""
        return cls(Frozen(words))

    def load(self, thread: int, word: Word) -> list[tuple[int, Self]]:
        """Return what is there."""
        return [(self.words.get(word, 0), self)]

    def store(self, thread: int, word: Word, value: int) -> Self:
        """Put it there."""
        return replace(self, words=self.words.put(word, value))

    def fence(self, thread: int) -> Self | None:
        """Do nothing: all is in order."""
        return self

    def drift(self) -> list[Self]:
        """Nothing moves by itself."""
        return []


@dataclass(frozen=True)
class TotalStore:
    """Each thread has a queue of stores, which reach the memory in order and at any time."""

    words: Frozen
    queues: tuple[tuple[tuple[Word, int], ...], ...]

    @classmethod
    def begin(cls, words: Mapping[Word, int], thread_count: int) -> Self:
        """Give the memory before the first step."""
        return cls(Frozen(words), ((),) * thread_count)

    def load(self, thread: int, word: Word) -> list[tuple[int, Self]]:
        """Return the thread's own last store if it still waits, else what is in memory."""
        for queued, value in reversed(self.queues[thread]):
            if queued == word:
                return [(value, self)]
        return [(self.words.get(word, 0), self)]

    def store(self, thread: int, word: Word, value: int) -> Self:
        """Put it at the end of the queue, unless nobody could tell."""
        if self.load(thread, word)[0][0] == value:
            return self
        return self._with_queue(thread, (*self.queues[thread], (word, value)))

    def fence(self, thread: int) -> Self | None:
        """Wait until the queue is empty."""
        return None if self.queues[thread] else self

    def drift(self) -> list[Self]:
        """The oldest store of any queue reaches the memory."""
        return [
            replace(self._with_queue(thread, queue[1:]), words=self.words.put(*queue[0]))
            for thread, queue in enumerate(self.queues)
            if queue
        ]

    def _with_queue(self, thread: int, queue: tuple[tuple[Word, int], ...]) -> Self:
        return replace(self, queues=(*self.queues[:thread], queue, *self.queues[thread + 1 :]))


@dataclass(frozen=True)
class Weak:
    """Each word has a history, and each thread its own place in it."""

    history: Mapping[Word, tuple[int, ...]]
    writers: Frozen = field(default_factory=Frozen)  # the thread that stored last
    settled: Frozen = field(default_factory=Frozen)  # what a fenced reader may not be behind of
    seen: Frozen = field(default_factory=Frozen)  # by (thread, word)

    def __hash__(self) -> int:
        """Hash the content."""
        return hash((frozenset(self.history.items()), self.settled, self.seen))

    @classmethod
    def begin(cls, words: Mapping[Word, int], thread_count: int) -> Self:
        """Give the memory before the first step."""
        return cls({word: (value,) for word, value in words.items()})

    def load(self, thread: int, word: Word) -> list[tuple[int, Self]]:
        """Return anything from where this thread is up to the newest."""
        values = self.history.get(word, (0,))
        first = self.seen.get((thread, word), 0)
        if first == len(values) - 1:
            return [(values[first], self)]
        return [
            (values[at], replace(self, seen=self.seen.put((thread, word), at)))
            for at in range(first, len(values))
        ]

    def store(self, thread: int, word: Word, value: int) -> Self:
        """Append to the word's history, which its writer has always seen to the end."""
        values = self.history.get(word, (0,))
        if values[-1] == value:
            return self  # Nobody can tell, and it spares the checker some states.
        return replace(
            self,
            history={**self.history, word: (*values, value)},
            writers=self.writers.put(word, thread),
            seen=self.seen.put((thread, word), len(values)),
        )

    def fence(self, thread: int) -> Self | None:
        """Settle the thread's own stores, and bring it up to all that is settled."""
        settled = Frozen(self.settled)
        for word, writer in self.writers.items():
            if writer == thread:
                settled[word] = len(self.history[word]) - 1
        seen = Frozen(self.seen)
        for word, at in settled.items():
            seen[thread, word] = max(seen.get((thread, word), 0), at)
        return replace(self, settled=settled, seen=seen)

    def drift(self) -> list[Self]:
        """Nothing moves by itself: that a store is not seen yet is the load's choice."""
        return []
