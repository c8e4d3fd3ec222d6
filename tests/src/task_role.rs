//! The role that the world's tasks run under, as ECS gives it to them.
use crate::sigv4::Credentials;

/// Where the tasks run.
pub const REGION: &str = "ap-northeast-1";
/// Account of the role.
pub const ACCOUNT: &str = "123456789012";
/// The role.
pub const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/telemetry/ekiden-relay";
/// A session of it; the path is not in it.
pub const SESSION_ARN: &str = "arn:aws:sts::123456789012:assumed-role/ekiden-relay/0f3c1b5e";
/// Unique ids of the role and the session.
pub const USER_ID: &str = "AROAEKIDENRELAYROLE01:0f3c1b5e";
/// What the tasks sign with.
pub const CREDENTIALS: Credentials = Credentials {
    access_key_id: "ASIAEKIDENWORLD00001",
    secret: "the-world-s-own-secret-access-key-000001",
    session_token: "IQoJb3JpZ2luX2VjEKIDEN//////////the-world-s-own-session-token+0001==",
};
