// The same life in C++17: handles in unique_ptr, lambdas as callbacks, a promise as context.
#include "container.h"

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <type_traits>

namespace {

template <auto Close>
struct Closer {
    template <class Handle>
    void operator()(Handle handle) const
    {
        Close(handle);
    }
};

template <class Handle, auto Close>
using Unique = std::unique_ptr<std::remove_pointer_t<Handle>, Closer<Close>>;

using Operation = Unique<HCS_OPERATION, HcsCloseOperation>;
using System = Unique<HCS_SYSTEM, HcsCloseComputeSystem>;
using Process = Unique<HCS_PROCESS, HcsCloseProcess>;
using Handle = Unique<HANDLE, CloseHandle>;
using Text = Unique<PWSTR, LocalFree>;
using TextOfTask = Unique<PWSTR, CoTaskMemFree>;

template <class Value>
Value get(std::future<Value> &future)
{
    if (future.wait_for(std::chrono::milliseconds(LIMIT)) != std::future_status::ready)
        FAIL("callback: got none in %u ms, wanted one", LIMIT);
    return future.get();
}

struct Result {
    HRESULT hr;
    Text document;
};

// Runs one call by an operation whose callback is a lambda. The callback owns the promise, and closes the operation.
template <class Call>
Result finish(Call call)
{
    auto promise = std::make_unique<std::promise<Result>>();
    auto future = promise->get_future();
    auto completed = [](HCS_OPERATION handle, void *context) {
        Operation operation(handle);
        std::unique_ptr<std::promise<Result>> promise(static_cast<std::promise<Result> *>(context));
        PWSTR document = nullptr;
        HRESULT hr = HcsGetOperationResult(operation.get(), &document);
        promise->set_value({hr, Text(document)});
    };
    Operation operation(HcsCreateOperation(promise.get(), completed));
    CHECK(operation != nullptr);
    HRESULT hr = call(operation.get());
    if (FAILED(hr)) return {hr, nullptr}; // and the callback is not called
    static_cast<void>(promise.release());
    static_cast<void>(operation.release());
    return get(future);
}

void live()
{
    const Wide id = unique_id();
    const Wide configuration = container_document();
    std::promise<std::string> exited; // outlives the system, whose close waits for the callback that uses it
    auto exit = exited.get_future();

    HCS_SYSTEM created = nullptr;
    CHECK_HR(S_OK, finish([&](HCS_OPERATION operation) {
                       return HcsCreateComputeSystem(id.text, configuration.text, operation, nullptr, &created);
                   }).hr);
    System system(created);
    CHECK(system != nullptr);

    auto on_event = [](HCS_EVENT *event, void *context) {
        if (event->Type != HcsEventSystemExited) return;
        std::string text;
        for (PCWSTR at = event->EventData; at && *at; ++at) text += static_cast<char>(*at);
        static_cast<std::promise<std::string> *>(context)->set_value(text);
    };
    CHECK_HR(S_OK, HcsSetComputeSystemCallback(system.get(), HcsEventOptionNone, &exited, on_event));

    CHECK_HR(S_OK, finish([&](HCS_OPERATION operation) {
                       return HcsStartComputeSystem(system.get(), operation, nullptr);
                   }).hr);

    Result properties = finish([&](HCS_OPERATION operation) {
        return HcsGetComputeSystemProperties(system.get(), operation, TEXT16("{}"));
    });
    CHECK_HR(S_OK, properties.hr);
    CHECK_HAS("\"SystemType\":\"Container\"", properties.document.get());

    {
        Operation operation(HcsCreateOperation(nullptr, nullptr));
        HCS_PROCESS started = nullptr;
        CHECK_HR(S_OK, HcsCreateProcess(system.get(),
                                        TEXT16(R"({"CommandLine":"/bin/echo hello","CreateStdOutPipe":true})"),
                                        operation.get(), nullptr, &started));
        Process process(started);
        HCS_PROCESS_INFORMATION information = {};
        CHECK_HR(S_OK, HcsWaitForOperationResultAndProcessInfo(operation.get(), LIMIT, &information, nullptr));
        Handle output(information.StdOutput);
        std::string said;
        char buffer[16];
        DWORD count = 0;
        while (ReadFile(output.get(), buffer, sizeof buffer, &count, nullptr)) said.append(buffer, count);
        CHECK_EQUAL(ERROR_BROKEN_PIPE, GetLastError());
        CHECK_TEXT("hello\n", said.c_str());

        PWSTR status = nullptr;
        CHECK_HR(S_OK, HcsWaitForProcessExit(process.get(), LIMIT, &status));
        TextOfTask owner(status);
        CHECK_EQUAL(0, number(status, "ExitCode"));
    }

    CHECK_HR(S_OK, finish([&](HCS_OPERATION operation) {
                       return HcsTerminateComputeSystem(system.get(), operation, nullptr);
                   }).hr);
    CHECK(get(exit).find("ForcedExit") != std::string::npos);
}

} // namespace

int main()
{
    begin();
    live();
}
