//! What is in messages. Members that say nothing are left out; what nobody knows is passed by.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

use crate::code::Code;

/// The id of the machine itself.
pub const NULL_ID: &str = "00000000-0000-0000-0000-000000000000";

/// Where hosts listen for the bridge itself.
pub const BRIDGE_PORT: u32 = 0x4000_0000;
/// Where hosts listen for what an agent logs.
pub const LOG_PORT: u32 = 109;
/// Where hosts give random bytes to who calls, and hang up.
pub const ENTROPY_PORT: u32 = 1;
/// How many those are.
pub const ENTROPY: usize = 512;

/// The capability of an agent of this house, to which plans can be sent.
pub const TAKES_PLANS: &str = "HcsPlansSupported";

/// What is in every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Base {
    /// Which container; the null id is the machine.
    #[serde(default)]
    pub container_id: String,
    /// By which a host finds it in its logs.
    #[serde(default = "null_id")]
    pub activity_id: String,
}

fn null_id() -> String {
    NULL_ID.to_owned()
}

impl Base {
    /// About a container, or the machine.
    pub fn about(container_id: &str) -> Base {
        Base { container_id: container_id.to_owned(), activity_id: null_id() }
    }
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<T> {
    /// What is in every one.
    #[serde(flatten)]
    pub base: Base,
    /// What is in this one.
    #[serde(flatten)]
    pub body: T,
}

/// A response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Response<T> {
    /// Whether it was done.
    #[serde(default)]
    pub result: Code,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_message: String,
    /// That of the request.
    #[serde(default)]
    pub activity_id: String,
    /// Why not, for those who look for mistakes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub error_records: Vec<ErrorRecord>,
    /// What was asked for. It may be missing when it was not done.
    #[serde(flatten)]
    pub body: T,
}

/// Where something went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ErrorRecord {
    /// What went wrong.
    #[serde(default)]
    pub result: Code,
    /// The same for people.
    #[serde(default)]
    pub message: String,
    /// Who says that.
    #[serde(default)]
    pub module_name: String,
    /// The file of its source.
    #[serde(default)]
    pub file_name: String,
    /// The line there; the largest number if nobody knows.
    #[serde(default)]
    pub line: u32,
    /// The whole of it, in the words of a host and an agent of this house. Others pass it by.
    #[serde(rename = "HcsFailure", default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Value>,
}

/// Nothing more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// A document that is a text in another document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nested<T>(pub T);

impl<T: Serialize> Serialize for Nested<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&self.0).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&text)
    }
}

impl<'de, T: DeserializeOwned + Default> Deserialize<'de> for Nested<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nested<T>, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.trim().is_empty() {
            true => Ok(Nested(T::default())),
            false => serde_json::from_str(&text).map(Nested).map_err(serde::de::Error::custom),
        }
    }
}

/// A document that is passed on unread.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Raw(pub Box<RawValue>);

impl PartialEq for Raw {
    fn eq(&self, other: &Raw) -> bool {
        self.0.get() == other.0.get()
    }
}

/// Which versions a host speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Negotiate {
    /// The oldest.
    pub minimum_version: u32,
    /// The newest.
    pub maximum_version: u32,
}

/// Which version is spoken, and what the guest can do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Negotiated {
    /// The version.
    #[serde(default)]
    pub version: u32,
    /// What the guest can do.
    #[serde(default)]
    pub capabilities: Capabilities,
}

/// What a guest can do, and what it wants of its host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Capabilities {
    /// The host is to create the machine itself.
    #[serde(skip_serializing_if = "is_false")]
    pub send_host_create_message: bool,
    /// The host is to start the machine itself.
    #[serde(skip_serializing_if = "is_false")]
    pub send_host_start_message: bool,
    /// The host is to tell about its sockets.
    #[serde(skip_serializing_if = "is_false")]
    pub hv_socket_config_on_startup: bool,
    /// The guest wants to know what happens to the machine.
    #[serde(skip_serializing_if = "is_false")]
    pub send_lifecycle_notifications: bool,
    /// Schemas of documents.
    pub supported_schema_versions: Vec<SchemaVersion>,
    /// `Linux` or `Windows`; nothing is Windows.
    pub runtime_os_type: String,
    /// What only this kind of guest can do.
    pub guest_defined_capabilities: serde_json::Map<String, Value>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// A version of the schema of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SchemaVersion {
    /// The large number.
    #[serde(default)]
    pub major: u32,
    /// The small number.
    #[serde(default)]
    pub minor: u32,
}

/// A container to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Create {
    /// Its document.
    pub container_config: Nested<Value>,
}

/// A process to be started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Execute {
    /// What and how.
    pub settings: ExecuteSettings,
}

/// A process to be started, and where its streams are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecuteSettings {
    /// The process.
    pub process_parameters: Nested<ProcessParameters>,
    /// The ports at which the host waits for its streams.
    pub vsock_stdio_relay_settings: StreamPorts,
}

/// Ports of streams; none for a stream that nobody wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamPorts {
    /// Of what it reads.
    #[serde(rename = "StdIn", skip_serializing_if = "Option::is_none")]
    pub stdin: Option<u32>,
    /// Of what it says.
    #[serde(rename = "StdOut", skip_serializing_if = "Option::is_none")]
    pub stdout: Option<u32>,
    /// Of what it complains of.
    #[serde(rename = "StdErr", skip_serializing_if = "Option::is_none")]
    pub stderr: Option<u32>,
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProcessParameters {
    /// Its command, as one text, if it is not in parts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command_line: String,
    /// Its command in parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command_args: Vec<String>,
    /// Where it runs.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_directory: String,
    /// All of its environment.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub environment: std::collections::BTreeMap<String, String>,
    /// It has a terminal.
    #[serde(skip_serializing_if = "is_false")]
    pub emulate_console: bool,
    /// Somebody writes what it reads.
    #[serde(skip_serializing_if = "is_false")]
    pub create_std_in_pipe: bool,
    /// Somebody reads what it says.
    #[serde(skip_serializing_if = "is_false")]
    pub create_std_out_pipe: bool,
    /// Somebody reads what it complains of.
    #[serde(skip_serializing_if = "is_false")]
    pub create_std_err_pipe: bool,
    /// It runs beside the container.
    #[serde(rename = "CreateInUtilityVM", skip_serializing_if = "is_false")]
    pub create_in_utility_vm: bool,
    /// A process of a container that is not its first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci_process: Option<Value>,
    /// Height and width of the terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<[u16; 2]>,
    /// The plan of the process, which says more than the rest does. For an agent of this house, others pass it by.
    #[serde(rename = "HcsPlan", skip_serializing_if = "Option::is_none")]
    pub plan: Option<Raw>,
}

/// A process that was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Executed {
    /// Its number.
    pub process_id: u32,
}

/// A wait without end.
pub const FOR_EVER: u32 = u32::MAX;

/// A process whose end is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Wait {
    /// Its number.
    #[serde(default)]
    pub process_id: u32,
    /// How long.
    #[serde(default)]
    pub timeout_in_ms: u32,
}

/// A process that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Waited {
    /// How.
    pub exit_code: u32,
    /// It was killed because there was no memory left. An agent of this house says so.
    #[serde(rename = "HcsOutOfMemory", skip_serializing_if = "is_false")]
    pub out_of_memory: bool,
}

/// A signal for a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Signal {
    /// Its number.
    #[serde(default)]
    pub process_id: u32,
    /// Which; without that it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<Value>,
}

/// A terminal that has another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
pub struct Resize {
    /// The number of its process.
    pub process_id: u32,
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// What somebody wants to know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Query {
    /// Which properties.
    pub query: Nested<Value>,
}

/// What is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Properties {
    /// The properties.
    pub properties: Nested<Value>,
}

/// Something is to be changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Modify {
    /// What and how.
    pub request: Modification,
}

/// A change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Modification {
    /// What is changed.
    pub resource_type: String,
    /// Whether it comes or goes; nothing is that it comes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_type: String,
    /// More of it.
    pub settings: Value,
}

/// Who a machine is and what time it is, for an agent of this house: the settings of the resource [`IDENTITY`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Identity {
    /// It is another machine than before; else it has only gone on elsewhere, or has begun.
    #[serde(skip_serializing_if = "is_false")]
    pub is_new: bool,
    /// What it is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_name: Option<String>,
    /// Its id, as systemd writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// Random letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy: Option<String>,
    /// The time, since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nanoseconds: Option<u64>,
}

/// The resource that an agent of this house has its identity by.
pub const IDENTITY: &str = "HcsIdentity";

/// Something has happened to a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Notification {
    /// Which container.
    #[serde(flatten)]
    pub base: Base,
    /// What has happened: `GracefulExit`, `ForcedExit`, `UnexpectedExit`.
    #[serde(default)]
    pub r#type: String,
    /// What was going on.
    #[serde(default)]
    pub operation: String,
    /// With which result.
    #[serde(default)]
    pub result: Code,
    /// The whole of it, in the words of a host and an agent of this house. Others pass it by.
    #[serde(rename = "HcsExit", default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Value>,
}
