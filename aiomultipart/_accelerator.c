/* The accelerator: a fast lane in front of the reference parser, aiomultipart/parser/push.py, and the search.

It decides nothing. What it reads is what nearly all messages are made of: delimiter lines without padding, header
blocks as nearly all senders write them, bodies, lengths that are right, text around the parts. Before anything else
(another line, a block that cannot be read, what might pass a limit) it stops, puts a reference into the same position
by its resume(), and from then on that has every call. So what comes out is what the reference would have made of it,
for every cut, and errors, limits and defects are its alone. STRICT and STANDARD are read here, LENIENT never.

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

PyDoc_STRVAR(find_doc, "find(data, needle, start=0, end=sys.maxsize, /)\n--\n\n"
    "Where needle begins in data[start:end]; -1 if it is not there.\n\n"
    "The first byte of needle must not be in it again: so the search is linear, whatever data is.");

static PyObject *
accelerator_find(PyObject *module, PyObject *args)
{
    Py_buffer data, needle;
    Py_ssize_t start = 0, end = PY_SSIZE_T_MAX;
    if (!PyArg_ParseTuple(args, "y*y*|nn:find", &data, &needle, &start, &end)) {
        return NULL;
    }
    PyObject *result = NULL;
    const byte *wanted = needle.buf;
    end = end < data.len ? end : data.len;
    if (start < 0 || end < 0) {
        PyErr_SetString(PyExc_ValueError, "start and end must not be negative");
    }
    else if (needle.len < 2 || memchr(wanted + 1, wanted[0], (size_t)needle.len - 1) != NULL) {
        PyErr_SetString(PyExc_ValueError, "needle must have two bytes or more, and its first byte only once");
    }
    else {
        Py_ssize_t found = -1;
        if (start < end) {
            const byte *text = data.buf;
            if (end - start >= 256 * 1024) {
                Py_BEGIN_ALLOW_THREADS
                found = search(text + start, end - start, wanted, needle.len);
                Py_END_ALLOW_THREADS
            }
            else {
                found = search(text + start, end - start, wanted, needle.len);
            }
        }
        result = PyLong_FromSsize_t(found < 0 ? -1 : start + found);
    }
    PyBuffer_Release(&data);
    PyBuffer_Release(&needle);
    return result;
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
    PART_BEGIN, PART_END, END, REFERENCE, LIMITS, DEFAULT_LIMITS, STRICT, STANDARD, MULTIPART_ERROR, STATE_ERROR,
    CHECK_BOUNDARY, CHECK_CALLBACKS, GIVEN,
    FROM_CONTENT_TYPE = GIVEN, NESTED, FORGIVE, WORDS
};
enum {
    W_FORM_DATA = WORDS, W_MIXED, W_GET, W_LOWER, W_FEED, W_CLOSE, W_DROP, W_RESUME, W_ERROR, W_ENDED, W_CLOSED, W_PART,
    W_BOUNDARY, W_SUBTYPE, W_LIMITS, W_POLICY, W_CALLBACKS, W_ON_PART_BEGIN, W_ON_PART_DATA, W_ON_PART_END, W_ON_END,
    OBJECTS
};
static const char *const TEXTS[OBJECTS - WORDS] = {
    "form-data", "mixed", "get", "lower", "feed", "close", "drop", "resume", "error", "ended", "closed", "part",
    "boundary", "subtype", "limits", "policy", "callbacks", "on_part_begin", "on_part_data", "on_part_end", "on_end",
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
    PRISTINE = 0, PREAMBLE = 2, HEADERS = 3, BODY = 4, COUNTED_BODY = 5, COUNTED_END = 6, EPILOGUE = 8, CLOSED = 9,
    FAILED = 10
};

enum {
    LONGEST_BOUNDARY = 70,
    LONGEST_BLOCK = 8192, /* of headers; longer ones are the reference's */
    SHOWN = 60            /* bytes of a preamble that an error shows */
};

typedef struct {
    PyObject_HEAD
    PyObject *boundary;
    PyObject *subtype;
    PyObject *limits;
    PyObject *policy;
    PyObject *callbacks; /* NULL without */
    PyObject *part;      /* the last one; NULL before the first */
    PyObject *defects;   /* a list that is made when it is asked for, as is the next */
    PyObject *usage;     /* parts and header bytes, shared with nested parsers */
    PyObject *held;      /* bytes that cannot be told yet; NULL for none */
    PyObject *reference; /* which has every call, once there is one */
    int64_t offset;      /* of what comes next */
    int64_t start;       /* offset of the preamble, body or epilogue in hand */
    int64_t length;      /* of a counted body */
    int64_t index;       /* of the next part */
    int64_t bounds[BOUNDS]; /* INT64_MAX for none */
    Py_ssize_t depth;
    Py_ssize_t seen;  /* in a header block that is held: up to where it was read, */
    Py_ssize_t lines; /* and how many lines of it have ended */
    int state;
    char is_lane;     /* whether anything may be read here */
    char is_strict;
    char is_form_data;
    char counts;      /* whether there is a limit on all parts together */
    char fresh;       /* no byte has come yet: the input begins with a CRLF that nobody sent */
    char dropped;     /* nobody wants the body in hand */
    char busy;        /* a call is at work */
    byte first_size;
    byte size;        /* of the delimiter */
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
module_of(PyObject *op)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(op), &definition);
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

static int
call_back(Work *work, int word, PyObject *data)
{
    Module *module = work->module;
    PyObject *callback = PyObject_CallMethodOneArg(
        work->parser->callbacks, module->objects[W_GET], module->objects[word]);
    if (callback == NULL) {
        return RAISED;
    }
    PyObject *result = NULL;
    if (callback == Py_None) {
        result = Py_NewRef(Py_None);
    }
    else if (data == NULL) {
        result = PyObject_CallNoArgs(callback);
    }
    else {
        result = PyObject_CallFunction(callback, "Oin", data, 0, PyBytes_GET_SIZE(data));
    }
    Py_DECREF(callback);
    Py_XDECREF(result);
    return result == NULL ? RAISED : FINE;
}

/* Say that a part begins or ends, or that the message does. */
static int
emit(Work *work, PyObject *event, int word)
{
    return work->events != NULL ? PyList_Append(work->events, event) : call_back(work, word, NULL);
}

/* Hand on data[start:end]; a chunk that is only body as the object that came in. */
static int
emit_data(Work *work, Py_ssize_t start, Py_ssize_t end)
{
    PyObject *piece;
    if (start == 0 && end == work->size) {
        piece = Py_NewRef(work->data);
    }
    else {
        piece = PyBytes_FromStringAndSize((const char *)work->bytes + start, end - start);
        if (piece == NULL) {
            return RAISED;
        }
    }
    int result = work->events != NULL ? PyList_Append(work->events, piece) : call_back(work, W_ON_PART_DATA, piece);
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
    if (self->state == PREAMBLE) {
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
    if (end - begin > self->bounds[MAX_PART_SIZE]) {
        return ODD;
    }
    return self->dropped ? FINE : emit_data(work, start, end);
}

/* From where data[start:stop], in which no delimiter is, may begin one; stop if none of it does. */
static Py_ssize_t
hold_from(Work *work, Py_ssize_t start, Py_ssize_t stop)
{
    const Parser *self = work->parser;
    Py_ssize_t tail = stop - self->size + 1;
    if (tail < start) {
        tail = start;
    }
    if (tail >= stop || memchr(work->bytes + tail, '\r', (size_t)(stop - tail)) == NULL) {
        return stop;
    }
    Py_ssize_t cut = stop - 1;
    while (work->bytes[cut] != '\r') {
        cut--;
    }
    return memcmp(work->bytes + cut, self->delimiter, (size_t)(stop - cut)) == 0 ? cut : stop;
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

/* A delimiter line, of the kind that read_line() said, has been read up to the end of its boundary. */
static int
take_line(Work *work, Py_ssize_t after, int kind)
{
    Parser *self = work->parser;
    PyObject *const *objects = work->module->objects;
    if (self->state == BODY || (self->state == COUNTED_END && self->is_strict)) {
        if (emit(work, objects[PART_END], W_ON_PART_END) < 0) {
            return RAISED;
        }
    }
    if (kind == DELIMITER_LINE) {
        self->state = HEADERS;
        self->seen = self->lines = 0;
        work->at = after;
        return FINE;
    }
    work->at = after + 4;
    self->state = EPILOGUE;
    self->start = work->base + work->at;
    return emit(work, objects[END], W_ON_END);
}

/* PREAMBLE and BODY: up to a delimiter line. */
static int
read_text(Work *work)
{
    Parser *self = work->parser;
    Py_ssize_t at = work->at;
    Py_ssize_t found = search(work->bytes + at, work->size - at, self->delimiter, self->size);
    if (found < 0) {
        Py_ssize_t stop = hold_from(work, at, work->size);
        int result = deliver(work, at, stop);
        return result == FINE ? hold(work, stop) : result;
    }
    Py_ssize_t begin = at + found, after = begin + self->size;
    int kind = read_line(work, after);
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
    Py_ssize_t after = self->size - 2;
    int kind = CUT_LINE;
    if (memcmp(work->bytes, self->delimiter + 2, (size_t)(work->size < after ? work->size : after)) != 0) {
        self->fresh = 0;
        return FINE;
    }
    if (work->size >= after) {
        kind = read_line(work, after);
    }
    if (kind == ODD_LINE) {
        return ODD;
    }
    self->fresh = 0;
    if (kind != CUT_LINE) {
        return take_line(work, after, kind);
    }
    PyObject *held = PyBytes_FromStringAndSize(NULL, work->size + 2);
    if (held == NULL) {
        return RAISED;
    }
    memcpy(PyBytes_AS_STRING(held), "\r\n", 2);
    memcpy(PyBytes_AS_STRING(held) + 2, work->bytes, (size_t)work->size);
    self->held = held;
    work->at = work->size;
    return FINE;
}

/* Bodies with a Content-Length */

/* The body is complete, and in hand from `at` on. */
static int
complete(Work *work, Py_ssize_t end)
{
    Parser *self = work->parser;
    int result = deliver(work, work->at, end);
    if (result != FINE) {
        return result;
    }
    if (!self->is_strict && emit(work, work->module->objects[PART_END], W_ON_PART_END) < 0) {
        return RAISED;
    }
    self->state = COUNTED_END;
    if (self->length > 0) { /* else the CRLF of the blank line may be the delimiter's */
        work->at = end;
    }
    return FINE;
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
    if (stop == end) {
        return complete(work, stop);
    }
    stop = hold_from(work, at, stop);
    int result = deliver(work, at, stop);
    return result == FINE ? hold(work, stop) : result;
}

/* COUNTED_END: a delimiter line, and nothing else. */
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
    Py_ssize_t left = work->size - work->at;
    if (memcmp(work->bytes + work->at, self->delimiter, (size_t)(left < self->size ? left : self->size)) != 0) {
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
   Content-Transfer-Encoding: visible ASCII                                not in form-data
   token: no control characters */

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

typedef struct {
    const byte *begin; /* NULL: it is not there */
    const byte *end;
} Span;

typedef struct {
    Span name;
    Span value;
} Field;

typedef struct {
    Span type, name, filename, content_type, transfer_encoding;
    int64_t length; /* -1: it is not there */
} Fields;

/* The field line that begins at a position of a block; where the next one begins, NULL if this one is no field. */
static const byte *
next_field(const byte *at, const byte *end, Field *field)
{
    field->name.begin = at;
    while (at < end && is_token(*at)) {
        at++;
    }
    field->name.end = at;
    if (at == end || *at != ':' || at == field->name.begin) {
        return NULL;
    }
    at++;
    while (at < end && is_blank(*at)) {
        at++;
    }
    field->value.begin = at;
    while (at < end && !is_control(*at)) {
        at++;
    }
    field->value.end = at;
    if (at < end) {
        if (end - at < 3 || at[0] != '\r' || at[1] != '\n') { /* a line follows each CRLF of a block */
            return NULL;
        }
        at += 2;
    }
    while (field->value.end > field->value.begin && is_blank(field->value.end[-1])) {
        field->value.end--;
    }
    return at;
}

static int
is_named(const Field *field, const char *name, Py_ssize_t size)
{
    if (field->name.end - field->name.begin != size) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        if ((field->name.begin[i] | 0x20) != (byte)name[i]) { /* no token character but a letter becomes one */
            return 0;
        }
    }
    return 1;
}

/* Where the text goes on after a prefix; NULL if it does not begin with that. */
static const byte *
after_prefix(const byte *at, const byte *end, const char *prefix, Py_ssize_t size)
{
    return end - at >= size && memcmp(at, prefix, (size_t)size) == 0 ? at + size : NULL;
}

/* A parameter with a quoted value, after its opening quote; where its closing quote ends, NULL if it is not plain. */
static const byte *
read_quoted(const byte *at, const byte *end, Span *value)
{
    value->begin = at;
    while (at < end && *at != '"') {
        if (*at == '\\' || *at == '%' || *at < 0x20) {
            return NULL;
        }
        at++;
    }
    value->end = at;
    return at < end ? at + 1 : NULL;
}

static int
read_disposition(const Span *value, Fields *fields)
{
    const byte *at = value->begin, *end = value->end, *parameter;
    if (fields->type.begin != NULL) {
        return 0;
    }
    fields->type.begin = at;
    while (at < end && ((*at >= 'a' && *at <= 'z') || *at == '-')) {
        at++;
    }
    fields->type.end = at;
    if (at == fields->type.begin) {
        return 0;
    }
    parameter = after_prefix(at, end, "; name=\"", 8);
    if (parameter != NULL && (at = read_quoted(parameter, end, &fields->name)) == NULL) {
        return 0;
    }
    parameter = after_prefix(at, end, "; filename=\"", 12);
    if (parameter != NULL && (at = read_quoted(parameter, end, &fields->filename)) == NULL) {
        return 0;
    }
    return at == end;
}

static int
read_content_type(const Span *value, Fields *fields)
{
    const byte *at = value->begin, *end = value->end;
    if (fields->content_type.begin != NULL) {
        return 0;
    }
    while (at < end && is_token(*at)) {
        at++;
    }
    const Field type = {{value->begin, at}, {NULL, NULL}};
    if (at == value->begin || at == end || *at != '/' || is_named(&type, "multipart", 9)) {
        return 0;
    }
    const byte *subtype = ++at;
    while (at < end && is_token(*at)) {
        at++;
    }
    if (at == subtype) {
        return 0;
    }
    fields->content_type.begin = value->begin;
    fields->content_type.end = at;
    if (at < end) {
        const byte *charset = after_prefix(at, end, "; charset=", 10);
        if (charset == NULL || charset == end) {
            return 0;
        }
        for (at = charset; at < end && is_token(*at); at++) {
        }
    }
    return at == end;
}

static int
read_length(const Span *value, int is_form_data, Fields *fields)
{
    int64_t length = 0;
    Py_ssize_t digits = value->end - value->begin;
    if (digits < 1 || digits > 18) {
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
    if (fields->length >= 0) {
        return 0;
    }
    fields->length = length;
    return 1;
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
    Field field;
    memset(fields, 0, sizeof(*fields));
    fields->length = -1;
    if (at == end) {
        return 0;
    }
    while (at < end) {
        at = next_field(at, end, &field);
        if (at == NULL) {
            return 0;
        }
        int usual = 1;
        if (is_named(&field, "content-disposition", 19)) {
            usual = read_disposition(&field.value, fields);
        }
        else if (is_named(&field, "content-type", 12)) {
            usual = read_content_type(&field.value, fields);
        }
        else if (is_named(&field, "content-length", 14)) {
            usual = read_length(&field.value, is_form_data, fields);
        }
        else if (is_named(&field, "content-transfer-encoding", 25)) {
            usual = read_transfer_encoding(&field.value, is_form_data, fields);
        }
        if (!usual) {
            return 0;
        }
    }
    if (!is_form_data) {
        return 1;
    }
    return fields->name.begin != NULL && fields->type.end - fields->type.begin == 9
        && memcmp(fields->type.begin, "form-data", 9) == 0;
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

/* Put a new value into a slot; NULL is an exception. */
static inline int
put(const Module *module, PyObject *part, int number, PyObject *value)
{
    if (value == NULL) {
        return RAISED;
    }
    Py_SETREF(*slot(module, part, number), value);
    return FINE;
}

/* A PartBegin with what was read; NULL with an exception, which is a UnicodeDecodeError where a name is not UTF-8. */
static PyObject *
fill_part(Work *work, const Fields *fields, PyObject *raw, int64_t offset)
{
    Module *module = work->module;
    Parser *self = work->parser;
    PyTypeObject *type = (PyTypeObject *)module->objects[PART_BEGIN];
    PyObject *part = type->tp_alloc(type, 0);
    if (part == NULL) {
        return NULL;
    }
    for (int number = 0; number < SLOTS; number++) {
        *slot(module, part, number) = Py_NewRef(Py_None);
    }
    Py_SETREF(*slot(module, part, SLOT_RAW), Py_NewRef(raw));
    Py_SETREF(*slot(module, part, SLOT_FORM_DATA), PyBool_FromLong(self->is_form_data));
    if (self->is_form_data) { /* its type is known by now */
        Py_SETREF(*slot(module, part, SLOT_DISPOSITION_TYPE), Py_NewRef(module->objects[W_FORM_DATA]));
    }
    if ((!self->is_form_data && put(module, part, SLOT_DISPOSITION_TYPE, text_of(&fields->type)) < 0)
        || put(module, part, SLOT_NAME, text_of(&fields->name)) < 0
        || put(module, part, SLOT_FILENAME, text_of(&fields->filename)) < 0
        || put(module, part, SLOT_CONTENT_TYPE, lower_text_of(&fields->content_type)) < 0
        || put(module, part, SLOT_TRANSFER_ENCODING, text_of(&fields->transfer_encoding)) < 0
        || (fields->length >= 0 && put(module, part, SLOT_CONTENT_LENGTH, PyLong_FromLongLong(fields->length)) < 0)
        || put(module, part, SLOT_INDEX, PyLong_FromLongLong(self->index)) < 0
        || put(module, part, SLOT_OFFSET, PyLong_FromLongLong(offset)) < 0
        || put(module, part, SLOT_DEFECTS, PyTuple_New(0)) < 0) {
        Py_DECREF(part);
        return NULL;
    }
    return part;
}

/* The PartBegin of a block that is not usual, read in Python: FINE if there is nothing to forgive. */
static int
read_in_python(Work *work, PyObject *raw, int64_t offset, PyObject **part)
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
    PyObject *length = *slot(module, *part, SLOT_CONTENT_LENGTH);
    if (defects != NULL && PyTuple_CheckExact(defects) && PyTuple_GET_SIZE(defects) == 0 && length != NULL) {
        return FINE;
    }
    Py_CLEAR(*part);
    return ODD;
}

static PyObject *
usage_of(Parser *self)
{
    if (self->usage == NULL) {
        self->usage = Py_BuildValue("[ii]", 0, 0);
    }
    return self->usage;
}

/* Count a part of the message: ODD, and nothing counted, where that would pass a limit. */
static int
count(Parser *self, Py_ssize_t size)
{
    PyObject *usage = usage_of(self);
    if (usage == NULL) {
        return RAISED;
    }
    PyObject *parts = PySequence_GetItem(usage, 0);
    PyObject *octets = PySequence_GetItem(usage, 1);
    int64_t number = parts == NULL ? -1 : PyLong_AsLongLong(parts);
    int64_t total = octets == NULL ? -1 : PyLong_AsLongLong(octets);
    Py_XDECREF(parts);
    Py_XDECREF(octets);
    if (PyErr_Occurred()) {
        return RAISED;
    }
    number += 1;
    total += size;
    if (number > self->bounds[MAX_PARTS] || total > self->bounds[MAX_TOTAL_HEADER_BYTES]) {
        return ODD;
    }
    parts = PyLong_FromLongLong(number);
    octets = PyLong_FromLongLong(total);
    if (parts == NULL || octets == NULL) {
        Py_XDECREF(parts);
        Py_XDECREF(octets);
        return RAISED;
    }
    if (PyList_SetItem(usage, 0, parts) < 0) {
        Py_DECREF(octets);
        return RAISED;
    }
    return PyList_SetItem(usage, 1, octets) < 0 ? RAISED : FINE;
}

/* HEADERS, and the block is here: data[origin:end]. */
static int
begin_part(Work *work, Py_ssize_t origin, Py_ssize_t end, Py_ssize_t after)
{
    Module *module = work->module;
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
        part = fill_part(work, &fields, raw, offset);
        if (part == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
                Py_DECREF(raw);
                return RAISED;
            }
            PyErr_Clear();
        }
    }
    int result = part != NULL ? FINE : read_in_python(work, raw, offset, &part);
    Py_DECREF(raw);
    if (result == FINE && self->counts) {
        result = count(self, end - origin);
    }
    PyObject *length = part == NULL ? NULL : *slot(module, part, SLOT_CONTENT_LENGTH);
    int is_counted = length != NULL && length != Py_None;
    if (result == FINE && is_counted) {
        self->length = PyLong_AsLongLong(length);
        if (self->length == -1 && PyErr_Occurred()) {
            result = RAISED;
        }
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
    result = emit(work, part, W_ON_PART_BEGIN);
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
    const byte *bytes = work->bytes;
    Py_ssize_t at = work->at, size = work->size, origin = at + 2, place = at + self->seen;
    int64_t most = self->bounds[MAX_HEADER_LINE] < self->bounds[MAX_HEADER_BYTES]
        ? self->bounds[MAX_HEADER_LINE] : self->bounds[MAX_HEADER_BYTES];
    if (most > LONGEST_BLOCK) {
        most = LONGEST_BLOCK;
    }
    if (origin < size && bytes[origin] == '-') {
        return ODD; /* perhaps another delimiter */
    }
    Py_ssize_t end = -1;
    while (end < 0) {
        const byte *found = memchr(bytes + place, '\r', (size_t)(size - place));
        place = found == NULL ? size : found - bytes;
        if (size - place < 4 && memcmp(bytes + place, "\r\n\r\n", (size_t)(size - place)) == 0) {
            break;
        }
        if (bytes[place + 1] != '\n') {
            place++; /* a control character, but that is said of whole blocks only */
        }
        else if (size - place >= 4 && bytes[place + 2] == '\r' && bytes[place + 3] == '\n') {
            end = place;
        }
        else {
            self->lines += place > at;
            place += 2;
        }
    }
    /* As many lines as have ended, and the one in hand; as many bytes as there are. */
    if (self->lines >= self->bounds[MAX_HEADERS] || (end < 0 ? size : end) - origin > most) {
        return ODD;
    }
    if (end < 0) {
        self->seen = place - at;
        return hold(work, at);
    }
    self->seen = self->lines = 0;
    return begin_part(work, origin, end < origin ? origin : end, end + 4);
}

/* Feeding */

/* Read on until there is nothing left. */
static int
run(Work *work)
{
    Parser *self = work->parser;
    while (work->at < work->size) {
        int result;
        switch (self->state) {
        case PREAMBLE:
            result = self->fresh ? read_first(work) : read_text(work);
            break;
        case BODY:
            result = read_text(work);
            break;
        case HEADERS:
            result = read_headers(work);
            break;
        case COUNTED_BODY:
            result = read_counted(work);
            break;
        case COUNTED_END:
            result = read_counted_end(work);
            break;
        case EPILOGUE:
            result = read_epilogue(work);
            break;
        default: /* a callback has closed the parser */
            result = FINE;
            work->at = work->size;
        }
        if (result != FINE) {
            return result;
        }
    }
    return FINE;
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

/* Put what was held before the chunk; `data` of the work is a new reference then. */
static int
join(Work *work)
{
    Parser *self = work->parser;
    Py_ssize_t size = PyBytes_GET_SIZE(self->held);
    if (work->size > PY_SSIZE_T_MAX - size) {
        PyErr_NoMemory();
        return RAISED;
    }
    PyObject *joined = PyBytes_FromStringAndSize(NULL, size + work->size);
    if (joined == NULL) {
        return RAISED;
    }
    memcpy(PyBytes_AS_STRING(joined), PyBytes_AS_STRING(self->held), (size_t)size);
    memcpy(PyBytes_AS_STRING(joined) + size, work->bytes, (size_t)work->size);
    Py_CLEAR(self->held);
    PyObject *chunk = work->data;
    take(work, joined, work->base - size);
    Py_DECREF(chunk);
    return FINE;
}

/* Go on with what was held. Mostly what might have been a delimiter is none, and goes before the chunk by itself. */
static int
go_on(Work *work)
{
    Parser *self = work->parser;
    PyObject *held = self->held;
    Py_ssize_t size = PyBytes_GET_SIZE(held), rest = self->size - size;
    int is_text = self->state == PREAMBLE || self->state == BODY || self->state == COUNTED_BODY;
    if (rest > work->size) {
        rest = work->size;
    }
    if (!is_text || rest <= 0 || memcmp(work->bytes, self->delimiter + size, (size_t)rest) == 0) {
        return join(work);
    }
    Work before = *work;
    take(&before, held, work->base - size);
    self->held = NULL;
    int result = deliver(&before, 0, size);
    if (result == ODD) {
        self->held = held;
    }
    else {
        Py_DECREF(held);
    }
    return result;
}

static PyObject *
defects_of(Parser *self)
{
    if (self->defects == NULL) {
        self->defects = PyList_New(0);
    }
    return self->defects;
}

/* Make the reference, which has every call from here on. */
static int
make_reference(Module *module, Parser *self)
{
    PyObject *const *objects = module->objects;
    PyObject *args[] = {
        self->boundary, self->subtype, self->limits, self->policy, self->callbacks == NULL ? Py_None : self->callbacks,
    };
    PyObject *names = PyTuple_Pack(
        4, objects[W_SUBTYPE], objects[W_LIMITS], objects[W_POLICY], objects[W_CALLBACKS]);
    if (names == NULL) {
        return RAISED;
    }
    PyObject *reference = PyObject_Vectorcall(objects[REFERENCE], args, 1, names);
    Py_DECREF(names);
    if (reference == NULL) {
        return RAISED;
    }
    Py_XSETREF(self->reference, reference);
    return FINE;
}

/* Put the reference where the lane has stopped, and give it the rest of the data; what it gives, after `events`. */
static PyObject *
hand_over(Module *module, Parser *self, PyObject *events, PyObject *rest, int state, int64_t offset)
{
    PyObject *defects = defects_of(self), *usage = usage_of(self);
    if (defects == NULL || usage == NULL || make_reference(module, self) < 0) {
        return NULL;
    }
    PyObject *result = NULL, *method = PyObject_GetAttr(self->reference, module->objects[W_RESUME]);
    if (method != NULL) {
        const int has_held = self->held != NULL;
        result = PyObject_CallFunction(
            method, "OOOOniLLOOy#y#", events, rest, defects, usage, self->depth, state, (long long)offset,
            (long long)self->start, self->part == NULL ? Py_None : self->part, self->dropped ? Py_True : Py_False,
            (const char *)self->first, (Py_ssize_t)self->first_size, has_held ? PyBytes_AS_STRING(self->held) : "",
            has_held ? PyBytes_GET_SIZE(self->held) : (Py_ssize_t)0);
        Py_DECREF(method);
    }
    if (result == NULL && PyErr_ExceptionMatches(PyExc_MemoryError)) {
        Py_CLEAR(self->reference); /* who knows where it is */
    }
    Py_CLEAR(self->held);
    Py_CLEAR(self->part);
    return result;
}

static PyObject *
hand_over_work(Work *work, PyObject *events)
{
    Parser *self = work->parser;
    PyObject *rest = NULL;
    if (work->at == 0) {
        rest = Py_NewRef(work->data);
    }
    else {
        rest = PyBytes_FromStringAndSize((const char *)work->bytes + work->at, work->size - work->at);
        if (rest == NULL) {
            return NULL;
        }
    }
    int state = self->fresh && self->state == PREAMBLE ? PRISTINE : self->state;
    PyObject *result = hand_over(work->module, self, events, rest, state, work->base + work->at);
    Py_DECREF(rest);
    return result;
}

/* Another call has not returned. */
static void
refuse(const Module *module, const Parser *self)
{
    PyErr_SetString(
        module->objects[STATE_ERROR],
        self->callbacks == NULL ? "another thread is feeding the parser" : "a callback cannot feed the parser that calls it");
}

static int
is_idle(Module *module, Parser *self)
{
    if (self->boundary == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "__init__() has not been called");
        return 0;
    }
    if (self->busy) {
        refuse(module, self);
        return 0;
    }
    return 1;
}

static PyObject *
feed_lane(Module *module, Parser *self, PyObject *data)
{
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
        if (outcome == FINE) {
            outcome = run(&work);
        }
    }
    if (outcome == FINE) {
        result = Py_NewRef(events);
    }
    else if (outcome == ODD) {
        result = hand_over_work(&work, events);
    }
    if (result == NULL && self->reference == NULL) {
        /* A callback has raised, or there was no memory: the rest of the chunk is lost. */
        self->state = FAILED;
        Py_CLEAR(self->held);
    }
    self->busy = 0;
    Py_DECREF(work.data);
    Py_DECREF(events);
    return result;
}

PyDoc_STRVAR(feed_doc, "feed($self, data, /)\n--\n\n"
    "Take the next bytes of the body; the events of what is complete, in order.");

static PyObject *
parser_feed(PyObject *op, PyObject *data)
{
    Parser *self = (Parser *)op;
    Module *module = module_of(op);
    if (module == NULL) {
        return NULL;
    }
    if (PyBytes_CheckExact(data)) {
        Py_INCREF(data);
    }
    else if (PyBytes_Check(data) || PyByteArray_Check(data) || PyMemoryView_Check(data)) {
        data = PyObject_CallOneArg((PyObject *)&PyBytes_Type, data);
        if (data == NULL) {
            return NULL;
        }
        if (!PyBytes_CheckExact(data)) { /* from __bytes__() of a subclass */
            Py_SETREF(data, PyBytes_FromObject(data));
            if (data == NULL) {
                return NULL;
            }
        }
    }
    else {
        PyErr_Format(PyExc_TypeError, "data must be bytes, a bytearray or a memoryview, not %R", Py_TYPE(data));
        return NULL;
    }
    PyObject *result = NULL, *reference = NULL;
    BEGIN_CRITICAL(op);
    if (is_idle(module, self)) {
        reference = Py_XNewRef(self->reference);
        if (reference == NULL) {
            result = feed_lane(module, self, data);
        }
    }
    END_CRITICAL();
    if (reference != NULL) {
        result = PyObject_CallMethodOneArg(reference, module->objects[W_FEED], data);
        Py_DECREF(reference);
    }
    Py_DECREF(data);
    return result;
}

/* Whether what is held is a close-delimiter without its line end, as many messages end. */
static int
is_at_close_delimiter(const Parser *self)
{
    if (self->held == NULL || self->state == HEADERS || self->state == COUNTED_BODY) {
        return 0;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(self->held);
    return size == self->size + 2 && memcmp(PyBytes_AS_STRING(self->held) + self->size, "--", 2) == 0;
}

static PyObject *
close_lane(Module *module, Parser *self)
{
    if (self->state == CLOSED) {
        return PyTuple_New(0);
    }
    PyObject *events = PyList_New(0);
    if (events == NULL) {
        return NULL;
    }
    if (self->state == EPILOGUE) {
        self->state = CLOSED;
        return events;
    }
    PyObject *result = NULL;
    self->busy = 1;
    if (is_at_close_delimiter(self)) {
        Work work = {module, self, self->callbacks == NULL ? events : NULL, NULL, NULL, 0, 0, 0};
        int outcome = FINE;
        if (self->state == BODY || (self->state == COUNTED_END && self->is_strict)) {
            outcome = emit(&work, module->objects[PART_END], W_ON_PART_END);
        }
        if (outcome == FINE) {
            self->state = EPILOGUE;
            outcome = emit(&work, module->objects[END], W_ON_END);
        }
        Py_CLEAR(self->held);
        self->state = outcome == FINE ? CLOSED : FAILED;
        result = outcome == FINE ? Py_NewRef(events) : NULL;
    }
    else {
        PyObject *nothing = PyBytes_FromStringAndSize(NULL, 0);
        if (nothing != NULL) {
            result = hand_over(module, self, events, nothing, self->fresh && self->state == PREAMBLE ? PRISTINE : self->state, self->offset);
            Py_DECREF(nothing);
        }
        if (result != NULL) {
            Py_SETREF(result, PyObject_CallMethodNoArgs(self->reference, module->objects[W_CLOSE]));
        }
        else if (self->reference == NULL) {
            self->state = FAILED;
        }
    }
    self->busy = 0;
    Py_DECREF(events);
    return result;
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
    "The input has ended; the events that only the end completes.");

static PyObject *
parser_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Parser *self = (Parser *)op;
    Module *module = module_of(op);
    PyObject *result = NULL, *reference = NULL;
    if (module == NULL) {
        return NULL;
    }
    BEGIN_CRITICAL(op);
    if (self->busy && self->state == EPILOGUE && self->reference == NULL) {
        self->state = CLOSED; /* in on_end() */
        result = PyList_New(0);
    }
    else if (is_idle(module, self)) {
        reference = Py_XNewRef(self->reference);
        if (reference == NULL) {
            result = close_lane(module, self);
        }
    }
    END_CRITICAL();
    if (reference != NULL) {
        result = PyObject_CallMethodNoArgs(reference, module->objects[W_CLOSE]);
        Py_DECREF(reference);
    }
    return result;
}

PyDoc_STRVAR(drop_doc, "drop($self, /)\n--\n\n"
    "Skip what is still to come of the body of the part in hand; its end is an event as always.");

static PyObject *
parser_drop(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Parser *self = (Parser *)op;
    Module *module = module_of(op);
    if (module == NULL) {
        return NULL;
    }
    PyObject *reference = NULL;
    BEGIN_CRITICAL(op);
    reference = Py_XNewRef(self->reference);
    self->dropped = self->state == BODY || self->state == COUNTED_BODY || self->state == COUNTED_END;
    END_CRITICAL();
    if (reference == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *result = PyObject_CallMethodNoArgs(reference, module->objects[W_DROP]);
    Py_DECREF(reference);
    return result;
}

/* What is the same in Python, and called as a method of this parser. */

static PyObject *
call_shared(Module *module, int number, PyObject *self, PyObject *args, PyObject *kwargs)
{
    Py_ssize_t size = PyTuple_GET_SIZE(args);
    PyObject *all = PyTuple_New(size + 1);
    if (all == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(all, 0, Py_NewRef(self));
    for (Py_ssize_t i = 0; i < size; i++) {
        PyTuple_SET_ITEM(all, i + 1, Py_NewRef(PyTuple_GET_ITEM(args, i)));
    }
    PyObject *result = PyObject_Call(module->objects[number], all, kwargs);
    Py_DECREF(all);
    return result;
}

PyDoc_STRVAR(from_content_type_doc, "from_content_type($type, content_type, /, *, limits=None, "
    "policy=Policy.STANDARD, callbacks=None)\n--\n\nA parser for the body that goes with a Content-Type.");

static PyObject *
parser_from_content_type(PyObject *cls, PyObject *args, PyObject *kwargs)
{
    PyObject *module = PyType_GetModuleByDef((PyTypeObject *)cls, &definition);
    if (module == NULL) {
        return NULL;
    }
    Module *state = PyModule_GetState(module);
    if (!state->connected) {
        PyErr_SetString(PyExc_RuntimeError, "the accelerator is not connected; import aiomultipart.parser first");
        return NULL;
    }
    return call_shared(state, FROM_CONTENT_TYPE, cls, args, kwargs);
}

PyDoc_STRVAR(nested_doc, "nested($self, part, /, *, shared=True)\n--\n\n"
    "A parser for the body of a part that is itself multipart.");

static PyObject *
parser_nested(PyObject *op, PyObject *args, PyObject *kwargs)
{
    Module *module = module_of(op);
    return module == NULL ? NULL : call_shared(module, NESTED, op, args, kwargs);
}

PyDoc_STRVAR(forgive_doc, "forgive($self, kind, part, /)\n--\n\n"
    "Record a defect that the parser does not see, unless it is recorded already.");

static PyObject *
parser_forgive(PyObject *op, PyObject *args, PyObject *kwargs)
{
    Module *module = module_of(op);
    return module == NULL ? NULL : call_shared(module, FORGIVE, op, args, kwargs);
}

/* Attributes */

/* What the reference says, if there is one; else `otherwise`, or the part where that is NULL. */
static PyObject *
of_reference(PyObject *op, int word, PyObject *otherwise)
{
    Parser *self = (Parser *)op;
    PyObject *reference, *result = NULL;
    BEGIN_CRITICAL(op);
    reference = Py_XNewRef(self->reference);
    if (reference == NULL) {
        result = Py_NewRef(otherwise != NULL ? otherwise : self->part != NULL ? self->part : Py_None);
    }
    END_CRITICAL();
    if (reference != NULL) {
        Module *module = module_of(op);
        result = module == NULL ? NULL : PyObject_GetAttr(reference, module->objects[word]);
        Py_DECREF(reference);
    }
    return result;
}

static PyObject *
parser_get_part(PyObject *op, void *Py_UNUSED(closure))
{
    return of_reference(op, W_PART, NULL);
}

static PyObject *
parser_get_error(PyObject *op, void *Py_UNUSED(closure))
{
    return of_reference(op, W_ERROR, Py_None); /* every error is the reference's */
}

static PyObject *
parser_get_ended(PyObject *op, void *Py_UNUSED(closure))
{
    int state = ((Parser *)op)->state;
    return of_reference(op, W_ENDED, state == EPILOGUE || state == CLOSED ? Py_True : Py_False);
}

static PyObject *
parser_get_closed(PyObject *op, void *Py_UNUSED(closure))
{
    return of_reference(op, W_CLOSED, ((Parser *)op)->state == CLOSED ? Py_True : Py_False);
}

static PyObject *
parser_get_defects(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *defects;
    BEGIN_CRITICAL(op);
    defects = Py_XNewRef(defects_of((Parser *)op));
    END_CRITICAL();
    return defects;
}

static int
parser_set_defects(PyObject *op, PyObject *defects, void *Py_UNUSED(closure))
{
    PyObject *reference;
    if (defects == NULL || !PyList_Check(defects)) {
        PyErr_SetString(PyExc_TypeError, "defects must be a list");
        return -1;
    }
    BEGIN_CRITICAL(op);
    Py_XSETREF(((Parser *)op)->defects, Py_NewRef(defects));
    reference = Py_XNewRef(((Parser *)op)->reference);
    END_CRITICAL();
    int result = reference == NULL ? 0 : PyObject_SetAttrString(reference, "defects", defects);
    Py_XDECREF(reference);
    return result;
}

static PyObject *
parser_get_usage(PyObject *op, void *Py_UNUSED(closure))
{
    PyObject *usage;
    BEGIN_CRITICAL(op);
    usage = Py_XNewRef(usage_of((Parser *)op));
    END_CRITICAL();
    return usage;
}

static int
parser_set_usage(PyObject *op, PyObject *usage, void *Py_UNUSED(closure))
{
    if (usage == NULL || !PyList_CheckExact(usage) || PyList_GET_SIZE(usage) != 2) {
        PyErr_SetString(PyExc_TypeError, "_usage is a list of two numbers");
        return -1;
    }
    BEGIN_CRITICAL(op);
    Py_XSETREF(((Parser *)op)->usage, Py_NewRef(usage));
    END_CRITICAL();
    return 0;
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
    Py_CLEAR(self->part);
    Py_CLEAR(self->defects);
    Py_CLEAR(self->usage);
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
    Py_VISIT(self->part);
    Py_VISIT(self->defects);
    Py_VISIT(self->usage);
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

/* Whether text is of the characters that any policy has in a boundary, as in aiomultipart/grammar/boundary.py. */
static int
is_usual_boundary(PyObject *text, int64_t most)
{
    if (!PyUnicode_IS_COMPACT_ASCII(text)) {
        return 0;
    }
    const byte *at = PyUnicode_1BYTE_DATA(text);
    Py_ssize_t size = PyUnicode_GET_LENGTH(text);
    if (size == 0 || size > most) {
        return 0;
    }
    for (const byte *end = at + size; at < end; at++) {
        int is_usual = (*at >= '\'' && *at <= ')') || (*at >= '+' && *at <= ':') || *at == '=' || *at == '?'
            || (*at >= 'A' && *at <= 'Z') || *at == '_' || (*at >= 'a' && *at <= 'z');
        if (!is_usual) {
            return 0;
        }
    }
    return 1;
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
        if (value == Py_None) {
            self->bounds[number] = INT64_MAX;
        }
        else if (value != NULL && PyLong_Check(value)) {
            int overflow;
            self->bounds[number] = PyLong_AsLongLongAndOverflow(value, &overflow);
            if (overflow) {
                self->bounds[number] = INT64_MAX;
            }
        }
        else {
            return 0;
        }
    }
    return 1;
}

/* A text in lower case; mostly it is the same object. */
static PyObject *
lowered(const Module *module, PyObject *text)
{
    if (PyUnicode_CheckExact(text) && PyUnicode_IS_COMPACT_ASCII(text)) {
        const byte *at = PyUnicode_1BYTE_DATA(text), *end = at + PyUnicode_GET_LENGTH(text);
        while (at < end && !(*at >= 'A' && *at <= 'Z')) {
            at++;
        }
        if (at == end) {
            return Py_NewRef(text);
        }
    }
    return PyObject_CallMethodNoArgs(text, module->objects[W_LOWER]);
}

/* Raise what the reference raises for a boundary that delimits nothing. */
static int
check_boundary(const Module *module, const Parser *self, PyObject *boundary)
{
    PyObject *args[] = {boundary, self->policy, self->limits};
    PyObject *names = PyTuple_Pack(2, module->objects[W_POLICY], module->objects[W_LIMITS]);
    if (names == NULL) {
        return RAISED;
    }
    PyObject *result = PyObject_Vectorcall(module->objects[CHECK_BOUNDARY], args, 1, names);
    Py_DECREF(names);
    Py_XDECREF(result);
    return result == NULL ? RAISED : FINE;
}

/* The arguments are borrowed; NULL for those that were not given. */
static int
set_up(Module *module, Parser *self, PyObject *boundary, PyObject *subtype, PyObject *limits, PyObject *policy,
       PyObject *callbacks)
{
    PyObject *const *objects = module->objects;
    if (self->busy) {
        refuse(module, self);
        return RAISED;
    }
    parser_clear((PyObject *)self);
    int is_given = limits == NULL ? 0 : PyObject_IsTrue(limits);
    if (is_given < 0) {
        return RAISED;
    }
    self->limits = Py_NewRef(is_given ? limits : objects[DEFAULT_LIMITS]);
    self->policy = Py_NewRef(policy == NULL ? objects[STANDARD] : policy);
    self->subtype = lowered(module, subtype == NULL ? objects[W_MIXED] : subtype);
    if (self->subtype == NULL) {
        return RAISED;
    }
    int can_read = read_bounds(module, self);
    PyObject *text = NULL;
    if (PyBytes_Check(boundary)) {
        text = PyUnicode_DecodeLatin1(PyBytes_AS_STRING(boundary), PyBytes_GET_SIZE(boundary), NULL);
    }
    else {
        text = Py_NewRef(boundary);
    }
    if (text == NULL) {
        return RAISED;
    }
    if ((!can_read || !PyUnicode_Check(text) || !is_usual_boundary(text, self->bounds[MAX_BOUNDARY_LENGTH]))
        && check_boundary(module, self, text) < 0) {
        Py_DECREF(text);
        return RAISED;
    }
    if (callbacks != NULL && callbacks != Py_None) {
        PyObject *result = PyObject_CallOneArg(objects[CHECK_CALLBACKS], callbacks);
        if (result == NULL) {
            Py_DECREF(text);
            return RAISED;
        }
        Py_DECREF(result);
        self->callbacks = Py_NewRef(callbacks);
    }
    Py_ssize_t size = PyUnicode_Check(text) && PyUnicode_IS_ASCII(text) ? PyUnicode_GET_LENGTH(text) : 0;
    self->is_strict = self->policy == objects[STRICT];
    /* With less room than a line end takes, any delimiter line is the reference's. */
    self->is_lane = can_read && size > 0 && size <= LONGEST_BOUNDARY && self->bounds[MAX_HEADER_LINE] > 1
        && (self->is_strict || self->policy == objects[STANDARD]);
    if (self->is_lane) {
        memcpy(self->delimiter, "\r\n--", 4);
        memcpy(self->delimiter + 4, PyUnicode_1BYTE_DATA(text), (size_t)size);
        self->size = (byte)(size + 4);
        self->counts = self->bounds[MAX_PARTS] != INT64_MAX || self->bounds[MAX_TOTAL_HEADER_BYTES] != INT64_MAX;
    }
    self->is_form_data = PyUnicode_Check(self->subtype)
        && (self->subtype == objects[W_FORM_DATA] || PyUnicode_Compare(self->subtype, objects[W_FORM_DATA]) == 0);
    self->offset = self->start = self->length = self->index = 0;
    self->depth = 1;
    self->seen = self->lines = 0;
    self->state = PREAMBLE;
    self->fresh = 1;
    self->dropped = 0;
    self->first_size = 0;
    self->boundary = text; /* last: without it there is no parser */
    return FINE;
}

static int
parser_init(PyObject *op, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"boundary", "subtype", "limits", "policy", "callbacks", NULL};
    PyObject *boundary, *subtype = NULL, *limits = NULL, *policy = NULL, *callbacks = NULL;
    if (!PyArg_ParseTupleAndKeywords(
            args, kwargs, "O|$OOOO:PushMultipartParser", names, &boundary, &subtype, &limits, &policy, &callbacks)) {
        return -1;
    }
    Module *module = module_of(op);
    int result = RAISED;
    if (module != NULL) {
        BEGIN_CRITICAL(op);
        result = set_up(module, (Parser *)op, boundary, subtype, limits, policy, callbacks);
        END_CRITICAL();
    }
    return result;
}

/* What a call of the class itself does, without a tuple and a dict for its arguments; subclasses take the long way. */
static PyObject *
parser_vectorcall(PyObject *cls, PyObject *const *args, size_t flagged, PyObject *names)
{
    static const int words[] = {W_SUBTYPE, W_LIMITS, W_POLICY, W_CALLBACKS};
    PyTypeObject *type = (PyTypeObject *)cls;
    PyObject *values[4] = {NULL, NULL, NULL, NULL};
    Py_ssize_t positional = PyVectorcall_NARGS(flagged), named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    PyObject *op = type->tp_alloc(type, 0);
    if (op == NULL) {
        return NULL;
    }
    Module *module = module_of(op);
    int is_plain = module != NULL && positional == 1;
    for (Py_ssize_t i = 0; is_plain && i < named; i++) {
        int number = 0;
        while (number < 4 && PyTuple_GET_ITEM(names, i) != module->objects[words[number]]) {
            number++;
        }
        is_plain = number < 4;
        if (is_plain) {
            values[number] = args[positional + i];
        }
    }
    int result = RAISED;
    if (is_plain) {
        result = set_up(module, (Parser *)op, args[0], values[0], values[1], values[2], values[3]);
    }
    else if (module != NULL) {
        /* Too many, too few, by another name, or boundary by its own. */
        PyObject *tuple = PyTuple_New(positional), *dict = PyDict_New();
        int fine = tuple != NULL && dict != NULL;
        for (Py_ssize_t i = 0; fine && i < positional; i++) {
            PyTuple_SET_ITEM(tuple, i, Py_NewRef(args[i]));
        }
        for (Py_ssize_t i = 0; fine && i < named; i++) {
            fine = PyDict_SetItem(dict, PyTuple_GET_ITEM(names, i), args[positional + i]) == 0;
        }
        result = fine ? parser_init(op, tuple, dict) : RAISED;
        Py_XDECREF(tuple);
        Py_XDECREF(dict);
    }
    if (result != FINE) {
        Py_DECREF(op);
        return NULL;
    }
    return op;
}

static PyMethodDef parser_methods[] = {
    {"feed", parser_feed, METH_O, feed_doc},
    {"close", parser_close, METH_NOARGS, close_doc},
    {"drop", parser_drop, METH_NOARGS, drop_doc},
    {"nested", (PyCFunction)(void (*)(void))parser_nested, METH_VARARGS | METH_KEYWORDS, nested_doc},
    {"forgive", (PyCFunction)(void (*)(void))parser_forgive, METH_VARARGS | METH_KEYWORDS, forgive_doc},
    {"from_content_type", (PyCFunction)(void (*)(void))parser_from_content_type,
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, from_content_type_doc},
    {NULL, NULL, 0, NULL},
};

#define READ_ONLY 1 /* READONLY, Py_READONLY */

static PyMemberDef parser_members[] = {
    {"boundary", Py_T_OBJECT_EX, offsetof(Parser, boundary), READ_ONLY, "The boundary, without the leading dashes."},
    {"subtype", Py_T_OBJECT_EX, offsetof(Parser, subtype), READ_ONLY, "The multipart subtype, in lower case."},
    {"limits", Py_T_OBJECT_EX, offsetof(Parser, limits), READ_ONLY, "The bounds."},
    {"policy", Py_T_OBJECT_EX, offsetof(Parser, policy), READ_ONLY, "How odd constructs are read."},
    {"_depth", Py_T_PYSSIZET, offsetof(Parser, depth), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef parser_getset[] = {
    {"part", parser_get_part, NULL, "The part that was begun last; None before the first.", NULL},
    {"error", parser_get_error, NULL, "The error that ended the parsing, if one did.", NULL},
    {"ended", parser_get_ended, NULL, "Whether the close-delimiter has been read.", NULL},
    {"closed", parser_get_closed, NULL, "Whether close() has been called and found the message complete.", NULL},
    {"defects", parser_get_defects, parser_set_defects, "What the policy has forgiven so far, by offset.", NULL},
    {"_usage", parser_get_usage, parser_set_usage, NULL, NULL},
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
accelerator_read_field_block(PyObject *module, PyObject *block)
{
    if (!PyBytes_CheckExact(block)) {
        PyErr_SetString(PyExc_TypeError, "block must be bytes");
        return NULL;
    }
    const byte *at = (const byte *)PyBytes_AS_STRING(block), *end = at + PyBytes_GET_SIZE(block);
    PyObject *fields = PyList_New(0);
    while (fields != NULL && at < end) {
        Field field;
        at = next_field(at, end, &field);
        if (at == NULL) {
            Py_DECREF(fields);
            Py_RETURN_NONE;
        }
        PyObject *name = text_of(&field.name), *value = text_of(&field.value), *pair = NULL;
        if (name != NULL && value != NULL) {
            pair = PyTuple_Pack(2, name, value);
        }
        Py_XDECREF(name);
        Py_XDECREF(value);
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
        int is_slot = Py_IS_TYPE(member, &PyMemberDescr_Type)
            && ((PyMemberDescrObject *)member)->d_member->type == Py_T_OBJECT_EX;
        offsets[i] = is_slot ? ((PyMemberDescrObject *)member)->d_member->offset : 0;
        Py_DECREF(member);
        if (!is_slot) {
            PyErr_Format(PyExc_TypeError, "%R has no slot %s", cls, names[i]);
            return RAISED;
        }
    }
    return FINE;
}

PyDoc_STRVAR(connect_doc, "connect($module, part_begin, part_end, end, reference, limits, default_limits, strict, "
    "standard, multipart_error, state_error, check_boundary, check_callbacks, /)\n--\n\n"
    "Say what the parser is made of; once, before the first is made.");

static PyObject *
accelerator_connect(PyObject *op, PyObject *args)
{
    Module *module = PyModule_GetState(op);
    PyObject *shared[3] = {NULL, NULL, NULL};
    if (PyTuple_GET_SIZE(args) != GIVEN) {
        PyErr_Format(PyExc_TypeError, "connect() takes %d arguments", (int)GIVEN);
        return NULL;
    }
    PyObject *part_begin = PyTuple_GET_ITEM(args, PART_BEGIN), *limits = PyTuple_GET_ITEM(args, LIMITS);
    PyObject *reference = PyTuple_GET_ITEM(args, REFERENCE);
    if (!PyType_Check(part_begin) || !PyType_Check(limits) || !PyType_Check(reference)) {
        PyErr_SetString(PyExc_TypeError, "part_begin, limits and reference must be classes");
        return NULL;
    }
    if (find_slots(part_begin, SLOT_NAMES, SLOTS, module->slots) < 0
        || find_slots(limits, BOUND_NAMES, BOUNDS, module->bounds) < 0) {
        return NULL;
    }
    PyObject *bound = PyObject_GetAttrString(reference, "from_content_type"); /* bound to the reference */
    if (bound != NULL) {
        shared[0] = PyObject_GetAttrString(bound, "__func__");
        Py_DECREF(bound);
    }
    shared[1] = shared[0] == NULL ? NULL : PyObject_GetAttrString(reference, "nested");
    shared[2] = shared[1] == NULL ? NULL : PyObject_GetAttrString(reference, "forgive");
    if (shared[2] == NULL) {
        Py_XDECREF(shared[0]);
        Py_XDECREF(shared[1]);
        return NULL;
    }
    for (int i = 0; i < GIVEN; i++) {
        Py_XSETREF(module->objects[i], Py_NewRef(PyTuple_GET_ITEM(args, i)));
    }
    for (int i = 0; i < 3; i++) {
        Py_XSETREF(module->objects[FROM_CONTENT_TYPE + i], shared[i]);
    }
    module->connected = 1;
    Py_RETURN_NONE;
}

static PyMethodDef accelerator_methods[] = {
    {"find", accelerator_find, METH_VARARGS, find_doc},
    {"read_field_block", accelerator_read_field_block, METH_O, read_field_block_doc},
    {"connect", accelerator_connect, METH_VARARGS, connect_doc},
    {NULL, NULL, 0, NULL},
};

static int
accelerator_exec(PyObject *op)
{
    Module *module = PyModule_GetState(op);
    for (int i = WORDS; i < OBJECTS; i++) {
        module->objects[i] = PyUnicode_InternFromString(TEXTS[i - WORDS]);
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
