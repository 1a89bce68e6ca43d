//! Modules of a kernel. What a module needs stands in itself, so no list of the distribution has to be there.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::Command,
};

use hcs_core::{Cause, Error, error::io_failure};

/// The modules below a folder, by their names.
pub struct Modules {
    files: BTreeMap<String, PathBuf>,
}

/// A module, ready to be loaded.
pub struct Module {
    /// Its name.
    pub name: String,
    /// What is given to the kernel.
    pub content: Vec<u8>,
}

impl Modules {
    /// Those of a kernel: the folder `lib/modules/VERSION`.
    pub fn find(folder: &Path) -> Result<Modules, Error> {
        let mut files = BTreeMap::new();
        walk(folder, &mut files).map_err(io_failure(folder, "looking for modules in"))?;
        if files.is_empty() {
            let detail = format!("there are no modules below {}", folder.display());
            return Err(Error::new(Cause::NotFound, detail)
                .hint("Name the folder lib/modules/VERSION of the kernel."));
        }
        Ok(Modules { files })
    }

    /// These modules, each behind those that it needs. What this kernel does not have as a module is in it, or is not;
    /// nobody can tell from here.
    pub fn with_needs(&self, names: &[&str]) -> Result<Vec<Module>, Error> {
        let mut chosen = Vec::new();
        for name in names {
            self.choose(&plain(name), &mut chosen)?;
        }
        Ok(chosen)
    }

    fn choose(&self, name: &str, chosen: &mut Vec<Module>) -> Result<(), Error> {
        if chosen.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let Some(file) = self.files.get(name) else { return Ok(()) };
        let content = read(file)?;
        for need in needs(&content) {
            // A kernel's modules need no circle of each other.
            self.choose(&need, chosen)?;
        }
        chosen.push(Module { name: name.to_owned(), content });
        Ok(())
    }
}

fn walk(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if let Some((name, _)) = entry.file_name().to_string_lossy().split_once(".ko")
            && kind.is_file()
        {
            files.insert(plain(name), entry.path());
        }
    }
    Ok(())
}

/// Modules are called with dashes and underscores alike.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// What is in the file, unpacked.
fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let failed = io_failure(file, "reading");
    let extension = file.extension().unwrap_or_default().to_string_lossy().into_owned();
    let packed = || fs::File::open(file);
    let mut content = Vec::new();
    match extension.as_str() {
        "xz" => {
            // Kernels have their own form of it, and every distribution that packs modules like this has the program.
            let unpacked = Command::new("xz").arg("-dc").arg(file).output();
            let unpacked = unpacked.map_err(|error| failed(error).hint("Install the package xz-utils."))?;
            if !unpacked.status.success() {
                let said = String::from_utf8_lossy(&unpacked.stderr);
                let detail = format!("xz cannot unpack {}: {}", file.display(), said.trim());
                return Err(Error::new(Cause::InvalidData, detail));
            }
            content = unpacked.stdout;
        }
        "gz" => {
            flate2::read::GzDecoder::new(packed().map_err(&failed)?)
                .read_to_end(&mut content)
                .map_err(failed)?;
        }
        "zst" => content = zstd::decode_all(packed().map_err(&failed)?).map_err(failed)?,
        _ => content = fs::read(file).map_err(failed)?,
    }
    Ok(content)
}

/// The modules that this one says it needs.
fn needs(content: &[u8]) -> Vec<String> {
    const SAID: &[u8] = b"\0depends=";
    let Some(at) = content.windows(SAID.len()).position(|window| window == SAID) else { return Vec::new() };
    let rest = &content[at + SAID.len()..];
    let list = &rest[..rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len())];
    let list = String::from_utf8_lossy(list);
    list.split(',').filter(|name| !name.is_empty()).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_behind_those_that_it_needs_and_once() {
        let folder = std::env::temp_dir().join(format!("hcs-initrd-modules-{}", std::process::id()));
        fs::create_dir_all(folder.join("kernel/fs")).unwrap();
        let write = |name: &str, needs: &str| {
            let content = format!("ELF\0license=GPL\0depends={needs}\0name=x\0");
            fs::write(folder.join("kernel/fs").join(name), content).unwrap();
        };
        write("top-one.ko", "middle,low");
        write("middle.ko", "low,in_the_kernel");
        write("low.ko", "");
        write("other.ko", "");
        let modules = Modules::find(&folder).unwrap();
        let names = |wanted: &[&str]| -> Vec<String> {
            modules.with_needs(wanted).unwrap().into_iter().map(|module| module.name).collect()
        };
        assert_eq!(names(&["top_one"]), ["low", "middle", "top_one"]);
        assert_eq!(names(&["middle", "top-one", "nothing"]), ["low", "middle", "top_one"]);
        fs::remove_dir_all(folder.join("kernel")).unwrap();
        assert_eq!(Modules::find(&folder).err().unwrap().cause, Cause::NotFound);
        fs::remove_dir_all(folder).unwrap();
    }
}
