//! The exports of the group Host Service.
#![expect(unsafe_code, reason = "exported names")]

use hcs::Error;
use hcs_core::Cause;
use hcs_ipc::compute::{GetServiceProperties, Method, ModifyServiceSettings, SubmitWerReport};

use crate::{
    abi::{Code, Out, Owned, Text, code},
    call::{self, Told},
    link::link,
    systems::hand_out,
};

/// Makes a call and hands its document out, or the one that explains its failure.
fn ask<M: Method>(
    call: Result<M, hcs_core::Error>,
    result: Out<Owned>,
    understand: impl FnOnce(M::Reply) -> Told,
) -> Code
where
    M::Reply: Send + 'static,
{
    let made = || -> Result<Told, Error> {
        let (reply, _) = link()?.call_wait(&call?)?;
        Ok(understand(reply))
    };
    let outcome = call::outcome(made());
    let handed = outcome.document().map_or(Ok(()), |document| hand_out(document, result));
    handed.err().unwrap_or(outcome.code())
}

#[unsafe(no_mangle)]
extern "C" fn HcsGetServiceProperties(query: Text, result: Out<Owned>) -> Code {
    if let Err(cause) = result.required() {
        return code(cause);
    }
    let call = query.options().map(|query| GetServiceProperties { query });
    ask(call, result, |reply| Told::document(reply.properties.get()))
}

#[unsafe(no_mangle)]
extern "C" fn HcsModifyServiceSettings(settings: Text, result: Out<Owned>) -> Code {
    result.clear();
    if settings.is_null() {
        return code(Cause::InvalidArgument);
    }
    ask(settings.document().map(|settings| ModifyServiceSettings { settings }), result, Told::from)
}

#[unsafe(no_mangle)]
extern "C" fn HcsSubmitWerReport(settings: Text) -> Code {
    if settings.is_null() {
        return code(Cause::InvalidArgument);
    }
    ask(settings.document().map(|report| SubmitWerReport { report }), Out::none(), |_| Told::default())
}
