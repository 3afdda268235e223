/* Counting responses: the twin of meter.py. */

#include "native.h"

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

PyType_Spec meter_spec = {
    .name = "penstock.shm._native.Meter",
    .basicsize = sizeof(Meter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = meter_slots,
};
