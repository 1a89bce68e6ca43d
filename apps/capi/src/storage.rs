//! The exports of the group Storage Utility Functions for Containers. They work in the caller's process.
#![expect(unsafe_code, reason = "exported names")]

use std::{fs::File, path::PathBuf};

use hcs::storage::{self, Compression};
use hcs_core::{Cause, Error};
use hcs_layers::layer;
use hcs_schema::{ExportLayerOptions, LayerData, OsLayerOptions};

use crate::{
    abi::{Code, Handle, Out, Owned, Text, utf16},
    call::tell,
    win32,
};

/// The folder beside a legacy layer, where Windows keeps its registry. It must be there, and nothing is in it on Linux.
fn expect_folder(text: Text) -> Result<(), Error> {
    let path = path(text)?;
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::new(Cause::InvalidArgument, format!("{} is no folder", path.display()))),
        Err(error) => Err(Error::from_io(&error, format!("opening {}", path.display()))),
    }
}

fn path(text: Text) -> Result<PathBuf, Error> {
    layer::path(&text.id()?)
}

fn layer_data(text: Text) -> Result<LayerData, Error> {
    if text.is_null() {
        return Err(Cause::InvalidArgument.into());
    }
    Ok(hcs_schema::read::<LayerData>(text.document()?.get())?.value)
}

#[unsafe(no_mangle)]
extern "C" fn HcsImportLayer(layer_path: Text, source_folder: Text, data: Text) -> Code {
    tell(|| {
        layer_data(data)?;
        storage::import_layer(&path(layer_path)?, &path(source_folder)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsExportLayer(layer_path: Text, export_folder: Text, data: Text, options: Text) -> Code {
    tell(|| {
        layer_data(data)?;
        let options = match options.options()? {
            Some(text) => hcs_schema::read::<ExportLayerOptions>(text.get())?.value,
            None => ExportLayerOptions::default(),
        };
        storage::export_layer(&path(layer_path)?, &path(export_folder)?, &options, Compression::None)
            .map(|_| ())
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsExportLegacyWritableLayer(
    mount: Text,
    folder: Text,
    export_folder: Text,
    data: Text,
) -> Code {
    tell(|| {
        layer_data(data)?;
        expect_folder(folder)?;
        let options = ExportLayerOptions::default().is_writable_layer(true);
        storage::export_layer(&path(mount)?, &path(export_folder)?, &options, Compression::None).map(|_| ())
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsDestroyLayer(layer_path: Text) -> Code {
    tell(|| storage::destroy_layer(&path(layer_path)?))
}

fn os_layer_options(text: Text) -> Result<OsLayerOptions, Error> {
    if text.is_null() {
        return Err(Cause::InvalidArgument.into());
    }
    Ok(hcs_schema::read::<OsLayerOptions>(text.document()?.get())?.value)
}

fn image(handle: Handle) -> Result<File, Error> {
    win32::file_of(handle).ok_or(Cause::InvalidHandle.into())
}

#[unsafe(no_mangle)]
extern "C" fn HcsSetupBaseOSLayer(layer_path: Text, disk: Handle, options: Text) -> Code {
    tell(|| {
        let options = os_layer_options(options)?;
        let disk = if disk == 0 { None } else { Some(image(disk)?) };
        storage::setup_base_layer(&path(layer_path)?, disk.as_ref(), &options)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsSetupBaseOSVolume(layer_path: Text, volume: Text, options: Text) -> Code {
    tell(|| {
        let options = os_layer_options(options)?;
        storage::setup_base_volume(&path(layer_path)?, &path(volume)?, &options)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsFormatWritableLayerVhd(disk: Handle) -> Code {
    tell(|| storage::format_disk(&image(disk)?))
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetLayerVhdMountPath(disk: Handle, mount_path: Out<Owned>) -> Code {
    tell(|| {
        let mount_path = mount_path.required()?;
        let point = storage::mount_disk(&image(disk)?)?;
        mount_path.set(Owned::copy(&utf16(&point.display().to_string()))?);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsInitializeWritableLayer(layer_path: Text, data: Text, options: Text) -> Code {
    tell(|| {
        layer_data(data)?;
        if options.options()?.is_some() {
            return Err(Cause::InvalidArgument.into());
        }
        storage::initialize_writable_layer(&path(layer_path)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsInitializeLegacyWritableLayer(mount: Text, folder: Text, data: Text, options: Text) -> Code {
    tell(|| {
        layer_data(data)?;
        expect_folder(folder)?;
        // What these name on Windows has nothing to be prepared here; that they are a document is checked.
        options.options()?;
        storage::initialize_writable_layer(&path(mount)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsAttachLayerStorageFilter(layer_path: Text, data: Text) -> Code {
    tell(|| {
        let data = layer_data(data)?;
        storage::attach_layers(&path(layer_path)?, &data)
    })
}

#[unsafe(no_mangle)]
extern "C" fn HcsDetachLayerStorageFilter(layer_path: Text) -> Code {
    tell(|| storage::detach_layers(&path(layer_path)?))
}
