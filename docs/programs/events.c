/* Starts a container, is told of its end by a callback, and ends it. The root file system is the argument. */
#include <ComputeCore.h>
#include <stdio.h>

/* What the callback, which runs on a thread of the library, tells the program. */
struct Told {
    HANDLE started;
    HANDLE exited;
};

static void CALLBACK told(HCS_EVENT *event, void *context)
{
    struct Told *told = context;
    if (event->Type == HcsEventOperationCallback) {
        printf("started: 0x%08x\n", (unsigned)HcsGetOperationResult(event->Operation, NULL));
        HcsCloseOperation(event->Operation); /* this is the place to do so */
        SetEvent(told->started);
    } else if (event->Type == HcsEventSystemExited) {
        printf("exited\n");
        SetEvent(told->exited);
    }
}

int main(int count, char **arguments)
{
    if (count != 2) return fprintf(stderr, "usage: %s ROOTFS\n", arguments[0]), 2;
    WCHAR configuration[1024];
    char text[1024];
    snprintf(text, sizeof text,
             "{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"ShouldTerminateOnLastHandleClosed\":true,"
             "\"Container\":{\"Storage\":{\"Path\":\"%s\"}}}",
             arguments[1]);
    size_t at = 0;
    do configuration[at] = (unsigned char)text[at];
    while (text[at++]);

    struct Told waits = {CreateEvent(NULL, TRUE, FALSE, NULL), CreateEvent(NULL, TRUE, FALSE, NULL)};
    HCS_SYSTEM system = NULL;
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HRESULT hr = HcsCreateComputeSystem(u"events-in-c", configuration, operation, NULL, &system);
    if (SUCCEEDED(hr)) hr = HcsWaitForOperationResult(operation, INFINITE, NULL);
    HcsCloseOperation(operation);

    /* From here on the callback is told of calls on this handle too. */
    if (SUCCEEDED(hr)) hr = HcsSetComputeSystemCallback(system, HcsEventOptionEnableOperationCallbacks, &waits, told);
    if (SUCCEEDED(hr)) hr = HcsStartComputeSystem(system, HcsCreateOperation(NULL, NULL), NULL);
    if (FAILED(hr)) return fprintf(stderr, "0x%08x\n", (unsigned)hr), 1;
    WaitForSingleObject(waits.started, 60000);

    /* An operation may be closed while its call is under way: nobody is told of it then, and the call carries on. */
    operation = HcsCreateOperation(NULL, NULL);
    hr = HcsTerminateComputeSystem(system, operation, NULL);
    HcsCloseOperation(operation);
    DWORD waited = WaitForSingleObject(waits.exited, 60000);

    HcsCloseComputeSystem(system); /* waits for a callback that is running */
    CloseHandle(waits.started);
    CloseHandle(waits.exited);
    return SUCCEEDED(hr) && waited == WAIT_OBJECT_0 ? 0 : 1;
}
