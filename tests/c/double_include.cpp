// Every header twice, in both spellings, in any order, beside namespaces that use the same names.
#include <computecore.h>
#include <ComputeCore.h>
#include <computedefs.h>
#include <ComputeDefs.h>
#include <HcsPlatform.h>
#include <hypervdevicevirtualization.h>
#include <HyperVDeviceVirtualization.h>
#if __has_include(<windows.h>)
#include <Windows.h>
#include <windows.h>
#endif
#include <HcsPlatform.h>
#include <ComputeDefs.h>
#include <computedefs.h>
#include <ComputeCore.h>
#include <computecore.h>
#include <HyperVDeviceVirtualization.h>
#include <hypervdevicevirtualization.h>

#include "check.h"

#include <map>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace wrapper {

// Taken over under the same name, ...
using ::HCS_SYSTEM;
using ::HcsCreateOperation;

// ... given another meaning, ...
struct HCS_EVENT {
    int type;
};
enum class HCS_OPERATION_TYPE { Other = 7 };
inline int HcsCloseOperation(int operation)
{
    return operation + 1;
}

// ... and told apart: handles of different kinds are different types.
constexpr int kind(::HCS_SYSTEM) { return 1; }
constexpr int kind(::HCS_PROCESS) { return 2; }
constexpr int kind(::HCS_OPERATION) { return 3; }
constexpr int kind(::HCS_CALLBACK) { return 4; }
constexpr int kind(::HANDLE) { return 5; }

} // namespace wrapper

static_assert(std::is_same_v<wrapper::HCS_SYSTEM, ::HCS_SYSTEM>);
static_assert(!std::is_same_v<wrapper::HCS_EVENT, ::HCS_EVENT>);
static_assert(std::is_same_v<std::remove_const_t<std::remove_pointer_t<PCWSTR>>, WCHAR>);
static_assert(std::is_same_v<decltype(&::HcsCloseOperation), void (*)(::HCS_OPERATION)>);
static_assert(std::is_same_v<std::underlying_type_t<::HCS_OPERATION_TYPE>, INT32>);

// Options combine and stay options.
constexpr ::HCS_EVENT_OPTIONS both = HcsEventOptionEnableOperationCallbacks | HcsEventOptionEnableVmLifecycle;
static_assert(both == 3);
static_assert((both & ~HcsEventOptionEnableVmLifecycle) == HcsEventOptionEnableOperationCallbacks);

constexpr UINT64 any_word = HDV_DOORBELL_FLAG_TRIGGER_SIZE_WORD | HDV_DOORBELL_FLAG_TRIGGER_ANY_VALUE;
static_assert(any_word == 0x80000002);
static_assert((HdvMmioMappingFlagWriteable | HdvMmioMappingFlagExecutable) == 3);

// Codes are constants.
constexpr const char *name(HRESULT hr)
{
    switch (hr) {
    case S_OK: return "S_OK";
    case E_INVALIDARG: return "E_INVALIDARG";
    case HRESULT_FROM_WIN32(ERROR_NOT_FOUND): return "ERROR_NOT_FOUND";
    case HCS_E_SYSTEM_NOT_FOUND: return "HCS_E_SYSTEM_NOT_FOUND";
    default: return "";
    }
}

int main()
{
    using namespace wrapper;
    begin();
    CHECK_EQUAL(2, kind(static_cast<HCS_PROCESS>(nullptr)));
    CHECK_EQUAL(5, kind(INVALID_HANDLE_VALUE));
    CHECK_EQUAL(8, wrapper::HcsCloseOperation(7));
    CHECK_TEXT("ERROR_NOT_FOUND", name(static_cast<HRESULT>(0x80070490u)));
    CHECK_TEXT("HCS_E_SYSTEM_NOT_FOUND", name(static_cast<HRESULT>(0x8037010Eu)));

    HCS_OPERATION operation = HcsCreateOperation(nullptr, [](HCS_OPERATION, void *) {});
    CHECK(operation != nullptr);
    std::map<HCS_OPERATION, std::string> names{{operation, "one"}};
    ::HcsCloseOperation(operation);
}
