/* The module. */

#include "native.h"

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
