use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::layers::tests::{entries, load};
use crate::config::{Loaded, Otlp, Overrides, Secret};

fn read(user: &str, environment: &[(&str, &str)]) -> Loaded {
    load("", user, environment, &Overrides::default()).unwrap()
}

fn otlp(environment: &[(&str, &str)]) -> Otlp {
    let loaded = read("", environment);
    assert_eq!(loaded.ignored, []);
    loaded.config.otlp
}

/// What was ignored, as it is told.
fn ignored(environment: &[(&str, &str)]) -> Vec<String> {
    let loaded = read("", environment);
    assert_eq!(loaded.config.otlp, Otlp::from_defaults());
    loaded.ignored.iter().map(ToString::to_string).collect()
}

impl Otlp {
    fn from_defaults() -> Otlp {
        read("", &[]).config.otlp
    }
}

fn table(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn headers(otlp: &Otlp) -> Vec<(&str, &str)> {
    otlp.headers.iter().map(|(name, value)| (name.as_str(), value.reveal())).collect()
}

#[test]
fn the_shared_address_is_completed_and_that_of_metrics_is_not() {
    let shared = |address| otlp(&[("OTEL_EXPORTER_OTLP_ENDPOINT", address)]).endpoint.unwrap();
    assert_eq!(shared("http://localhost:4318"), "http://localhost:4318/v1/metrics");
    assert_eq!(shared(" https://h/a/b/ "), "https://h/a/b/v1/metrics");
    let own = [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://h:1"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://other")];
    assert_eq!(otlp(&own).target(), Some("http://h:1"));
    // One that is empty counts as not set.
    let empty = [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h")];
    assert_eq!(otlp(&empty).target(), Some("http://h/v1/metrics"));
}

#[test]
fn files_lose_and_our_own_names_win() {
    let file = "[otlp]\nendpoint = \"http://file\"\ninterval_seconds = 5\nservice_name = \"file\"\n";
    let shared = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://shared");
    let loaded = read(file, &[shared, ("OTEL_METRIC_EXPORT_INTERVAL", "1500")]);
    assert_eq!(loaded.config.otlp.endpoint.as_deref(), Some("http://shared/v1/metrics"));
    assert_eq!((loaded.config.otlp.interval, &*loaded.config.otlp.service_name), (Duration::from_millis(1500), "file"));
    let origin = entries(&loaded).find(|(key, _)| key == "otlp.endpoint").unwrap().1;
    assert_eq!(origin, "OTEL_EXPORTER_OTLP_ENDPOINT");
    let loaded = read(file, &[shared, ("CLAUDE_COMMS_OTLP__ENDPOINT", "http://ours")]);
    assert_eq!(loaded.config.otlp.endpoint.as_deref(), Some("http://ours"));
}

#[test]
fn headers_are_decoded_and_never_shown() {
    let given = otlp(&[("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b%2Cc%3D, ,x = y=z ,")]);
    assert_eq!(headers(&given), [("api-key", "a b,c="), ("x", "y=z")]);
    let own = [("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=b"), ("OTEL_EXPORTER_OTLP_HEADERS", "c=d")];
    assert_eq!(headers(&otlp(&own)), [("a", "b")]);
    let loaded = read("[otlp]\nheaders = { Authorization = \"Bearer hunter2\" }\n", &[]);
    assert_eq!(headers(&loaded.config.otlp), [("authorization", "Bearer hunter2")]);
    let record = loaded.origins.all(&super::OTLP).next().unwrap();
    let shown = record.entries.iter().find(|entry| entry.row.name == "headers").unwrap().value.as_ref().unwrap();
    assert_eq!(shown.to_string(), format!("{{ \"authorization\" = \"{}\" }}", Secret::SHOWN));
    assert!(!format!("{:?}", loaded.config).contains("hunter2"));
}

#[test]
fn headers_that_cannot_be_sent_are_refused_without_their_values() {
    let refused = |headers: &str| load("", &format!("[otlp]\nheaders = {headers}\n"), &[], &Overrides::default());
    for (headers, expected) in [
        ("{ \"a b\" = \"hunter2\" }", "not a table with the name \"a b\""),
        ("{ Host = \"hunter2\" }", "not a table with \"Host\", which every request has"),
        ("{ a = \"hunter2\\n\" }", "not a table whose \"a\" has a character in it that no header can hold"),
        ("{ a = \" \" }", "not a table whose \"a\" is empty"),
        ("{ a = \"(set)\" }", "not a table whose \"a\" is what stands for it in `config show`"),
        ("{ a = 1 }", "not a table whose \"a\" is a number"),
        ("{ a = \"hunter2\", A = \"b\" }", "not a table with \"a\" twice"),
    ] {
        let said = refused(headers).map(drop).unwrap_err();
        assert!(said.ends_with(expected) && !said.contains("hunter2"), "{headers}: {said}");
    }
}

#[test]
fn times_are_in_milliseconds() {
    let times = otlp(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"), ("OTEL_METRIC_EXPORT_INTERVAL", "100")]);
    assert_eq!((times.timeout, times.interval), (Duration::from_millis(2500), Duration::from_millis(100)));
    let own = [("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1000"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500")];
    assert_eq!(otlp(&own).timeout, Duration::from_secs(1));
}

#[test]
fn the_service_is_named_by_its_own_variable_or_among_the_attributes() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=among,deployment.environment=a%3Db,host.name=h");
    let rest = table(&[("deployment.environment", "a=b"), ("host.name", "h")]);
    let given = otlp(&[attributes]);
    assert_eq!((&*given.service_name, &given.resource), ("among", &rest));
    let given = otlp(&[attributes, ("OTEL_SERVICE_NAME", "own")]);
    assert_eq!((&*given.service_name, &given.resource), ("own", &rest));
    assert_eq!(otlp(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=among")]).resource, table(&[]));
    let told = load("", "[otlp]\nresource = { \"service.name\" = \"x\" }\n", &[], &Overrides::default());
    assert!(told.map(drop).unwrap_err().ends_with("not a table with the name \"service.name\""));
}

#[test]
fn it_is_switched_off_from_outside() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h");
    let on = |variable: (&str, &str)| otlp(&[endpoint, variable]).target().is_some();
    assert!(!on(("OTEL_SDK_DISABLED", "TRUE")) && on(("OTEL_SDK_DISABLED", "false")));
    assert!(!on(("OTEL_METRICS_EXPORTER", "none")) && !on(("OTEL_METRICS_EXPORTER", "prometheus")));
    assert!(on(("OTEL_METRICS_EXPORTER", "otlp")) && on(("OTEL_METRICS_EXPORTER", "console, otlp")));
    let both = [endpoint, ("OTEL_METRICS_EXPORTER", "otlp"), ("OTEL_SDK_DISABLED", "true")];
    assert_eq!(otlp(&both).target(), None);
    let file = "[otlp]\nenabled = false\nendpoint = \"http://h\"\n";
    assert!(read(file, &[]).config.otlp.target().is_none());
    assert!(read(file, &[("OTEL_METRICS_EXPORTER", "otlp")]).config.otlp.target().is_some());
    assert!(read(file, &[("CLAUDE_COMMS_OTLP__ENABLED", "yes")]).config.otlp.target().is_some());
}

/// They are there for all programs, so they cannot keep this one from starting.
#[test]
fn what_will_not_do_is_ignored_and_told() {
    let list = "must be a list like name=value,name=value with % before two digits; number";
    for (name, value, reason) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "localhost:4318",
            "it must be an http or https URL with a host, like \"http://localhost:4318/v1/metrics\", not one without http:// or https://: \"localhost:4318/v1/metrics\"",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "it must be a number of milliseconds, not \"10s\""),
        (
            "OTEL_METRIC_EXPORT_INTERVAL",
            "10",
            "it is in milliseconds, and in seconds it must be a number of seconds from 0.1 to 86400, not 0.01",
        ),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-5", "it must be a number of milliseconds, not \"-5\""),
        ("OTEL_METRICS_EXPORTER", "otlpp", "\"otlpp\" names no exporter that is known"),
        ("OTEL_SDK_DISABLED", "1", "it must be true or false, not \"1\""),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b,hunter2", &format!("it {list} 2 is not")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter%2", &format!("it {list} 1 is not")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=%ff", &format!("it {list} 1 is not")),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "host=hunter2",
            "it must be a table of header names and texts, not a table with \"host\", which every request has",
        ),
        ("OTEL_RESOURCE_ATTRIBUTES", "=x", &format!("it {list} 1 is not")),
    ] {
        assert_eq!(ignored(&[(name, value)]), [format!("{name}: ignored: {reason}")], "{name}={value}");
    }
}

#[test]
fn an_address_for_another_protocol_is_not_used() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:4317");
    let told = ignored(&[endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    let expected = "OTEL_EXPORTER_OTLP_ENDPOINT: ignored: OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\", and only http/protobuf is \
                    spoken here; name the collector's port for that, mostly 4318, with CLAUDE_COMMS_OTLP__ENDPOINT";
    assert_eq!(told, [expected]);
    let spoken =
        [endpoint, ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    assert_eq!(otlp(&spoken).target(), Some("http://h:4317/v1/metrics"));
    // An address of ours is what it is.
    let ours = [("CLAUDE_COMMS_OTLP__ENDPOINT", "http://h:4318/v1/metrics"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    assert_eq!(otlp(&ours).target(), Some("http://h:4318/v1/metrics"));
}

#[cfg(unix)]
#[test]
fn what_is_no_text_is_ignored() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let broken = OsString::from_vec(vec![b'h', 0xff]);
    let layer = super::read(&[("OTEL_EXPORTER_OTLP_ENDPOINT".into(), broken)]);
    assert_eq!(layer.ignored[0].to_string(), "OTEL_EXPORTER_OTLP_ENDPOINT: ignored: it must be UTF-8");
}
