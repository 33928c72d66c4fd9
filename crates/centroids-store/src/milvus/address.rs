//! `milvus://host:port/name?consistency=bounded&timeout=60`

use std::time::Duration;

use milvus::v2::ConsistencyLevel;

use crate::error::Error;

/// Where a gallery is, and how to ask for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Address {
    /// As it was typed.
    pub(super) text: String,
    /// `host:port`.
    pub(super) server: String,
    /// What the names of its collections begin with.
    pub(super) name: String,
    /// Of lookups and searches; what a change reads is always read as it is now.
    pub(super) consistency: ConsistencyLevel,
    /// Of one request.
    pub(super) timeout: Duration,
}

/// With its suffixes a name stays within the 255 letters that Milvus takes.
const MAX_NAME: usize = 200;

const TIMEOUT: Duration = Duration::from_secs(60);

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Address { location: text.to_owned(), reason };
        let rest = text.strip_prefix("milvus://");
        let rest = rest.ok_or_else(|| refuse("it does not begin with milvus://".to_owned()))?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (server, name) = place.split_once('/').unwrap_or((place, ""));
        let port = server.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(refuse(format!("`{server}` is not host:port")));
        }
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.chars().all(letters) || name.len() > MAX_NAME {
            return Err(refuse(format!(
                "`{name}` is no name of a gallery: letters, digits and _, not a digit first"
            )));
        }
        let mut address = Self {
            text: text.to_owned(),
            server: server.to_owned(),
            name: name.to_owned(),
            consistency: ConsistencyLevel::Strong,
            timeout: TIMEOUT,
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            address.set(option).map_err(refuse)?;
        }
        Ok(address)
    }

    fn set(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=').unwrap_or((option, "")) {
            ("consistency", "strong") => self.consistency = ConsistencyLevel::Strong,
            ("consistency", "bounded") => self.consistency = ConsistencyLevel::Bounded,
            ("consistency", "eventually") => self.consistency = ConsistencyLevel::Eventually,
            ("consistency", other) => {
                return Err(format!("consistency is strong, bounded or eventually, not `{other}`"));
            }
            ("timeout", seconds) => match seconds.parse() {
                Ok(seconds @ 1..) => self.timeout = Duration::from_secs(seconds),
                _ => return Err(format!("timeout is a number of seconds, not `{seconds}`")),
            },
            (key, _) => return Err(format!("there is no option `{key}`")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address = Address::parse("milvus://db.shop:19530/shoes_2").unwrap();
        assert_eq!((address.server.as_str(), address.name.as_str()), ("db.shop:19530", "shoes_2"));
        assert_eq!((address.consistency, address.timeout), (ConsistencyLevel::Strong, TIMEOUT));
        let address = Address::parse("milvus://h:1/g?consistency=bounded&timeout=5").unwrap();
        assert_eq!(address.consistency, ConsistencyLevel::Bounded);
        assert_eq!(address.timeout, Duration::from_secs(5));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (text, part) in [
            ("http://h:1/g", "does not begin"),
            ("milvus://host/g", "`host` is not host:port"),
            ("milvus://:1/g", "is not host:port"),
            ("milvus://h:1", "`` is no name"),
            ("milvus://h:1/2g", "`2g` is no name"),
            ("milvus://h:1/a-b", "`a-b` is no name"),
            ("milvus://h:1/g?timeout=0", "number of seconds"),
            ("milvus://h:1/g?consistency=weak", "not `weak`"),
            ("milvus://h:1/g?tls=true", "no option `tls`"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(part) && error.starts_with(text), "{error}");
        }
    }
}
