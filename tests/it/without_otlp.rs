//! A program that was built without the export of metrics.

use crate::support::Daemon;

#[test]
fn it_says_that_it_exports_nothing() {
    let mut daemon = Daemon::none();
    daemon.configure("[otlp]\nendpoint = \"http://localhost:4318/v1/metrics\"\n");
    daemon.restart();
    daemon.stop();
    let told = "metrics are not exported endpoint=http://localhost:4318/v1/metrics: this program was built without";
    assert_eq!(daemon.log().matches(told).count(), 1, "{}", daemon.log());
    daemon.configure("[otlp]\nenabled = false\nendpoint = \"http://localhost:4318/v1/metrics\"\n");
    daemon.restart();
    daemon.stop();
    assert_eq!(daemon.log().matches(told).count(), 1, "{}", daemon.log());
}
