//! Who it is that the numbers are of.

use std::collections::BTreeMap;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    Text(String),
    Number(u32),
}

/// The attributes of this process, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource(BTreeMap<String, Attribute>);

impl Resource {
    /// With the attributes that every resource of ours has.
    pub fn of_service(name: &str) -> Resource {
        Resource::default()
            .text("service.name", name)
            .text("service.version", env!("CARGO_PKG_VERSION"))
            .number("process.pid", std::process::id())
    }

    /// Takes the place of one of the same name.
    #[must_use]
    pub fn text(mut self, key: &str, value: &str) -> Resource {
        self.0.insert(key.to_owned(), Attribute::Text(value.to_owned()));
        self
    }

    #[must_use]
    fn number(mut self, key: &str, value: u32) -> Resource {
        self.0.insert(key.to_owned(), Attribute::Number(value));
        self
    }

    pub(super) fn attributes(&self) -> impl Iterator<Item = (&str, &Attribute)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
