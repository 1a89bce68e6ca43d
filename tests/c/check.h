/**
 * Checks and texts for the C and C++ test programs. Include it first.
 *
 * A failed check prints file and line, what was got and what was wanted, and ends the program with status 1,
 * whichever thread it is in.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* POSIX beside -std=c11 */
#endif

#include <ComputeCore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* For every wait, in milliseconds. Only a defect takes this long. */
#define LIMIT 60000u

/* For a whole program, in seconds: reads of pipes have no time limit of their own. */
#define PROGRAM_LIMIT 300u

/* L"text" where wchar_t has 16 bits, else u"text". */
#define TEXT16(text) TEXT(text)

/* ---- Text ---- */

/* UTF-16 by value, so that nobody has to free it: f(wide("%d", 1).text). */
typedef struct Wide {
    WCHAR text[4096];
} Wide;

__attribute__((format(printf, 1, 2))) static inline Wide wide(const char *format, ...);

/* A fresh id for a compute system. */
static inline Wide unique_id(void)
{
    static int count = 0;
    return wide("c-test-%d-%d", (int)getpid(), ++count);
}

static inline void show(PCWSTR text)
{
    for (; text && *text; ++text) fputc(*text < 0x80 ? (int)*text : '?', stderr);
    fputc('\n', stderr);
}

static inline bool same_text(PCWSTR left, PCWSTR right)
{
    while (*left && *left == *right) ++left, ++right;
    return *left == *right;
}

/* ---- Failing ---- */

__attribute__((noreturn, format(printf, 3, 4))) static inline void check_fail(const char *file, int line,
                                                                              const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _Exit(1); /* exit() would run destructors under the feet of other threads */
}

static inline Wide wide(const char *format, ...)
{
    Wide result;
    char narrow[sizeof result.text / sizeof *result.text];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(narrow, sizeof narrow, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof narrow) check_fail(__FILE__, __LINE__, "text too long: %s", format);
    for (int i = 0; i <= length; ++i) {
        if (narrow[i] & 0x80) check_fail(__FILE__, __LINE__, "not ASCII: %s", narrow);
        result.text[i] = (WCHAR)narrow[i];
    }
    return result;
}

static inline void check_late(int number)
{
    static const char message[] = "took too long\n";
    (void)number;
    ssize_t written = write(2, message, sizeof message - 1);
    _exit(written < 0 ? 2 : 1);
}

/* The first line of every main(). */
static inline void begin(void)
{
    signal(SIGALRM, check_late);
    alarm(PROGRAM_LIMIT);
}

/* ---- Checks ---- */

#define FAIL(...) check_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition)                                                  \
    do {                                                                  \
        if (!(condition)) FAIL("%s: got false, wanted true", #condition); \
    } while (0)

#define CHECK_EQUAL(wanted, got) check_equal(__FILE__, __LINE__, #got, (long long)(wanted), (long long)(got))

static inline void check_equal(const char *file, int line, const char *text, long long wanted, long long got)
{
    if (wanted != got)
        check_fail(file, line, "%s: got %lld (0x%llx), wanted %lld (0x%llx)", text, got, (unsigned long long)got,
                   wanted, (unsigned long long)wanted);
}

#define CHECK_TEXT(wanted, got) check_text(__FILE__, __LINE__, #got, wanted, got)

static inline void check_text(const char *file, int line, const char *text, const char *wanted, const char *got)
{
    if (strcmp(wanted, got) != 0) check_fail(file, line, "%s: got \"%s\", wanted \"%s\"", text, got, wanted);
}

#define CHECK_HR(wanted, got) check_hr(__FILE__, __LINE__, #got, wanted, got)

static inline void check_hr(const char *file, int line, const char *text, HRESULT wanted, HRESULT got)
{
    if (wanted != got)
        check_fail(file, line, "%s: got 0x%08x, wanted 0x%08x", text, (unsigned)got, (unsigned)wanted);
}

/* The HRESULT is one of those that follow it. */
#define CHECK_HR_IN(got, ...)                                                                                \
    do {                                                                                                     \
        const HRESULT wanted_[] = {__VA_ARGS__};                                                             \
        check_hr_in(__FILE__, __LINE__, #got, #__VA_ARGS__, got, wanted_, sizeof wanted_ / sizeof *wanted_); \
    } while (0)

static inline void check_hr_in(const char *file, int line, const char *text, const char *names, HRESULT got,
                               const HRESULT *wanted, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (wanted[i] == got) return;
    check_fail(file, line, "%s: got 0x%08x, wanted one of %s", text, (unsigned)got, names);
}

#define CHECK_FAILS(got) check_fails(__FILE__, __LINE__, #got, got)

static inline void check_fails(const char *file, int line, const char *text, HRESULT got)
{
    if (SUCCEEDED(got)) check_fail(file, line, "%s: got 0x%08x, wanted a failure", text, (unsigned)got);
}

/* ---- Documents ---- */

/* Where a piece of JSON stands in a document, whatever the white space between; NULL if it does not. */
static inline PCWSTR find(PCWSTR document, const char *part)
{
    for (; document && *document; ++document) {
        PCWSTR at = document;
        const char *left = part;
        while (*left && *at) {
            if (*at == (WCHAR)(unsigned char)*left)
                ++left, ++at;
            else if (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
                ++at;
            else
                break;
        }
        if (!*left) return at;
    }
    return NULL;
}

#define CHECK_HAS(part, document) check_has(__FILE__, __LINE__, #document, part, document)

static inline void check_has(const char *file, int line, const char *text, const char *part, PCWSTR document)
{
    if (find(document, part)) return;
    fprintf(stderr, "%s: got ", text);
    show(document);
    check_fail(file, line, "%s: wanted %s in it", text, part);
}

/* An integer member, first one of that name; 0 if there is none, as documents leave defaults out. */
static inline long long number(PCWSTR document, const char *member)
{
    char part[64];
    snprintf(part, sizeof part, "\"%s\":", member);
    PCWSTR at = find(document, part);
    if (!at) return 0;
    while (*at == ' ') ++at;
    bool negative = *at == '-';
    if (negative) ++at;
    long long value = 0;
    for (; *at >= '0' && *at <= '9'; ++at) value = value * 10 + (*at - '0');
    return negative ? -value : value;
}

/* ---- Operations ---- */

/* How a call went, wherever it says so: at once or through its operation. The document is for LocalFree. */
static inline HRESULT outcome(HCS_OPERATION operation, HRESULT started, PWSTR *document)
{
    if (SUCCEEDED(started)) return HcsWaitForOperationResult(operation, LIMIT, document);
    CHECK_FAILS(HcsGetOperationResult(operation, document));
    return started;
}

#define CHECK_OUTCOME(wanted, operation, call) CHECK_HR(wanted, outcome(operation, call, NULL))

/* The call succeeds; if not, says its error document too. */
#define CHECK_DONE(operation, call) check_done(__FILE__, __LINE__, #call, operation, call)

static inline void check_done(const char *file, int line, const char *text, HCS_OPERATION operation, HRESULT started)
{
    PWSTR document = NULL;
    HRESULT hr = outcome(operation, started, &document);
    if (FAILED(hr)) show(document);
    LocalFree(document);
    check_hr(file, line, text, S_OK, hr);
}

#endif
