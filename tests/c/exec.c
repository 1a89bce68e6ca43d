/* Processes: pipes, exit codes, end of file, signals, handles by process id. */
#include "container.h"

#include <pthread.h>

static bool none(HANDLE handle)
{
    return handle == NULL || handle == INVALID_HANDLE_VALUE;
}

/* Reads a pipe to its end. */
static const char *read_all(HANDLE pipe)
{
    static char text[4096];
    size_t length = 0;
    DWORD count = 0;
    while (ReadFile(pipe, text + length, (DWORD)(sizeof text - 1 - length), &count, NULL)) {
        CHECK(count > 0);
        length += count;
        CHECK(length < sizeof text - 1);
    }
    CHECK_EQUAL(ERROR_BROKEN_PIPE, GetLastError());
    CHECK_EQUAL(0, count);
    text[length] = 0;
    return text;
}

static void say(HANDLE pipe, const char *text)
{
    DWORD count = 0;
    CHECK(WriteFile(pipe, text, (DWORD)strlen(text), &count, NULL));
    CHECK_EQUAL(strlen(text), count);
}

/* Reads exactly what is expected, without waiting for the end. */
static void expect(HANDLE pipe, const char *text)
{
    char got[256] = {0};
    size_t length = 0;
    while (length < strlen(text)) {
        DWORD count = 0;
        CHECK(ReadFile(pipe, got + length, (DWORD)(strlen(text) - length), &count, NULL));
        length += count;
    }
    CHECK_TEXT(text, got);
}

static long long exit_code(HCS_PROCESS process)
{
    PWSTR status = NULL;
    CHECK_HR(S_OK, HcsWaitForProcessExit(process, LIMIT, &status));
    CHECK_HAS("\"Exited\":true", status);
    CHECK_EQUAL(0, number(status, "LastWaitResult"));
    long long code = number(status, "ExitCode");
    LocalFree(status);
    return code;
}

static void end(HCS_PROCESS process)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_DONE(operation, HcsTerminateProcess(process, operation, NULL));
    exit_code(process);
    HcsCloseOperation(operation);
    HcsCloseProcess(process);
}

/* Runs a shell line and returns what it says. */
static const char *output(HCS_SYSTEM system, const char *members)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process = run_process(system, wide("{\"CreateStdOutPipe\":true,%s}", members).text, &information);
    const char *text = read_all(information.StdOutput);
    CHECK(CloseHandle(information.StdOutput));
    CHECK_EQUAL(0, exit_code(process));
    HcsCloseProcess(process);
    return text;
}

static void command_line(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process =
        run_process(system, TEXT16("{\"CommandLine\":\"/bin/echo hello\",\"CreateStdOutPipe\":true}"), &information);
    CHECK(information.ProcessId != 0);
    CHECK_EQUAL(0, information.Reserved);
    CHECK(none(information.StdInput));
    CHECK(none(information.StdError));
    CHECK(HcsHandleToFd(information.StdOutput) > 2);
    CHECK_TEXT("hello\n", read_all(information.StdOutput));
    CHECK(CloseHandle(information.StdOutput));

    PWSTR status = NULL;
    CHECK_HR(S_OK, HcsWaitForProcessExit(process, LIMIT, &status));
    CHECK_EQUAL(information.ProcessId, number(status, "ProcessId"));
    CHECK_EQUAL(0, number(status, "ExitCode"));
    CoTaskMemFree(status);
    HcsCloseProcess(process);
}

static void exit_codes(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process =
        run_process(system, TEXT16("{\"CommandArgs\":[\"/bin/sh\",\"-c\",\"exit 3\"]}"), &information);
    CHECK(none(information.StdInput) && none(information.StdOutput) && none(information.StdError));
    CHECK_EQUAL(3, exit_code(process));
    CHECK_EQUAL(3, exit_code(process));

    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    PWSTR status = NULL;
    CHECK_HR(S_OK, outcome(operation, HcsGetProcessProperties(process, operation, NULL), &status));
    CHECK_EQUAL(HcsOperationTypeGetProcessProperties, HcsGetOperationType(operation));
    CHECK_HAS("\"Exited\":true", status);
    CHECK_EQUAL(3, number(status, "ExitCode"));
    CHECK_EQUAL(information.ProcessId, number(status, "ProcessId"));
    LocalFree(status);
    HcsCloseOperation(operation);
    HcsCloseProcess(process);

    process = run_process(system, SLEEPER, NULL);
    CHECK_HR(HCS_E_OPERATION_TIMEOUT, HcsWaitForProcessExit(process, 0, NULL));
    CHECK_HR(HCS_E_OPERATION_TIMEOUT, HcsWaitForProcessExit(process, 10, NULL));
    end(process);
}

#define CAT TEXT16("{\"CommandArgs\":[\"/bin/cat\"],\"CreateStdInPipe\":true,\"CreateStdOutPipe\":true}")
#define CLOSE_STDIN TEXT16("{\"Operation\":\"CloseHandle\",\"CloseHandle\":{\"Handle\":\"StdIn\"}}")

static void stdin_ends_by_request(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process = run_process(system, CAT, &information);
    say(information.StdInput, "one\n");
    expect(information.StdOutput, "one\n");

    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_DONE(operation, HcsModifyProcess(process, operation, CLOSE_STDIN));
    CHECK_EQUAL(HcsOperationTypeModifyProcess, HcsGetOperationType(operation));
    CHECK_TEXT("", read_all(information.StdOutput)); /* while our end is open */
    CHECK_EQUAL(0, exit_code(process));
    CHECK_OUTCOME(HCS_E_PROCESS_ALREADY_STOPPED, operation, HcsModifyProcess(process, operation, CLOSE_STDIN));

    CHECK(CloseHandle(information.StdInput));
    CHECK(CloseHandle(information.StdOutput));
    HcsCloseOperation(operation);
    HcsCloseProcess(process);
}

static void stdin_ends_by_closing(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process = run_process(system, CAT, &information);
    say(information.StdInput, "two\n");
    CHECK(CloseHandle(information.StdInput));
    CHECK_TEXT("two\n", read_all(information.StdOutput));
    CHECK_EQUAL(0, exit_code(process));
    CHECK(CloseHandle(information.StdOutput));
    HcsCloseProcess(process);
}

static void *pour(void *pipe)
{
    static char block[1 << 20];
    DWORD count = 0;
    CHECK(WriteFile(pipe, block, sizeof block, &count, NULL));
    CHECK_EQUAL(sizeof block, count);
    CHECK(CloseHandle(pipe));
    return NULL;
}

/* More than pipes hold: writing goes on while reading does. */
static void much(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process = run_process(system, CAT, &information);
    pthread_t thread;
    CHECK_EQUAL(0, pthread_create(&thread, NULL, pour, information.StdInput));
    static char block[1 << 16];
    size_t sum = 0;
    DWORD count = 0;
    while (ReadFile(information.StdOutput, block, sizeof block, &count, NULL)) sum += count;
    CHECK_EQUAL(ERROR_BROKEN_PIPE, GetLastError());
    CHECK_EQUAL(1 << 20, sum);
    CHECK_EQUAL(0, pthread_join(thread, NULL));
    CHECK_EQUAL(0, exit_code(process));
    CHECK(CloseHandle(information.StdOutput));
    HcsCloseProcess(process);
}

static void streams(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process =
        run_process(system,
                    TEXT16("{\"CommandArgs\":[\"/bin/sh\",\"-c\",\"echo out; echo err >&2\"],"
                           "\"CreateStdOutPipe\":true,\"CreateStdErrPipe\":true}"),
                    &information);
    CHECK_TEXT("out\n", read_all(information.StdOutput));
    CHECK_TEXT("err\n", read_all(information.StdError));
    CHECK(CloseHandle(information.StdOutput));
    CHECK(CloseHandle(information.StdError));
    CHECK_EQUAL(0, exit_code(process));
    HcsCloseProcess(process);
}

static void surroundings(HCS_SYSTEM system)
{
    CHECK_TEXT("two words\n", output(system, "\"Environment\":{\"GREETING\":\"two words\"},"
                                             "\"CommandArgs\":[\"/bin/sh\",\"-c\",\"echo \\\"$GREETING\\\"\"]"));
    CHECK_TEXT("/dev\n", output(system, "\"WorkingDirectory\":\"/dev\",\"CommandArgs\":[\"/bin/sh\",\"-c\",\"pwd\"]"));
}

/* The standard handles go to the first reader; process information can be had again. */
static void information_again(HCS_SYSTEM system)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HCS_PROCESS process = NULL;
    HCS_PROCESS_INFORMATION first, second, fresh;
    CHECK_HR(S_OK, HcsCreateProcess(system, CAT, operation, NULL, &process));
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, NULL));
    CHECK_EQUAL(HcsOperationTypeCreateProcess, HcsGetOperationType(operation));
    CHECK(HcsGetProcessFromOperation(operation) == process);
    CHECK_HR(S_OK, HcsGetOperationResultAndProcessInfo(operation, &first, NULL));
    CHECK(!none(first.StdInput) && !none(first.StdOutput) && none(first.StdError));
    CHECK_HR(S_OK, HcsGetOperationResultAndProcessInfo(operation, &second, NULL));
    CHECK_EQUAL(first.ProcessId, second.ProcessId);
    CHECK(none(second.StdInput) && none(second.StdOutput) && none(second.StdError));

    CHECK_HR(S_OK, HcsGetProcessInfo(process, operation));
    CHECK_HR(S_OK, HcsWaitForOperationResultAndProcessInfo(operation, LIMIT, &fresh, NULL));
    CHECK_EQUAL(HcsOperationTypeGetProcessInfo, HcsGetOperationType(operation));
    CHECK_EQUAL(first.ProcessId, fresh.ProcessId);
    CHECK(!none(fresh.StdInput) && !none(fresh.StdOutput) && none(fresh.StdError));
    CHECK(fresh.StdInput != first.StdInput);
    CHECK(fresh.StdOutput != first.StdOutput);

    say(fresh.StdInput, "fresh\n");
    expect(first.StdOutput, "fresh\n");
    say(first.StdInput, "first\n");
    expect(fresh.StdOutput, "first\n");
    CHECK(CloseHandle(first.StdInput));
    CHECK(CloseHandle(fresh.StdInput));
    CHECK_TEXT("", read_all(fresh.StdOutput));
    CHECK_EQUAL(0, exit_code(process));
    CHECK(CloseHandle(first.StdOutput));
    CHECK(CloseHandle(fresh.StdOutput));

    CHECK_OUTCOME(HCS_E_PROCESS_ALREADY_STOPPED, operation, HcsGetProcessInfo(process, operation));
    HcsCloseOperation(operation);
    HcsCloseProcess(process);
}

static void signals(HCS_SYSTEM system)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);

    HCS_PROCESS process = run_process(system, SLEEPER, NULL);
    CHECK_DONE(operation, HcsSignalProcess(process, operation, TEXT16("{\"Signal\":15}")));
    CHECK_EQUAL(HcsOperationTypeSignalProcess, HcsGetOperationType(operation));
    CHECK(exit_code(process) != 0);
    CHECK_OUTCOME(HCS_E_PROCESS_ALREADY_STOPPED, operation,
                  HcsSignalProcess(process, operation, TEXT16("{\"Signal\":15}")));
    CHECK_OUTCOME(HCS_E_PROCESS_ALREADY_STOPPED, operation, HcsTerminateProcess(process, operation, NULL));
    HcsCloseProcess(process);

    process = run_process(system, SLEEPER, NULL);
    CHECK_DONE(operation, HcsTerminateProcess(process, operation, NULL));
    CHECK_EQUAL(HcsOperationTypeSignalProcess, HcsGetOperationType(operation));
    CHECK(exit_code(process) != 0);
    HcsCloseProcess(process);

    process = run_process(system, SLEEPER, NULL);
    CHECK_DONE(operation, HcsSignalProcess(process, operation, NULL));
    CHECK(exit_code(process) != 0);
    HcsCloseProcess(process);

    HcsCloseOperation(operation);
}

static void by_number(HCS_SYSTEM system, PCWSTR id)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process = run_process(system, SLEEPER, &information);

    HCS_PROCESS again = NULL;
    CHECK_HR(S_OK, HcsOpenProcess(system, information.ProcessId, GENERIC_ALL, &again));
    CHECK(again != NULL && again != process);
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    PWSTR status = NULL;
    CHECK_HR(S_OK, outcome(operation, HcsGetProcessProperties(again, operation, NULL), &status));
    CHECK_EQUAL(information.ProcessId, number(status, "ProcessId"));
    CHECK(find(status, "\"Exited\":true") == NULL);
    LocalFree(status);
    HcsCloseProcess(process); /* which does not end it */
    HcsCloseProcess(again);

    /* How hcsshim kills: everything opened anew. */
    HCS_SYSTEM other = open_container(id);
    CHECK_HR(S_OK, HcsOpenProcess(other, information.ProcessId, GENERIC_ALL, &again));
    CHECK_DONE(operation, HcsTerminateProcess(again, operation, NULL));
    CHECK(exit_code(again) != 0);
    HcsCloseProcess(again);
    HcsCloseComputeSystem(other);
    HcsCloseOperation(operation);

    again = (HCS_PROCESS)(uintptr_t)1;
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_NOT_FOUND), HcsOpenProcess(system, 0x7FFFFFF0, GENERIC_ALL, &again));
    CHECK(again == NULL);
}

static void missing_program(HCS_SYSTEM system)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HCS_PROCESS process = NULL;
    HCS_PROCESS_INFORMATION information;
    PWSTR document = NULL;
    HRESULT hr =
        HcsCreateProcess(system, TEXT16("{\"CommandArgs\":[\"/no/such/program\"]}"), operation, NULL, &process);
    if (SUCCEEDED(hr)) {
        CHECK(process != NULL);
        hr = HcsWaitForOperationResultAndProcessInfo(operation, LIMIT, &information, &document);
        CHECK_EQUAL(0, information.ProcessId);
    }
    CHECK_HR_IN(hr, HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND), HRESULT_FROM_WIN32(ERROR_PATH_NOT_FOUND));
    LocalFree(document);
    HcsCloseProcess(process);
    HcsCloseOperation(operation);
}

static void console(HCS_SYSTEM system)
{
    HCS_PROCESS_INFORMATION information;
    HCS_PROCESS process =
        run_process(system,
                    TEXT16("{\"CommandArgs\":[\"/bin/sh\",\"-c\",\"read line; test -t 0 && echo terminal\"],"
                           "\"EmulateConsole\":true,\"ConsoleSize\":[25,80],"
                           "\"CreateStdInPipe\":true,\"CreateStdOutPipe\":true,\"CreateStdErrPipe\":true}"),
                    &information);
    CHECK(!none(information.StdInput) && !none(information.StdOutput) && none(information.StdError));
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    PCWSTR size = TEXT16("{\"Operation\":\"ConsoleSize\",\"ConsoleSize\":{\"Height\":50,\"Width\":120}}");
    CHECK_DONE(operation, HcsModifyProcess(process, operation, size));
    say(information.StdInput, "\n");
    CHECK(strstr(read_all(information.StdOutput), "terminal") != NULL);
    CHECK_EQUAL(0, exit_code(process));
    CHECK(CloseHandle(information.StdInput));
    CHECK(CloseHandle(information.StdOutput));
    HcsCloseOperation(operation);
    HcsCloseProcess(process);
}

int main(void)
{
    begin();
    Wide id = unique_id();
    HCS_SYSTEM system = run_container(id.text);
    command_line(system);
    exit_codes(system);
    stdin_ends_by_request(system);
    stdin_ends_by_closing(system);
    much(system);
    streams(system);
    surroundings(system);
    information_again(system);
    signals(system);
    by_number(system, id.text);
    missing_program(system);
    console(system);
    stop_container(system);
    HcsCloseComputeSystem(system);
    return 0;
}
