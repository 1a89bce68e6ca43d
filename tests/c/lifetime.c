/* Handles and operations in every state, wrong arguments, and names. */
#include "container.h"

#include <pthread.h>

/* What a handle that is no longer one, or never was, is answered with. */
#define CHECK_DEAD(call) CHECK_HR_IN(call, E_INVALIDARG, E_HANDLE)

/* What a system that has exited answers. */
#define CHECK_GONE(operation, call) \
    CHECK_HR_IN(outcome(operation, call, NULL), HCS_E_SYSTEM_ALREADY_STOPPED, HCS_E_SYSTEM_NOT_FOUND)

#define FOREIGN(type) ((type)(uintptr_t)0xDEADBEE8)

static void ignore_completion(HCS_OPERATION operation, void *context)
{
    (void)operation, (void)context;
}

static void ignore_event(HCS_EVENT *event, void *context)
{
    (void)event, (void)context;
}

static void ignore_notification(DWORD type, void *context, HRESULT status, PCWSTR data)
{
    (void)type, (void)context, (void)status, (void)data;
}

/* ---- Operations ---- */

static void fresh_operation(void)
{
    PWSTR document = (PWSTR)(uintptr_t)1;
    HCS_PROCESS_INFORMATION information;
    HCS_OPERATION operation = HcsCreateOperation((void *)(uintptr_t)7, NULL);
    HCS_OPERATION other = HcsCreateOperation(NULL, NULL);
    CHECK(operation != NULL && other != NULL && operation != other);

    CHECK_EQUAL(7, (uintptr_t)HcsGetOperationContext(operation));
    CHECK(HcsGetOperationContext(other) == NULL);
    CHECK_EQUAL(HcsOperationTypeNone, HcsGetOperationType(operation));
    CHECK(HcsGetOperationId(operation) != HCS_INVALID_OPERATION_ID);
    CHECK(HcsGetOperationId(operation) != HcsGetOperationId(other));
    CHECK(HcsGetOperationId(operation) == HcsGetOperationId(operation));
    CHECK(HcsGetComputeSystemFromOperation(operation) == NULL);
    CHECK(HcsGetProcessFromOperation(operation) == NULL);

    CHECK_HR(HCS_E_OPERATION_NOT_STARTED, HcsGetOperationResult(operation, &document));
    CHECK(document == NULL);
    CHECK_HR(HCS_E_OPERATION_NOT_STARTED, HcsGetOperationResult(operation, NULL));
    CHECK_HR(HCS_E_OPERATION_NOT_STARTED, HcsWaitForOperationResult(operation, 0, NULL));
    CHECK_HR(HCS_E_OPERATION_NOT_STARTED, HcsWaitForOperationResult(operation, INFINITE, NULL));
    CHECK_HR(HCS_E_OPERATION_NOT_STARTED, HcsGetOperationResultAndProcessInfo(operation, NULL, NULL));
    CHECK_HR_IN(HcsGetOperationResultAndProcessInfo(operation, &information, NULL), HCS_E_OPERATION_NOT_STARTED,
                E_INVALIDARG);
    CHECK_HR(E_NOTIMPL, HcsCancelOperation(operation));

    HcsCloseOperation(operation);
    HcsCloseOperation(operation);
    HcsCloseOperation(other);
}

static void closed_operation(HCS_OPERATION operation)
{
    PWSTR document = (PWSTR)(uintptr_t)1;
    CHECK(HcsGetOperationContext(operation) == NULL);
    CHECK_EQUAL(HcsOperationTypeNone, HcsGetOperationType(operation));
    CHECK(HcsGetOperationId(operation) == HCS_INVALID_OPERATION_ID);
    CHECK(HcsGetComputeSystemFromOperation(operation) == NULL);
    CHECK(HcsGetProcessFromOperation(operation) == NULL);
    CHECK_DEAD(HcsSetOperationContext(operation, NULL));
    CHECK_DEAD(HcsSetOperationCallback(operation, NULL, ignore_completion));
    CHECK_DEAD(HcsGetOperationResult(operation, &document));
    CHECK(document == NULL);
    CHECK_DEAD(HcsWaitForOperationResult(operation, INFINITE, NULL));
    CHECK_DEAD(HcsGetOperationResultAndProcessInfo(operation, NULL, NULL));
    CHECK_DEAD(HcsWaitForOperationResultAndProcessInfo(operation, INFINITE, NULL, NULL));
    CHECK_DEAD(HcsEnumerateComputeSystems(NULL, operation));
    HcsCloseOperation(operation);
}

static void reused_operation(void)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    PWSTR first = NULL, second = NULL;
    HCS_PROCESS_INFORMATION information;
    UINT64 id = HcsGetOperationId(operation);
    HCS_SYSTEM system = create_container(unique_id().text);

    CHECK_HR(S_OK, HcsGetComputeSystemProperties(system, operation, NULL));
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, &first));
    CHECK_HR(S_OK, HcsGetOperationResult(operation, &second));
    CHECK(first != NULL && second != NULL && first != second);
    CHECK(same_text(first, second));
    LocalFree(first);
    LocalFree(second);
    CHECK(HcsGetComputeSystemFromOperation(operation) == system);
    CHECK(HcsGetProcessFromOperation(operation) == NULL);

    /* This call tells of no process. */
    CHECK_HR(E_INVALIDARG, HcsGetOperationResultAndProcessInfo(operation, &information, NULL));
    CHECK_EQUAL(0, information.ProcessId);
    CHECK_HR(S_OK, HcsGetOperationResultAndProcessInfo(operation, NULL, NULL));

    CHECK_HR(S_OK, HcsEnumerateComputeSystems(NULL, operation));
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, &first));
    CHECK_HAS("[", first);
    LocalFree(first);
    CHECK_EQUAL(HcsOperationTypeEnumerate, HcsGetOperationType(operation));
    CHECK(HcsGetComputeSystemFromOperation(operation) == NULL);
    CHECK(HcsGetOperationId(operation) == id);

    /* A failure does not wear it out. */
    CHECK_FAILS(outcome(operation, HcsResumeComputeSystem(system, operation, NULL), NULL));
    CHECK_DONE(operation, HcsStartComputeSystem(system, operation, NULL));

    HcsCloseOperation(operation);
    stop_container(system);
    HcsCloseComputeSystem(system);
}

/*
 * A pending operation refuses a second call and keeps the first. That it is caught pending is a matter of speed,
 * so each is tried until it was caught once.
 */
static void pending_operation(void)
{
    int pending = 0, timeouts = 0, refusals = 0;
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    for (int i = 0; i < 300 && !(pending && timeouts && refusals); ++i) {
        HCS_SYSTEM system = NULL;
        Wide id = unique_id(), document = container_document();
        CHECK_HR(S_OK, HcsCreateComputeSystem(id.text, document.text, operation, NULL, &system));
        HRESULT got = HcsGetOperationResult(operation, NULL);
        CHECK_HR_IN(got, HCS_E_OPERATION_PENDING, S_OK);
        pending += got == HCS_E_OPERATION_PENDING;
        got = HcsWaitForOperationResult(operation, 0, NULL);
        CHECK_HR_IN(got, HCS_E_OPERATION_TIMEOUT, S_OK);
        timeouts += got == HCS_E_OPERATION_TIMEOUT;
        CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, NULL));

        CHECK_HR(S_OK, HcsStartComputeSystem(system, operation, NULL));
        got = HcsEnumerateComputeSystems(NULL, operation);
        CHECK_HR_IN(got, HCS_E_OPERATION_ALREADY_STARTED, S_OK);
        if (FAILED(got)) {
            ++refusals;
            CHECK_EQUAL(HcsOperationTypeStart, HcsGetOperationType(operation));
            CHECK(HcsGetComputeSystemFromOperation(operation) == system);
        }
        CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, NULL));
        HcsCloseComputeSystem(system);
    }
    CHECK(pending > 0);
    CHECK(timeouts > 0);
    CHECK(refusals > 0);
    HcsCloseOperation(operation);
    closed_operation(operation);
}

/* A creation that was cancelled leaves nothing. That it is caught under way is a matter of speed, as above. */
static void cancelled_creation(void)
{
    bool cancelled = false;
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    for (int i = 0; i < 300 && !cancelled; ++i) {
        HCS_SYSTEM system = NULL, other = NULL;
        Wide id = unique_id(), document = container_document();
        CHECK_HR(S_OK, HcsCreateComputeSystem(id.text, document.text, operation, NULL, &system));
        HRESULT got = HcsCancelOperation(operation);
        CHECK_HR_IN(got, S_OK, E_NOTIMPL);
        HRESULT created = HcsWaitForOperationResult(operation, LIMIT, NULL);
        if (got == S_OK) {
            cancelled = true;
            CHECK_HR(HRESULT_FROM_WIN32(ERROR_CANCELLED), created);
            CHECK_HR(HCS_E_SYSTEM_NOT_FOUND, HcsOpenComputeSystem(id.text, GENERIC_ALL, &other));
            CHECK_FAILS(HcsWaitForComputeSystemExit(system, LIMIT, NULL));
        } else {
            CHECK_HR(S_OK, created);
        }
        HcsCloseComputeSystem(system);
    }
    CHECK(cancelled);
    HcsCloseOperation(operation);
}

/* hcsshim's fire and forget: the request outlives the operation, and the operation outlives the system handle. */
static void closed_while_pending(void)
{
    PWSTR document = NULL;
    HCS_SYSTEM system = run_container(unique_id().text);
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_HR(S_OK, HcsTerminateComputeSystem(system, operation, NULL));
    HcsCloseOperation(operation);
    closed_operation(operation);
    CHECK_HR(S_OK, HcsWaitForComputeSystemExit(system, LIMIT, &document));
    CHECK_HAS("\"ExitType\":\"ForcedExit\"", document);
    LocalFree(document);
    HcsCloseComputeSystem(system);

    Wide id = unique_id();
    system = run_container(id.text);
    HCS_SYSTEM other = open_container(id.text);
    operation = HcsCreateOperation(NULL, NULL);
    CHECK_HR(S_OK, HcsTerminateComputeSystem(system, operation, NULL));
    HcsCloseComputeSystem(system);
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, NULL));
    CHECK_HR(S_OK, HcsWaitForComputeSystemExit(other, LIMIT, NULL));
    HcsCloseOperation(operation);
    HcsCloseComputeSystem(other);
}

/* ---- Systems ---- */

static void closed_system(HCS_SYSTEM system)
{
    PWSTR document = (PWSTR)(uintptr_t)1;
    HCS_PROCESS process = FOREIGN(HCS_PROCESS);
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_DEAD(HcsStartComputeSystem(system, operation, NULL));
    CHECK_DEAD(HcsTerminateComputeSystem(system, operation, NULL));
    CHECK_DEAD(HcsGetComputeSystemProperties(system, operation, NULL));
    CHECK_DEAD(HcsModifyComputeSystem(system, operation, TEXT16("{}"), NULL));
    CHECK_DEAD(HcsSetComputeSystemCallback(system, HcsEventOptionNone, NULL, ignore_event));
    CHECK_DEAD(HcsCreateProcess(system, SLEEPER, operation, NULL, &process));
    CHECK(process == NULL);
    CHECK_DEAD(HcsOpenProcess(system, 1, GENERIC_ALL, &process));
    CHECK_DEAD(HcsWaitForComputeSystemExit(system, INFINITE, &document));
    CHECK(document == NULL);
    HcsCloseComputeSystem(system);

    /* After failures at once the operation still answers and serves. */
    CHECK_FAILS(HcsGetOperationResult(operation, &document));
    LocalFree(document);
    CHECK_DONE(operation, HcsEnumerateComputeSystems(NULL, operation));
    HcsCloseOperation(operation);
}

static pthread_barrier_t both;

static void *close_system(void *system)
{
    pthread_barrier_wait(&both);
    HcsCloseComputeSystem((HCS_SYSTEM)system);
    return NULL;
}

static void closed_by_two(void)
{
    CHECK_EQUAL(0, pthread_barrier_init(&both, NULL, 2));
    for (int i = 0; i < 8; ++i) {
        HCS_SYSTEM system = create_container(unique_id().text);
        pthread_t one, two;
        CHECK_EQUAL(0, pthread_create(&one, NULL, close_system, system));
        CHECK_EQUAL(0, pthread_create(&two, NULL, close_system, system));
        CHECK_EQUAL(0, pthread_join(one, NULL));
        CHECK_EQUAL(0, pthread_join(two, NULL));
        closed_system(system);
    }
    pthread_barrier_destroy(&both);
}

static void *wait_for_exit(void *system)
{
    /* The system ends as this was its last handle; whether that or the close is noticed first is all one. */
    CHECK_HR_IN(HcsWaitForComputeSystemExit((HCS_SYSTEM)system, INFINITE, NULL), S_OK, E_INVALIDARG, E_HANDLE);
    return NULL;
}

static void closed_under_a_wait(void)
{
    HCS_SYSTEM system = run_container(unique_id().text);
    pthread_t thread;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, wait_for_exit, system));
    CHECK_HR(HCS_E_OPERATION_TIMEOUT, HcsWaitForComputeSystemExit(system, 20, NULL));
    HcsCloseComputeSystem(system);
    CHECK_EQUAL(0, pthread_join(thread, NULL));
}

static void names(void)
{
    int pid = (int)getpid();
    Wide id = wide("c-test-%d-Names", pid), shouting = wide("C-TEST-%d-NAMES", pid), document = container_document();
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HCS_SYSTEM system = create_container(id.text), other = NULL;

    for (int i = 0; i < 2; ++i) {
        PWSTR error = NULL;
        PCWSTR again = i ? shouting.text : id.text;
        other = NULL;
        HRESULT started = HcsCreateComputeSystem(again, document.text, operation, NULL, &other);
        CHECK(FAILED(started) ? other == NULL : other != NULL);
        CHECK_HR(HCS_E_SYSTEM_ALREADY_EXISTS, outcome(operation, started, &error));
        LocalFree(error);
        HcsCloseComputeSystem(other);
    }

    /* Closing the handle of the failed creation did no harm. */
    other = open_container(shouting.text);
    CHECK(other != system);
    CHECK_DONE(operation, HcsStartComputeSystem(other, operation, NULL));
    HcsCloseComputeSystem(other);
    other = open_container(id.text);
    HcsCloseComputeSystem(other);

    other = FOREIGN(HCS_SYSTEM);
    CHECK_HR(HCS_E_SYSTEM_NOT_FOUND,
             HcsOpenComputeSystem(wide("c-test-%d-nobody", pid).text, GENERIC_ALL, &other));
    CHECK(other == NULL);

    stop_container(system);
    CHECK_HR(HCS_E_SYSTEM_NOT_FOUND, HcsOpenComputeSystem(id.text, GENERIC_ALL, &other));
    HcsCloseComputeSystem(system);

    /* The id is free again. The last handle ends the system. */
    system = run_container(id.text);
    other = open_container(id.text);
    HcsCloseComputeSystem(system);
    CHECK_HR(HCS_E_OPERATION_TIMEOUT, HcsWaitForComputeSystemExit(other, 0, NULL));
    HcsCloseComputeSystem(other);
    HcsCloseOperation(operation);
}

/* Which call in which state; empty option strings mean none. */
static void states(void)
{
    PCWSTR empty = TEXT16("");
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HCS_PROCESS process = NULL;
    HCS_SYSTEM system = create_container(unique_id().text);

    CHECK_OUTCOME(HCS_E_INVALID_STATE, operation, HcsPauseComputeSystem(system, operation, NULL));
    CHECK_OUTCOME(HCS_E_INVALID_STATE, operation, HcsResumeComputeSystem(system, operation, NULL));
    CHECK_OUTCOME(HCS_E_INVALID_STATE, operation, HcsShutDownComputeSystem(system, operation, NULL));
    CHECK_OUTCOME(HCS_E_INVALID_STATE, operation, HcsCreateProcess(system, SLEEPER, operation, NULL, &process));
    HcsCloseProcess(process);

    CHECK_DONE(operation, HcsStartComputeSystem(system, operation, empty));
    CHECK_OUTCOME(HCS_E_INVALID_STATE, operation, HcsStartComputeSystem(system, operation, NULL));
    CHECK_OUTCOME(HCS_E_INVALID_STATE, operation, HcsResumeComputeSystem(system, operation, empty));
    CHECK_DONE(operation, HcsGetComputeSystemProperties(system, operation, empty));
    CHECK_DONE(operation, HcsEnumerateComputeSystems(empty, operation));

    HRESULT paused = outcome(operation, HcsPauseComputeSystem(system, operation, empty), NULL);
    CHECK_HR_IN(paused, S_OK, HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED));
    if (SUCCEEDED(paused)) {
        PWSTR document = NULL;
        CHECK_OUTCOME(HCS_E_INVALID_STATE, operation, HcsPauseComputeSystem(system, operation, NULL));
        CHECK_HR(S_OK, outcome(operation, HcsGetComputeSystemProperties(system, operation, NULL), &document));
        CHECK_HAS("\"State\":\"Paused\"", document);
        LocalFree(document);
        CHECK_DONE(operation, HcsResumeComputeSystem(system, operation, empty));
    }
    CHECK_FAILS(outcome(operation, HcsSaveComputeSystem(system, operation, empty), NULL));
    CHECK_FAILS(outcome(operation, HcsCrashComputeSystem(system, operation, empty), NULL));

    CHECK_HR(HCS_E_OPERATION_TIMEOUT, HcsWaitForComputeSystemExit(system, 0, NULL));
    CHECK_DONE(operation, HcsTerminateComputeSystem(system, operation, empty));

    CHECK_GONE(operation, HcsTerminateComputeSystem(system, operation, NULL));
    CHECK_GONE(operation, HcsShutDownComputeSystem(system, operation, empty));
    CHECK_GONE(operation, HcsStartComputeSystem(system, operation, NULL));
    CHECK_GONE(operation, HcsGetComputeSystemProperties(system, operation, NULL));
    process = NULL;
    CHECK_GONE(operation, HcsCreateProcess(system, SLEEPER, operation, NULL, &process));
    HcsCloseProcess(process);
    for (int i = 0; i < 2; ++i) {
        PWSTR status = NULL;
        CHECK_HR(S_OK, HcsWaitForComputeSystemExit(system, 0, &status));
        CHECK_HAS("\"ExitType\":\"ForcedExit\"", status);
        LocalFree(status);
    }
    HcsCloseOperation(operation);
    HcsCloseComputeSystem(system);

    system = run_container(unique_id().text);
    operation = HcsCreateOperation(NULL, NULL);
    CHECK_DONE(operation, HcsShutDownComputeSystem(system, operation, empty));
    PWSTR status = NULL;
    CHECK_HR(S_OK, HcsWaitForComputeSystemExit(system, LIMIT, &status));
    CHECK_HAS("\"ExitType\":\"GracefulExit\"", status);
    LocalFree(status);
    HcsCloseOperation(operation);
    HcsCloseComputeSystem(system);
}

/* ---- Wrong arguments ---- */

static void closed_process(HCS_PROCESS process)
{
    HCS_CALLBACK callback = FOREIGN(HCS_CALLBACK);
    PWSTR document = (PWSTR)(uintptr_t)1;
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_DEAD(HcsTerminateProcess(process, operation, NULL));
    CHECK_DEAD(HcsSignalProcess(process, operation, NULL));
    CHECK_DEAD(HcsGetProcessInfo(process, operation));
    CHECK_DEAD(HcsGetProcessProperties(process, operation, NULL));
    CHECK_DEAD(HcsModifyProcess(process, operation, TEXT16("{}")));
    CHECK_DEAD(HcsSetProcessCallback(process, HcsEventOptionNone, NULL, ignore_event));
    CHECK_DEAD(HcsWaitForProcessExit(process, INFINITE, &document));
    CHECK(document == NULL);
    CHECK_DEAD(HcsRegisterProcessCallback(process, ignore_notification, NULL, &callback));
    CHECK(callback == NULL);
    HcsCloseProcess(process);
    HcsCloseOperation(operation);
}

static void null_everywhere(void)
{
    Wide id = unique_id(), document = container_document();
    HCS_SYSTEM system = run_container(unique_id().text), made = FOREIGN(HCS_SYSTEM);
    HCS_PROCESS process = run_process(system, SLEEPER, NULL), started = FOREIGN(HCS_PROCESS);
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HCS_CALLBACK callback = NULL;

    closed_operation(NULL);
    CHECK_FAILS(HcsSetOperationCallback(operation, NULL, NULL));
    CHECK_HR(E_NOTIMPL, HcsCancelOperation(NULL));

    CHECK_FAILS(HcsCreateComputeSystem(NULL, document.text, operation, NULL, &made));
    CHECK(made == NULL);
    CHECK_FAILS(HcsCreateComputeSystem(id.text, NULL, operation, NULL, &made));
    CHECK_FAILS(HcsCreateComputeSystem(id.text, document.text, NULL, NULL, &made));
    CHECK_FAILS(HcsCreateComputeSystem(id.text, document.text, operation, NULL, NULL));
    CHECK_FAILS(HcsOpenComputeSystem(NULL, GENERIC_ALL, &made));
    CHECK_FAILS(HcsOpenComputeSystem(id.text, GENERIC_ALL, NULL));
    CHECK_HR(HCS_E_SYSTEM_NOT_FOUND, HcsOpenComputeSystem(id.text, GENERIC_ALL, &made)); /* none of these made it */
    closed_system(NULL);
    CHECK_FAILS(HcsStartComputeSystem(system, NULL, NULL));
    CHECK_FAILS(HcsShutDownComputeSystem(NULL, operation, NULL));
    CHECK_FAILS(HcsShutDownComputeSystem(system, NULL, NULL));
    CHECK_FAILS(HcsTerminateComputeSystem(system, NULL, NULL));
    CHECK_FAILS(HcsCrashComputeSystem(NULL, operation, NULL));
    CHECK_FAILS(HcsCrashComputeSystem(system, NULL, NULL));
    CHECK_FAILS(HcsPauseComputeSystem(NULL, operation, NULL));
    CHECK_FAILS(HcsPauseComputeSystem(system, NULL, NULL));
    CHECK_FAILS(HcsResumeComputeSystem(NULL, operation, NULL));
    CHECK_FAILS(HcsResumeComputeSystem(system, NULL, NULL));
    CHECK_FAILS(HcsSaveComputeSystem(NULL, operation, NULL));
    CHECK_FAILS(HcsSaveComputeSystem(system, NULL, NULL));
    CHECK_FAILS(HcsGetComputeSystemProperties(system, NULL, NULL));
    CHECK_FAILS(HcsModifyComputeSystem(system, NULL, TEXT16("{}"), NULL));
    CHECK_FAILS(HcsModifyComputeSystem(system, operation, NULL, NULL));
    CHECK_FAILS(HcsEnumerateComputeSystems(NULL, NULL));

    CHECK_FAILS(HcsCreateProcess(system, NULL, operation, NULL, &started));
    CHECK(started == NULL);
    CHECK_FAILS(HcsCreateProcess(system, SLEEPER, NULL, NULL, &started));
    CHECK_FAILS(HcsCreateProcess(system, SLEEPER, operation, NULL, NULL));
    CHECK_FAILS(HcsOpenProcess(system, 1, GENERIC_ALL, NULL));
    closed_process(NULL);
    CHECK_FAILS(HcsTerminateProcess(process, NULL, NULL));
    CHECK_FAILS(HcsSignalProcess(process, NULL, NULL));
    CHECK_FAILS(HcsGetProcessInfo(process, NULL));
    CHECK_FAILS(HcsGetProcessProperties(process, NULL, NULL));
    CHECK_FAILS(HcsModifyProcess(process, NULL, TEXT16("{}")));
    CHECK_FAILS(HcsModifyProcess(process, operation, NULL));
    CHECK_FAILS(HcsRegisterProcessCallback(process, NULL, NULL, &callback));
    CHECK(callback == NULL);
    CHECK_FAILS(HcsRegisterProcessCallback(process, ignore_notification, NULL, NULL));
    CHECK_FAILS(HcsUnregisterProcessCallback(NULL));

    CHECK_FAILS(HcsGetServiceProperties(NULL, NULL));
    CHECK_FAILS(HcsModifyServiceSettings(NULL, NULL));
    CHECK_FAILS(HcsSubmitWerReport(NULL));

    CHECK(LocalFree(NULL) == NULL);
    CoTaskMemFree(NULL);

    /* All of them unharmed. */
    CHECK_DONE(operation, HcsGetComputeSystemProperties(system, operation, NULL));
    CHECK_DONE(operation, HcsTerminateProcess(process, operation, NULL));
    HcsCloseProcess(process);
    closed_process(process);
    stop_container(system);
    HcsCloseComputeSystem(system);
    closed_system(system);
    HcsCloseOperation(operation);
    closed_operation(operation);
}

/* Handles of the wrong kind, and numbers that never were handles. */
static void foreign_handles(void)
{
    HCS_SYSTEM system = create_container(unique_id().text);
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    closed_operation((HCS_OPERATION)(void *)system);
    closed_operation(FOREIGN(HCS_OPERATION));
    closed_system((HCS_SYSTEM)(void *)operation);
    closed_system(FOREIGN(HCS_SYSTEM));
    closed_process((HCS_PROCESS)(void *)system);
    closed_process(FOREIGN(HCS_PROCESS));
    CHECK_DEAD(HcsUnregisterProcessCallback((HCS_CALLBACK)(void *)operation));
    CHECK_DEAD(HcsUnregisterProcessCallback(FOREIGN(HCS_CALLBACK)));
    CHECK_DONE(operation, HcsGetComputeSystemProperties(system, operation, NULL));
    HcsCloseOperation(operation);
    HcsCloseComputeSystem(system);
}

static void reserved_arguments(void)
{
    Wide id = unique_id(), document = container_document();
    const SECURITY_DESCRIPTOR *security = FOREIGN(const SECURITY_DESCRIPTOR *);
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HCS_SYSTEM system = run_container(id.text), other = FOREIGN(HCS_SYSTEM);
    HCS_PROCESS process = FOREIGN(HCS_PROCESS);
    CHECK_FAILS(HcsOpenComputeSystem(id.text, 0, &other));
    CHECK(other == NULL);
    CHECK_FAILS(HcsCreateComputeSystem(unique_id().text, document.text, operation, security, &other));
    CHECK_FAILS(HcsCreateProcess(system, SLEEPER, operation, security, &process));
    CHECK(process == NULL);
    CHECK_FAILS(HcsOpenProcess(system, 1, 0, &process));
    HcsCloseOperation(operation);
    stop_container(system);
    HcsCloseComputeSystem(system);
}

static void broken_text(void)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HCS_SYSTEM system = NULL;
    Wide id = unique_id(), document = container_document();

    /* The Owner's first letter becomes half a character. */
    Wide broken = document;
    PCWSTR owner = find(broken.text, "\"Owner\":\"");
    CHECK(owner != NULL);
    broken.text[owner - broken.text] = 0xD800;
    CHECK_FAILS(outcome(operation, HcsCreateComputeSystem(id.text, broken.text, operation, NULL, &system), NULL));
    HcsCloseComputeSystem(system);

    broken.text[owner - broken.text] = 0xDC00;
    CHECK_FAILS(outcome(operation, HcsCreateComputeSystem(id.text, broken.text, operation, NULL, &system), NULL));
    HcsCloseComputeSystem(system);

    Wide half = id;
    half.text[0] = 0xD800;
    CHECK_FAILS(outcome(operation, HcsCreateComputeSystem(half.text, document.text, operation, NULL, &system), NULL));
    HcsCloseComputeSystem(system);
    CHECK_FAILS(HcsOpenComputeSystem(half.text, GENERIC_ALL, &system));
    CHECK(system == NULL);

    CHECK_FAILS(outcome(operation, HcsCreateComputeSystem(TEXT16(""), document.text, operation, NULL, &system), NULL));
    HcsCloseComputeSystem(system);

    static const char *const invalid[] = {"", "{", "[]", "nothing", "{\"Owner\":7}", "{}"};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; ++i) {
        HRESULT hr = HcsCreateComputeSystem(id.text, wide("%s", invalid[i]).text, operation, NULL, &system);
        CHECK_HR_IN(outcome(operation, hr, NULL), HCS_E_INVALID_JSON, HRESULT_FROM_WIN32(ERROR_INVALID_DATA),
                    E_INVALIDARG);
        HcsCloseComputeSystem(system);
    }
    CHECK_HR(HCS_E_SYSTEM_NOT_FOUND, HcsOpenComputeSystem(id.text, GENERIC_ALL, &system));
    HcsCloseOperation(operation);
}

int main(void)
{
    begin();
    fresh_operation();
    reused_operation();
    pending_operation();
    cancelled_creation();
    closed_while_pending();
    closed_by_two();
    closed_under_a_wait();
    names();
    states();
    null_everywhere();
    foreign_handles();
    reserved_arguments();
    broken_text();
    return 0;
}
