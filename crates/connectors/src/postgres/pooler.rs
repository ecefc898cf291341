//! What PgBouncer says for itself: under one code, whatever it means.

use engine::target::TargetErrorKind as Kind;

/// protocol_violation: PgBouncer's code for nearly everything.
pub(super) const CODE: &str = "08P01";

/// What a message of PgBouncer's own means that does not pass by itself: kind, code of the problem, remedy.
pub(super) fn explain(message: &str) -> Option<(Kind, &'static str, &'static str)> {
    let known = [
        (
            "transaction blocks not allowed",
            "POSTGRES-POOLER",
            "tributary writes in transactions: let the pooler use `pool_mode = transaction` or `session`, or name the \
             server itself in the URL.",
        ),
        (
            "unsupported startup parameter",
            "POSTGRES-POOLER",
            "Leave `options` out of the URL, or let the pooler pass it by: `ignore_startup_parameters = options`.",
        ),
        (
            "bouncer config error",
            "POSTGRES-POOLER",
            "Correct the pooler's configuration: its log says what is wrong.",
        ),
        (
            "password authentication failed",
            "POSTGRES-AUTH",
            "Correct user and password in the URL, and see that the pooler's `auth_file` has them.",
        ),
        (
            "no such database",
            "POSTGRES-DATABASE",
            "Correct the name in the URL, or add the database to the pooler's `[databases]`.",
        ),
    ];
    let found = known.into_iter().find(|(words, ..)| message.contains(words));
    found.map(|(_, code, fix)| (Kind::Fatal, code, fix))
}
