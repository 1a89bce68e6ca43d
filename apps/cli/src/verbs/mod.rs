//! The verbs. Each file has the arguments of one and does it.

mod access;
mod call;
mod cleanup;
pub mod completion;
mod config;
mod console;
mod cp;
mod crash;
mod create;
mod device;
mod disk;
mod doctor;
mod events;
mod exec;
mod image;
mod image_pull;
mod inspect;
mod introspect;
mod kill;
mod layer;
mod list;
mod logs;
mod man;
mod metrics;
mod modify;
mod operation;
mod pause;
mod ps;
mod restore;
mod resume;
mod run;
mod save;
mod screenshot;
mod service;
mod start;
mod stop;
mod template;
mod top;
mod validate;
mod vm;
mod wait;

use std::process::ExitCode;

use clap::{Args, Command, Subcommand};

pub use crate::target::{Target, Targets};
use crate::{Context, failure::Failure};

/// Declares the verbs, each by its name and its arguments.
macro_rules! verbs {
    ($($name:literal $Verb:ident($Arguments:ty),)*) => {
        /// What is to be done.
        #[derive(Subcommand)]
        #[command(defer = true)]
        pub enum Verb {
            $(#[command(name = $name)] $Verb($Arguments),)*
        }

        impl Verb {
            /// The parser of this one alone.
            pub fn parser(name: &str) -> Option<Command> {
                let (name, arguments): (_, fn(Command) -> Command) = match name {
                    $($name => ($name, <$Arguments>::augment_args),)*
                    _ => return None,
                };
                Some(arguments(Command::new(name)))
            }
        }
    };
}

verbs! {
    "list" List(list::List),
    "create" Create(create::Create),
    "start" Start(start::Start),
    "run" Run(run::Run),
    "exec" Exec(exec::Exec),
    "logs" Logs(logs::Logs),
    "console" Console(console::Console),
    "stop" Stop(stop::Stop),
    "kill" Kill(kill::Kill),
    "pause" Pause(pause::Pause),
    "resume" Resume(resume::Resume),
    "save" Save(save::Save),
    "restore" Restore(restore::Restore),
    "modify" Modify(modify::Modify),
    "device" Device(device::Device),
    "cp" Cp(cp::Cp),
    "crash" Crash(crash::Crash),
    "screenshot" Screenshot(screenshot::Screenshot),
    "ps" Ps(ps::Ps),
    "inspect" Inspect(inspect::Inspect),
    "wait" Wait(wait::Wait),
    "events" Events(events::Events),
    "validate" Validate(validate::Validate),
    "layer" Layer(layer::Layer),
    "image" Image(image::Image),
    "disk" Disk(disk::Disk),
    "vm" Vm(vm::Vm),
    "access" Access(access::Access),
    "service" Service(service::Service),
    "operation" Operation(operation::Operation),
    "introspect" Introspect(introspect::Introspect),
    "config" Config(config::Config),
    "metrics" Metrics(metrics::Metrics),
    "call" Call(call::Call),
    "completion" Completion(completion::Completion),
    "doctor" Doctor(doctor::Doctor),
    "cleanup" Cleanup(cleanup::Cleanup),
    "template" Template(template::Template),
    "top" Top(top::Top),
    "man" Man(man::Man),
}

impl Verb {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<ExitCode, Failure> {
        let done = match self {
            Verb::List(verb) => verb.run(context),
            Verb::Create(verb) => verb.run(context),
            Verb::Start(verb) => verb.run(context),
            // A process has its own exit code.
            Verb::Exec(verb) => return verb.run(context),
            Verb::Run(verb) => return verb.run(context),
            Verb::Wait(verb) => return verb.run(context),
            Verb::Logs(verb) => verb.run(context),
            // It may end by a signal.
            Verb::Console(verb) => return verb.run(context),
            Verb::Stop(verb) => verb.run(context),
            Verb::Kill(verb) => verb.run(context),
            Verb::Pause(verb) => verb.run(context),
            Verb::Resume(verb) => verb.run(context),
            Verb::Save(verb) => verb.run(context),
            Verb::Restore(verb) => verb.run(context),
            Verb::Modify(verb) => verb.run(context),
            Verb::Device(verb) => verb.run(context),
            Verb::Cp(verb) => verb.run(context),
            Verb::Crash(verb) => verb.run(context),
            Verb::Screenshot(verb) => verb.run(context),
            Verb::Ps(verb) => verb.run(context),
            Verb::Inspect(verb) => verb.run(context),
            Verb::Events(verb) => verb.run(context),
            Verb::Validate(verb) => verb.run(),
            Verb::Layer(verb) => verb.run(),
            Verb::Image(verb) => verb.run(),
            Verb::Disk(verb) => verb.run(),
            Verb::Vm(verb) => verb.run(),
            Verb::Access(verb) => verb.run(context),
            Verb::Service(verb) => verb.run(context),
            Verb::Operation(verb) => verb.run(context),
            Verb::Introspect(verb) => verb.run(context),
            Verb::Config(verb) => verb.run(),
            Verb::Metrics(verb) => verb.run(context),
            Verb::Call(verb) => verb.run(context),
            Verb::Completion(verb) => verb.run(),
            Verb::Cleanup(verb) => verb.run(),
            Verb::Template(verb) => verb.run(),
            Verb::Top(verb) => verb.run(context),
            Verb::Doctor(verb) => return verb.run(context),
            Verb::Man(verb) => verb.run(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// The text of a document of the service.
fn text_of(document: &impl hcs::schema::Document) -> Result<String, Failure> {
    hcs::schema::Any::from_value(document)
        .map(|text| text.get().to_owned())
        .map_err(|error| Failure::new(format!("a document cannot be written: {error}")))
}

/// The arguments of a list of properties: the names that there are.
fn names<T: Copy>(all: &'static [T], name: fn(T) -> &'static str) -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(all.iter().map(|one| name(*one)))
}

/// Those of the list that were named, in the order of the list.
fn named<T: Copy>(all: &[T], name: fn(T) -> &'static str, given: &[String]) -> Vec<T> {
    let is_given = |one: &T| given.iter().any(|given| given.eq_ignore_ascii_case(name(*one)));
    all.iter().copied().filter(is_given).collect()
}
