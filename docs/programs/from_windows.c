// A program for Windows as it is: its includes, its literals, its handles. It lists the systems of a host.
#include <windows.h>
#include <computecore.h>
#include <stdio.h>

int main(void)
{
    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    HRESULT hr = HcsEnumerateComputeSystems(L"{\"Owners\":[\"nobody\"]}", operation);
    PWSTR list = NULL;

    if (SUCCEEDED(hr))
    {
        hr = HcsWaitForOperationResult(operation, INFINITE, &list);
    }
    HcsCloseOperation(operation);
    if (FAILED(hr))
    {
        printf("failed: 0x%08x\n", (unsigned int)hr);
        return 1;
    }
    if (list != NULL && list[0] == L'[')
    {
        printf("a list\n");
    }
    LocalFree(list);
    return 0;
}
