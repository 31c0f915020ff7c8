/* The accelerator: a fast lane in front of the reference parser, aiomultipart/parser/push.py, and the search.

It decides nothing. What it reads is what nearly all messages are made of: delimiter lines without padding, header
blocks as nearly all senders write them, bodies, lengths that are right, text around the parts. Before anything else
(another line, a block that cannot be read, what might pass a limit) it stops, puts a reference into the same position
by its resume(), and from then on that has every call. So what comes out is what the reference would have made of it,
for every cut, and errors, limits and defects are its alone. LENIENT is read here where the input begins with a
delimiter line that ends in CRLF, unless it is an image stream.

Positions, as in the reference: HEADERS begins with the CRLF of a delimiter line, a body with that of the blank line, so
that CRLF "--b" is a delimiter at each of these places. What cannot be told yet is held, and joined to the next chunk.
A delimiter holds one CR, at its start: the end of a chunk can be the beginning of one delimiter at most.

Nothing is shared between messages. A parser is fed by one thread at a time: whoever comes between gets a StateError. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) || defined(_M_X64) || (defined(_M_IX86_FP) && _M_IX86_FP >= 2)
#define WITH_SSE2
#include <emmintrin.h>
#elif defined(__aarch64__) || defined(_M_ARM64)
#define WITH_NEON
#include <arm_neon.h>
#endif
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

#if PY_VERSION_HEX >= 0x030d0000
#define BEGIN_CRITICAL(op) Py_BEGIN_CRITICAL_SECTION(op)
#define END_CRITICAL() Py_END_CRITICAL_SECTION()
#else /* the GIL is the critical section */
#define BEGIN_CRITICAL(op) {
#define END_CRITICAL() }
#endif
#if PY_VERSION_HEX < 0x030c0000
#include <structmember.h>
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#endif

typedef unsigned char byte;

/* The search */

#if defined(WITH_SSE2) || defined(WITH_NEON)
#define WITH_LANES
enum { LANES = 16 };

static inline int
lowest_bit(uint64_t mask)
{
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long index;
    if (_BitScanForward(&index, (unsigned long)mask)) {
        return (int)index;
    }
    _BitScanForward(&index, (unsigned long)(mask >> 32));
    return (int)index + 32;
#else
    return __builtin_ctzll(mask);
#endif
}
#endif

#if defined(WITH_SSE2)
typedef __m128i Lanes;
enum { BITS = 1 }; /* of a mask, for each lane */
#define FILLED(value) _mm_set1_epi8((char)(value))
#define EQUAL(lanes, at) _mm_cmpeq_epi8(lanes, _mm_loadu_si128((const __m128i *)(at)))
#define AND(one, other) _mm_and_si128(one, other)
#define OR(one, other) _mm_or_si128(one, other)
#define MASK(lanes) ((uint64_t)(unsigned int)_mm_movemask_epi8(lanes))
#elif defined(WITH_NEON)
typedef uint8x16_t Lanes;
enum { BITS = 4 }; /* NEON has no movemask, but a shift that narrows */
#define FILLED(value) vdupq_n_u8(value)
#define EQUAL(lanes, at) vceqq_u8(lanes, vld1q_u8(at))
#define AND(one, other) vandq_u8(one, other)
#define OR(one, other) vorrq_u8(one, other)
#define MASK(lanes) \
    (vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(lanes), 4)), 0) & 0x1111111111111111u)
#endif

/* Where needle begins in text, or -1. Its first and last byte are compared at 16 places at a time, and the rest where
   both are right, from left to right. That is linear where the first byte stands nowhere else in the needle: what has
   been found to be like its beginning holds no other. The needle has at least two bytes. */
static Py_ssize_t
search(const byte *text, Py_ssize_t size, const byte *needle, Py_ssize_t length)
{
    Py_ssize_t at = 0;
    const Py_ssize_t to_last = length - 1;
#if defined(WITH_LANES)
    const Lanes first = FILLED(needle[0]), last = FILLED(needle[to_last]);
#define BOTH(place) AND(EQUAL(first, text + (place)), EQUAL(last, text + (place) + to_last))
    while (at + to_last + LANES <= size) {
        if (at + to_last + 4 * LANES <= size) { /* mostly there is nothing in four times as many */
            Lanes low = OR(BOTH(at), BOTH(at + LANES)), high = OR(BOTH(at + 2 * LANES), BOTH(at + 3 * LANES));
            if (MASK(OR(low, high)) == 0) {
                at += 4 * LANES;
                continue;
            }
        }
        for (uint64_t mask = MASK(BOTH(at)); mask; mask &= mask - 1) {
            Py_ssize_t found = at + lowest_bit(mask) / BITS;
            if (memcmp(text + found + 1, needle + 1, (size_t)to_last) == 0) {
                return found;
            }
        }
        at += LANES;
    }
#undef BOTH
#endif
    while (at + length <= size) {
        const byte *found = memchr(text + at, needle[0], (size_t)(size - to_last - at));
        if (found == NULL) {
            return -1;
        }
        if (memcmp(found + 1, needle + 1, (size_t)to_last) == 0) {
            return found - text;
        }
        at = found - text + 1;
    }
    return -1;
}

PyDoc_STRVAR(find_doc, "find(data, needle, start=0, /)\n--\n\n"
    "Where needle begins in data from start on; -1 if it is not there.\n\n"
    "The first byte of needle must not be in it again: so the search is linear, whatever data is.");

static PyObject *
accelerator_find(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer data, needle;
    Py_ssize_t start = 0, found = -1;
    if (!PyArg_ParseTuple(args, "y*y*|n:find", &data, &needle, &start)) {
        return NULL;
    }
    const byte *wanted = needle.buf;
    if (start < 0) {
        PyErr_SetString(PyExc_ValueError, "start must not be negative");
    }
    else if (needle.len < 2 || memchr(wanted + 1, wanted[0], (size_t)needle.len - 1) != NULL) {
        PyErr_SetString(PyExc_ValueError, "needle must have two bytes or more, and its first byte only once");
    }
    else if (start < data.len) {
        found = search((const byte *)data.buf + start, data.len - start, wanted, needle.len);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&needle);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(found < 0 ? -1 : start + found);
}

/* Octets to characters: base64 in lines of 76 characters, as RFC 2045 section 6.8 has them. */

enum { LINE_OCTETS = 57, LINE_SIZE = 78 };
static const char BASE64[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

PyDoc_STRVAR(base64_lines_doc,
"base64_lines(octets, /)\n--\n\n"
"Whole lines of base64, each with its CRLF; ``octets`` are 57 for each of them.");

static PyObject *
accelerator_base64_lines(PyObject *Py_UNUSED(module), PyObject *op)
{
    Py_buffer octets;
    if (PyObject_GetBuffer(op, &octets, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    const Py_ssize_t count = octets.len / LINE_OCTETS;
    PyObject *lines = NULL;
    if (octets.len % LINE_OCTETS) {
        PyErr_SetString(PyExc_ValueError, "octets must be 57 for each line");
    }
    else if (count > PY_SSIZE_T_MAX / LINE_SIZE) {
        PyErr_NoMemory();
    }
    else {
        lines = PyBytes_FromStringAndSize(NULL, count * LINE_SIZE);
    }
    if (lines != NULL) {
        const byte *from = octets.buf, *end = from + octets.len;
        char *to = PyBytes_AS_STRING(lines);
        while (from < end) {
            for (const byte *line = from + LINE_OCTETS; from < line; from += 3, to += 4) {
                to[0] = BASE64[from[0] >> 2];
                to[1] = BASE64[(from[0] & 3) << 4 | from[1] >> 4];
                to[2] = BASE64[(from[1] & 15) << 2 | from[2] >> 6];
                to[3] = BASE64[from[2] & 63];
            }
            *to++ = '\r';
            *to++ = '\n';
        }
    }
    PyBuffer_Release(&octets);
    return lines;
}

/* What the module knows of the parser's room; connect() tells it. */

/* The slots of PartBegin, filled by their offsets: there is one class for both parsers. */
enum {
    SLOT_HEADERS, SLOT_MEDIA_TYPE, SLOT_BOUNDARY, SLOT_CONTENT_LENGTH, SLOT_CONTENT_TYPE, SLOT_DEFECTS,
    SLOT_DISPOSITION_TYPE, SLOT_FILENAME, SLOT_FORM_DATA, SLOT_INDEX, SLOT_NAME, SLOT_OFFSET, SLOT_RAW,
    SLOT_TRANSFER_ENCODING, SLOTS
};
static const char *const SLOT_NAMES[SLOTS] = {
    "_headers", "_media_type", "boundary", "content_length", "content_type", "defects", "disposition_type", "filename",
    "form_data", "index", "name", "offset", "raw", "transfer_encoding",
};

/* The bounds of Limits that the lane must not pass, read the same way. */
enum {
    MAX_BOUNDARY_LENGTH, MAX_HEADERS, MAX_HEADER_LINE, MAX_HEADER_BYTES, MAX_TOTAL_HEADER_BYTES, MAX_PARAMETERS,
    MAX_PARTS, MAX_PART_SIZE, MAX_TOTAL_SIZE, MAX_PREAMBLE, MAX_EPILOGUE, BOUNDS
};
static const char *const BOUND_NAMES[BOUNDS] = {
    "max_boundary_length", "max_headers", "max_header_line", "max_header_bytes", "max_total_header_bytes",
    "max_parameters", "max_parts", "max_part_size", "max_total_size", "max_preamble", "max_epilogue",
};

/* Objects that connect() is given, in the order of its arguments, and words. */
enum {
    PART_BEGIN, PART_END, END, LIMITS, DEFAULT_LIMITS, STRICT, STANDARD, LENIENT, MULTIPART_ERROR, STATE_ERROR,
    CHECK_ARGUMENTS, RESUME, GIVEN
};
enum {
    W_BOUNDARY = GIVEN, W_SUBTYPE, W_LIMITS, W_POLICY, W_CALLBACKS, /* as the arguments of a parser */
    W_FORM_DATA, W_MIXED, W_IMAGES, W_GET, W_LOWER, W_FEED, W_FEED_AFTER, W_CLOSE, W_DROP, W_ERROR, W_ENDED, W_CLOSED,
    W_PART, W_ON_PART_BEGIN, W_ON_PART_DATA, W_ON_PART_END, W_ON_END, OBJECTS
};
static const char *const WORDS[OBJECTS - GIVEN] = {
    "boundary", "subtype", "limits", "policy", "callbacks", "form-data", "mixed", "x-mixed-replace", "get", "lower",
    "feed", "feed_after", "close", "drop", "error", "ended", "closed", "part", "on_part_begin", "on_part_data",
    "on_part_end", "on_end",
};

typedef struct {
    PyObject *objects[OBJECTS];
    PyObject *type;
    Py_ssize_t slots[SLOTS];
    Py_ssize_t bounds[BOUNDS];
    int connected;
} Module;

static struct PyModuleDef definition;

/* As in aiomultipart/parser/states.py. PRISTINE leaves a reference as it was made. */
enum {
    PRISTINE = 0, PREAMBLE = 2, HEADERS = 3, BODY = 4, COUNTED_BODY = 5, COUNTED_END = 6, SURPLUS = 7, EPILOGUE = 8,
    CLOSED = 9, FAILED = 10
};

enum {
    LONGEST_BOUNDARY = 70,
    LONGEST_BLOCK = 8192, /* of headers; longer ones are the reference's */
    SHOWN = 60            /* bytes of a preamble that an error shows */
};

typedef struct {
    PyObject_HEAD
    PyObject *boundary; /* NULL before __init__() */
    PyObject *subtype;
    PyObject *limits;
    PyObject *policy;
    PyObject *callbacks; /* NULL without */
    PyObject *defects;
    PyObject *usage;     /* parts and header bytes, shared with nested parsers */
    PyObject *part;      /* the last one; NULL before the first */
    PyObject *held;      /* bytes that cannot be told yet; NULL for none */
    PyObject *reference; /* which has every call, once there is one */
    Py_ssize_t depth;
    int64_t offset; /* of what comes next */
    int64_t start;  /* offset of the preamble, body or epilogue in hand */
    int64_t length; /* of a counted body */
    int64_t index;  /* of the next part */
    int64_t bounds[BOUNDS]; /* INT64_MAX for none */
    int state;
    char is_lane; /* whether anything may be read here */
    char is_strict;
    char is_lenient;
    char is_form_data;
    char counts;  /* whether there is a limit on all parts together */
    char fresh;   /* no byte has come yet: the input begins with a CRLF that nobody sent */
    char dropped; /* nobody wants the body in hand */
    char busy;    /* a call is at work */
    byte first_size;
    byte size;    /* of the delimiter */
    byte first[SHOWN];
    byte delimiter[LONGEST_BOUNDARY + 4];
} Parser;

/* One chunk at work. */
typedef struct {
    Module *module;
    Parser *parser;
    PyObject *events; /* NULL where there are callbacks */
    PyObject *data;   /* bytes: the chunk, or what was held and the chunk */
    const byte *bytes;
    Py_ssize_t size;
    Py_ssize_t at;    /* how far it was read */
    int64_t base;     /* the offset of its first byte */
} Work;

/* What a step says. ODD: nothing from `at` on was taken, it is the reference's. */
enum { RAISED = -1, FINE = 0, ODD = 1 };

/* What stands after a boundary. */
enum { DELIMITER_LINE, CLOSE_LINE, CUT_LINE, ODD_LINE };

/* The module of a parser, which an odd moment of the interpreter's end can have taken away. */
static Module *
module_of(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &definition);
    if (module == NULL) {
        return NULL;
    }
    Module *state = PyModule_GetState(module);
    if (!state->connected) {
        PyErr_SetString(PyExc_RuntimeError, "the accelerator is not connected; import aiomultipart.parser first");
        return NULL;
    }
    return state;
}

/* Events */

/* Append an event, or call its callback; `piece` is that of a body, NULL for the others. */
static int
emit(Work *work, PyObject *event, int word, PyObject *piece)
{
    if (work->events != NULL) {
        return PyList_Append(work->events, event);
    }
    PyObject *const *objects = work->module->objects;
    PyObject *callback = PyObject_CallMethodOneArg(work->parser->callbacks, objects[W_GET], objects[word]);
    if (callback == NULL) {
        return RAISED;
    }
    PyObject *result;
    if (callback == Py_None) {
        result = Py_NewRef(Py_None);
    }
    else if (piece == NULL) {
        result = PyObject_CallNoArgs(callback);
    }
    else {
        result = PyObject_CallFunction(callback, "Oin", piece, 0, PyBytes_GET_SIZE(piece));
    }
    Py_DECREF(callback);
    Py_XDECREF(result);
    return result == NULL ? RAISED : FINE;
}

static int
emit_part_end(Work *work)
{
    return emit(work, work->module->objects[PART_END], W_ON_PART_END, NULL);
}

/* Hand on data[start:end]; a chunk that is only body as the object that came in. */
static int
emit_data(Work *work, Py_ssize_t start, Py_ssize_t end)
{
    PyObject *piece = start == 0 && end == work->size
        ? Py_NewRef(work->data) : PyBytes_FromStringAndSize((const char *)work->bytes + start, end - start);
    if (piece == NULL) {
        return RAISED;
    }
    int result = emit(work, piece, W_ON_PART_DATA, piece);
    Py_DECREF(piece);
    return result;
}

/* Text: preamble and bodies */

/* Hand on data[start:end] of a body; count it before the first part. The CRLF before a body is no part of it. */
static int
deliver(Work *work, Py_ssize_t start, Py_ssize_t end)
{
    Parser *self = work->parser;
    int64_t begin = self->start - work->base;
    if (start < begin) {
        start = begin < end ? (Py_ssize_t)begin : end;
    }
    if (start >= end) {
        return FINE;
    }
    if (self->state != PREAMBLE) {
        if (end - begin > self->bounds[MAX_PART_SIZE]) {
            return ODD;
        }
        return self->dropped ? FINE : emit_data(work, start, end);
    }
    if ((self->is_form_data && self->is_strict) || end - begin > self->bounds[MAX_PREAMBLE]) {
        return ODD;
    }
    int64_t room = (self->bounds[MAX_PREAMBLE] < SHOWN ? self->bounds[MAX_PREAMBLE] : SHOWN) - self->first_size;
    if (room > 0) {
        byte size = (byte)(end - start < room ? end - start : room);
        memcpy(self->first + self->first_size, work->bytes + start, size);
        self->first_size += size;
    }
    return FINE;
}

/* From where data[start:stop], in which no delimiter is, may begin one; stop if none of it does. */
static Py_ssize_t
hold_from(const Work *work, Py_ssize_t start, Py_ssize_t stop)
{
    const Parser *self = work->parser;
    Py_ssize_t tail = stop - self->size + 1;
    for (Py_ssize_t cut = stop - 1; cut >= start && cut >= tail; cut--) {
        if (work->bytes[cut] == '\r') {
            return memcmp(work->bytes + cut, self->delimiter, (size_t)(stop - cut)) == 0 ? cut : stop;
        }
    }
    return stop;
}

/* Keep what is there from a position on for the next chunk. */
static int
hold(Work *work, Py_ssize_t from)
{
    if (from < work->size) {
        PyObject *held = PyBytes_FromStringAndSize((const char *)work->bytes + from, work->size - from);
        if (held == NULL) {
            return RAISED;
        }
        Py_XSETREF(work->parser->held, held);
    }
    work->at = work->size;
    return FINE;
}

/* What follows a boundary that ends at a position. Lines with padding are odd here. */
static int
read_line(const Work *work, Py_ssize_t after)
{
    const byte *line = work->bytes + after;
    Py_ssize_t size = work->size - after;
    if (size >= 2 && line[0] == '\r' && line[1] == '\n') {
        return DELIMITER_LINE;
    }
    if (size >= 4 && memcmp(line, "--\r\n", 4) == 0) {
        return CLOSE_LINE;
    }
    if (size == 0 || (size == 1 && line[0] == '\r') || (size < 4 && memcmp(line, "--\r", (size_t)size) == 0)) {
        return CUT_LINE;
    }
    return ODD_LINE;
}

/* The close-delimiter ends at `at`. */
static int
end_message(Work *work)
{
    work->parser->state = EPILOGUE;
    work->parser->start = work->base + work->at;
    return emit(work, work->module->objects[END], W_ON_END, NULL);
}

/* A delimiter line, of the kind that read_line() said, has been read up to the end of its boundary. */
static int
take_line(Work *work, Py_ssize_t after, int kind)
{
    Parser *self = work->parser;
    if ((self->state == BODY || (self->state == COUNTED_END && self->is_strict)) && emit_part_end(work) < 0) {
        return RAISED;
    }
    if (kind == DELIMITER_LINE) {
        self->state = HEADERS;
        work->at = after;
        return FINE;
    }
    work->at = after + 4;
    return end_message(work);
}

/* PREAMBLE and BODY: up to a delimiter line. */
static int
read_text(Work *work)
{
    Parser *self = work->parser;
    Py_ssize_t at = work->at;
    Py_ssize_t found = search(work->bytes + at, work->size - at, self->delimiter, self->size);
    Py_ssize_t begin = found < 0 ? hold_from(work, at, work->size) : at + found, after = begin + self->size;
    int kind = found < 0 ? CUT_LINE : read_line(work, after);
    if (kind == ODD_LINE) {
        return ODD;
    }
    int result = deliver(work, at, begin);
    if (result != FINE) {
        return result;
    }
    return kind == CUT_LINE ? hold(work, begin) : take_line(work, after, kind);
}

/* PREAMBLE, at the first byte of all: a delimiter may begin with the CRLF that nobody sent. */
static int
read_first(Work *work)
{
    Parser *self = work->parser;
    Py_ssize_t after = self->size - 2, size = work->size < after ? work->size : after;
    int is_text = memcmp(work->bytes, self->delimiter + 2, (size_t)size) != 0;
    int kind = is_text ? ODD_LINE : size < after ? CUT_LINE : read_line(work, after);
    if (self->is_lenient ? kind != DELIMITER_LINE : kind == ODD_LINE && !is_text) {
        return ODD;
    }
    self->fresh = 0;
    if (is_text) {
        return FINE;
    }
    if (kind != CUT_LINE) {
        return take_line(work, after, kind);
    }
    self->held = PyBytes_FromFormat("\r\n%s", PyBytes_AS_STRING(work->data));
    work->at = work->size;
    return self->held == NULL ? RAISED : FINE;
}

/* Bodies with a Content-Length */

/* The body is complete, and in hand from `at` on. */
static int
complete(Work *work, Py_ssize_t end)
{
    Parser *self = work->parser;
    int result = deliver(work, work->at, end);
    if (result == FINE && !self->is_strict) {
        result = emit_part_end(work);
    }
    if (result == FINE) {
        self->state = self->is_lenient ? SURPLUS : COUNTED_END;
        if (self->length > 0) { /* else the CRLF of the blank line may be the delimiter's */
            work->at = end;
        }
    }
    return result;
}

/* COUNTED_BODY: as many bytes as announced. A delimiter in it is odd. */
static int
read_counted(Work *work)
{
    Parser *self = work->parser;
    int64_t end = self->start + self->length - work->base;
    Py_ssize_t at = work->at, stop = end < work->size ? (Py_ssize_t)end : work->size;
    if (search(work->bytes + at, stop - at, self->delimiter, self->size) >= 0) {
        return ODD;
    }
    Py_ssize_t begin = hold_from(work, at, stop);
    if (stop == end) {
        return begin < stop && self->is_lenient ? ODD : complete(work, stop);
    }
    int result = deliver(work, at, begin);
    return result == FINE ? hold(work, begin) : result;
}

/* COUNTED_END and SURPLUS: a delimiter line, and nothing else. */
static int
read_counted_end(Work *work)
{
    Parser *self = work->parser;
    Py_ssize_t start = (Py_ssize_t)(self->start + self->length - work->base);
    if (work->at < start) { /* no body: at the CRLF of the blank line */
        if (work->size == start) {
            return hold(work, work->at);
        }
        if (work->bytes[start] != '-') {
            work->at = start;
        }
    }
    Py_ssize_t left = work->size - work->at, size = left < self->size ? left : self->size;
    if (memcmp(work->bytes + work->at, self->delimiter, (size_t)size) != 0) {
        return ODD;
    }
    int kind = left < self->size ? CUT_LINE : read_line(work, work->at + self->size);
    if (kind == ODD_LINE) {
        return ODD;
    }
    return kind == CUT_LINE ? hold(work, work->at) : take_line(work, work->at + self->size, kind);
}

/* EPILOGUE: counted, and ignored. */
static int
read_epilogue(Work *work)
{
    Parser *self = work->parser;
    if ((self->is_form_data && self->is_strict)
        || work->base + work->size - self->start > self->bounds[MAX_EPILOGUE]) {
        return ODD;
    }
    work->at = work->size;
    return FINE;
}

/* Header blocks. What is read here is usual_field_line of aiomultipart/grammar/fields.py, names in any case and white
   space around values, beside other fields that nobody looks at:

   Content-Disposition: ([a-z\-]+) [; name="PLAIN"] [; filename="PLAIN"]    PLAIN: no " \ % or control character
   Content-Type: token/token [; charset=token]                             not of multipart
   Content-Length: 1 to 18 digits
   Content-Transfer-Encoding: visible ASCII                                not in form-data */

typedef struct {
    const byte *begin; /* NULL: it is not there */
    const byte *end;
} Span;

typedef struct {
    Span type, name, filename, content_type, transfer_encoding;
    int64_t length; /* -1: it is not there */
} Fields;

/* RFC 9110 section 5.6.2: the characters of a token, a bit for each of the first 128. */
static const uint64_t TOKEN[2] = {0x03ff6cfa00000000u, 0x57ffffffc7fffffeu};

static inline int
is_token(byte c)
{
    return c < 128 && (TOKEN[c >> 6] >> (c & 63) & 1);
}

static inline int
is_blank(byte c)
{
    return c == ' ' || c == '\t';
}

static inline int
is_control(byte c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* Whether a token is this word, which is in lower case, in any case. */
static inline int
is_word(const Span *token, const char *word)
{
    const size_t size = strlen(word);
    if ((size_t)(token->end - token->begin) != size) {
        return 0;
    }
    for (size_t i = 0; i < size; i++) {
        if ((token->begin[i] | 0x20) != (byte)word[i]) { /* no token character but a letter becomes one */
            return 0;
        }
    }
    return 1;
}

/* Go on behind a text, if it is there. */
static inline int
skip(const byte **at, const byte *end, const char *text)
{
    const size_t size = strlen(text);
    if ((size_t)(end - *at) < size || memcmp(*at, text, size) != 0) {
        return 0;
    }
    *at += size;
    return 1;
}

/* The same for a token. */
static inline int
skip_token(const byte **at, const byte *end)
{
    const byte *begin = *at;
    while (*at < end && is_token(**at)) {
        ++*at;
    }
    return *at > begin;
}

/* The field line that begins at a position of a block, and is left behind; 0 if it is none. */
static int
read_field(const byte **place, const byte *end, Span *name, Span *value)
{
    const byte *at = name->begin = *place;
    if (!skip_token(&at, end) || at == end || *at != ':') {
        return 0;
    }
    name->end = at++;
    while (at < end && is_blank(*at)) {
        at++;
    }
    value->begin = at;
    while (at < end && !is_control(*at)) {
        at++;
    }
    value->end = at;
    while (value->end > value->begin && is_blank(value->end[-1])) {
        value->end--;
    }
    *place = at;
    return at == end || (skip(place, end, "\r\n") && *place < end); /* a line follows each CRLF of a block */
}

/* The rest of a quoted value. */
static int
read_quoted(const byte **at, const byte *end, Span *value)
{
    value->begin = *at;
    while (*at < end && **at != '"' && **at != '\\' && **at != '%' && **at >= 0x20) {
        ++*at;
    }
    value->end = *at;
    return skip(at, end, "\"");
}

static int
read_disposition(const Span *value, Fields *fields)
{
    const byte *at = value->begin, *end = value->end;
    if (fields->type.begin != NULL) {
        return 0;
    }
    while (at < end && ((*at >= 'a' && *at <= 'z') || *at == '-')) {
        at++;
    }
    fields->type = (Span){value->begin, at};
    return at > value->begin
        && (!skip(&at, end, "; name=\"") || read_quoted(&at, end, &fields->name))
        && (!skip(&at, end, "; filename=\"") || read_quoted(&at, end, &fields->filename))
        && at == end;
}

static int
read_content_type(const Span *value, Fields *fields)
{
    const byte *at = value->begin, *end = value->end;
    if (fields->content_type.begin != NULL || !skip_token(&at, end)) {
        return 0;
    }
    const Span type = {value->begin, at};
    if (is_word(&type, "multipart") || !skip(&at, end, "/") || !skip_token(&at, end)) {
        return 0;
    }
    fields->content_type = (Span){value->begin, at};
    return at == end || (skip(&at, end, "; charset=") && skip_token(&at, end) && at == end);
}

static int
read_length(const Span *value, int is_form_data, Fields *fields)
{
    int64_t length = 0;
    if (value->begin == value->end || value->end - value->begin > 18) {
        return 0;
    }
    for (const byte *at = value->begin; at < value->end; at++) {
        if (*at < '0' || *at > '9') {
            return 0;
        }
        length = 10 * length + (*at - '0');
    }
    if (is_form_data) {
        return 1; /* ignored, even twice (RFC 7578 section 4.8) */
    }
    const int is_first = fields->length < 0;
    fields->length = length;
    return is_first;
}

static int
read_transfer_encoding(const Span *value, int is_form_data, Fields *fields)
{
    if (is_form_data || fields->transfer_encoding.begin != NULL) {
        return 0;
    }
    for (const byte *at = value->begin; at < value->end; at++) {
        if (*at > 0x7e) {
            return 0;
        }
    }
    fields->transfer_encoding = *value;
    return 1;
}

/* Whether a block is read here: if so, what it says. */
static int
read_fields(const byte *at, const byte *end, int is_form_data, Fields *fields)
{
    Span name, value;
    memset(fields, 0, sizeof(*fields));
    fields->length = -1;
    if (at == end) {
        return 0;
    }
    while (at < end) {
        if (!read_field(&at, end, &name, &value)
            || (is_word(&name, "content-disposition") && !read_disposition(&value, fields))
            || (is_word(&name, "content-type") && !read_content_type(&value, fields))
            || (is_word(&name, "content-length") && !read_length(&value, is_form_data, fields))
            || (is_word(&name, "content-transfer-encoding") && !read_transfer_encoding(&value, is_form_data, fields))) {
            return 0;
        }
    }
    return !is_form_data || (fields->name.begin != NULL && is_word(&fields->type, "form-data"));
}

/* The text of a span; None where there is none. */
static PyObject *
text_of(const Span *span)
{
    if (span->begin == NULL) {
        return Py_NewRef(Py_None);
    }
    return PyUnicode_DecodeUTF8((const char *)span->begin, span->end - span->begin, NULL);
}

/* The same of ASCII, in lower case. */
static PyObject *
lower_text_of(const Span *span)
{
    if (span->begin == NULL) {
        return Py_NewRef(Py_None);
    }
    PyObject *text = PyUnicode_New(span->end - span->begin, 127);
    if (text != NULL) {
        byte *to = PyUnicode_1BYTE_DATA(text);
        for (const byte *at = span->begin; at < span->end; at++) {
            *to++ = *at >= 'A' && *at <= 'Z' ? *at | 0x20 : *at;
        }
    }
    return text;
}

static inline PyObject **
slot(const Module *module, PyObject *part, int number)
{
    return (PyObject **)((char *)part + module->slots[number]);
}

/* Fill a slot of a new part; a value that is NULL is an exception. */
static inline int
put(const Module *module, PyObject *part, int number, PyObject *value)
{
    *slot(module, part, number) = value;
    return value == NULL ? RAISED : FINE;
}

/* A PartBegin with what was read; NULL with an exception, which is a UnicodeDecodeError where a name is not UTF-8. */
static PyObject *
make_part(Work *work, const Fields *fields, PyObject *raw, int64_t offset)
{
    Module *module = work->module;
    Parser *self = work->parser;
    PyTypeObject *type = (PyTypeObject *)module->objects[PART_BEGIN];
    PyObject *part = type->tp_alloc(type, 0);
    if (part == NULL) {
        return NULL;
    }
    const int has_length = fields->length >= 0;
    if (put(module, part, SLOT_HEADERS, Py_NewRef(Py_None)) < 0
        || put(module, part, SLOT_MEDIA_TYPE, Py_NewRef(Py_None)) < 0
        || put(module, part, SLOT_BOUNDARY, Py_NewRef(Py_None)) < 0
        || put(module, part, SLOT_CONTENT_LENGTH,
               has_length ? PyLong_FromLongLong(fields->length) : Py_NewRef(Py_None)) < 0
        || put(module, part, SLOT_CONTENT_TYPE, lower_text_of(&fields->content_type)) < 0
        || put(module, part, SLOT_DEFECTS, PyTuple_New(0)) < 0
        || put(module, part, SLOT_DISPOSITION_TYPE,
               self->is_form_data ? Py_NewRef(module->objects[W_FORM_DATA]) : text_of(&fields->type)) < 0
        || put(module, part, SLOT_FILENAME, text_of(&fields->filename)) < 0
        || put(module, part, SLOT_FORM_DATA, PyBool_FromLong(self->is_form_data)) < 0
        || put(module, part, SLOT_INDEX, PyLong_FromLongLong(self->index)) < 0
        || put(module, part, SLOT_NAME, text_of(&fields->name)) < 0
        || put(module, part, SLOT_OFFSET, PyLong_FromLongLong(offset)) < 0
        || put(module, part, SLOT_RAW, Py_NewRef(raw)) < 0
        || put(module, part, SLOT_TRANSFER_ENCODING, text_of(&fields->transfer_encoding)) < 0) {
        Py_DECREF(part);
        return NULL;
    }
    return part;
}

/* The PartBegin of any other block, read in Python: FINE if there is nothing to forgive. */
static int
make_part_in_python(Work *work, PyObject *raw, int64_t offset, PyObject **part)
{
    Module *module = work->module;
    Parser *self = work->parser;
    *part = PyObject_CallFunction(
        module->objects[PART_BEGIN], "OOOOLL", raw, self->is_form_data ? Py_True : Py_False, self->policy, self->limits,
        (long long)self->index, (long long)offset);
    if (*part == NULL) {
        if (!PyErr_ExceptionMatches(module->objects[MULTIPART_ERROR])) {
            return RAISED;
        }
        PyErr_Clear(); /* the reference finds it again, and says where */
        return ODD;
    }
    PyObject *defects = *slot(module, *part, SLOT_DEFECTS);
    if (defects != NULL && PyTuple_CheckExact(defects) && PyTuple_GET_SIZE(defects) == 0) {
        return FINE;
    }
    Py_CLEAR(*part);
    return ODD;
}

/* Count a part of the message: ODD, and nothing counted, where that would pass a limit. */
static int
count(Parser *self, Py_ssize_t size)
{
    const int64_t most[2] = {self->bounds[MAX_PARTS], self->bounds[MAX_TOTAL_HEADER_BYTES]}, more[2] = {1, size};
    PyObject *sums[2] = {NULL, NULL};
    int result = FINE;
    for (int i = 0; i < 2 && result == FINE; i++) {
        PyObject *so_far = PySequence_GetItem(self->usage, i);
        int64_t sum = so_far == NULL ? 0 : PyLong_AsLongLong(so_far);
        Py_XDECREF(so_far);
        if (PyErr_Occurred()) {
            result = RAISED;
        }
        else if (sum > most[i] - more[i]) {
            result = ODD;
        }
        else if ((sums[i] = PyLong_FromLongLong(sum + more[i])) == NULL) {
            result = RAISED;
        }
    }
    for (int i = 0; i < 2; i++) {
        if (result == FINE) {
            result = PySequence_SetItem(self->usage, i, sums[i]);
        }
        Py_XDECREF(sums[i]);
    }
    return result;
}

/* HEADERS, and the block is here: data[origin:end]. */
static int
begin_part(Work *work, Py_ssize_t origin, Py_ssize_t end, Py_ssize_t after)
{
    Parser *self = work->parser;
    Fields fields;
    PyObject *part = NULL;
    int64_t offset = work->base + origin;
    PyObject *raw = PyBytes_FromStringAndSize((const char *)work->bytes + origin, end - origin);
    if (raw == NULL) {
        return RAISED;
    }
    /* A disposition has two parameters here at most. */
    if (self->bounds[MAX_PARAMETERS] > 1
        && read_fields(work->bytes + origin, work->bytes + end, self->is_form_data, &fields)) {
        part = make_part(work, &fields, raw, offset);
        if (part == NULL && !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            Py_DECREF(raw);
            return RAISED;
        }
        PyErr_Clear();
    }
    int result = part != NULL ? FINE : make_part_in_python(work, raw, offset, &part);
    Py_DECREF(raw);
    if (result == FINE && self->counts) {
        result = count(self, end - origin);
    }
    PyObject *length = part == NULL ? NULL : *slot(work->module, part, SLOT_CONTENT_LENGTH);
    int is_counted = length != NULL && length != Py_None;
    if (result == FINE && is_counted) {
        self->length = PyLong_AsLongLong(length);
        result = self->length < 0 ? RAISED : FINE;
    }
    if (result != FINE) {
        Py_XDECREF(part);
        return result;
    }
    Py_XSETREF(self->part, Py_NewRef(part));
    self->index++;
    self->state = BODY;
    self->start = work->base + after;
    self->dropped = 0;
    work->at = after - 2;
    result = emit(work, part, W_ON_PART_BEGIN, NULL);
    Py_DECREF(part);
    if (result == FINE && is_counted) {
        self->state = COUNTED_BODY;
        if (self->length == 0) {
            return complete(work, after);
        }
    }
    return result;
}

/* HEADERS: from the line end of a delimiter line to that of the blank line. */
static int
read_headers(Work *work)
{
    Parser *self = work->parser;
    Py_ssize_t at = work->at, origin = at + 2, end = work->size, lines = 1;
    Py_ssize_t found = search(work->bytes + at, work->size - at, (const byte *)"\r\n\r\n", 4);
    if (found >= 0) {
        end = found == 0 ? origin : at + found;
    }
    if (end > origin && work->bytes[origin] == '-') {
        return ODD; /* perhaps another delimiter */
    }
    if (end - origin > LONGEST_BLOCK || end - origin > self->bounds[MAX_HEADER_LINE]
        || end - origin > self->bounds[MAX_HEADER_BYTES]) {
        return ODD;
    }
    for (const byte *line = work->bytes + origin, *last = work->bytes + end;
         (line = memchr(line, '\n', (size_t)(last - line))) != NULL; line++) {
        lines++;
    }
    if (lines > self->bounds[MAX_HEADERS]) {
        return ODD;
    }
    return found < 0 ? hold(work, at) : begin_part(work, origin, end, at + found + 4);
}

/* Feeding */

static int
step(Work *work)
{
    Parser *self = work->parser;
    switch (self->state) {
    case PREAMBLE:
        return self->fresh ? read_first(work) : read_text(work);
    case BODY:
        return read_text(work);
    case HEADERS:
        return read_headers(work);
    case COUNTED_BODY:
        return read_counted(work);
    case COUNTED_END:
    case SURPLUS:
        return read_counted_end(work);
    case EPILOGUE:
        return read_epilogue(work);
    default: /* on_end() has closed the parser */
        work->at = work->size;
        return FINE;
    }
}

static void
take(Work *work, PyObject *data, int64_t base)
{
    work->data = data;
    work->bytes = (const byte *)PyBytes_AS_STRING(data);
    work->size = PyBytes_GET_SIZE(data);
    work->at = 0;
    work->base = base;
}

/* Go on with what was held. Mostly what might have been a delimiter is none, and goes before the chunk by itself. */
static int
go_on(Work *work)
{
    Parser *self = work->parser;
    PyObject *held = self->held;
    const int64_t base = work->base - PyBytes_GET_SIZE(held);
    Py_ssize_t size = PyBytes_GET_SIZE(held), rest = self->size - size;
    int is_text = self->state == PREAMBLE || self->state == BODY || self->state == COUNTED_BODY;
    int result = FINE;
    if (rest > work->size) {
        rest = work->size;
    }
    self->held = NULL;
    if (is_text && rest > 0 && memcmp(work->bytes, self->delimiter + size, (size_t)rest) != 0) {
        Work before = *work;
        take(&before, held, base);
        result = deliver(&before, 0, size);
        if (result == ODD) {
            self->held = Py_NewRef(held);
        }
        Py_DECREF(held);
        return result;
    }
    PyBytes_Concat(&held, work->data);
    if (held == NULL) {
        return RAISED;
    }
    PyObject *chunk = work->data;
    take(work, held, base);
    Py_DECREF(chunk);
    return FINE;
}

/* Call a method of the reference. */
static PyObject *
ask(const Module *module, const Parser *self, int word, PyObject *argument, PyObject *another)
{
    PyObject *reference = Py_NewRef(self->reference); /* a callback might make a new parser of this one */
    PyObject *result = PyObject_CallMethodObjArgs(reference, module->objects[word], argument, another, NULL);
    Py_DECREF(reference);
    return result;
}

/* Make the reference, which has every call from here on, and put it where the lane has stopped. */
static int
hand_over(const Module *module, Parser *self, int64_t offset)
{
    PyObject *held = self->held, *part = self->part;
    self->held = self->part = NULL;
    self->reference = PyObject_CallFunction(
        module->objects[RESUME], "OOOOOOOniLLOOy#O", self->boundary, self->subtype, self->limits, self->policy,
        self->callbacks == NULL ? Py_None : self->callbacks, self->defects, self->usage, self->depth,
        self->fresh && self->state == PREAMBLE ? PRISTINE : self->state, (long long)offset, (long long)self->start,
        part == NULL ? Py_None : part, self->dropped ? Py_True : Py_False, (const char *)self->first,
        (Py_ssize_t)self->first_size, held == NULL ? Py_None : held);
    Py_XDECREF(held);
    Py_XDECREF(part);
    self->busy = 0; /* the reference looks after itself */
    return self->reference == NULL ? RAISED : FINE;
}

/* Whether a call may begin. */
static int
is_idle(const Module *module, const Parser *self)
{
    if (self->boundary == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "__init__() has not been called");
    }
    else if (self->busy) {
        PyErr_SetString(module->objects[STATE_ERROR], self->callbacks == NULL
            ? "another thread is feeding the parser" : "a callback cannot feed the parser that calls it");
    }
    return self->boundary != NULL && !self->busy;
}

/* A call has come to its end. Where a callback has raised, or there was no memory, the rest of the chunk is lost. */
static PyObject *
leave(Parser *self, PyObject *result)
{
    if (result == NULL && self->reference == NULL) {
        self->state = FAILED;
        Py_CLEAR(self->held);
    }
    self->busy = 0;
    return result;
}

static PyObject *
feed_parser(Module *module, Parser *self, PyObject *data)
{
    if (!is_idle(module, self)) {
        return NULL;
    }
    if (self->reference != NULL) {
        return ask(module, self, W_FEED, data, NULL);
    }
    PyObject *result = NULL, *events = PyList_New(0);
    if (events == NULL) {
        return NULL;
    }
    Work work = {module, self, self->callbacks == NULL ? events : NULL, NULL, NULL, 0, 0, 0};
    take(&work, Py_NewRef(data), self->offset);
    self->busy = 1;
    int outcome = FINE, is_open = self->state != CLOSED && self->state != FAILED;
    if (!self->is_lane || !is_open || self->bounds[MAX_TOTAL_SIZE] - self->offset < work.size) {
        outcome = ODD;
    }
    else if (work.size > 0) {
        self->offset += work.size;
        outcome = self->held == NULL ? FINE : go_on(&work);
        while (outcome == FINE && work.at < work.size) {
            outcome = step(&work);
        }
    }
    if (outcome == FINE) {
        result = Py_NewRef(events);
    }
    else if (outcome == ODD) {
        PyObject *rest = work.at == 0 ? Py_NewRef(work.data) /* it may be handed on as it came */
            : PyBytes_FromStringAndSize((const char *)work.bytes + work.at, work.size - work.at);
        if (rest != NULL && hand_over(module, self, work.base + work.at) == FINE) {
            result = ask(module, self, W_FEED_AFTER, events, rest);
        }
        Py_XDECREF(rest);
    }
    Py_XDECREF(work.data);
    Py_DECREF(events);
    return leave(self, result);
}

/* Whether what is held is a close-delimiter without its line end, as many messages end. */
static int
is_at_close_delimiter(const Parser *self)
{
    return self->held != NULL && self->state != HEADERS && self->state != COUNTED_BODY
        && PyBytes_GET_SIZE(self->held) == self->size + 2
        && memcmp(PyBytes_AS_STRING(self->held) + self->size, "--", 2) == 0;
}

static PyObject *
close_parser(Module *module, Parser *self, PyObject *Py_UNUSED(ignored))
{
    if (self->reference == NULL && (self->state == EPILOGUE || self->state == CLOSED)) { /* even in on_end() */
        self->state = CLOSED;
        return PyList_New(0);
    }
    if (!is_idle(module, self)) {
        return NULL;
    }
    if (self->reference == NULL && !is_at_close_delimiter(self)) {
        self->busy = 1;
        if (hand_over(module, self, self->offset) < 0) {
            return leave(self, NULL);
        }
    }
    if (self->reference != NULL) {
        return ask(module, self, W_CLOSE, NULL, NULL);
    }
    PyObject *result = NULL, *events = PyList_New(0);
    if (events == NULL) {
        return NULL;
    }
    Work work = {module, self, self->callbacks == NULL ? events : NULL, NULL, NULL, 0, 0, self->offset};
    int has_part = self->state == BODY || (self->state == COUNTED_END && self->is_strict);
    self->busy = 1;
    Py_CLEAR(self->held);
    if ((!has_part || emit_part_end(&work) == FINE) && end_message(&work) == FINE) {
        self->state = CLOSED;
        result = Py_NewRef(events);
    }
    Py_DECREF(events);
    return leave(self, result);
}

static PyObject *
drop_body(Module *module, Parser *self, PyObject *Py_UNUSED(ignored))
{
    if (self->reference != NULL) {
        return ask(module, self, W_DROP, NULL, NULL);
    }
    self->dropped = self->state >= BODY && self->state <= SURPLUS;
    Py_RETURN_NONE;
}

/* What the reference says of itself, once there is one. */
static PyObject *
look(Module *module, Parser *self, PyObject *word)
{
    PyObject *const *objects = module->objects;
    if (self->reference != NULL) {
        return PyObject_GetAttr(self->reference, word);
    }
    if (word == objects[W_PART]) {
        return Py_NewRef(self->part == NULL ? Py_None : self->part);
    }
    if (word == objects[W_ERROR]) {
        Py_RETURN_NONE; /* every error is the reference's */
    }
    return PyBool_FromLong(self->state == CLOSED || (self->state == EPILOGUE && word == objects[W_ENDED]));
}

/* Do something while no other thread touches the parser. */
static PyObject *
alone(PyObject *op, PyObject *(*work)(Module *, Parser *, PyObject *), PyObject *argument)
{
    PyObject *result;
    Module *module = module_of(Py_TYPE(op));
    if (module == NULL) {
        return NULL;
    }
    BEGIN_CRITICAL(op);
    result = work(module, (Parser *)op, argument);
    END_CRITICAL();
    return result;
}

PyDoc_STRVAR(feed_doc, "feed($self, data, /)\n--\n\n"
    "Take the next bytes of the body; the events of what is complete, in order.");

static PyObject *
parser_feed(PyObject *op, PyObject *data)
{
    if (PyBytes_CheckExact(data)) {
        return alone(op, feed_parser, data);
    }
    if (!PyBytes_Check(data) && !PyByteArray_Check(data) && !PyMemoryView_Check(data)) {
        PyErr_Format(PyExc_TypeError, "data must be bytes, a bytearray or a memoryview, not %R", Py_TYPE(data));
        return NULL;
    }
    PyObject *copy = PyBytes_FromObject(data);
    PyObject *result = copy == NULL ? NULL : alone(op, feed_parser, copy);
    Py_XDECREF(copy);
    return result;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
    "The input has ended; the events that only the end completes.");

static PyObject *
parser_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return alone(op, close_parser, NULL);
}

PyDoc_STRVAR(drop_doc, "drop($self, /)\n--\n\n"
    "Skip what is still to come of the body of the part in hand; its end is an event as always.");

static PyObject *
parser_drop(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return alone(op, drop_body, NULL);
}

static PyObject *
parser_get(PyObject *op, void *word)
{
    Module *module = module_of(Py_TYPE(op));
    return module == NULL ? NULL : alone(op, look, module->objects[(intptr_t)word]);
}

/* Making one */

static int
parser_clear(PyObject *op)
{
    Parser *self = (Parser *)op;
    Py_CLEAR(self->boundary);
    Py_CLEAR(self->subtype);
    Py_CLEAR(self->limits);
    Py_CLEAR(self->policy);
    Py_CLEAR(self->callbacks);
    Py_CLEAR(self->defects);
    Py_CLEAR(self->usage);
    Py_CLEAR(self->part);
    Py_CLEAR(self->held);
    Py_CLEAR(self->reference);
    return 0;
}

static int
parser_traverse(PyObject *op, visitproc visit, void *arg)
{
    Parser *self = (Parser *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->limits);
    Py_VISIT(self->policy);
    Py_VISIT(self->callbacks);
    Py_VISIT(self->defects);
    Py_VISIT(self->usage);
    Py_VISIT(self->part);
    Py_VISIT(self->reference);
    return 0;
}

static void
parser_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    parser_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* The bounds of a plain Limits; 0 for anything else, which is left to the reference. */
static int
read_bounds(const Module *module, Parser *self)
{
    if (!Py_IS_TYPE(self->limits, (PyTypeObject *)module->objects[LIMITS])) {
        return 0;
    }
    for (int number = 0; number < BOUNDS; number++) {
        PyObject *value = *(PyObject **)((char *)self->limits + module->bounds[number]);
        int overflow = value == Py_None;
        if (value == NULL || (!overflow && !PyLong_Check(value))) {
            return 0;
        }
        self->bounds[number] = overflow ? 0 : PyLong_AsLongLongAndOverflow(value, &overflow);
        if (overflow) {
            self->bounds[number] = INT64_MAX;
        }
    }
    return 1;
}

/* Whether the arguments need no further check: no callbacks, and a boundary of the characters that any policy has in
   one, as in aiomultipart/grammar/boundary.py. */
static int
are_usual(PyObject *boundary, int64_t most, PyObject *callbacks)
{
    if (callbacks != Py_None || !PyUnicode_CheckExact(boundary) || !PyUnicode_IS_COMPACT_ASCII(boundary)) {
        return 0;
    }
    const byte *text = PyUnicode_1BYTE_DATA(boundary);
    Py_ssize_t size = PyUnicode_GET_LENGTH(boundary);
    for (Py_ssize_t i = 0; i < size; i++) {
        byte c = text[i];
        int is_usual = (c >= '\'' && c <= ')') || (c >= '+' && c <= ':') || c == '=' || c == '?' || c == '_'
            || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!is_usual) {
            return 0;
        }
    }
    return size > 0 && size <= most;
}

static int
is_same(PyObject *text, PyObject *word)
{
    return text == word || (PyUnicode_Check(text) && PyUnicode_Compare(text, word) == 0);
}

/* The arguments, in the order of the words, are borrowed; NULL for those that were not given. */
static int
set_up(Module *module, Parser *self, PyObject *const *given)
{
    PyObject *const *objects = module->objects;
    PyObject *boundary = given[0], *subtype = given[1], *limits = given[2];
    PyObject *callbacks = given[4] == NULL ? Py_None : given[4];
    if (self->busy) {
        is_idle(module, self);
        return RAISED;
    }
    parser_clear((PyObject *)self);
    self->state = PRISTINE;
    int has_limits = limits == NULL ? 0 : PyObject_IsTrue(limits);
    if (has_limits < 0) {
        return RAISED;
    }
    self->limits = Py_NewRef(has_limits ? limits : objects[DEFAULT_LIMITS]);
    self->policy = Py_NewRef(given[3] == NULL ? objects[STANDARD] : given[3]);
    self->subtype = subtype == NULL || subtype == objects[W_FORM_DATA] || subtype == objects[W_MIXED]
        ? Py_NewRef(subtype == NULL ? objects[W_MIXED] : subtype) : PyObject_CallMethodNoArgs(subtype, objects[W_LOWER]);
    if (self->subtype == NULL) {
        return RAISED;
    }
    int can_read = read_bounds(module, self);
    if (can_read && are_usual(boundary, self->bounds[MAX_BOUNDARY_LENGTH], callbacks)) {
        Py_INCREF(boundary);
    }
    else {
        boundary = PyObject_CallFunctionObjArgs(
            objects[CHECK_ARGUMENTS], boundary, self->policy, self->limits, callbacks, NULL);
        if (boundary == NULL) {
            return RAISED;
        }
    }
    if (callbacks != Py_None) {
        self->callbacks = Py_NewRef(callbacks);
    }
    self->defects = PyList_New(0);
    self->usage = PyList_New(2);
    if (self->defects == NULL || self->usage == NULL) {
        Py_DECREF(boundary);
        return RAISED;
    }
    PyList_SET_ITEM(self->usage, 0, PyLong_FromLong(0)); /* which cannot fail: there is one for all */
    PyList_SET_ITEM(self->usage, 1, PyLong_FromLong(0));
    Py_ssize_t size = PyUnicode_Check(boundary) && PyUnicode_IS_ASCII(boundary) ? PyUnicode_GET_LENGTH(boundary) : 0;
    self->is_strict = self->policy == objects[STRICT];
    self->is_lenient = self->policy == objects[LENIENT];
    self->is_form_data = (char)is_same(self->subtype, objects[W_FORM_DATA]);
    /* With less room than a line end takes, any delimiter line is the reference's. */
    self->is_lane = can_read && size > 0 && size <= LONGEST_BOUNDARY && self->bounds[MAX_HEADER_LINE] > 1
        && (self->is_strict || self->policy == objects[STANDARD]
            || (self->is_lenient && !is_same(self->subtype, objects[W_IMAGES])));
    if (self->is_lane) {
        memcpy(self->delimiter, "\r\n--", 4);
        memcpy(self->delimiter + 4, PyUnicode_1BYTE_DATA(boundary), (size_t)size);
        self->size = (byte)(size + 4);
        self->counts = self->bounds[MAX_PARTS] != INT64_MAX || self->bounds[MAX_TOTAL_HEADER_BYTES] != INT64_MAX;
    }
    self->offset = self->start = self->length = self->index = 0;
    self->depth = 1;
    self->state = PREAMBLE;
    self->fresh = 1;
    self->dropped = 0;
    self->first_size = 0;
    self->boundary = boundary; /* last: without it there is no parser */
    return FINE;
}

/* For subclasses, and who calls it again. */
static int
parser_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"boundary", "subtype", "limits", "policy", "callbacks", NULL};
    PyObject *given[5] = {NULL, NULL, NULL, NULL, NULL};
    Module *module = module_of(Py_TYPE(op));
    int result = RAISED;
    if (module == NULL || !PyArg_ParseTupleAndKeywords(
            args, kwargs, "O|$OOOO:PushMultipartParser", names, &given[0], &given[1], &given[2], &given[3], &given[4])) {
        return RAISED;
    }
    BEGIN_CRITICAL(op);
    result = set_up(module, (Parser *)op, given);
    END_CRITICAL();
    return result;
}

/* What a call of the class itself does, without a tuple and a dict for its arguments. */
static PyObject *
parser_vectorcall(PyObject *cls, PyObject *const *args, size_t flagged, PyObject *names)
{
    PyTypeObject *type = (PyTypeObject *)cls;
    PyObject *given[5] = {NULL, NULL, NULL, NULL, NULL};
    Py_ssize_t positional = PyVectorcall_NARGS(flagged), named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    Module *module = module_of(type);
    if (module == NULL) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i); /* mostly the same object as the word */
        int number = 0;
        while (number < 5 && name != module->objects[W_BOUNDARY + number]) {
            number++;
        }
        if (number == 5) {
            for (number = 0; number < 5 && !is_same(name, module->objects[W_BOUNDARY + number]);) {
                number++;
            }
        }
        if (number == 5 || (number == 0 && positional > 0)) {
            PyErr_Format(
                PyExc_TypeError, "PushMultipartParser() does not expect an argument %R", name);
            return NULL;
        }
        given[number] = args[positional + i];
    }
    if (positional == 1) {
        given[0] = args[0];
    }
    if (positional > 1 || given[0] == NULL) {
        PyErr_SetString(PyExc_TypeError, "PushMultipartParser() takes one positional argument, the boundary");
        return NULL;
    }
    PyObject *op = type->tp_alloc(type, 0);
    if (op != NULL && set_up(module, (Parser *)op, given) < 0) {
        Py_CLEAR(op);
    }
    return op;
}

static PyMethodDef parser_methods[] = {
    {"feed", parser_feed, METH_O, feed_doc},
    {"close", parser_close, METH_NOARGS, close_doc},
    {"drop", parser_drop, METH_NOARGS, drop_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef parser_members[] = {
    {"boundary", Py_T_OBJECT_EX, offsetof(Parser, boundary), Py_READONLY, "The boundary, without the leading dashes."},
    {"subtype", Py_T_OBJECT_EX, offsetof(Parser, subtype), Py_READONLY, "The multipart subtype, in lower case."},
    {"limits", Py_T_OBJECT_EX, offsetof(Parser, limits), Py_READONLY, "The bounds."},
    {"policy", Py_T_OBJECT_EX, offsetof(Parser, policy), Py_READONLY, "How odd constructs are read."},
    {"defects", Py_T_OBJECT_EX, offsetof(Parser, defects), Py_READONLY, "What the policy has forgiven, by offset."},
    {"_usage", Py_T_OBJECT_EX, offsetof(Parser, usage), 0, NULL},
    {"_depth", Py_T_PYSSIZET, offsetof(Parser, depth), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef parser_getset[] = {
    {"part", parser_get, NULL, "The part that was begun last; None before the first.", (void *)W_PART},
    {"error", parser_get, NULL, "The error that ended the parsing, if one did.", (void *)W_ERROR},
    {"ended", parser_get, NULL, "Whether the close-delimiter has been read.", (void *)W_ENDED},
    {"closed", parser_get, NULL, "Whether close() has been called and found the message complete.", (void *)W_CLOSED},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(parser_doc, "PushMultipartParser(boundary, *, subtype='mixed', limits=None, policy=Policy.STANDARD, "
    "callbacks=None)\n--\n\nParse one multipart body, pushed in chunk by chunk.");

static PyType_Slot parser_slots[] = {
    {Py_tp_doc, (void *)parser_doc},
    {Py_tp_init, parser_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, parser_dealloc},
    {Py_tp_traverse, parser_traverse},
    {Py_tp_clear, parser_clear},
    {Py_tp_methods, parser_methods},
    {Py_tp_members, parser_members},
    {Py_tp_getset, parser_getset},
    {0, NULL},
};

static PyType_Spec parser_spec = {
    .name = "aiomultipart._accelerator.PushMultipartParser",
    .basicsize = sizeof(Parser),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = parser_slots,
};

/* The module */

PyDoc_STRVAR(read_field_block_doc, "read_field_block(block, /)\n--\n\n"
    "The (field name, field value) pairs of a header block; None where a line is not plain or not UTF-8.");

static PyObject *
accelerator_read_field_block(PyObject *Py_UNUSED(module), PyObject *block)
{
    if (!PyBytes_CheckExact(block)) {
        PyErr_SetString(PyExc_TypeError, "block must be bytes");
        return NULL;
    }
    const byte *at = (const byte *)PyBytes_AS_STRING(block), *end = at + PyBytes_GET_SIZE(block);
    PyObject *fields = PyList_New(0);
    Span name, value;
    while (fields != NULL && at < end) {
        if (!read_field(&at, end, &name, &value)) {
            Py_DECREF(fields);
            Py_RETURN_NONE;
        }
        PyObject *pair = Py_BuildValue("NN", text_of(&name), text_of(&value));
        if (pair == NULL || PyList_Append(fields, pair) < 0) {
            Py_CLEAR(fields);
        }
        Py_XDECREF(pair);
    }
    if (fields == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    return fields;
}

/* The offsets of slots of a class, by their member descriptors. */
static int
find_slots(PyObject *cls, const char *const *names, int size, Py_ssize_t *offsets)
{
    for (int i = 0; i < size; i++) {
        PyObject *member = PyObject_GetAttrString(cls, names[i]);
        if (member == NULL) {
            return RAISED;
        }
        PyMemberDef *slot = Py_IS_TYPE(member, &PyMemberDescr_Type) ? ((PyMemberDescrObject *)member)->d_member : NULL;
        Py_DECREF(member); /* the class keeps it */
        if (slot == NULL || slot->type != Py_T_OBJECT_EX) {
            PyErr_Format(PyExc_TypeError, "%R has no slot %s", cls, names[i]);
            return RAISED;
        }
        offsets[i] = slot->offset;
    }
    return FINE;
}

PyDoc_STRVAR(connect_doc, "connect($module, part_begin, part_end, end, limits, default_limits, strict, standard, "
    "lenient, multipart_error, state_error, check_arguments, resume, /)\n--\n\n"
    "Say what the parser is made of; once, before the first is made.");

static PyObject *
accelerator_connect(PyObject *op, PyObject *args)
{
    Module *module = PyModule_GetState(op);
    if (PyTuple_GET_SIZE(args) != GIVEN) {
        PyErr_Format(PyExc_TypeError, "connect() takes %d arguments", (int)GIVEN);
        return NULL;
    }
    if (!PyType_Check(PyTuple_GET_ITEM(args, PART_BEGIN)) || !PyType_Check(PyTuple_GET_ITEM(args, LIMITS))) {
        PyErr_SetString(PyExc_TypeError, "part_begin and limits must be classes");
        return NULL;
    }
    if (find_slots(PyTuple_GET_ITEM(args, PART_BEGIN), SLOT_NAMES, SLOTS, module->slots) < 0
        || find_slots(PyTuple_GET_ITEM(args, LIMITS), BOUND_NAMES, BOUNDS, module->bounds) < 0) {
        return NULL;
    }
    for (int i = 0; i < GIVEN; i++) {
        Py_XSETREF(module->objects[i], Py_NewRef(PyTuple_GET_ITEM(args, i)));
    }
    module->connected = 1;
    Py_RETURN_NONE;
}

static PyMethodDef accelerator_methods[] = {
    {"find", accelerator_find, METH_VARARGS, find_doc},
    {"base64_lines", accelerator_base64_lines, METH_O, base64_lines_doc},
    {"read_field_block", accelerator_read_field_block, METH_O, read_field_block_doc},
    {"connect", accelerator_connect, METH_VARARGS, connect_doc},
    {NULL, NULL, 0, NULL},
};

static int
accelerator_exec(PyObject *op)
{
    Module *module = PyModule_GetState(op);
    for (int i = GIVEN; i < OBJECTS; i++) {
        module->objects[i] = PyUnicode_InternFromString(WORDS[i - GIVEN]);
        if (module->objects[i] == NULL) {
            return -1;
        }
    }
    module->type = PyType_FromModuleAndSpec(op, &parser_spec, NULL);
    if (module->type == NULL) {
        return -1;
    }
    ((PyTypeObject *)module->type)->tp_vectorcall = parser_vectorcall;
    return PyModule_AddType(op, (PyTypeObject *)module->type);
}

static int
accelerator_traverse(PyObject *op, visitproc visit, void *arg)
{
    Module *module = PyModule_GetState(op);
    for (int i = 0; i < OBJECTS; i++) {
        Py_VISIT(module->objects[i]);
    }
    Py_VISIT(module->type);
    return 0;
}

static int
accelerator_clear(PyObject *op)
{
    Module *module = PyModule_GetState(op);
    module->connected = 0;
    for (int i = 0; i < OBJECTS; i++) {
        Py_CLEAR(module->objects[i]);
    }
    Py_CLEAR(module->type);
    return 0;
}

static void
accelerator_free(void *op)
{
    accelerator_clear((PyObject *)op);
}

static PyModuleDef_Slot accelerator_slots[] = {
    {Py_mod_exec, accelerator_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

PyDoc_STRVAR(accelerator_doc, "The fast lane of the parser, and the search, compiled; optional.");

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "aiomultipart._accelerator",
    .m_doc = accelerator_doc,
    .m_size = sizeof(Module),
    .m_methods = accelerator_methods,
    .m_slots = accelerator_slots,
    .m_traverse = accelerator_traverse,
    .m_clear = accelerator_clear,
    .m_free = accelerator_free,
};

PyMODINIT_FUNC
PyInit__accelerator(void)
{
    return PyModuleDef_Init(&definition);
}
