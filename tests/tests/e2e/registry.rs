//! Images from a registry: one that the test starts on the loopback, with HTTPS, tokens and passwords.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use base64::Engine;
use hcs_tests::host;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

use crate::images::{Images, put_blob, text};

/// What a registry does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    OtherManifest,
    OtherBlob,
    CutBlob,
    LongBlob,
}

/// A registry of one image, `team/web:1`, from an OCI layout.
struct Registry {
    address: String,
    ca: PathBuf,
    fault: Arc<Mutex<Fault>>,
    /// Paths that were asked for.
    asked: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
}

/// Who may fetch with a password.
const USER: &str = "me";
const PASSWORD: &str = "a word";

impl Registry {
    fn start(images: &Images, layout: &Path) -> Registry {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ca = images.join("ca.pem");
        fs::write(&ca, key.cert.pem()).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let registry = Registry {
            address: address.clone(),
            ca,
            fault: Arc::new(Mutex::new(Fault::None)),
            asked: Arc::default(),
            over: Arc::default(),
        };
        let (fault, asked, over) = (registry.fault.clone(), registry.asked.clone(), registry.over.clone());
        let (layout, config) = (layout.to_owned(), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                let (layout, address) = (layout.clone(), address.clone());
                let (fault, asked) = (fault.clone(), asked.clone());
                thread::spawn(move || serve(tls, &layout, &address, &fault, &asked));
            }
        });
        registry
    }

    fn image(&self) -> String {
        format!("{}/team/web:1", self.address)
    }

    fn fault(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address.replace("localhost", "127.0.0.1"));
    }
}

/// Answers the requests of one connection, until the client hangs up or does not trust us.
fn serve(
    mut tls: StreamOwned<ServerConnection, TcpStream>,
    layout: &Path,
    address: &str,
    fault: &Mutex<Fault>,
    asked: &Mutex<Vec<String>>,
) {
    loop {
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") {
            match tls.read(&mut byte) {
                Ok(1) => request.push(byte[0]),
                _ => return,
            }
        }
        let request = String::from_utf8(request).unwrap();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        asked.lock().unwrap().push(path.clone());
        let header = |name: &str| {
            request.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            })
        };
        let (status, more, body) =
            answer(&path, header("authorization").as_deref(), layout, address, *fault.lock().unwrap());
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{more}\r\n", body.len());
        if tls.write_all(head.as_bytes()).and_then(|()| tls.write_all(&body)).is_err() {
            return;
        }
    }
}

fn answer(
    path: &str,
    authorization: Option<&str>,
    layout: &Path,
    address: &str,
    fault: Fault,
) -> (&'static str, String, Vec<u8>) {
    let json = |value: Value| {
        ("200 OK", "Content-Type: application/json\r\n".to_owned(), value.to_string().into_bytes())
    };
    if path.starts_with("/token") {
        let expected = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        return match authorization {
            Some(given) if given == format!("Basic {expected}") => json(json!({"token": "for-me"})),
            Some(_) => ("401 Unauthorized", String::new(), Vec::new()),
            None => json(json!({"token": "for-all"})),
        };
    }
    if !matches!(authorization, Some("Bearer for-me" | "Bearer for-all")) {
        let challenge = format!(
            "WWW-Authenticate: Bearer realm=\"https://{address}/token\",service=\"test\",scope=\"pull\"\r\n"
        );
        return ("401 Unauthorized", challenge, Vec::new());
    }
    let missing = || {
        let body = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "there is none"}]});
        ("404 Not Found", "Content-Type: application/json\r\n".to_owned(), body.to_string().into_bytes())
    };
    if path == "/v2/" {
        return json(json!({}));
    }
    let read = |digest: &str| fs::read(layout.join("blobs/sha256").join(&digest[7..])).ok();
    if let Some(reference) = path.strip_prefix("/v2/team/web/manifests/") {
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let digest = match reference {
            "1" => index["manifests"][0]["digest"].as_str().unwrap().to_owned(),
            digest if digest.starts_with("sha256:") => digest.to_owned(),
            _ => return missing(),
        };
        let Some(mut body) = read(&digest) else { return missing() };
        if fault == Fault::OtherManifest {
            body.push(b' ');
        }
        let document: Value = serde_json::from_slice(&body).unwrap();
        let kind =
            document["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json").to_owned();
        let more = format!("Content-Type: {kind}\r\nDocker-Content-Digest: {digest}\r\n");
        return ("200 OK", more, body);
    }
    let Some(digest) = path.strip_prefix("/v2/team/web/blobs/") else { return missing() };
    let Some(mut body) = read(digest) else { return missing() };
    match fault {
        Fault::OtherBlob => body[10] ^= 1,
        Fault::CutBlob => body.truncate(body.len() - 1),
        Fault::LongBlob => body.extend([0; 100]),
        _ => {}
    }
    ("200 OK", "Content-Type: application/octet-stream\r\n".to_owned(), body)
}

#[test]
fn an_image_is_pulled_over_https_and_what_is_not_right_is_not_kept() {
    let images = Images::new();
    let layout = images.layout();
    let registry = Registry::start(&images, &layout);
    let ca = text(&registry.ca).to_owned();
    let name = registry.image();
    let pull = ["pull", "--ca", &ca, &name];

    // Nothing but the system's own authorities is trusted by itself.
    assert!(images.refused(&["pull", &registry.image()]).contains("certificate"));
    for fault in [Fault::OtherManifest, Fault::OtherBlob, Fault::CutBlob, Fault::LongBlob] {
        registry.fault(fault);
        let said = images.refused(&pull);
        println!("{fault:?}: {said}");
        assert!(
            said.contains("localhost")
                && (said.contains("igest") || said.contains("bytes") || said.contains("announced")),
            "{fault:?}: {said}"
        );
        assert_eq!((images.layers(), images.names()), (Vec::new(), Vec::new()), "{fault:?}");
    }
    registry.fault(Fault::None);
    let pulled = images.done(&pull);
    assert!(pulled.ends_with(&format!(" {name}")), "{pulled}");
    assert_eq!((images.names(), images.layers().len()), (vec![name.clone()], 2));
    let config = images.done(&["inspect", &name]);
    assert!(config.contains("GREETING=hello"), "{config}");
    let gone = images.refused(&["pull", "--ca", &ca, &name.replace(":1", ":2")]);
    assert!(gone.contains("there is none") || gone.contains("not found"), "{gone}");

    // With a password, which is not among the arguments, where everybody sees it.
    let with_password = |password: &str| {
        let mut command = images.command(&["pull", "--ca", &ca, "--user", USER, "--name", "mine", &name]);
        let mut child =
            command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(!with_password("another").status.success());
    assert!(with_password(PASSWORD).status.success());
    assert_eq!(images.names(), [name.as_str(), "mine:latest"]);
    assert!(registry.asked.lock().unwrap().iter().any(|path| path.starts_with("/token")));
}

#[test]
fn of_an_image_for_several_machines_the_one_for_this_is_pulled() {
    let images = Images::new();
    let layout = images.layout();
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let ours = &index["manifests"][0];
    let other = json!({"mediaType": ours["mediaType"], "digest": format!("sha256:{}", "0".repeat(64)), "size": 7,
        "platform": {"os": "linux", "architecture": "s390x"}});
    let list = |entries: Value| {
        let list = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries});
        let digest = put_blob(&layout, list.to_string().as_bytes());
        let index =
            json!({"schemaVersion": 2, "manifests": [{"digest": digest, "size": list.to_string().len()}]});
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
    };
    let machine = host("dpkg", &["--print-architecture"]);
    let mut ours = ours.clone();
    ours["platform"] = json!({"os": "linux", "architecture": machine.trim()});
    list(json!([other, ours]));
    let registry = Registry::start(&images, &layout);
    images.done(&["pull", "--ca", text(&registry.ca), &registry.image()]);
    assert_eq!(images.layers().len(), 2);
    list(json!([other]));
    assert!(
        images.refused(&["pull", "--ca", text(&registry.ca), &registry.image()]).contains("other machines")
    );
}
