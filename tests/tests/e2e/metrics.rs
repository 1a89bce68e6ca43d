//! The figures of the service: that they are in the form of Prometheus, that they count, and that no stranger who asks
//! for them does harm.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    time::Duration,
};

use hcs::{Cause, compute};
use hcs_tests::Service;

use crate::refused;

fn figures(service: &Service) -> Figures {
    let answer = service.ask_metrics(None);
    let (head, body) = answer.split_once("\r\n\r\n").expect("the head of an answer");
    assert!(head.starts_with("HTTP/1.0 200 OK"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    Figures::read(body)
}

/// Families and samples, read by the grammar of the text format 0.0.4.
struct Figures {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, f64>,
}

impl Figures {
    fn read(text: &str) -> Figures {
        let mut figures = Figures { types: BTreeMap::new(), samples: BTreeMap::new() };
        let (mut helped, mut family) = (BTreeSet::new(), String::new());
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a help");
                assert!(is_name(name) && !help.is_empty(), "{line}");
                assert!(helped.insert(name.to_owned()), "two helps: {line}");
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert_eq!(name, family, "a type without its help: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(
                    figures.types.insert(name.to_owned(), kind.to_owned()).is_none(),
                    "two types: {line}"
                );
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                let name = series.split('{').next().unwrap();
                let kind =
                    figures.types.get(&family).unwrap_or_else(|| panic!("a sample without a type: {line}"));
                let suffix =
                    name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("not of {family}: {line}"));
                let allowed: &[&str] =
                    if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(allowed.contains(&suffix), "{line}");
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                check_labels(&series[name.len()..]);
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                assert!(figures.samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
            }
        }
        figures.check_histograms();
        figures
    }

    /// Buckets rise to the count.
    fn check_histograms(&self) {
        for (count, all) in self.samples.iter().filter(|(series, _)| series.contains("_seconds_count{")) {
            let labels = count.trim_end_matches('}').replace("_count{", "_bucket{");
            let mut buckets: Vec<(f64, f64)> = self
                .samples
                .iter()
                .filter_map(|(series, value)| {
                    let end =
                        series.strip_prefix(labels.as_str())?.strip_prefix(",le=\"")?.strip_suffix("\"}")?;
                    Some((if end == "+Inf" { f64::INFINITY } else { end.parse().unwrap() }, *value))
                })
                .collect();
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(
                buckets.len() > 1 && buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                "{count}: {buckets:?}"
            );
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *all)), "{count}");
        }
    }

    fn get(&self, series: &str) -> f64 {
        *self
            .samples
            .get(series)
            .unwrap_or_else(|| panic!("there is no {series} in {:?}", self.samples.keys()))
    }

    fn calls(&self, method: &str, outcome: &str) -> f64 {
        self.get(&format!("hcs_calls_total{{method=\"{method}\",outcome=\"{outcome}\"}}"))
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_')
        && text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
}

/// `{name="value",…}`, or nothing.
fn check_labels(text: &str) {
    if text.is_empty() {
        return;
    }
    let mut rest =
        text.strip_prefix('{').and_then(|it| it.strip_suffix('}')).unwrap_or_else(|| panic!("{text}"));
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(is_name(name), "{text}");
        let mut escaped = false;
        let end = after.find(|it| {
            let ends = it == '"' && !escaped;
            escaped = it == '\\' && !escaped;
            ends
        });
        rest = &after[end.unwrap_or_else(|| panic!("{text}")) + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

#[test]
fn figures_follow_what_happens() {
    let service = Service::start();
    let before = figures(&service);
    assert_eq!(before.calls("OpenComputeSystem", "failed"), 0.0);
    let running = "hcs_systems{type=\"Container\",state=\"Running\"}";
    assert_eq!(before.get(running), 0.0);

    let client = service.client();
    refused(client.open("nobody").wait(), Cause::SystemNotFound);
    refused(client.open("nobody").wait(), Cause::SystemNotFound);
    let system = service.running(&client, "web");
    let after = figures(&service);
    assert_eq!(after.calls("OpenComputeSystem", "failed"), 2.0);
    assert_eq!(after.calls("OpenComputeSystem", "done"), 0.0);
    assert_eq!(after.calls("StartComputeSystem", "done"), 1.0);
    assert_eq!(after.get("hcs_call_duration_seconds_count{method=\"OpenComputeSystem\"}"), 2.0);
    assert!(after.get("hcs_call_duration_seconds_sum{method=\"StartComputeSystem\"}") > 0.0);
    assert_eq!(after.get(running), 1.0);
    assert!(after.get("hcs_connections") > before.get("hcs_connections"));
    assert_eq!(after.get("hcs_operations_pending"), 0.0);

    let sent = after.get("hcs_events_sent_total");
    system.terminate().wait().unwrap();
    hcs_tests::until("the event of its exit", Duration::from_secs(5), || {
        figures(&service).get("hcs_events_sent_total") > sent
    });
    drop(system);
    drop(client);
    hcs_tests::until("its end", Duration::from_secs(5), || {
        let now = figures(&service);
        now.get("hcs_connections") == 0.0 && now.get(running) == 0.0
    });
    let report = hcs::schema::Any::from_text("{}").unwrap();
    service.client().link().call_wait(&compute::SubmitWerReport { report }).unwrap();
    assert_eq!(figures(&service).get("hcs_crash_reports"), 1.0);
}

#[test]
fn the_command_prints_them_and_every_user_may_ask() {
    let service = Service::start();
    let output = service.hcs().arg("metrics").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = Figures::read(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(printed.get(&format!("hcs_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    let rights = std::fs::metadata(service.root().join("run/metrics.sock")).unwrap().permissions().mode();
    assert_eq!(rights & 0o777, 0o666);
    let nowhere = service
        .hcs()
        .arg("--socket")
        .arg(service.root().join("none/hcs.sock"))
        .arg("metrics")
        .output()
        .unwrap();
    assert_eq!(nowhere.status.code(), Some(4));
}

#[test]
fn a_service_that_is_told_so_has_no_metrics() {
    let service = Service::start_configured("metrics = false\n");
    assert!(!service.root().join("run/metrics.sock").exists());
}

#[test]
fn whoever_asks_for_something_else_is_refused() {
    let service = Service::start();
    for (request, status) in [
        (&b"POST /metrics HTTP/1.1\r\n\r\n"[..], "405 Method Not Allowed"),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"\xff\xfe\0\r\n\r\n", "400 Bad Request"),
        (b"{\"method\":\"io.hcs.Compute.ListOperations\"}\0\r\n\r\n", "400 Bad Request"),
    ] {
        let answer = service.ask_metrics(Some(request));
        assert!(answer.starts_with(&format!("HTTP/1.0 {status}\r\n")), "{answer}");
    }
}

#[test]
fn those_who_say_nothing_or_too_much_do_no_harm() {
    let service = Service::start();
    // Too much: the limit is 8 KiB, and what is behind it is not read.
    let mut greedy = service.metrics();
    let mut answer = Vec::new();
    let told = greedy.write_all(&vec![b'x'; 64 << 10]).and_then(|()| greedy.read_to_end(&mut answer));
    assert!(told.is_err() || answer.starts_with(b"HTTP/1.0 400 "), "{:?}", String::from_utf8_lossy(&answer));
    // Nothing: more of them than are served at a time. They lose their places after two seconds.
    let silent: Vec<UnixStream> = (0..10).map(|_| service.metrics()).collect();
    let gone: Vec<UnixStream> = (0..10).map(|_| service.metrics()).collect();
    drop(gone);
    assert!(service.hcs().arg("list").output().unwrap().status.success(), "clients are not served meanwhile");
    let began = std::time::Instant::now();
    figures(&service);
    assert!(began.elapsed() < Duration::from_secs(30), "strangers kept the figures from others");
    for mut stream in silent {
        let mut end = Vec::new();
        // Its end, or that it was reset: in either case nobody waits for it any more.
        let _ = stream.read_to_end(&mut end);
        assert!(end.is_empty());
    }
}
