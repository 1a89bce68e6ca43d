//! What a link knows of its session: the handles that are watched, and what has happened to them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use hcs_ipc::compute::{Attach, Attached, Claim, Event, EventKind, ProcessClaim};
use hcs_schema::Any;

/// Something that happened to what a handle stands for.
#[derive(Clone, Debug)]
pub enum LinkEvent {
    /// An event of the service.
    Happened(EventKind, Option<Any>),
    /// The service was away for too long, or came back without what the handle stood for.
    Disconnected,
}

/// Told of events, on the link's thread.
pub type Listener = Arc<dyn Fn(LinkEvent) + Send + Sync>;

/// Events of handles that nobody watches yet. They are watched at once after their creation, so few wait, and
/// those that wait for long belong to handles that have been closed.
const MOST_EARLY: usize = 1024;

/// Names a handle of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    System(u64),
    Process(u64),
}

struct WatchedSystem {
    id: String,
    instance: String,
    /// None once the handle is closed while handles to its processes remain: they are claimed through it.
    listener: Option<Listener>,
    processes: BTreeMap<u64, u32>,
}

struct WatchedProcess {
    system: u64,
    listener: Listener,
}

/// The watched handles.
#[derive(Default)]
pub struct Watched {
    systems: BTreeMap<u64, WatchedSystem>,
    processes: HashMap<u64, WatchedProcess>,
    early: VecDeque<(Key, LinkEvent)>,
}

/// Listeners with what each is to be told, called when no lock is held.
pub type News = Vec<(Listener, LinkEvent)>;

impl Watched {
    /// Watches a system's handle.
    pub fn system(&mut self, handle: u64, id: &str, instance: &str, listener: Listener) -> News {
        let (id, instance) = (id.to_owned(), instance.to_owned());
        let entry =
            WatchedSystem { id, instance, listener: Some(listener.clone()), processes: BTreeMap::new() };
        self.systems.insert(handle, entry);
        self.take_early(Key::System(handle), &listener)
    }

    /// Watches a process's handle.
    pub fn process(&mut self, process: u64, system: u64, process_id: u32, listener: Listener) -> News {
        if let Some(system) = self.systems.get_mut(&system) {
            system.processes.insert(process, process_id);
        }
        self.processes.insert(process, WatchedProcess { system, listener: listener.clone() });
        self.take_early(Key::Process(process), &listener)
    }

    fn take_early(&mut self, key: Key, listener: &Listener) -> News {
        let mut news = News::new();
        self.early.retain(|(of, event)| {
            if *of == key {
                news.push((listener.clone(), event.clone()));
            }
            *of != key
        });
        news
    }

    /// Forgets a system's handle.
    pub fn forget_system(&mut self, handle: u64) {
        self.early.retain(|(key, _)| *key != Key::System(handle));
        if let Some(system) = self.systems.get_mut(&handle) {
            system.listener = None;
            if system.processes.is_empty() {
                self.systems.remove(&handle);
            }
        }
    }

    /// Forgets a process's handle.
    pub fn forget_process(&mut self, process: u64) {
        self.early.retain(|(key, _)| *key != Key::Process(process));
        let Some(WatchedProcess { system: handle, .. }) = self.processes.remove(&process) else { return };
        if let Some(system) = self.systems.get_mut(&handle) {
            system.processes.remove(&process);
            if system.processes.is_empty() && system.listener.is_none() {
                self.systems.remove(&handle);
            }
        }
    }

    /// Takes an event in.
    pub fn happened(&mut self, event: Event) -> News {
        let told = LinkEvent::Happened(event.r#type, event.data);
        let (key, listener) = match (event.handle, event.process) {
            (_, Some(process)) => {
                (Key::Process(process), self.processes.get(&process).map(|one| one.listener.clone()))
            }
            (Some(handle), None) => {
                (Key::System(handle), self.systems.get(&handle).and_then(|one| one.listener.clone()))
            }
            (None, None) => return News::new(),
        };
        if let Some(listener) = listener {
            return vec![(listener, told)];
        }
        if self.early.len() == MOST_EARLY {
            self.early.pop_front();
        }
        self.early.push_back((key, told));
        News::new()
    }

    /// The call that begins or resumes the session.
    pub fn claim(&self, token: Option<String>) -> Attach {
        let claims = self
            .systems
            .iter()
            .map(|(handle, system)| Claim {
                handle: *handle,
                id: system.id.clone(),
                instance: system.instance.clone(),
                processes: (system.processes.iter())
                    .map(|(process, process_id)| ProcessClaim { process: *process, process_id: *process_id })
                    .collect(),
            })
            .collect();
        Attach { token, claims: Some(claims) }
    }

    /// The session has been resumed. Who holds a handle that has not come back is told; the numbers are of
    /// handles that came back although they are closed.
    pub fn resumed(&mut self, attached: &Attached) -> (News, Vec<u64>) {
        let mut news = News::new();
        for (process, watched) in &self.processes {
            if !attached.processes.contains(process) {
                news.push((watched.listener.clone(), LinkEvent::Disconnected));
            }
        }
        let mut superfluous = Vec::new();
        for (handle, watched) in &self.systems {
            match (&watched.listener, attached.handles.contains(handle)) {
                (Some(listener), false) => news.push((listener.clone(), LinkEvent::Disconnected)),
                (None, true) => superfluous.push(*handle),
                _ => {}
            }
        }
        (news, superfluous)
    }

    /// The session is over.
    pub fn over(&mut self) -> News {
        let systems = std::mem::take(&mut self.systems).into_values().filter_map(|system| system.listener);
        let processes = std::mem::take(&mut self.processes).into_values().map(|process| process.listener);
        self.early.clear();
        systems.chain(processes).map(|listener| (listener, LinkEvent::Disconnected)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Heard = Arc<Mutex<Vec<String>>>;

    fn listener(name: &str, heard: &Heard) -> Listener {
        let (name, heard) = (name.to_owned(), heard.clone());
        Arc::new(move |event| {
            let what = match event {
                LinkEvent::Happened(kind, _) => format!("{kind:?}"),
                LinkEvent::Disconnected => "Disconnected".to_owned(),
            };
            heard.lock().unwrap().push(format!("{name} {what}"));
        })
    }

    fn tell(news: News) {
        news.into_iter().for_each(|(listener, event)| listener(event));
    }

    fn exited(handle: Option<u64>, process: Option<u64>) -> Event {
        let kind = if process.is_some() { EventKind::ProcessExited } else { EventKind::SystemExited };
        Event { sequence: 1, r#type: kind, handle, process, data: None }
    }

    fn drain(heard: &Heard) -> Vec<String> {
        std::mem::take(&mut heard.lock().unwrap())
    }

    #[test]
    fn an_event_before_the_watch_is_told_when_it_begins_and_once() {
        let (mut watched, heard) = (Watched::default(), Heard::default());
        tell(watched.happened(exited(Some(1), None)));
        assert!(drain(&heard).is_empty());
        tell(watched.system(1, "web", "instance", listener("one", &heard)));
        assert_eq!(drain(&heard), ["one SystemExited"]);
        tell(watched.system(2, "db", "instance", listener("two", &heard)));
        assert!(drain(&heard).is_empty());
    }

    #[test]
    fn a_forgotten_handle_is_told_nothing() {
        let (mut watched, heard) = (Watched::default(), Heard::default());
        tell(watched.system(1, "web", "instance", listener("one", &heard)));
        watched.forget_system(1);
        tell(watched.happened(exited(Some(1), None)));
        tell(watched.over());
        assert!(drain(&heard).is_empty());
    }

    #[test]
    fn processes_are_claimed_through_their_system_even_when_its_handle_is_closed() {
        let (mut watched, heard) = (Watched::default(), Heard::default());
        tell(watched.system(1, "web", "instance", listener("system", &heard)));
        tell(watched.process(2, 1, 77, listener("process", &heard)));
        watched.forget_system(1);
        let claims = watched.claim(Some("token".to_owned())).claims.unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!(
            (claims[0].handle, claims[0].processes[0].process, claims[0].processes[0].process_id),
            (1, 2, 77)
        );
        let attached = Attached { token: "token".to_owned(), handles: vec![1], processes: vec![2] };
        let (news, superfluous) = watched.resumed(&attached);
        assert!(news.is_empty());
        assert_eq!(superfluous, [1]);
        watched.forget_process(2);
        assert!(watched.claim(None).claims.unwrap().is_empty());
    }

    #[test]
    fn what_does_not_come_back_is_told_as_lost() {
        let (mut watched, heard) = (Watched::default(), Heard::default());
        for handle in [1, 2] {
            tell(watched.system(handle, "web", "instance", listener(&format!("system {handle}"), &heard)));
        }
        tell(watched.process(3, 1, 7, listener("process 3", &heard)));
        let attached = Attached { token: "token".to_owned(), handles: vec![1], processes: vec![] };
        tell(watched.resumed(&attached).0);
        assert_eq!(drain(&heard), ["process 3 Disconnected", "system 2 Disconnected"]);
    }

    #[test]
    fn events_that_nobody_wants_do_not_pile_up() {
        let mut watched = Watched::default();
        for handle in 0..2 * MOST_EARLY as u64 {
            tell(watched.happened(exited(Some(handle), None)));
        }
        assert_eq!(watched.early.len(), MOST_EARLY);
    }
}
