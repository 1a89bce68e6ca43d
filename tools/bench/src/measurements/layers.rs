//! Layers: one of 300 MB in 20,000 files is imported and exported, beside GNU tar, umoci and containerd, each followed
//! by a sync of the file system; and twenty layers are attached.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use hcs::{
    schema::{Layer, LayerData},
    storage,
};
use hcs_tests::binaries;

use crate::{Outcome, containerd::Containerd, figures::Figure, report::Report, samples::Samples};

const FILES: usize = 20_000;
const BYTES: usize = 300 << 20;
const ROUNDS: usize = 5;
const ATTACHED: usize = 20;

/// Measures.
pub fn measure(report: &mut Report) -> Outcome {
    report.has("tar");
    let work = Work::prepare(report)?;
    let (tar, archive) = (work.path("layer.tar.gz"), work.path("image.tar"));
    let hcs = binaries::find("hcs");
    let image = format!("{}:layer", work.path("layout").display());
    let mut import = vec![
        Contestant::new("tar xzf", {
            let tar = tar.clone();
            move |to| {
                fs::create_dir(to)?;
                run(Command::new("tar").arg("-xzf").arg(&tar).arg("-C").arg(to))
            }
        }),
        Contestant::new("umoci unpack", move |to| {
            run(Command::new("umoci").args(["unpack", "--image", &image]).arg(to))
        }),
        Contestant::ours("a layer", {
            let hcs = hcs.clone();
            move |to| run(Command::new(&hcs).args(["layer", "import"]).arg(to).arg(&tar))
        }),
        Contestant::ours("an image", {
            let (hcs, archive) = (hcs.clone(), archive.clone());
            move |to| run(Command::new(&hcs).args(["image", "import"]).arg(&archive).env("HCS_ROOT", to))
        }),
    ];
    if let Some(containerd) = &work.containerd {
        let socket = containerd.socket.clone();
        import.push(Contestant::new("ctr image import", move |to| {
            // Another namespace has nothing of it yet.
            let namespace = to.file_name().and_then(|name| name.to_str()).unwrap_or("default");
            let mut ctr = Command::new("ctr");
            ctr.arg("-a").arg(&socket).args(["-n", namespace, "image", "import"]).arg(&archive);
            run(&mut ctr)
        }));
    }
    contest(report, "import", import, &work)?;

    let source = work.path("tree");
    run(Command::new(&hcs).args(["layer", "import"]).arg(work.path("layer")).arg(&source))?;
    let layer = work.path("layer");
    let export = vec![
        Contestant::new("tar czf", move |to| {
            fs::create_dir(to)?;
            run(Command::new("tar").arg("-czf").arg(to.join("layer.tar.gz")).arg("-C").arg(&source).arg("."))
        }),
        Contestant::ours("a layer", move |to| {
            fs::create_dir(to)?;
            run(Command::new(&hcs).args(["layer", "export", "--compression", "gzip"]).arg(&layer).arg(to))
        }),
    ];
    contest(report, "export", export, &work)?;
    attach(report, &work)
}

/// Somebody who does it, into a place where nothing is.
struct Contestant {
    name: &'static str,
    is_ours: bool,
    act: Box<dyn Fn(&Path) -> Outcome>,
}

impl Contestant {
    fn new(name: &'static str, act: impl Fn(&Path) -> Outcome + 'static) -> Contestant {
        Contestant { name, is_ours: false, act: Box::new(act) }
    }

    fn ours(name: &'static str, act: impl Fn(&Path) -> Outcome + 'static) -> Contestant {
        Contestant { is_ours: true, ..Contestant::new(name, act) }
    }
}

/// All take turns; ours beside the quickest other.
fn contest(report: &mut Report, kind: &str, contestants: Vec<Contestant>, work: &Work) -> Outcome {
    let mut walls: Vec<Samples> = contestants.iter().map(|_| Samples::default()).collect();
    for round in 0..=ROUNDS {
        for (number, (contestant, walls)) in contestants.iter().zip(&mut walls).enumerate() {
            // Nothing is removed before the end: a disk that is told of what is free again is slow for seconds.
            let target = work.path(&format!("{kind}-{round}-{number}"));
            run(&mut Command::new("sync"))?;
            let began = Instant::now();
            (contestant.act)(&target)?;
            run(Command::new("sync").arg("-f").arg(&work.folder))?;
            // The first round only warms up.
            if round > 0 {
                walls.add(began.elapsed());
            }
        }
    }
    let (ours, mut others): (Vec<_>, Vec<_>) =
        contestants.iter().zip(&walls).partition(|(contestant, _)| contestant.is_ours);
    others.sort_by_key(|(_, walls)| walls.median());
    for (contestant, walls) in ours {
        for (place, (other, of_other)) in others.iter().enumerate() {
            let name = format!("{kind} of {} MB in {FILES} files, gzip, as {}", BYTES >> 20, contestant.name);
            let figure = Figure::new(name, walls).beside(other.name, *of_other);
            let is_quickest = place == 0;
            report.note(if is_quickest { figure.promised(&format!("layer-{kind}"))? } else { figure });
        }
    }
    Ok(())
}

/// Twenty layers over each other, attached again and again.
fn attach(report: &mut Report, work: &Work) -> Outcome {
    const TIMES: usize = 200;
    let mut layers = Vec::new();
    for number in 0..ATTACHED {
        let (source, layer) = (work.path(&format!("source-{number}")), work.path(&format!("layer-{number}")));
        fs::create_dir(&source)?;
        fs::write(source.join(format!("file-{number}")), "")?;
        storage::import_layer(&layer, &source)?;
        layers.push(Layer::default().path(layer.display().to_string()));
    }
    let (scratch, parents) = (work.path("scratch"), LayerData::default().layers(layers));
    storage::initialize_writable_layer(&scratch)?;
    let mut walls = Samples::default();
    for _ in 0..TIMES {
        walls.time(|| storage::attach_layers(&scratch, &parents))?;
        storage::detach_layers(&scratch)?;
    }
    report.note(Figure::new(format!("{ATTACHED} layers attached"), &walls).promised("layer-attach")?);
    Ok(())
}

/// What everybody works on, in a folder on the disk.
struct Work {
    folder: PathBuf,
    containerd: Option<Containerd>,
}

impl Work {
    fn prepare(report: &mut Report) -> Outcome<Work> {
        let folder = std::env::temp_dir().join(format!("hcs-bench-layers-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let mut work = Work { folder, containerd: None };
        let tree = work.path("tree");
        fill(&tree)?;
        let (tar, gzip) = (work.path("layer.tar"), work.path("layer.tar.gz"));
        run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&tree).arg("."))?;
        fs::write(&gzip, "")?;
        run(Command::new("sh").arg("-c").arg("gzip -c \"$0\" >\"$1\"").arg(&tar).arg(&gzip))?;
        // Those who take images get one of the same layer.
        if !report.has("umoci") {
            return Err("umoci is needed to make the image that is imported".into());
        }
        let layout = work.path("layout");
        let image = format!("{}:layer", layout.display());
        run(Command::new("umoci").args(["init", "--layout"]).arg(&layout))?;
        run(Command::new("umoci").args(["new", "--image", &image]))?;
        run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(&tar))?;
        run(Command::new("tar").arg("-cf").arg(work.path("image.tar")).arg("-C").arg(&layout).arg("."))?;
        fs::remove_file(&tar)?;
        if report.has("containerd") {
            work.containerd = Some(Containerd::start(&work.folder)?);
        }
        Ok(work)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.containerd = None;
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Files as a distribution has them: text, with a part that cannot be compressed.
fn fill(tree: &Path) -> Outcome {
    const FOLDERS: usize = 400;
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let words: Vec<String> = (0..2000).map(|_| format!("{:x} ", next() % 0xff_ffff)).collect();
    for number in 0..FILES {
        let folder = tree.join(format!("folder-{}/below", number % FOLDERS));
        fs::create_dir_all(&folder)?;
        // Most are small and a few are large.
        let size = (next() % (BYTES / FILES) as u64) * if number % 10 == 0 { 11 } else { 1 };
        let mut content = Vec::with_capacity(size as usize + 16);
        while content.len() < size as usize {
            match next() % 8 {
                0 => content.extend(next().to_le_bytes()),
                _ => content.extend(words[next() as usize % words.len()].bytes()),
            }
        }
        fs::File::create(folder.join(format!("file-{number}")))?.write_all(&content)?;
    }
    Ok(())
}

/// Runs a tool of others; what it complains of is the error.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
