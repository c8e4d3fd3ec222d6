//! Starts the control plane, or asks one how it is.
use std::{
    io::{self, Write},
    process::ExitCode,
};

use ekiden_control_plane::{
    arguments::{self, Command, Refusal, Settings},
    clock::Clock,
    data_dir, healthcheck, lifecycle,
};
use ekiden_telemetry::{InitError, Service};
use tokio::signal::unix::{SignalKind, signal};

/// `EX_USAGE` of sysexits.h: wrong settings.
const USAGE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    // The one provider of the process; a second call finds it there.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let arguments = match arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(Refusal::Asked(text)) => return say(&mut io::stdout(), &[text], ExitCode::SUCCESS),
        Err(Refusal::Wrong(problems)) => {
            return say(&mut io::stderr(), &problems, ExitCode::from(USAGE));
        }
    };
    let settings = arguments.settings;
    let outcome = match arguments.command {
        Command::Serve => return logged(settings, true).await,
        Command::Migrate => return logged(settings, false).await,
        Command::Healthcheck => {
            let name = settings.server.server_names.first().cloned().unwrap_or_default();
            healthcheck::run(&settings.data_dir, &name).await
        }
        Command::Ca => match data_dir::read_ca(&settings.data_dir) {
            Ok(pem) => return say(&mut io::stdout(), &[pem], ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&mut io::stderr(), &[format!("ekiden-control-plane: {error:#}")], ExitCode::FAILURE)
        }
    }
}

async fn logged(settings: Settings, serve: bool) -> ExitCode {
    let service = Service {
        name: "ekiden-control-plane",
        version: env!("CARGO_PKG_VERSION"),
        instance: uuid::Uuid::now_v7().to_string(),
        log: "info",
    };
    let telemetry = match ekiden_telemetry::init(service) {
        Ok(telemetry) => telemetry,
        Err(InitError::Environment(problems)) => {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return say(&mut io::stderr(), &lines, ExitCode::from(USAGE));
        }
        Err(error) => return say(&mut io::stderr(), &[error.to_string()], ExitCode::FAILURE),
    };
    let outcome = match serve {
        true => lifecycle::serve(settings, Clock::system(), told_to_stop()).await,
        false => lifecycle::migrate(&settings).await,
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "The control plane cannot go on");
            ExitCode::FAILURE
        }
    };
    telemetry.shutdown().await;
    code
}

async fn told_to_stop() -> &'static str {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("Signals cannot be received; only SIGKILL will stop this process");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

fn say(to: &mut dyn Write, lines: &[String], code: ExitCode) -> ExitCode {
    let told = lines.iter().try_for_each(|line| writeln!(to, "{}", line.trim_end()));
    if told.is_err() { ExitCode::FAILURE } else { code }
}
