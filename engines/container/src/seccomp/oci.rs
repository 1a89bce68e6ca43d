//! A filter as an OCI runtime specification describes it.

use hcs_core::{Cause, Error};
use hcs_schema::{
    OciSeccomp, OciSeccompAction, OciSeccompFlag, OciSeccompOperator, OciSyscallArgument, OciSyscallRule,
};

use super::{
    Architecture, Program, calls, compile,
    profile::{Action, Comparison, Condition, Profile, Rule},
};
use crate::policy::Notice;

/// The largest error number that a call can fail with.
const LARGEST_ERRNO: u32 = 4095;

/// Compiles the filter that stands at the path `at`. Names that no kernel knows are reported.
pub fn compile_oci(seccomp: &OciSeccomp, at: &str, notices: &mut Vec<Notice>) -> Result<Program, Error> {
    let mut rules = Vec::new();
    for (index, rule) in seccomp.syscalls.iter().flatten().enumerate() {
        rules.push(read_rule(rule, &format!("{at}.syscalls[{index}]"), notices)?);
    }
    let profile = Profile {
        default: action(
            seccomp.default_action.unwrap_or_default(),
            seccomp.default_errno_ret,
            &format!("{at}.defaultAction"),
            &format!("{at}.defaultErrnoRet"),
        )?,
        architectures: architectures(seccomp, &format!("{at}.architectures"), notices),
        rules,
        flags: flags(seccomp.flags.as_deref(), &format!("{at}.flags"))?,
    };
    compile(&profile).map_err(|error| error.at(format!("{at}.syscalls")))
}

fn read_rule<'a>(rule: &'a OciSyscallRule, at: &str, notices: &mut Vec<Notice>) -> Result<Rule<'a>, Error> {
    let mut names = Vec::new();
    for (index, name) in rule.names.iter().flatten().enumerate() {
        if calls::is_known(name) {
            names.push(name.as_str());
        } else {
            notices.push(Notice {
                path: format!("{at}.names[{index}]"),
                message: format!("{name} was accepted and has no effect: there is no such system call"),
            });
        }
    }
    let mut conditions: Vec<Condition> = Vec::new();
    for (index, argument) in rule.args.iter().flatten().enumerate() {
        let condition = read_condition(argument, &format!("{at}.args[{index}]"))?;
        // Others take such conditions as alternatives, against the specification. Neither is guessed.
        if conditions.iter().any(|other| other.argument == condition.argument) {
            let detail = format!("found a second condition on the argument {}", condition.argument);
            return Err(Error::new(Cause::NotSupported, detail)
                .at(format!("{at}.args[{index}].index"))
                .hint("Write alternatives as rules of their own."));
        }
        conditions.push(condition);
    }
    let action = action(
        rule.action.unwrap_or_default(),
        rule.errno_ret,
        &format!("{at}.action"),
        &format!("{at}.errnoRet"),
    )?;
    Ok(Rule { calls: names, action, conditions })
}

fn read_condition(argument: &OciSyscallArgument, at: &str) -> Result<Condition, Error> {
    let index = argument.index.unwrap_or(0);
    let number = u8::try_from(index).ok().filter(|number| *number < 6).ok_or_else(|| {
        Error::new(Cause::InvalidData, format!("found {index}, expected 0 to 5")).at(format!("{at}.index"))
    })?;
    let value = argument.value.unwrap_or(0);
    let comparison = match argument.op.unwrap_or_default() {
        OciSeccompOperator::NotEqual => Comparison::NotEqual(value),
        OciSeccompOperator::Less => Comparison::Less(value),
        OciSeccompOperator::LessOrEqual => Comparison::LessOrEqual(value),
        OciSeccompOperator::Equal => Comparison::Equal(value),
        OciSeccompOperator::GreaterOrEqual => Comparison::GreaterOrEqual(value),
        OciSeccompOperator::Greater => Comparison::Greater(value),
        OciSeccompOperator::MaskedEqual => {
            Comparison::MaskedEqual { mask: value, value: argument.value_two.unwrap_or(0) }
        }
    };
    Ok(Condition { argument: number, comparison })
}

fn action(action: OciSeccompAction, errno: Option<u32>, at: &str, errno_at: &str) -> Result<Action, Error> {
    let value = errno.unwrap_or(libc::EPERM as u32);
    let takes_a_value = matches!(action, OciSeccompAction::Errno | OciSeccompAction::Trace);
    if value > LARGEST_ERRNO || errno.is_some_and(|errno| errno != 0) && !takes_a_value {
        let expected = if takes_a_value { "at most 4095" } else { "none with this action" };
        return Err(
            Error::new(Cause::InvalidData, format!("found {value}, expected {expected}")).at(errno_at)
        );
    }
    Ok(match action {
        OciSeccompAction::Allow => Action::Allow,
        OciSeccompAction::Log => Action::Log,
        OciSeccompAction::Errno => Action::Errno(value as u16),
        OciSeccompAction::Trace => Action::Trace(value as u16),
        OciSeccompAction::Trap => Action::Trap(0),
        OciSeccompAction::Kill | OciSeccompAction::KillThread => Action::KillThread,
        OciSeccompAction::KillProcess => Action::KillProcess,
        OciSeccompAction::Notify => {
            return Err(Error::new(
                Cause::NotSupported,
                "this version of the container engine asks nobody about system calls",
            )
            .at(at));
        }
    })
}

/// The processor's own architecture is always among them. Those of other processors mean nothing here.
fn architectures(seccomp: &OciSeccomp, at: &str, notices: &mut Vec<Notice>) -> Vec<Architecture> {
    let mut covered = vec![Architecture::NATIVE];
    for (index, name) in seccomp.architectures.iter().flatten().enumerate() {
        match Architecture::from_oci(name) {
            Some(one) if Architecture::NATIVE.family().contains(&one) => covered.push(one),
            _ => notices.push(Notice {
                path: format!("{at}[{index}]"),
                message: format!("{name} was accepted and has no effect: this processor has no such calls"),
            }),
        }
    }
    covered.sort_unstable();
    covered.dedup();
    covered
}

fn flags(flags: Option<&[OciSeccompFlag]>, at: &str) -> Result<u32, Error> {
    let Some(flags) = flags else { return Ok(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32) };
    flags.iter().enumerate().try_fold(0, |bits, (index, flag)| {
        Ok(bits
            | match flag {
                OciSeccompFlag::Log => libc::SECCOMP_FILTER_FLAG_LOG as u32,
                OciSeccompFlag::AllowSpeculation => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as u32,
                // A process has one thread when it is put under its filter.
                OciSeccompFlag::Synchronise => 0,
                OciSeccompFlag::WaitKillable => {
                    return Err(Error::new(Cause::NotSupported, format!("{flag} needs somebody to ask"))
                        .at(format!("{at}[{index}]")));
                }
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Program, Vec<Notice>), Error> {
        let seccomp = hcs_schema::read::<OciSeccomp>(text).unwrap().value;
        let mut notices = Vec::new();
        compile_oci(&seccomp, "$", &mut notices).map(|program| (program, notices))
    }

    #[test]
    fn a_filter_is_read_and_what_has_no_effect_is_told() {
        let (program, notices) = read(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
                "architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_AARCH64"],
                "syscalls":[{"names":["read","bogus"],"action":"SCMP_ACT_ALLOW"},
                            {"names":["socket"],"action":"SCMP_ACT_TRACE","errnoRet":3,
                             "args":[{"index":0,"value":40,"op":"SCMP_CMP_NE"}]}]}"#,
        )
        .unwrap();
        assert!(program.length() > 5);
        let paths: Vec<&str> = notices.iter().map(|notice| notice.path.as_str()).collect();
        assert!(paths.contains(&"$.syscalls[0].names[1]"), "{paths:?}");
        assert_eq!(paths.len(), 2);
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_its_place() {
        for (text, cause, path) in [
            (r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#, Cause::NotSupported, "$.defaultAction"),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":5}"#,
                Cause::InvalidData,
                "$.defaultErrnoRet",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG",
                    "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
                Cause::InvalidData,
                "$.syscalls[0].args[0].index",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG",
                    "args":[{"index":1,"value":0,"op":"SCMP_CMP_GT"},{"index":1,"value":5,"op":"SCMP_CMP_LT"}]}]}"#,
                Cause::NotSupported,
                "$.syscalls[0].args[1].index",
            ),
            (
                r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}"#,
                Cause::NotSupported,
                "$.flags[0]",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.cause, error.path.as_deref()), (cause, Some(path)), "{text}");
        }
    }
}
