//! The plan of a process in the words of the bridge.

use hcs_container::{ProcessPlan, attributes::Attributes, process_plan::no_program};
use hcs_core::{Cause, Error};
use hcs_gcs::records::{NULL_ID, ProcessParameters, Raw};

/// All of a plan, for an agent of this house.
pub fn whole(plan: &ProcessPlan, of: &str) -> Result<ProcessParameters, Error> {
    let mut plan = plan.clone();
    // It is kept on this side, where it outlives the agent.
    plan.keep_output = None;
    if of == NULL_ID {
        plan.attributes.is_unconfined = true;
        plan.attributes.no_new_privileges = false;
    }
    let text = serde_json::value::to_raw_value(&plan)
        .map_err(|error| Error::new(Cause::Unexpected, format!("writing the plan of a process: {error}")))?;
    Ok(ProcessParameters { plan: Some(Raw(text)), ..ProcessParameters::default() })
}

/// What a plan says, as far as the bridge has words for it.
pub fn of(plan: &ProcessPlan) -> Result<ProcessParameters, Error> {
    if plan.arguments.is_empty() {
        return Err(no_program());
    }
    // What it has no words for must not be lost.
    let none = |what: &str, at: &str| {
        let detail = format!("the agent in the guest cannot be told {what}: it is not hcs-guest");
        Err(Error::new(Cause::NotSupported, detail)
            .at(at)
            .hint("Leave it out, or run hcs-guest in the machine."))
    };
    if !matches!(plan.user.as_str(), "" | "root" | "0" | "0:0" | "root:root") {
        return none("who a process is", &plan.blame.user);
    }
    if plan.attributes != Attributes::default() {
        let at = plan.blame.attributes.as_deref().unwrap_or("$.OciProcess");
        return none("more of a process than its program, its folder and its streams", at);
    }
    let variable = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    // It is root, of whom no agent but ours knows where that is.
    let home = ("HOME".to_owned(), "/root".to_owned());
    let mut command_args = plan.arguments.clone();
    if let Some(program) = &plan.program {
        // There is no word for a program that is called by another name.
        command_args[0].clone_from(program);
    }
    Ok(ProcessParameters {
        command_args,
        working_directory: plan.working_directory.clone(),
        environment: [home].into_iter().chain(plan.environment.iter().map(variable)).collect(),
        emulate_console: plan.console.is_some(),
        create_std_in_pipe: plan.stdin,
        create_std_out_pipe: plan.stdout,
        create_std_err_pipe: plan.stderr,
        console_size: plan.console.map(|size| [size.rows, size.columns]),
        ..ProcessParameters::default()
    })
}
