//! What is known of the processes of a place: whether they live, and who waits for their end.

use std::collections::BTreeMap;

use hcs_gcs::guest::Question;
use hcs_ipc::worker::ProcessExit;
use hcs_mux::Stream;

/// How many ended processes are remembered that nobody has asked for.
const REMEMBERED: usize = 4096;

/// The processes of a place.
#[derive(Default)]
pub struct Processes {
    known: BTreeMap<u32, Known>,
    ended: std::collections::VecDeque<u32>,
}

struct Known {
    exit: Option<ProcessExit>,
    /// The streams of what it says.
    says: Vec<Stream>,
    waiting: Vec<Question>,
}

impl Processes {
    /// One was started.
    pub fn started(&mut self, process_id: u32, says: Vec<Stream>) {
        self.ended.retain(|id| *id != process_id);
        self.known.insert(process_id, Known { exit: None, says, waiting: Vec::new() });
    }

    /// One has ended.
    pub fn ended(&mut self, process_id: u32, exit: ProcessExit) {
        let Some(known) = self.known.get_mut(&process_id) else { return };
        known.exit = Some(exit);
        self.ended.push_back(process_id);
        if self.ended.len() > REMEMBERED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Somebody waits for the end of one; gives the question back if there is none.
    pub fn wait(&mut self, process_id: u32, question: Question) -> Result<(), Question> {
        match self.known.get_mut(&process_id) {
            Some(known) => {
                known.waiting.push(question);
                Ok(())
            }
            None => Err(question),
        }
    }

    /// Those who wait for a process that has ended and whose words were all sent, as far as `is_sent` says so. Who was
    /// told of the end remembers it, so it is forgotten here.
    pub fn settled(&mut self, is_sent: impl Fn(Stream) -> bool) -> Vec<(Question, ProcessExit)> {
        let is_over = |id: &&u32| {
            let known = self.known.get(id);
            known.is_some_and(|known| {
                !known.waiting.is_empty() && known.says.iter().all(|stream| is_sent(*stream))
            })
        };
        let over: Vec<u32> = self.ended.iter().filter(is_over).copied().collect();
        self.ended.retain(|id| !over.contains(id));
        let over = over.iter().filter_map(|id| self.known.remove(id));
        over.flat_map(|known| {
            let exit = known.exit.unwrap_or(ProcessExit { code: 0, out_of_memory: false });
            known.waiting.into_iter().map(move |question| (question, exit))
        })
        .collect()
    }

    /// Whether everybody who waits for one that has ended was told.
    pub fn is_told(&self) -> bool {
        !self.ended.iter().any(|id| self.known.get(id).is_some_and(|known| !known.waiting.is_empty()))
    }

    /// There is no host any more who could be told.
    pub fn forget_waiting(&mut self) {
        self.known.values_mut().for_each(|known| known.waiting.clear());
    }

    /// How many live.
    pub fn living(&self) -> usize {
        self.known.values().filter(|known| known.exit.is_none()).count()
    }
}
