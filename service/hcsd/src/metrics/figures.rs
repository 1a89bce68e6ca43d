//! All figures of the service. Names of systems are not among them: everybody may read this, and a label per system
//! would cost whoever keeps the figures more than it tells.

use std::{collections::HashMap, sync::PoisonError, time::UNIX_EPOCH};

use hcs_core::State;

use super::text::Text;
use crate::service::Service;

/// Everything, as it is now.
pub fn text(service: &Service) -> String {
    let mut text = Text::default();
    of_service(service, &mut text);
    of_systems(service, &mut text);
    of_calls(service, &mut text);
    of_clients(service, &mut text);
    text.finish()
}

fn of_service(service: &Service, text: &mut Text) {
    let version = env!("CARGO_PKG_VERSION");
    text.gauge("hcs_build_info", "The version of hcsd; the value is always 1.")
        .sample(&[("version", version)], 1);
    let started = service.metrics.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    text.gauge("hcs_start_time_seconds", "When hcsd was started, in seconds since 1970.")
        .sample(&[], format_args!("{}.{:03}", started.as_secs(), started.subsec_millis()));
    text.gauge("hcs_spare_workers", "Workers that wait for a system.")
        .sample(&[], service.spare_workers.ready());
    let reports = service.crashes.lock().unwrap_or_else(PoisonError::into_inner).list().len();
    text.gauge("hcs_crash_reports", "Crash reports that are kept.").sample(&[], reports);
}

fn of_systems(service: &Service, text: &mut Text) {
    let mut counts: HashMap<(bool, State), usize> = HashMap::new();
    for system in service.registry.all() {
        *counts.entry((system.is_machine, system.state())).or_default() += 1;
    }
    let mut systems = text.gauge("hcs_systems", "Compute systems, by type and state.");
    for (is_machine, kind) in [(false, "Container"), (true, "VirtualMachine")] {
        for state in State::ALL {
            let count = counts.get(&(is_machine, state)).copied().unwrap_or(0);
            systems.sample(&[("type", kind), ("state", state.name())], count);
        }
    }
}

fn of_calls(service: &Service, text: &mut Text) {
    let calls = &service.metrics.calls;
    let mut ended =
        text.counter("hcs_calls_total", "Calls that were answered, by method and by how they ended.");
    for method in calls.all() {
        for (outcome, counter) in [("done", &method.done), ("failed", &method.failed)] {
            ended.sample(&[("method", method.name), ("outcome", outcome)], counter.get());
        }
    }
    let mut took =
        text.histogram("hcs_call_duration_seconds", "How long calls took until they were answered.");
    for method in calls.all() {
        took.durations(&[("method", method.name)], &method.durations);
    }
    text.gauge("hcs_operations_pending", "Calls that change a system and are not answered yet.")
        .sample(&[], service.operations.count());
}

fn of_clients(service: &Service, text: &mut Text) {
    let metrics = &service.metrics;
    let (admitted, ended) = (metrics.connections_admitted.get(), metrics.connections_ended.get());
    text.gauge("hcs_connections", "Connections of clients.").sample(&[], admitted.saturating_sub(ended));
    text.counter("hcs_connections_admitted_total", "Connections that were admitted.").sample(&[], admitted);
    text.counter(
        "hcs_connections_refused_total",
        "Connections that were refused, for want of rights or of room.",
    )
    .sample(&[], metrics.connections_refused.get());
    text.counter("hcs_events_sent_total", "Events that were sent, one for each listener.")
        .sample(&[], metrics.events_sent.get());
    text.counter(
        "hcs_listeners_dropped_total",
        "Listeners that were disconnected because they did not keep up.",
    )
    .sample(&[], metrics.listeners_dropped.get());
}
