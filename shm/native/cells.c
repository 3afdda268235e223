/* Numbers of the app's: the twin of cell.py. */

#include "native.h"

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

PyType_Spec cell_spec = {
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

PyType_Spec gauge_spec = {
    .name = "penstock.shm._native.GaugeCell",
    .basicsize = sizeof(Cell),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = gauge_slots,
};
