//! Why the daemon does not do what it was asked to.

use std::{fmt, net::SocketAddr};

use axum::{
    Json,
    extract::rejection::{JsonRejection, QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use super::selector::{BackendSelector, ListenerSelector};
use crate::config::Diagnostics;

/// What every request that fails is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Whose fault it is.
    pub kind: ErrorKind,
    /// What was asked and why it cannot be done; may have several lines.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Kinds of error, each with its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// 400: the request makes no sense in itself.
    WrongRequest,
    /// 404: the listener, backend or path is not there.
    NotFound,
    /// 405: the path is there, but not for this method.
    WrongMethod,
    /// 409: the request makes sense, and the daemon will not do it; nothing was changed.
    Refused,
    /// 500: the daemon tried and failed.
    Internal,
    /// 503: the daemon is stopping.
    Unavailable,
}

impl ErrorKind {
    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::WrongRequest => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused => StatusCode::CONFLICT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl ApiError {
    /// An error without a hint.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Nothing was changed, for this reason.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }

    /// Something failed that should not.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds what would be right.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// No listener of this name; `known` are those there are.
    pub fn unknown_listener<'k>(
        asked: &ListenerSelector,
        known: impl IntoIterator<Item = &'k ListenerSelector>,
    ) -> Self {
        let known: Vec<String> = known.into_iter().map(ToString::to_string).collect();
        let hint = match known.as_slice() {
            [] => "there are no listeners".to_owned(),
            some => format!("listeners: {}", some.join(", ")),
        };
        Self::new(ErrorKind::NotFound, format!("there is no listener {asked}")).with_hint(hint)
    }

    /// The listener has no such backend; `known` are those it has.
    pub fn unknown_backend(
        listener: &ListenerSelector,
        asked: BackendSelector,
        known: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let known: Vec<String> = known.into_iter().map(|one| one.to_string()).collect();
        let hint = match known.as_slice() {
            [] => "it has no backends".to_owned(),
            some => format!("its backends: {}", some.join(", ")),
        };
        let message = format!("listener {listener} has no backend {asked}");
        Self::new(ErrorKind::NotFound, message).with_hint(hint)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<&Diagnostics> for ApiError {
    /// A reload that was refused for what is wrong with the file.
    fn from(found: &Diagnostics) -> Self {
        Self::refused(format!("the configuration is refused, nothing was changed\n{found}"))
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(ErrorKind::WrongRequest, rejection.body_text())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(ErrorKind::WrongRequest, rejection.body_text())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.kind.status(), Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_listener_is_answered_with_those_there_are() {
        let listeners: [ListenerSelector; 2] =
            ["shop/tcp:80", "dns/udp:53"].map(|one| one.parse().unwrap());
        let asked = "shop/tcp:81".parse().unwrap();
        let error = ApiError::unknown_listener(&asked, &listeners);
        assert_eq!(error.kind.status(), StatusCode::NOT_FOUND);
        assert_eq!(error.message, "there is no listener shop/tcp:81");
        assert_eq!(error.hint.as_deref(), Some("listeners: shop/tcp:80, dns/udp:53"));
        let error = ApiError::unknown_listener(&asked, []);
        assert_eq!(error.hint.as_deref(), Some("there are no listeners"));
    }

    #[test]
    fn an_unknown_backend_is_answered_with_those_the_listener_has() {
        let error = ApiError::unknown_backend(
            &"shop/tcp:80".parse().unwrap(),
            "[fd01::11]:8080".parse().unwrap(),
            ["10.0.1.11:8080".parse().unwrap()],
        );
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(error.message, "listener shop/tcp:80 has no backend [fd01::11]:8080");
        assert_eq!(error.hint.as_deref(), Some("its backends: 10.0.1.11:8080"));
    }

    #[test]
    fn a_refused_file_says_that_nothing_was_changed_and_every_finding() {
        let found = crate::config::load_str("slb.toml", "[dataplane]\nfast = 1\n").unwrap_err();
        let error = ApiError::from(&found);
        assert_eq!(error.kind, ErrorKind::Refused);
        assert!(error.message.contains("nothing was changed"), "{error}");
        assert!(error.message.contains("slb.toml:2:1: error:"), "{error}");
    }
}
