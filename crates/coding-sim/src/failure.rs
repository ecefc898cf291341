//! Errors as the service states them: a code and a message inside a 200.

use std::borrow::Cow;

/// An error of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) message: Cow<'static, str>,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// A row or a project that is not there.
    pub(crate) fn not_found() -> Self {
        Self::new("ResourceNotFound", "资源未找到")
    }

    /// The credential's user is unknown.
    pub(crate) fn user_not_found() -> Self {
        Self::new("ResourceNotFound", "User not found, authorization invalid")
    }

    /// Scope or role does not allow it.
    pub(crate) fn unauthorized() -> Self {
        Self::new("UnauthorizedOperation", "您没有权限进行此操作")
    }

    /// A refusal of this code; of an unknown one `UnauthorizedOperation`.
    pub(crate) fn refused(code: &str) -> Self {
        match code {
            "ResourceNotFound" => Self::not_found(),
            "FailedOperation" => Self::new("FailedOperation", "操作失败"),
            "InvalidParameterValue" => Self::invalid("the project cannot be used"),
            _ => Self::unauthorized(),
        }
    }

    /// A value that is refused.
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// A field that is required and lacking.
    pub(crate) fn missing(field: &str) -> Self {
        Self::new("MissingParameter", format!("The request is missing the parameter `{field}`."))
    }

    /// Too many requests for one action.
    pub(crate) fn throttled() -> Self {
        Self::new("RequestLimitExceeded", "请求的次数超过了频率限制")
    }
}
