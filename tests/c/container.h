/**
 * A container to test with: its root is the folder that HCS_TEST_ROOTFS names.
 */
#ifndef CONTAINER_H
#define CONTAINER_H

#include "check.h"

/* Runs until somebody ends it. */
#define SLEEPER TEXT16("{\"CommandArgs\":[\"/bin/sleep\",\"1000\"]}")

static inline Wide container_document(void)
{
    const char *root = getenv("HCS_TEST_ROOTFS");
    if (!root) FAIL("HCS_TEST_ROOTFS: got nothing, wanted the folder of a root file system");
    return wide("{\"Owner\":\"c-test\",\"SchemaVersion\":{\"Major\":2,\"Minor\":1},"
                "\"ShouldTerminateOnLastHandleClosed\":true,\"Container\":{\"Storage\":{\"Path\":\"%s\"}}}",
                root);
}

static inline HCS_SYSTEM create_container(PCWSTR id)
{
    HCS_SYSTEM system = NULL;
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_DONE(operation, HcsCreateComputeSystem(id, container_document().text, operation, NULL, &system));
    CHECK(system != NULL);
    HcsCloseOperation(operation);
    return system;
}

static inline void start_container(HCS_SYSTEM system)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_DONE(operation, HcsStartComputeSystem(system, operation, NULL));
    HcsCloseOperation(operation);
}

static inline HCS_SYSTEM run_container(PCWSTR id)
{
    HCS_SYSTEM system = create_container(id);
    start_container(system);
    return system;
}

/* Terminates; the handle stays open. */
static inline void stop_container(HCS_SYSTEM system)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_DONE(operation, HcsTerminateComputeSystem(system, operation, NULL));
    CHECK_HR(S_OK, HcsWaitForComputeSystemExit(system, LIMIT, NULL));
    HcsCloseOperation(operation);
}

static inline HCS_SYSTEM open_container(PCWSTR id)
{
    HCS_SYSTEM system = NULL;
    CHECK_HR(S_OK, HcsOpenComputeSystem(id, GENERIC_ALL, &system));
    CHECK(system != NULL);
    return system;
}

/* The caller closes the standard handles; information may be NULL if no pipe is asked for. */
static inline HCS_PROCESS run_process(HCS_SYSTEM system, PCWSTR parameters, HCS_PROCESS_INFORMATION *information)
{
    HCS_PROCESS process = NULL;
    PWSTR document = NULL;
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_HR(S_OK, HcsCreateProcess(system, parameters, operation, NULL, &process));
    CHECK(process != NULL);
    HRESULT hr = HcsWaitForOperationResultAndProcessInfo(operation, LIMIT, information, &document);
    if (FAILED(hr)) show(document);
    CHECK_HR(S_OK, hr);
    LocalFree(document);
    HcsCloseOperation(operation);
    return process;
}

#endif
