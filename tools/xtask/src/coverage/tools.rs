//! The tools of LLVM that read counts.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::lines::{self, Lines};
use crate::{Outcome, command::Line, host, workspace::Workspace};

/// Where they are.
pub struct Tools {
    profdata: PathBuf,
    cov: PathBuf,
}

impl Tools {
    /// Looks for those that fit the compiler.
    pub fn find(workspace: &Workspace) -> Outcome<Tools> {
        let version = Line::of("rustc -vV").output(&workspace.root)?;
        let major =
            major(&version).ok_or_else(|| format!("rustc -vV names no version of LLVM: {version}"))?;
        let root = Line::of("rustc --print sysroot").output(&workspace.root)?;
        let own = format!("lib/rustlib/{}-unknown-linux-gnu/bin", std::env::consts::ARCH);
        let own = Path::new(root.trim()).join(own);
        let find = |name: &str| {
            let beside = own.join(name);
            let installed = || host::program(&format!("{name}-{major}"));
            if beside.is_file() { Some(beside) } else { installed() }
        };
        match (find("llvm-profdata"), find("llvm-cov")) {
            (Some(profdata), Some(cov)) => Ok(Tools { profdata, cov }),
            _ => Err(format!(
                "what reads the compiler's counts is missing; install it: rustup component add llvm-tools, or \
                 apt-get install --no-install-recommends llvm-{major}"
            )),
        }
    }

    /// The lines of every file that these programs are made of.
    pub fn lines(
        &self,
        counts: &Path,
        programs: &[PathBuf],
        workspace: &Workspace,
    ) -> Outcome<BTreeMap<PathBuf, Lines>> {
        let failed = |error: std::io::Error| format!("{}: {error}", counts.display());
        let whole = counts.join("all.profdata");
        // A file in which a process has just begun may be empty; one that cannot be read must not hide the others.
        let mut files = Vec::new();
        for file in fs::read_dir(counts).map_err(failed)? {
            let file = file.map_err(failed)?.path();
            if file.extension().is_some_and(|extension| extension == "profraw") {
                files.push(file.display().to_string());
            }
        }
        let program = self.profdata.display().to_string();
        let into = whole.display().to_string();
        let words = [program.as_str(), "merge", "--sparse", "--failure-mode=all", "-o", &into];
        Line::new(words.into_iter().chain(files.iter().map(String::as_str))).run_quietly(&workspace.root)?;
        let (program, profile) =
            (self.cov.display().to_string(), format!("--instr-profile={}", whole.display()));
        let mut words = vec![program.as_str(), "export", "--format=lcov", &profile];
        let objects: Vec<String> =
            programs.iter().map(|program| format!("--object={}", program.display())).collect();
        words.extend(objects.iter().map(String::as_str));
        let told = Line::new(words).output(&workspace.root)?;
        lines::of(&told, &workspace.root)
    }
}

/// The first number of the compiler's LLVM.
fn major(version: &str) -> Option<u32> {
    let number = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    number.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_says_which_llvm_it_has() {
        assert_eq!(major("rustc 1.95.0\nhost: x86_64\nLLVM version: 22.1.2\n"), Some(22));
        assert_eq!(major("rustc 1.95.0\n"), None);
    }
}
