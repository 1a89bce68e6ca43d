/* The functions of ComputeStorage.h: a layer is imported, united, exported and destroyed, and errors are told. */
#include "check.h"

#include <ComputeStorage.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;

static Wide path(const char *name)
{
    return wide("%s/%s", folder, name);
}

__attribute__((format(printf, 1, 0))) static void run(const char *format)
{
    char line[4096];
    snprintf(line, sizeof line, format, folder, folder, folder);
    CHECK(system(line) == 0);
}

static bool is_there(const char *name)
{
    char text[4096];
    struct stat about;
    snprintf(text, sizeof text, "%s/%s", folder, name);
    return stat(text, &about) == 0;
}

int main(void)
{
    char template[] = "/tmp/hcs-c-storage-XXXXXX";
    PCWSTR none = TEXT16("{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"Layers\":[]}");
    begin();
    folder = mkdtemp(template);
    CHECK(folder != NULL);
    run("mkdir %s/source && echo hello >%s/source/file && mkdir %s/out");

    CHECK_HR(S_OK, HcsImportLayer(path("base").text, path("source").text, none));
    CHECK(is_there("base/fs/file") && is_there("base/layer.json"));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS), HcsImportLayer(path("base").text, path("source").text, none));

    CHECK_HR(S_OK, HcsInitializeWritableLayer(path("scratch").text, none, NULL));
    Wide parents = wide("{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"Layers\":["
                        "{\"Id\":\"11111111-1111-1111-1111-111111111111\",\"Path\":\"%s/base/\"}]}", folder);
    /* A slash at the end does no harm. */
    CHECK_HR(S_OK, HcsAttachLayerStorageFilter(path("scratch/").text, parents.text));
    CHECK(is_there("scratch/rootfs/file"));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION), HcsDestroyLayer(path("scratch").text));
    run("echo more >%s/scratch/rootfs/more");
    CHECK_HR(S_OK, HcsDetachLayerStorageFilter(path("scratch").text));
    CHECK(!is_there("scratch/rootfs/file") && is_there("scratch/upper/more"));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_NOT_FOUND), HcsDetachLayerStorageFilter(path("scratch").text));

    PCWSTR writable = TEXT16("{\"IsWritableLayer\":true}");
    CHECK_HR(S_OK, HcsExportLayer(path("scratch").text, path("out").text, parents.text, writable));
    run("tar -tf %s/out/layer.tar | grep -q more");
    CHECK_HR(S_OK, HcsImportLayer(path("changes").text, path("out").text, parents.text));
    CHECK(is_there("changes/fs/more"));

    run("mkdir %s/hives %s/legacy-out");
    CHECK_HR(S_OK, HcsInitializeLegacyWritableLayer(path("legacy").text, path("hives").text, none, NULL));
    run("echo kept >%s/legacy/upper/kept");
    CHECK_HR(S_OK, HcsExportLegacyWritableLayer(path("legacy").text, path("hives").text, path("legacy-out").text, none));
    run("tar -tf %s/legacy-out/layer.tar | grep -q kept");
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND),
             HcsInitializeLegacyWritableLayer(path("x").text, path("gone").text, none, NULL));
    CHECK_HR(S_OK, HcsDestroyLayer(path("legacy").text));

    CHECK_HR(HCS_E_INVALID_LAYER, HcsDestroyLayer(path("out").text));
    CHECK_HR(E_INVALIDARG, HcsDestroyLayer(NULL));
    CHECK_HR(E_INVALIDARG, HcsDestroyLayer(TEXT16("relative")));
    CHECK_HR(E_INVALIDARG, HcsImportLayer(path("x").text, path("source").text, NULL));
    CHECK_HR(HCS_E_INVALID_JSON, HcsImportLayer(path("x").text, path("source").text, TEXT16("{")));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND), HcsImportLayer(path("x").text, path("gone").text, none));
    CHECK(!is_there("x"));
    CHECK_HR(S_OK, HcsDestroyLayer(path("changes").text));
    CHECK_HR(S_OK, HcsDestroyLayer(path("scratch").text));
    CHECK_HR(S_OK, HcsDestroyLayer(path("base").text));

    /* A scratch disk, in the order in which programs do it. */
    run("qemu-img create -q -f vhdx %s/scratch.vhdx 64M");
    char file[4096];
    snprintf(file, sizeof file, "%s/scratch.vhdx", folder);
    int fd = open(file, O_RDWR | O_CLOEXEC);
    CHECK(fd > 0);
    HANDLE disk = (HANDLE)(intptr_t)fd;
    PWSTR point = NULL, again = NULL;
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_INVALID_DATA), HcsGetLayerVhdMountPath(disk, &point));
    CHECK(point == NULL);
    CHECK_HR(S_OK, HcsFormatWritableLayerVhd(disk));
    CHECK_HR(S_OK, HcsGetLayerVhdMountPath(disk, &point));
    CHECK_HR(S_OK, HcsGetLayerVhdMountPath(disk, &again));
    CHECK(same_text(point, again));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION), HcsFormatWritableLayerVhd(disk));
    CHECK_HR(E_INVALIDARG, HcsGetLayerVhdMountPath(disk, NULL));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_INVALID_HANDLE), HcsFormatWritableLayerVhd(NULL));
    CHECK_HR(S_OK, HcsImportLayer(path("base").text, path("source").text, none));
    CHECK_HR(S_OK, HcsInitializeWritableLayer(point, parents.text, TEXT16("")));
    CHECK_HR(S_OK, HcsAttachLayerStorageFilter(point, parents.text));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION), HcsDestroyLayer(point));
    CHECK_HR(S_OK, HcsDetachLayerStorageFilter(point));
    CHECK_HR(S_OK, HcsDestroyLayer(point));
    LocalFree(point);
    LocalFree(again);
    CHECK(CloseHandle(disk));

    run("mkdir -p %s/os/fs/bin");
    CHECK_HR(S_OK, HcsSetupBaseOSLayer(path("os").text, NULL, TEXT16("{\"Type\":\"Container\"}")));
    CHECK(is_there("os/layer.json") && is_there("os/fs/proc"));
    CHECK_HR(HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS),
             HcsSetupBaseOSLayer(path("os").text, NULL, TEXT16("{\"Type\":\"Container\"}")));
    CHECK_HR(E_INVALIDARG, HcsSetupBaseOSLayer(path("os").text, NULL, TEXT16("{\"Type\":\"Vm\"}")));
    run("mkdir -p %s/volume/sbin %s/volume/boot && echo init >%s/volume/sbin/init");
    run("echo kernel >%s/volume/boot/vmlinuz-6.10 && echo initrd >%s/volume/boot/initrd.img-6.10");
    CHECK_HR(S_OK, HcsSetupBaseOSVolume(path("vm").text, path("volume").text, TEXT16("{\"Type\":\"Vm\"}")));
    CHECK(is_there("vm/layer.json") && is_there("vm/kernel") && is_there("vm/initrd"));
    CHECK_HR(HCS_E_INVALID_LAYER,
             HcsSetupBaseOSVolume(path("x").text, path("source").text, TEXT16("{\"Type\":\"Vm\"}")));
    run("rm -r %s");
    return 0;
}
