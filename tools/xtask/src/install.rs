//! Installs what is missing, and nothing else: Debian packages, parts of the Rust toolchain, cargo-deny, cargo-deb and
//! mdbook.
//!
//! These three go into the target folder at fixed versions, as does what `cargo xtask machines` builds, so that everybody
//! checks and packages with the same ones and the user's own tools are left alone. They are built without optimisation:
//! that takes half of the time, and what they do takes seconds either way. The tests run under plain `cargo test`, because
//! building cargo-nextest would add two to three minutes to every run on a fresh machine.

use crate::{Outcome, command::Line, host, workspace::Workspace};

/// What something is installed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The demonstration.
    Demo,
    /// The tests.
    Test,
    /// The measurements: what the tests need, and what is measured beside.
    Bench,
}

/// A Debian package, and how to see that what we want of it is there, wherever it came from.
struct Need {
    package: &'static str,
    is_met: fn() -> bool,
}

const DEMO: &[Need] = &[
    // The order matters: the second is asked of the first.
    Need { package: "gcc", is_met: || host::program("cc").is_some() },
    Need { package: "libc6-dev", is_met: host::has_static_libc },
    Need { package: "busybox-static", is_met: || host::static_busybox().is_some() },
    Need { package: "patchelf", is_met: || host::program("patchelf").is_some() },
    Need { package: "kmod", is_met: || host::program("depmod").is_some() },
    Need { package: "xz-utils", is_met: || host::program("xz").is_some() },
    Need { package: "pciutils", is_met: || host::program("lspci").is_some() },
];

const TEST: &[Need] = &[
    Need { package: "g++", is_met: || host::program("c++").is_some() },
    Need { package: "valgrind", is_met: || host::program("valgrind").is_some() },
    Need { package: "python3", is_met: || host::program("python3").is_some() },
    Need { package: "pkg-config", is_met: || host::program("pkg-config").is_some() },
    Need { package: "iproute2", is_met: || host::program("ip").is_some() },
    Need { package: "groff-base", is_met: || host::program("groff").is_some() },
    Need { package: "nftables", is_met: || host::program("nft").is_some() },
    Need { package: "passt", is_met: || host::program("pasta").is_some() },
    Need { package: "e2fsprogs", is_met: || host::program("mke2fs").is_some() },
    Need { package: "fdisk", is_met: || host::program("sfdisk").is_some() },
    Need { package: "qemu-utils", is_met: || host::program("qemu-storage-daemon").is_some() },
    Need { package: "skopeo", is_met: || host::program("skopeo").is_some() },
    Need { package: "umoci", is_met: || host::program("umoci").is_some() },
    Need { package: "crun", is_met: || host::program("crun").is_some() },
    Need { package: "acl", is_met: || host::program("getfacl").is_some() },
    Need { package: "binutils", is_met: || host::program("nm").is_some() },
    // What a virtual machine boots by UEFI, and what reads the memory of one that has crashed.
    Need { package: "systemd-boot-efi", is_met: || std::path::Path::new(host::EFI_STUB).is_file() },
    Need { package: "mtools", is_met: || host::program("mcopy").is_some() },
    // What packages are made with, and what reads their units.
    Need { package: "dpkg-dev", is_met: || host::program("dpkg-shlibdeps").is_some() },
    Need { package: "systemd", is_met: || host::program("systemd-analyze").is_some() },
    Need { package: "gdb", is_met: || host::program("gdb").is_some() },
];

/// Youki is in no release of Debian, and measured beside where somebody has installed it.
const BENCH: &[Need] = &[
    Need { package: "runc", is_met: || host::program("runc").is_some() },
    Need { package: "containerd", is_met: || host::program("containerd").is_some() },
];

/// A tool that Cargo builds.
struct Tool {
    name: &'static str,
    version: &'static str,
    /// How many seconds that takes on two processors.
    takes: u32,
}

const TOOLS: &[Tool] = &[
    Tool { name: "cargo-deny", version: "0.20.2", takes: 60 },
    Tool { name: "cargo-deb", version: "3.8.0", takes: 30 },
    Tool { name: "mdbook", version: "0.5.4", takes: 30 },
];

/// Installs.
pub fn run(purpose: Purpose) -> Outcome {
    let needs: &[&[Need]] = match purpose {
        Purpose::Demo => &[DEMO],
        Purpose::Test => &[DEMO, TEST],
        Purpose::Bench => &[DEMO, TEST, BENCH],
    };
    let needs = needs.iter().copied().flatten();
    let missing: Vec<&str> = needs.filter(|need| !(need.is_met)()).map(|need| need.package).collect();
    install_packages(&missing)?;
    if purpose == Purpose::Test {
        let workspace = Workspace::load()?;
        install_component(&workspace, "rustfmt", "cargo fmt --version")?;
        install_component(&workspace, "clippy", "cargo clippy --version")?;
        install_tools(&workspace)?;
    }
    Ok(())
}

/// Puts tools into the target folder's `tools/bin`.
fn install_tools(workspace: &Workspace) -> Outcome {
    for tool in TOOLS {
        install_tool(workspace, tool)?;
    }
    // Kept until here, because they have many crates in common.
    let built = build_folder(workspace);
    if built.exists() {
        std::fs::remove_dir_all(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    }
    Ok(())
}

fn install_packages(missing: &[&str]) -> Outcome {
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    if host::program("apt-get").is_none() {
        return Err(format!(
            "these are missing, and there is no apt-get to install them (names of Debian packages): {}",
            missing.join(" ")
        ));
    }
    if !host::is_root() {
        return Err(format!("these are missing: {}; install them: sudo {install}", missing.join(" ")));
    }
    println!("installing {}", missing.join(", "));
    let root = std::path::Path::new("/");
    if let Err(error) = Line::of("apt-get update -qq").run(root) {
        // What the machine knows of packages may still be good enough.
        eprintln!("{error}");
    }
    Line::of(&install).with("DEBIAN_FRONTEND", "noninteractive".as_ref()).run(root)
}

fn install_component(workspace: &Workspace, component: &str, sign: &str) -> Outcome {
    if Line::of(sign).succeeds() {
        return Ok(());
    }
    if host::program("rustup").is_none() {
        return Err(format!("{component} is missing; install that part of your Rust toolchain"));
    }
    Line::of(&format!("rustup component add {component}")).run(&workspace.root)
}

fn install_tool(workspace: &Workspace, tool: &Tool) -> Outcome {
    let &Tool { name, version: wanted, takes } = tool;
    let tools = workspace.tools();
    let program = tools.join("bin").join(name);
    let version = Line::new([program.display().to_string().as_str(), "--version"]);
    if program.exists() && version.output(&workspace.root)?.trim().ends_with(wanted) {
        return Ok(());
    }
    println!("building {name} {wanted}, about {takes} seconds on two processors");
    let install = "cargo install --quiet --locked --debug --no-default-features --force --version";
    let root = tools.display().to_string();
    Line::new(install.split(' ').chain([wanted, "--root", &root, name]))
        // Beside our own build, or Cargo would see two workspaces take turns in one folder.
        .with("CARGO_TARGET_DIR", &build_folder(workspace))
        // Nobody looks into these programs with a debugger, and they are a tenth of the size.
        .with("CARGO_PROFILE_DEV_DEBUG", "0".as_ref())
        .run(&workspace.root)
}

fn build_folder(workspace: &Workspace) -> std::path::PathBuf {
    workspace.tools().join("build")
}
