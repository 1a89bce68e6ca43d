//! Faults in what works without a service: the bringing in, writing and uniting of layers. The program that does it is
//! killed, or what it takes has run out. Afterwards the thing is there whole or not at all, nothing lies beside it, and
//! who tries again gets it.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

use hcs_tests::{
    binaries,
    faults::{Fault, Made, Step, Watch},
    folder::Folder,
    host, processes,
};

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
}

/// All of it, in a [`Workshop`].
pub const DEEDS: &[Deed] = &[
    Deed { name: "layer import", arguments: &["layer", "import", "made", "source.tar.gz"] },
    Deed { name: "layer export", arguments: &["layer", "export", "parent", "out"] },
    Deed { name: "layer attach", arguments: &["layer", "attach", "top", "parent"] },
    Deed { name: "layer detach", arguments: &["layer", "detach", "tied"] },
    Deed { name: "layer init", arguments: &["layer", "init", "empty"] },
    Deed { name: "layer remove", arguments: &["layer", "remove", "spare"] },
];

/// A folder in which things are done under a watch: with the archive `source.tar.gz`, the layers `parent` and `spare` that
/// were made of it, the writable layers `top` and `tied`, the second of which is attached, and the folder `out`.
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
}

impl Workshop {
    /// One in which nothing was done yet.
    pub fn new() -> Workshop {
        let folder = Folder::new();
        let at = |name: &str| folder.join(name);
        fs::create_dir_all(at("tree/etc/deep")).unwrap();
        fs::create_dir(at("out")).unwrap();
        fs::write(at("tree/etc/hosts"), "127.0.0.1 localhost\n").unwrap();
        fs::write(at("tree/etc/deep/large"), vec![7; 300 << 10]).unwrap();
        std::os::unix::fs::symlink("hosts", at("tree/etc/link")).unwrap();
        let text = |name: &str| at(name).display().to_string();
        let same = ["--mtime=@1", "--sort=name", "--owner=0", "--group=0"];
        let rest = ["-C", &text("tree"), "-czf", &text("source.tar.gz"), "."];
        host("tar", &[same.as_slice(), &rest].concat());
        fs::remove_dir_all(at("tree")).unwrap();
        let watch = Watch::new(folder.path());
        let shop = Workshop { folder, watch };
        for line in [
            ["import", "parent", "source.tar.gz"].as_slice(),
            &["import", "spare", "source.tar.gz"],
            &["init", "top"],
            &["init", "tied"],
            &["attach", "tied", "parent"],
        ] {
            let output = shop.hcs(&[&["layer"], line].concat()).output().unwrap();
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
            } else {
                Entry::File(fs::read(&path).unwrap())
            };
            picture.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
        }
        // Who uses a layer is noted there with the name of this folder, and counts only as long as it is so.
        picture.retain(|path, _| !path.starts_with("parent/users") && !path.starts_with("lib"));
        picture
    }

    /// The steps of a deed that nothing disturbs, and how the folder looks afterwards.
    pub fn record(&self, deed: &Deed) -> (Vec<Made>, Picture) {
        self.watch.record();
        let output = self.run(deed, |_| {}).unwrap();
        // What the test itself does before the program begins is no step of it.
        let is_of_program = |made: &Made| made.step.role == "hcs";
        let steps = self.watch.recorded().into_iter().filter(is_of_program).collect();
        assert!(output.status.success(), "{}: {}", deed.name, String::from_utf8_lossy(&output.stderr));
        (steps, self.looks_like())
    }

    /// Runs the program under the watch.
    fn run(&self, deed: &Deed, started: impl FnOnce(u32)) -> Result<Output, String> {
        let mut command = self.hcs(deed.arguments);
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
    let shop = Workshop::new();
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
    let output = shop.run(deed, |pid| identify.send(pid).unwrap_or_default())?;
    if !shop.watch.relent() {
        return Ok(Outcome::NotReached);
    }
    let after = shop.looks_like();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (is_done, is_undone) = (after == *whole, after == before);
    let told = if output.status.success() {
        if !is_done {
            return Err(format!("told as done, but {}", difference(whole, &after)));
        }
        "done".to_owned()
    } else if output.status.code().is_some() {
        let known = causes(wrong).iter().map(|cause| cause.name()).find(|name| said.contains(name));
        let Some(cause) = known else { return Err(format!("told as {said}")) };
        // A removal that has begun is finished by the next.
        if !is_undone && deed.name != "layer remove" {
            return Err(format!("told as {cause}, but {}", difference(&before, &after)));
        }
        cause.to_owned()
    } else {
        "killed".to_owned()
    };
    if !is_done {
        // Whatever the one before has left, the next does it.
        let again = shop.run(deed, |_| {})?;
        if !again.status.success() {
            return Err(format!("{told}, and the next: {}", String::from_utf8_lossy(&again.stderr)));
        }
        let now = shop.looks_like();
        if now != *whole {
            return Err(format!("{told}, and after the next {}", difference(whole, &now)));
        }
    }
    Ok(Outcome::Held(told))
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
