//! Exit codes, by `sysexits.h` where it has one; `ekidenctl --help` lists them and scripts rely on them.
use std::io;

use tonic::Code;

use super::Failure;

/// The exit code for a failure.
#[must_use]
pub fn exit_code(failure: &Failure) -> u8 {
    match failure {
        Failure::Usage { .. } => 64,
        Failure::Config { .. } => 78,
        Failure::Unreachable { .. } | Failure::TimedOut { .. } => 69,
        // `ekidenctl … | head` is no failure.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Failure::Broken { .. } => 65,
        Failure::File { .. }
        | Failure::TextGone { .. }
        | Failure::RotationStopped { .. }
        | Failure::Output(_) => 1,
        Failure::Refused(refusal) => match refusal.code {
            Code::InvalidArgument | Code::OutOfRange => 65,
            Code::NotFound => 66,
            Code::Unavailable | Code::DeadlineExceeded => 69,
            Code::AlreadyExists => 73,
            Code::Aborted | Code::ResourceExhausted => 75,
            Code::Unauthenticated | Code::PermissionDenied => 77,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::FailedPrecondition
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => 1,
        },
    }
}
