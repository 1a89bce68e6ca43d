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
 * Removes a layer. Links in it are removed and never followed.
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

#ifdef __cplusplus
}
#endif

#endif
