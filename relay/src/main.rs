//! Starts a relay, or asks one whether it lives.
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use ekiden_relay::{
    clock::Clock,
    environment::{self, Environment, Invocation, Refusal},
    error_chain::chain,
    healthcheck, lifecycle,
};
use ekiden_telemetry::{InitError, Service};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

/// `EX_USAGE` of sysexits.h: wrong settings.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match environment::read() {
        Ok(Invocation::Run(environment)) => run(*environment),
        Ok(Invocation::Healthcheck(settings)) => {
            match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => match runtime.block_on(healthcheck::ask(&settings)) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => fail(ExitCode::FAILURE, &[chain(&error)]),
                },
                Err(error) => fail(ExitCode::FAILURE, &[error.to_string()]),
            }
        }
        Err(Refusal::Usage(error)) => {
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            match error.print() {
                Ok(()) => code,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(Refusal::Problems(problems)) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            fail(ExitCode::from(USAGE), &lines)
        }
    }
}

fn run(environment: Environment) -> ExitCode {
    // The one provider of the process; a second call finds it there.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let runtime = Builder::new_multi_thread()
        .worker_threads(environment.worker_threads.get())
        .enable_all()
        .build();
    let runtime: Runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(ExitCode::FAILURE, &[error.to_string()]),
    };
    let code = runtime.block_on(live(environment));
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn live(environment: Environment) -> ExitCode {
    let service = Service {
        name: "ekiden-relay",
        version: env!("CARGO_PKG_VERSION"),
        instance: uuid::Uuid::now_v7().to_string(),
        log: environment.log,
    };
    let telemetry = match ekiden_telemetry::init(service) {
        Ok(telemetry) => telemetry,
        Err(InitError::Environment(problems)) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return fail(ExitCode::from(USAGE), &lines);
        }
        Err(error) => return fail(ExitCode::FAILURE, &[chain(&error)]),
    };
    let (stop, stops) = mpsc::channel(1);
    let lived = tokio::select! {
        lived = lifecycle::run(environment, Clock::system(), stops) => lived.map_err(anyhow::Error::from),
        failed = pass_signals_on(stop) => failed.context("signals cannot be received"),
    };
    let code = match lived {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %chain(error.as_ref()), "The relay cannot go on");
            ExitCode::FAILURE
        }
    };
    telemetry.shutdown().await;
    code
}

/// Tells of every signal that asks a process to stop; comes back only when there can be none.
async fn pass_signals_on(stop: mpsc::Sender<&'static str>) -> io::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    loop {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        if stop.send(name).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Says why on stderr, line by line: logs are not there yet.
fn fail(code: ExitCode, lines: &[String]) -> ExitCode {
    let mut stderr = io::stderr().lock();
    for line in lines {
        if writeln!(stderr, "ekiden-relay: {line}").is_err() {
            break;
        }
    }
    code
}
