/* Holding memory that others map, and what all types share. */

#include "native.h"

/*
 * Hold a view of 8-byte words. It is a view of our own, like a slice that somebody keeps: the owner may
 * release his, and the memory stays until ours is gone, too.
 */
int
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

void
let_go(Words *words)
{
    if (words->buffer.obj != NULL)
        PyBuffer_Release(&words->buffer);
}

int
expect_count(const char *name, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most)
{
    if (least <= given && given <= most)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, most, given);
    return -1;
}

/* Free an instance of a type that was made at run time. */
void
free_instance(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Whatever struct does not pack is a struct.error. */
void *
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
int
as_word(PyObject *number, uint64_t *word)
{
    if (!PyLong_Check(number))
        return -1;
    *word = PyLong_AsUnsignedLongLong(number);
    return *word == (uint64_t)-1 && PyErr_Occurred() ? -1 : 0;
}
