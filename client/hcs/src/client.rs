//! The service as a whole: systems made, opened and listed, the host's properties and settings, crash reports.

use hcs_ipc::compute::{
    CancelPendingOperation, CrashReportEntry, CreateComputeSystem, EnumerateComputeSystems, GetCrashReport,
    GetHostReport, GetMachineUser, GetServiceProperties, HostReport, ListCrashReports, ListOperations,
    ModifyServiceSettings, OpenComputeSystem, PendingOperation, SubmitWerReport, WaitForPendingOperation,
};
use hcs_schema::{
    Any, ComputeSystem, CrashReport, ModificationRequest, Properties, ServiceProperties,
    ServicePropertyQuery, SystemQuery,
};

use crate::{
    Error, EventStream, Link, Operation, System,
    access::Who,
    document::{from_any, to_any},
    link::Options,
    system::Identity,
};

/// A session with the host compute service.
#[derive(Clone)]
pub struct Client {
    link: Link,
    options: Options,
}

impl Client {
    /// Connects to the service that the environment names, or else to the system's.
    pub fn connect() -> Result<Client, Error> {
        Client::connect_to(Options::default())
    }

    /// Connects to a certain service.
    pub fn connect_to(options: Options) -> Result<Client, Error> {
        Ok(Client { link: Link::connect(&options)?, options })
    }

    /// The same without a thread, for programs that do one thing and end; see [`Link::connect_unattended`]. Futures need a
    /// look at the link to be completed; functions that wait do not.
    pub fn connect_unattended(options: Options) -> Result<Client, Error> {
        Ok(Client { link: Link::connect_unattended(&options)?, options })
    }

    /// The link below, for calls that have no function here.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Creates a system from its document, read strictly: a member that is not known is an error.
    pub fn create(&self, id: &str, document: &ComputeSystem) -> Operation<System> {
        self.create_from(id, to_any(document), true)
    }

    /// Creates a system from the text of its document. Without `strict` members that are not known are
    /// tolerated, as the C API does; [`System::warnings`] names them.
    pub fn create_from(&self, id: &str, document: Any, strict: bool) -> Operation<System> {
        let number = self.link.next_operation();
        let call = CreateComputeSystem {
            id: id.to_owned(),
            document,
            strict: Some(strict),
            operation: Some(number),
        };
        let (link, id) = (self.link.clone(), id.to_owned());
        Operation::begin(&self.link, number, &call, move |(created, _)| {
            let runtime_id = created.runtime_id;
            let identity =
                Identity { id, runtime_id, instance: created.instance, warnings: created.warnings };
            Ok(System::new(link, created.handle, identity))
        })
    }

    /// Opens a system by its id.
    pub fn open(&self, id: &str) -> Operation<System> {
        let link = self.link.clone();
        Operation::begin(&self.link, 0, &OpenComputeSystem { id: id.to_owned() }, move |(opened, _)| {
            let (id, runtime_id, instance) = (opened.id, opened.runtime_id, opened.instance);
            Ok(System::new(link, opened.handle, Identity { id, runtime_id, instance, warnings: Vec::new() }))
        })
    }

    /// Lists the systems that a query selects, or all.
    pub fn list(&self, query: Option<&SystemQuery>) -> Operation<Vec<Properties>> {
        let call = EnumerateComputeSystems { query: query.map(to_any) };
        Operation::begin(&self.link, 0, &call, |(reply, _)| reply.systems.iter().map(from_any).collect())
    }

    /// What happens to all systems from now on, beginning with those that are there; or, after a stream was
    /// lost, from behind the event `since`.
    pub fn events(&self, since: Option<u64>) -> Result<EventStream, Error> {
        EventStream::open(&self.options.socket, since)
    }

    /// The host's properties.
    pub fn service_properties(&self, query: Option<&ServicePropertyQuery>) -> Operation<ServiceProperties> {
        let call = GetServiceProperties { query: query.map(to_any) };
        Operation::begin(&self.link, 0, &call, |(reply, _)| from_any(&reply.properties))
    }

    /// Changes a setting of the host.
    pub fn modify_service(&self, settings: &ModificationRequest) -> Operation<()> {
        Operation::begin(&self.link, 0, &ModifyServiceSettings { settings: to_any(settings) }, |_| Ok(()))
    }

    /// Puts a crash report into the service's store and tells its name there.
    pub fn submit_crash_report(&self, report: &CrashReport) -> Operation<String> {
        Operation::begin(&self.link, 0, &SubmitWerReport { report: to_any(report) }, |(reply, _)| {
            Ok(reply.report)
        })
    }

    /// The service's store of crash reports.
    pub fn crash_reports(&self) -> Operation<Vec<CrashReportEntry>> {
        Operation::begin(&self.link, 0, &ListCrashReports {}, |(reply, _)| Ok(reply.reports))
    }

    /// Who a virtual machine of this id is, or will be, for [`crate::access`].
    pub fn machine_user(&self, id: &str) -> Operation<Who> {
        let call = GetMachineUser { id: Some(id.to_owned()) };
        Operation::begin(&self.link, 0, &call, |(reply, _)| {
            let missing = || hcs_core::Error::from(hcs_core::Cause::Unexpected);
            Ok(Who::User(reply.user.ok_or_else(missing)?))
        })
    }

    /// Who all virtual machines are.
    pub fn machine_group(&self) -> Operation<Who> {
        Operation::begin(&self.link, 0, &GetMachineUser { id: None }, |(reply, _)| {
            Ok(Who::Group(reply.group))
        })
    }

    /// A crash report of the store, as it was handed in.
    pub fn crash_report(&self, name: &str) -> Operation<Any> {
        let call = GetCrashReport { report: name.to_owned() };
        Operation::begin(&self.link, 0, &call, |(reply, _)| Ok(reply.document))
    }

    /// What of its host only the service knows.
    pub fn host_report(&self) -> Operation<HostReport> {
        Operation::begin(&self.link, 0, &GetHostReport {}, |(reply, _)| Ok(reply))
    }

    /// The calls of all clients that have not been answered yet.
    pub fn operations(&self) -> Operation<Vec<PendingOperation>> {
        Operation::begin(&self.link, 0, &ListOperations {}, |(reply, _)| Ok(reply.operations))
    }

    /// Cancels a call of any client, by its key in the list.
    pub fn cancel_operation(&self, key: u64) -> Operation<()> {
        Operation::begin(&self.link, 0, &CancelPendingOperation { key }, |_| Ok(()))
    }

    /// Waits until a call of any client has been answered, by its key in the list.
    pub fn wait_for_operation(&self, key: u64) -> Operation<()> {
        Operation::begin(&self.link, 0, &WaitForPendingOperation { key }, |_| Ok(()))
    }
}
