/* Records of a ring: the twin of ring.py. */

#include "native.h"

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

void
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

PyType_Spec ring_spec = {
    .name = "penstock.shm._native.RingWriter",
    .basicsize = sizeof(RingWriter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ring_slots,
};
