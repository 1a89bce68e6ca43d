/* A life from creation to the end through one operation handle, as Microsoft's tutorial tells it. */
#include "container.h"

int main(void)
{
    begin();
    Wide id = unique_id();
    PWSTR document = NULL;

    HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
    CHECK(operation != NULL);
    CHECK_EQUAL(HcsOperationTypeNone, HcsGetOperationType(operation));

    HCS_SYSTEM system = NULL;
    CHECK_HR(S_OK, HcsCreateComputeSystem(id.text, container_document().text, operation, NULL, &system));
    CHECK(system != NULL);
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, &document));
    CHECK_EQUAL(HcsOperationTypeCreate, HcsGetOperationType(operation));
    CHECK(document == NULL);

    CHECK_HR(S_OK, HcsStartComputeSystem(system, operation, NULL));
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, &document));
    CHECK_EQUAL(HcsOperationTypeStart, HcsGetOperationType(operation));
    CHECK(document == NULL);

    CHECK_HR(S_OK, HcsGetComputeSystemProperties(system, operation, NULL));
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, &document));
    CHECK_EQUAL(HcsOperationTypeGetProperties, HcsGetOperationType(operation));
    char member[128];
    snprintf(member, sizeof member, "\"Id\":\"c-test-%d-1\"", (int)getpid());
    CHECK_HAS(member, document);
    CHECK_HAS("\"SystemType\":\"Container\"", document);
    CHECK_HAS("\"Owner\":\"c-test\"", document);
    CHECK_HAS("\"State\":\"Running\"", document);
    LocalFree(document);

    PCWSTR change = TEXT16("{\"ResourcePath\":\"Container/NoSuchThing\",\"RequestType\":\"Add\",\"Settings\":{}}");
    HRESULT hr = outcome(operation, HcsModifyComputeSystem(system, operation, change, NULL), &document);
    if (FAILED(hr)) {
        CHECK_HR_IN(hr, HCS_E_INVALID_JSON, HRESULT_FROM_WIN32(ERROR_INVALID_DATA),
                    HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED));
        CHECK_HAS("\"Error\":", document);
        CHECK_EQUAL(hr, number(document, "Error"));
    }
    CHECK_EQUAL(HcsOperationTypeModify, HcsGetOperationType(operation));
    CoTaskMemFree(document);

    CHECK_HR(S_OK, HcsTerminateComputeSystem(system, operation, NULL));
    CHECK_HR(S_OK, HcsWaitForOperationResult(operation, LIMIT, NULL));
    CHECK_EQUAL(HcsOperationTypeTerminate, HcsGetOperationType(operation));

    CHECK_HR(S_OK, HcsWaitForComputeSystemExit(system, LIMIT, &document));
    CHECK_HAS("\"ExitType\":\"ForcedExit\"", document);
    LocalFree(document);

    HcsCloseOperation(operation);
    HcsCloseComputeSystem(system);
    return 0;
}
