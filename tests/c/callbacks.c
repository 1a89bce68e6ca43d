/*
 * Callbacks of operations, systems and processes: who is told, what, how often, and that closing waits.
 * Every context is a small number. A library that looked behind one would crash.
 */
#include "container.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

/* What the callback with a context has seen so far. */
typedef struct Seen {
    int completions; /* calls of an operation callback, or OperationCallback events */
    int exits;       /* SystemExited, ProcessExited, HcsNotificationProcessExited */
    int others;
    HCS_OPERATION operation;
    HCS_OPERATION_TYPE type;
    HCS_SYSTEM system;
    HRESULT hr;
    bool document;
    Wide data;
    int entered, left; /* of linger() */
} Seen;

static Seen seen[40];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

/* A fresh context. */
static void *context(void)
{
    static size_t next = 0;
    CHECK(++next < sizeof seen / sizeof *seen);
    return (void *)(uintptr_t)next;
}

static Seen *of(void *context)
{
    uintptr_t index = (uintptr_t)context;
    CHECK(index > 0 && index < sizeof seen / sizeof *seen);
    return &seen[index];
}

static struct timespec in(unsigned milliseconds)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    time.tv_sec += milliseconds / 1000;
    time.tv_nsec += milliseconds % 1000 * 1000000L;
    if (time.tv_nsec >= 1000000000L) ++time.tv_sec, time.tv_nsec -= 1000000000L;
    return time;
}

#define AWAIT(counter, wanted) await(__LINE__, #counter, &(counter), wanted)

static void await(int line, const char *text, const int *counter, int wanted)
{
    struct timespec limit = in(LIMIT);
    pthread_mutex_lock(&lock);
    while (*counter < wanted)
        if (pthread_cond_timedwait(&changed, &lock, &limit) != 0)
            check_fail(__FILE__, line, "%s: got %d, wanted %d", text, *counter, wanted);
    pthread_mutex_unlock(&lock);
    check_equal(__FILE__, line, text, wanted, *counter);
}

/* The operation callback: reads everything there is to read, and closes the operation. */
static void completed(HCS_OPERATION operation, void *context)
{
    Seen *mine = of(context);
    PWSTR document = NULL;
    CHECK(HcsGetOperationContext(operation) == context);
    HRESULT hr = HcsGetOperationResult(operation, &document);
    HCS_OPERATION_TYPE type = HcsGetOperationType(operation);
    HCS_SYSTEM system = HcsGetComputeSystemFromOperation(operation);
    HcsCloseOperation(operation);
    CHECK_EQUAL(HcsOperationTypeNone, HcsGetOperationType(operation));

    pthread_mutex_lock(&lock);
    ++mine->completions;
    mine->operation = operation;
    mine->type = type;
    mine->system = system;
    mine->hr = hr;
    mine->document = document != NULL;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    LocalFree(document);
}

/* One that leaves the operation open, to be used again. */
static void counted(HCS_OPERATION operation, void *context)
{
    pthread_mutex_lock(&lock);
    of(context)->hr = HcsGetOperationResult(operation, NULL);
    ++of(context)->completions;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* The event callback. Closes the operations that it is told of. */
static void happened(HCS_EVENT *event, void *context)
{
    Seen *mine = of(context);
    HRESULT hr = S_OK;
    HCS_OPERATION_TYPE type = HcsOperationTypeNone;
    if (event->Type == HcsEventOperationCallback) {
        CHECK(event->EventData == NULL);
        CHECK(event->Operation != NULL);
        hr = HcsGetOperationResult(event->Operation, NULL);
        type = HcsGetOperationType(event->Operation);
        HcsCloseOperation(event->Operation);
    } else {
        CHECK(event->Operation == NULL);
    }

    pthread_mutex_lock(&lock);
    switch (event->Type) {
    case HcsEventOperationCallback:
        ++mine->completions;
        mine->operation = event->Operation;
        mine->type = type;
        mine->hr = hr;
        break;
    case HcsEventSystemExited:
    case HcsEventProcessExited:
        ++mine->exits;
        CHECK(event->EventData != NULL);
        for (size_t i = 0; i + 1 < sizeof mine->data.text / sizeof(WCHAR) && event->EventData[i]; ++i)
            mine->data.text[i] = event->EventData[i];
        break;
    default:
        ++mine->others;
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void notified(DWORD type, void *context, HRESULT status, PCWSTR data)
{
    CHECK_EQUAL(0x10000, type);
    CHECK_HR(S_OK, status);
    CHECK_HAS("\"Exited\":true", data);
    pthread_mutex_lock(&lock);
    ++of(context)->exits;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Stays for a moment: time enough for a close that does not wait to give itself away. */
static void stay(void *context)
{
    struct timespec moment = in(200);
    pthread_mutex_lock(&lock);
    ++of(context)->entered;
    pthread_cond_broadcast(&changed);
    while (pthread_cond_timedwait(&never, &lock, &moment) == 0) continue;
    ++of(context)->left;
    pthread_mutex_unlock(&lock);
}

static void linger(HCS_EVENT *event, void *context)
{
    (void)event;
    stay(context);
}

static void linger_notified(DWORD type, void *context, HRESULT status, PCWSTR data)
{
    (void)type, (void)status, (void)data;
    stay(context);
}

static void end(HCS_PROCESS process)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_DONE(operation, HcsTerminateProcess(process, operation, NULL));
    CHECK_HR(S_OK, HcsWaitForProcessExit(process, LIMIT, NULL));
    HcsCloseOperation(operation);
}

/* ---- Operations ---- */

static void operation_callbacks(void)
{
    void *mine = context();
    HCS_SYSTEM system = NULL;
    CHECK_HR(S_OK, HcsCreateComputeSystem(unique_id().text, container_document().text,
                                          HcsCreateOperation(mine, completed), NULL, &system));
    AWAIT(of(mine)->completions, 1);
    CHECK_EQUAL(HcsOperationTypeCreate, of(mine)->type);
    CHECK_HR(S_OK, of(mine)->hr);
    CHECK(of(mine)->system == system);
    CHECK(!of(mine)->document);

    void *starts = context();
    CHECK_HR(S_OK, HcsStartComputeSystem(system, HcsCreateOperation(starts, completed), NULL));
    AWAIT(of(starts)->completions, 1);
    CHECK_EQUAL(HcsOperationTypeStart, of(starts)->type);
    CHECK_HR(S_OK, of(starts)->hr);

    void *asks = context();
    CHECK_HR(S_OK, HcsGetComputeSystemProperties(system, HcsCreateOperation(asks, completed), NULL));
    AWAIT(of(asks)->completions, 1);
    CHECK(of(asks)->document);

    /* Failure: told once by the callback, or at once and never by the callback. */
    void *fails = context();
    HCS_OPERATION operation = HcsCreateOperation(fails, completed);
    PCWSTR change = TEXT16("{\"ResourcePath\":\"Container/NoSuchThing\",\"RequestType\":\"Add\",\"Settings\":{}}");
    HRESULT hr = HcsModifyComputeSystem(system, operation, change, NULL);
    if (SUCCEEDED(hr))
        AWAIT(of(fails)->completions, 1);
    else
        HcsCloseOperation(operation);

    /* Replaced before use; the context once more. One handle, two calls. */
    void *never_told = context(), *replaced = context(), *current = context();
    operation = HcsCreateOperation(never_told, counted);
    CHECK_HR(S_OK, HcsSetOperationCallback(operation, replaced, counted));
    CHECK(HcsGetOperationContext(operation) == replaced);
    CHECK_HR(S_OK, HcsSetOperationContext(operation, current));
    CHECK(HcsGetOperationContext(operation) == current);
    for (int use = 1; use <= 2; ++use) {
        CHECK_HR(S_OK, HcsEnumerateComputeSystems(NULL, operation));
        AWAIT(of(current)->completions, use);
        CHECK_HR(S_OK, of(current)->hr);
    }
    HcsCloseOperation(operation);

    stop_container(system);
    HcsCloseComputeSystem(system);
    CHECK_EQUAL(1, of(mine)->completions);
    CHECK_EQUAL(1, of(starts)->completions);
    CHECK_EQUAL(1, of(asks)->completions);
    CHECK_EQUAL(SUCCEEDED(hr), of(fails)->completions);
    CHECK_EQUAL(0, of(never_told)->completions);
    CHECK_EQUAL(0, of(replaced)->completions);
    CHECK_EQUAL(2, of(current)->completions);
}

/* ---- Events of systems ---- */

static void event_callbacks(void)
{
    Wide id = unique_id();
    void *mine = context();
    HCS_SYSTEM system = NULL;
    HCS_OPERATION creates = HcsCreateOperation(NULL, NULL);
    CHECK_HR(S_OK, HcsCreateComputeSystem(id.text, container_document().text, creates, NULL, &system));
    CHECK_HR(S_OK, HcsSetComputeSystemCallback(system, HcsEventOptionEnableOperationCallbacks, mine, happened));
    AWAIT(of(mine)->completions, 1); /* even if creation was faster than the registration */
    CHECK(of(mine)->operation == creates);
    CHECK_EQUAL(HcsOperationTypeCreate, of(mine)->type);
    CHECK_HR(S_OK, of(mine)->hr);

    CHECK_HR(HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET,
             HcsSetComputeSystemCallback(system, HcsEventOptionNone, mine, happened));

    HCS_OPERATION starts = HcsCreateOperation(NULL, NULL);
    CHECK_HR(S_OK, HcsStartComputeSystem(system, starts, NULL));
    AWAIT(of(mine)->completions, 2);
    CHECK(of(mine)->operation == starts);
    CHECK_EQUAL(HcsOperationTypeStart, of(mine)->type);
    CHECK_HR(S_OK, of(mine)->hr);

    /* One party only: an operation with a callback of its own is refused on this handle. */
    void *refused = context();
    HCS_OPERATION operation = HcsCreateOperation(refused, counted);
    HCS_PROCESS process = NULL;
    CHECK_HR(HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET, HcsGetComputeSystemProperties(system, operation, NULL));
    CHECK_HR(HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET,
             HcsCreateProcess(system, SLEEPER, operation, NULL, &process));
    CHECK(process == NULL);

    /* And accepted on another one. */
    HCS_SYSTEM other = open_container(id.text);
    CHECK_HR(S_OK, HcsGetComputeSystemProperties(other, operation, NULL));
    AWAIT(of(refused)->completions, 1);
    HcsCloseOperation(operation);

    /* A process of this system. The system is not told of its end. */
    HCS_OPERATION runs = HcsCreateOperation(NULL, NULL);
    CHECK_HR(S_OK, HcsCreateProcess(system, SLEEPER, runs, NULL, &process));
    AWAIT(of(mine)->completions, 3);
    CHECK_EQUAL(HcsOperationTypeCreateProcess, of(mine)->type);
    end(process);
    HcsCloseProcess(process);
    CHECK_EQUAL(0, of(mine)->exits);

    HCS_OPERATION terminates = HcsCreateOperation(NULL, NULL);
    CHECK_HR(S_OK, HcsTerminateComputeSystem(system, terminates, NULL));
    AWAIT(of(mine)->exits, 1);
    AWAIT(of(mine)->completions, 4);
    CHECK_HAS("\"ExitType\":\"ForcedExit\"", of(mine)->data.text);

    HcsCloseComputeSystem(system);
    HcsCloseComputeSystem(other);
    CHECK_EQUAL(4, of(mine)->completions);
    CHECK_EQUAL(1, of(mine)->exits);
    CHECK_EQUAL(0, of(mine)->others);
}

static void replacing(void)
{
    void *removed = context(), *set = context();
    HCS_SYSTEM system = run_container(unique_id().text);
    CHECK_HR(S_OK, HcsSetComputeSystemCallback(system, HcsEventOptionNone, removed, happened));
    CHECK_HR(S_OK, HcsSetComputeSystemCallback(system, HcsEventOptionNone, NULL, NULL));
    /* Option bits of newer headers: hcsshim sends 4. */
    HCS_EVENT_OPTIONS options = (HCS_EVENT_OPTIONS)(HcsEventOptionEnableLiveMigrationEvents | 0x40000000u);
    CHECK_HR(S_OK, HcsSetComputeSystemCallback(system, options, set, happened));
    stop_container(system);
    AWAIT(of(set)->exits, 1);
    HcsCloseComputeSystem(system);
    CHECK_EQUAL(0, of(removed)->exits);
    CHECK_EQUAL(1, of(set)->exits);
    CHECK_EQUAL(0, of(set)->completions);
}

/* A callback that comes after the creation is told of it nevertheless, unless somebody has read the outcome. */
static void late_for_creation(void)
{
    for (int known = 0; known < 2; ++known) {
        Wide id = unique_id();
        void *mine = context();
        HCS_SYSTEM system = NULL, other = NULL;
        HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
        CHECK_HR(S_OK, HcsCreateComputeSystem(id.text, container_document().text, operation, NULL, &system));
        if (known) CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, NULL));
        while (HcsOpenComputeSystem(id.text, GENERIC_ALL, &other) == HCS_E_SYSTEM_NOT_FOUND) sched_yield();
        CHECK_HR(S_OK, HcsSetComputeSystemCallback(system, HcsEventOptionEnableOperationCallbacks, mine, happened));
        if (!known) AWAIT(of(mine)->completions, 1);
        stop_container(other);
        AWAIT(of(mine)->exits, 1);
        HcsCloseComputeSystem(system);
        HcsCloseComputeSystem(other);
        HcsCloseOperation(operation);
        CHECK_EQUAL(!known, of(mine)->completions);
    }
}

/* An exit is told once to each handle, also to one that asks later, and never after close. */
static void late_and_closed(void)
{
    Wide id = unique_id();
    void *late = context(), *other = context(), *closed = context();
    HCS_SYSTEM first = run_container(id.text);
    HCS_SYSTEM second = open_container(id.text);
    HCS_SYSTEM third = open_container(id.text);
    CHECK_HR(S_OK, HcsSetComputeSystemCallback(second, HcsEventOptionNone, other, happened));
    CHECK_HR(S_OK, HcsSetComputeSystemCallback(third, HcsEventOptionNone, closed, happened));
    HcsCloseComputeSystem(third);
    stop_container(first);
    AWAIT(of(other)->exits, 1);

    CHECK_HR(S_OK, HcsSetComputeSystemCallback(first, HcsEventOptionNone, late, happened));
    AWAIT(of(late)->exits, 1);
    CHECK_HAS("\"ExitType\":\"ForcedExit\"", of(late)->data.text);

    HcsCloseComputeSystem(first);
    HcsCloseComputeSystem(second);
    CHECK_EQUAL(1, of(late)->exits);
    CHECK_EQUAL(1, of(other)->exits);
    CHECK_EQUAL(0, of(closed)->exits + of(closed)->others);
}

static void close_waits(void)
{
    Wide id = unique_id();
    void *mine = context();
    HCS_SYSTEM system = run_container(id.text);
    HCS_SYSTEM other = open_container(id.text);
    CHECK_HR(S_OK, HcsSetComputeSystemCallback(system, HcsEventOptionNone, mine, linger));
    stop_container(other);
    AWAIT(of(mine)->entered, 1);
    HcsCloseComputeSystem(system);
    CHECK_EQUAL(1, of(mine)->left);
    HcsCloseComputeSystem(other);
}

/* ---- Events of processes ---- */

static void process_events(HCS_SYSTEM system)
{
    PCWSTR parameters = TEXT16("{\"CommandArgs\":[\"/bin/sh\",\"-c\",\"exit 7\"]}");
    void *late = context();
    HCS_PROCESS process = run_process(system, parameters, NULL);
    CHECK_HR(S_OK, HcsWaitForProcessExit(process, LIMIT, NULL));
    CHECK_HR(S_OK, HcsSetProcessCallback(process, HcsEventOptionNone, late, happened));
    AWAIT(of(late)->exits, 1);
    CHECK_HAS("\"Exited\":true", of(late)->data.text);
    CHECK_EQUAL(7, number(of(late)->data.text, "ExitCode"));
    CHECK_HR(HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET,
             HcsSetProcessCallback(process, HcsEventOptionNone, late, happened));
    HcsCloseProcess(process);
    CHECK_EQUAL(1, of(late)->exits);
    CHECK_EQUAL(0, of(late)->others);

    /* With completions: by event, or by the operation's own callback, never both. */
    void *mine = context(), *refused = context();
    process = run_process(system, SLEEPER, NULL);
    CHECK_HR(S_OK, HcsSetProcessCallback(process, HcsEventOptionEnableOperationCallbacks, mine, happened));
    HCS_OPERATION operation = HcsCreateOperation(refused, counted);
    CHECK_HR(HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET, HcsTerminateProcess(process, operation, NULL));
    HcsCloseOperation(operation);
    CHECK_HR(S_OK, HcsTerminateProcess(process, HcsCreateOperation(NULL, NULL), NULL));
    AWAIT(of(mine)->completions, 1);
    AWAIT(of(mine)->exits, 1);
    CHECK_EQUAL(HcsOperationTypeSignalProcess, of(mine)->type);
    CHECK_HR(S_OK, of(mine)->hr);
    HcsCloseProcess(process);
    CHECK_EQUAL(0, of(refused)->completions);
    CHECK_EQUAL(1, of(mine)->completions);
    CHECK_EQUAL(1, of(mine)->exits);
}

static void process_close_waits(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS other = NULL;
    void *mine = context(), *closed = context();
    HCS_PROCESS process = run_process(system, SLEEPER, &information);
    CHECK_HR(S_OK, HcsSetProcessCallback(process, HcsEventOptionNone, mine, linger));
    CHECK_HR(S_OK, HcsOpenProcess(system, information.ProcessId, GENERIC_ALL, &other));
    CHECK_HR(S_OK, HcsSetProcessCallback(other, HcsEventOptionNone, closed, happened));
    HcsCloseProcess(other);
    end(process);
    AWAIT(of(mine)->entered, 1);
    HcsCloseProcess(process);
    CHECK_EQUAL(1, of(mine)->left);
    CHECK_EQUAL(0, of(closed)->exits + of(closed)->others);
}

/* ---- The older form ---- */

static void notifications(HCS_SYSTEM system)
{
    void *one = context(), *two = context(), *gone = context(), *late = context(), *event = context();
    HCS_CALLBACK first = NULL, second = NULL, third = NULL, fourth = NULL;
    HCS_PROCESS process = run_process(system, SLEEPER, NULL);
    CHECK_HR(S_OK, HcsRegisterProcessCallback(process, notified, one, &first));
    CHECK_HR(S_OK, HcsRegisterProcessCallback(process, notified, two, &second));
    CHECK_HR(S_OK, HcsRegisterProcessCallback(process, notified, gone, &third));
    CHECK(first && second && third && first != second && second != third);
    CHECK_HR(S_OK, HcsSetProcessCallback(process, HcsEventOptionNone, event, happened));
    CHECK_HR(S_OK, HcsUnregisterProcessCallback(third));
    CHECK_FAILS(HcsUnregisterProcessCallback(third));
    end(process);
    AWAIT(of(one)->exits, 1);
    AWAIT(of(two)->exits, 1);
    AWAIT(of(event)->exits, 1);

    CHECK_HR(S_OK, HcsRegisterProcessCallback(process, notified, late, &fourth));
    AWAIT(of(late)->exits, 1);

    CHECK_HR(S_OK, HcsUnregisterProcessCallback(first));
    CHECK_HR(S_OK, HcsUnregisterProcessCallback(fourth));
    HcsCloseProcess(process);
    CHECK_HR(S_OK, HcsUnregisterProcessCallback(second)); /* allowed after close */
    CHECK_EQUAL(1, of(one)->exits);
    CHECK_EQUAL(1, of(two)->exits);
    CHECK_EQUAL(1, of(late)->exits);
    CHECK_EQUAL(0, of(gone)->exits);
}

static void unregister_waits(HCS_SYSTEM system)
{
    void *mine = context();
    HCS_CALLBACK callback = NULL;
    HCS_PROCESS process = run_process(system, SLEEPER, NULL);
    CHECK_HR(S_OK, HcsRegisterProcessCallback(process, linger_notified, mine, &callback));
    end(process);
    AWAIT(of(mine)->entered, 1);
    CHECK_HR(S_OK, HcsUnregisterProcessCallback(callback));
    CHECK_EQUAL(1, of(mine)->left);
    HcsCloseProcess(process);
}

int main(void)
{
    begin();
    operation_callbacks();
    event_callbacks();
    late_for_creation();
    replacing();
    late_and_closed();
    close_waits();

    HCS_SYSTEM system = run_container(unique_id().text);
    process_events(system);
    process_close_waits(system);
    notifications(system);
    unregister_waits(system);
    stop_container(system);
    HcsCloseComputeSystem(system);
    return 0;
}
