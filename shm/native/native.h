/*
 * What happens with every request, in C: counting a response, an entry on the board, a number of the app's,
 * and a record of a request that was slow or failed.
 *
 * Each type has a twin in Python that is the reference: meter.py, board.py, cell.py, ring.py. `counting.py` chooses.
 * What is stored, and in which order, is the same to the word, so that one process may count natively and
 * its neighbour not. No lock: every word has one writer, which holds the interpreter's lock all the while.
 */

#ifndef PENSTOCK_NATIVE_H
#define PENSTOCK_NATIVE_H

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

/* In words.c. */

int hold(Words *words, PyObject *given, char format);
void let_go(Words *words);
int expect_count(const char *name, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most);
void free_instance(PyObject *self);
void *struct_error(const char *text);
int as_word(PyObject *number, uint64_t *word);

/* The types, each in a file of its own. */

extern PyType_Spec meter_spec;
extern PyType_Spec board_spec;
extern PyType_Spec cell_spec;
extern PyType_Spec gauge_spec;
extern PyType_Spec ring_spec;

/* To be called once before the first ring is made. */
void fill_crc(void);

#endif
