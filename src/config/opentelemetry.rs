//! The layer of the variables that all programs with OpenTelemetry have in common, by the rules of its specification: one that
//! will not do is said and ignored, because it may be meant for another program.
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use std::ffi::OsString;

use super::layers::Layer;
use super::problems::{Place, Problem};
use super::sections::OTLP;
use super::value::{Given, quoted};

/// What is appended to the address that all signals share.
const METRICS_PATH: &str = "/v1/metrics";
/// The one that is spoken here.
const PROTOCOL: &str = "http/protobuf";
/// Those of the specification but for `otlp`, which is the only one here.
const OTHER_EXPORTERS: [&str; 4] = ["none", "prometheus", "console", "logging"];

type Variable = (&'static str, String);

pub(super) fn read(variables: &[(OsString, OsString)]) -> Layer {
    let mut reading = Reading { variables, layer: Layer::default() };
    reading.switch();
    reading.endpoint();
    reading.headers();
    reading.time("timeout_seconds", ["OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]);
    reading.time("interval_seconds", ["OTEL_METRIC_EXPORT_INTERVAL"]);
    reading.resource();
    reading.layer
}

struct Reading<'a> {
    variables: &'a [(OsString, OsString)],
    layer: Layer,
}

impl Reading<'_> {
    /// The first of them that is set and not empty. What is for metrics alone stands before what is for all signals.
    fn first<const N: usize>(&mut self, names: [&'static str; N]) -> Option<Variable> {
        for name in names {
            let set = self.variables.iter().find(|(other, _)| other == name).map(|(_, value)| value);
            match set.map(|value| value.to_str()) {
                None => {}
                Some(None) => self.ignore(name, "it must be UTF-8".to_owned()),
                Some(Some(text)) if text.trim().is_empty() => {}
                Some(Some(text)) => return Some((name, text.trim().to_owned())),
            }
        }
        None
    }

    fn ignore(&mut self, name: &str, reason: String) {
        let sentence = format!("ignored: {reason}");
        self.layer.ignored.push(Problem { place: Place::Environment { name: name.to_owned() }, sentence });
    }

    fn put(&mut self, field: &str, name: &str, given: Result<Given, String>) {
        let Some(setting) = OTLP.setting(field) else { return };
        let place = Place::Environment { name: name.to_owned() };
        match given.and_then(|given| setting.row.kind.check(&given)) {
            Ok(value) => self.layer.put(setting, value, place),
            Err(reason) => self.ignore(name, format!("it {reason}")),
        }
    }

    fn switch(&mut self) {
        if let Some((name, exporters)) = self.first(["OTEL_METRICS_EXPORTER"]) {
            let among = |known: &[&str]| exporters.split(',').any(|exporter| known.contains(&exporter.trim()));
            if among(&["otlp"]) || among(&OTHER_EXPORTERS) {
                self.put("enabled", name, Ok(Given::Switch(among(&["otlp"]))));
            } else {
                self.ignore(name, format!("{} names no exporter that is known", quoted(&exporters)));
            }
        }
        if let Some((name, disabled)) = self.first(["OTEL_SDK_DISABLED"]) {
            if disabled.eq_ignore_ascii_case("true") {
                self.put("enabled", name, Ok(Given::Switch(false)));
            } else if !disabled.eq_ignore_ascii_case("false") {
                self.ignore(name, format!("it must be true or false, not {}", quoted(&disabled)));
            }
        }
    }

    fn endpoint(&mut self) {
        let own = self.first(["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"]);
        let shared = || self.first(["OTEL_EXPORTER_OTLP_ENDPOINT"]);
        let Some((name, endpoint)) = own.or_else(shared) else { return };
        let protocol = self.first(["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        if let Some((of, other)) = protocol.filter(|(_, protocol)| protocol != PROTOCOL) {
            let reason = format!(
                "{of} is {}, and only {PROTOCOL} is spoken here; name the collector's port for that, mostly 4318, with \
                 CLAUDE_COMMS_OTLP__ENDPOINT",
                quoted(&other)
            );
            return self.ignore(name, reason);
        }
        let path = if name == "OTEL_EXPORTER_OTLP_ENDPOINT" { METRICS_PATH } else { "" };
        let base = if path.is_empty() { &endpoint } else { endpoint.trim_end_matches('/') };
        self.put("endpoint", name, Ok(Given::Text(format!("{base}{path}"))));
    }

    fn headers(&mut self) {
        if let Some((name, text)) = self.first(["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]) {
            self.put("headers", name, pairs(&text).map(table));
        }
    }

    fn time<const N: usize>(&mut self, field: &str, names: [&'static str; N]) {
        if let Some((name, text)) = self.first(names) {
            let Ok(millis) = text.parse::<u32>() else {
                return self.ignore(name, format!("it must be a number of milliseconds, not {}", quoted(&text)));
            };
            let Some(setting) = OTLP.setting(field) else { return };
            match setting.row.kind.check(&Given::Fraction(f64::from(millis) / 1e3)) {
                Ok(value) => self.layer.put(setting, value, Place::Environment { name: name.to_owned() }),
                Err(reason) => self.ignore(name, format!("it is in milliseconds, and in seconds it {reason}")),
            }
        }
    }

    fn resource(&mut self) {
        let service = self.first(["OTEL_SERVICE_NAME"]);
        if let Some((name, text)) = self.first(["OTEL_RESOURCE_ATTRIBUTES"]) {
            match pairs(&text) {
                Err(reason) => self.ignore(name, format!("it {reason}")),
                Ok(pairs) => {
                    let (own, rest): (Vec<_>, _) = pairs.into_iter().partition(|(key, _)| key == "service.name");
                    // The variable of its own wins over this one.
                    if let Some((_, text)) = own.into_iter().next_back().filter(|_| service.is_none()) {
                        self.put("service_name", name, Ok(Given::Text(text)));
                    }
                    if !rest.is_empty() {
                        self.put("resource", name, Ok(table(rest)));
                    }
                }
            }
        }
        if let Some((name, text)) = service {
            self.put("service_name", name, Ok(Given::Text(text)));
        }
    }
}

fn table(pairs: Vec<(String, String)>) -> Given {
    Given::Table(pairs.into_iter().map(|(name, text)| (name, Given::Text(text))).collect())
}

/// `name=value,name=value`, in which anything may be percent-encoded. Nothing of it is repeated: it may be secret.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let is_given = |item: &&str| !item.is_empty();
    text.split(',').map(str::trim).filter(is_given).enumerate().map(pair).collect()
}

fn pair((at, item): (usize, &str)) -> Result<(String, String), String> {
    let read = |(name, value): (&str, &str)| Some((decoded(name.trim())?, decoded(value.trim())?));
    let pair = item.split_once('=').and_then(read).filter(|(name, _)| !name.is_empty());
    pair.ok_or_else(|| {
        format!("must be a list like name=value,name=value with % before two digits; number {} is not", at + 1)
    })
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let (high, low) = (digit(rest.next())?, digit(rest.next())?);
            bytes.push((high << 4 | low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
