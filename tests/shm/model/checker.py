"""
Runs small programs in every order there is, over a memory of one's choice.

A program is a plain function that loads and stores through a `Port`. The
functions of `shm/` can be such programs themselves, since a port gives views
that look like a memoryview: what is checked is then the code that ships.

The checker has no threads. It runs a program from its start with the answers
that its loads got so far, until it asks for something new; that request is the
next step, and every possible answer to it is another state. Each state is
visited once. Programs must therefore be deterministic, and small. What nobody
ever changes is no step: to load it takes no time.

A thread may have several *lives*, one after the other: a writer that can be
killed before any of its steps, and then the next one, which the master starts
after it has reaped the dead. A thread that stops for ever needs nothing: each
state in which the others have gone on without it is visited too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from tests.shm.model.memory import Memory, Word

# A program that loops for ever would make states for ever.
STATES_MAX = 2_000_000


@dataclass(frozen=True)
class Load:
    """Ask for the value of a word."""

    word: Word


@dataclass(frozen=True)
class Store:
    """Give a word a value."""

    word: Word
    value: int


@dataclass(frozen=True)
class Fence:
    """Order what this thread did before and what it does after."""


@dataclass(frozen=True)
class Interrupt:
    """Have one of these threads fence, whatever it is doing; the answer is which."""

    threads: frozenset[int]


@dataclass(frozen=True)
class Start:
    """Start a thread that waits for it; a fork orders as a fence does."""

    thread: int


Step = Load | Store | Fence | Interrupt | Start


class _Paused(BaseException):
    """The program asks for something that it has no answer to yet."""

    def __init__(self, step: Step) -> None:
        self.step = step


class _Moves(Exception):
    """A word is changed that was taken for a constant."""

    def __init__(self, word: Word) -> None:
        super().__init__(word)
        self.word = word


@dataclass(frozen=True)
class _Constants:
    """What the words begin with, and which of them are ever changed, as far as is known."""

    words: Mapping[Word, int]
    moving: frozenset[Word] = frozenset()

    def of(self, word: Word) -> int | None:
        return None if word in self.moving else self.words.get(word, 0)


class Port:
    """A program's way to the memory."""

    def __init__(self, constants: _Constants, others: frozenset[int], answers: tuple[Any, ...]) -> None:
        self._constants = constants
        self._others = others
        self._answers = answers
        self._asked = 0

    def load(self, word: Word) -> int:
        """Load a word."""
        constant = self._constants.of(word)
        return cast(int, self._ask(Load(word))) if constant is None else constant

    def store(self, word: Word, value: int) -> None:
        """Store a word."""
        constant = self._constants.of(word)
        if constant is None:
            self._ask(Store(word, value))
        elif constant != value:
            raise _Moves(word)

    def fence(self) -> None:
        """Fence this thread, as `dmb` or `mfence` do."""
        self._ask(Fence())

    def membarrier(self) -> None:
        """Fence this thread and every other, each at a moment of its own in the meantime."""
        self.fence()
        left = self._others
        while left:
            left -= {self._ask(Interrupt(left))}
        self.fence()

    def start(self, thread: int) -> None:
        """Start a thread that was not to begin by itself."""
        self._ask(Start(thread))

    def view(self, name: str, length: int) -> memoryview:
        """Give the words (name, 0), (name, 1) ... as something like a memoryview."""
        return cast(memoryview, _View(self, name, range(length)))

    def _ask(self, step: Step) -> Any:
        if self._asked == len(self._answers):
            raise _Paused(step)
        self._asked += 1
        return self._answers[self._asked - 1]


class _View:
    def __init__(self, port: Port, name: str, indices: range) -> None:
        self._port = port
        self._name = name
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, key: int | slice) -> "int | _View":
        if isinstance(key, slice):
            return _View(self._port, self._name, self._indices[key])
        return self._port.load((self._name, self._indices[key]))

    def __setitem__(self, key: int | slice, value: "int | _View") -> None:
        if isinstance(key, int):
            self._port.store((self._name, self._indices[key]), cast(int, value))
            return
        for index, word in zip(self._indices[key], cast(_View, value).tolist(), strict=True):
            self._port.store((self._name, index), word)

    def tolist(self) -> list[int]:
        return [self._port.load((self._name, index)) for index in self._indices]

    def tobytes(self) -> bytes:
        return b"".join(word.to_bytes(8, "little") for word in self.tolist())


Program = Callable[[Port], object]


@dataclass(frozen=True)
class Thread:
    """One program, or several lives of which each but the last may be killed at any moment."""

    lives: Sequence[Program]
    is_started_by_another: bool = False


@dataclass(frozen=True)
class _At:
    """Where a thread is: in which life, with which answers; None of them when it is not running."""

    life: int
    answers: tuple[Any, ...] | None
    result: Any = None

    @property
    def is_waiting(self) -> bool:
        return self.life < 0


@dataclass(frozen=True)
class _State:
    threads: tuple[_At, ...]
    memory: Any

    def moved(self, thread: int, at: _At, memory: Any) -> "_State":
        return _State((*self.threads[:thread], at, *self.threads[thread + 1 :]), memory)


def outcomes(
    threads: Sequence[Program | Thread], memory: type[Memory], words: Mapping[Word, int] | None = None
) -> set[tuple[Any, ...]]:
    """Give all that can come of it: for each possible end, what every thread's last life returned."""
    return set(explore(threads, memory, words))


def explore(
    threads: Sequence[Program | Thread], memory: type[Memory], words: Mapping[Word, int] | None = None
) -> Iterator[tuple[Any, ...]]:
    """Give the ends as they are found, each at least once, for who need not see all."""
    alike = [each if isinstance(each, Thread) else Thread([each]) for each in threads]
    constants = _Constants(words or {})
    while True:
        try:
            yield from _Checker(alike, constants).ends(memory.begin(constants.words, len(alike)))
            return
        except _Moves as found:
            # Begin anew. Whatever was found so far can happen too.
            constants = _Constants(constants.words, constants.moving | {found.word})


class _Checker:
    def __init__(self, threads: Sequence[Thread], constants: _Constants) -> None:
        self._threads = threads
        self._constants = constants
        self._steps: dict[tuple[int, int, tuple[Any, ...]], Step | _Ended] = {}

    def ends(self, memory: Memory) -> Iterator[tuple[Any, ...]]:
        begin = _State(
            tuple(_At(-1, None) if thread.is_started_by_another else _At(0, ()) for thread in self._threads),
            memory,
        )
        known = {begin}
        todo = [begin]
        while todo:
            state = todo.pop()
            nexts = list(self._nexts(state))
            if not nexts:
                yield tuple(at.result for at in state.threads)
            for following in nexts:
                if following not in known:
                    known.add(following)
                    todo.append(following)
            assert len(known) <= STATES_MAX, "too many states: make the programs smaller"

    def _nexts(self, state: _State) -> Iterator[_State]:
        for drifted in state.memory.drift():
            yield _State(state.threads, drifted)
        for thread, at in enumerate(state.threads):
            if at.is_waiting or at.answers is None:
                continue
            step = self._step(thread, at.life, at.answers)
            if at.life < len(self._threads[thread].lives) - 1:
                # It may be killed now. That it was waited for orders its stores before the next life.
                fenced = state.memory.fence(thread)
                if fenced is not None:
                    yield state.moved(thread, _At(at.life + 1, ()), fenced)
            elif isinstance(step, _Ended):
                yield state.moved(thread, _At(at.life, None, step.result), state.memory)
            if not isinstance(step, _Ended):
                for answer, following in self._take(state, thread, step):
                    yield following.moved(thread, _At(at.life, (*at.answers, answer)), following.memory)

    def _take(self, state: _State, thread: int, step: Step) -> Iterator[tuple[Any, _State]]:
        memory = state.memory
        match step:
            case Load(word):
                for value, after in memory.load(thread, word):
                    yield value, _State(state.threads, after)
            case Store(word, value):
                yield None, _State(state.threads, memory.store(thread, word, value))
            case Fence():
                fenced = memory.fence(thread)
                if fenced is not None:
                    yield None, _State(state.threads, fenced)
            case Interrupt(threads):
                for other in threads:
                    fenced = memory.fence(other)
                    if fenced is not None:
                        yield other, _State(state.threads, fenced)
            case Start(started):
                fenced = memory.fence(thread)
                if fenced is not None:
                    assert state.threads[started].is_waiting
                    # The child begins with all that the parent had seen.
                    child = fenced.fence(started)
                    yield None, _State(state.threads, child).moved(started, _At(0, ()), child)

    def _step(self, thread: int, life: int, answers: tuple[Any, ...]) -> "Step | _Ended":
        key = thread, life, answers
        if key not in self._steps:
            others = frozenset(range(len(self._threads))) - {thread}
            port = Port(self._constants, others, answers)
            try:
                self._steps[key] = _Ended(self._threads[thread].lives[life](port))
            except _Paused as paused:
                self._steps[key] = paused.step
        return self._steps[key]


@dataclass(frozen=True)
class _Ended:
    result: Any
