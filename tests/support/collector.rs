//! A collector of OpenTelemetry for tests: it takes what is posted, decodes it with the official types, and answers as it is
//! told.
#![allow(dead_code, reason = "each test uses its part")]

use claude_comms::thread::Joined;
use crossbeam_channel::{Receiver, Sender, bounded};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint, metric, number_data_point};
use parking_lot::Mutex;
use prost::Message;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Longest that anything is waited for.
const LIMIT: Duration = Duration::from_secs(90);
const RECEIVED_MAX: usize = 4_096;
const PROTOBUF: &str = "application/x-protobuf";

/// What it does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Nothing, for as long as the other side waits.
    Hang,
    /// A head that promises more than comes.
    Stall,
    Close,
}

impl Reaction {
    pub(crate) fn taken() -> Reaction {
        Reaction::answer(200, PROTOBUF, &ExportMetricsServiceResponse::default().encode_to_vec())
    }

    pub(crate) fn partly(rejected_data_points: i64, said: &str) -> Reaction {
        let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message: said.to_owned() };
        let response = ExportMetricsServiceResponse { partial_success: Some(partial) };
        Reaction::answer(200, PROTOBUF, &response.encode_to_vec())
    }

    pub(crate) fn answer(status: u16, content_type: &str, body: &[u8]) -> Reaction {
        let headers = vec![("content-type", content_type.to_owned())];
        Reaction::Answer { status, headers, body: body.to_vec() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Reaction {
        if let Reaction::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// For example `POST /v1/metrics`.
    pub(crate) line: String,
    /// Names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: ExportMetricsServiceRequest,
}

/// A running collector; it ends when dropped.
pub(crate) struct Collector {
    address: SocketAddr,
    received: Receiver<Received>,
    shared: Arc<Shared>,
    _accepting: Joined<()>,
}

struct Shared {
    reaction: Mutex<Reaction>,
    received: Sender<Received>,
    peers: Mutex<Vec<TcpStream>>,
    /// Whether connections are still let in; then for the last time.
    ends: Mutex<bool>,
}

/// An address that nobody else can have, and where nobody listens yet.
pub(crate) struct Closed(OwnedFd);

impl Closed {
    pub(crate) fn new() -> Closed {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Closed(socket)
    }

    pub(crate) fn endpoint(&self) -> String {
        let address = rustix::net::getsockname(&self.0).unwrap();
        format!("http://{}/v1/metrics", SocketAddr::try_from(address).unwrap())
    }

    /// Has it let nobody in, so that connecting hangs, for as long as what comes back is kept.
    pub(crate) fn hang(&self) -> Vec<OwnedFd> {
        rustix::net::listen(&self.0, 0).unwrap();
        let address = SocketAddr::try_from(rustix::net::getsockname(&self.0).unwrap()).unwrap();
        let waiting = || {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
            let _ = rustix::net::connect(&socket, &address);
            socket
        };
        // One more than the kernel keeps waiting, and one to spare.
        (0..3).map(|_| waiting()).collect()
    }

    pub(crate) fn open(self, reaction: Reaction) -> Collector {
        rustix::net::listen(&self.0, 128).unwrap();
        Collector::at(TcpListener::from(self.0), reaction)
    }
}

impl Collector {
    pub(crate) fn start(reaction: Reaction) -> Collector {
        Closed::new().open(reaction)
    }

    fn at(listener: TcpListener, reaction: Reaction) -> Collector {
        let address = listener.local_addr().unwrap();
        let (sender, received) = bounded(RECEIVED_MAX);
        let shared = Shared {
            reaction: Mutex::new(reaction),
            received: sender,
            peers: Mutex::default(),
            ends: Mutex::new(false),
        };
        let shared = Arc::new(shared);
        let serving = Arc::clone(&shared);
        let accepting = Joined::spawn("collector", move || {
            let mut threads = Vec::new();
            for stream in listener.incoming() {
                if *serving.ends.lock() {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&serving));
                shared.peers.lock().push(stream.try_clone().unwrap());
                threads.push(Joined::spawn("collector-peer", move || serve(&stream, &shared)).unwrap());
            }
        });
        Collector { address, received, shared, _accepting: accepting.unwrap() }
    }

    /// Without the path.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn endpoint(&self) -> String {
        self.base() + "/v1/metrics"
    }

    pub(crate) fn react(&self, reaction: Reaction) {
        *self.shared.reaction.lock() = reaction;
    }

    /// The next request, waited for.
    #[track_caller]
    pub(crate) fn next(&self) -> Received {
        self.received.recv_timeout(LIMIT).expect("a request to the collector")
    }

    /// All that have come and have not been looked at.
    pub(crate) fn waiting(&self) -> Vec<Received> {
        self.received.try_iter().collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        *self.shared.ends.lock() = true;
        // Those that wait for their peer end, and so does the wait for another one.
        for peer in self.shared.peers.lock().drain(..) {
            let _ = peer.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut stream: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        // Whoever sees the request may say what becomes of the next one.
        let reaction = shared.reaction.lock().clone();
        let _ = shared.received.try_send(request);
        let sent = match reaction {
            Reaction::Answer { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n", body.len());
                headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
                stream.write_all(&[head.as_bytes(), b"\r\n", &body].concat())
            }
            Reaction::Stall => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n1"),
            Reaction::Hang => Ok(()),
            Reaction::Close => return drop(stream.shutdown(Shutdown::Both)),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Received> {
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).ok()?;
    let body = ExportMetricsServiceRequest::decode(&*body).expect("the body is what the specification says");
    let line = first.trim_end_matches(" HTTP/1.1").to_owned();
    Some(Received { line, headers, body })
}

impl Received {
    pub(crate) fn metrics(&self) -> impl Iterator<Item = &Metric> {
        self.body.resource_metrics.iter().flat_map(|all| &all.scope_metrics).flat_map(|scope| &scope.metrics)
    }

    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> &Metric {
        let names = || self.metrics().map(|metric| metric.name.as_str()).collect::<Vec<_>>();
        self.metrics().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name} is not in {:?}", names()))
    }

    /// Each as `key=value`.
    pub(crate) fn resource(&self) -> Vec<String> {
        let resource = self.body.resource_metrics[0].resource.as_ref().unwrap();
        resource.attributes.iter().map(shown).collect()
    }
}

/// Numbers of a gauge or a counter, by their attributes.
#[track_caller]
pub(crate) fn numbers(metric: &Metric) -> BTreeMap<String, f64> {
    points(metric).iter().map(|point| (labels(&point.attributes), value(point))).collect()
}

#[track_caller]
pub(crate) fn points(metric: &Metric) -> &[NumberDataPoint] {
    match metric.data.as_ref() {
        Some(metric::Data::Gauge(gauge)) => &gauge.data_points,
        Some(metric::Data::Sum(sum)) => &sum.data_points,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
pub(crate) fn histograms(metric: &Metric) -> &[HistogramDataPoint] {
    match metric.data.as_ref() {
        Some(metric::Data::Histogram(histogram)) => &histogram.data_points,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn value(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsInt(whole)) => whole as f64,
        Some(number_data_point::Value::AsDouble(float)) => float,
        None => panic!("a point has no value"),
    }
}

pub(crate) fn labels(attributes: &[KeyValue]) -> String {
    attributes.iter().map(shown).collect::<Vec<_>>().join(",")
}

fn shown(pair: &KeyValue) -> String {
    let value = pair.value.as_ref().and_then(|any| any.value.as_ref());
    match value {
        Some(any_value::Value::StringValue(text)) => format!("{}={text}", pair.key),
        Some(any_value::Value::IntValue(number)) => format!("{}={number}", pair.key),
        other => panic!("{other:?}"),
    }
}
