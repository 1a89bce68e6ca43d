/* The host service: its properties, its settings, and crash reports. */
#include "check.h"

#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

static PWSTR properties(PCWSTR query)
{
    PWSTR document = (PWSTR)(uintptr_t)1;
    HRESULT hr = HcsGetServiceProperties(query, &document);
    if (FAILED(hr)) show(document);
    CHECK_HR(S_OK, hr);
    CHECK_HAS("{", document);
    return document;
}

static void queries(void)
{
    PWSTR document = properties(TEXT16("{\"PropertyTypes\":[\"Basic\"]}"));
    CHECK_HAS("{\"Properties\":[{\"SupportedSchemaVersions\":[{", document);
    CHECK(number(document, "Major") == 2);
    LocalFree(document);

    document = properties(NULL);
    CHECK_HAS("\"SupportedSchemaVersions\":[{", document);
    CoTaskMemFree(document);
    document = properties(TEXT16(""));
    CHECK_HAS("\"SupportedSchemaVersions\":[{", document);
    LocalFree(document);

    document = properties(TEXT16("{\"PropertyTypes\":[\"ProcessorTopology\"]}"));
    CHECK(number(document, "LogicalProcessorCount") > 0);
    CHECK_HAS("\"LogicalProcessors\":[{", document);
    LocalFree(document);

    document = properties(TEXT16("{\"PropertyTypes\":[\"QoSCapabilities\"]}"));
    CHECK_HAS("\"Properties\":[{", document);
    LocalFree(document);

    document = properties(TEXT16("{\"PropertyTypes\":[\"Memory\"]}"));
    CHECK_HAS("\"Properties\":[{", document);
    LocalFree(document);

    document = properties(TEXT16("{\"PropertyTypes\":[\"CpuGroup\"]}"));
    CHECK_HAS("\"Properties\":[{", document);
    LocalFree(document);

    /* In the order asked for. */
    document = properties(TEXT16("{\"PropertyTypes\":[\"ProcessorTopology\",\"Basic\"]}"));
    PCWSTR topology = find(document, "\"LogicalProcessorCount\":");
    PCWSTR basic = find(document, "\"SupportedSchemaVersions\":");
    CHECK(topology && basic && topology < basic);
    LocalFree(document);

    document = properties(TEXT16("{\"PropertyQueries\":{\"ProcessorCapabilities\":{}}}"));
    CHECK_HAS("\"PropertyResponses\":{\"ProcessorCapabilities\":{", document);
    CHECK(find(document, "\"Response\":{") || find(document, "\"Error\":{"));
    LocalFree(document);
}

static void malformed_queries(void)
{
    static const char *const queries[] = {"{", "[]", "Basic", "{\"PropertyTypes\":7}",
                                          "{\"PropertyTypes\":[\"Basic\"]"};
    for (size_t i = 0; i < sizeof queries / sizeof *queries; ++i) {
        PWSTR document = (PWSTR)(uintptr_t)1;
        CHECK_HR_IN(HcsGetServiceProperties(wide("%s", queries[i]).text, &document), HCS_E_INVALID_JSON,
                    HRESULT_FROM_WIN32(ERROR_INVALID_DATA), E_INVALIDARG);
        if (document) CHECK_HAS("\"Error\":", document);
        LocalFree(document);
    }
    Wide half = wide("{\"PropertyTypes\":[\"Basic\"]}");
    half.text[20] = 0xD800;
    PWSTR document = (PWSTR)(uintptr_t)1;
    CHECK_FAILS(HcsGetServiceProperties(half.text, &document));
    LocalFree(document);
}

/* A GUID that nobody uses. */
static void fresh_guid(char guid[37])
{
    FILE *file = fopen("/proc/sys/kernel/random/uuid", "r");
    CHECK(file != NULL);
    CHECK_EQUAL(36, fread(guid, 1, 36, file));
    guid[36] = 0;
    fclose(file);
}

static bool listed(const char *guid)
{
    PWSTR document = properties(TEXT16("{\"PropertyTypes\":[\"CpuGroup\"]}"));
    bool found = find(document, guid) != NULL;
    LocalFree(document);
    return found;
}

static HRESULT change_groups(const char *operation, const char *guid, const char *details)
{
    PWSTR document = (PWSTR)(uintptr_t)1;
    HRESULT hr = HcsModifyServiceSettings(wide("{\"PropertyType\":\"CpuGroup\",\"Settings\":{\"Operation\":\"%s\","
                                               "\"OperationDetails\":{\"GroupId\":\"%s\"%s}}}",
                                               operation, guid, details)
                                              .text,
                                          &document);
    if (SUCCEEDED(hr))
        CHECK(document == NULL);
    else if (document)
        CHECK_HAS("\"Error\":", document);
    LocalFree(document);
    return hr;
}

static void cpu_groups(void)
{
    const char *one_processor = ",\"LogicalProcessorCount\":1,\"LogicalProcessors\":[0]";
    char guid[37];
    fresh_guid(guid);
    CHECK(!listed(guid));
    CHECK_HR(S_OK, change_groups("CreateGroup", guid, one_processor));
    CHECK(listed(guid));
    CHECK_FAILS(change_groups("CreateGroup", guid, one_processor));

    /* 0x10000 is the capacity. Not every host can hold a group to it. */
    CHECK_HR_IN(change_groups("SetProperty", guid, ",\"PropertyCode\":65536,\"PropertyValue\":50"), S_OK,
                HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED));

    CHECK_HR(S_OK, change_groups("DeleteGroup", guid, ""));
    CHECK(!listed(guid));
    CHECK_FAILS(change_groups("DeleteGroup", guid, ""));
    CHECK_FAILS(change_groups("CreateGroup", "no guid", one_processor));
    CHECK_FAILS(change_groups("CreateGroup", guid, ",\"LogicalProcessorCount\":1,\"LogicalProcessors\":[999999]"));
    CHECK(!listed(guid));
}

static void malformed_settings(void)
{
    PWSTR document = (PWSTR)(uintptr_t)1;
    CHECK_FAILS(HcsModifyServiceSettings(TEXT16("{"), &document));
    LocalFree(document);
    CHECK_FAILS(HcsModifyServiceSettings(TEXT16("{}"), NULL));
    CHECK_FAILS(HcsModifyServiceSettings(TEXT16("{\"PropertyType\":\"Weather\",\"Settings\":{}}"), NULL));
}

static void crash_reports(void)
{
    CHECK_HR(S_OK, HcsSubmitWerReport(wide("{\"SystemId\":\"c-test-%d\","
                                           "\"ActivityId\":\"00000000-0000-0000-0000-000000000001\","
                                           "\"CrashParameters\":[1,2,3,4,5],\"CrashLog\":\"panic\",\"Status\":0}",
                                           (int)getpid())
                                          .text));
    CHECK_FAILS(HcsSubmitWerReport(TEXT16("{")));
    CHECK_FAILS(HcsSubmitWerReport(TEXT16("")));
}

int main(void)
{
    begin();
    queries();
    malformed_queries();
    cpu_groups();
    malformed_settings();
    crash_reports();

    /* Files of machines: the list of access is changed by us. */
    char file[] = "/tmp/hcs-c-access-XXXXXX";
    int fd = mkstemp(file);
    CHECK(fd >= 0);
    CHECK_HR(S_OK, HcsGrantVmAccess(TEXT16("vm"), wide("%s", file).text));
    CHECK_HR(S_OK, HcsGrantVmGroupAccess(wide("%s", file).text));
    char list[4096];
    CHECK(getxattr(file, "system.posix_acl_access", list, sizeof list) == 4 + 6 * 8);
    CHECK_HR(S_OK, HcsRevokeVmAccess(TEXT16("vm"), wide("%s", file).text));
    CHECK_HR(S_OK, HcsRevokeVmGroupAccess(wide("%s", file).text));
    CHECK(getxattr(file, "system.posix_acl_access", list, sizeof list) < 0);
    CHECK_HR(E_INVALIDARG, HcsGrantVmAccess(NULL, wide("%s", file).text));
    CHECK_HR(E_INVALIDARG, HcsGrantVmAccess(TEXT16("vm"), TEXT16("relative")));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND), HcsGrantVmAccess(TEXT16("vm"), TEXT16("/no/such/file")));
    close(fd);
    unlink(file);

    /* A file that a machine can be saved to is made once, and says that nothing was saved to it. */
    PWSTR needed = (PWSTR)list;
    CHECK_HR(S_OK, HcsCreateEmptyRuntimeStateFile(wide("%s", file).text));
    CHECK_FAILS(HcsCreateEmptyRuntimeStateFile(wide("%s", file).text));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_INVALID_DATA),
             HcsGetProcessorCompatibilityFromSavedState(wide("%s", file).text, &needed));
    CHECK(needed == NULL); /* whatever was there before */
    CHECK_HR(E_INVALIDARG, HcsCreateEmptyRuntimeStateFile(TEXT16("relative")));
    unlink(file);
    CHECK_HR(S_OK, HcsCreateEmptyGuestStateFile(wide("%s", file).text));
    CHECK_FAILS(HcsCreateEmptyGuestStateFile(wide("%s", file).text));
    unlink(file);
    return 0;
}
