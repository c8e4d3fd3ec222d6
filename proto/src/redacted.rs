//! `Debug` for messages that hold a secret: everything but the secret, so that no log line can spill one.
use std::fmt::{Debug, Formatter, Result};

use crate::{admin, relay};

const SECRET: &str = "[redacted]";

impl Debug for relay::v1::KeyMaterial {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("KeyMaterial")
            .field("access_key", &self.access_key)
            .field("version", &self.version)
            .field("value", &SECRET)
            .field("use", &self.r#use)
            .finish()
    }
}

impl Debug for relay::v1::AwsWebIdentity {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("AwsWebIdentity")
            .field("fleet", &self.fleet)
            .field("token", &SECRET)
            .finish_non_exhaustive()
    }
}

impl Debug for relay::v1::AwsCallerIdentity {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("AwsCallerIdentity")
            .field("fleet", &self.fleet)
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .field("session_token", &SECRET)
            .field("signature", &SECRET)
            .finish_non_exhaustive()
    }
}

impl Debug for relay::v1::EnrollRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("EnrollRequest")
            .field("proof", &SECRET)
            .field("description", &self.description)
            .finish_non_exhaustive()
    }
}

impl Debug for admin::v1::AccessKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("AccessKey")
            .field("name", &self.name)
            .field("display_name", &self.display_name)
            .field("value", &SECRET)
            .field("enabled", &self.enabled)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Debug for admin::v1::RotateAccessKeyRequest {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("RotateAccessKeyRequest")
            .field("name", &self.name)
            .field("value", &SECRET)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

impl Debug for admin::v1::CreateApiTokenResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateApiTokenResponse")
            .field("api_token", &self.api_token)
            .field("text", &SECRET)
            .finish()
    }
}

impl Debug for admin::v1::CreateEnrollmentTokenResponse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_struct("CreateEnrollmentTokenResponse")
            .field("enrollment_token", &self.enrollment_token)
            .field("text", &SECRET)
            .finish()
    }
}

impl Debug for relay::v1::enroll_request::Proof {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::EnrollmentToken(_) => f.debug_tuple("EnrollmentToken").field(&SECRET).finish(),
            Self::AwsWebIdentity(proof) => proof.fmt(f),
            Self::AwsCallerIdentity(proof) => proof.fmt(f),
        }
    }
}
