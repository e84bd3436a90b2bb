/* Where to cut a file: the native kernel.
 *
 * `_gear_reference.py` is the specification of every function here; both must give the same bytes for the same
 * arguments. The kernel knows nothing of files, ids or formats. It holds the caller's buffers for the length of one
 * call, takes no Python object into the loop and runs without the GIL, so that a writing thread may change the bytes
 * meanwhile: the cuts are then of no use, but every access stays within the bounds that were checked at the start.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_gear_table.h"

#define CHUNK_MIN ((Py_ssize_t)16 << 10)
#define CHUNK_TARGET ((Py_ssize_t)64 << 10)
#define CHUNK_MAX ((Py_ssize_t)256 << 10)
#define WINDOW ((Py_ssize_t)64) /* a byte leaves a 64-bit hash after 64 shifts */
#define STRICT_LIMIT (UINT64_C(1) << (64 - 18))
#define LOOSE_LIMIT (UINT64_C(1) << (64 - 14))

typedef struct {
    const uint8_t *data;
    Py_ssize_t offset;
    Py_ssize_t end;
    const uint8_t *starts; /* ascending 64-bit positions in the file, perhaps unaligned */
    Py_ssize_t starts_count;
    uint64_t base; /* where data[0] lies in the file */
    int final;
} Request;

static uint64_t start_at(const Request *request, Py_ssize_t i)
{
    uint64_t start;
    memcpy(&start, request->starts + i * (Py_ssize_t)sizeof start, sizeof start);
    return start;
}

/* Rolls the hash over data[from, to) and returns the length up to and including the first byte after which it lies
 * below the limit, or 0 if there is none; *hash then covers all of it.
 *
 * Four bytes a turn: h1..h4 all follow from the hash before them, so the chain from turn to turn is one shift and one
 * addition. */
static Py_ssize_t roll(const uint8_t *data, Py_ssize_t from, Py_ssize_t to, uint64_t limit, uint64_t *hash)
{
    uint64_t h = *hash;
    Py_ssize_t i = from;
    for (; to - i >= 4; i += 4) {
        const uint64_t t1 = GEAR[data[i]];
        const uint64_t t2 = (t1 << 1) + GEAR[data[i + 1]];
        const uint64_t t3 = (t2 << 1) + GEAR[data[i + 2]];
        const uint64_t t4 = (t3 << 1) + GEAR[data[i + 3]];
        if ((h << 1) + t1 < limit)
            return i + 1;
        if ((h << 2) + t2 < limit)
            return i + 2;
        if ((h << 3) + t3 < limit)
            return i + 3;
        h = (h << 4) + t4;
        if (h < limit)
            return i + 4;
    }
    for (; i < to; i++) {
        h = (h << 1) + GEAR[data[i]];
        if (h < limit)
            return i + 1;
    }
    *hash = h;
    return 0;
}

/* The length of the chunk that begins at `data`, of which `size` bytes may belong to it; 0 if they hold no cut. */
static Py_ssize_t length_of_chunk(const uint8_t *data, Py_ssize_t size)
{
    if (size < CHUNK_MIN)
        return 0;
    uint64_t h = 0;
    for (Py_ssize_t i = CHUNK_MIN - WINDOW; i < CHUNK_MIN - 1; i++)
        h = (h << 1) + GEAR[data[i]];
    /* The byte at i ends a chunk of i + 1 bytes: the limits change and end one byte before their lengths. */
    const Py_ssize_t strict_end = size < CHUNK_TARGET - 1 ? size : CHUNK_TARGET - 1;
    const Py_ssize_t loose_end = size < CHUNK_MAX - 1 ? size : CHUNK_MAX - 1;
    Py_ssize_t length = roll(data, CHUNK_MIN - 1, strict_end, STRICT_LIMIT, &h);
    if (length == 0)
        length = roll(data, strict_end, loose_end, LOOSE_LIMIT, &h);
    if (length == 0 && size >= CHUNK_MAX)
        length = CHUNK_MAX;
    return length;
}

/* Writes the end of each decided chunk to `ends`, which has room for one per CHUNK_MIN bytes and one more. */
static Py_ssize_t cut_all(const Request *request, uint64_t *ends)
{
    Py_ssize_t count = 0;
    Py_ssize_t next_start = 0;
    Py_ssize_t at = request->offset;
    while (at < request->end) {
        const uint64_t nearest = request->base + (uint64_t)at + (uint64_t)CHUNK_MIN;
        while (next_start < request->starts_count && start_at(request, next_start) < nearest)
            next_start++;
        Py_ssize_t stop = request->end;
        int stop_is_cut = request->final;
        if (next_start < request->starts_count) {
            const uint64_t start = start_at(request, next_start) - request->base;
            if (start <= (uint64_t)request->end) {
                stop = (Py_ssize_t)start;
                stop_is_cut = 1;
            }
        }
        const Py_ssize_t length = length_of_chunk(request->data + at, stop - at);
        if (length == 0 && !stop_is_cut)
            break;
        at = length ? at + length : stop;
        ends[count++] = (uint64_t)at;
    }
    return count;
}

/* Whether the buffer is one row of native unsigned 64-bit numbers. */
static int is_u64(const Py_buffer *view)
{
    const char *format = view->format;
    if (format == NULL || view->ndim != 1 || view->itemsize != 8)
        return 0;
    if (*format == '@')
        format++;
    return strcmp(format, "Q") == 0 || strcmp(format, "L") == 0;
}

static int ascend(const Request *request)
{
    int ok = 1;
    for (Py_ssize_t i = 1; i < request->starts_count; i++)
        ok &= start_at(request, i - 1) <= start_at(request, i);
    return ok;
}

/* Sets a Python exception and returns -1 unless the bounds hold that the loop relies on. */
static int check(const Request *request, Py_ssize_t size, Py_ssize_t base)
{
    if (request->offset < 0 || request->offset > request->end || request->end > size) {
        PyErr_Format(PyExc_ValueError, "0 <= offset <= end <= %zd does not hold for offset %zd, end %zd", size,
                     request->offset, request->end);
        return -1;
    }
    if (base < 0 || base > PY_SSIZE_T_MAX - size - CHUNK_MIN) {
        PyErr_Format(PyExc_ValueError, "base %zd does not lie in a file", base);
        return -1;
    }
    if (!ascend(request)) {
        PyErr_SetString(PyExc_ValueError, "starts do not ascend");
        return -1;
    }
    return 0;
}

static PyObject *cut_checked(const Request *request)
{
    const Py_ssize_t room = (request->end - request->offset) / CHUNK_MIN + 1;
    uint64_t *ends = malloc((size_t)room * sizeof *ends);
    if (ends == NULL)
        return PyErr_NoMemory();
    Py_ssize_t count;
    Py_BEGIN_ALLOW_THREADS
    count = cut_all(request, ends);
    Py_END_ALLOW_THREADS
    PyObject *result = PyBytes_FromStringAndSize((const char *)ends, count * (Py_ssize_t)sizeof *ends);
    free(ends);
    return result;
}

static PyObject *cut(PyObject *module, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"data", "offset", "end", "starts", "base", "final", NULL};
    Py_buffer data = {0};
    Py_buffer starts = {0};
    PyObject *starts_object;
    PyObject *result = NULL;
    Py_ssize_t base;
    Request request = {0};
    (void)module;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y*nnO$np:cut", names, &data, &request.offset, &request.end,
                                     &starts_object, &base, &request.final))
        goto done;
    if (PyObject_GetBuffer(starts_object, &starts, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) < 0)
        goto done;
    if (!is_u64(&starts)) {
        PyErr_SetString(PyExc_TypeError, "starts must be a flat buffer of unsigned 64-bit numbers, as array('Q')");
        goto done;
    }
    request.data = data.buf;
    request.starts = starts.buf;
    request.starts_count = starts.len / 8;
    request.base = (uint64_t)base;
    if (check(&request, data.len, base) == 0)
        result = cut_checked(&request);

done: /* a zeroed or refused buffer is released as a no-op */
    PyBuffer_Release(&starts);
    PyBuffer_Release(&data);
    return result;
}

static PyMethodDef methods[] = {
    {"cut", (PyCFunction)(void (*)(void))cut, METH_VARARGS | METH_KEYWORDS,
     "cut(data, offset, end, starts, *, base, final)\n--\n\n"
     "The ends of the chunks of data[offset:end], as native 64-bit numbers."},
    {NULL, NULL, 0, NULL},
};

static int exec_module(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "CHUNK_MIN", (long)CHUNK_MIN) < 0)
        return -1;
    if (PyModule_AddIntConstant(module, "CHUNK_TARGET", (long)CHUNK_TARGET) < 0)
        return -1;
    return PyModule_AddIntConstant(module, "CHUNK_MAX", (long)CHUNK_MAX);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec_module},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_gear",
    .m_doc = "Cuts bytes by their content; see _gear_reference for the rule.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__gear(void)
{
    return PyModuleDef_Init(&definition);
}
