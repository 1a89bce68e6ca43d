//! Where processes run: a container, a virtual machine, a container in one. What they are to their client must be the same
//! everywhere, so the same tests are made there.

use hcs::{System, schema};
use hcs_tests::{Service, machine::Guest};

/// A system in which processes can be started, and its service.
pub struct Place {
    pub system: System,
    pub service: Service,
}

impl Place {
    /// A container.
    pub fn container() -> Place {
        let service = Service::start();
        let system = service.running(&service.client(), "web");
        Place { system, service }
    }

    /// A utility machine with an agent.
    pub fn machine() -> Place {
        let service = Service::start();
        let system = service.running_from("vm", &utility(&service));
        Place { system, service }
    }

    /// The same system for another client.
    pub fn elsewhere(&self) -> System {
        self.service.client().open(self.system.id()).wait().expect("opening the system")
    }
}

/// The document of a utility machine with an agent.
pub fn utility(service: &Service) -> schema::ComputeSystem {
    let guest = Guest::utility(service.root(), &service.rootfs());
    guest.document_with(|machine| machine.guest_connection(schema::GuestConnection::default()))
}

/// Makes each of these a test in a container, and all of them together one in any place: a machine takes its time to boot.
macro_rules! in_every_place {
    ($($body:ident),+ $(,)?) => {
        mod in_a_container {
            $(
                #[test]
                fn $body() {
                    super::$body(&crate::place::Place::container());
                }
            )+
        }

        /// All of them, one after the other.
        pub fn all(place: &crate::place::Place) {
            $(
                println!(stringify!($body));
                $body(place);
            )+
        }
    };
}
pub(crate) use in_every_place;
