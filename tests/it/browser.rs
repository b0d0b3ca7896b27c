//! A headless Chromium, driven over its DevTools protocol. It resolves one strange name to this machine and is asked
//! for nothing else.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::support::{LIMIT, Running, ends_within, pid_of, spawn, wait_until};

/// How long it may take to end by itself.
const GOODBYE: Duration = Duration::from_secs(5);

pub(crate) struct Browser {
    process: Running,
    // Removed after it has ended.
    _profile: TempDir,
    socket: WebSocket<TcpStream>,
    session: String,
    asked: u64,
    /// What it told without being asked.
    told: Vec<Value>,
}

/// Where Chromium is, if it is here.
pub(crate) fn chromium() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).flat_map(|folder| ["chromium", "chromium-browser"].map(|name| folder.join(name)));
    found.into_iter().find(|file| file.exists())
}

impl Browser {
    /// One with an empty tab; `None`, and a notice, where there is no Chromium.
    pub(crate) fn start() -> Option<Browser> {
        let Some(chromium) = chromium() else {
            println!("skipped: chromium is not on PATH");
            return None;
        };
        let profile = tempfile::Builder::new().prefix("cc").tempdir().unwrap();
        let mut command = Command::new(chromium);
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]);
        command.args(["--host-resolver-rules=MAP evil.test 127.0.0.1", "--remote-debugging-port=0", "about:blank"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).env("HOME", profile.path());
        command.env_remove("http_proxy").env_remove("HTTP_PROXY").process_group(0);
        let process = spawn(&mut command, b"");
        let port_file = profile.path().join("DevToolsActivePort");
        let mut place = String::new();
        wait_until("the browser", || {
            place = fs::read_to_string(&port_file).unwrap_or_default();
            place.lines().count() == 2
        });
        let (port, path) = place.split_once('\n').unwrap();
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{}", path.trim()), stream).unwrap();
        let mut browser =
            Browser { process, _profile: profile, socket, session: String::new(), asked: 0, told: Vec::new() };
        browser.open_tab();
        Some(browser)
    }

    /// A tab of its own, which remembers nothing of the others.
    pub(crate) fn open_tab(&mut self) {
        self.session.clear();
        let target = self.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = self.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        self.session = attached["sessionId"].as_str().unwrap().to_owned();
        self.told.clear();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let mut request = json!({"id": self.asked, "method": method, "params": params});
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(request.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message["id"] == self.asked {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.told.push(message);
        }
    }

    pub(crate) fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
        wait_until("the page", || self.run("document.readyState") == "complete");
    }

    /// The value of an expression, or what its promise comes to.
    pub(crate) fn run(&mut self, script: &str) -> Value {
        let params = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let mut outcome = self.call("Runtime.evaluate", params);
        assert!(outcome["exceptionDetails"].is_null(), "{script}: {outcome}");
        outcome["result"]["value"].take()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&mut self, script: &str) {
        let place = std::panic::Location::caller();
        let mut seen = Value::Null;
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(script, || {
                seen = self.run(script);
                seen == true
            });
        }));
        if held.is_err() {
            let text = self.run("document.body.innerText");
            panic!("{place}: {script} is {seen}; the page: {text}; {:?}", self.complaints());
        }
    }

    /// What the console says is wrong.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let complaint = |told: &Value| match (told["method"].as_str()?, &told["params"]) {
            ("Runtime.exceptionThrown", params) => Some(params.to_string()),
            ("Runtime.consoleAPICalled", params) if params["type"] != "log" => Some(params.to_string()),
            ("Log.entryAdded", params) => Some(params["entry"].to_string()),
            _ => None,
        };
        self.told.iter().filter_map(complaint).collect()
    }

    /// All that was asked for over the network.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let address = |told: &Value| match told["method"].as_str()? {
            "Network.requestWillBeSent" => told["params"]["request"]["url"].as_str().map(str::to_owned),
            "Network.webSocketCreated" => told["params"]["url"].as_str().map(str::to_owned),
            _ => None,
        };
        self.told.iter().filter_map(address).collect()
    }

    /// A picture of what is seen, as PNG, for whoever likes it `light` or `dark`.
    pub(crate) fn picture(&mut self, scheme: &str, width: u32, height: u32) -> Vec<u8> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let goodbye = json!({"id": 0, "method": "Browser.close"});
        let _ = self.socket.send(Message::text(goodbye.to_string()));
        let pid = self.process.pid();
        ends_within(pid, GOODBYE);
        // Whatever it has started, too.
        let _ = kill_process_group(pid_of(pid), Signal::KILL);
    }
}
