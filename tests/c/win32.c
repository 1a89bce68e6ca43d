/* Events and pipes: the few Windows functions beside the API. */
#include "check.h"

#include <pthread.h>
#include <time.h>

#define NOT_OPEN HcsHandleFromFd(1000000)

static void fails_with(int line, DWORD wanted, BOOL done)
{
    DWORD error = GetLastError();
    if (done) check_fail(__FILE__, line, "got success, wanted error %u", wanted);
    check_equal(__FILE__, line, "GetLastError()", wanted, error);
}

#define CHECK_ERROR(wanted, call) fails_with(__LINE__, wanted, call)

static void handles(void)
{
    CHECK_EQUAL(7, HcsHandleToFd(HcsHandleFromFd(7)));
    CHECK_EQUAL(-1, HcsHandleToFd(NULL));
    CHECK_EQUAL(-1, HcsHandleToFd(INVALID_HANDLE_VALUE));
    CHECK(HcsHandleFromFd(-1) == NULL);

    CHECK_ERROR(ERROR_INVALID_HANDLE, CloseHandle(NULL));
    CHECK_ERROR(ERROR_INVALID_HANDLE, CloseHandle(INVALID_HANDLE_VALUE));
    CHECK_ERROR(ERROR_INVALID_HANDLE, CloseHandle(NOT_OPEN));

    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    CHECK(event != NULL);
    CHECK(CloseHandle(event));
    CHECK_ERROR(ERROR_INVALID_HANDLE, CloseHandle(event));
    CHECK_ERROR(ERROR_INVALID_HANDLE, SetEvent(event));
    CHECK_ERROR(ERROR_INVALID_HANDLE, ResetEvent(event));
    CHECK_EQUAL(WAIT_FAILED, WaitForSingleObject(event, 0));
    CHECK_EQUAL(ERROR_INVALID_HANDLE, GetLastError());

    /* Not even a free place below 3 is handed out: NULL would be a handle, and 1 and 2 a trap. */
    close(0);
    event = CreateEventW(NULL, TRUE, FALSE, NULL);
    CHECK(HcsHandleToFd(event) > 2);
    CHECK(CloseHandle(event));
}

static void *error_of_thread(void *unused)
{
    (void)unused;
    CHECK(CreateEventW(NULL, FALSE, FALSE, TEXT16("name")) == NULL);
    CHECK_EQUAL(ERROR_NOT_SUPPORTED, GetLastError());
    return NULL;
}

static void last_error(void)
{
    CHECK_ERROR(ERROR_INVALID_HANDLE, CloseHandle(NOT_OPEN));
    pthread_t thread;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, error_of_thread, NULL));
    CHECK_EQUAL(0, pthread_join(thread, NULL));
    CHECK_EQUAL(ERROR_INVALID_HANDLE, GetLastError()); /* of this thread */
}

static void manual_reset(void)
{
    HANDLE event = CreateEvent(NULL, TRUE, FALSE, NULL);
    CHECK(event != NULL);
    CHECK_EQUAL(WAIT_TIMEOUT, WaitForSingleObject(event, 0));
    CHECK(SetEvent(event));
    CHECK(SetEvent(event));
    CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(event, 0));
    CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(event, INFINITE));
    CHECK(ResetEvent(event));
    CHECK(ResetEvent(event));
    CHECK_EQUAL(WAIT_TIMEOUT, WaitForSingleObject(event, 0));
    CHECK(CloseHandle(event));

    event = CreateEventW(NULL, TRUE, TRUE, NULL);
    CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(event, 0));
    CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(event, 0));
    CHECK(CloseHandle(event));
}

static void auto_reset(void)
{
    HANDLE event = CreateEventW(NULL, FALSE, TRUE, NULL);
    CHECK(event != NULL);
    CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(event, 0));
    CHECK_EQUAL(WAIT_TIMEOUT, WaitForSingleObject(event, 0));
    CHECK(SetEvent(event));
    CHECK(SetEvent(event)); /* set is set: it does not count */
    CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(event, INFINITE));
    CHECK_EQUAL(WAIT_TIMEOUT, WaitForSingleObject(event, 0));
    CHECK(SetEvent(event));
    CHECK(ResetEvent(event));
    CHECK_EQUAL(WAIT_TIMEOUT, WaitForSingleObject(event, 0));
    CHECK(CloseHandle(event));

    CHECK(CreateEventW(NULL, FALSE, FALSE, TEXT16("name")) == NULL);
    CHECK_EQUAL(ERROR_NOT_SUPPORTED, GetLastError());
}

static void time_limit(void)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    CHECK_EQUAL(WAIT_TIMEOUT, WaitForSingleObject(event, 50));
    clock_gettime(CLOCK_MONOTONIC, &after);
    long long waited = (after.tv_sec - before.tv_sec) * 1000000000LL + (after.tv_nsec - before.tv_nsec);
    CHECK(waited >= 50 * 1000000LL);
    CHECK(CloseHandle(event));
}

static HANDLE ping, pong;

static void *answer(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100; ++i) {
        CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(ping, LIMIT));
        CHECK(SetEvent(pong));
    }
    return NULL;
}

static void between_threads(void)
{
    ping = CreateEventW(NULL, FALSE, FALSE, NULL);
    pong = CreateEventW(NULL, FALSE, FALSE, NULL);
    pthread_t thread;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, answer, NULL));
    for (int i = 0; i < 100; ++i) {
        CHECK(SetEvent(ping));
        CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(pong, LIMIT));
    }
    CHECK_EQUAL(0, pthread_join(thread, NULL));
    CHECK(CloseHandle(ping));
    CHECK(CloseHandle(pong));
}

static void make_pipe(HANDLE *reader, HANDLE *writer)
{
    int ends[2];
    CHECK_EQUAL(0, pipe(ends));
    if (ends[0] == 0) { /* handles() closed it; handles cannot hold it */
        ends[0] = dup(0);
        close(0);
    }
    *reader = HcsHandleFromFd(ends[0]);
    *writer = HcsHandleFromFd(ends[1]);
}

static void reading(void)
{
    HANDLE reader, writer;
    char buffer[16] = {0};
    DWORD count = 7;
    make_pipe(&reader, &writer);
    CHECK_EQUAL(WAIT_TIMEOUT, WaitForSingleObject(reader, 0));
    CHECK(WriteFile(writer, "hello", 5, &count, NULL));
    CHECK_EQUAL(5, count);
    CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(reader, 0));
    CHECK(ReadFile(reader, buffer, 2, &count, NULL));
    CHECK_EQUAL(2, count);
    CHECK(ReadFile(reader, buffer + 2, sizeof buffer - 2, &count, NULL)); /* what is there, not all that fits */
    CHECK_EQUAL(3, count);
    CHECK_TEXT("hello", buffer);

    CHECK_ERROR(ERROR_INVALID_PARAMETER, ReadFile(reader, NULL, 1, &count, NULL));
    CHECK_ERROR(ERROR_ACCESS_DENIED, ReadFile(writer, buffer, 1, &count, NULL));
    CHECK_ERROR(ERROR_INVALID_HANDLE, ReadFile(NULL, buffer, 1, &count, NULL));
    CHECK_ERROR(ERROR_INVALID_HANDLE, ReadFile(INVALID_HANDLE_VALUE, buffer, 1, &count, NULL));

    CHECK(CloseHandle(writer));
    CHECK_EQUAL(WAIT_OBJECT_0, WaitForSingleObject(reader, 0));
    count = 7;
    CHECK_ERROR(ERROR_BROKEN_PIPE, ReadFile(reader, buffer, sizeof buffer, &count, NULL));
    CHECK_EQUAL(0, count);
    CHECK_ERROR(ERROR_BROKEN_PIPE, ReadFile(reader, buffer, sizeof buffer, NULL, NULL));
    CHECK(CloseHandle(reader));
    CHECK_ERROR(ERROR_INVALID_HANDLE, ReadFile(reader, buffer, sizeof buffer, &count, NULL));

    /* The end of a file is no error. */
    FILE *file = tmpfile();
    CHECK(file != NULL);
    HANDLE empty = HcsHandleFromFd(dup(fileno(file)));
    fclose(file);
    count = 7;
    CHECK(ReadFile(empty, buffer, sizeof buffer, &count, NULL));
    CHECK_EQUAL(0, count);
    CHECK(CloseHandle(empty));
}

static void writing(void)
{
    HANDLE reader, writer;
    DWORD count = 7;
    signal(SIGPIPE, SIG_DFL); /* which would end this program */
    make_pipe(&reader, &writer);
    CHECK(WriteFile(writer, "x", 1, NULL, NULL));
    CHECK_ERROR(ERROR_INVALID_PARAMETER, WriteFile(writer, NULL, 1, &count, NULL));
    CHECK_ERROR(ERROR_ACCESS_DENIED, WriteFile(reader, "x", 1, &count, NULL));
    CHECK_ERROR(ERROR_INVALID_HANDLE, WriteFile(NULL, "x", 1, &count, NULL));
    CHECK(CloseHandle(reader));
    count = 7;
    BOOL done = WriteFile(writer, "x", 1, &count, NULL);
    CHECK(!done);
    CHECK(GetLastError() == ERROR_NO_DATA || GetLastError() == ERROR_BROKEN_PIPE);
    CHECK_EQUAL(0, count);
    CHECK(CloseHandle(writer));
    CHECK_ERROR(ERROR_INVALID_HANDLE, WriteFile(writer, "x", 1, &count, NULL));
}

int main(void)
{
    begin();
    handles();
    last_error();
    manual_reset();
    auto_reset();
    time_limit();
    between_threads();
    reading();
    writing();
    return 0;
}
