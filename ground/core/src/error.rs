//! An error as callers see it: a cause, what failed, where in the document, and what to do about it.
//!
//! Every layer returns [`Error`]; the edges turn it into a ResultError document with [`Error::document`] and
//! into an HRESULT with [`Error::hresult`]. The particulars that help a caller (member path, operating system
//! error) are in the document; nothing secret belongs into the text.

use std::fmt;

use hcs_schema::{
    AttributionRecord, DocumentError, DocumentErrorKind, ErrorEvent, EventData, EventDataType,
    OperationFailure, OperationFailureDetail, ResultError,
};

use crate::{cause::Cause, device_failure::DeviceFailure, hresult::HResult};

/// The provider id of every error event that this product writes.
pub const PROVIDER: &str = "5ca646a7-91bc-4d01-9c43-0e5aaa2c27d2";

/// A result whose failure is an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, complete enough to be acted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// Which line of the table.
    pub cause: Cause,
    /// What failed and what was found, one sentence.
    pub detail: String,
    /// JSON path of the member that is to blame.
    pub path: Option<String>,
    /// What to do about it, one sentence.
    pub hint: Option<String>,
    /// Operating system error number behind it.
    pub errno: Option<i32>,
    /// The API call that failed, for attribution.
    pub during: Option<OperationFailureDetail>,
    /// The device of an application that failed, for attribution.
    pub device: Option<Box<DeviceFailure>>,
}

impl Error {
    /// An error of this cause; `detail` says what failed and what was found.
    pub fn new(cause: Cause, detail: impl Into<String>) -> Error {
        Error {
            cause,
            detail: detail.into(),
            path: None,
            hint: None,
            errno: None,
            during: None,
            device: None,
        }
    }

    /// An error made from an operating system error number; `doing` says what was tried.
    pub fn from_errno(errno: i32, doing: impl fmt::Display) -> Error {
        let text = std::io::Error::from_raw_os_error(errno);
        Error { errno: Some(errno), ..Error::new(Cause::from_errno(errno), format!("{doing}: {text}")) }
    }

    /// An error made from an I/O error; `doing` says what was tried.
    pub fn from_io(error: &std::io::Error, doing: impl fmt::Display) -> Error {
        match error.raw_os_error() {
            Some(errno) => Error::from_errno(errno, doing),
            None => Error::new(Cause::Unexpected, format!("{doing}: {error}")),
        }
    }

    /// Names the member that is to blame.
    pub fn at(mut self, path: impl Into<String>) -> Error {
        self.path = Some(path.into());
        self
    }

    /// The same, unless a nearer one is named already.
    pub fn or_at(self, path: impl Into<String>) -> Error {
        if self.path.is_some() { self } else { self.at(path) }
    }

    /// Says what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// Says which API call failed.
    pub fn during(mut self, call: OperationFailureDetail) -> Error {
        self.during.get_or_insert(call);
        self
    }

    /// Says which device of an application failed.
    pub fn of_device(mut self, failure: DeviceFailure) -> Error {
        self.device.get_or_insert_with(|| Box::new(failure));
        self
    }

    /// The HRESULT of this error.
    pub fn hresult(&self) -> HResult {
        self.cause.hresult()
    }

    /// The ResultError document of this error.
    ///
    /// Real clients show `ErrorEvents[].Message` to their users, so the whole story is there.
    pub fn document(&self) -> ResultError {
        let mut data = Vec::new();
        let mut string = |value: String| {
            data.push(EventData { type_: Some(EventDataType::String), value: Some(value) });
        };
        string(self.hresult().to_string());
        if let Some(path) = &self.path {
            string(path.clone());
        }
        if let Some(errno) = self.errno {
            string(format!("errno {errno}"));
        }
        let event = ErrorEvent {
            message: Some(self.story()),
            provider: PROVIDER.parse().ok(),
            event_id: Some((self.hresult().code() & 0xFFFF) as u16),
            source: Some("hcs".to_owned()),
            data: Some(data),
            ..Default::default()
        };
        let operation = self.during.map(|detail| AttributionRecord {
            operation_failure: Some(OperationFailure { detail: Some(detail) }),
            ..Default::default()
        });
        let device = self.device.as_ref().map(|failure| failure.attribution());
        let attribution: Vec<AttributionRecord> = operation.into_iter().chain(device).collect();
        ResultError {
            error: Some(self.hresult().0),
            error_message: Some(self.cause.text().to_owned()),
            error_events: Some(vec![event]),
            attribution: (!attribution.is_empty()).then_some(attribution),
        }
    }

    fn story(&self) -> String {
        let mut story = String::new();
        if let Some(path) = &self.path {
            story.push_str(path);
            story.push_str(": ");
        }
        story.push_str(&self.detail);
        if let Some(hint) = &self.hint {
            if !story.ends_with('.') {
                story.push('.');
            }
            story.push(' ');
            story.push_str(hint);
        }
        story
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.story(), self.cause.name(), self.hresult())
    }
}

impl std::error::Error for Error {}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Error {
        Error::new(cause, cause.text())
    }
}

impl From<DocumentError> for Error {
    /// Text that is no JSON is told apart from JSON that is no valid document, as on Windows.
    fn from(error: DocumentError) -> Error {
        let cause = match error.kind {
            DocumentErrorKind::Syntax | DocumentErrorKind::TooDeep => Cause::InvalidJson,
            _ => Cause::InvalidData,
        };
        Error::new(cause, format!("found {}, expected {}", error.found, error.expected)).at(error.path)
    }
}

/// Tells what was being done to a path when the operating system refused, for `map_err`.
pub fn io_failure(path: &std::path::Path, doing: &str) -> impl Fn(std::io::Error) -> Error + use<> {
    let what = format!("{doing} {}", path.display());
    move |error| Error::from_io(&error, &what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_tells_what_where_why_and_what_to_do() {
        let error = Error::from_errno(2, "opening /x")
            .at("$.Container.Storage.Path")
            .hint("Name a folder that is there.");
        let error = error.during(OperationFailureDetail::Construct).during(OperationFailureDetail::Start);
        let document = error.document();
        assert_eq!(document.error, Some(Cause::FileNotFound.hresult().0));
        assert_eq!(document.error_message.as_deref(), Some(Cause::FileNotFound.text()));
        let event = document.error_events.unwrap().remove(0);
        assert_eq!(
            event.message.as_deref(),
            Some(
                "$.Container.Storage.Path: opening /x: No such file or directory (os error 2). Name a folder that is there."
            )
        );
        let data = event.data.unwrap().into_iter().filter_map(|one| one.value);
        assert_eq!(data.collect::<Vec<_>>(), ["0x80070002", "$.Container.Storage.Path", "errno 2"]);
        let operation = document.attribution.unwrap().remove(0).operation_failure.unwrap();
        assert_eq!(operation.detail, Some(OperationFailureDetail::Construct), "the first that was named");
    }

    #[test]
    fn an_error_without_particulars_blames_nobody() {
        let document = Error::from(Cause::InvalidState).document();
        assert_eq!(document.attribution, None);
        assert_eq!(document.error_events.unwrap()[0].message.as_deref(), Some(Cause::InvalidState.text()));
    }

    #[test]
    fn a_device_that_failed_is_told_beside_the_call() {
        use hcs_schema::{Guid, VirtualDeviceFailureDetail};
        let (class, instance) = (Guid::from_bytes([1; 16]), Guid::from_bytes([2; 16]));
        let failure = DeviceFailure { phase: VirtualDeviceFailureDetail::None, class, instance };
        let document = Error::from(Cause::Unexpected).of_device(failure).document();
        let device = document.attribution.unwrap().remove(0).virtual_device_failure.unwrap();
        assert_eq!(device.instance_id, Some(instance));
    }

    #[test]
    fn an_error_of_the_operating_system_keeps_its_number() {
        let refused =
            io_failure(std::path::Path::new("/x"), "reading")(std::io::Error::from_raw_os_error(13));
        assert_eq!((refused.cause, refused.errno), (Cause::AccessDenied, Some(13)));
        assert!(refused.detail.starts_with("reading /x: "), "{refused}");
        let other = Error::from_io(&std::io::Error::other("odd"), "reading");
        assert_eq!((other.cause, other.errno), (Cause::Unexpected, None));
    }

    #[test]
    fn text_that_is_no_json_is_told_apart_from_a_wrong_document() {
        let read = |text: &str| Error::from(hcs_schema::read::<hcs_schema::ComputeSystem>(text).unwrap_err());
        assert_eq!(read("{").cause, Cause::InvalidJson);
        let wrong = read(r#"{"Container":{"Memory":{"SizeInMB":"x"}}}"#);
        assert_eq!(
            (wrong.cause, wrong.path.as_deref()),
            (Cause::InvalidData, Some("$.Container.Memory.SizeInMB"))
        );
    }
}
