//! The stage of the demo: a private service in a temporary folder, commands that use it, and the way back.
//!
//! Everything that can happen arrives at one channel, so each wait sees the interruption and the service's death
//! too, and has a limit.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use crate::{Outcome, command::Line, folder::TemporaryFolder, workspace::Workspace};

/// The longest that any single step may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Why a demo ended that the user has ended.
pub const INTERRUPTED: &str = "interrupted; everything is removed";

/// How often the way back is tried.
const TRIES: usize = 2;

/// What can happen.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    /// Whoever started us has gone.
    Interrupted,
    /// The service can be used.
    Ready,
    /// A line of the service's log.
    Log(String),
    /// The service's log has ended, and with it the service.
    ServiceEnded,
    /// A line that a command printed.
    Printed(String),
    /// The output of a command has ended.
    PrintEnded,
}

/// The stage.
pub struct Stage {
    programs: PathBuf,
    folder: Option<TemporaryFolder>,
    base: PathBuf,
    events: Receiver<Event>,
    sender: Sender<Event>,
    service: Option<Child>,
    log: Vec<String>,
    leaving: bool,
}

impl Stage {
    /// Makes the folder and listens for the end of whoever started us.
    pub fn new(workspace: &Workspace) -> Outcome<Stage> {
        let folder = TemporaryFolder::new("hcs-demo")?;
        let base = folder.path().to_owned();
        let (sender, events) = mpsc::channel();
        let starter = sender.clone();
        thread::spawn(move || {
            // Nothing is ever written to it; its end is the message.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            let _ = starter.send(Event::Interrupted);
        });
        let stage = Stage {
            programs: workspace.release(),
            folder: Some(folder),
            events,
            sender,
            service: None,
            log: Vec::new(),
            leaving: false,
            base,
        };
        stage.listen_for_readiness()?;
        Ok(stage)
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Tells the user. Nobody may be left to read it, which is no failure.
    pub fn say(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// Shows text that is not ours.
    pub fn quote(&self, text: &str) {
        for line in text.lines() {
            self.say(&format!("    {line}"));
        }
    }

    /// Shows what the service has logged.
    pub fn show_log(&mut self) {
        for event in self.events.try_iter() {
            if let Event::Log(line) = event {
                self.log.push(line);
            }
        }
        if !self.log.is_empty() {
            self.say("\nThe service's log:\n");
            self.quote(&self.log.join("\n"));
        }
    }

    fn listen_for_readiness(&self) -> Outcome {
        let path = self.path("notify");
        let socket = UnixDatagram::bind(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let sender = self.sender.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                    let _ = sender.send(Event::Ready);
                }
            }
        });
        Ok(())
    }

    /// Starts the service and waits until it can be used.
    pub fn start_service(&mut self) -> Outcome {
        let program = self.programs.join("hcsd");
        let service = Command::new(&program)
            .arg("--root")
            .arg(self.path("service"))
            .env_remove("HCS_SOCKET")
            .env_remove("HCS_WORKER")
            .env("NOTIFY_SOCKET", self.path("notify"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut service = service.map_err(|error| format!("{}: {error}", program.display()))?;
        self.report_lines(service.stderr.take(), Event::Log, Event::ServiceEnded);
        self.service = Some(service);
        let wait = Instant::now();
        while self.next(wait, "the start of the service")? != Event::Ready {}
        Ok(())
    }

    /// Runs the command line, shows it and what it prints.
    pub fn hcs(&mut self, arguments: &[&str]) -> Outcome {
        let shown = Line::new(["hcs"].iter().chain(arguments).copied());
        self.say(&format!("$ {shown}"));
        let mut command = Command::new(self.programs.join("hcs"))
            .args(arguments)
            .current_dir(&self.base)
            .env("HCS_SOCKET", self.path("service/run/hcs.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`{shown}`: {error}"))?;
        self.report_lines(command.stdout.take(), Event::Printed, Event::PrintEnded);
        let outcome = self.show_until_end();
        if outcome.is_err() {
            let _ = command.kill();
        }
        let status = command.wait().map_err(|error| format!("`{shown}`: {error}"))?;
        outcome?;
        if status.success() { Ok(()) } else { Err(format!("`{shown}`: {status}")) }
    }

    fn show_until_end(&mut self) -> Outcome {
        let wait = Instant::now();
        loop {
            match self.next(wait, "a command")? {
                Event::Printed(line) => self.quote(&line),
                Event::PrintEnded => return Ok(()),
                _ => {}
            }
        }
    }

    /// Ends what is running and removes the folder. Does nothing the second time.
    pub fn tear_down(&mut self) -> Outcome {
        let Some(folder) = self.folder.take() else { return Ok(()) };
        self.leaving = true;
        let mut outcome = self.end_all();
        for _ in 1..TRIES {
            if outcome.is_err() {
                // A new service adopts what the old one has left, and removes what is half made.
                outcome = self.start_service().and_then(|()| self.end_all());
            }
        }
        outcome.map_err(|error| {
            self.show_log();
            format!("not everything could be ended ({error}); what remains is in {}", folder.keep().display())
        })
    }

    fn end_all(&mut self) -> Outcome {
        let ended = if self.has_systems() { self.hcs(&["kill", "demo"]) } else { Ok(()) };
        self.stop_service().and(ended)?;
        if self.has_systems() { Err("a container is still there".to_owned()) } else { Ok(()) }
    }

    /// The service has a folder for each live system.
    fn has_systems(&self) -> bool {
        fs::read_dir(self.path("service/run/systems")).is_ok_and(|mut folders| folders.next().is_some())
    }

    fn stop_service(&mut self) -> Outcome {
        let Some(mut service) = self.service.take() else { return Ok(()) };
        if let Ok(Some(status)) = service.try_wait() {
            return Err(format!("the service: {status}"));
        }
        // The standard library can only kill; the service removes its cgroups if it is asked.
        let terminate = Line::new(["sh", "-c", &format!("kill -TERM {}", service.id())]);
        let outcome = terminate.run(Path::new("/")).and_then(|()| self.wait_for_service());
        if outcome.is_err() {
            let _ = service.kill();
        }
        let status = service.wait().map_err(|error| format!("the service: {error}"))?;
        outcome?;
        if status.success() { Ok(()) } else { Err(format!("the service: {status}")) }
    }

    fn wait_for_service(&mut self) -> Outcome {
        let wait = Instant::now();
        while self.next(wait, "the stop of the service")? != Event::ServiceEnded {}
        Ok(())
    }

    /// What happens next. Fails if it is the end of our starter or of the service, or nothing in time.
    fn next(&mut self, since: Instant, what: &str) -> Outcome<Event> {
        let event = self.events.recv_timeout(LIMIT.saturating_sub(since.elapsed()));
        match event {
            Ok(Event::Log(line)) => {
                self.log.push(line.clone());
                Ok(Event::Log(line))
            }
            Ok(Event::Interrupted) if !self.leaving => Err(INTERRUPTED.to_owned()),
            Ok(Event::ServiceEnded) if !self.leaving => Err("the service has ended".to_owned()),
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) => Err(format!("{what} took more than {} s", LIMIT.as_secs())),
            // We hold a sender ourselves.
            Err(RecvTimeoutError::Disconnected) => Err("the channel is closed".to_owned()),
        }
    }

    /// Sends each line of a stream to the channel, and its end.
    fn report_lines(&self, from: Option<impl Read + Send + 'static>, line: fn(String) -> Event, end: Event) {
        let sender = self.sender.clone();
        thread::spawn(move || {
            let lines = from.map(|from| BufReader::new(from).lines());
            for text in lines.into_iter().flatten().map_while(Result::ok) {
                let _ = sender.send(line(text));
            }
            let _ = sender.send(end);
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = self.tear_down() {
            eprintln!("xtask: {error}");
        }
    }
}
