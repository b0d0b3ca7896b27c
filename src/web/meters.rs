//! The numbers of this door.

use crate::telemetry::{Counter, Gauge, Histogram, MetricError, Registry};

const SECONDS_BUCKETS: [f64; 12] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];

pub(super) struct Meters {
    pub(super) connections: Gauge,
    pub(super) frames: Counter,
    pub(super) bytes: Counter,
    pub(super) slow: Counter,
    pub(super) delivery: Histogram,
    pub(super) refused: Counter,
}

impl Meters {
    pub(super) fn new(registry: &Registry) -> Result<Meters, MetricError> {
        let count = |name: &str, help: &str| registry.counter(&format!("claude_comms_ws_{name}_total"), help, &[]);
        Ok(Meters {
            connections: registry.gauge("claude_comms_ws_connections", "WebSocket connections that are open.", &[])?,
            frames: count("frames_sent", "Events that were sent over WebSocket.")?,
            bytes: count("bytes_sent", "Bytes of events that were sent over WebSocket.")?,
            slow: count("slow_consumers", "Times that a subscriber had fallen behind what is kept in memory.")?,
            refused: count("refused", "Connections and requests that were turned away at the door.")?,
            delivery: registry.histogram(
                "claude_comms_ws_delivery_seconds",
                "From when the newest of the events came to when they were given to a connection.",
                &SECONDS_BUCKETS,
                &[],
            )?,
        })
    }
}
