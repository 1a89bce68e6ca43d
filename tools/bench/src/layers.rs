//! Layers: one of 300 MB in 20,000 files is imported and exported, beside GNU tar, umoci and containerd, each followed
//! by a sync of the file system; and twenty layers are attached.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hcs::{
    schema::{Layer, LayerData},
    storage,
};

use crate::{Outcome, figures::Figures};

const FILES: usize = 20_000;
const BYTES: usize = 300 << 20;
const ROUNDS: usize = 5;

const IMPORT_AT_MOST: f64 = 0.7;
const EXPORT_AT_MOST: f64 = 1.0;
const ATTACHED: usize = 20;
const ATTACH_AT_MOST: Duration = Duration::from_millis(2);

/// Measures.
pub fn measure() -> Outcome {
    let work = Work::prepare()?;
    let mut kept = true;
    let (tar, archive) = (work.path("layer.tar.gz"), work.path("image.tar"));
    let hcs = std::env::current_exe()?.with_file_name("hcs");
    let import: Vec<Contestant> = [
        Some(Contestant::new("tar xzf", {
            let tar = tar.clone();
            move |to| {
                fs::create_dir(to)?;
                run(Command::new("tar").arg("-xzf").arg(&tar).arg("-C").arg(to))
            }
        })),
        work.has_umoci.then(|| {
            let image = format!("{}:layer", work.path("layout").display());
            Contestant::new("umoci unpack", move |to| {
                run(Command::new("umoci").args(["unpack", "--image", &image]).arg(to))
            })
        }),
        work.containerd.as_ref().map(|containerd| {
            let (socket, archive) = (containerd.socket.clone(), archive.clone());
            Contestant::new("ctr image import", move |to| {
                // Another namespace has nothing of it yet.
                let namespace = to.file_name().and_then(|name| name.to_str()).unwrap_or("default");
                let mut ctr = Command::new("ctr");
                ctr.arg("-a").arg(&socket).args(["-n", namespace, "image", "import"]).arg(&archive);
                run(&mut ctr)
            })
        }),
        Some(Contestant::new("ours: layer", {
            let hcs = hcs.clone();
            move |to| run(Command::new(&hcs).args(["layer", "import"]).arg(to).arg(&tar))
        })),
        Some(Contestant::new("ours: image", {
            let hcs = hcs.clone();
            move |to| run(Command::new(&hcs).args(["image", "import"]).arg(&archive).env("HCS_ROOT", to))
        })),
    ]
    .into_iter()
    .flatten()
    .collect();
    kept &=
        contest("import", "import of a layer of 300 MB, 20,000 files, gzip", import, &work, IMPORT_AT_MOST)?;

    let source = work.path("tree");
    run(Command::new(&hcs).args(["layer", "import"]).arg(work.path("layer")).arg(&source))?;
    let layer = work.path("layer");
    let export = vec![
        Contestant::new("tar czf", move |to| {
            fs::create_dir(to)?;
            run(Command::new("tar").arg("-czf").arg(to.join("layer.tar.gz")).arg("-C").arg(&source).arg("."))
        }),
        Contestant::new("ours: layer", move |to| {
            fs::create_dir(to)?;
            run(Command::new(&hcs).args(["layer", "export", "--compression", "gzip"]).arg(&layer).arg(to))
        }),
    ];
    kept &= contest("export", "export of the same, gzip", export, &work, EXPORT_AT_MOST)?;
    kept &= attach(&work)?;
    if kept { Ok(()) } else { Err("a promise is not kept".into()) }
}

/// Somebody who does it, into a place where nothing is.
struct Contestant {
    name: &'static str,
    act: Box<dyn Fn(&Path) -> Outcome>,
}

impl Contestant {
    fn new(name: &'static str, act: impl Fn(&Path) -> Outcome + 'static) -> Contestant {
        Contestant { name, act: Box::new(act) }
    }
}

/// All take turns; whether ours keep to their share of the quickest other.
fn contest(
    kind: &str,
    title: &str,
    contestants: Vec<Contestant>,
    work: &Work,
    at_most: f64,
) -> Outcome<bool> {
    let mut walls: Vec<Figures> = contestants.iter().map(|_| Figures::default()).collect();
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
    let is_ours = |contestant: &Contestant| contestant.name.starts_with("ours");
    let median = |walls: &Figures| walls.percentile(0.5).as_secs_f64();
    let others = contestants.iter().zip(&walls).filter(|(one, _)| !is_ours(one));
    let quickest = others.map(|(_, walls)| median(walls)).fold(f64::INFINITY, f64::min);
    println!(
        "\n{title}; {ROUNDS} rounds, all taking turns, each with a sync\n{:20} {:>9} {:>12}",
        "", "median ms", "of quickest"
    );
    let mut kept = true;
    for (contestant, walls) in contestants.iter().zip(&walls) {
        let ratio = median(walls) / quickest;
        println!("{:20} {:>9.0} {ratio:>12.2}", contestant.name, median(walls) * 1e3);
        if is_ours(contestant) && ratio > at_most {
            println!("not kept: {ratio:.2} of the quickest other, promised {at_most}");
            kept = false;
        }
    }
    Ok(kept)
}

/// Twenty layers over each other, attached again and again.
fn attach(work: &Work) -> Outcome<bool> {
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
    let mut walls = Figures::default();
    for _ in 0..TIMES {
        let began = Instant::now();
        storage::attach_layers(&scratch, &parents)?;
        walls.add(began.elapsed());
        storage::detach_layers(&scratch)?;
    }
    let median = walls.percentile(0.5);
    println!("\nattaching {ATTACHED} layers: {:.2} ms, median of {TIMES}", median.as_secs_f64() * 1e3);
    if median > ATTACH_AT_MOST {
        println!("not kept: promised {ATTACH_AT_MOST:?}");
    }
    Ok(median <= ATTACH_AT_MOST)
}

/// What everybody works on, in a folder on the disk.
struct Work {
    folder: PathBuf,
    has_umoci: bool,
    containerd: Option<Containerd>,
}

impl Work {
    fn prepare() -> Outcome<Work> {
        let folder = std::env::temp_dir().join(format!("hcs-bench-layers-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let mut work = Work { folder, has_umoci: false, containerd: None };
        let tree = work.path("tree");
        fill(&tree)?;
        let (tar, gzip) = (work.path("layer.tar"), work.path("layer.tar.gz"));
        run(Command::new("tar").arg("-cf").arg(&tar).arg("-C").arg(&tree).arg("."))?;
        fs::write(&gzip, "")?;
        run(Command::new("sh").arg("-c").arg("gzip -c \"$0\" >\"$1\"").arg(&tar).arg(&gzip))?;
        // Those who take images get one of the same layer.
        work.has_umoci = Command::new("umoci").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !work.has_umoci {
            return Err("umoci is needed to make the image that is imported".into());
        }
        let layout = work.path("layout");
        let image = format!("{}:layer", layout.display());
        run(Command::new("umoci").args(["init", "--layout"]).arg(&layout))?;
        run(Command::new("umoci").args(["new", "--image", &image]))?;
        run(Command::new("umoci").args(["raw", "add-layer", "--image", &image]).arg(&tar))?;
        run(Command::new("tar").arg("-cf").arg(work.path("image.tar")).arg("-C").arg(&layout).arg("."))?;
        fs::remove_file(&tar)?;
        work.containerd = Containerd::start(&work.folder)?;
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

/// A containerd of our own.
struct Containerd {
    socket: PathBuf,
    child: Child,
}

impl Containerd {
    /// `None` if it is not installed.
    fn start(folder: &Path) -> Outcome<Option<Containerd>> {
        const PATIENCE: Duration = Duration::from_secs(20);
        let socket = folder.join("containerd.sock");
        let config = folder.join("containerd.toml");
        fs::write(
            &config,
            format!(
                "version = 2\nroot = {0:?}\nstate = {1:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = {2:?}\n[ttrpc]\n  address = {3:?}\n",
                folder.join("containerd"),
                folder.join("containerd-state"),
                socket,
                folder.join("containerd-ttrpc.sock")
            ),
        )?;
        let spawned = Command::new("containerd")
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            println!("containerd is not installed and left out");
            return Ok(None);
        };
        let containerd = Containerd { socket, child };
        let began = Instant::now();
        loop {
            let asked = Command::new("ctr").arg("-a").arg(&containerd.socket).arg("version").output()?;
            if asked.status.success() {
                return Ok(Some(containerd));
            }
            if began.elapsed() > PATIENCE {
                return Err("containerd does not answer".into());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a tool of others; what it complains of is the error.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
