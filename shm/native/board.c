/* The board of requests in flight: the twin of board.py. */

#include "native.h"

typedef struct {
    PyObject_HEAD
    Words words;
    int free_count;
    uint8_t free[ENTRY_COUNT_MAX];
    char is_taken[ENTRY_COUNT_MAX];
} Board;

static PyObject *
board_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"words", NULL};
    PyObject *words;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:BoardWriter", names, &words))
        return NULL;
    Board *self = (Board *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (hold(&self->words, words, 'Q') < 0) {
        Py_DECREF(self);
        return NULL;
    }
    Py_ssize_t count = self->words.count / ENTRY_WORDS;
    self->free_count = (int)(count < ENTRY_COUNT_MAX ? count : ENTRY_COUNT_MAX);
    for (int index = 0; index < self->free_count; index++)
        self->free[index] = (uint8_t)(self->free_count - 1 - index);
    return (PyObject *)self;
}

static void
board_dealloc(PyObject *self)
{
    let_go(&((Board *)self)->words);
    free_instance(self);
}

static PyObject *
board_begin(PyObject *object, PyObject *const *args, Py_ssize_t given)
{
    Board *self = (Board *)object;
    if (expect_count("begin", given, 3, 3) < 0)
        return NULL;
    if (!self->free_count)
        Py_RETURN_NONE;
    uint64_t tag, started;
    if (as_word(args[0], &tag) < 0 || as_word(args[1], &started) < 0)
        return struct_error("an entry has a tag and a start of 64 bits");
    const char *path;
    Py_ssize_t size;
    if (PyBytes_Check(args[2])) {
        path = PyBytes_AS_STRING(args[2]);
        size = PyBytes_GET_SIZE(args[2]);
    } else if (PyByteArray_Check(args[2])) {
        path = PyByteArray_AS_STRING(args[2]);
        size = PyByteArray_GET_SIZE(args[2]);
    } else {
        return struct_error("an entry has a path of bytes");
    }
    uint64_t padded[PATH_WORDS] = {0};
    memcpy(padded, path, (size_t)(size < PATH_BYTES_MAX ? size : PATH_BYTES_MAX));

    int entry = self->free[--self->free_count];
    self->is_taken[entry] = 1;
    uint64_t *words = (uint64_t *)self->words.start + entry * ENTRY_WORDS;
    put(&words[STARTED], started);
    put(&words[SENT_BYTES], 0);
    for (int word = 0; word < PATH_WORDS; word++)
        put(&words[PATH_WORD + word], padded[word]);
    /* Last: without it there is no entry. */
    put(&words[0], tag);
    return PyLong_FromLong(entry);
}

/* Give the words of an entry that was begun. */
static uint64_t *
board_entry(Board *self, PyObject *number, long *entry)
{
    if (!PyLong_Check(number)) {
        PyErr_SetString(PyExc_TypeError, "an entry is known by an integer");
        return NULL;
    }
    int overflow;
    *entry = PyLong_AsLongAndOverflow(number, &overflow);
    if (overflow || *entry < 0 || *entry >= ENTRY_COUNT_MAX || !self->is_taken[*entry]) {
        PyErr_SetString(PyExc_IndexError, "no such entry is on the board");
        return NULL;
    }
    return (uint64_t *)self->words.start + *entry * ENTRY_WORDS;
}

static PyObject *
board_go_on(PyObject *object, PyObject *const *args, Py_ssize_t given)
{
    if (expect_count("go_on", given, 3, 3) < 0)
        return NULL;
    long entry;
    uint64_t *words = board_entry((Board *)object, args[0], &entry);
    if (words == NULL)
        return NULL;
    uint64_t state, sent_bytes;
    if (!PyLong_Check(args[1]) || !PyLong_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "a state and a size are integers");
        return NULL;
    }
    if (as_word(args[1], &state) < 0 || as_word(args[2], &sent_bytes) < 0) {
        PyErr_SetString(PyExc_ValueError, "a state and a size are words of 64 bits");
        return NULL;
    }
    put(&words[SENT_BYTES], sent_bytes);
    put(&words[0], (words[0] & ~(uint64_t)STATE_MASK) | state);
    Py_RETURN_NONE;
}

static PyObject *
board_end(PyObject *object, PyObject *number)
{
    Board *self = (Board *)object;
    long entry;
    uint64_t *words = board_entry(self, number, &entry);
    if (words == NULL)
        return NULL;
    put(&words[0], 0);
    self->is_taken[entry] = 0;
    self->free[self->free_count++] = (uint8_t)entry;
    Py_RETURN_NONE;
}

static PyMethodDef board_methods[] = {
    {"begin", (PyCFunction)(void (*)(void))board_begin, METH_FASTCALL,
     "begin(tag, started_ns, path)\n--\n\nWrite an entry and give what it is known by; None if the board is full."},
    {"go_on", (PyCFunction)(void (*)(void))board_go_on, METH_FASTCALL,
     "go_on(entry, state, sent_bytes)\n--\n\nSay how far the request is."},
    {"end", board_end, METH_O, "end(entry)\n--\n\nTake an entry off."},
    {NULL},
};

static PyType_Slot board_slots[] = {
    {Py_tp_doc, "BoardWriter(words)\n--\n\nThe entries of one owner, see board.py."},
    {Py_tp_new, board_new},
    {Py_tp_dealloc, board_dealloc},
    {Py_tp_methods, board_methods},
    {0, NULL},
};

PyType_Spec board_spec = {
    .name = "penstock.shm._native.BoardWriter",
    .basicsize = sizeof(Board),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = board_slots,
};
