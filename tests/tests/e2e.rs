//! End to end: the real binaries among real protocols, each test in a world of its own.
mod e2e {
    mod authorities;
    mod balance;
    mod bystander;
    mod cells;
    mod changes;
    mod cloud_maps;
    mod command_line;
    mod credentials;
    mod descriptors;
    mod drain;
    mod enrollment;
    mod environment;
    mod failures;
    mod garbage;
    mod hostile;
    mod impostor;
    mod leaving;
    mod loads;
    mod master_key;
    mod moto;
    mod python;
    mod refusals;
    mod refused;
    mod registration;
    mod roles;
    mod rotation;
    mod secrets;
    mod small_tasks;
    mod streams;
    mod telemetry;
    mod unfit;
    mod ways;
    mod world;
}
