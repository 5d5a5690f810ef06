//! Where a store is: a file, or a database on a PostgreSQL server.
//!
//! Never: shows a password.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of PostgreSQL.
    Server(Server),
}

/// A database on a server.
#[derive(Debug, Clone)]
pub struct Server {
    /// `postgres://user@host:port/database?option=value`, without the password.
    url: String,
    password: Option<SecretString>,
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
            && self.password.as_ref().map(SecretString::expose_secret)
                == other.password.as_ref().map(SecretString::expose_secret)
    }
}

impl Eq for Server {}

impl Place {
    /// What [`Place::parse`] takes.
    pub const EXPECTED: &str = "sqlite:// and the path of a file, such as \"sqlite://data/unhang.db\", or \
                                \"postgres://user@host:5432/database\"";

    /// A place from `sqlite://PATH`, `postgres://…` or `postgresql://…`.
    pub fn parse(url: &str) -> Option<Self> {
        match url.split_once("://")? {
            ("sqlite", path) => is_file(path).then(|| Self::File(PathBuf::from(path))),
            ("postgres" | "postgresql", rest) => Server::parse(rest).map(Self::Server),
            _ => None,
        }
    }

    /// As it is displayed, but a path from the root on, so that it is found from anywhere.
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => {
                std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string()
            }
            Self::Server(server) => server.url.clone(),
        }
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// Whether it is a database that several replicas may use.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Server(_))
    }

    /// Whether there may be a store: a server is asked when it is opened.
    pub fn may_be_there(&self) -> bool {
        match self {
            Self::File(path) => path.exists(),
            Self::Server(_) => true,
        }
    }
}

fn is_file(path: &str) -> bool {
    !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#', ':'])
}

impl Server {
    fn parse(rest: &str) -> Option<Self> {
        let (authority, path) = rest.split_once('/')?;
        let name = path.split('?').next().filter(|name| !name.is_empty())?;
        let (who, host) = match authority.rsplit_once('@') {
            Some((who, host)) => (Some(who), host),
            None => (None, authority),
        };
        let (user, password) = match who.and_then(|who| who.split_once(':')) {
            Some((user, password)) => (Some(user), Some(SecretString::from(password.to_owned()))),
            None => (who, None),
        };
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let options = path.strip_prefix(name).unwrap_or_default();
        Some(Self { url: format!("postgres://{user}{host}/{name}{options}"), password })
    }

    /// What is said of one that is not safe.
    pub const NOT_SAFE: &str = "another machine is reached with TLS only; append ?sslmode=verify-full (and \
                                sslrootcert=PATH for a certificate authority of your own)";

    /// Whether nobody between here and there can read along, or say that they were the server: TLS with a certificate
    /// that is verified, or this machine.
    pub fn is_safe(&self) -> bool {
        let rest = self.url.strip_prefix("postgres://").unwrap_or(&self.url);
        let (authority, options) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let options = options.split_once('?').map_or("", |(_, options)| options);
        let mut options = options.split('&').filter_map(|option| option.split_once('='));
        let verified =
            |(key, value): (&str, &str)| matches!(key, "sslmode" | "ssl-mode") && value == "verify-full";
        matches!(host, "localhost" | "127.0.0.1" | "[::1]" | "") || options.any(verified)
    }

    /// The same with a password.
    #[must_use]
    pub fn with_password(self, password: SecretString) -> Self {
        Self { password: Some(password), ..self }
    }

    /// Whether it has a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Its address without the password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its password.
    pub fn password(&self) -> Option<&str> {
        self.password.as_ref().map(SecretString::expose_secret)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => f.write_str(&server.url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        match Place::parse(url) {
            Some(Place::Server(server)) => server,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let secret = server("postgres://u:s3cret@h:5433/d?sslmode=require");
        assert_eq!(secret.url(), "postgres://u@h:5433/d?sslmode=require");
        assert_eq!(secret.password(), Some("s3cret"));
        assert!(!format!("{secret:?}").contains("s3cret"));
        for (url, safe) in [
            ("postgres://u@localhost/d", true),
            ("postgres://u@127.0.0.1:5433/d", true),
            ("postgres:///d?host=/run/postgresql", true),
            ("postgres://u@db.example/d", false),
            ("postgres://u@db.example/d?sslmode=require", false),
            ("postgres://u@db.example/d?sslmode=verify-full", true),
        ] {
            assert_eq!(server(url).is_safe(), safe, "{url}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for url in [
            "",
            "data/unhang.db",
            "sqlite://",
            "sqlite://:memory:",
            "sqlite://data/",
            "mysql://h/d",
            "postgres://h",
            "postgres://h/",
        ] {
            assert_eq!(Place::parse(url), None, "{url}");
        }
        assert_eq!(Place::parse("sqlite:///var/u.db").unwrap().file(), Some(Path::new("/var/u.db")));
    }
}
