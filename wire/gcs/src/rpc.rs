//! What messages are called: a number of four parts.

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody wants something.
    Request,
    /// The answer.
    Response,
    /// Something has happened.
    Notification,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rpc {
    /// Make a container.
    Create,
    /// Start it.
    Start,
    /// Ask it to end.
    ShutdownGraceful,
    /// End it.
    ShutdownForced,
    /// Start a process.
    ExecuteProcess,
    /// Tell when it has ended.
    WaitForProcess,
    /// Send it a signal.
    SignalProcess,
    /// Its console has another size.
    ResizeConsole,
    /// Tell about a container.
    GetProperties,
    /// Change something.
    ModifySettings,
    /// Find a version that both speak.
    NegotiateProtocol,
    /// Tell what all threads do.
    DumpStacks,
    /// Forget a container that has stopped.
    DeleteContainerState,
    /// Change a container. For guests of Windows.
    UpdateContainer,
    /// Something happens to the machine. For guests of Windows.
    LifecycleNotification,
    /// Change the agent itself. For guests of Windows.
    ModifyServiceSettings,
}

/// Messages and their numbers, without the kind and the version.
const NUMBERS: &[(Rpc, u32)] = &[
    (Rpc::Create, 0x001_001),
    (Rpc::Start, 0x001_002),
    (Rpc::ShutdownGraceful, 0x001_003),
    (Rpc::ShutdownForced, 0x001_004),
    (Rpc::ExecuteProcess, 0x001_005),
    (Rpc::WaitForProcess, 0x001_006),
    (Rpc::SignalProcess, 0x001_007),
    (Rpc::ResizeConsole, 0x001_008),
    (Rpc::GetProperties, 0x001_009),
    (Rpc::ModifySettings, 0x001_00a),
    (Rpc::NegotiateProtocol, 0x001_00b),
    (Rpc::DumpStacks, 0x001_00c),
    (Rpc::DeleteContainerState, 0x001_00d),
    (Rpc::UpdateContainer, 0x001_00e),
    (Rpc::LifecycleNotification, 0x001_00f),
    (Rpc::ModifyServiceSettings, 0x002_001),
];

/// The version of every message.
const VERSION: u32 = 1;

/// The number of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageType(pub u32);

/// What a guest tells of a container.
pub const NOTIFICATION: MessageType = MessageType(0x3010_0101);

impl MessageType {
    /// A request.
    pub fn request(rpc: Rpc) -> MessageType {
        MessageType(0x1000_0000 | number(rpc) << 8 | VERSION)
    }

    /// The response to a request, also to one that nobody knows.
    pub fn response(self) -> MessageType {
        MessageType(self.0 & 0x0fff_ffff | 0x2000_0000)
    }

    /// What the message is, if it is anything.
    pub fn kind(self) -> Option<Kind> {
        match self.0 >> 28 {
            1 => Some(Kind::Request),
            2 => Some(Kind::Response),
            3 => Some(Kind::Notification),
            _ => None,
        }
    }

    /// What is wanted or answered, if it is known.
    pub fn rpc(self) -> Option<Rpc> {
        let wanted = self.0 >> 8 & 0xf_ffff;
        NUMBERS.iter().find(|(_, number)| *number == wanted && self.0 & 0xff == VERSION).map(|(rpc, _)| *rpc)
    }
}

fn number(rpc: Rpc) -> u32 {
    NUMBERS.iter().find(|(known, _)| *known == rpc).map_or(0, |(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_specification() {
        for (rpc, request) in [
            (Rpc::Create, 0x1010_0101),
            (Rpc::ExecuteProcess, 0x1010_0501),
            (Rpc::ModifySettings, 0x1010_0a01),
            (Rpc::NegotiateProtocol, 0x1010_0b01),
            (Rpc::LifecycleNotification, 0x1010_0f01),
            (Rpc::ModifyServiceSettings, 0x1020_0101),
        ] {
            let message = MessageType::request(rpc);
            assert_eq!((message.0, message.kind(), message.rpc()), (request, Some(Kind::Request), Some(rpc)));
            let response = message.response();
            assert_eq!((response.0, response.kind()), (request + 0x1000_0000, Some(Kind::Response)));
            assert_eq!(response.rpc(), Some(rpc));
        }
        assert_eq!(NOTIFICATION.kind(), Some(Kind::Notification));
        assert_eq!(MessageType(0x1010_6301).rpc(), None);
        assert_eq!(MessageType(0x1010_0102).rpc(), None);
        assert_eq!(MessageType(0x1010_6301).response(), MessageType(0x2010_6301));
        assert_eq!(MessageType(0x7010_0101).kind(), None);
    }
}
