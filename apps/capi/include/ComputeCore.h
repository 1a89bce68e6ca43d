/**
 * ComputeCore.h: the Host Compute System API.
 *
 * Containers and virtual machines ("compute systems") by one set of functions, as Windows programs know them.
 * Link with -lcomputecore. The library talks to the host compute service, and connects to it by itself.
 *
 *     HCS_OPERATION operation = HcsCreateOperation(NULL, NULL);
 *     HCS_SYSTEM system = NULL;
 *     PWSTR document = NULL;
 *     HRESULT hr = HcsCreateComputeSystem(u"demo", configuration, operation, NULL, &system);
 *     if (SUCCEEDED(hr)) hr = HcsWaitForOperationResult(operation, INFINITE, &document);
 *     if (FAILED(hr)) report(hr, document);
 *     LocalFree(document);
 *     HcsCloseOperation(operation);
 *
 * OPERATIONS. Functions with a parameter `operation` are asynchronous. S_OK means that the request was accepted
 * and the operation now tracks it ("pending"); the outcome is what HcsGetOperationResult or
 * HcsWaitForOperationResult return. A failure that the function itself returns means that nothing was started:
 * neither the operation's callback nor an event follows. The operation then looks as if it had completed with that
 * failure, so its error document can be read from it, and it may be used again. Which of the two ways a failure
 * takes is not promised, except where it says "at once". The one exception is a pending operation: a second call
 * on it fails at once and leaves it as it was.
 *
 * An operation tracks one call at a time. Once that has completed, the handle may be used for the next.
 * There are three ways to learn of completion: wait; a callback of the operation (HcsCreateOperation,
 * HcsSetOperationCallback); events of a system or process (HcsEventOptionEnableOperationCallbacks). An operation
 * tells one party only: see HcsSetComputeSystemCallback.
 *
 * DOCUMENTS are JSON in UTF-16. Where options may be NULL, an empty string means the same. An input text with a lone
 * surrogate is not valid and fails as any invalid document does. Results are the caller's: free them with LocalFree or
 * CoTaskMemFree. Out pointers are set to NULL before anything else, so they are valid whatever is
 * returned; NULL means that there is no document. After a failure the document is a ResultError, if there is one.
 *
 * HANDLES are checked: a closed, NULL or foreign handle is never undefined behaviour. Functions that return an
 * HRESULT answer it with E_INVALIDARG, as they do a missing pointer. Values of closed handles are not given
 * out again. Handles of one system or process are independent of each other.
 *
 * THREADS. Every function may be called from every thread, and by several threads on one handle at once. Callbacks
 * run on threads of the library: several at once for different handles, one after another for one handle. Keep them
 * short. A callback may use all functions of operations (but wait only for completed ones), start calls, set events and
 * close operations; it must not wait for, nor close, the system or process it belongs to. Contexts are handed through
 * and never looked at.
 *
 * ERRORS that every function can return, and that are not repeated below:
 *     E_INVALIDARG                    at once: a required pointer is NULL, a handle is not valid
 *     E_OUTOFMEMORY
 *     HCS_E_SERVICE_NOT_AVAILABLE     the service cannot be reached
 *     HCS_E_SERVICE_DISCONNECT        it went away during the call
 *     HCS_E_ACCESS_DENIED             the caller may not use it
 * and every function with an operation:
 *     HCS_E_OPERATION_ALREADY_STARTED at once: the operation is pending
 *     HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET
 *                                     at once: the operation has a callback, and so has the handle, with
 *                                     HcsEventOptionEnableOperationCallbacks
 *     HCS_E_SYSTEM_ALREADY_STOPPED, HCS_E_SYSTEM_NOT_FOUND
 *                                     the system has exited; its handles only serve waiting for the exit, the exit
 *                                     event, and close
 *     HCS_E_TERMINATED, HCS_E_UNEXPECTED_EXIT
 *                                     the system ended while the call was pending
 *     HCS_E_INVALID_JSON, HRESULT_FROM_WIN32(ERROR_INVALID_DATA)
 *                                     a document is not JSON, or says something impossible; programs test for both
 */
#ifndef COMPUTE_CORE_H
#define COMPUTE_CORE_H

#include "ComputeDefs.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ==== Operations ============================================================================================== */

/**
 * Makes an operation that has not been used yet. Synchronous.
 *
 * context: for the callback and HcsGetOperationContext. May be NULL.
 * callback: called exactly once for each call that the operation tracks, whether that succeeds or fails. May be NULL.
 * Returns NULL without memory. Release with HcsCloseOperation.
 */
HCS_OPERATION HcsCreateOperation(const void *context, HCS_OPERATION_COMPLETION callback);

/**
 * Gives an operation up. Synchronous; does not wait. NULL and closed handles are ignored.
 *
 * While the call is pending this is allowed: the request carries on, its result is dropped (with it the standard
 * handles of a process, if it was to return them), and no callback or event tells of it. A thread that waits for
 * the operation still gets the outcome. The usual place to close an operation is its own callback, or the event that
 * tells of it. A callback that is running meanwhile in another thread is not waited for.
 */
void HcsCloseOperation(HCS_OPERATION operation);

/**
 * The context of an operation, or NULL. Synchronous.
 */
void *HcsGetOperationContext(HCS_OPERATION operation);

/**
 * Replaces the context of an operation, in any state. A callback gets the one that is current at completion.
 * Synchronous. The library never frees contexts.
 */
HRESULT HcsSetOperationContext(HCS_OPERATION operation, void *context);

/**
 * The system that the operation works on: the very handle the call was given, or for HcsCreateComputeSystem the one
 * it returned. Synchronous; valid inside callbacks, and until the operation is used again or the system handle is
 * closed. NULL for an unused operation and for calls without a system (HcsEnumerateComputeSystems).
 *
 * The handle is borrowed: do not close it on account of this.
 */
HCS_SYSTEM HcsGetComputeSystemFromOperation(HCS_OPERATION operation);

/**
 * The process that the operation works on, in the same way; for HcsCreateProcess the one it returned. NULL for calls
 * that concern no process.
 */
HCS_PROCESS HcsGetProcessFromOperation(HCS_OPERATION operation);

/**
 * Which call the operation tracks, or tracked last; HcsOperationTypeNone before the first, and for an invalid handle.
 * Synchronous.
 */
HCS_OPERATION_TYPE HcsGetOperationType(HCS_OPERATION operation);

/**
 * A number of this operation alone, the same for as long as the handle lives; HCS_INVALID_OPERATION_ID for an invalid
 * handle. Synchronous.
 */
UINT64 HcsGetOperationId(HCS_OPERATION operation);

/**
 * The outcome of the tracked call, of whichever kind. Synchronous, never blocks; also from callbacks. May be repeated:
 * each time the document is a fresh copy.
 *
 * resultDocument: the document of the call, or after a failure a ResultError; see each call. May be NULL. Free with
 * LocalFree.
 *
 *     S_OK                          the call succeeded
 *     HCS_E_OPERATION_NOT_STARTED   the operation is unused
 *     HCS_E_OPERATION_PENDING       the call has not completed
 *     HCS_E_OPERATION_RESULT_ALLOCATION_FAILED   no memory for the document
 *     any other                     the call failed with this
 */
HRESULT HcsGetOperationResult(HCS_OPERATION operation, PWSTR *resultDocument);

/**
 * The same for HcsCreateProcess and HcsGetProcessInfo: adds what reaches the process. Synchronous, never blocks.
 *
 * processInformation: filled on S_OK, otherwise zero. May be NULL. The standard handles belong to the caller
 * (CloseHandle) and are handed out once: to the first successful reading that asks for them. Later readings get the
 * process id and no handles. What was not fetched is closed with the operation, or when that is used again.
 *
 * Further codes:
 *     E_INVALIDARG                         processInformation is given, but the call was of another kind
 *     HCS_E_PROCESS_INFO_NOT_AVAILABLE     the call succeeded, but there is nothing to tell
 */
HRESULT HcsGetOperationResultAndProcessInfo(HCS_OPERATION operation, HCS_PROCESS_INFORMATION *processInformation,
                                            PWSTR *resultDocument);

/**
 * As HcsGetOperationResult, after waiting for the call to complete. Synchronous, blocks: up to timeoutMs milliseconds;
 * 0 only looks, INFINITE waits for ever. Several threads may wait for one operation.
 *
 * Instead of HCS_E_OPERATION_PENDING:
 *     HCS_E_OPERATION_TIMEOUT   the call is still running; it carries on, and a later wait can succeed
 */
HRESULT HcsWaitForOperationResult(HCS_OPERATION operation, DWORD timeoutMs, PWSTR *resultDocument);

/**
 * As HcsGetOperationResultAndProcessInfo, after waiting in the manner of HcsWaitForOperationResult.
 */
HRESULT HcsWaitForOperationResultAndProcessInfo(HCS_OPERATION operation, DWORD timeoutMs,
                                                HCS_PROCESS_INFORMATION *processInformation, PWSTR *resultDocument);

/**
 * Sets or replaces callback and context of an operation. Synchronous. Allowed before a call and while one is pending;
 * after completion it holds for the next call.
 *
 *     E_INVALIDARG   no callback
 *     HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET   the operation is pending, and an event tells of its completion
 */
HRESULT HcsSetOperationCallback(HCS_OPERATION operation, const void *context, HCS_OPERATION_COMPLETION callback);

/**
 * Cancels the call that an operation tracks, where that is possible: HcsCreateComputeSystem. The operation then completes
 * with HRESULT_FROM_WIN32(ERROR_CANCELLED), and what the call had made is gone. Synchronous.
 *
 *     S_OK        the call is being cancelled; wait for the operation as usual
 *     E_NOTIMPL   there is nothing that could be cancelled: the operation is not pending, not valid, or its call is one
 *                 that carries on; to end a system terminate it
 *     HCS_E_OPERATION_ALREADY_CANCELLED
 */
HRESULT HcsCancelOperation(HCS_OPERATION operation);

/* ==== Compute systems ========================================================================================= */

/**
 * Creates a system, without starting it. Operation (HcsOperationTypeCreate).
 *
 * id: names the system among all others; letters compare without case. Not empty.
 * configuration: ComputeSystem, with one of Container, VirtualMachine and HostedSystem.
 * securityDescriptor: NULL.
 * computeSystem: the handle, at once, before creation has completed. Close it with HcsCloseComputeSystem, also if the
 * operation fails. NULL if the function itself fails.
 * Result document: none.
 *
 *     HCS_E_SYSTEM_ALREADY_EXISTS      the id is in use
 *     HCS_E_HYPERV_NOT_INSTALLED       the host cannot run virtual machines
 *     HCS_E_IMAGE_MISMATCH, HCS_E_INVALID_LAYER, HCS_E_WINDOWS_INSIDER_REQUIRED
 *     HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND), E_ACCESSDENIED   a path in the document
 *     E_INVALIDARG                     also: the id is empty or no text; a security descriptor
 */
HRESULT HcsCreateComputeSystem(PCWSTR id, PCWSTR configuration, HCS_OPERATION operation,
                               const SECURITY_DESCRIPTOR *securityDescriptor, HCS_SYSTEM *computeSystem);

/**
 * Opens a further handle to a system that exists. Synchronous.
 *
 * requestedAccess: GENERIC_ALL.
 * computeSystem: close it with HcsCloseComputeSystem.
 *
 *     HCS_E_SYSTEM_NOT_FOUND   there is none of that id, or it has exited
 *     E_INVALIDARG             also: another requestedAccess
 */
HRESULT HcsOpenComputeSystem(PCWSTR id, DWORD requestedAccess, HCS_SYSTEM *computeSystem);

/**
 * Closes a handle. Synchronous. NULL and closed handles are ignored; of two threads that close one handle, one does it.
 *
 * Waits for a callback of this handle that is running. So it must not be called from that callback, nor with a lock
 * that it needs.
 * Afterwards no callback of this handle is called again: there is no last event. Pending operations carry on. A thread
 * that waits for the exit by this handle is woken with E_INVALIDARG.
 *
 * The system keeps running and can be opened again, unless its document says ShouldTerminateOnLastHandleClosed and
 * this was the last handle in all processes. When a process ends, its handles are closed.
 */
void HcsCloseComputeSystem(HCS_SYSTEM computeSystem);

/**
 * Starts a created system. Operation (HcsOperationTypeStart).
 *
 * options: reserved, NULL.
 * Result document: none. Completes when a container can run processes; for a virtual machine when it is powered, with
 * GuestConnection when the guest service has connected.
 *
 *     HCS_E_INVALID_STATE              not in state Created
 *     HCS_E_TERMINATED_DURING_START    it ended while starting
 *     HCS_E_CONNECTION_TIMEOUT, HCS_E_CONNECT_FAILED   the guest service did not connect
 *     HCS_E_HYPERV_NOT_INSTALLED, E_OUTOFMEMORY
 *     E_ACCESSDENIED                   the machine may not use one of its files; see HcsGrantVmAccess
 */
HRESULT HcsStartComputeSystem(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);

/**
 * Asks a running system to shut down in good order. Operation (HcsOperationTypeShutdown).
 *
 * options: NULL, or ShutdownOptions.
 * Result document: none. Completes when the request is delivered; HcsEventSystemExited tells of the end (GracefulExit).
 *
 *     HCS_E_INVALID_STATE              not running
 *     HCS_E_SYSTEM_ALREADY_STOPPED     shut down or terminated before
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   nothing in the guest listens to such requests
 */
HRESULT HcsShutDownComputeSystem(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);

/**
 * Ends a system by force, in whatever state. Operation (HcsOperationTypeTerminate).
 *
 * options: reserved, NULL.
 * Result document: none. Completes when the system has stopped and its id is free (ForcedExit).
 *
 *     HCS_E_SYSTEM_ALREADY_STOPPED     it has ended before
 */
HRESULT HcsTerminateComputeSystem(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);

/**
 * Makes a running guest crash, for the dump. Operation (HcsOperationTypeCrash).
 *
 * options: NULL, or CrashOptions.
 * Result document: none. HcsEventSystemCrashInitiated and HcsEventSystemCrashReport may follow.
 *
 *     HCS_E_INVALID_STATE              not running
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   a container: its kernel is the host's
 */
HRESULT HcsCrashComputeSystem(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);

/**
 * Halts a running system, keeping it in memory. Operation (HcsOperationTypePause).
 *
 * options: NULL, or PauseOptions.
 * Result document: none. The state becomes Paused.
 *
 *     HCS_E_INVALID_STATE              not running
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   the host cannot halt this kind of system
 */
HRESULT HcsPauseComputeSystem(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);

/**
 * Lets a paused system go on. Operation (HcsOperationTypeResume).
 *
 * options: reserved, NULL.
 * Result document: none. The state becomes Running.
 *
 *     HCS_E_INVALID_STATE              not paused
 */
HRESULT HcsResumeComputeSystem(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);

/**
 * Writes the memory and devices of a paused virtual machine to a file. Operation (HcsOperationTypeSave).
 *
 * options: SaveOptions. The file is one that HcsCreateEmptyRuntimeStateFile made and that the machine may use.
 * Result document: none. Afterwards the machine is still paused (SaveType ToFile) or SavedAsTemplate (AsTemplate).
 * To restore: name the file in VirtualMachine.RestoreState of a new system, and start that.
 *
 *     HCS_E_INVALID_STATE              not paused
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   a container, or a device whose state cannot be saved
 *     HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND, ERROR_PATH_NOT_FOUND), E_ACCESSDENIED   the file
 */
HRESULT HcsSaveComputeSystem(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR options);

/**
 * Reads properties of a system. Operation (HcsOperationTypeGetProperties).
 *
 * propertyQuery: System_PropertyQuery; NULL, {} or an empty list of types asks for the basic ones.
 * Result document: Properties, always, with Id and SystemType at least.
 *
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   a property that this kind of system does not have
 */
HRESULT HcsGetComputeSystemProperties(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR propertyQuery);

/**
 * Changes a system, usually a running one. Operation (HcsOperationTypeModify).
 *
 * configuration: ModifySettingRequest. Required.
 * identity: NULL; users have no tokens on Linux.
 * Result document: usually none.
 *
 * A path, kind of request or setting that the system does not support fails with one of
 *     HCS_E_INVALID_JSON, HRESULT_FROM_WIN32(ERROR_INVALID_DATA), HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)
 * and else:
 *     HRESULT_FROM_WIN32(ERROR_NOT_FOUND)   what is to be removed or updated is not there
 *     HCS_E_INVALID_STATE              not in this state
 */
HRESULT HcsModifyComputeSystem(HCS_SYSTEM computeSystem, HCS_OPERATION operation, PCWSTR configuration,
                               HANDLE identity);

/**
 * Sets the event callback of a system handle. Synchronous. A handle has one; further handles have their own.
 *
 * callbackOptions: HcsEventOptionEnableOperationCallbacks adds an HcsEventOperationCallback for every call that is made
 * on this handle (with HcsCreateProcess, not with calls on the process) by an operation without a callback. Operations
 * that have one are refused on this handle from then on; pending ones call theirs, and there is no event. Unknown bits
 * are ignored.
 * callback: gets the HcsEventSystem... events, HcsEventServiceDisconnect, and what the options add. NULL removes the
 * present callback and waits for it if it is running, as close does.
 *
 * Nothing is missed by setting it late. An exit that has happened is told at once, and so is a completed
 * HcsCreateComputeSystem of this handle whose outcome nobody has read yet. HcsEventSystemExited comes exactly once.
 *
 *     HCS_E_OPERATION_SYSTEM_CALLBACK_ALREADY_SET   the handle has a callback
 */
HRESULT HcsSetComputeSystemCallback(HCS_SYSTEM computeSystem, HCS_EVENT_OPTIONS callbackOptions, const void *context,
                                    HCS_EVENT_CALLBACK callback);

/**
 * Lists systems. Operation (HcsOperationTypeEnumerate), without a system. Mind the order of parameters.
 *
 * query: SystemQuery; NULL lists all.
 * Result document: an array of Properties, [] when there are none.
 */
HRESULT HcsEnumerateComputeSystems(PCWSTR query, HCS_OPERATION operation);

/**
 * Waits until a system has exited. Synchronous, blocks: up to timeoutMs milliseconds; 0 only looks, INFINITE waits
 * for ever. Also good on the handle of a system that exited long ago. Not inside callbacks of the system.
 *
 * result: SystemExitStatus, on S_OK. May be NULL. Free with LocalFree.
 *
 *     HCS_E_OPERATION_TIMEOUT   it has not exited
 *     E_INVALIDARG              also: another thread closed the handle
 */
HRESULT HcsWaitForComputeSystemExit(HCS_SYSTEM computeSystem, DWORD timeoutMs, PWSTR *result);

/* ==== Processes =============================================================================================== */

/**
 * Starts a process in a running system. Operation (HcsOperationTypeCreateProcess).
 *
 * processParameters: ProcessParameters. Its CreateStd...Pipe members say which pipes there will be; with EmulateConsole
 * the standard handles lead to a terminal, and there is none for errors.
 * securityDescriptor: NULL.
 * process: the handle, at once. Close it with HcsCloseProcess, also if the operation fails. NULL if the function fails.
 * Result: no document; process id and standard handles through HcsWaitForOperationResultAndProcessInfo.
 *
 *     HCS_E_INVALID_STATE              the system is not running
 *     HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND), E_ACCESSDENIED   there is no such program, or it may not be run
 *     E_INVALIDARG                     also: a security descriptor
 */
HRESULT HcsCreateProcess(HCS_SYSTEM computeSystem, PCWSTR processParameters, HCS_OPERATION operation,
                         const SECURITY_DESCRIPTOR *securityDescriptor, HCS_PROCESS *process);

/**
 * Opens a further handle to a process, by the number that the guest gives it. Synchronous, and quick: it does not stand
 * in line behind calls on other handles.
 *
 * requestedAccess: GENERIC_ALL.
 * process: close it with HcsCloseProcess.
 *
 *     HRESULT_FROM_WIN32(ERROR_NOT_FOUND)   the system started no process of that number
 *     HCS_E_INVALID_STATE, HCS_E_SYSTEM_ALREADY_STOPPED   the system is not running
 *     E_INVALIDARG                          also: another requestedAccess
 */
HRESULT HcsOpenProcess(HCS_SYSTEM computeSystem, DWORD processId, DWORD requestedAccess, HCS_PROCESS *process);

/**
 * Closes a handle, in the manner of HcsCloseComputeSystem: waits for a running callback, and none comes afterwards;
 * registrations of HcsRegisterProcessCallback end too. Synchronous. Neither ends the process nor closes standard
 * handles.
 */
void HcsCloseProcess(HCS_PROCESS process);

/**
 * Kills a process. Operation (HcsOperationTypeSignalProcess).
 *
 * options: reserved, NULL.
 * Result document: none. HcsEventProcessExited tells of the end.
 *
 *     HCS_E_PROCESS_ALREADY_STOPPED    it has exited, which is what was wanted
 */
HRESULT HcsTerminateProcess(HCS_PROCESS process, HCS_OPERATION operation, PCWSTR options);

/**
 * Sends a process a signal. Operation (HcsOperationTypeSignalProcess).
 *
 * options: SignalProcessOptions, for a Linux guest {"Signal":15}. NULL asks the process to end.
 * Result document: none.
 *
 *     HCS_E_PROCESS_ALREADY_STOPPED    it has exited
 */
HRESULT HcsSignalProcess(HCS_PROCESS process, HCS_OPERATION operation, PCWSTR options);

/**
 * Gets process id and standard handles again. Operation (HcsOperationTypeGetProcessInfo).
 *
 * Result: no document; read it with HcsWaitForOperationResultAndProcessInfo. The handles are new ones to the pipes that
 * the process was started with, and belong to the caller as well.
 *
 *     HCS_E_PROCESS_ALREADY_STOPPED    it has exited
 */
HRESULT HcsGetProcessInfo(HCS_PROCESS process, HCS_OPERATION operation);

/**
 * Reads the state of a process, also after its exit, while the system lives. Operation
 * (HcsOperationTypeGetProcessProperties).
 *
 * propertyQuery: NULL, or {}.
 * Result document: ProcessStatus. ExitCode means something if Exited is true and LastWaitResult is 0.
 */
HRESULT HcsGetProcessProperties(HCS_PROCESS process, HCS_OPERATION operation, PCWSTR propertyQuery);

/**
 * Resizes the terminal of a process, or closes its streams. Operation (HcsOperationTypeModifyProcess).
 *
 * settings: ProcessModifyRequest. Required. {"Operation":"CloseHandle","CloseHandle":{"Handle":"StdIn"}} means end of
 * file for the process, even while handles to the pipe are open. Closing all of those means it too.
 * Result document: none.
 *
 *     HCS_E_PROCESS_ALREADY_STOPPED    it has exited
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   a size, but no terminal
 */
HRESULT HcsModifyProcess(HCS_PROCESS process, HCS_OPERATION operation, PCWSTR settings);

/**
 * Sets the event callback of a process handle. Synchronous. As HcsSetComputeSystemCallback in every respect; the
 * events are HcsEventProcessExited (ProcessStatus), exactly once and at once if it has happened,
 * HcsEventServiceDisconnect, and with the option HcsEventOperationCallback for calls on this handle.
 */
HRESULT HcsSetProcessCallback(HCS_PROCESS process, HCS_EVENT_OPTIONS callbackOptions, void *context,
                              HCS_EVENT_CALLBACK callback);

/**
 * Waits until a process has exited. Synchronous, blocks. As HcsWaitForComputeSystemExit.
 *
 * result: ProcessStatus, on S_OK. May be NULL. Free with LocalFree.
 *
 *     HCS_E_OPERATION_TIMEOUT   it has not exited
 *     E_INVALIDARG              also: another thread closed the handle
 */
HRESULT HcsWaitForProcessExit(HCS_PROCESS process, DWORD timeoutMs, PWSTR *result);

/**
 * The older form of HcsSetProcessCallback: adds a notification callback. Synchronous. A handle can have many, beside
 * its event callback; all are told.
 *
 * callback: gets HcsNotificationProcessExited with ProcessStatus and S_OK, exactly once and at once if it has happened,
 * and HcsNotificationServiceDisconnect.
 * callbackHandle: release it with HcsUnregisterProcessCallback.
 */
HRESULT HcsRegisterProcessCallback(HCS_PROCESS process, HCS_NOTIFICATION_CALLBACK callback, void *context,
                                   HCS_CALLBACK *callbackHandle);

/**
 * Removes a notification callback, and waits for it if it is running; so never call this from that callback, nor with a
 * lock that it needs. Synchronous, blocks. Also needed, and allowed, after HcsCloseProcess.
 *
 *     E_INVALIDARG   no registration, or one that has been removed
 */
HRESULT HcsUnregisterProcessCallback(HCS_CALLBACK callbackHandle);

/* ==== The host service ======================================================================================== */

/**
 * Reads properties of the host. Synchronous.
 *
 * propertyQuery: Service_PropertyQuery. May be NULL, which asks for Basic.
 * result: ServiceProperties, or after a failure a ResultError if there is one. Required. Free with LocalFree.
 * Properties[i] answers PropertyTypes[i]; PropertyResponses answers PropertyQueries by name, with Response or Error.
 *
 *     HCS_E_INVALID_JSON, HRESULT_FROM_WIN32(ERROR_INVALID_DATA)   the query is not valid
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   a property that this host does not have
 */
HRESULT HcsGetServiceProperties(PCWSTR propertyQuery, PWSTR *result);

/**
 * Changes one setting of the host. Synchronous.
 *
 * settings: ModificationRequest. Required.
 * result: after a failure a ResultError if there is one. May be NULL. Free with LocalFree.
 *
 *     HCS_E_INVALID_JSON, HRESULT_FROM_WIN32(ERROR_INVALID_DATA)   the request is not valid
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS), HRESULT_FROM_WIN32(ERROR_NOT_FOUND)   the CPU group is, is not there
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   a setting that this host does not have
 */
HRESULT HcsModifyServiceSettings(PCWSTR settings, PWSTR *result);

/**
 * Hands the crash of a guest to error reporting. Synchronous.
 *
 * settings: CrashReport, as HcsEventSystemCrashReport delivered it. Required.
 *
 *     HCS_E_INVALID_JSON, HRESULT_FROM_WIN32(ERROR_INVALID_DATA)   the report is not valid
 */
HRESULT HcsSubmitWerReport(PCWSTR settings);

/*
 * ACCESS OF VIRTUAL MACHINES. Every machine runs as a user of its own, which follows from its id and has no right to
 * anything by itself. These functions change the POSIX access control list of a file with the caller's rights on it. A
 * folder passes its entries on to what is made in it. The machine must also be allowed to search the folders above.
 *
 * vmId: the id of a system, which need not exist yet.
 * filePath: absolute.
 *
 *     E_INVALIDARG                     a text is missing, or the path is not absolute
 *     E_ACCESSDENIED                   the caller does not own the file
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)   the file system keeps no such lists
 */

/** Lets a machine read and write a file. Synchronous. */
HRESULT HcsGrantVmAccess(PCWSTR vmId, PCWSTR filePath);

/** Takes that back. That there is nothing to be taken is no error. Synchronous. */
HRESULT HcsRevokeVmAccess(PCWSTR vmId, PCWSTR filePath);

/** Lets every machine read a file. Synchronous. */
HRESULT HcsGrantVmGroupAccess(PCWSTR filePath);

/** Takes that back. Synchronous. */
HRESULT HcsRevokeVmGroupAccess(PCWSTR filePath);

/*
 * SAVED MACHINES.
 */

/**
 * Makes a file in which the firmware and the trusted platform module of a machine remember nothing yet, to be named in
 * VirtualMachine.GuestState. The machine must be allowed to write it: HcsGrantVmAccess. Synchronous.
 *
 * guestStateFilePath: absolute.
 *
 *     E_INVALIDARG                     the text is missing, or the path is not absolute
 *     HRESULT_FROM_WIN32(ERROR_FILE_EXISTS, ERROR_ALREADY_EXISTS)   there is such a file
 */
HRESULT HcsCreateEmptyGuestStateFile(PCWSTR guestStateFilePath);

/**
 * Makes an empty file that HcsSaveComputeSystem can write to. The machine must be allowed to: HcsGrantVmAccess. Synchronous.
 *
 * runtimeStateFilePath: absolute.
 *
 *     E_INVALIDARG                     the text is missing, or the path is not absolute
 *     HRESULT_FROM_WIN32(ERROR_FILE_EXISTS, ERROR_ALREADY_EXISTS)   there is such a file
 */
HRESULT HcsCreateEmptyRuntimeStateFile(PCWSTR runtimeStateFilePath);

/**
 * Tells what the processors of a host must be able to do for a machine that was saved. Synchronous.
 *
 * RuntimeFileName: absolute.
 * ProcessorFeaturesString: receives VmProcessorRequirements, to be freed with LocalFree. May be NULL: then the file is only
 *     looked at.
 *
 *     HRESULT_FROM_WIN32(ERROR_INVALID_DATA)   no machine was saved to the file, or it is damaged
 *     HRESULT_FROM_WIN32(ERROR_NOT_SUPPORTED)  another release has written it
 */
HRESULT HcsGetProcessorCompatibilityFromSavedState(PCWSTR RuntimeFileName, PWSTR *ProcessorFeaturesString);

#ifdef __cplusplus
}
#endif

#endif
