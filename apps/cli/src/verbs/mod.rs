//! The verbs. Each file has the arguments of one and does it.

mod access;
mod call;
pub mod completion;
mod crash;
mod create;
mod disk;
mod doctor;
mod events;
mod exec;
mod image;
mod image_pull;
mod kill;
mod layer;
mod list;
mod man;
mod ops;
mod pause;
mod props;
mod ps;
mod resume;
mod save;
mod screenshot;
mod service;
mod start;
mod stop;
mod validate;
mod vm;

use std::process::ExitCode;

use clap::Subcommand;
use hcs::System;

use crate::{Context, failure::Failure};

/// What is to be done.
#[derive(Subcommand)]
pub enum Verb {
    List(list::List),
    Create(create::Create),
    Start(start::Start),
    Exec(exec::Exec),
    Stop(stop::Stop),
    Kill(kill::Kill),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Save(save::Save),
    Crash(crash::Crash),
    Screenshot(screenshot::Screenshot),
    Ps(ps::Ps),
    Props(props::Props),
    Events(events::Events),
    Validate(validate::Validate),
    Layer(layer::Layer),
    Image(image::Image),
    Disk(disk::Disk),
    Vm(vm::Vm),
    Access(access::Access),
    Service(service::Service),
    Ops(ops::Ops),
    Call(call::Call),
    Completion(completion::Completion),
    Doctor(doctor::Doctor),
    Man(man::Man),
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
            Verb::Stop(verb) => verb.run(context),
            Verb::Kill(verb) => verb.run(context),
            Verb::Pause(verb) => verb.run(context),
            Verb::Resume(verb) => verb.run(context),
            Verb::Save(verb) => verb.run(context),
            Verb::Crash(verb) => verb.run(context),
            Verb::Screenshot(verb) => verb.run(context),
            Verb::Ps(verb) => verb.run(context),
            Verb::Props(verb) => verb.run(context),
            Verb::Events(verb) => verb.run(context),
            Verb::Validate(verb) => verb.run(),
            Verb::Layer(verb) => verb.run(),
            Verb::Image(verb) => verb.run(),
            Verb::Disk(verb) => verb.run(),
            Verb::Vm(verb) => verb.run(),
            Verb::Access(verb) => verb.run(context),
            Verb::Service(verb) => verb.run(context),
            Verb::Ops(verb) => verb.run(context),
            Verb::Call(verb) => verb.run(context),
            Verb::Completion(verb) => verb.run(),
            Verb::Doctor(verb) => return verb.run(context),
            Verb::Man(verb) => verb.run(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// The system that a verb works on.
#[derive(clap::Args)]
pub struct Target {
    /// The system's id; case does not matter.
    id: String,
}

impl Target {
    /// Opens it.
    pub fn open(&self, context: &Context) -> Result<System, Failure> {
        Ok(context.client()?.open(&self.id).wait()?)
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
