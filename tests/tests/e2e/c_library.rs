//! The C library, as C and C++ programs see it: the programs of `tests/c`, built against the shipped headers.
//!
//! Each is built with every kind of wide literal, and run by itself and under valgrind; or on a library that
//! AddressSanitizer watches, where `HCS_WATCHED_LIBRARY` names one (`cargo xtask test --full` makes it).

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use hcs_tests::{Service, binaries};

/// How a program is built.
#[derive(Clone, Copy, Debug)]
enum Build {
    /// `u"text"`, or `L"text"` under -fshort-wchar.
    C {
        short_wchar: bool,
    },
    Cpp {
        short_wchar: bool,
    },
}

const C: [Build; 2] = [Build::C { short_wchar: false }, Build::C { short_wchar: true }];
const CPP: [Build; 2] = [Build::Cpp { short_wchar: false }, Build::Cpp { short_wchar: true }];

/// What of the repository has this name.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The library that AddressSanitizer watches. Programs that use it must be watched too, and valgrind must not.
fn watched() -> Option<PathBuf> {
    env::var_os("HCS_WATCHED_LIBRARY").map(PathBuf::from)
}

/// A folder with the library under the names that the linker and the loader look for.
fn library(at: &Path) {
    let file = watched().unwrap_or_else(|| binaries::find("libcomputecore.so"));
    // Programs that name the library of storage get the same one.
    for name in ["libcomputecore.so", "libcomputecore.so.1", "libcomputestorage.so", "libvmdevicehost.so"] {
        symlink(&file, at.join(name)).expect("linking to the library");
    }
}

/// Builds a program.
fn build(source: &str, how: Build, at: &Path) -> PathBuf {
    let (compiler, standard, short_wchar) = match how {
        Build::C { short_wchar } => ("cc", "-std=c11", short_wchar),
        Build::Cpp { short_wchar } => ("c++", "-std=c++17", short_wchar),
    };
    let program = at.join(source.replace('.', "-"));
    let mut command = Command::new(compiler);
    command
        .args([standard, "-g", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(folder("apps/capi/include"));
    if short_wchar {
        command.arg("-fshort-wchar");
    }
    if watched().is_some() {
        command.args(["-fsanitize=address", "-fno-omit-frame-pointer"]);
    }
    let library = match source {
        "storage.c" => "-lcomputestorage",
        "hdv_misuse.c" | "sensor_device.c" => "-lvmdevicehost",
        _ => "-lcomputecore",
    };
    let built = command
        .arg(folder("tests/c").join(source))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(at)
        .args([library, "-lpthread"])
        .output()
        .expect("running the compiler");
    assert!(built.status.success(), "{source} {how:?}: {}", said(&built));
    program
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Builds a program that others run, in a folder that goes with its service.
pub fn program(service: &Service, source: &str) -> (PathBuf, PathBuf) {
    let at = place(service);
    (build(source, Build::C { short_wchar: false }, &at), at)
}

/// One more in the same folder.
pub fn build_in(at: &Path, source: &str) -> PathBuf {
    build(source, Build::C { short_wchar: false }, at)
}

/// A folder with the library, which goes with its service.
pub fn place(service: &Service) -> PathBuf {
    let at = service.root().join("c");
    fs::create_dir(&at).expect("a folder");
    library(&at);
    at
}

/// Builds a program as its users do, of a source that is anywhere, with arguments of its own.
pub fn build_from(source: &Path, arguments: &[String], at: &Path) -> PathBuf {
    let program = at.join(source.file_stem().expect("a name"));
    let built = Command::new("cc")
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(folder("apps/capi/include"))
        .args(arguments)
        .arg(source)
        .args(["-o".as_ref(), program.as_os_str(), "-L".as_ref(), at.as_os_str()])
        .arg("-lcomputecore")
        .output()
        .expect("running the compiler");
    assert!(built.status.success(), "{}: {}", source.display(), said(&built));
    program
}

/// Builds and runs a program in each way, also under valgrind.
fn passes(source: &str, builds: [Build; 2]) {
    passes_under(source, builds, &[false, true]);
}

fn passes_under(source: &str, builds: [Build; 2], valgrind: &[bool]) {
    let service = Service::start();
    let at = place(&service);
    let valgrind: &[bool] = if watched().is_some() { &[false] } else { valgrind };
    for how in builds {
        let program = build(source, how, &at);
        let run = |mut command: Command| {
            let ended = command
                .env("LD_LIBRARY_PATH", &at)
                .env("HCS_SOCKET", service.socket())
                .env("HCS_ROOT", service.root())
                .env("HCS_TEST_ROOTFS", service.rootfs())
                .output()
                .expect("running the program");
            assert!(ended.status.success(), "{source} {how:?}: {:?}\n{}", ended.status, said(&ended));
        };
        for under in valgrind {
            if !under {
                run(Command::new(&program));
                continue;
            }
            let mut valgrind = Command::new("valgrind");
            valgrind
                .args(["-q", "--error-exitcode=99", "--leak-check=full"])
                // What a thread that lives until the end of the program holds is not lost.
                .args(["--show-leak-kinds=definite", "--errors-for-leak-kinds=definite", "--track-fds=no"])
                .arg(&program);
            run(valgrind);
        }
    }
    fs::remove_dir_all(&at).expect("removing the folder");
}

#[test]
fn structs_have_the_layout_that_windows_programs_know() {
    passes("layout.c", C);
}

#[test]
fn headers_can_be_included_twice_and_in_any_spelling() {
    passes("double_include.cpp", CPP);
}

#[test]
fn windows_functions_work_over_descriptors() {
    passes("win32.c", C);
}

#[test]
fn the_host_service_answers_c_programs() {
    passes("service.c", C);
}

#[test]
fn the_tutorial_runs_through_one_operation() {
    passes("tutorial.c", C);
}

#[test]
fn the_tutorial_runs_in_cpp() {
    passes("tutorial_cpp.cpp", CPP);
}

#[test]
fn processes_have_pipes_signals_and_exit_codes() {
    passes("exec.c", C);
}

#[test]
fn callbacks_come_once_and_close_waits_for_them() {
    passes("callbacks.c", C);
}

#[test]
fn layers_of_storage_are_made_used_and_removed() {
    // Valgrind does not know openat2.
    passes_under("storage.c", C, &[false]);
}

#[test]
fn handles_are_safe_in_every_state() {
    passes("lifetime.c", C);
}

#[test]
fn device_hosting_refuses_what_is_wrong_and_ends_cleanly() {
    passes("hdv_misuse.c", C);
}

/// The names in a version script.
fn listed() -> BTreeSet<String> {
    let map = fs::read_to_string(folder("apps/capi/computecore.map")).expect("the version script");
    let names = map.lines().map(str::trim).filter_map(|line| line.strip_suffix(';'));
    names.filter(|name| name.chars().all(char::is_alphanumeric)).map(str::to_owned).collect()
}

/// The functions that a header declares: lines that begin with a type and go on with `Name(`.
fn declared() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for header in ["ComputeCore.h", "ComputeStorage.h", "HcsPlatform.h", "HyperVDeviceVirtualization.h"] {
        let text = fs::read_to_string(folder("apps/capi/include").join(header)).expect("a header");
        for line in text.lines().filter(|line| !line.starts_with([' ', '#', '/', '*', '_', '}'])) {
            let is_other =
                ["typedef", "static", "extern", "DEFINE_"].iter().any(|word| line.starts_with(word));
            let Some((before, _)) = line.split_once('(').filter(|_| !is_other) else { continue };
            let name = before.rsplit([' ', '*']).next().unwrap_or_default();
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn the_library_exports_each_declared_function_in_its_version_and_nothing_else() {
    let nm = Command::new("nm")
        .args(["-D", "--defined-only", "--with-symbol-versions"])
        .arg(binaries::find("libcomputecore.so"))
        .output()
        .expect("running nm");
    assert!(nm.status.success(), "{}", said(&nm));
    let versions = ["HCS_1.0", "HCS_1.1"];
    let exported: BTreeSet<String> = String::from_utf8_lossy(&nm.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .map(|symbol| {
            symbol
                .split_once("@@")
                .filter(|(_, version)| versions.contains(version))
                .unwrap_or((symbol, ""))
                .0
        })
        .filter(|name| !versions.contains(name))
        .map(str::to_owned)
        .collect();
    assert_eq!(exported, listed());
    assert_eq!(exported, declared());
    let core = exported.iter().filter(|name| name.starts_with("Hcs")).count();
    assert_eq!(core, 44 + 7 + 12, "functions of the five groups, and those of storage");
    assert_eq!(exported.iter().filter(|name| name.starts_with("Hdv")).count(), 15, "those of devices");
}

/// What packages put below a prefix.
fn stage(prefix: &Path) {
    let lib = prefix.join("lib");
    fs::create_dir_all(lib.join("pkgconfig")).expect("a folder");
    library(&lib);
    fs::copy(folder("apps/capi/computecore.pc"), lib.join("pkgconfig/computecore.pc"))
        .expect("copying the .pc file");
    let include = prefix.join("include");
    fs::create_dir(&include).expect("a folder");
    symlink(fs::canonicalize(folder("apps/capi/include")).expect("the headers"), include.join("hcs"))
        .expect("linking to the headers");
}

#[test]
fn pkg_config_tells_all_that_a_program_needs() {
    let service = Service::start();
    let prefix = service.root().join("prefix");
    stage(&prefix);
    let pkg_config = |arguments: &[&str]| {
        let told = Command::new("pkg-config")
            .args(arguments)
            .arg("computecore")
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
            .output()
            .expect("running pkg-config");
        assert!(told.status.success(), "{}", said(&told));
        String::from_utf8(told.stdout).expect("text").trim().to_owned()
    };
    assert_eq!(pkg_config(&["--modversion"]), env!("CARGO_PKG_VERSION"));
    let flags = pkg_config(&["--cflags", "--libs"]);
    let program = prefix.join("tutorial");
    let built = Command::new("cc")
        .arg(folder("tests/c/tutorial.c"))
        .args(flags.split_whitespace())
        .args(["-o".as_ref(), program.as_os_str()])
        .output()
        .expect("running the compiler");
    assert!(built.status.success(), "{}", said(&built));
    let ended = Command::new(&program)
        .env("LD_LIBRARY_PATH", prefix.join("lib"))
        .env("HCS_SOCKET", service.socket())
        .env("HCS_TEST_ROOTFS", service.rootfs())
        .output()
        .expect("running the program");
    assert!(ended.status.success(), "{}", said(&ended));
}
