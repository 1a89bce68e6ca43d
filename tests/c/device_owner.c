/*
 * Has another program host devices of a machine that only this one may open: the owner's side of HdvProxyDeviceHost.
 *
 *   device_owner SYSTEM PROGRAM CLASS INSTANCE
 *
 * The program is run as `PROGRAM --proxy FD RUNTIME-ID CLASS INSTANCE`, with stdin and stdout of this one; sensor_device.c is
 * such a program. The result is its exit status.
 */
#include "check.h"

#include <HyperVDeviceVirtualization.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* RuntimeId in the properties of a system. */
static void runtime_id(HCS_SYSTEM system, char id[37])
{
    PWSTR properties = NULL;
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK_HR(S_OK, HcsGetComputeSystemProperties(system, operation, NULL));
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, &properties));
    PCWSTR at = find(properties, "\"RuntimeId\":\"");
    CHECK(at != NULL);
    for (int i = 0; i < 36; ++i) id[i] = (char)at[i];
    id[36] = 0;
    LocalFree(properties);
    HcsCloseOperation(operation);
}

int main(int count, char **arguments)
{
    if (count != 5) {
        fprintf(stderr, "usage: device_owner SYSTEM PROGRAM CLASS INSTANCE\n");
        return 2;
    }
    HCS_SYSTEM system = NULL;
    CHECK_HR(S_OK, HcsOpenComputeSystem(wide("%s", arguments[1]).text, GENERIC_ALL, &system));
    char machine[37];
    runtime_id(system, machine);

    /* One end is ours, the other one the program's. */
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char fd[16];
        snprintf(fd, sizeof fd, "%d", ends[1]);
        close(ends[0]);
        execl(arguments[2], arguments[2], "--proxy", fd, machine, arguments[3], arguments[4], (char *)NULL);
        perror(arguments[2]);
        _exit(127);
    }
    close(ends[1]);

    UINT64 section = 1;
    CHECK_HR(S_OK, HdvProxyDeviceHost(system, (PVOID)(intptr_t)ends[0], (DWORD)child, &section));
    CHECK_EQUAL(0, section);
    /* What they had to say to each other is said. The devices live as long as the program. */
    close(ends[0]);

    int status = 0;
    CHECK_EQUAL(child, waitpid(child, &status, 0));
    HcsCloseComputeSystem(system);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
