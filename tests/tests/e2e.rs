//! End to end: the real binaries among real protocols, each test in a world of its own.
mod e2e {
    mod alone;
    mod changes;
    mod command_line;
    mod credentials;
    mod drain;
    mod failures;
    mod python;
    mod refusals;
    mod registration;
    mod relay_alone;
    mod secrets;
    mod streams;
    mod telemetry;
    mod ways;
    mod world;
}
