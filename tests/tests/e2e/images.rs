//! Images: of others and for others, what is kept of them, and what hostile ones get.

use std::{
    fs,
    io::Write,
    ops::Deref,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use hcs::schema;
use hcs_tests::{Service, folder::Folder, host, processes, random::Random, rootfs, tool::Tool};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::read_all;

/// A store of a test's own, used by the shipped program.
pub struct Images(Tool);

impl Deref for Images {
    type Target = Tool;

    fn deref(&self) -> &Tool {
        &self.0
    }
}

impl Images {
    pub fn new() -> Images {
        Images(Tool::new("image"))
    }

    /// The names of all images.
    pub fn names(&self) -> Vec<String> {
        let listed: Value = serde_json::from_str(&self.done(&["list", "--json"])).unwrap();
        let names =
            listed.as_array().unwrap().iter().flat_map(|image| image["Names"].as_array().unwrap().clone());
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// What is in the folder of layers, also what is hidden.
    pub fn layers(&self) -> Vec<String> {
        let entries = fs::read_dir(self.join("lib/images/layers")).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// An image made by umoci: busybox, and above it a layer in which something is deleted and something is new.
    pub fn layout(&self) -> PathBuf {
        let layout = self.join("layout");
        let image = format!("{}:web", layout.display());
        host("umoci", &["init", "--layout", text(&layout)]);
        host("umoci", &["new", "--image", &image]);
        for layer in 0..2 {
            let bundle = self.join(&format!("bundle-{layer}"));
            host("umoci", &["unpack", "--image", &image, text(&bundle)]);
            let root = bundle.join("rootfs");
            if layer == 0 {
                rootfs::make(&root);
                fs::write(root.join("etc/deleted"), "").unwrap();
            } else {
                fs::remove_file(root.join("etc/deleted")).unwrap();
                fs::write(root.join("etc/new"), "new\n").unwrap();
            }
            host("umoci", &["repack", "--image", &image, text(&bundle)]);
        }
        host(
            "umoci",
            &[
                "config",
                "--image",
                &image,
                "--config.entrypoint=/bin/sh",
                "--config.entrypoint=-c",
                "--config.cmd=ls /etc; cat /etc/new; echo $GREETING; pwd; id -un",
                "--config.env=GREETING=hello",
                "--config.workingdir=/home/web",
                "--config.user=web",
            ],
        );
        layout
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const SAID: &str = "group\nnew\npasswd\nnew\nhello\n/home/web\nweb\n";

/// What the process of an image says in a container of it.
fn run(images: &Images, service: &Service, image: &str) -> String {
    let scratch = Folder::new();
    let document = images.done(&["document", image, "--scratch", text(scratch.path())]);
    let document: schema::ComputeSystem = hcs::schema::read_strict(&document).unwrap();
    let system = service.running_from("image", &document);
    // A process that says nothing of its own is that of the image.
    let process = schema::ProcessParameters::default().create_std_out_pipe(true).create_std_err_pipe(true);
    let mut process = crate::run(&system, &process);
    let said = read_all(process.pipes.stdout.take());
    system.terminate().wait().unwrap();
    said
}

#[test]
fn an_image_of_others_runs_and_comes_back_from_every_form_that_we_write() {
    let (images, service) = (Images::new(), Service::start());
    let layout = images.layout();
    let imported = images.done(&["import", text(&layout)]);
    assert!(imported.starts_with("sha256:") && imported.ends_with(" layout:web"), "{imported}");
    assert_eq!(run(&images, &service, "layout:web"), SAID);

    let out = |name: &str| images.join(name);
    images.done(&["export", "layout:web", text(&out("oci.tar"))]);
    images.done(&["export", "layout:web", text(&out("again.tar")), "--form", "oci"]);
    assert!(fs::read(out("oci.tar")).unwrap() == fs::read(out("again.tar")).unwrap(), "other bytes");
    images.done(&["export", "layout:web", text(&out("zstd.tar")), "--compression", "zstd"]);
    images.done(&[
        "export",
        "layout:web",
        text(&out("folder")),
        "--form",
        "oci-folder",
        "--compression",
        "none",
    ]);
    images.done(&["export", "layout:web", text(&out("docker.tar")), "--form", "docker"]);
    host("gzip", &["-k", text(&out("docker.tar"))]);
    assert!(images.refused(&["export", "layout:web", text(&out("oci.tar"))]).contains("there already"));

    // What others make of it, and they check every digest.
    let copy = |from: &str, to: &str| host("skopeo", &["copy", "-q", from, to]);
    let at = |kind: &str, name: &str| format!("{kind}:{}", text(&out(name)));
    copy(&at("oci-archive", "oci.tar"), &at("dir", "skopeo-dir"));
    copy(&at("docker-archive", "docker.tar"), &format!("{}:mine:1", at("docker-archive", "theirs.tar")));
    copy(&format!("{}:web", at("oci", "folder")), &format!("{}:other", at("oci", "theirs")));
    host("umoci", &["unpack", "--image", &format!("{}:web", text(&out("folder"))), text(&out("bundle"))]);
    assert_eq!(fs::read_to_string(out("bundle/rootfs/etc/new")).unwrap(), "new\n");
    assert!(!out("bundle/rootfs/etc/deleted").exists());
    assert_eq!(crun(&out("bundle")), SAID);

    for name in ["oci.tar", "zstd.tar", "folder", "docker.tar", "docker.tar.gz", "theirs.tar", "theirs"] {
        let fresh = Images::new();
        let said = fresh.done(&["import", text(&out(name)), "--name", "fresh"]);
        assert!(said.ends_with(" fresh:latest"), "{name}: {said}");
        assert_eq!(run(&fresh, &service, "fresh"), SAID, "{name}");
    }
    assert!(images.done(&["list", "--in", text(&out("docker.tar"))]).contains("layout:web"));
    let names = |file: &str| {
        let fresh = Images::new();
        fresh.done(&["import", text(&out(file))]);
        fresh.names()
    };
    assert_eq!(names("docker.tar"), ["layout:web"]);
    assert_eq!(names("theirs.tar"), ["mine:1"]);
    assert_eq!(names("theirs"), ["theirs:other"]);
    assert!(images.layers().iter().all(|name| !name.starts_with('.')));
}

/// What crun runs a bundle to say. It does not know a hybrid tree of cgroups.
fn crun(bundle: &Path) -> String {
    let config = bundle.join("config.json");
    let mut read: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    read["process"]["terminal"] = json!(false);
    fs::write(&config, read.to_string()).unwrap();
    let script = format!(
        "umount /sys/fs/cgroup/unified 2>/dev/null; crun --root {0}/crun run -b {0} hcs-test-{1}",
        bundle.display(),
        std::process::id()
    );
    host("unshare", &["-m", "sh", "-c", &script])
}

#[test]
fn a_layer_is_kept_once_and_goes_with_the_last_image_that_nobody_uses() {
    let (images, service) = (Images::new(), Service::start());
    let layout = images.layout();
    images.done(&["import", text(&layout), "--name", "one"]);
    assert_eq!(images.layers().len(), 2);
    // The same layers under another configuration.
    host("umoci", &["config", "--image", &format!("{}:web", text(&layout)), "--config.cmd=true"]);
    images.done(&["import", text(&layout), "--name", "two"]);
    images.done(&["tag", "two", "registry.example:5000/team/two:3"]);
    assert_eq!(images.layers().len(), 2);
    assert_eq!(images.names(), ["one:latest", "registry.example:5000/team/two:3", "two:latest"]);

    let scratch = service.root().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let document = images.done(&["document", "one", "--scratch", text(&scratch), "--", "true"]);
    let system = service.running_from("image", &hcs::schema::read_strict(&document).unwrap());
    images.done(&["remove", "two"]);
    images.done(&["remove", "registry.example:5000/team/two:3"]);
    images.done(&["remove", "one"]);
    assert_eq!((images.names(), images.layers().len()), (Vec::new(), 2), "a container uses them");
    assert!(images.done(&["prune"]).contains("2 layers are in use"));
    system.terminate().wait().unwrap();
    images.done(&["prune"]);
    assert_eq!(images.layers(), Vec::<String>::new());
    assert!(images.refused(&["remove", "one"]).contains("no image"));
    assert!(images.refused(&["inspect", "one"]).contains("no image"));
}

/// What `hcs run` keeps of containers of images.
fn kept(images: &Images) -> usize {
    fs::read_dir(images.join("lib/scratch")).unwrap().count()
}

#[test]
fn what_a_killed_run_wrote_goes_with_the_next_and_what_a_container_writes_to_stays() {
    let (images, service) = (Images::new(), Service::start());
    images.done(&["import", text(&images.layout()), "--name", "web"]);
    let run = |arguments: &[&str]| {
        let mut command = service.hcs();
        command.arg("run").args(arguments).env("HCS_ROOT", images.path()).stdout(Stdio::piped());
        command
    };
    let done = |arguments: &[&str]| assert!(run(arguments).status().unwrap().success(), "{arguments:?}");
    done(&["-d", "--name", "stays", "-u", "root", "web", "echo kept > /tmp/kept; exec sleep 1000"]);
    let mut killed =
        run(&["-u", "root", "--name", "goes", "web", "echo ready; exec sleep 1000"]).spawn().unwrap();
    crate::process::await_line(&killed.stdout.take().unwrap().into(), "ready\n");
    done(&["web", "true"]);
    assert_eq!(kept(&images), 2, "both are used");
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Its system ends with it, and until then it is used.
    hcs_tests::until("the folder has gone", Duration::from_secs(5), || {
        done(&["web", "true"]);
        kept(&images) == 1
    });
    // One that was made by a command that came no further.
    fs::create_dir(images.join("lib/scratch/00000000-0000-0000-0000-000000000001")).unwrap();
    done(&["web", "true"]);
    assert_eq!(kept(&images), 1);
    let said = service.hcs().args(["exec", "stays", "--", "cat", "/tmp/kept"]).output().unwrap();
    assert_eq!(said.stdout, b"kept\n");
    assert!(service.hcs().args(["kill", "stays"]).status().unwrap().success());
    // Nor is it in the way of the next of that name.
    done(&["--name", "stays", "web", "true"]);
    assert_eq!(kept(&images), 0);
}

/// Reads a document of a layout, changes it, and puts it back under its new digest, with everything that names it.
fn change_manifest(layout: &Path, change: impl FnOnce(&mut Value)) {
    let index_file = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&index_file).unwrap()).unwrap();
    let blob = |digest: &Value| layout.join("blobs/sha256").join(&digest.as_str().unwrap()[7..]);
    let mut manifest: Value =
        serde_json::from_slice(&fs::read(blob(&index["manifests"][0]["digest"])).unwrap()).unwrap();
    change(&mut manifest);
    let digest = put_blob(layout, manifest.to_string().as_bytes());
    index["manifests"][0]["digest"] = json!(digest);
    fs::write(index_file, index.to_string()).unwrap();
}

pub fn put_blob(layout: &Path, bytes: &[u8]) -> String {
    let file = layout.join("blob");
    fs::write(&file, bytes).unwrap();
    let digits = host("sha256sum", &[text(&file)])[..64].to_owned();
    fs::rename(file, layout.join("blobs/sha256").join(&digits)).unwrap();
    format!("sha256:{digits}")
}

#[test]
fn a_hostile_image_is_refused_and_leaves_nothing() {
    let images = Images::new();
    let layout = images.layout();
    let (target, secret) = (images.join("hostile"), images.join("secret"));
    fs::write(&secret, "secret").unwrap();
    type Change = Box<dyn Fn(&Path)>;
    let changes: Vec<(&str, Change)> = vec![
        (
            "damaged",
            Box::new(|layout| {
                change_manifest(layout, |manifest| {
                    // The second layer is cut off behind the first, which was good.
                    let blob = layout
                        .join("blobs/sha256")
                        .join(&manifest["layers"][1]["digest"].as_str().unwrap()[7..]);
                    let bytes = fs::read(&blob).unwrap();
                    fs::write(&blob, &bytes[..bytes.len() - 9]).unwrap();
                });
            }),
        ),
        (
            "digest",
            Box::new(|layout| {
                change_manifest(layout, |manifest| {
                    // Another layer than the configuration says.
                    manifest["layers"][1] = manifest["layers"][0].clone();
                });
            }),
        ),
        (
            "3 layers",
            Box::new(|layout| {
                change_manifest(layout, |manifest| {
                    let first = manifest["layers"][0].clone();
                    manifest["layers"].as_array_mut().unwrap().push(first);
                });
            }),
        ),
        (
            "which belongs to it",
            Box::new(|layout| {
                change_manifest(layout, |manifest| {
                    let blob = layout
                        .join("blobs/sha256")
                        .join(&manifest["layers"][0]["digest"].as_str().unwrap()[7..]);
                    fs::remove_file(blob).unwrap();
                });
            }),
        ),
        (
            "sha256:",
            Box::new(|layout| {
                change_manifest(layout, |manifest| {
                    manifest["layers"][0]["digest"] = json!("sha256:../../../etc/passwd")
                });
            }),
        ),
        (
            "encrypted",
            Box::new(|layout| {
                change_manifest(layout, |manifest| {
                    manifest["layers"][0]["mediaType"] =
                        json!("application/vnd.oci.image.layer.v1.tar+gzip+encrypted");
                });
            }),
        ),
        (
            "leads out",
            Box::new(|layout| {
                change_manifest(layout, |manifest| {
                    let blob = layout
                        .join("blobs/sha256")
                        .join(&manifest["config"]["digest"].as_str().unwrap()[7..]);
                    fs::remove_file(&blob).unwrap();
                    symlink("/etc/passwd", &blob).unwrap();
                });
            }),
        ),
        (
            "machine",
            Box::new(|layout| {
                change_manifest(layout, |manifest| {
                    let config = layout
                        .join("blobs/sha256")
                        .join(&manifest["config"]["digest"].as_str().unwrap()[7..]);
                    let mut read: Value = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
                    read["architecture"] = json!("riscv64");
                    manifest["config"]["digest"] = json!(put_blob(layout, read.to_string().as_bytes()));
                });
            }),
        ),
        ("damaged", Box::new(|layout| fs::write(layout.join("index.json"), "{\"manifests\":7}").unwrap())),
        ("no image", Box::new(|layout| fs::remove_file(layout.join("index.json")).unwrap())),
        (
            "a list in a list",
            Box::new(|layout| {
                for _ in 0..6 {
                    let index = fs::read(layout.join("index.json")).unwrap();
                    let digest = put_blob(layout, &index);
                    let index =
                        json!({"schemaVersion": 2, "manifests": [{"digest": digest, "size": index.len()}]});
                    fs::write(layout.join("index.json"), index.to_string()).unwrap();
                }
            }),
        ),
    ];
    for (complaint, change) in changes {
        host("cp", &["-r", text(&layout), text(&target)]);
        change(&target);
        let said = images.refused(&["import", text(&target)]);
        assert!(said.contains(complaint), "expected {complaint:?}: {said}");
        assert_eq!((images.layers(), images.names()), (Vec::new(), Vec::new()), "{complaint}");
        // As a tar it is the same.
        let tar = images.join("hostile.tar");
        host("tar", &["-C", text(&target), "-cf", text(&tar), "."]);
        let said = images.refused(&["import", text(&tar)]);
        assert!(said.contains(complaint) || complaint == "leads out", "tar, expected {complaint:?}: {said}");
        fs::remove_dir_all(&target).unwrap();
    }
    // An archive of docker whose names lead out.
    fs::create_dir(&target).unwrap();
    for name in ["../secret", "/etc/passwd", "a/../../secret"] {
        let manifest = json!([{"Config": name, "RepoTags": ["evil:1"], "Layers": [name]}]);
        fs::write(target.join("manifest.json"), manifest.to_string()).unwrap();
        let said = images.refused(&["import", text(&target)]);
        assert!(said.contains("expected a relative path") || said.contains("leads out"), "{said}");
    }
    let mut tar = fs::File::create(images.join("garbage.tar")).unwrap();
    tar.write_all(&[7; 5000]).unwrap();
    assert!(images.refused(&["import", text(&images.join("garbage.tar"))]).contains("no tar"));
    assert!(images.refused(&["import", text(&layout), "--name", "../x"]).contains("name"));
    assert_eq!((images.layers(), images.names()), (Vec::new(), Vec::new()));
    // And the good one still comes in.
    images.done(&["import", text(&layout)]);
}

#[test]
fn an_import_that_is_killed_anywhere_leaves_whole_layers_or_nothing() {
    let images = Images::new();
    let layout = images.layout();
    let began = std::time::Instant::now();
    images.done(&["import", text(&layout)]);
    let duration = began.elapsed().as_micros() as u64;
    images.done(&["remove", "layout:web"]);
    let mut random = Random::new();
    for _ in 0..40 {
        let mut child = images.command(&["import", text(&layout)]).stdout(Stdio::null()).spawn().unwrap();
        // A random moment is what this is about.
        std::thread::sleep(Duration::from_micros(random.below(duration)));
        processes::signal(child.id(), Signal::KILL);
        child.wait().unwrap();
        for layer in images.layers().iter().filter(|name| !name.starts_with('.')) {
            assert!(images.join("lib/images/layers").join(layer).join("layer.json").exists(), "{random}");
        }
        for name in images.names() {
            images.done(&["inspect", &name]);
            assert_eq!(images.layers().len(), 2, "{random}");
        }
        images.done(&["prune"]);
        let left: usize = if images.names().is_empty() { 0 } else { 2 };
        assert_eq!(images.layers().len(), left, "{random}");
        images.done(&["import", text(&layout)]);
        images.done(&["remove", "layout:web"]);
        assert_eq!(images.layers(), Vec::<String>::new(), "{random}");
    }
}
