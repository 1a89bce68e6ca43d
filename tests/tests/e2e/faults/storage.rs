//! Faults in what works without a service: the bringing in, writing and uniting of layers, images, disks in files. The program that does it is
//! killed, or what it takes has run out. Afterwards the thing is there whole or not at all, nothing lies beside it, and
//! who tries again gets it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{OnceLock, mpsc},
    time::Duration,
};

use hcs::Cause;
use hcs_tests::{
    binaries,
    faults::{Fault, Made, Step, Watch},
    folder::Folder,
    host, processes,
};
use serde_json::json;

use super::{
    cell::{Outcome, Victim, Wrong},
    judge::causes,
};

/// How long it may take in which something goes wrong.
const HANGS: Duration = Duration::from_secs(20);

/// What is done.
pub struct Deed {
    /// Its name.
    pub name: &'static str,
    arguments: &'static [&'static str],
    /// What is done when it has failed, if not the same again.
    again: Option<&'static [&'static str]>,
    /// Whether it must not be done, whatever goes wrong.
    is_refused: bool,
}

const fn deed(name: &'static str, arguments: &'static [&'static str]) -> Deed {
    Deed { name, arguments, again: None, is_refused: false }
}

const fn refused(name: &'static str, arguments: &'static [&'static str]) -> Deed {
    Deed { name, arguments, again: None, is_refused: true }
}

/// All of it, in a [`Workshop`].
pub const DEEDS: &[Deed] = &[
    deed("layer import", &["layer", "import", "made", "source.tar.gz"]),
    deed("layer export", &["layer", "export", "parent", "out"]),
    deed("layer attach", &["layer", "attach", "top", "parent"]),
    deed("layer detach", &["layer", "detach", "tied"]),
    deed("layer init", &["layer", "init", "empty"]),
    deed("layer remove", &["layer", "remove", "spare"]),
    refused("layer remove in use", &["layer", "remove", "parent"]),
    deed("image import", &["image", "import", "new.tar"]),
    deed("image replace", &["image", "import", "new.tar", "--name", "kept"]),
    deed("image export", &["image", "export", "kept", "out/kept.tar"]),
    deed("image tag", &["image", "tag", "kept", "other"]),
    // The name goes first, and what is behind it is what nobody needs.
    Deed {
        name: "image remove",
        arguments: &["image", "remove", "kept"],
        again: Some(&["image", "prune"]),
        is_refused: false,
    },
    deed("image prune", &["image", "prune"]),
    deed("disk create", &["disk", "create", "new.raw", "8M"]),
    deed("disk mount", &["disk", "mount", "spare.img"]),
    deed("disk unmount", &["disk", "unmount", "used.img"]),
    refused("disk format in use", &["disk", "format", "used.img"]),
];

/// A folder in which things are done under a watch: with the archive `source.tar.gz`, the layers `parent` and `spare` that
/// were made of it, the writable layers `top` and `tied`, the second of which is attached, and the folder `out`; with the
/// archive `new.tar` of an image, and a store with the image `kept` and one that has no name any more; with the disks
/// `spare.img` and `used.img`, the second of which is mounted.
pub struct Workshop {
    folder: Folder,
    watch: Watch,
}

/// All that is in a folder, by path.
pub type Picture = BTreeMap<PathBuf, Entry>;

/// What it is, as far as it is the same each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Folder,
    File(Vec<u8>),
    Link(PathBuf),
    Other,
}

/// Whether something is another one each time, and says nothing.
fn differs(path: &Path) -> bool {
    // Who uses a layer is noted there with the name of this folder, and counts only as long as it is so.
    path.starts_with("parent/users")
        // The kernel's own, in the folder that a union gives it.
        || path.ends_with("work/work")
        || path == Path::new("lib/images/lock")
        // Superblocks know when they were mounted.
        || path.extension().is_some_and(|ending| ending == "img")
}

/// Where a disk has its place, whose name is a number.
fn disk_place(path: &Path) -> Option<PathBuf> {
    let below = path.strip_prefix("run/disks").ok()?;
    let mut parts = below.components();
    parts.next()?;
    Some(Path::new("run/disks/*").join(parts.as_path()))
}

/// What workshops are furnished with, made once.
fn pantry() -> &'static Path {
    static PANTRY: OnceLock<Folder> = OnceLock::new();
    let fill = || {
        let folder = Folder::new();
        let at = |name: &str| folder.join(name);
        fs::create_dir_all(at("tree/etc/deep")).unwrap();
        fs::write(at("tree/etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::write(at("tree/etc/deep/large"), vec![7; 300 << 10]).unwrap();
        std::os::unix::fs::symlink("hosts", at("tree/etc/link")).unwrap();
        pack(&at("source.tar.gz"), &at("tree"), "-czf");
        for name in ["new", "old", "kept"] {
            fs::write(at("tree/etc/hosts"), name).unwrap();
            image(&at(&format!("{name}.tar")), &at("tree"), name);
        }
        for name in ["spare.img", "used.img"] {
            fs::File::create(at(name)).unwrap().set_len(8 << 20).unwrap();
            let mut format = Command::new(binaries::find("hcs"));
            format.args(["disk", "format"]).arg(at(name)).env("HCS_ROOT", folder.path());
            assert!(format.status().unwrap().success());
        }
        folder
    };
    PANTRY.get_or_init(fill).path()
}

/// A tar of a folder, the same each time.
fn pack(archive: &Path, folder: &Path, how: &str) {
    let same = ["--mtime=@1", "--sort=name", "--owner=0", "--group=0"];
    let (archive, folder) = (archive.display().to_string(), folder.display().to_string());
    host("tar", &[same.as_slice(), &["-C", &folder, how, &archive, "."]].concat());
}

/// An image of one layer, with this tree, as docker saves it.
fn image(archive: &Path, tree: &Path, name: &str) {
    let parts = archive.with_extension("parts");
    fs::create_dir(&parts).unwrap();
    pack(&parts.join("layer.tar"), tree, "-cf");
    let sum = host("sha256sum", &[&parts.join("layer.tar").display().to_string()]);
    let diff_id = format!("sha256:{}", sum.split_whitespace().next().unwrap());
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    });
    fs::write(parts.join("config.json"), config.to_string()).unwrap();
    let manifest =
        json!([{"Config": "config.json", "RepoTags": [format!("{name}:latest")], "Layers": ["layer.tar"]}]);
    fs::write(parts.join("manifest.json"), manifest.to_string()).unwrap();
    pack(archive, &parts, "-cf");
    fs::remove_dir_all(&parts).unwrap();
}

impl Workshop {
    /// One in which nothing was done yet, and that has what these deeds need.
    pub fn new(deed: &Deed) -> Workshop {
        let folder = Folder::new();
        let at = |name: &str| folder.join(name);
        fs::create_dir(at("out")).unwrap();
        let watch = Watch::new(folder.path());
        let shop = Workshop { folder, watch };
        let of_layers: &[&[&str]] = &[
            &["layer", "import", "parent", "source.tar.gz"],
            &["layer", "import", "spare", "source.tar.gz"],
            &["layer", "init", "top"],
            &["layer", "init", "tied"],
            &["layer", "attach", "tied", "parent"],
        ];
        let of_images: &[&[&str]] =
            &[&["image", "import", "old.tar", "--name", "kept"], &["image", "import", "kept.tar"]];
        let of_disks: &[&[&str]] = &[&["disk", "mount", "used.img"]];
        let (files, lines) = match deed.arguments[0] {
            "layer" => (&["source.tar.gz"][..], of_layers),
            "image" => (&["new.tar", "old.tar", "kept.tar"][..], of_images),
            _ => (&["spare.img", "used.img"][..], of_disks),
        };
        for file in files {
            fs::copy(pantry().join(file), shop.folder.join(file)).unwrap();
        }
        for line in lines {
            let output = shop.hcs(line).output().unwrap();
            assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        shop
    }

    fn hcs(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::find("hcs"));
        command.args(arguments).current_dir(self.folder.path()).env("HCS_ROOT", self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn looks_like(&self) -> Picture {
        let root = self.folder.path();
        let (mut picture, mut left) = (Picture::new(), vec![root.to_owned()]);
        while let Some(path) = left.pop() {
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            let entry = if kind.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                Entry::Folder
            } else if kind.is_symlink() {
                Entry::Link(fs::read_link(&path).unwrap())
            } else if kind.is_file() {
                Entry::File(fs::read(&path).unwrap())
            } else {
                Entry::Other
            };
            let path = path.strip_prefix(root).unwrap();
            picture.insert(disk_place(path).unwrap_or_else(|| path.to_owned()), entry);
        }
        picture.retain(|path, _| !differs(path));
        picture
    }

    /// The steps of a deed that nothing disturbs, and how the folder looks afterwards.
    pub fn record(&self, deed: &Deed) -> (Vec<Made>, Picture) {
        self.watch.record();
        let output = self.run(deed.arguments, |_| {}).unwrap();
        // What the test itself does before the program begins is no step of it.
        let is_of_program = |made: &Made| made.step.role == "hcs";
        let steps = self.watch.recorded().into_iter().filter(is_of_program).collect();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), !deed.is_refused, "{}: {said}", deed.name);
        (steps, self.looks_like())
    }

    /// Runs the program under the watch.
    fn run(&self, arguments: &[&str], started: impl FnOnce(u32)) -> Result<Output, String> {
        let mut command = self.hcs(arguments);
        let mut child = self.watch.over(|| command.spawn()).map_err(|error| error.to_string())?;
        started(child.id());
        super::await_end(&mut child, HANGS)?;
        child.wait_with_output().map_err(|error| error.to_string())
    }
}

/// Tries one cell. `whole` is how a folder looks in which the deed was done.
pub fn cell(deed: &Deed, step: &Step, wrong: Wrong, whole: &Picture) -> Outcome {
    match try_cell(deed, step, wrong, whole) {
        Ok(outcome) => outcome,
        Err(broken) => Outcome::Broken(broken),
    }
}

fn try_cell(deed: &Deed, step: &Step, wrong: Wrong, whole: &Picture) -> Result<Outcome, String> {
    let shop = Workshop::new(deed);
    let before = shop.looks_like();
    let (identify, identified) = mpsc::channel();
    let fault = match wrong {
        Wrong::Kill(_) => Fault::Do(Box::new(move || {
            if let Ok(pid) = identified.recv_timeout(HANGS) {
                processes::kill_if_there(pid);
            }
        })),
        Wrong::FailOnce(error) => Fault::Fail { error, for_ever: false },
        Wrong::FailForEver(error) => Fault::Fail { error, for_ever: true },
        Wrong::Delay => Fault::Delay,
        Wrong::Cut => Fault::Cut,
    };
    shop.watch.strike_at(step.clone(), fault);
    let output = shop.run(deed.arguments, |pid| identify.send(pid).unwrap_or_default())?;
    if !shop.watch.relent() {
        return Ok(Outcome::NotReached);
    }
    let after = shop.looks_like();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (is_done, is_undone) = (after == *whole, is_as_before(&before, &after, wrong));
    let told = if output.status.success() {
        if !is_done || deed.is_refused {
            return Err(format!("told as done, but {}", difference(whole, &after)));
        }
        "done".to_owned()
    } else if output.status.code().is_some() {
        let refusal = deed.is_refused.then_some(Cause::InUse);
        let mut known = causes(wrong).iter().copied().chain(refusal).map(|cause| cause.name().to_owned());
        let known = known.find(|name| said.contains(name)).or_else(|| in_plain_words(wrong, &said));
        let Some(cause) = known else { return Err(format!("told as {said}")) };
        // A removal that has begun is finished by the next.
        if !is_undone && !matches!(deed.name, "layer remove" | "image remove" | "image prune") {
            return Err(format!("told as {cause}, but {}", difference(&before, &after)));
        }
        cause
    } else {
        "killed".to_owned()
    };
    if !is_done {
        // Whatever the one before has left, the next does it.
        let arguments = if before == after { deed.arguments } else { deed.again.unwrap_or(deed.arguments) };
        let again = shop.run(arguments, |_| {})?;
        if again.status.success() == deed.is_refused {
            return Err(format!("{told}, and the next: {}", String::from_utf8_lossy(&again.stderr)));
        }
        let now = shop.looks_like();
        if now != *whole {
            return Err(format!("{told}, and after the next {}", difference(whole, &now)));
        }
    }
    Ok(Outcome::Held(told))
}

/// What the command line itself has met with has the words of the system.
fn in_plain_words(wrong: Wrong, said: &str) -> Option<String> {
    let (Wrong::FailOnce(error) | Wrong::FailForEver(error)) = wrong else { return None };
    let words = io::Error::from_raw_os_error(error).to_string();
    said.contains(&words).then_some(words)
}

/// Whether nothing is there that was not, but layers that no image needs, and, where nothing can be opened for ever and so
/// nothing can be emptied, what was begun. The next removes both.
fn is_as_before(before: &Picture, after: &Picture, wrong: Wrong) -> bool {
    let is_begun = |path: &Path| {
        let mut names = path.iter().map(|name| name.to_string_lossy());
        wrong == Wrong::FailForEver(libc::EMFILE)
            && names.any(|name| name.starts_with('.') && name.ends_with(".partial"))
    };
    let same = |(path, entry): (&PathBuf, &Entry)| match before.get(path) {
        Some(old) => old == entry,
        None => path.starts_with("lib/images/layers") || is_begun(path),
    };
    after.iter().all(same) && before.keys().all(|path| after.contains_key(path))
}

/// What is there and should not be, and what should be and is not, or is another.
fn difference(expected: &Picture, found: &Picture) -> String {
    let only = |of: &Picture, not: &Picture| -> Vec<PathBuf> {
        of.iter()
            .filter(|(path, entry)| not.get(*path) != Some(entry))
            .map(|(path, _)| path.clone())
            .collect()
    };
    format!("found {:?}, expected {:?}", only(found, expected), only(expected, found))
}

/// Everything that can go wrong at a step of a program that works alone.
pub fn wrongs(made: &Made) -> Vec<Wrong> {
    let kill = made.has_effect.then_some(Wrong::Kill(Victim::Client));
    let fails = made.errors.iter().flat_map(|error| [Wrong::FailOnce(*error), Wrong::FailForEver(*error)]);
    kill.into_iter().chain(fails).collect()
}
