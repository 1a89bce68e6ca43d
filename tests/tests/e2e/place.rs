//! Where processes run: a container, a virtual machine, a container in one. What they are to their client must be the same
//! everywhere, so the same tests are made there.

use hcs::{System, schema};
use hcs_tests::{Service, counts, machine::Guest};

/// A system in which processes can be started, and its service.
pub struct Place {
    pub system: System,
    /// The machine that hosts it.
    pub host: Option<System>,
    pub service: Service,
}

impl Place {
    /// A container.
    pub fn container() -> Place {
        let service = Service::start();
        let system = service.running(&service.client(), "web");
        Place { system, service, host: None }
    }

    /// A utility machine with an agent.
    pub fn machine() -> Place {
        let service = Service::start();
        let system = service.running_from("vm", &utility(&service));
        Place { system, service, host: None }
    }

    /// A utility machine with an agent that has no port and speaks by sockets.
    pub fn machine_by_sockets() -> Place {
        let service = Service::start();
        let system = service.running_from("vm", &utility_by_sockets(&service));
        Place { system, service, host: None }
    }

    /// A container in a utility machine. The machine lasts as long as the place.
    pub fn hosted() -> Place {
        let service = Service::start();
        let host = service.running_from("vm", &utility(&service));
        let system = service.running_from("web", &inside(host.id(), schema::Container::default()));
        Place { system, service, host: Some(host) }
    }

    /// Ends what is there, innermost first.
    pub fn end(self) {
        counts::bring_out(self.host.as_ref().unwrap_or(&self.system));
        for system in [Some(self.system), self.host].into_iter().flatten() {
            system.terminate().wait().expect("ending a system");
            system.wait_blocking().expect("the end of a system");
        }
        self.service.await_nothing_left();
    }

    /// The same system for another client.
    pub fn elsewhere(&self) -> System {
        self.service.client().open(self.system.id()).wait().expect("opening the system")
    }
}

/// A container in this machine whose root file system is the other half of the machine's own.
pub fn inside(host: &str, container: schema::Container) -> schema::ComputeSystem {
    let storage = schema::Storage::default().path("/rootfs");
    let version = schema::Version::default().major(2u32).minor(1u32);
    let hosted =
        schema::HostedSystem::default().schema_version(version.clone()).container(container.storage(storage));
    schema::ComputeSystem::default()
        .owner("tests")
        .schema_version(version)
        .should_terminate_on_last_handle_closed(true)
        .hosting_system_id(host)
        .hosted_system(schema::Any::from_value(&hosted).expect("a document"))
}

/// The document of a utility machine with an agent.
pub fn utility(service: &Service) -> schema::ComputeSystem {
    let guest = Guest::utility(service.root(), &service.rootfs());
    guest.document_with(|machine| machine.guest_connection(schema::GuestConnection::default()))
}

/// The same, whose agent speaks by sockets.
pub fn utility_by_sockets(service: &Service) -> schema::ComputeSystem {
    let guest = Guest::utility(service.root(), &service.rootfs());
    let connection = schema::GuestConnection::default().use_vsock(true);
    guest.document_with(|machine| machine.guest_connection(connection))
}

/// Where containers are made: on the host, or in a utility machine.
pub struct Site {
    pub service: Service,
    pub host: Option<System>,
}

impl Site {
    /// The host.
    pub fn container() -> Site {
        Site { service: Service::start(), host: None }
    }

    /// A machine.
    pub fn hosted() -> Site {
        let service = Service::start();
        let host = service.running_from("vm", &utility(&service));
        Site { service, host: Some(host) }
    }

    /// The document of a container there, with more in its Container.
    pub fn document(
        &self,
        add: impl FnOnce(schema::Container) -> schema::Container,
    ) -> schema::ComputeSystem {
        match &self.host {
            None => self.service.document_with(add),
            Some(host) => inside(host.id(), add(schema::Container::default())),
        }
    }

    /// A container that runs there.
    pub fn running(&self, id: &str) -> System {
        self.service.running_from(id, &self.document(|container| container))
    }

    /// Ends what is there.
    pub fn end(self) {
        if let Some(host) = self.host {
            counts::bring_out(&host);
            host.terminate().wait().expect("ending a machine");
        }
        self.service.await_nothing_left();
    }
}

/// Makes each of these a test in a container, and all of them together one in any place: a machine takes its time to boot.
macro_rules! in_every_place {
    ($kind:ident: $($body:ident),+ $(,)?) => {
        mod in_a_container {
            $(
                #[test]
                fn $body() {
                    super::$body(&crate::place::$kind::container());
                }
            )+
        }

        /// All of them, one after the other.
        pub fn all(place: &crate::place::$kind) {
            $(
                println!(stringify!($body));
                $body(place);
            )+
        }
    };
}
pub(crate) use in_every_place;
