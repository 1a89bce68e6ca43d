/**
 * ComputeStorage.h: layers of container file systems.
 *
 * Link with -lcomputecore. These functions are synchronous, work on local paths in the calling process, and need root.
 * No service is asked. They tell an HRESULT and nothing more.
 *
 * A LAYER is a folder with the file layer.json. A read-only one has its files in fs/. A writable one has what was
 * written in upper/, and the union with its parents, once that is attached, in rootfs/: a container's Storage.Path.
 * In TRANSPORT a layer is as in OCI images: a tar, plain, in gzip or in zstd, with whiteouts for what is deleted.
 *
 * layerPath: absolute; a slash at its end does no harm.
 * layerData: LayerData. Required. Layers has the parents, the nearest first.
 *
 * ALL OR NOTHING. Import and export build beside their target, make it durable, and put it there at once. After a
 * failure, or a crash, there is nothing at the target; what a crash leaves beside it is removed by the next try.
 * Names in an archive never lead out of the layer, whatever they say and whatever links come before them.
 *
 * ERRORS that every function can return, and that are not repeated below:
 *     E_INVALIDARG                                                 a required text is missing, a path is not absolute
 *     HCS_E_INVALID_JSON, HRESULT_FROM_WIN32(ERROR_INVALID_DATA)   a document is not valid
 *     HRESULT_FROM_WIN32(ERROR_FILE_NOT_FOUND), E_ACCESSDENIED     as the file system says
 */
#ifndef COMPUTESTORAGE_H
#define COMPUTESTORAGE_H

#include "ComputeDefs.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes a layer of one in transport.
 *
 * layerPath: where; nothing may be there.
 * sourceFolderPath: a folder with one archive in it, or with the files themselves; or the archive.
 *
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)   something is at layerPath
 *     HCS_E_INVALID_LAYER   what is in the folder is damaged, has a name twice, or names that lead out
 */
HRESULT HcsImportLayer(PCWSTR layerPath, PCWSTR sourceFolderPath, PCWSTR layerData);

/**
 * Writes a layer in transport form: the file layer.tar in a folder. The same layer gives the same bytes everywhere.
 *
 * exportFolderPath: a folder that is there.
 * options: ExportLayerOptions. May be NULL. IsWritableLayer must say what the layer is.
 *
 *     HCS_E_INVALID_LAYER   layerPath is no layer
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)   there is a layer.tar
 */
HRESULT HcsExportLayer(PCWSTR layerPath, PCWSTR exportFolderPath, PCWSTR layerData, PCWSTR options);

/**
 * Writes a writable layer in transport form, as HcsExportLayer does with IsWritableLayer.
 *
 * writableLayerMountPath: the layer.
 * writableLayerFolderPath: a folder that is there. Windows keeps the registry of the layer in it; nothing is read here.
 */
HRESULT HcsExportLegacyWritableLayer(PCWSTR writableLayerMountPath, PCWSTR writableLayerFolderPath,
                                     PCWSTR exportFolderPath, PCWSTR layerData);

/**
 * Removes a layer. Links in it are removed and never followed. Images of disks in its folder are unmounted first. Of a
 * mounted disk the layer on it is removed, and the disk is unmounted.
 *
 *     HCS_E_INVALID_LAYER   layerPath is no layer; nothing is removed
 *     HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION)   something is mounted in it
 */
HRESULT HcsDestroyLayer(PCWSTR layerPath);

/**
 * Makes a folder, which must be empty if it is there, a writable layer.
 *
 * options: reserved. NULL or empty.
 *
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)   the folder is not empty
 */
HRESULT HcsInitializeWritableLayer(PCWSTR writableLayerPath, PCWSTR layerData, PCWSTR options);

/**
 * Makes an empty folder, mostly a mounted disk, a writable layer.
 *
 * writableLayerFolderPath: a folder that is there. Windows keeps the registry of the layer in it; nothing is written
 * here.
 * options: a document, or NULL. What it names is prepared on Windows only.
 *
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)   the folder is not empty
 */
HRESULT HcsInitializeLegacyWritableLayer(PCWSTR writableLayerMountPath, PCWSTR writableLayerFolderPath,
                                         PCWSTR layerData, PCWSTR options);

/**
 * Unites a writable layer with its parents, at rootfs in it. At most 128 parents.
 *
 *     HCS_E_INVALID_LAYER   layerPath is no writable layer, or a parent is no layer
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)   it is attached already
 */
HRESULT HcsAttachLayerStorageFilter(PCWSTR layerPath, PCWSTR layerData);

/**
 * Takes the union away. What was written stays in the layer.
 *
 *     HRESULT_FROM_WIN32(ERROR_NOT_FOUND)   it is not attached
 *     HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION)   somebody uses it
 */
HRESULT HcsDetachLayerStorageFilter(PCWSTR layerPath);

/**
 * Makes a base layer, the lowest of a stack, of an operating system.
 *
 * vhdHandle: for the type Container NULL: the system is in fs/ of the layer's folder. For the type Vm a descriptor of an
 * image on whose disk the system is. It gets mount points and forgets its machine id, and its kernel is copied into the
 * layer's folder (kernel, initrd), for booting it directly; SkipUpdateBcdForBoot leaves out the last two.
 * options: OsLayerOptions. Required.
 *
 *     HRESULT_FROM_WIN32(ERROR_ALREADY_EXISTS)   layerPath is a layer already
 *     HCS_E_INVALID_LAYER   there is no operating system
 */
HRESULT HcsSetupBaseOSLayer(PCWSTR layerPath, HANDLE vhdHandle, PCWSTR options);

/**
 * Does the same, for the type Vm, with a disk that is mounted at volumePath.
 */
HRESULT HcsSetupBaseOSVolume(PCWSTR layerPath, PCWSTR volumePath, PCWSTR options);

/**
 * Makes a partition with ext4 on a disk. What was on it is gone.
 *
 * vhdHandle: a descriptor, open for reading and writing, of an image: raw, VHD (fixed or dynamic) or VHDX; or of a disk
 * of the host. The last two kinds of image need qemu-storage-daemon.
 *
 *     HRESULT_FROM_WIN32(ERROR_SHARING_VIOLATION)   the disk is mounted
 *     E_ACCESSDENIED   the descriptor cannot be written
 */
HRESULT HcsFormatWritableLayerVhd(HANDLE vhdHandle);

/**
 * Tells where a disk is mounted; mounts it if it is not. The same disk has the same place as long as it is mounted: until
 * HcsDestroyLayer gets that place, or the folder in which the image is.
 *
 * vhdHandle: as above. A disk that is open for reading only is mounted so.
 * mountPath: freed with LocalFree.
 *
 *     HRESULT_FROM_WIN32(ERROR_INVALID_DATA)   there is no file system ext4 on it
 */
HRESULT HcsGetLayerVhdMountPath(HANDLE vhdHandle, PWSTR* mountPath);

#ifdef __cplusplus
}
#endif

#endif
