//! What virtual machines of the tests are made of: the QEMU and the kernel that `cargo xtask machines` has fetched, and a
//! small system of busybox that runs a script and speaks through the first serial port.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, Instant},
};

use hcs::schema;
use hcs_initrd::{Archive, Image, Modules};

use crate::{binaries, counts, host};

/// Where it was fetched to: below the target folder that this program is in, or where a link there leads. QEMU sees only what
/// lies beside it, so it is called by its own path. Tests of containers need nothing of it.
fn fetched_if_there() -> Option<PathBuf> {
    let own = std::env::current_exe().expect("the program's own path");
    let place = own.ancestors().map(|folder| folder.join("tools/machines")).find(|place| place.is_dir());
    place.and_then(|place| place.canonicalize().ok())
}

fn fetched() -> PathBuf {
    fetched_if_there().expect("QEMU; `cargo xtask machines` fetches it")
}

fn qemu_in(fetched: PathBuf) -> PathBuf {
    fetched.join("usr/bin/qemu-system-x86_64")
}

/// QEMU.
pub fn qemu() -> PathBuf {
    qemu_in(fetched())
}

/// The same, if it is there.
pub fn qemu_if_there() -> Option<PathBuf> {
    fetched_if_there().map(qemu_in)
}

/// Where the kernel for clouds is, which most guests have, and the one for all machines.
const FOR_CLOUDS: &str = "kernel";
const FOR_ALL: &str = "generic";

/// Modules of the kernel that every guest loads; what they need comes with them.
const MODULES: &[&str] = &["virtio_scsi", "sd_mod", "sr_mod", "isofs", "pvpanic-pci", "button", "evdev"];

/// Modules that a script loads by `load NAME`.
const MORE_MODULES: &[&str] = &[
    "virtio_net",
    "af_packet",
    "virtio_balloon",
    "virtio_mem",
    "virtio_input",
    "nfit",
    "nd_pmem",
    "efivarfs",
];

/// A script that does what is typed, line by line, and says how each has ended. What the kernel says below an emergency would
/// come between.
pub const SHELL: &str = "echo 1 >/proc/sys/kernel/printk; echo ready; \
    while read -r line; do eval \"$line\"; code=$?; echo; echo \"=$code\"; done";

const COMMAND_LINE: &str = "console=ttyS0 quiet panic=-1 cryptomgr.notests mitigations=off no_timer_check";

/// A system to be booted, in a folder that machines may read.
pub struct Guest {
    folder: PathBuf,
    /// The kernel that is booted directly.
    kernel: &'static str,
}

/// The kernel as Debian has it: packed.
const PACKED: &str = "kernel";
/// The same unpacked. A guest without KVM takes a second to unpack it, a quarter of its start.
const UNPACKED: &str = "vmlinux";

impl Guest {
    /// Makes one that runs a script when it has booted. What the script says is heard at the serial port.
    pub fn make(folder: &Path, script: &str) -> Guest {
        let folder = folder.join("guest");
        fs::create_dir_all(&folder).expect("a folder for the guest");
        let guest = Guest::in_folder(folder);
        fs::write(guest.initrd(), initrd(script)).expect("writing the initrd");
        guest.open_to_machines();
        guest
    }

    /// Makes a utility machine: its init is the agent, and beside it there is what lies in this folder.
    pub fn utility(folder: &Path, tree: &Path) -> Guest {
        Guest::utility_with(folder, tree, &[])
    }

    /// The same, in which these modules are loaded too.
    pub fn utility_with(folder: &Path, tree: &Path, modules: &[&str]) -> Guest {
        let folder = folder.join("guest");
        fs::create_dir_all(&folder).expect("a folder for the guest");
        Guest::in_folder(folder).filled(FOR_CLOUDS, tree, modules)
    }

    /// The same with the kernel that Debian has for all machines, which knows 9P.
    pub fn of_all_machines(folder: &Path, tree: &Path) -> Guest {
        let folder = folder.join("guest");
        fs::create_dir_all(&folder).expect("a folder for the guest");
        fs::copy(kernel(FOR_ALL), folder.join(PACKED)).expect("copying the kernel");
        Guest { folder, kernel: PACKED }.filled(FOR_ALL, tree, &[])
    }

    fn filled(self, flavour: &str, tree: &Path, modules: &[&str]) -> Guest {
        // Also as the root file system of containers in it.
        let trees = self.folder.join("trees");
        fs::create_dir_all(&trees).expect("a folder for the guest's files");
        host("cp", &["-a", &tree.display().to_string(), &trees.join("rootfs").display().to_string()]);
        let image = Image {
            kernel: kernel(flavour),
            modules: modules_folder(flavour),
            agent: agent(&self.folder),
            more_modules: modules.iter().map(|name| (*name).to_owned()).collect(),
            trees: vec![tree.to_owned(), trees.clone()],
        };
        // As `Image::build` does it, but packed quickly: it takes most of the time that such a test would.
        let archive = image.archive().expect("building the image");
        let packed = zstd::bulk::compress(&archive, 1).expect("packing the image");
        fs::write(self.initrd(), packed).expect("writing the image");
        self.open_to_machines();
        self
    }

    /// The same, in which the agent is not the init but a program that this script runs.
    pub fn with_init(folder: &Path, tree: &Path, script: &str) -> Guest {
        let over = folder.join("over");
        host("cp", &["-a", &tree.display().to_string(), &over.display().to_string()]);
        agent(&over.join("bin"));
        let init = over.join("init");
        fs::write(&init, format!("#!/bin/sh\n{script}\n")).expect("writing the init");
        fs::set_permissions(init, fs::Permissions::from_mode(0o755)).expect("rights of the init");
        Guest::utility(folder, &over)
    }

    fn in_folder(folder: PathBuf) -> Guest {
        fs::copy(kernel(FOR_CLOUDS), folder.join(PACKED)).expect("copying the kernel");
        fs::copy(unpacked_kernel(), folder.join(UNPACKED)).expect("copying the kernel");
        Guest { folder, kernel: UNPACKED }
    }

    /// The same with the kernel as users have it.
    pub fn with_packed_kernel(self) -> Guest {
        Guest { kernel: PACKED, ..self }
    }

    fn open_to_machines(&self) {
        let all = [self.folder.join(PACKED), self.folder.join(UNPACKED), self.initrd()];
        for file in all.into_iter().filter(|file| file.exists()) {
            fs::set_permissions(file, fs::Permissions::from_mode(0o644))
                .expect("rights of the guest's files");
        }
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn initrd(&self) -> PathBuf {
        self.folder.join("initrd")
    }

    /// Where its serial port is.
    pub fn port(&self) -> PathBuf {
        self.folder.join("com1")
    }

    /// A program of UEFI that boots it.
    pub fn efi_program(&self) -> PathBuf {
        const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
        let (program, line) = (self.folder.join("guest.efi"), self.folder.join("line"));
        fs::write(&line, COMMAND_LINE).expect("writing the command line");
        // Behind one another, and behind what is in the stub.
        let mut address = 1u64 << 20;
        let mut arguments = Vec::new();
        let kernel = self.folder.join(PACKED);
        for (section, file) in [(".cmdline", &line), (".linux", &kernel), (".initrd", &self.initrd())] {
            arguments.extend(["--add-section".to_owned(), format!("{section}={}", file.display())]);
            arguments.extend(["--change-section-vma".to_owned(), format!("{section}={address:#x}")]);
            address += fs::metadata(file).expect("a part of the program").len().next_multiple_of(1 << 20);
        }
        arguments.extend([STUB.to_owned(), program.display().to_string()]);
        host("objcopy", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        program
    }

    /// A disk from which UEFI boots it.
    pub fn efi_disk(&self) -> PathBuf {
        let disk = self.folder.join("efi.img");
        let (text, program) = (disk.display().to_string(), self.efi_program().display().to_string());
        fs::File::create(&disk).and_then(|file| file.set_len(64 << 20)).expect("making a disk");
        host("mformat", &["-i", &text, "-F", "::"]);
        host("mmd", &["-i", &text, "::/EFI", "::/EFI/BOOT"]);
        host("mcopy", &["-i", &text, &program, "::/EFI/BOOT/BOOTX64.EFI"]);
        fs::set_permissions(&disk, fs::Permissions::from_mode(0o666)).expect("rights of the disk");
        disk
    }

    /// Firmware that boots it from its folder.
    pub fn uefi(&self) -> schema::Uefi {
        let entry = schema::UefiBootEntry::default()
            .device_type(schema::UefiBootDevice::VmbFs)
            .vmbfs_root_path(self.folder.display().to_string())
            .device_path("\\kernel")
            .optional_data("initrd=\\initrd console=ttyS0 quiet");
        schema::Uefi::default().boot_this(entry)
    }

    /// A machine that boots it.
    pub fn document(&self) -> schema::ComputeSystem {
        let text = |path: PathBuf| path.display().to_string();
        let kernel = schema::LinuxKernelDirect::default()
            .kernel_file_path(text(self.folder.join(self.kernel)))
            .init_rd_path(text(self.initrd()))
            .kernel_cmd_line(format!("{COMMAND_LINE}{}", counts::on_the_command_line()));
        let port = schema::ComPort::default().named_pipe(text(self.port()));
        let machine = schema::VirtualMachine::default()
            .chipset(schema::Chipset::default().linux_kernel_direct(kernel))
            .compute_topology(
                schema::Topology::default()
                    .memory(schema::VirtualMachineMemory::default().size_in_mb(192u64))
                    .processor(schema::VirtualMachineProcessor::default().count(1u32)),
            )
            .devices(schema::Devices::default().com_ports([("0".to_owned(), port)]));
        schema::ComputeSystem::default()
            .owner("tests")
            .schema_version(schema::Version::default().major(2u32).minor(1u32))
            .should_terminate_on_last_handle_closed(true)
            .virtual_machine(machine)
    }

    /// The same, with something changed.
    pub fn document_with(
        &self,
        change: impl FnOnce(schema::VirtualMachine) -> schema::VirtualMachine,
    ) -> schema::ComputeSystem {
        let mut document = self.document();
        document.virtual_machine = document.virtual_machine.map(change);
        document
    }

    /// Connects to the serial port of a machine that runs.
    pub fn console(&self) -> Console {
        Console::at(&self.port())
    }
}

/// A machine with so many MiB of memory instead.
pub fn with_memory(machine: schema::VirtualMachine, mib: u64) -> schema::VirtualMachine {
    let mut topology = machine.compute_topology.clone().unwrap_or_default();
    topology.memory = Some(topology.memory.unwrap_or_default().size_in_mb(mib));
    machine.compute_topology(topology)
}

/// The other end of a serial port.
pub struct Console {
    stream: UnixStream,
    said: String,
}

impl Console {
    /// Connects to a socket.
    pub fn at(socket: &Path) -> Console {
        let stream = UnixStream::connect(socket).expect("connecting to the serial port");
        Console { stream, said: String::new() }
    }

    /// Waits until the guest has said this; what it has said up to there since the last time.
    pub fn until(&mut self, text: &str) -> String {
        /// A boot takes three seconds on a machine that has nothing else to do.
        const PATIENCE: Duration = Duration::from_secs(90);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.said.find(text) {
                let rest = self.said.split_off(at + text.len());
                return std::mem::replace(&mut self.said, rest);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the guest has not said {text:?}, but: {}", self.said);
            self.stream.set_read_timeout(Some(left)).expect("a time limit");
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the guest has hung up; it has not said {text:?}, but: {}", self.said),
                Ok(length) => self.said += &String::from_utf8_lossy(&buffer[..length]).replace('\r', ""),
                Err(error) => assert!(
                    matches!(error.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock),
                    "{error}"
                ),
            }
        }
    }

    /// Hears the guest until it hangs up; all that it has said.
    pub fn to_the_end(&mut self) -> String {
        self.stream.set_read_timeout(None).expect("no time limit");
        let mut bytes = Vec::new();
        // A machine that is killed resets the connection.
        let _ = self.stream.read_to_end(&mut bytes);
        std::mem::take(&mut self.said) + &String::from_utf8_lossy(&bytes)
    }

    /// Whether the guest says anything in this time.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            self.stream.set_read_timeout(Some(left)).expect("a time limit");
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(length) => {
                    self.said += &String::from_utf8_lossy(&buffer[..length]);
                    return false;
                }
                // A time limit makes the kernel give up where it would go on, for instance when a debugger looks.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return true,
            }
        }
    }

    /// Takes what has been said and not been looked at.
    pub fn drain(&mut self) {
        while !self.is_silent_for(Duration::from_millis(50)) {}
        self.said.clear();
    }

    /// Has [`SHELL`] do something that succeeds; what it has said.
    pub fn run(&mut self, line: &str) -> String {
        println!("typed: {line}");
        self.type_line(line);
        let mut said = self.until("\n=");
        let code = self.until("\n");
        said.truncate(said.len() - 2);
        assert_eq!(code.trim(), "0", "{line}: {said}");
        said
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).expect("typing");
    }
}

/// An archive of the kernel's form: busybox, modules, and what runs them.
fn initrd(script: &str) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "proc", "sys", "modules", "tmp", "mnt"] {
        archive.folder(folder);
    }
    archive.file("bin/busybox", 0o755, &fs::read("/bin/busybox").expect("busybox"));
    archive.link("bin/sh", "busybox");
    let kernel = Modules::find(&modules_folder(FOR_CLOUDS)).expect("modules of the kernel");
    let mut packed = Vec::new();
    for name in MODULES.iter().chain(MORE_MODULES) {
        let modules = kernel.with_needs(&[name]).expect("a module and what it needs");
        let list: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
        archive.file(&format!("modules/{name}.list"), 0o644, list.join("\n").as_bytes());
        for module in modules {
            if !packed.contains(&module.name) {
                archive.file(&format!("modules/{}", module.name), 0o644, &module.content);
                packed.push(module.name);
            }
        }
    }
    let wanted = MODULES.join(" ");
    let init = format!(
        "#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
load() {{ for module in $(cat /modules/$1.list); do insmod /modules/$module 2>/dev/null; done; }}
for name in {wanted}; do load $name; done
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -echo
{script}
"
    );
    archive.file("init", 0o755, init.as_bytes());
    archive.finish()
}

/// Where the kernel's modules are.
fn modules_folder(kernel: &str) -> PathBuf {
    fs::read_dir(fetched().join(kernel).join("usr/lib/modules"))
        .expect("the modules; `cargo xtask machines` fetches them")
        .flatten()
        .next()
        .expect("modules of a kernel")
        .path()
}

/// The kernel that was fetched.
fn kernel(kernel: &str) -> PathBuf {
    fs::read_dir(fetched().join(kernel).join("boot"))
        .expect("the kernel; `cargo xtask machines` fetches it")
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("vmlinuz"))
        .expect("a kernel")
        .path()
}

/// What is packed in that, made when it is needed for the first time.
fn unpacked_kernel() -> &'static Path {
    const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let place = fetched().join("kernel/vmlinux");
        if !place.exists() {
            let image = fs::read(kernel(FOR_CLOUDS)).expect("the kernel");
            let begin =
                image.windows(4).position(|bytes| bytes == ZSTD).expect("a kernel that zstd has packed");
            let mut packed =
                zstd::Decoder::new(&image[begin..]).expect("unpacking the kernel").single_frame();
            // Others may be at it too, and may be killed.
            let own = place.with_extension(std::process::id().to_string());
            let mut file = fs::File::create(&own).expect("a file for the kernel");
            std::io::copy(&mut packed, &mut file).expect("unpacking the kernel");
            fs::rename(&own, &place).expect("a place for the kernel");
        }
        place
    })
}

/// What an image of a utility machine is made of: a kernel, its modules, and the agent, which is put into this folder.
pub fn parts(folder: &Path) -> [PathBuf; 3] {
    [kernel(FOR_CLOUDS), modules_folder(FOR_CLOUDS), agent(folder)]
}

/// The agent as it is shipped, without what only debuggers read.
fn agent(folder: &Path) -> PathBuf {
    let stripped = folder.join("hcs-guest");
    let (from, to) = (binaries::find("hcs-guest").display().to_string(), stripped.display().to_string());
    host("strip", &["-s", "-o", &to, &from]);
    stripped
}
