/*
 * What happens with every request, in C: counting a response, an entry on the board, a number of the app's,
 * and a record of a request that was slow or failed.
 *
 * Each type has a twin in Python that is the reference: meter.py, board.py, cell.py, ring.py. `counting.py` chooses.
 * What is stored, and in which order, is the same to the word, so that one process may count natively and
 * its neighbour not. No lock: every word has one writer, which holds the interpreter's lock all the while.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* As in schema.py, board.py and histogram.py; counting.py compares SHAPE, and counts in Python if it is another. */
enum {
    WORD_SIZE = 8,
    ENTRY_WORDS = 16,
    ENTRY_COUNT_MAX = 256,
    STARTED = 1,
    SENT_BYTES = 2,
    PATH_WORD = 4,
    PATH_WORDS = ENTRY_WORDS - PATH_WORD,
    PATH_BYTES_MAX = PATH_WORDS * WORD_SIZE,
    STATE_MASK = 0xFF,
    SUB_BUCKET_BITS = 5,
    OCTAVE_MAX = 26,
    BUCKET_COUNT = (1 << SUB_BUCKET_BITS) * (OCTAVE_MAX - SUB_BUCKET_BITS + 1),
    CLASS_FIRST = 2,
    CLASS_COUNT = 4,
    FRAME_WORDS = 2,
    RECORD_WORDS_MAX = 64,
};

/*
 * A store of eight bytes that nobody sees before those that came earlier. On x86 this is a plain `mov`; what
 * matters there is that the compiler keeps the order as well.
 */
static inline void
put(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Words of somebody's memory, which cannot be unmapped meanwhile. */
typedef struct {
    Py_buffer buffer; /* its `obj` is NULL while there are none */
    void *start;
    Py_ssize_t count;
} Words;

/*
 * Hold a view of 8-byte words. It is a view of our own, like a slice that somebody keeps: the owner may
 * release his, and the memory stays until ours is gone, too.
 */
static int
hold(Words *words, PyObject *given, char format)
{
    if (!PyMemoryView_Check(given)) {
        PyErr_Format(PyExc_TypeError, "expected a memoryview, not %.100s", Py_TYPE(given)->tp_name);
        return -1;
    }
    PyObject *own = PyMemoryView_FromObject(given);
    if (own == NULL)
        return -1;
    Py_buffer buffer;
    int failed = PyObject_GetBuffer(own, &buffer, PyBUF_FULL_RO);
    Py_DECREF(own); /* The buffer holds it. */
    if (failed)
        return -1;
    const char *wrong = NULL;
    if (buffer.ndim != 1 || buffer.itemsize != WORD_SIZE || buffer.format == NULL ||
        buffer.format[0] != format || buffer.format[1] != '\0')
        wrong = "expected a memoryview of 8-byte words of the right kind";
    else if (buffer.shape[0] && (buffer.strides[0] != WORD_SIZE ||
                                 (buffer.suboffsets != NULL && buffer.suboffsets[0] >= 0)))
        wrong = "expected words that lie side by side";
    else if (buffer.shape[0] && (uintptr_t)buffer.buf % WORD_SIZE)
        wrong = "expected aligned words";
    else if (buffer.shape[0] && buffer.readonly)
        wrong = "cannot modify read-only memory";
    if (wrong != NULL) {
        PyBuffer_Release(&buffer);
        PyErr_SetString(PyExc_TypeError, wrong);
        return -1;
    }
    words->buffer = buffer;
    words->start = buffer.buf;
    words->count = buffer.shape[0];
    return 0;
}

static void
let_go(Words *words)
{
    if (words->buffer.obj != NULL)
        PyBuffer_Release(&words->buffer);
}

static int
expect_count(const char *name, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most)
{
    if (least <= given && given <= most)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, most, given);
    return -1;
}

/* Free an instance of a type that was made at run time. */
static void
free_instance(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Counting responses. */

typedef struct {
    PyObject_HEAD
    Words cells;
    Py_ssize_t first_class;
    Py_ssize_t duration;
    PyObject *route;
} Meter;

static Py_ssize_t
bucket_of(uint64_t us)
{
    if (us < 2u << SUB_BUCKET_BITS)
        return (Py_ssize_t)us;
    if (us >> OCTAVE_MAX)
        return BUCKET_COUNT - 1;
    int dropped = 63 - __builtin_clzll(us) - SUB_BUCKET_BITS;
    return ((Py_ssize_t)dropped << SUB_BUCKET_BITS) + (Py_ssize_t)(us >> dropped);
}

static int
add(uint64_t *word, uint64_t amount)
{
    uint64_t sum;
    if (__builtin_add_overflow(*(volatile uint64_t *)word, amount, &sum)) {
        PyErr_SetString(PyExc_ValueError, "a word of the row is full");
        return -1;
    }
    put(word, sum);
    return 0;
}

static PyObject *
meter_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"cells", "first_class", "duration", "route", NULL};
    PyObject *cells, *route;
    Py_ssize_t first_class, duration;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OnnU:Meter", names, &cells, &first_class, &duration, &route))
        return NULL;
    Meter *self = (Meter *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (hold(&self->cells, cells, 'Q') < 0) {
        Py_DECREF(self);
        return NULL;
    }
    Py_ssize_t count = self->cells.count;
    if (first_class < 0 || first_class > count - CLASS_COUNT || duration < 0 || duration > count - 1 - BUCKET_COUNT) {
        Py_DECREF(self);
        PyErr_SetString(PyExc_IndexError, "a route's words lie outside of the row");
        return NULL;
    }
    self->first_class = first_class;
    self->duration = duration;
    self->route = Py_NewRef(route);
    return (PyObject *)self;
}

static void
meter_dealloc(PyObject *self)
{
    let_go(&((Meter *)self)->cells);
    Py_XDECREF(((Meter *)self)->route);
    free_instance(self);
}

static PyObject *
meter_count(PyObject *object, PyObject *const *args, Py_ssize_t given)
{
    Meter *self = (Meter *)object;
    if (expect_count("count", given, 2, 2) < 0)
        return NULL;
    if (!PyLong_Check(args[0]) || !PyLong_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "a status and a duration are integers");
        return NULL;
    }
    int overflow;
    long long status = PyLong_AsLongLongAndOverflow(args[0], &overflow);
    if (overflow || status < CLASS_FIRST * 100 || status >= (CLASS_FIRST + CLASS_COUNT) * 100) {
        PyErr_SetString(PyExc_IndexError, "a status is 200 to 599");
        return NULL;
    }
    long long elapsed = PyLong_AsLongLongAndOverflow(args[1], &overflow);
    uint64_t us = elapsed > 0 ? (uint64_t)elapsed : 0;
    if (overflow > 0) {
        PyErr_SetString(PyExc_ValueError, "a word of the row is full");
        return NULL;
    }
    if (overflow < 0)
        us = 0;
    uint64_t *cells = self->cells.start;
    /* The bucket comes before the sum, see histogram.py. */
    if (add(&cells[self->duration + 1 + bucket_of(us)], 1) < 0 || add(&cells[self->duration], us) < 0 ||
        add(&cells[self->first_class + (Py_ssize_t)status / 100 - CLASS_FIRST], 1) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef meter_methods[] = {
    {"count", (PyCFunction)(void (*)(void))meter_count, METH_FASTCALL, "count(status, elapsed_us)\n--\n\nCount a response."},
    {NULL},
};

static PyMemberDef meter_members[] = {
    {"route", T_OBJECT_EX, offsetof(Meter, route), READONLY, "What the numbers are labelled with."},
    {"first_class", T_PYSSIZET, offsetof(Meter, first_class), READONLY, "The first of the four words of responses."},
    {NULL},
};

static PyType_Slot meter_slots[] = {
    {Py_tp_doc, "Meter(cells, first_class, duration, route)\n--\n\nThe numbers of one route, see meter.py."},
    {Py_tp_new, meter_new},
    {Py_tp_dealloc, meter_dealloc},
    {Py_tp_methods, meter_methods},
    {Py_tp_members, meter_members},
    {0, NULL},
};

static PyType_Spec meter_spec = {
    .name = "penstock.shm._native.Meter",
    .basicsize = sizeof(Meter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = meter_slots,
};

/* The board of requests in flight. */

typedef struct {
    PyObject_HEAD
    Words words;
    int free_count;
    uint8_t free[ENTRY_COUNT_MAX];
    char is_taken[ENTRY_COUNT_MAX];
} Board;

/* Whatever struct does not pack is a struct.error. */
static void *
struct_error(const char *text)
{
    PyErr_Clear();
    PyObject *module = PyImport_ImportModule("struct");
    PyObject *error = module == NULL ? NULL : PyObject_GetAttrString(module, "error");
    if (error != NULL)
        PyErr_SetString(error, text);
    Py_XDECREF(error);
    Py_XDECREF(module);
    return NULL;
}

/* Convert, without running anybody's code. */
static int
as_word(PyObject *number, uint64_t *word)
{
    if (!PyLong_Check(number))
        return -1;
    *word = PyLong_AsUnsignedLongLong(number);
    return *word == (uint64_t)-1 && PyErr_Occurred() ? -1 : 0;
}

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

static PyType_Spec board_spec = {
    .name = "penstock.shm._native.BoardWriter",
    .basicsize = sizeof(Board),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = board_slots,
};

/* Numbers of the app's. */

typedef struct {
    PyObject_HEAD
    double *at; /* of a gauge two: the value, and when it was set */
    double own[2];
    Words cells;
    Py_ssize_t index;
} Cell;

static inline void
put_number(double *cell, double number)
{
    uint64_t word;
    memcpy(&word, &number, sizeof word);
    put((uint64_t *)(void *)cell, word);
}

/* As time.time() does it. */
static double
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
}

/* As float() does it; may run anybody's code, so it comes before we look at the cell. */
static int
as_amount(PyObject *given, double *amount)
{
    if (PyFloat_CheckExact(given)) {
        *amount = PyFloat_AS_DOUBLE(given);
        return 0;
    }
    PyObject *number = PyNumber_Float(given);
    if (number == NULL)
        return -1;
    *amount = PyFloat_AS_DOUBLE(number);
    Py_DECREF(number);
    return 0;
}

/* As a memoryview of doubles takes it. */
static int
as_number(PyObject *given, double *number)
{
    *number = PyFloat_AsDouble(given);
    if (*number != -1.0 || !PyErr_Occurred())
        return 0;
    if (PyErr_ExceptionMatches(PyExc_OverflowError))
        PyErr_SetString(PyExc_ValueError, "a number beyond those of a double");
    return -1;
}

static PyObject *
cell_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(keywords))
{
    Cell *self = (Cell *)type->tp_alloc(type, 0);
    if (self != NULL)
        self->at = self->own;
    return (PyObject *)self;
}

static void
cell_dealloc(PyObject *self)
{
    let_go(&((Cell *)self)->cells);
    free_instance(self);
}

/* Hold cells in which there is room for `width` numbers. */
static int
cell_hold(PyObject *const *args, Py_ssize_t given, Py_ssize_t width, Words *cells, Py_ssize_t *index)
{
    if (expect_count("bind", given, 2, 2) < 0)
        return -1;
    *index = PyNumber_AsSsize_t(args[1], PyExc_IndexError);
    if (*index == -1 && PyErr_Occurred())
        return -1;
    if (hold(cells, args[0], 'd') < 0)
        return -1;
    if (*index < 0 || *index > cells->count - width) {
        PyErr_SetString(PyExc_IndexError, "index out of bounds on dimension 1");
        PyBuffer_Release(&cells->buffer);
        return -1;
    }
    return 0;
}

static PyObject *
cell_move(Cell *self, const Words *cells, Py_ssize_t index)
{
    Words before = self->cells;
    self->cells = *cells;
    self->index = index;
    self->at = (double *)cells->start + index;
    let_go(&before);
    Py_RETURN_NONE;
}

static PyObject *
cell_bind(PyObject *object, PyObject *const *args, Py_ssize_t given)
{
    Cell *self = (Cell *)object;
    Words cells;
    Py_ssize_t index;
    if (cell_hold(args, given, 1, &cells, &index) < 0)
        return NULL;
    double *to = (double *)cells.start + index;
    put_number(to, *to + self->at[0]);
    return cell_move(self, &cells, index);
}

static PyObject *
cell_inc(PyObject *object, PyObject *given)
{
    double amount;
    if (as_amount(given, &amount) < 0)
        return NULL;
    double *at = ((Cell *)object)->at;
    put_number(at, *at + amount);
    Py_RETURN_NONE;
}

static PyObject *
cell_put(PyObject *object, PyObject *given)
{
    double number;
    if (as_number(given, &number) < 0)
        return NULL;
    put_number(((Cell *)object)->at, number);
    Py_RETURN_NONE;
}

static PyObject *
cell_own(PyObject *object, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble(*((Cell *)object)->at);
}

static PyObject *
cell_cell(PyObject *object, void *Py_UNUSED(closure))
{
    Cell *self = (Cell *)object;
    if (self->at == self->own)
        Py_RETURN_NONE;
    return PyLong_FromSsize_t(self->index);
}

static PyMethodDef cell_methods[] = {
    {"inc", cell_inc, METH_O, "inc(amount)\n--\n\nAdd."},
    {"put", cell_put, METH_O, "put(number)\n--\n\nSet."},
    {"bind", (PyCFunction)(void (*)(void))cell_bind, METH_FASTCALL,
     "bind(cells, index)\n--\n\nMove into a row, with what was counted so far."},
    {NULL},
};

static PyGetSetDef cell_properties[] = {
    {"own", cell_own, NULL, "What this process has counted, or set.", NULL},
    {"cell", cell_cell, NULL, "The cell in the row, if it has one.", NULL},
    {NULL},
};

static PyType_Slot cell_slots[] = {
    {Py_tp_doc, "Cell()\n--\n\nA number that only grows, see cell.py."},
    {Py_tp_new, cell_new},
    {Py_tp_dealloc, cell_dealloc},
    {Py_tp_methods, cell_methods},
    {Py_tp_getset, cell_properties},
    {0, NULL},
};

static PyType_Spec cell_spec = {
    .name = "penstock.shm._native.Cell",
    .basicsize = sizeof(Cell),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cell_slots,
};

static PyObject *
gauge_bind(PyObject *object, PyObject *const *args, Py_ssize_t given)
{
    Cell *self = (Cell *)object;
    Words cells;
    Py_ssize_t index;
    if (cell_hold(args, given, 2, &cells, &index) < 0)
        return NULL;
    double *to = (double *)cells.start + index;
    double value = self->at[0], set_at = self->at[1];
    if (set_at != 0.0) {
        put_number(to, value);
        put_number(to + 1, set_at);
    }
    return cell_move(self, &cells, index);
}

static PyObject *
gauge_inc(PyObject *object, PyObject *given)
{
    double amount;
    if (as_amount(given, &amount) < 0)
        return NULL;
    double *at = ((Cell *)object)->at;
    put_number(at, *at + amount);
    put_number(at + 1, now_s());
    Py_RETURN_NONE;
}

static PyObject *
gauge_set(PyObject *object, PyObject *const *args, Py_ssize_t given, PyObject *names)
{
    PyObject *timestamp = given == 2 ? args[1] : Py_None;
    if (names != NULL && PyTuple_GET_SIZE(names)) {
        if (given != 1 || PyTuple_GET_SIZE(names) != 1 ||
            PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timestamp")) {
            PyErr_SetString(PyExc_TypeError, "set() takes a value and a timestamp");
            return NULL;
        }
        timestamp = args[1];
    } else if (expect_count("set", given, 1, 2) < 0) {
        return NULL;
    }
    double value, set_at;
    if (as_number(args[0], &value) < 0)
        return NULL;
    int has_time = timestamp == Py_None ? 0 : PyObject_IsTrue(timestamp);
    if (has_time < 0 || (has_time && as_number(timestamp, &set_at) < 0))
        return NULL;
    if (!has_time)
        set_at = now_s();
    double *at = ((Cell *)object)->at;
    put_number(at, value);
    put_number(at + 1, set_at);
    Py_RETURN_NONE;
}

static PyObject *
gauge_begin_again(PyObject *object, PyObject *given)
{
    double after_s;
    if (as_number(given, &after_s) < 0)
        return NULL;
    double now = now_s();
    double *at = ((Cell *)object)->at;
    put_number(at, 0.0);
    put_number(at + 1, after_s > now ? after_s : now);
    Py_RETURN_NONE;
}

static PyMethodDef gauge_methods[] = {
    {"inc", gauge_inc, METH_O, "inc(amount)\n--\n\nAdd."},
    {"set", (PyCFunction)(void (*)(void))gauge_set, METH_FASTCALL | METH_KEYWORDS,
     "set(value, timestamp=None)\n--\n\nSet."},
    {"bind", (PyCFunction)(void (*)(void))gauge_bind, METH_FASTCALL,
     "bind(cells, index)\n--\n\nMove into a row, with what was set so far."},
    {"begin_again", gauge_begin_again, METH_O,
     "begin_again(after_s)\n--\n\nBe a new gauge in the cells of one that was removed."},
    {NULL},
};

static PyType_Slot gauge_slots[] = {
    {Py_tp_doc, "GaugeCell()\n--\n\nA number that is set, and when it was, see cell.py."},
    {Py_tp_methods, gauge_methods},
    {0, NULL},
};

static PyType_Spec gauge_spec = {
    .name = "penstock.shm._native.GaugeCell",
    .basicsize = sizeof(Cell),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = gauge_slots,
};

/* Records of a ring. */

#define HEAD_MAX ((uint64_t)1 << 54)
#define SPREAD 0x9E3779B1u

typedef struct {
    PyObject_HEAD
    Words words;
    Words line;
    Py_ssize_t record_words;
    Py_ssize_t head_word;
    Py_ssize_t at;
    Py_ssize_t end;
    uint64_t head;
} RingWriter;

/* The checksum of zip, of all values of a byte. Filled when the module is made. */
static uint32_t crc_of[256];

static void
fill_crc(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        crc_of[byte] = crc;
    }
}

static uint32_t
crc32_of(const void *bytes, size_t size, uint32_t start)
{
    const unsigned char *next = bytes;
    uint32_t crc = ~start;
    while (size--)
        crc = crc >> 8 ^ crc_of[(crc ^ *next++) & 0xFF];
    return ~crc;
}

static int
hold_attribute(Words *words, PyObject *ring, const char *name)
{
    PyObject *view = PyObject_GetAttrString(ring, name);
    if (view == NULL)
        return -1;
    int failed = hold(words, view, 'Q');
    Py_DECREF(view);
    return failed;
}

static int
size_attribute(Py_ssize_t *size, PyObject *ring, const char *name)
{
    PyObject *number = PyObject_GetAttrString(ring, name);
    if (number == NULL)
        return -1;
    *size = PyNumber_AsSsize_t(number, PyExc_IndexError);
    Py_DECREF(number);
    return *size == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
ring_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"ring", NULL};
    PyObject *ring;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O:RingWriter", names, &ring))
        return NULL;
    RingWriter *self = (RingWriter *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    if (size_attribute(&self->record_words, ring, "record_words") < 0 ||
        size_attribute(&self->head_word, ring, "head") < 0 || hold_attribute(&self->words, ring, "words") < 0 ||
        hold_attribute(&self->line, ring, "line") < 0)
        goto failed;
    if (self->record_words <= FRAME_WORDS || self->record_words > RECORD_WORDS_MAX) {
        PyErr_SetString(PyExc_ValueError, "a record has 3 to 64 words");
        goto failed;
    }
    if (self->head_word < 0 || self->head_word >= self->line.count) {
        PyErr_SetString(PyExc_IndexError, "the ring's head lies outside of the line");
        goto failed;
    }
    Py_ssize_t count = self->words.count / self->record_words;
    if (!count) {
        PyErr_SetString(PyExc_ZeroDivisionError, "the ring has no room for a record");
        goto failed;
    }
    uint64_t head = ((uint64_t *)self->line.start)[self->head_word];
    self->head = head < HEAD_MAX ? head : 0;
    self->end = count * self->record_words;
    self->at = (Py_ssize_t)(self->head % (uint64_t)count) * self->record_words;
    return (PyObject *)self;
failed:
    Py_DECREF(self);
    return NULL;
}

static void
ring_dealloc(PyObject *self)
{
    let_go(&((RingWriter *)self)->words);
    let_go(&((RingWriter *)self)->line);
    free_instance(self);
}

static PyObject *
ring_push(PyObject *object, PyObject *given)
{
    RingWriter *self = (RingWriter *)object;
    uint64_t payload[RECORD_WORDS_MAX];
    Py_ssize_t count = self->record_words - FRAME_WORDS;
    PyObject *items = PySequence_Fast(given, "a record is a sequence of words");
    if (items == NULL)
        return NULL;
    int failed = PySequence_Fast_GET_SIZE(items) != count;
    for (Py_ssize_t index = 0; !failed && index < count; index++)
        failed = as_word(PySequence_Fast_GET_ITEM(items, index), &payload[index]) < 0;
    Py_DECREF(items);
    if (failed)
        return struct_error("a record has so many words of 64 bits");

    uint64_t head = self->head;
    uint32_t check = crc32_of(payload, (size_t)count * WORD_SIZE, (uint32_t)(head * SPREAD));
    uint64_t *words = (uint64_t *)self->words.start + self->at;
    put(&words[0], 2 * head + 1);
    for (Py_ssize_t index = 0; index < count; index++)
        put(&words[1 + index], payload[index]);
    put(&words[1 + count], check);
    put(&words[0], 2 * head + 2);
    self->at += self->record_words;
    if (self->at >= self->end)
        self->at = 0;
    self->head = head + 1;
    put((uint64_t *)self->line.start + self->head_word, head + 1);
    Py_RETURN_NONE;
}

static PyMethodDef ring_methods[] = {
    {"push", ring_push, METH_O, "push(payload)\n--\n\nAppend a record, over the oldest one if the ring is full."},
    {"push_long", ring_push, METH_O, "push_long(payload)\n--\n\nThe same: here it costs nothing to take any length."},
    {NULL},
};

static PyType_Slot ring_slots[] = {
    {Py_tp_doc, "RingWriter(ring)\n--\n\nThe one writer of a ring, see ring.py."},
    {Py_tp_new, ring_new},
    {Py_tp_dealloc, ring_dealloc},
    {Py_tp_methods, ring_methods},
    {0, NULL},
};

static PyType_Spec ring_spec = {
    .name = "penstock.shm._native.RingWriter",
    .basicsize = sizeof(RingWriter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ring_slots,
};

/* The module. */

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec, PyObject *base)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, base);
    if (type != NULL && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

static int
fill(PyObject *module)
{
    PyTypeObject *meter = add_type(module, &meter_spec, NULL);
    PyTypeObject *board = add_type(module, &board_spec, NULL);
    PyTypeObject *cell = add_type(module, &cell_spec, NULL);
    PyTypeObject *gauge = cell == NULL ? NULL : add_type(module, &gauge_spec, (PyObject *)cell);
    PyTypeObject *ring = add_type(module, &ring_spec, NULL);
    int failed = meter == NULL || board == NULL || cell == NULL || gauge == NULL || ring == NULL;
    Py_XDECREF(meter);
    Py_XDECREF(board);
    Py_XDECREF(cell);
    Py_XDECREF(gauge);
    Py_XDECREF(ring);
    if (failed)
        return -1;
    fill_crc();
    PyObject *shape = Py_BuildValue("(iii)", ENTRY_WORDS, ENTRY_COUNT_MAX, BUCKET_COUNT);
    failed = shape == NULL || PyModule_AddObjectRef(module, "SHAPE", shape) < 0;
    Py_XDECREF(shape);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock.shm._native",
    .m_doc = "What happens with every request, in C; counting.py chooses between this and Python.",
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
