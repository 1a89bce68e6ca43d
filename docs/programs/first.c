/* Runs `uname -n` in a container and prints what it says. The root file system is the argument. */
#include <ComputeCore.h>
#include <stdio.h>

/* Tells why a call failed, in the words of the service, and ends. */
static int failed(const char *call, HRESULT hr, PWSTR document)
{
    fprintf(stderr, "%s: 0x%08x\n", call, (unsigned)hr);
    for (const WCHAR *unit = document; unit && *unit; unit++) fputc(*unit < 128 ? (char)*unit : '?', stderr);
    fputc('\n', stderr);
    LocalFree(document);
    return 1;
}

#define TRY(call)                                                  \
    do {                                                           \
        PWSTR document = NULL;                                     \
        HRESULT hr = (call);                                       \
        if (SUCCEEDED(hr)) hr = HcsWaitForOperationResult(operation, INFINITE, &document); \
        if (FAILED(hr)) return failed(#call, hr, document);        \
        LocalFree(document);                                       \
    } while (0)

int main(int count, char **arguments)
{
    if (count != 2) return fprintf(stderr, "usage: %s ROOTFS\n", arguments[0]), 2;

    /* Documents are UTF-16. This path is plain ASCII, so a letter is a unit. */
    WCHAR configuration[1024];
    char text[1024];
    snprintf(text, sizeof text,
             "{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"ShouldTerminateOnLastHandleClosed\":true,"
             "\"Container\":{\"GuestOs\":{\"HostName\":\"inside\"},\"Storage\":{\"Path\":\"%s\"}}}",
             arguments[1]);
    size_t at = 0;
    do configuration[at] = (unsigned char)text[at];
    while (text[at++]);

    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL); /* tracks one call after the other */
    HCS_SYSTEM system = NULL;
    TRY(HcsCreateComputeSystem(u"first-in-c", configuration, operation, NULL, &system));
    TRY(HcsStartComputeSystem(system, operation, NULL));

    /* The process has a pipe for its output, which comes with the result. */
    HCS_PROCESS process = NULL;
    HCS_PROCESS_INFORMATION information = {0};
    HRESULT hr = HcsCreateProcess(system, u"{\"CommandArgs\":[\"uname\",\"-n\"],\"CreateStdOutPipe\":true}", operation,
                                  NULL, &process);
    PWSTR document = NULL;
    if (SUCCEEDED(hr)) hr = HcsWaitForOperationResultAndProcessInfo(operation, INFINITE, &information, &document);
    if (FAILED(hr)) return failed("HcsCreateProcess", hr, document);

    char said[256];
    DWORD length;
    while (ReadFile(information.StdOutput, said, sizeof said, &length, NULL)) fwrite(said, 1, length, stdout);

    CloseHandle(information.StdOutput);
    HcsCloseProcess(process);
    HcsCloseComputeSystem(system); /* the last handle: the container ends */
    HcsCloseOperation(operation);
    return 0;
}
