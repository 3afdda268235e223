/*
 * The usual request through a gateway, in C: one without a body goes out to a server with a free connection, and a
 * response that came whole goes back.
 *
 * Both functions do all of it or nothing: what is in any way out of the ordinary returns False before anything has
 * changed, and Python does it (connection.py, passage.py, pool.py), which is the reference. The state is Python's own:
 * slots of its objects, read and written in place. relay.py says which.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

/* The objects that are looked into, and their slots, in the order of relay.py's SLOTS. */
enum { CONNECTION, SITE, HEAD_PARSER, ROUTE, ERRAND, UPSTREAM, POOL, LINK, TYPE_COUNT };

typedef enum {
    C_SITE, C_INTAKE, C_EXCHANGE, C_SERVER, C_CLIENT, C_TRANSPORT, C_BUFFER, C_IS_EOF, C_IS_WRITE_BLOCKED,
    C_KEEP_ALIVE, C_DEADLINE,
    S_IS_DRAINING, S_OPENINGS, S_ONLY_ROUTE, S_ROUTER, S_BOARD, S_HEAD_PARSER, S_RECEIVED_BYTES, S_SENT_BYTES,
    S_NOTED_FROM_US, S_IDLE_DEADLINE, S_HEADER_BYTES_MAX,
    H_COUNT_MAX,
    R_ERRAND, R_TAG,
    E_CONNECTION, E_STARTED_NS, E_ENTRY, E_LINK, E_POOL, E_TARGET, E_TRIED, E_METHOD, E_HEAD, E_TAIL, E_UPSTREAM,
    E_IS_PLAIN, E_NOTES, E_METER, E_STATUS, E_PHASE, E_SENT_NS, E_USED,
    U_POOLS, U_DEADLINE, U_NOW, U_REQUEST_COUNT, U_TRIALS,
    P_IDLE, P_IDLE_MAX, P_WAITING, P_KNOWN, P_UPSTREAM, P_IS_WARY, P_COUNT, P_VIA_LINE,
    L_BORROWER, L_REQUEST_COUNT, L_EXPECTED, L_DEADLINE, L_WHEEL_TICK, L_TRANSPORT, L_IDLE_SINCE, L_IS_CLOSED,
    L_IS_WRITE_BLOCKED, L_IS_READING_PAUSED, L_POOL,
    SLOT_COUNT
} Slot;

/* One interpreter, one set of classes: found out once, when relay.py is imported. */
static PyTypeObject *types[TYPE_COUNT];
static Py_ssize_t offsets[SLOT_COUNT];
static PyObject *method_tags, *methods, *status_lines;
static PyObject *idle_state, *held_state, *done_phase, *not_watched; /* small integers */
static PyObject *get_method, *no_tried;
static PyObject *name_write, *name_begin, *name_end, *name_count, *name_find, *name_choose, *name_hold, *name_watch,
    *name_note, *name_responded;

#define AT(object, slot) (*(PyObject **)((char *)(object) + offsets[slot]))

static inline void
set(PyObject *object, Slot slot, PyObject *stolen)
{
    PyObject *before = AT(object, slot);
    AT(object, slot) = stolen;
    Py_XDECREF(before);
}

static inline int
is_a(PyObject *object, int type)
{
    return object != NULL && PyObject_TypeCheck(object, types[type]);
}

static int
add_to(PyObject *object, Slot slot, Py_ssize_t amount)
{
    PyObject *more = PyLong_FromSsize_t(amount);
    if (more == NULL)
        return -1;
    PyObject *sum = PyNumber_Add(AT(object, slot), more);
    Py_DECREF(more);
    if (sum == NULL)
        return -1;
    set(object, slot, sum);
    return 0;
}

static int64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * Whether a target is an absolute path as it is: nothing to decode, and no part that begins with a dot, which may have
 * to be refused. Tells where a query begins.
 */
static int
is_simple(const char *target, Py_ssize_t size, Py_ssize_t *path_size)
{
    if (size < 1 || target[0] != '/')
        return 0;
    *path_size = size;
    for (Py_ssize_t at = 0; at < size; at++) {
        unsigned char byte = (unsigned char)target[at];
        if (byte <= 0x20 || byte >= 0x7f || byte == '%' || byte == '#')
            return 0;
        if (*path_size == size) {
            if (byte == '?')
                *path_size = at;
            else if (byte == '.' && (target[at - 1] == '/' || target[at - 1] == '\\'))
                return 0;
        }
    }
    return 1;
}

/* tchar of RFC 9110, section 5.6.2. */
static unsigned char token_bytes[256];

static void
fill_tokens(void)
{
    for (const char *each = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"; *each; each++)
        token_bytes[(unsigned char)*each] = 1;
}

static inline int
is_token(unsigned char byte)
{
    return token_bytes[byte];
}

static int
is_named(const char *name, Py_ssize_t size, const char *lower)
{
    if ((size_t)size != strlen(lower))
        return 0;
    for (Py_ssize_t at = 0; at < size; at++)
        if ((name[at] | (name[at] >= 'A' && name[at] <= 'Z' ? 0x20 : 0)) != lower[at])
            return 0;
    return 1;
}

static PyObject *
routed(PyObject *site, PyObject *method, PyObject *host, const char *path, Py_ssize_t path_size)
{
    PyObject *text = PyUnicode_DecodeASCII(path, path_size, NULL);
    if (text == NULL)
        return NULL;
    PyObject *route = PyObject_CallMethodObjArgs(AT(site, S_ROUTER), name_find, method, host, text, NULL);
    Py_DECREF(text);
    return route;
}

/* A new errand like the route's own, whose slots are all objects. */
static PyObject *
like(PyObject *prototype)
{
    PyTypeObject *type = types[ERRAND];
    PyObject *errand = type->tp_alloc(type, 0);
    if (errand == NULL)
        return NULL;
    PyObject **from = (PyObject **)((char *)prototype + sizeof(PyObject));
    PyObject **to = (PyObject **)((char *)errand + sizeof(PyObject));
    Py_ssize_t count = (type->tp_basicsize - (Py_ssize_t)sizeof(PyObject)) / (Py_ssize_t)sizeof(PyObject *);
    for (Py_ssize_t at = 0; at < count; at++)
        to[at] = Py_XNewRef(from[at]);
    return errand;
}

/* The link to a server that was used last, if it can be used. */
static PyObject *
spare_of(PyObject *pool)
{
    PyObject *idle = is_a(pool, POOL) ? AT(pool, P_IDLE) : NULL;
    if (idle == NULL || !PyList_CheckExact(idle) || PyList_GET_SIZE(idle) == 0)
        return NULL;
    PyObject *link = PyList_GET_ITEM(idle, PyList_GET_SIZE(idle) - 1);
    return is_a(link, LINK) && AT(link, L_BORROWER) == Py_None && AT(link, L_IS_CLOSED) == Py_False ? link : NULL;
}

/*
 * Choose a server that has a connection to spare; NULL without an error if there is none, or if another server is to
 * be tried first.
 */
static PyObject *
pool_of(PyObject *upstream, PyObject **chosen)
{
    PyObject *pools = AT(upstream, U_POOLS), *trials = AT(upstream, U_TRIALS);
    if (pools == NULL || !PyList_CheckExact(pools) || !PyList_CheckExact(trials) || PyList_GET_SIZE(trials) != 0)
        return NULL;
    *chosen = PyObject_CallMethodObjArgs(upstream, name_choose, no_tried, Py_None, NULL);
    if (*chosen == NULL)
        return NULL;
    Py_ssize_t index = PyLong_AsSsize_t(*chosen);
    if (index < 0 || index >= PyList_GET_SIZE(pools))
        return NULL;
    PyObject *pool = PyList_GET_ITEM(pools, index);
    if (spare_of(pool) != NULL)
        return pool;
    /* Python is to send this request to the same server: it has its turn. */
    Py_XDECREF(PyObject_CallMethodObjArgs(upstream, name_hold, *chosen, NULL));
    return NULL;
}

static int
put_off(PyObject *link, PyObject *deadline)
{
    PyObject *held = AT(link, L_DEADLINE);
    if (AT(link, L_WHEEL_TICK) == not_watched || !PyFloat_CheckExact(held) || !PyFloat_CheckExact(deadline) ||
        PyFloat_AS_DOUBLE(deadline) < PyFloat_AS_DOUBLE(held)) {
        PyObject *done = PyObject_CallMethodObjArgs(link, name_watch, deadline, NULL);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    set(link, L_DEADLINE, Py_NewRef(deadline));
    return 0;
}

static int
call_write(PyObject *transport, PyObject *output)
{
    PyObject *args[2] = {transport, output};
    PyObject *done = PyObject_VectorcallMethod(name_write, args, 2, NULL);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Everything about a request that is known before anything changes. Owned: method, host, route, head. */
typedef struct {
    PyObject *site, *method, *host, *route, *prototype, *upstream, *pool, *head, *chosen;
    Py_ssize_t target_at, target_size, path_size;
} Plan;

/* Headers that Python has to look at: with a body, for this hop alone, or of proxies. Sorted by nothing. */
static int
is_special(const char *name, Py_ssize_t size)
{
    static const char *const names[] = {
        "content-length", "transfer-encoding", "expect", "upgrade", "te", "trailer", "keep-alive", "via", "forwarded",
        "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "max-forwards", "http2-settings",
    };
    if ((size > 5 && is_named(name, 6, "proxy-")) || (size > 11 && is_named(name, 12, "x-forwarded-")))
        return 1;
    for (size_t at = 0; at < sizeof names / sizeof *names; at++)
        if (is_named(name, size, names[at]))
            return 1;
    return 0;
}

/* A name or an IPv4 address, maybe with a port: none of the rarer kinds that are valid as well. */
static int
is_usual_host(const char *host, Py_ssize_t size)
{
    Py_ssize_t at = 0;
    long port = 0;
    while (at < size && host[at] != ':') {
        char byte = host[at++];
        if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
              byte == '.' || byte == '-' || byte == '_'))
            return 0;
    }
    if (at == 0)
        return 0;
    if (at == size)
        return 1;
    if (size - ++at > 5)
        return 0;
    for (; at < size; at++) {
        if (host[at] < '0' || host[at] > '9')
            return 0;
        port = port * 10 + host[at] - '0';
    }
    return port <= 65535;
}

/*
 * Write the headers that are passed on to `to`, and tell where the Host is. -1 for what is not usual. What is valid
 * for us is valid for head.py, and request_head.py makes the same of it. There is room for all and two bytes more
 * for each.
 */
static Py_ssize_t
pass_headers(const char *at, const char *end, Py_ssize_t count_max, char *to, const char **host, Py_ssize_t *host_size)
{
    char *start = to;
    Py_ssize_t count = 0;
    *host = NULL;
    while (at < end) {
        const char *name = at;
        int has_underscore = 0;
        while (at < end && is_token((unsigned char)*at))
            has_underscore |= *at++ == '_';
        Py_ssize_t name_size = at - name;
        if (name_size == 0 || at >= end || *at++ != ':' || ++count > count_max)
            return -1;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        const char *value = at;
        while (at < end && *at != '\r') {
            unsigned char byte = (unsigned char)*at++;
            if (byte != '\t' && (byte < 0x20 || byte == 0x7f))
                return -1;
        }
        if (end - at < 2 || at[1] != '\n')
            return -1;
        Py_ssize_t value_size = at - value;
        while (value_size && (value[value_size - 1] == ' ' || value[value_size - 1] == '\t'))
            value_size--;
        at += 2;
        if (is_named(name, name_size, "host")) {
            if (*host != NULL || !is_usual_host(value, value_size))
                return -1;
            *host = value;
            *host_size = value_size;
            continue;
        }
        if (is_named(name, name_size, "connection")) {
            if (!is_named(value, value_size, "keep-alive"))
                return -1;
            continue;
        }
        if (is_special(name, name_size))
            return -1;
        if (has_underscore)
            continue;
        for (Py_ssize_t each = 0; each < name_size; each++)
            *to++ = (char)(name[each] >= 'A' && name[each] <= 'Z' ? name[each] | 0x20 : name[each]);
        *to++ = ':';
        *to++ = ' ';
        memcpy(to, value, (size_t)value_size);
        to += value_size;
        *to++ = '\r';
        *to++ = '\n';
    }
    return *host == NULL ? -1 : to - start;
}

/* Put together what goes out: `tail` has bytes as they are, None for the Host, and False for the client's address. */
static PyObject *
compose_request(const char *bytes, Py_ssize_t size, Plan *found, PyObject *tail, PyObject *client, Py_ssize_t count_max)
{
    static const char version[] = "HTTP/1.1\r\n";
    Py_ssize_t line_size = found->target_at + found->target_size + 1, address_size;
    const char *address = PyUnicode_AsUTF8AndSize(client, &address_size), *host;
    if (address == NULL || !PyTuple_CheckExact(tail))
        return NULL;
    if (size - line_size < 12 || memcmp(bytes + line_size, version, 10) != 0)
        return NULL;
    Py_ssize_t host_size = 0, room = size + 2 * count_max, needed = 0;
    PyObject *head = NULL;
    char *scratch = PyMem_Malloc((size_t)room);
    if (scratch == NULL)
        return PyErr_NoMemory();
    memcpy(scratch, bytes, (size_t)line_size + 10);
    Py_ssize_t passed = pass_headers(bytes + line_size + 10, bytes + size - 2, count_max, scratch + line_size + 10, &host, &host_size);
    if (passed < 0)
        goto end;
    passed += line_size + 10;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(tail); at++) {
        PyObject *part = PyTuple_GET_ITEM(tail, at);
        needed += part == Py_None ? host_size : PyBytes_Check(part) ? PyBytes_GET_SIZE(part) : address_size;
    }
    found->host = PyBytes_FromStringAndSize(host, host_size);
    head = found->host == NULL ? NULL : PyBytes_FromStringAndSize(NULL, passed + needed);
    if (head == NULL)
        goto end;
    char *to = PyBytes_AS_STRING(head);
    memcpy(to, scratch, (size_t)passed);
    to += passed;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(tail); at++) {
        PyObject *part = PyTuple_GET_ITEM(tail, at);
        const char *from = part == Py_None ? host : PyBytes_Check(part) ? PyBytes_AS_STRING(part) : address;
        Py_ssize_t part_size = part == Py_None ? host_size : PyBytes_Check(part) ? PyBytes_GET_SIZE(part) : address_size;
        memcpy(to, from, (size_t)part_size);
        to += part_size;
    }
end:
    PyMem_Free(scratch);
    return head;
}

/* The Host of a head, for the router: the first, which is judged later. */
static PyObject *
host_in(const char *bytes, const char *end)
{
    const char *at = bytes;
    while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL && end - ++at > 5) {
        if (is_named(at, 5, "host:")) {
            at += 5;
            while (at < end && (*at == ' ' || *at == '\t'))
                at++;
            const char *stop = memchr(at, '\r', (size_t)(end - at));
            return stop == NULL ? NULL : PyBytes_FromStringAndSize(at, stop - at);
        }
    }
    return NULL;
}

/* Read the request line of a whole head. 1: it is usual. 0: it is not. -1: an error. */
static int
read_line(PyObject *data, Plan *found)
{
    const char *bytes = PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    /* The first empty line is the end, or this is more than a head. */
    if (size < 4 || memcmp(bytes + size - 4, "\r\n\r\n", 4) != 0)
        return 0;
    const char *space = memchr(bytes, ' ', (size_t)size);
    if (space == NULL)
        return 0;
    Py_ssize_t token_size = space - bytes;
    found->target_at = token_size + 1;
    const char *end = memchr(space + 1, ' ', (size_t)(size - found->target_at));
    if (end == NULL)
        return 0;
    found->target_size = end - space - 1;
    if (!is_simple(space + 1, found->target_size, &found->path_size))
        return 0;
    if (token_size == 3 && memcmp(bytes, "GET", 3) == 0)
        found->method = Py_NewRef(get_method);
    else {
        PyObject *token = PyBytes_FromStringAndSize(bytes, token_size);
        if (token == NULL)
            return -1;
        PyObject *method = PyDict_GetItemWithError(methods, token);
        Py_DECREF(token);
        if (method == NULL)
            return PyErr_Occurred() ? -1 : 0;
        if (PyUnicode_CompareWithASCIIString(method, "HEAD") == 0 ||
            PyUnicode_CompareWithASCIIString(method, "CONNECT") == 0 ||
            PyUnicode_CompareWithASCIIString(method, "OPTIONS") == 0 ||
            PyUnicode_CompareWithASCIIString(method, "TRACE") == 0)
            return 0;
        found->method = Py_NewRef(method);
    }
    return 1;
}

/* 1: go ahead. 0: leave it to Python. -1: an error. */
static int
plan(PyObject *connection, PyObject *data, Plan *found)
{
    if (!is_a(connection, CONNECTION) || !PyBytes_CheckExact(data))
        return 0;
    PyObject *site = found->site = AT(connection, C_SITE);
    if (!is_a(site, SITE) || AT(connection, C_INTAKE) != idle_state || AT(connection, C_EXCHANGE) != Py_None ||
        AT(connection, C_SERVER) == Py_None || AT(connection, C_IS_EOF) != Py_False ||
        AT(connection, C_IS_WRITE_BLOCKED) != Py_False || AT(connection, C_KEEP_ALIVE) != Py_True ||
        PyObject_Size(AT(connection, C_BUFFER)) != 0 || AT(site, S_IS_DRAINING) != Py_False ||
        PyObject_Size(AT(site, S_OPENINGS)) != 0)
        return PyErr_Occurred() ? -1 : 0;
    PyObject *parser = AT(site, S_HEAD_PARSER), *client = AT(connection, C_CLIENT);
    if (!is_a(parser, HEAD_PARSER) || client == NULL || !PyTuple_Check(client) || PyTuple_GET_SIZE(client) < 1 ||
        !PyUnicode_CheckExact(PyTuple_GET_ITEM(client, 0)))
        return 0;
    client = PyTuple_GET_ITEM(client, 0);
    Py_ssize_t most = PyLong_AsSsize_t(AT(site, S_HEADER_BYTES_MAX));
    Py_ssize_t count_max = PyLong_AsSsize_t(AT(parser, H_COUNT_MAX));
    if (PyErr_Occurred())
        return -1;
    if (PyBytes_GET_SIZE(data) > most)
        return 0;
    int is_usual = read_line(data, found);
    if (is_usual <= 0)
        return is_usual;
    const char *bytes = PyBytes_AS_STRING(data), *end = bytes + found->target_at + found->target_size;
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    PyObject *route = AT(site, S_ONLY_ROUTE);
    if (route != NULL && route != Py_None)
        found->route = Py_NewRef(route);
    else {
        PyObject *host = host_in(end, bytes + size);
        if (host == NULL)
            return PyErr_Occurred() ? -1 : 0;
        found->route = routed(site, found->method, host, bytes + found->target_at, found->path_size);
        Py_DECREF(host);
        if (found->route == NULL)
            return -1;
    }
    if (Py_TYPE(found->route) != types[ROUTE])
        return 0;
    PyObject *prototype = found->prototype = AT(found->route, R_ERRAND);
    if (prototype == NULL || Py_TYPE(prototype) != types[ERRAND])
        return 0;
    found->upstream = AT(prototype, E_UPSTREAM);
    if (!is_a(found->upstream, UPSTREAM))
        return 0;
    found->head = compose_request(bytes, size, found, AT(prototype, E_TAIL), client, count_max);
    if (found->head == NULL)
        return PyErr_Occurred() ? -1 : 0;
    found->pool = pool_of(found->upstream, &found->chosen);
    return found->pool != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

static int
send(PyObject *connection, PyObject *data, Plan *known)
{
    int failed = -1;
    PyObject *site = known->site, *errand = NULL, *path = NULL, *tag = NULL, *started = NULL;
    PyObject *idle = AT(known->pool, P_IDLE);
    PyObject *link = spare_of(known->pool);
    const char *target = PyBytes_AS_STRING(data) + known->target_at;
    Py_INCREF(link);
    errand = like(known->prototype);
    path = PyBytes_FromStringAndSize(target, known->path_size);
    started = PyLong_FromLongLong(now_ns());
    PyObject *method_tag = PyDict_GetItemWithError(method_tags, known->method);
    tag = method_tag == NULL ? NULL : PyNumber_Or(AT(known->route, R_TAG), method_tag);
    if (errand == NULL || path == NULL || started == NULL || tag == NULL)
        goto end;
    PyObject *whole = PyBytes_FromStringAndSize(target, known->target_size);
    PyObject *tried = PyList_New(1);
    if (whole == NULL || tried == NULL) {
        Py_XDECREF(whole);
        Py_XDECREF(tried);
        goto end;
    }
    PyList_SET_ITEM(tried, 0, Py_NewRef(known->chosen));
    set(errand, E_CONNECTION, Py_NewRef(connection));
    set(errand, E_STARTED_NS, Py_NewRef(started));
    /* It goes out at once: a second look at the clock would not tell another time. */
    set(errand, E_SENT_NS, Py_NewRef(started));
    set(errand, E_LINK, Py_NewRef(link));
    set(errand, E_USED, Py_NewRef(link));
    set(errand, E_POOL, Py_NewRef(known->pool));
    set(errand, E_TARGET, whole);
    set(errand, E_TRIED, tried);
    set(errand, E_METHOD, Py_NewRef(known->method));
    set(errand, E_HEAD, Py_NewRef(data));
    PyObject *entry =
        PyObject_CallMethodObjArgs(AT(site, S_BOARD), name_begin, tag, started, path, NULL);
    if (entry == NULL)
        goto end;
    set(errand, E_ENTRY, entry);
    if (PyList_SetSlice(idle, PyList_GET_SIZE(idle) - 1, PyList_GET_SIZE(idle), NULL) < 0)
        goto end;
    set(link, L_BORROWER, Py_NewRef(errand));
    set(link, L_EXPECTED, Py_NewRef(known->method));
    set(connection, C_EXCHANGE, Py_NewRef(errand));
    set(connection, C_INTAKE, Py_NewRef(held_state));
    if (add_to(link, L_REQUEST_COUNT, 1) < 0 || add_to(known->upstream, U_REQUEST_COUNT, 1) < 0 ||
        add_to(site, S_RECEIVED_BYTES, PyBytes_GET_SIZE(data)) < 0 ||
        put_off(link, AT(known->upstream, U_DEADLINE)) < 0 || call_write(AT(link, L_TRANSPORT), known->head) < 0)
        goto end;
    failed = 0;
end:
    Py_XDECREF(errand);
    Py_XDECREF(path);
    Py_XDECREF(started);
    Py_XDECREF(tag);
    Py_DECREF(link);
    return failed ? -1 : 1;
}

static PyObject *
relay_begin(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    if (given != 2) {
        PyErr_SetString(PyExc_TypeError, "begin() takes a connection and what it has received");
        return NULL;
    }
    Plan known = {0};
    int done = plan(args[0], args[1], &known);
    if (done == 1)
        done = send(args[0], args[1], &known);
    Py_XDECREF(known.method);
    Py_XDECREF(known.host);
    Py_XDECREF(known.route);
    Py_XDECREF(known.head);
    Py_XDECREF(known.chosen);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

/* What is done with a header of a response; all that are not here are passed on. */
static int
is_for_python(const char *name, Py_ssize_t size)
{
    static const char *const names[] = {
        "proxy-connection", "proxy-authenticate", "proxy-authentication-info", "te", "trailer", "transfer-encoding",
        "upgrade", "via",
    };
    for (size_t at = 0; at < sizeof names / sizeof *names; at++)
        if (is_named(name, size, names[at]))
            return 1;
    return 0;
}

/*
 * Make of the head of a response what goes to the client: (status, size of the body, head), or NULL without an error
 * for one that Python has to judge. The same bytes as response_head.py makes.
 */
static PyObject *
composed(const char *head, Py_ssize_t size, PyObject *via_line)
{
    const char *end = head + size - 2, *at = head + 12; /* before the empty line; after the status */
    if (size < 19 || memcmp(head, "HTTP/1.1 ", 9) != 0 || (*at != ' ' && *at != '\r'))
        return NULL;
    int code = 0;
    for (int digit = 9; digit < 12; digit++) {
        if (head[digit] < '0' || head[digit] > '9')
            return NULL;
        code = code * 10 + head[digit] - '0';
    }
    if (code < 200 || code > 599 || code == 204 || code == 205 || code == 304)
        return NULL;
    while (at < end && *at != '\r') {
        unsigned char byte = (unsigned char)*at++;
        if (byte != '\t' && (byte < 0x20 || byte >= 0x7f))
            return NULL;
    }
    if (end - at < 2 || at[1] != '\n')
        return NULL;
    at += 2;
    PyObject *status = PyLong_FromLong(code), *reply = NULL, *found = NULL;
    if (status == NULL)
        return NULL;
    PyObject *line = PyDict_GetItemWithError(status_lines, status);
    if (line == NULL)
        goto end;
    char digits[40];
    reply = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(line) + size + PyBytes_GET_SIZE(via_line) +
                                                (Py_ssize_t)sizeof digits);
    if (reply == NULL)
        goto end;
    char *start = PyBytes_AS_STRING(reply), *to = start;
    memcpy(to, PyBytes_AS_STRING(line), (size_t)PyBytes_GET_SIZE(line));
    to += PyBytes_GET_SIZE(line);
    int has_date = 0;
    int64_t length = -1;
    while (at < end) {
        const char *name = at;
        while (at < end && is_token((unsigned char)*at))
            at++;
        Py_ssize_t name_size = at - name;
        if (name_size == 0 || at >= end || *at != ':')
            goto end;
        at++;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        const char *value = at;
        while (at < end && *at != '\r') {
            unsigned char byte = (unsigned char)*at++;
            if (byte != '\t' && (byte < 0x20 || byte == 0x7f))
                goto end;
        }
        if (end - at < 2 || at[1] != '\n')
            goto end;
        Py_ssize_t value_size = at - value;
        while (value_size && (value[value_size - 1] == ' ' || value[value_size - 1] == '\t'))
            value_size--;
        at += 2;
        if (is_named(name, name_size, "connection")) {
            if (!is_named(value, value_size, "keep-alive"))
                goto end;
            continue;
        }
        if (is_named(name, name_size, "keep-alive"))
            continue;
        if (is_named(name, name_size, "content-length")) {
            if (length >= 0 || value_size == 0 || value_size > 15)
                goto end;
            length = 0;
            for (Py_ssize_t digit = 0; digit < value_size; digit++) {
                if (value[digit] < '0' || value[digit] > '9')
                    goto end;
                length = length * 10 + value[digit] - '0';
            }
            continue;
        }
        if (is_for_python(name, name_size))
            goto end;
        has_date |= is_named(name, name_size, "date");
        memcpy(to, name, (size_t)name_size);
        to += name_size;
        *to++ = ':';
        *to++ = ' ';
        memcpy(to, value, (size_t)value_size);
        to += value_size;
        *to++ = '\r';
        *to++ = '\n';
    }
    if (!has_date || length < 0)
        goto end;
    memcpy(to, PyBytes_AS_STRING(via_line), (size_t)PyBytes_GET_SIZE(via_line));
    to += PyBytes_GET_SIZE(via_line);
    int printed = snprintf(digits, sizeof digits, "content-length: %lld\r\n\r\n", (long long)length);
    memcpy(to, digits, (size_t)printed);
    to += printed;
    if (_PyBytes_Resize(&reply, to - start) < 0)
        goto end;
    found = Py_BuildValue("OLO", status, (long long)length, reply);
end:
    Py_DECREF(status);
    Py_XDECREF(reply);
    return found;
}

/* 1: it is back with the client. 0: leave it to Python. -1: an error. `body` is what came after a known head. */
static int
give(PyObject *link, PyObject *errand, PyObject *pool, PyObject *known, const char *body, Py_ssize_t body_size)
{
    PyObject *status = PyTuple_GET_ITEM(known, 0), *output = PyTuple_GET_ITEM(known, 2);
    Py_ssize_t length = PyLong_AsSsize_t(PyTuple_GET_ITEM(known, 1));
    long code = PyLong_AsLong(status);
    PyObject *idle = AT(pool, P_IDLE), *upstream = AT(pool, P_UPSTREAM), *connection = AT(errand, E_CONNECTION);
    Py_ssize_t idle_max = PyLong_AsSsize_t(AT(pool, P_IDLE_MAX)), waiting = PyObject_Size(AT(pool, P_WAITING));
    if (PyErr_Occurred())
        return -1;
    /* What is a failure is judged, as all is that comes from a server that has failed. */
    if (code >= 500 || AT(pool, P_IS_WARY) != Py_False || waiting != 0)
        return 0;
    if (length != body_size || !PyBytes_CheckExact(output) || !PyList_CheckExact(idle) ||
        PyList_GET_SIZE(idle) >= idle_max || !is_a(upstream, UPSTREAM) || !is_a(connection, CONNECTION) ||
        AT(connection, C_EXCHANGE) != errand)
        return 0;
    PyObject *site = AT(connection, C_SITE);
    if (!is_a(site, SITE))
        return 0;
    int failed = -1;
    int64_t started = PyLong_AsLongLong(AT(errand, E_STARTED_NS));
    long noted_from = PyLong_AsLong(AT(site, S_NOTED_FROM_US));
    if (PyErr_Occurred())
        return -1;
    int64_t elapsed_us = (now_ns() - started) / 1000;
    PyObject *elapsed = PyLong_FromLongLong(elapsed_us);
    PyObject *reply = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(output) + length);
    Py_INCREF(errand);
    Py_INCREF(connection);
    if (elapsed == NULL || reply == NULL || PyList_Append(idle, link) < 0)
        goto end;
    memcpy(PyBytes_AS_STRING(reply), PyBytes_AS_STRING(output), (size_t)PyBytes_GET_SIZE(output));
    memcpy(PyBytes_AS_STRING(reply) + PyBytes_GET_SIZE(output), body, (size_t)length);
    set(link, L_BORROWER, Py_NewRef(Py_None));
    set(link, L_EXPECTED, Py_NewRef(Py_None));
    set(link, L_IDLE_SINCE, Py_NewRef(AT(upstream, U_NOW)));
    set(errand, E_LINK, Py_NewRef(Py_None));
    set(errand, E_STATUS, Py_NewRef(status));
    set(errand, E_PHASE, Py_NewRef(done_phase));
    PyObject *done = PyObject_CallMethodObjArgs(AT(errand, E_METER), name_count, status, elapsed, NULL);
    Py_XDECREF(done);
    if (done != NULL) {
        done = PyObject_CallFunctionObjArgs(AT(pool, P_COUNT), status, elapsed, NULL);
        Py_XDECREF(done);
    }
    if (done == NULL || add_to(site, S_SENT_BYTES, PyBytes_GET_SIZE(reply)) < 0)
        goto end;
    if (elapsed_us >= noted_from) {
        PyObject *sent = PyLong_FromSsize_t(PyBytes_GET_SIZE(reply));
        done = sent == NULL ? NULL : PyObject_CallMethodObjArgs(site, name_note, errand, elapsed, sent, NULL);
        Py_XDECREF(sent);
        Py_XDECREF(done);
        if (done == NULL)
            goto end;
    }
    PyObject *entry = AT(errand, E_ENTRY);
    if (entry != Py_None) {
        done = PyObject_CallMethodObjArgs(AT(site, S_BOARD), name_end, entry, NULL);
        Py_XDECREF(done);
        if (done == NULL)
            goto end;
        set(errand, E_ENTRY, Py_NewRef(Py_None));
    }
    set(connection, C_EXCHANGE, Py_NewRef(Py_None));
    if (call_write(AT(connection, C_TRANSPORT), reply) < 0)
        goto end;
    if (AT(errand, E_IS_PLAIN) == Py_True) {
        set(connection, C_INTAKE, Py_NewRef(idle_state));
        set(connection, C_DEADLINE, Py_NewRef(AT(site, S_IDLE_DEADLINE)));
    }
    else {
        done = PyObject_CallMethodNoArgs(connection, name_responded);
        Py_XDECREF(done);
        if (done == NULL)
            goto end;
    }
    failed = 0;
end:
    Py_XDECREF(elapsed);
    Py_XDECREF(reply);
    Py_DECREF(errand);
    Py_DECREF(connection);
    return failed ? -1 : 1;
}

static int
answer(PyObject *link, PyObject *data)
{
    if (!is_a(link, LINK) || !PyBytes_CheckExact(data))
        return 0;
    PyObject *errand = AT(link, L_BORROWER), *pool = AT(link, L_POOL);
    if (Py_TYPE(errand) != types[ERRAND] || AT(link, L_EXPECTED) == Py_None || !is_a(pool, POOL) ||
        AT(errand, E_IS_PLAIN) != Py_True || AT(errand, E_NOTES) != Py_None || AT(link, L_IS_CLOSED) != Py_False ||
        AT(link, L_IS_WRITE_BLOCKED) != Py_False || AT(link, L_IS_READING_PAUSED) != Py_False ||
        !PyBytes_CheckExact(AT(pool, P_VIA_LINE)))
        return 0;
    const char *bytes = PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data);
    const char *end = memmem(bytes, (size_t)size, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    Py_ssize_t head_size = end + 4 - bytes;
    PyObject *head = PyBytes_FromStringAndSize(bytes, head_size);
    if (head == NULL)
        return -1;
    PyObject *known = Py_XNewRef(PyDict_GetItemWithError(AT(pool, P_KNOWN), head));
    Py_DECREF(head);
    if (known == NULL && !PyErr_Occurred())
        known = composed(bytes, head_size, AT(pool, P_VIA_LINE));
    if (known == NULL)
        return PyErr_Occurred() ? -1 : 0;
    int done = PyTuple_Check(known) && PyTuple_GET_SIZE(known) == 3
                   ? give(link, errand, pool, known, bytes + head_size, size - head_size)
                   : 0;
    Py_DECREF(known);
    return done;
}

/* What `begin` sends, for tests: of a head, the tail of its route, the client's address and the most headers. */
static PyObject *
relay_request(PyObject *module, PyObject *args)
{
    PyObject *head, *tail, *client, *found = NULL;
    Py_ssize_t count_max;
    Plan known = {0};
    if (!PyArg_ParseTuple(args, "O!O!O!n:request", &PyBytes_Type, &head, &PyTuple_Type, &tail, &PyUnicode_Type, &client,
                          &count_max))
        return NULL;
    int is_usual = read_line(head, &known);
    if (is_usual > 0)
        known.head = compose_request(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), &known, tail, client, count_max);
    if (is_usual >= 0 && !PyErr_Occurred())
        found = known.head == NULL ? Py_NewRef(Py_None) : Py_BuildValue("OO", known.host, known.head);
    Py_XDECREF(known.method);
    Py_XDECREF(known.host);
    Py_XDECREF(known.head);
    return found;
}

static PyObject *
relay_compose(PyObject *module, PyObject *args)
{
    PyObject *head, *via_line;
    if (!PyArg_ParseTuple(args, "O!O!:compose", &PyBytes_Type, &head, &PyBytes_Type, &via_line))
        return NULL;
    PyObject *found = composed(PyBytes_AS_STRING(head), PyBytes_GET_SIZE(head), via_line);
    if (found == NULL && !PyErr_Occurred())
        Py_RETURN_NONE;
    return found;
}

static PyObject *
relay_finish(PyObject *module, PyObject *const *args, Py_ssize_t given)
{
    if (given != 2) {
        PyErr_SetString(PyExc_TypeError, "finish() takes a link and what it has received");
        return NULL;
    }
    int done = answer(args[0], args[1]);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

static int
find_slots(PyObject *described)
{
    Py_ssize_t slot = 0;
    if (PyTuple_GET_SIZE(described) != TYPE_COUNT) {
        PyErr_SetString(PyExc_TypeError, "attach() was told of another number of types");
        return -1;
    }
    for (Py_ssize_t type_at = 0; type_at < TYPE_COUNT; type_at++) {
        PyObject *type, *names;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(described, type_at), "O!O!", &PyType_Type, &type, &PyTuple_Type, &names))
            return -1;
        Py_XSETREF(types[type_at], (PyTypeObject *)Py_NewRef(type));
        for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(names); at++, slot++) {
            PyObject *descriptor = PyObject_GetAttr(type, PyTuple_GET_ITEM(names, at));
            if (descriptor == NULL)
                return -1;
            int is_slot = slot < SLOT_COUNT && Py_IS_TYPE(descriptor, &PyMemberDescr_Type) &&
                          ((PyMemberDescrObject *)descriptor)->d_member->type == T_OBJECT_EX;
            if (is_slot)
                offsets[slot] = ((PyMemberDescrObject *)descriptor)->d_member->offset;
            Py_DECREF(descriptor);
            if (!is_slot) {
                PyErr_Format(PyExc_TypeError, "%R is no slot of %R", PyTuple_GET_ITEM(names, at), type);
                return -1;
            }
        }
    }
    if (slot != SLOT_COUNT) {
        PyErr_SetString(PyExc_TypeError, "attach() was told of another number of slots");
        return -1;
    }
    PyTypeObject *errand = types[ERRAND];
    if (errand->tp_dictoffset || errand->tp_weaklistoffset || errand->tp_itemsize) {
        PyErr_SetString(PyExc_TypeError, "an errand has nothing but slots");
        return -1;
    }
    return 0;
}

static PyObject *
relay_attach(PyObject *module, PyObject *args)
{
    PyObject *described, *known_methods, *tags, *lines, *idle, *held, *done, *watched;
    if (!PyArg_ParseTuple(args, "O!O!O!O!O!O!O!O!:attach", &PyTuple_Type, &described, &PyDict_Type, &known_methods,
                          &PyDict_Type, &tags, &PyLong_Type, &idle, &PyLong_Type, &held, &PyLong_Type, &done,
                          &PyLong_Type, &watched, &PyDict_Type, &lines))
        return NULL;
    if (find_slots(described) < 0)
        return NULL;
    Py_XSETREF(methods, Py_NewRef(known_methods));
    Py_XSETREF(method_tags, Py_NewRef(tags));
    Py_XSETREF(idle_state, Py_NewRef(idle));
    Py_XSETREF(held_state, Py_NewRef(held));
    Py_XSETREF(done_phase, Py_NewRef(done));
    Py_XSETREF(status_lines, Py_NewRef(lines));
    Py_XSETREF(not_watched, Py_NewRef(watched));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"attach", relay_attach, METH_VARARGS, "Learn the classes and their slots."},
    {"begin", (PyCFunction)(void (*)(void))relay_begin, METH_FASTCALL, "Pass a usual request on; False: it is not."},
    {"request", relay_request, METH_VARARGS, "Make a server's head of a client's: (Host, head); None: not usual."},
    {"compose", relay_compose, METH_VARARGS, "Make the client's head of a server's: (status, size, head); None: not usual."},
    {"finish", (PyCFunction)(void (*)(void))relay_finish, METH_FASTCALL, "Pass a usual response back; False: it is not."},
    {NULL, NULL, 0, NULL},
};

static int
fill(PyObject *module)
{
    fill_tokens();
    struct { PyObject **name; const char *text; } words[] = {
        {&name_write, "write"}, {&name_begin, "begin"}, {&name_end, "end"}, {&name_count, "count"},
        {&name_find, "find"}, {&name_choose, "choose"}, {&name_hold, "hold"}, {&name_watch, "watch"},
        {&name_note, "note"}, {&name_responded, "responded"}, {&get_method, "GET"},
    };
    for (size_t at = 0; at < sizeof words / sizeof *words; at++)
        if (*words[at].name == NULL && (*words[at].name = PyUnicode_InternFromString(words[at].text)) == NULL)
            return -1;
    if (no_tried == NULL && (no_tried = PyTuple_New(0)) == NULL)
        return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "penstock.worker.gateway._relay",
    .m_doc = "The usual request through a gateway, in C; relay.py chooses between this and Python.",
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__relay(void)
{
    return PyModuleDef_Init(&definition);
}
