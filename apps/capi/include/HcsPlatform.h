/**
 * HcsPlatform.h: the part of windows.h that the Host Compute System API needs, for Linux.
 *
 * ComputeCore.h includes this file; a program need not. A port whose sources say `#include <windows.h>`
 * compiles with `-I .../compat`, where a windows.h stands that includes this file; sources that include
 * neither can be given it by `-include HcsPlatform.h`. A Windows build never sees this file.
 *
 * Text. API strings are UTF-16, ended by a zero unit. WCHAR is char16_t, so literals are u"text". Under
 * -fshort-wchar it is wchar_t, and L"text" works as on Windows; but the wide functions of the C and C++
 * libraries (wcslen, std::wstring, ...) still expect 32-bit wchar_t there and must not be used on it.
 * TEXT("text") fits both.
 *
 * Handles. A HANDLE holds a file descriptor: a pipe, a pseudo-terminal or an event. NULL is no handle. The
 * library never hands out descriptors 0, 1 and 2, not even when they are free. All handles are close-on-exec,
 * belong to the caller, and may be used with poll(2), read(2) and the rest through HcsHandleToFd. Event
 * handles are readable (POLLIN) while signalled; signal and wait through the functions below only.
 */
#ifndef HCS_PLATFORM_H
#define HCS_PLATFORM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
#include <type_traits>
#else
#include <uchar.h>
#endif

/* ---- Linkage and annotations: nothing to say on Linux, but sources use the words ---- */

#ifdef __cplusplus
#define EXTERN_C extern "C"
#else
#define EXTERN_C extern
#endif

#define APIENTRY
#define CALLBACK
#define STDAPICALLTYPE
#define WINAPI

#ifndef _In_
#define _In_
#define _In_opt_
#define _In_z_
#define _Inout_
#define _Inout_opt_
#define _Out_
#define _Out_opt_
#define _Outptr_
#define _Outptr_opt_
#define _Outptr_result_maybenull_
#define _Outptr_opt_result_maybenull_
#endif

/* ---- Types ---- */

#if defined(__SIZEOF_WCHAR_T__) && __SIZEOF_WCHAR_T__ == 2
typedef wchar_t WCHAR;
#define HCS_PASTE_TEXT(text) L##text
#else
typedef char16_t WCHAR;
#define HCS_PASTE_TEXT(text) u##text
#endif
#ifndef TEXT
#define TEXT(text) HCS_PASTE_TEXT(text)
#endif

typedef char CHAR;
typedef WCHAR *PWSTR, *LPWSTR;
typedef const WCHAR *PCWSTR, *LPCWSTR;

typedef uint8_t BYTE, UINT8;
typedef uint16_t WORD, UINT16;
typedef uint32_t DWORD, UINT, UINT32, ULONG;
typedef int32_t INT32, LONG;
typedef uint64_t UINT64, ULONG64;
typedef int64_t INT64;
typedef int BOOL;
typedef DWORD *PDWORD, *LPDWORD;

#ifndef VOID
#define VOID void
#endif
typedef void *PVOID, *LPVOID;
typedef const void *LPCVOID;

/** 0 or positive: success. Negative: failure. */
typedef int32_t HRESULT;

typedef void *HANDLE;
typedef HANDLE *PHANDLE, *LPHANDLE;
typedef HANDLE HLOCAL;

/** Makes `name` a handle type of its own, which no other handle type converts to. */
#ifndef DECLARE_HANDLE
#define DECLARE_HANDLE(name) typedef struct name##__ *name
#endif

/** Lets the bits of an enum combine in C++ as they do in C. */
#ifndef DEFINE_ENUM_FLAG_OPERATORS
#ifdef __cplusplus
#define DEFINE_ENUM_FLAG_OPERATORS(Enum)                                                               \
    extern "C++" {                                                                                     \
    constexpr Enum operator|(Enum a, Enum b) { return Enum(std::underlying_type<Enum>::type(a) | b); } \
    constexpr Enum operator&(Enum a, Enum b) { return Enum(std::underlying_type<Enum>::type(a) & b); } \
    constexpr Enum operator^(Enum a, Enum b) { return Enum(std::underlying_type<Enum>::type(a) ^ b); } \
    constexpr Enum operator~(Enum a) { return Enum(~std::underlying_type<Enum>::type(a)); }            \
    inline Enum &operator|=(Enum &a, Enum b) { return a = a | b; }                                     \
    inline Enum &operator&=(Enum &a, Enum b) { return a = a & b; }                                     \
    inline Enum &operator^=(Enum &a, Enum b) { return a = a ^ b; }                                     \
    }                                                                                                  \
    static_assert(sizeof(Enum) == 4, #Enum)
#else
#define DEFINE_ENUM_FLAG_OPERATORS(Enum) static_assert(sizeof(Enum) == 4, #Enum)
#endif
#endif

typedef struct _GUID {
    UINT32 Data1;
    UINT16 Data2;
    UINT16 Data3;
    UINT8 Data4[8];
} GUID;
static_assert(sizeof(GUID) == 16, "GUID");

/* Opaque: these have no meaning on Linux. Pass NULL. */
typedef struct _SECURITY_DESCRIPTOR SECURITY_DESCRIPTOR;
typedef struct _SECURITY_ATTRIBUTES SECURITY_ATTRIBUTES, *LPSECURITY_ATTRIBUTES;
typedef struct _OVERLAPPED OVERLAPPED, *LPOVERLAPPED;

/* ---- Constants ---- */

#ifndef TRUE
#define TRUE 1
#endif
#ifndef FALSE
#define FALSE 0
#endif

#define GENERIC_ALL 0x10000000u
#define INFINITE 0xFFFFFFFFu
#define INVALID_HANDLE_VALUE ((HANDLE)(intptr_t)-1)

#define WAIT_OBJECT_0 0x00000000u
#define WAIT_TIMEOUT 0x00000102u
#define WAIT_FAILED 0xFFFFFFFFu

#define ERROR_SUCCESS 0u
#define ERROR_FILE_NOT_FOUND 2u
#define ERROR_PATH_NOT_FOUND 3u
#define ERROR_ACCESS_DENIED 5u
#define ERROR_INVALID_HANDLE 6u
#define ERROR_NOT_ENOUGH_MEMORY 8u
#define ERROR_INVALID_DATA 13u
#define ERROR_OUTOFMEMORY 14u
#define ERROR_GEN_FAILURE 31u
#define ERROR_SHARING_VIOLATION 32u
#define ERROR_HANDLE_EOF 38u
#define ERROR_NOT_SUPPORTED 50u
#define ERROR_FILE_EXISTS 80u
#define ERROR_INVALID_PARAMETER 87u
#define ERROR_BROKEN_PIPE 109u
#define ERROR_ALREADY_EXISTS 183u
#define ERROR_NO_DATA 232u
#define ERROR_IO_PENDING 997u
#define ERROR_SERVICE_DOES_NOT_EXIST 1060u
#define ERROR_NOT_FOUND 1168u
#define ERROR_CANCELLED 1223u
#define ERROR_TIMEOUT 1460u
#define ERROR_NOT_ENOUGH_QUOTA 1816u

/* ---- HRESULT ---- */

#define SUCCEEDED(hr) ((HRESULT)(hr) >= 0)
#define FAILED(hr) ((HRESULT)(hr) < 0)
#define FACILITY_WIN32 7
#define HRESULT_CODE(hr) ((hr) & 0xFFFF)
#define HRESULT_FACILITY(hr) (((hr) >> 16) & 0x1FFF)
#define HRESULT_FROM_WIN32(error) \
    ((HRESULT)(error) <= 0 ? (HRESULT)(error) : (HRESULT)(((error) & 0xFFFFu) | 0x80070000u))

#define _HRESULT_TYPEDEF_(code) ((HRESULT)(code))
#define S_OK _HRESULT_TYPEDEF_(0x00000000u)
#define S_FALSE _HRESULT_TYPEDEF_(0x00000001u)
#define E_NOTIMPL _HRESULT_TYPEDEF_(0x80004001u)
#define E_NOINTERFACE _HRESULT_TYPEDEF_(0x80004002u)
#define E_POINTER _HRESULT_TYPEDEF_(0x80004003u)
#define E_ABORT _HRESULT_TYPEDEF_(0x80004004u)
#define E_FAIL _HRESULT_TYPEDEF_(0x80004005u)
#define E_CHANGED_STATE _HRESULT_TYPEDEF_(0x8000000Cu)
#define E_UNEXPECTED _HRESULT_TYPEDEF_(0x8000FFFFu)
#define E_ACCESSDENIED _HRESULT_TYPEDEF_(0x80070005u)
#define E_HANDLE _HRESULT_TYPEDEF_(0x80070006u)
#define E_OUTOFMEMORY _HRESULT_TYPEDEF_(0x8007000Eu)
#define E_INVALIDARG _HRESULT_TYPEDEF_(0x80070057u)
#define RPC_E_TOO_LATE _HRESULT_TYPEDEF_(0x80010119u)

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Handles and descriptors: ours, not of Windows ---- */

/** The descriptor in a handle; -1 for NULL and INVALID_HANDLE_VALUE. Ownership does not move. */
static inline int HcsHandleToFd(HANDLE handle)
{
    return handle ? (int)(intptr_t)handle : -1;
}

/**
 * The handle that holds a descriptor; NULL for a negative one. Descriptor 0 has no handle (it reads as NULL):
 * dup(2) it first. Ownership does not move.
 */
static inline HANDLE HcsHandleFromFd(int fd)
{
    return fd > 0 ? (HANDLE)(intptr_t)fd : NULL;
}

/* ---- Memory ---- */

/**
 * Frees a string that the library returned. NULL is ignored. Always returns NULL.
 * LocalFree and CoTaskMemFree are one function by two names: either frees any string of the library.
 */
HLOCAL LocalFree(HLOCAL memory);
void CoTaskMemFree(LPVOID memory);

/* ---- Handles, events, pipes ---- */

/**
 * Why the last function of this section failed in the calling thread: an ERROR_ code. Success leaves it alone.
 */
DWORD GetLastError(void);

/**
 * Closes a handle: standard handles of processes, events, and any descriptor wrapped by HcsHandleFromFd.
 * Not for HCS_SYSTEM, HCS_PROCESS and HCS_OPERATION, which have close functions of their own.
 *
 * FALSE and ERROR_INVALID_HANDLE for NULL, INVALID_HANDLE_VALUE and a descriptor that is not open.
 */
BOOL CloseHandle(HANDLE handle);

/**
 * Makes an event. A manual-reset event stays signalled until ResetEvent; an auto-reset event is reset by
 * the one wait it ends. Release with CloseHandle.
 *
 * attributes: ignored. name: NULL; there are no named events.
 * NULL on failure: ERROR_NOT_SUPPORTED for a name, ERROR_NOT_ENOUGH_MEMORY without a free descriptor.
 */
HANDLE CreateEventW(LPSECURITY_ATTRIBUTES attributes, BOOL manualReset, BOOL initialState, LPCWSTR name);
#define CreateEvent CreateEventW

/**
 * Signals / resets an event. Setting a set event and resetting a reset one change nothing. SetEvent is
 * allowed in every callback of the API.
 *
 * FALSE and ERROR_INVALID_HANDLE for what is no event made by CreateEventW.
 */
BOOL SetEvent(HANDLE event);
BOOL ResetEvent(HANDLE event);

/**
 * Waits until an event is signalled; for any other handle, until reading it would not block (data, end of
 * file or hang-up). milliseconds: 0 only looks, INFINITE waits for ever.
 *
 * WAIT_OBJECT_0, WAIT_TIMEOUT, or WAIT_FAILED with ERROR_INVALID_HANDLE.
 */
DWORD WaitForSingleObject(HANDLE handle, DWORD milliseconds);

/**
 * Reads what is there, up to `size` bytes; blocks until there is at least one.
 *
 * bytesRead: may be NULL; set to 0 first. overlapped: NULL.
 * End of file: on a pipe, socket or terminal FALSE with ERROR_BROKEN_PIPE, as on Windows; on a file TRUE with 0 bytes.
 * Other failures: ERROR_INVALID_HANDLE, ERROR_ACCESS_DENIED (not open for reading), ERROR_INVALID_PARAMETER (no
 * buffer), ERROR_NOT_SUPPORTED (overlapped), ERROR_NO_DATA (the caller made the descriptor non-blocking, and nothing is
 * there), ERROR_GEN_FAILURE.
 */
BOOL ReadFile(HANDLE handle, LPVOID buffer, DWORD size, LPDWORD bytesRead, LPOVERLAPPED overlapped);

/**
 * Writes all `size` bytes, blocking while the reader is slow. Never raises SIGPIPE.
 *
 * bytesWritten: may be NULL; set to 0 first; counts what was written before a failure. overlapped: NULL.
 * No reader left: FALSE with ERROR_NO_DATA. Other failures: as ReadFile.
 */
BOOL WriteFile(HANDLE handle, LPCVOID buffer, DWORD size, LPDWORD bytesWritten, LPOVERLAPPED overlapped);

#ifdef __cplusplus
}
#endif

#endif
