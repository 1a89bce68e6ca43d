//! Strangers: programs that know nothing of this tree but the socket.

use std::{path::Path, process::Command};

use hcs_tests::Service;
use serde::{Deserialize, Serialize};
use zlink::{ReplyError, proxy, tokio::unix, varlink_service::Proxy};

const INTERFACE: &str = "io.hcs.Compute";

#[test]
fn a_python_script_with_a_plain_socket_drives_the_service() {
    let service = Service::start();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/plain_socket.py");
    let ended =
        Command::new("python3").arg(script).arg(service.socket()).arg(service.rootfs()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    println!("{said}");
}

/// Some of the interface, as somebody would write it who has read its text.
#[proxy("io.hcs.Compute")]
trait Compute {
    async fn create_compute_system(
        &mut self,
        id: &str,
        document: &hcs::schema::ComputeSystem,
    ) -> zlink::Result<Result<Created, Refusal>>;

    async fn start_compute_system(&mut self, handle: u64) -> zlink::Result<Result<Nothing, Refusal>>;

    async fn terminate_compute_system(&mut self, handle: u64) -> zlink::Result<Result<Nothing, Refusal>>;
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    handle: u64,
    runtime_id: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Nothing {}

#[derive(Debug, ReplyError)]
#[zlink(interface = "io.hcs.Compute")]
enum Refusal {
    SystemAlreadyExists { hresult: i32, message: String },
    InvalidHandle { hresult: i32, message: String },
}

#[test]
fn a_varlink_library_of_strangers_reads_the_interface_and_drives_the_service() {
    let service = Service::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = unix::connect(service.socket()).await.unwrap();
        let info = connection.get_info().await.unwrap().unwrap();
        assert_eq!(info.product, "hcsd");
        assert!(info.interfaces.iter().any(|interface| *interface == INTERFACE));
        let description = connection.get_interface_description(INTERFACE.try_into().unwrap()).await.unwrap().unwrap();
        // Its parser is not ours, and it takes every line.
        let interface = description.parse().unwrap();
        assert_eq!(interface.name().to_string(), INTERFACE);
        let theirs: Vec<String> = interface.methods().map(|method| format!("{INTERFACE}.{}", method.name())).collect();
        let ours: Vec<&str> = hcs::compute::METHODS.iter().map(|(name, _)| *name).collect();
        assert_eq!(theirs, ours);
        assert!(interface.methods().all(|method| method.comments().count() > 0), "a method has no comment");

        let document = service.document();
        let created = connection.create_compute_system("web", &document).await.unwrap().unwrap();
        assert_eq!(created.runtime_id.len(), 36);
        connection.start_compute_system(created.handle).await.unwrap().unwrap();
        let Err(Refusal::SystemAlreadyExists { hresult, message }) =
            connection.create_compute_system("WEB", &document).await.unwrap()
        else {
            panic!("two systems have one id")
        };
        assert_eq!(hresult, 0x8037_010F_u32 as i32);
        assert!(message.contains("WEB"), "{message}");
        connection.terminate_compute_system(created.handle).await.unwrap().unwrap();
        let refused = connection.terminate_compute_system(77).await.unwrap();
        assert!(matches!(refused, Err(Refusal::InvalidHandle { hresult: -2_147_024_890, message }) if message.contains("77")));
    });
}
